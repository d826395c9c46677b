import type { CellResult, Results } from '../harness/results/model.ts'
import { byRule, type RuleResult, remarksOf, slug } from './by-rule.ts'
import { cleanLine } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import { headlineOf } from './proof.ts'
import { type State, stateOf } from './states.ts'

/** How tmt calls a state; a known deviation is an information with a note. */
const RESULTS: Readonly<Record<State, string>> = {
  pass: 'pass',
  fail: 'fail',
  error: 'error',
  known: 'info',
  skip: 'skip',
}

/**
 * results.json for a tmt test with `result: custom` (tmt/schemas/results.yaml): one result a rule, its cells
 * as subresults, reasons as notes. Copy it to `$TMT_TEST_DATA/results.json`.
 */
export function* renderTmt(results: Results): Generator<string> {
  const gate = gateReason(results)
  let separator = '[\n'
  const entry = (value: unknown): string => {
    const text = separator + JSON.stringify(value)
    separator = ',\n'
    return text
  }
  if (gate !== null)
    yield entry({ name: '/run', result: 'error', note: [`${GATE_TITLE}: ${gate}`], duration: '00:00:00' })
  for (const rule of byRule(results.cells)) yield entry(ruleEntry(rule))
  yield separator === '[\n' ? '[]\n' : '\n]\n'
}

function ruleEntry(rule: RuleResult): unknown {
  return {
    name: `/${slug(rule.area)}/${slug(rule.rule)}`,
    result: RESULTS[rule.state],
    note: [cleanLine(rule.title), ...remarksOf(rule)],
    duration: durationOf(rule.ms),
    subresult: rule.cells.map(subresult),
  }
}

function subresult(cell: CellResult): unknown {
  return {
    name: `/${cleanLine(cell.id)}`,
    result: RESULTS[stateOf(cell)],
    ...(cell.verdict === 'pass' ? {} : { note: [headlineOf(cell)] }),
    duration: durationOf(cell.ms),
  }
}

/** `hh:mm:ss`, rounded up so that nothing that ran took no time. */
function durationOf(ms: number): string {
  const seconds = Math.ceil(Math.max(0, ms) / 1000)
  const two = (number: number): string => String(number).padStart(2, '0')
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}
