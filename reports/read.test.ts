import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { judge } from '../harness/results/judge.ts'
import type { Results } from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { CELL_LOG } from './cell-log.ts'
import { textOf } from './files.ts'
import { parseResults, readResults } from './read.ts'
import { renderResultsJson } from './results-json.ts'
import { sampleCell, sampleFailure, sampleResults, sampleSweep } from './sample.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ipcns-read-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const good = sampleResults([sampleCell(), sampleFailure({ via: 'clone3' })])
const textOfGood = textOf(renderResultsJson(good))

/** The file with these members put over it. */
function changed(over: Record<string, unknown>): string {
  return JSON.stringify({ ...JSON.parse(textOfGood), ...over })
}

test('what was written is read back', () => {
  for (const results of [good, sampleSweep(300, true), sampleResults([])])
    expect(parseResults(textOf(renderResultsJson(results)), 'x')).toEqual(results)
})

describe('what cannot be read says why', () => {
  test.each<[string, string, string]>([
    ['empty', '', 'x is empty'],
    ['no JSON', 'hello', 'x is not JSON'],
    ['cut off', textOfGood.slice(0, 700), 'x is half-written: it ends after 700 characters'],
    ['no object', '[]', 'x has no "schema"'],
    ['other JSON', '{"a": 1}', 'x has no "schema"'],
    ['a foreign schema', changed({ schema: 'other/1' }), 'x has the schema "other/1"'],
    ['a newer schema', changed({ schema: 'ipcns-results/2' }), 'x was written by a newer ipcns'],
    ['an older schema', changed({ schema: 'ipcns-results/0' }), 'x was written by an older ipcns'],
    [
      'lost cells',
      changed({ cells: [sampleCell()] }),
      'x is damaged: its summary counts 1 fail, its cells 0',
    ],
    ['a cell twice', changed({ cells: [sampleCell(), sampleCell()] }), 'is there twice'],
    ['a verdict of no kind', changed({ cells: [{ ...sampleCell(), verdict: 'ok' }] }), 'cells.0.verdict'],
    [
      'a pass that is known',
      changed({ cells: [sampleCell({ known: { reference: 'B' } })] }),
      'yet its verdict is pass',
    ],
  ])('%s', (_, text, message) => {
    expect(() => parseResults(text, 'x')).toThrow(UsageError)
    expect(() => parseResults(text, 'x')).toThrow(message)
  })

  test('a missing file or directory', () => {
    expect(() => readResults(join(directory, 'nothing'))).toThrow('there is no ')
    expect(() => readResults(directory)).toThrow('there is no ')
  })
})

test('members of a later version are left out', () => {
  const text = changed({ later: 1, cells: good.cells.map((cell) => ({ ...cell, later: { deep: true } })) })
  expect(parseResults(text, 'x')).toEqual(good)
})

test('a file cut off anywhere is an error, never green', () => {
  const green = textOf(renderResultsJson(sampleResults([sampleCell(), sampleCell({ via: 'Ünï ☃ 𝄞' })])))
  fc.assert(
    fc.property(fc.nat(green.trimEnd().length - 1), (length) => {
      expect(() => parseResults(green.slice(0, length), 'x')).toThrow(UsageError)
    }),
    { numRuns: 300 },
  )
})

describe('the log of a run that died', () => {
  const { cells } = sampleSweep(40)
  const unfinished = sampleResults(
    cells.map(({ evidence: _, ...cell }) => ({ ...cell, verdict: 'error', reason: 'never ran' })),
    { unfinished: true },
  )
  const log = [{ started: unfinished.run.started }, ...cells]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('')

  /** Puts both files there and reads them. */
  function read(logText: string | Buffer, results: Results = unfinished): Results {
    writeFileSync(join(directory, 'results.json'), textOf(renderResultsJson(results)))
    writeFileSync(join(directory, CELL_LOG), logText)
    return readResults(directory)
  }

  test('is put over its results, and the run stays unfinished', () => {
    const results = read(log)
    expect(results.summary).toMatchObject({ pass: 40, error: 0 })
    expect(judge(results).status).toBe(2)
  })

  test('cut off at any byte counts whole lines only and is never green', () => {
    const bytes = Buffer.from(log)
    fc.assert(
      fc.property(fc.nat(bytes.length), (length) => {
        const results = read(bytes.subarray(0, length))
        const lines = bytes.subarray(0, length).toString('latin1').split('\n').length - 1
        expect(results.summary.pass).toBe(Math.max(0, lines - 1))
        expect(results.cells).toHaveLength(40)
        expect(judge(results).status).toBe(2)
      }),
      { numRuns: 150 },
    )
  })

  test('of another run is not believed', () => {
    const other = log.replace(unfinished.run.started, '2020-01-01T00:00:00.000Z')
    expect(read(other).summary).toMatchObject({ pass: 0, error: 40 })
  })

  test('beside a finished run is not looked at', () => {
    expect(read(log, good)).toEqual(good)
  })
})
