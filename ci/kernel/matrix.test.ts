import { XMLParser } from 'fast-xml-parser'
import { describe, expect, test } from 'vitest'
import type { CellResult, Results, Verdict } from '../../harness/results/model.ts'
import { RESULTS_SCHEMA, summarize } from '../../harness/results/model.ts'
import { UsageError } from '../../harness/usage-error.ts'
import { textOf } from '../../reports/files.ts'
import { renderJunit } from '../../reports/junit.ts'
import { parseConfig } from '../kconfig/parse.ts'
import type { Prediction } from '../kconfig/predict.ts'
import { disagreementsOf } from './agree.ts'
import { readMatrixWords } from './matrix-command.ts'
import { renderMatrixHtml } from './matrix-html.ts'
import { matrixKernel } from './matrix-kernels.ts'
import type { Guest, GuestResults, Matrix } from './matrix-model.ts'
import { matrixStatus, mergeMatrix } from './matrix-model.ts'
import { matrixResults } from './matrix-results.ts'
import { renderMatrixText } from './matrix-text.ts'

const ABOUT = { started: '2026-01-02T03:04:05.000Z', seconds: 7, profile: 'quick' }

function cell(rule: string, verdict: Verdict, more: Partial<CellResult> = {}): CellResult {
  return {
    id: `${rule}/${more.via ?? 'clone'}`,
    rule,
    area: rule.slice(0, 3).toLowerCase(),
    title: `says ${rule} <&>`,
    source: ['x(7)'],
    arm: 'treatment',
    place: 'stranger',
    direction: 'nested',
    via: 'clone',
    flags: ['NEWIPC'],
    verdict,
    ...(verdict === 'pass' ? {} : { reason: 'because' }),
    ms: 1,
    file: 'suites/x.ts',
    line: 1,
    ...more,
  }
}

function guest(config: string, cells: CellResult[] | null, more: Partial<Guest> = {}): GuestResults {
  const results: Results | null = cells && {
    schema: RESULTS_SCHEMA,
    run: {
      started: ABOUT.started,
      durationMs: 5,
      profile: 'quick',
      suiteVersion: '1',
      node: '20',
      kernel: { release: '6.1', arch: 'x64', config: null },
      uid: 0,
      capabilities: [],
      host: '',
    },
    summary: summarize(cells),
    cells,
  }
  return {
    guest: {
      id: `6.1/${config}`,
      kernel: '6.1',
      config,
      state: cells ? 'ran' : 'broken',
      reason: cells ? '' : 'it died <at once>',
      release: cells ? '6.1.5' : '',
      seconds: 1.5,
      summary: results?.summary ?? null,
      disagreements: cells ? [] : null,
      ...more,
    },
    results,
  }
}

const good = guest('full', [
  cell('SVK-01', 'pass'),
  cell('SVK-01', 'skip', { via: 'unshare' }),
  cell('MQN-01', 'pass'),
])
const lacking = guest('no-sysvipc', [cell('SVK-01', 'skip'), cell('MQN-01', 'pass')])

function merged(...guests: GuestResults[]): Matrix {
  return mergeMatrix(guests, ABOUT)
}

describe('a merged matrix', () => {
  test('has each rule once with the worst of its cells in each guest', () => {
    const failing = guest('odd', [
      cell('SVK-01', 'pass'),
      cell('SVK-01', 'fail', { via: 'unshare' }),
      cell('NSI-01', 'pass'),
    ])
    expect(merged(good, lacking, failing, guest('dead', null)).rules).toEqual([
      { rule: 'SVK-01', title: 'says SVK-01 <&>', states: ['pass', 'skip', 'fail', null] },
      { rule: 'MQN-01', title: 'says MQN-01 <&>', states: ['pass', 'pass', null, null] },
      { rule: 'NSI-01', title: 'says NSI-01 <&>', states: [null, null, 'pass', null] },
    ])
  })

  test.each([
    ['all is well', [good, lacking], 0],
    ['a configuration cannot be had', [good, guest('x', null, { state: 'left-out' })], 0],
    ['a cell failed', [good, guest('x', [cell('A-1', 'fail')])], 1],
    ['a cell failed and a guest died', [guest('x', [cell('A-1', 'fail')]), guest('y', null)], 1],
    [
      'a prediction failed',
      [guest('x', [cell('A-1', 'pass')], { disagreements: [{ rule: 'A-1', predicted: '', seen: '' }] })],
      1,
    ],
    ['a guest died', [good, guest('y', null)], 2],
    ['a cell erred', [guest('x', [cell('A-1', 'error')])], 2],
    ['nothing ran', [guest('x', [cell('A-1', 'skip')])], 77],
    ['there is nothing', [], 77],
  ])('when %s ends with the status for it', (_, guests, status) => {
    expect(matrixStatus(merged(...guests))).toBe(status)
  })

  test('is shown as text: the guests, what differs, what was not predicted, what did not run', () => {
    const odd = guest('odd', [cell('SVK-01', 'pass')], {
      disagreements: [{ rule: 'SVK-01', predicted: 'skip: P', seen: 'pass: S' }],
    })
    const text = renderMatrixText(merged(good, lacking, odd, guest('dead', null)))
    expect(text).toMatch(/6\.1\s+│ full\s+│ 6\.1\.5\s+│\s+2 │\s+0 │\s+1 │\s+0 │ agrees/)
    expect(text).toContain('SVK-01 │ ✓ │ – │ ✓ │   │')
    expect(text).toContain('6.1/odd SVK-01\n    predicted skip: P\n    seen      pass: S')
    expect(text).toContain('6.1/dead: it died <at once>')
    expect(renderMatrixText(merged(good, good))).toContain('Every rule came to the same')
  })

  test('is shown as a page that loads nothing and escapes everything', () => {
    const html = renderMatrixHtml(merged(good, lacking, guest('dead', null)))
    expect(html).toContain('it died &lt;at once&gt;')
    expect(html).toContain('says SVK-01 &lt;&amp;&gt;')
    expect(html).not.toMatch(/(src|href)="(?!data:,)/)
    expect(html).toContain('default-src &#39;none&#39;')
  })

  test('is one run for every other report: areas by guest, disagreements as failures, the dead as errors', () => {
    const odd = guest('odd', [cell('SVK-01', 'pass')], {
      disagreements: [{ rule: 'SVK-01', predicted: 'skip', seen: 'pass' }],
    })
    const guests = [good, odd, guest('dead', null), guest('none', null, { state: 'left-out' })]
    const results = matrixResults(guests, merged(...guests))
    expect(results.summary).toMatchObject({ pass: 3, fail: 1, skip: 2, error: 1 })
    expect(new Set(results.cells.map(({ id }) => id)).size).toBe(results.cells.length)
    const xml = new XMLParser({ ignoreAttributes: false }).parse(textOf(renderJunit(results)))
    const suites = xml.testsuites.testsuite as { '@_name': string }[]
    expect(suites.map((suite) => suite['@_name'])).toEqual(
      expect.arrayContaining(['6-1-full-svk', '6-1-full-mqn', '6-1-odd-kconfig', '6-1-dead-kconfig']),
    )
  })
})

describe('a prediction', () => {
  const { config } = parseConfig('CONFIG_SYSVIPC=y\n# CONFIG_POSIX_MQUEUE is not set\n')
  const requirements = [
    { name: 'SYSVIPC', reason: 'no System V', kconfig: 'CONFIG_SYSVIPC' },
    { name: 'POSIX_MQUEUE', reason: 'no queues', kconfig: 'CONFIG_POSIX_MQUEUE' },
    { name: 'clone3', reason: 'no clone3' },
  ]
  const predict = (outcome: Prediction['outcome']): Prediction[] => [
    { id: 'R-1', title: '', outcome, unmet: [], undecided: [], reason: outcome === 'run' ? '' : 'why' },
  ]
  const check = (outcome: Prediction['outcome'], ...cells: CellResult[]): string[] =>
    disagreementsOf(cells, predict(outcome), { ...config, complete: true }, requirements).map(
      ({ seen }) => seen,
    )

  test('to run agrees with any cell that ran, and with skips that no configuration decides', () => {
    expect(check('run', cell('R-1', 'pass'), cell('R-1', 'skip', { via: 'x', reason: 'no clone3' }))).toEqual(
      [],
    )
    expect(check('run', cell('R-1', 'fail'))).toEqual([])
    expect(check('run', cell('R-1', 'skip', { reason: 'no clone3' }))).toEqual([])
    expect(check('run', cell('R-1', 'skip', { reason: 'something else' }))).toEqual([])
    expect(check('run')).toEqual([])
  })

  test('to run disagrees with skips that the configuration decides', () => {
    expect(check('run', cell('R-1', 'skip', { reason: 'no queues' }))).toEqual(['skip: no queues'])
  })

  test('to skip disagrees with any cell that ran', () => {
    expect(check('skip', cell('R-1', 'skip', { reason: 'no queues' }))).toEqual([])
    expect(
      check('skip', cell('R-1', 'skip', { reason: 'no queues' }), cell('R-1', 'pass', { via: 'x' })),
    ).toEqual(['pass: R-1/x'])
    expect(check('skip', cell('R-1', 'error'))).toEqual(['error: R-1/clone'])
  })

  test('never agrees with a skip for what the configuration has, once for each rule and reason', () => {
    const skip = cell('R-1', 'skip', { reason: 'no System V' })
    expect(check('run', cell('R-1', 'pass', { via: 'x' }), skip, { ...skip, id: 'other' })).toEqual([
      'skip: no System V',
    ])
  })
})

describe('the words after matrix', () => {
  test('have defaults that show every kernel and configuration', () => {
    const request = readMatrixWords([])
    expect(request.kernels.map(({ name }) => name)).toEqual(['5.10', '6.1', '6.12', 'newest'])
    expect(request.configs).toContain('no-ipc-ns')
    expect(request.profile).toBe('quick')
  })

  test('choose', () => {
    const words = [
      '--kernels',
      '6.1, stock-6.12,linux-source-7.3@sid',
      '--configs=full',
      '--rule',
      'SVK-*',
      '--jobs',
      '3',
      '--out',
      '/o',
    ]
    const request = readMatrixWords(words)
    expect(request.kernels.map(({ name }) => name)).toEqual(['6.1', 'stock-6.12', 'linux-source-7.3-sid'])
    expect(request).toMatchObject({ configs: ['full'], jobs: 3, out: '/o', more: ['--rule', 'SVK-*'] })
  })

  test.each([
    [['--kernels', 'nothing'], /no kernel "nothing".*5\.10/],
    [['--kernels', ','], /empty/],
    [['--configs', 'none-such'], /no configuration "none-such"/],
    [['--configs', 'full,full'], /named twice/],
    [['--jobs=-1'], /greater than 0/],
    [['--profile', 'huge'], /unknown profile "huge"/],
    [['6.1'], /Unexpected argument/],
  ])('%j are refused in one sentence', (words, sentence) => {
    expect(() => readMatrixWords(words)).toThrow(UsageError)
    expect(() => readMatrixWords(words)).toThrow(sentence)
  })

  test('a path becomes a name for a directory', () => {
    expect(matrixKernel('./ci').name).toBe('ci')
    expect(matrixKernel('/usr/src').name).toBe('usr-src')
  })
})
