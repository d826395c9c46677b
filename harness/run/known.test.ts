import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { CellResult, Verdict } from '../results/model.ts'
import { projectTop } from '../ways/program.ts'
import { applyKnown, type KnownDeviationEntry, readKnown } from './known.ts'

const directory = mkdtempSync(join(tmpdir(), 'ipcns-known-'))
afterAll(() => rmSync(directory, { recursive: true }))

const here = { release: '6.18.44-distribution', arch: 'x86_64', today: '2026-11-22' }
const entry: KnownDeviationEntry = {
  rule: 'NSI-12',
  reference: 'BUG-29',
  reason: 'the fix is not in this kernel',
}

function cell(verdict: Verdict = 'fail', rule = 'NSI-12'): CellResult {
  return {
    id: `${rule}/treatment/clone/NEWIPC`,
    rule,
    verdict,
    reason: 'opens is the namespace',
  } as CellResult
}

function verdictWith(changes: Partial<KnownDeviationEntry>, failing = cell()): Verdict {
  return applyKnown([{ ...entry, ...changes }], here)(failing).verdict
}

describe('an accepted deviation', () => {
  test('is a skip that says what, why and where it is tracked', () => {
    expect(applyKnown([{ ...entry, expires: '2027-01-31' }], here)(cell())).toMatchObject({
      verdict: 'skip',
      reason: 'known deviation: the fix is not in this kernel (BUG-29)',
      known: { reference: 'BUG-29', reason: 'the fix is not in this kernel', expires: '2027-01-31' },
    })
  })

  test.each<Verdict>(['pass', 'error', 'skip'])('does not touch a cell with verdict %s', (verdict) => {
    const untouched = cell(verdict)
    expect(applyKnown([entry], here)(untouched)).toBe(untouched)
  })

  test('does not touch the failures of other rules', () => {
    const other = cell('fail', 'NSI-1')
    expect(applyKnown([entry], here)(other)).toBe(other)
    expect(applyKnown([], here)(cell()).verdict).toBe('fail')
  })
})

describe('matching', () => {
  test.each([
    ['a rule by its id', { rule: 'NSI-12' }, 'skip'],
    ['rules by a glob', { rule: 'NSI-*' }, 'skip'],
    ['no part of an id', { rule: 'NSI-1' }, 'fail'],
    ['a dot as a dot', { rule: 'NSI.12' }, 'fail'],
    ['some cells', { cell: '*/clone/*' }, 'skip'],
    ['other cells', { cell: '*/unshare/*' }, 'fail'],
    ['the release', { when: { release: '6.18.44*' } }, 'skip'],
    ['another release', { when: { release: '6.18.4-*' } }, 'fail'],
    ['the architecture', { when: { arch: 'x86_64' } }, 'skip'],
    ['another architecture', { when: { arch: 'aarch64' } }, 'fail'],
    ['both conditions', { when: { release: '6.18.*', arch: 'x86_64' } }, 'skip'],
    ['one condition of two', { when: { release: '6.18.*', arch: 'aarch64' } }, 'fail'],
    ['no condition at all', { when: {} }, 'skip'],
  ] as const)('%s', (_what, changes, verdict) => {
    expect(verdictWith(changes)).toBe(verdict)
  })

  test('the first entry that fits counts', () => {
    const first = { ...entry, reference: 'first', when: { arch: 'aarch64' } }
    const list = [first, { ...entry, reference: 'second' }, { ...entry, reference: 'third' }]
    expect(applyKnown(list, here)(cell()).known?.reference).toBe('second')
  })
})

describe('expiry', () => {
  test('the last day counts', () => {
    expect(verdictWith({ expires: '2026-11-22' })).toBe('skip')
  })

  test('after it the failure is back and says that it was accepted once', () => {
    const over = applyKnown([{ ...entry, expires: '2026-11-21' }], here)(cell())
    expect(over.verdict).toBe('fail')
    expect(over.known).toBeUndefined()
    expect(over.reason).toBe('opens is the namespace (accepted as BUG-29 until 2026-11-21, which is over)')
  })
})

describe('the file', () => {
  const read = (content: unknown): KnownDeviationEntry[] => {
    const path = join(directory, 'known.json')
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return readKnown(path)
  }
  const schema = 'ipcns-known/1'

  test('gives its entries', () => {
    expect(read({ schema, deviations: [entry] })).toEqual([entry])
    expect(read({ schema, deviations: [] })).toEqual([])
  })

  test.each([
    ['no JSON', 'deviations: none', /cannot read the known deviations in .*known\.json/],
    ['another schema', { schema: 'ipcns-known/2', deviations: [] }, /known\.json: schema: /],
    ['no list', { schema }, /known\.json: deviations: /],
    ['no object', [], /known\.json: the file: /],
    ['no rule', { schema, deviations: [{ ...entry, rule: undefined }] }, /deviations\.0\.rule: /],
    ['an empty rule', { schema, deviations: [{ ...entry, rule: '' }] }, /deviations\.0\.rule: /],
    [
      'no reference',
      { schema, deviations: [entry, { ...entry, reference: '' }] },
      /deviations\.1\.reference/,
    ],
    ['no reason', { schema, deviations: [{ ...entry, reason: '' }] }, /deviations\.0\.reason: /],
    ['no date', { schema, deviations: [{ ...entry, expires: 'soon' }] }, /deviations\.0\.expires: /],
    ['a date that is none', { schema, deviations: [{ ...entry, expires: '2026-02-30' }] }, /0\.expires: /],
    ['a misspelt field', { schema, deviations: [{ ...entry, expire: '2026-12-01' }] }, /expire/],
    ['a misspelt condition', { schema, deviations: [{ ...entry, when: { kernel: '6.18' } }] }, /0\.when: /],
  ])('with %s is refused, and where is said', (_what, content, says) => {
    expect(() => read(content)).toThrow(says)
  })

  test('that is absent is refused', () => {
    expect(() => readKnown(join(directory, 'absent.json'))).toThrow(/cannot read the known deviations/)
  })

  test('of the development machine is well-formed and bound to its kernel', () => {
    const entries = readKnown(join(projectTop(), 'ci/known/development-machine.json'))
    expect(entries.length).toBeGreaterThan(0)
    for (const { when } of entries) expect(when?.release).toBeDefined()
    const elsewhere = applyKnown(entries, { ...here, release: '6.18.50' })
    expect(elsewhere(cell()).verdict).toBe('fail')
    expect(applyKnown(entries, here)(cell()).verdict).toBe('skip')
  })
})
