import { createHash } from 'node:crypto'
import { Eta } from 'eta'
import { count, judge } from '../harness/results/judge.ts'
import type { CellResult, Results } from '../harness/results/model.ts'
import { areasOf, areaTitle } from './areas.ts'
import { asset } from './asset.ts'
import { byRule } from './by-rule.ts'
import { clean, cleanLine } from './clean.ts'
import { flagLabel, waysAndFlags } from './flag-sets.ts'
import { errorReasons, groupCells, knownDeviations, type Reason, skipReasons } from './group.ts'
import { type Comparison, comparisonView } from './html-comparison.ts'
import { flagSetsOf, Packer } from './html-data.ts'
import { pageMatrix, partsOf } from './html-matrix.ts'
import { type ProofPart, proofOf } from './proof.ts'
import { SIGNS, STATES, type State, tallyOf } from './states.ts'

/**
 * One self-contained HTML page: verdict, findings, matrix, rules, skip reasons, machine; with `baseline` also
 * what changed since that run. Nothing is loaded from anywhere; a content security policy forbids it.
 */
export function renderHtml(results: Results, baseline?: Results): string {
  const { run, cells } = results
  const style = asset('html/style.css')
  const script = asset('html/client.js')
  const judgement = judge(results)
  const packer = new Packer(cells)
  const findings = findingsOf(cells, packer)
  const skips = skipReasons(cells)
  const comparison: Comparison | null = baseline ? comparisonView(baseline, results) : null
  const links = [
    ...(comparison ? [{ id: 'comparison', text: 'Comparison' }] : []),
    ...(findings.length > 0 ? [{ id: 'findings', text: `Findings (${findings.length})` }] : []),
    { id: 'matrix', text: 'Matrix' },
    { id: 'rules', text: `Rules (${results.summary.rules})` },
    ...(skips.length > 0 ? [{ id: 'skips', text: 'Skip reasons' }] : []),
    { id: 'machine', text: 'Machine' },
  ]
  const signs = { conforms: '✓', nonconforming: '✗', broken: '!', 'nothing-ran': '–' }
  return new Eta({ autoTrim: false }).renderString(asset('html/page.eta'), {
    policy: `default-src 'none'; img-src data:; style-src '${hashOf(style)}'; script-src '${hashOf(script)}'; base-uri 'none'; form-action 'none'`,
    style,
    script,
    data: packer.toJson(),
    run,
    judgement,
    sign: signs[judgement.conclusion],
    chips: chipsOf(results),
    seconds: (run.durationMs / 1000).toFixed(1),
    links,
    comparison,
    findings,
    matrix: pageMatrix(cells),
    areas: areasView(cells, packer),
    vias: [...new Set(cells.map((cell) => clean(cell.via)))],
    flagSets: flagSetsOf(cells).map((set, index) => ({ index, label: flagLabel(set) })),
    legend: [
      ...STATES.map((state) => ({ state, sign: SIGNS[state], word: state })),
      { state: 'empty', sign: '·', word: 'no cell' },
    ],
    skips: skips.map((skip) => ({
      count: skip.cells.length,
      reason: cleanLine(skip.reason),
      rules: rulesOf(skip.cells, 12),
    })),
    machine: machineOf(results),
  })
}

/** One thing that is wrong, as a card of the page. */
interface Finding {
  state: State
  sign: string
  css: string
  rule: string
  title: string
  cells: string
  evidence: number
  parts: ProofPart[]
}

/** Failures, then errors, then known deviations; what says the same stands once. */
function findingsOf(cells: readonly CellResult[], packer: Packer): Finding[] {
  const finding = (state: State, first: CellResult, all: readonly CellResult[]): Finding => ({
    state,
    sign: SIGNS[state],
    css: state === 'fail' ? 'finding' : `finding-${state}`,
    rule: clean(first.rule),
    title: cleanLine(first.title),
    cells: cellsText(all),
    evidence: packer.evidenceIndex(first),
    parts: proofOf(first).filter(
      ({ name }) => name !== 'reason' || state !== 'fail' || !(first.expected || first.observed),
    ),
  })
  const ofReasons = (state: State, list: readonly Reason[]): Finding[] =>
    list.flatMap(({ cells: [first, ...rest] }) => (first ? [finding(state, first, [first, ...rest])] : []))
  return [
    ...groupCells(cells, 'fail').map((group) => finding('fail', group.first, group.cells)),
    ...ofReasons('error', errorReasons(cells)),
    ...ofReasons('known', knownDeviations(cells)),
  ]
}

/** How many cells, of which rules, by which ways in, with which flags. */
function cellsText(cells: readonly CellResult[]): string {
  const rules = new Set(cells.map((cell) => cell.rule)).size > 1 ? ` of ${rulesOf(cells, 8)}` : ''
  return `${count(cells.length, 'cell')}${rules}: ${waysAndFlags(cells, 8)}`
}

function rulesOf(cells: readonly CellResult[], limit: number): string {
  const rules = [...new Set(cells.map((cell) => clean(cell.rule)))]
  return rules.length > limit
    ? `${rules.slice(0, limit).join(', ')}, … (${count(rules.length, 'rule')})`
    : rules.join(', ')
}

function chipsOf({ cells, summary }: Results): { state: State | 'dim'; sign: string; text: string }[] {
  const tally = tallyOf(cells)
  const always: readonly State[] = ['pass', 'fail', 'skip', 'error']
  const order: readonly State[] = ['pass', 'fail', 'error', 'known', 'skip']
  return [
    ...order
      .filter((state) => tally[state] > 0 || always.includes(state))
      .map((state) => ({
        state,
        sign: SIGNS[state],
        text: state === 'known' ? count(tally.known, 'known deviation') : `${tally[state]} ${state}`,
      })),
    { state: 'dim' as const, sign: '§', text: count(summary.rules, 'rule') },
  ]
}

function areasView(cells: readonly CellResult[], packer: Packer) {
  const rules = byRule(cells)
  return areasOf(cells).map((area) => ({
    area: clean(area),
    name: clean(area).toUpperCase(),
    title: cleanLine(areaTitle(area)),
    rules: rules
      .filter((rule) => rule.area === area)
      .map(({ rule, title, state, tally }) => ({
        id: clean(rule),
        index: packer.ruleIndex(rule),
        title: cleanLine(title),
        state,
        sign: SIGNS[state],
        parts: partsOf(tally),
      })),
  }))
}

function machineOf({ run }: Results): { name: string; value: string }[] {
  const { kernel } = run
  return [
    { name: 'Kernel', value: `Linux ${kernel.release}` },
    { name: 'Architecture', value: kernel.arch },
    { name: 'Kernel config', value: kernel.config?.source ?? 'not found' },
    ...(kernel.config ? [{ name: 'Config SHA-256', value: kernel.config.sha256 }] : []),
    { name: 'User id', value: String(run.uid) },
    { name: 'Capabilities', value: run.capabilities.join(' ') || 'none' },
    { name: 'Profile', value: run.profile },
    { name: 'ipcns', value: run.suiteVersion },
    { name: 'Node', value: run.node },
    { name: 'Started', value: run.started },
    { name: 'Duration', value: `${run.durationMs} ms` },
    ...(run.host ? [{ name: 'Host', value: run.host }] : []),
  ].map(({ name, value }) => ({ name, value: cleanLine(value) }))
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
