import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UsageError } from '../harness/usage-error.ts'
import { asset } from './asset.ts'
import { textOf } from './files.ts'
import { parseResults } from './read.ts'
import { renderResultsJson } from './results-json.ts'
import { sampleCell, sampleResults, sampleSweep } from './sample.ts'

const validate = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false }).compile(
  JSON.parse(asset('schema/results-1.json')),
)

const written = (results: ReturnType<typeof sampleResults>): unknown =>
  JSON.parse(textOf(renderResultsJson(results)))

test('what is written follows the published schema', () => {
  const noConfig = { kernel: { release: '6', arch: 'x', config: null }, unfinished: true }
  for (const results of [sampleSweep(1200, true), sampleResults([]), sampleResults([sampleCell()], noConfig)])
    expect(validate(written(results)), JSON.stringify(validate.errors)).toBe(true)
})

test('the schema refuses what a report could not tell', () => {
  const cell = sampleCell()
  for (const wrong of [
    { ...cell, verdict: 'fail' },
    { ...cell, verdict: 'ok' },
    { ...cell, known: { reference: 'x' } },
    { ...cell, id: '' },
    { ...cell, evidence: [{ who: 'actor' }] },
  ])
    expect(validate({ ...(written(sampleResults([])) as object), cells: [wrong] })).toBe(false)
})

test('what the schema refuses the reader refuses, member by member', () => {
  // Each path is a member that the schema requires: taken away or made null, neither may accept it.
  const sample = () => structuredClone(written(sampleSweep(30, true))) as Record<string, unknown>
  const paths = [
    ...[
      'schema',
      'run',
      'summary',
      'cells',
      'run.started',
      'run.kernel',
      'run.kernel.release',
      'run.uid',
      'run.host',
    ],
    ...[
      'summary.pass',
      'summary.rules',
      'cells.3.id',
      'cells.3.rule',
      'cells.3.verdict',
      'cells.3.flags',
      'cells.3.arm',
    ],
    ...['cells.3.ms', 'cells.3.source', 'cells.3.file', 'cells.3.line', 'cells.3.place', 'run.capabilities'],
  ]
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.constantFrom('remove', 'null', 'object'), (path, how) => {
      const value = sample()
      const keys = path.split('.')
      const last = keys.pop() ?? ''
      const parent = keys.reduce<Record<string, unknown>>(
        (at, key) => at[key] as Record<string, unknown>,
        value,
      )
      if (how === 'remove') delete parent[last]
      else parent[last] = how === 'null' ? null : { odd: true }
      expect(validate(value)).toBe(false)
      expect(() => parseResults(JSON.stringify(value), 'x')).toThrow(UsageError)
    }),
    { numRuns: 200 },
  )
})
