import { describe, expect, test } from 'vitest'
import { sampleCell, sampleFailure, sampleResults, sampleSweep } from './sample.ts'
import { screenOf } from './screen.ts'
import { renderTerminal } from './terminal.ts'
import { wrap } from './wrap.ts'

const plain = { colour: false, width: 80, reportPaths: ['reports/latest/results.json'] }
const lastLines = (text: string): string => text.trimEnd().split('\n').slice(-2).join('\n')

test('fits 80 columns, in whatever language', () => {
  const odd = sampleFailure({
    title: 'ein Schlüssel '.repeat(20),
    reason: 'x'.repeat(300),
    observed: 'y'.repeat(200),
    area: 'an-area-with-a-long-name',
  })
  for (const results of [sampleSweep(5000, true), sampleResults([{ ...odd, byHand: [] }])])
    for (const line of renderTerminal(results, plain).split('\n'))
      expect(line.length, line).toBeLessThanOrEqual(80)
})

describe('the verdict', () => {
  test.each([
    ['CONFORMS: 1 cell passed', sampleResults([sampleCell()])],
    ['DOES NOT CONFORM: 1 rule broken in 1 cell', sampleResults([sampleFailure()])],
    [
      'HARNESS BROKE: 1 cell could not be judged',
      sampleResults([sampleCell({ verdict: 'error', reason: 'x' })]),
    ],
    [
      'NOTHING RAN: none of 1 cell applies here',
      sampleResults([sampleCell({ verdict: 'skip', reason: 'x' })]),
    ],
    ['RUN NOT FINISHED', sampleResults([sampleCell()], { unfinished: true })],
    ['NO RESULT', sampleResults([])],
    ['the run did not finish', sampleResults([sampleFailure()], { unfinished: true })],
  ])('%s', (words, results) => {
    expect(lastLines(renderTerminal(results, plain))).toContain(words)
  })
})

test('one defect is one proof, however many cells show it', () => {
  const text = renderTerminal(sampleSweep(5000, true), plain)
  expect(text.match(/^FAIL SVK-01/gm)).toHaveLength(1)
  expect(text).toContain('also in  35 more cells')
  expect(text).toContain('observer: msgget(0x1234abcd, 0) = 32769')
  expect(text).toContain('expected found fails with ENOENT')
  expect(text).toContain('unshare --ipc ipcs -q')
})

test('ids and made-up names do not make another finding', () => {
  const cells = ['clone', 'clone3', 'unshare'].map((via, place) =>
    sampleFailure({ via, observed: `queue ${place} /ipcns-x${place}y-${place}`, reason: `0x${place}f` }),
  )
  expect(renderTerminal(sampleResults(cells), plain)).toContain('also in  2 more cells')
})

test('many broken rules do not drown the summary', () => {
  const cells = Array.from({ length: 40 }, (_, place) => sampleFailure({ rule: `SVK-${place}` }))
  const text = renderTerminal(sampleResults(cells), plain)
  expect(text.match(/steps {4}1\./g)).toHaveLength(8)
  expect(text).toContain('32 more rules fail')
  expect(text.match(/^FAIL /gm)).toHaveLength(40)
})

test('each reason stands once with its count, known deviations by themselves', () => {
  const text = renderTerminal(sampleSweep(5000, true), plain)
  expect(text).toContain('  14  user namespaces are disabled here')
  expect(text.match(/user namespaces are disabled/g)).toHaveLength(1)
  expect(text).toContain('Known deviations (12 cells)')
  expect(text).toMatch(/26 skip · 12 known deviations · 12 error/)
})

test('the matrix counts every cell once', () => {
  for (const size of [500, 3000]) {
    const text = renderTerminal(sampleSweep(size), plain)
    const sums = [...text.matchAll(/^[A-Z]{3} .* (\d+)(?: (\d+)s)?$/gm)]
    expect(sums.reduce((sum, [, pass, skip]) => sum + Number(pass) + Number(skip ?? 0), 0)).toBe(size)
  }
})

test('every subset of seven flags fits, each cell in one column', () => {
  const flags = ['NEWIPC', 'NEWNS', 'NEWPID', 'NEWUTS', 'NEWUSER', 'NEWNET', 'NEWCGROUP']
  const cells = Array.from({ length: 128 }, (_, place) =>
    sampleCell({ flags: flags.filter((_, bit) => place & (1 << bit)) }),
  )
  const rows = renderTerminal(sampleResults(cells), plain).match(/^SVK .*$/gm) ?? []
  // Binomial coefficients of six: the flags beside NEWIPC.
  for (const row of rows) expect(row.split(/ +/)).toEqual(['SVK', '1', '6', '15', '20', '15', '6', '1', '64'])
  expect(rows).toHaveLength(2)
})

test('colour only when told, and never from what was tested', () => {
  const results = sampleResults([
    sampleFailure({ reason: '\u001b[2Jgone', observed: '\u001b]0;title\u0007x', via: '\u009b31mclone' }),
  ])
  const bare = renderTerminal(results, plain)
  for (const control of ['\u001b', '\u0007', '\u009b']) expect(bare).not.toContain(control)
  expect(renderTerminal(results, { ...plain, colour: true })).toContain('\u001b[')
  expect(renderTerminal(results, { ...plain, colour: true })).not.toContain('\u001b[2J')
})

test('colour follows NO_COLOR and the terminal', () => {
  expect(screenOf({ isTTY: true, columns: 100 }, {})).toEqual({ colour: true, width: 100 })
  expect(screenOf({ isTTY: true, columns: 300 }, { NO_COLOR: '1' })).toEqual({ colour: false, width: 120 })
  expect(screenOf({ isTTY: true }, { TERM: 'dumb' }).colour).toBe(false)
  expect(screenOf({}, {})).toEqual({ colour: false, width: 80 })
  expect(screenOf({}, { FORCE_COLOR: '1' }).colour).toBe(true)
})

test('wrapping loses no word', () => {
  const text = 'one two  three four-and-a-half five'
  expect(wrap(text, 15).join(' ').replace(/\s+/g, ' ')).toBe(text.replace(/\s+/g, ' '))
  expect(wrap('x'.repeat(30), 12, '  ')).toEqual([
    'x'.repeat(12),
    `  ${'x'.repeat(10)}`,
    `  ${'x'.repeat(8)}`,
  ])
  expect(wrap('', 12)).toEqual([''])
})
