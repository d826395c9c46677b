import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { CellResult, Results } from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { type ChangeKind, diffResults } from './diff.ts'
import { diffCommand } from './diff-command.ts'
import { renderDiffJson, renderDiffText } from './diff-render.ts'
import { textOf } from './files.ts'
import { reportCommand } from './report-command.ts'
import { sampleCell, sampleFailure, sampleResults, sampleSweep } from './sample.ts'
import { openRun } from './store.ts'

const pass = sampleCell()
const fail = sampleFailure()
const error = sampleCell({ verdict: 'error', reason: 'died' })
const skip = sampleCell({ verdict: 'skip', reason: 'not here' })
const known = sampleCell({ verdict: 'skip', reason: 'known deviation: x', known: { reference: 'B' } })

test.each<[string, CellResult | null, CellResult | null, ChangeKind | null, boolean]>([
  ['nothing', pass, pass, null, false],
  ['still failing', fail, fail, null, false],
  ['newly failing', pass, fail, 'newly-failing', true],
  ['failing after a skip', skip, fail, 'newly-failing', true],
  ['no longer known', known, fail, 'newly-failing', true],
  ['newly broken', pass, error, 'newly-broken', true],
  ['newly skipped', pass, skip, 'newly-skipped', true],
  ['skipped instead of failing', fail, skip, 'newly-skipped', false],
  ['newly known', pass, known, 'newly-known', true],
  ['known instead of failing', fail, known, 'newly-known', false],
  ['vanished', pass, null, 'vanished', true],
  ['vanished failing', fail, null, 'vanished', true],
  ['a skip that vanished', skip, null, 'vanished', false],
  ['repaired', fail, pass, 'newly-passing', false],
  ['appeared', null, pass, 'appeared', false],
  ['appeared skipped', null, skip, 'appeared', false],
  ['appeared failing', null, fail, 'appeared-failing', true],
  ['appeared broken', null, error, 'appeared-failing', true],
])('%s', (_, before, after, kind, worse) => {
  const other = sampleCell({ via: 'clone3' })
  const of = (cell: CellResult | null) => sampleResults(cell ? [cell, other] : [other])
  const diff = diffResults(of(before), of(after))
  expect(diff.changes.map((change) => change.kind)).toEqual(kind ? [kind] : [])
  expect(diff.worse).toBe(worse)
  expect(JSON.parse(textOf(renderDiffJson(diff))).worse).toBe(worse)
  const text = renderDiffText(diff, { colour: false, width: 80 })
  expect(/^WORSE/m.test(text)).toBe(worse)
  if (kind) expect(text).toContain(`${worse ? '- ' : ''}SVK-01`)
})

test('a later run that did not finish is worse', () => {
  expect(diffResults(sampleResults([pass]), sampleResults([pass], { unfinished: true })).worse).toBe(true)
})

test('changes that say the same are one line, within 80 columns', () => {
  const text = renderDiffText(diffResults(sampleSweep(1200), sampleSweep(1200, true)), {
    colour: false,
    width: 80,
  })
  expect(text.match(/^- SVK-01/gm)).toHaveLength(1)
  expect(text).toContain('newly failing (64)')
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
})

describe('on the command line', () => {
  let directory = ''
  let out = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ipcns-diff-'))
    out = ''
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      out += text
      return true
    })
    vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  })
  afterEach(() => {
    vi.restoreAllMocks()
    rmSync(directory, { recursive: true, force: true })
  })

  function save(name: string, results: Results): string {
    const path = join(directory, name)
    const run = openRun(path, results.run, results.cells)
    for (const cell of results.cells) run.add(cell)
    if (!results.run.unfinished) run.finish({ durationMs: results.run.durationMs })
    return path
  }

  test('diff exits 1 when worse, 0 when not, and throws for bad input', async () => {
    const [a, b] = [save('a', sampleResults([pass])), save('b', sampleResults([fail]))]
    expect(await diffCommand.run([a, b])).toBe(1)
    expect(out).toContain('newly failing (1)')
    expect(await diffCommand.run([b, join(a, 'results.json')])).toBe(0)
    out = ''
    expect(await diffCommand.run([a, b, '--json', '--html', join(directory, 'd.html')])).toBe(1)
    expect(JSON.parse(out)).toMatchObject({
      schema: 'ipcns-diff/1',
      worse: true,
      counts: { 'newly-failing': 1 },
    })
    expect(readFileSync(join(directory, 'd.html'), 'utf8')).toContain('Comparison: WORSE')
    for (const words of [
      [a],
      [a, b, a],
      [a, b, '--json', '--text'],
      [a, join(directory, 'no')],
      [a, b, '--no'],
    ])
      await expect(diffCommand.run(words)).rejects.toThrow(UsageError)
  })

  test('report writes beside the results, or where told, or prints', async () => {
    const path = save('a', sampleSweep(200, true))
    expect(await reportCommand.run([path])).toBe(0)
    expect(out).toContain('DOES NOT CONFORM')
    out = ''
    expect(
      await reportCommand.run([path, '--html', '--report', 'ktap,html', '--out', join(directory, 'x/y')]),
    ).toBe(0)
    expect(out).toBe(`${join(directory, 'x/y/report.html')}\n${join(directory, 'x/y/results.ktap')}\n`)
    out = ''
    expect(await reportCommand.run([join(path, 'results.json'), '--ktap', '--out', '-'])).toBe(0)
    expect(out).toMatch(/^KTAP version 1\n/)
    expect(await reportCommand.run([path, '--report', 'all', '--status'])).toBe(1)
    for (const words of [
      [],
      [path, path],
      [path, '--report', 'pdf'],
      [path, '--out', '-'].concat('--html', '--ktap'),
      [directory],
    ])
      await expect(reportCommand.run(words)).rejects.toThrow(UsageError)
  })

  test('report of a run that died says so', async () => {
    const path = save('a', sampleResults([pass], { unfinished: true }))
    expect(await reportCommand.run([path, '--status'])).toBe(2)
    expect(out).toContain('RUN NOT FINISHED')
    expect(process.stderr.write).toHaveBeenCalledWith(expect.stringContaining('did not finish'))
  })
})
