import { expect, test } from 'vitest'
import { CellRecord } from './member.ts'

test('what was polled is one step of the evidence', () => {
  const record = new CellRecord()
  for (let look = 0; look < 99; look += 1) record.add('actor', 'msgget', [7, 0], { errno: 'ENOENT' })
  record.add('actor', 'msgget', [7, 0], { value: 3 })
  record.add('observer', 'msgget', [7, 0], { value: 3 })
  expect(record.evidence().map(({ who, result }) => `${who} ${result}`)).toEqual([
    'actor ENOENT (99 times)',
    'actor 3',
    'observer 3',
  ])
})
