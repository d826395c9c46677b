import type { CellResult, Results } from '../harness/results/model.ts'
import { byRule, type RuleResult } from './by-rule.ts'
import { cleanLine } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import { headlineOf, proofOf } from './proof.ts'
import { type State, stateOf } from './states.ts'

/**
 * KTAP version 1 (Documentation/dev-tools/ktap.rst): areas, in them rules, in them cells. Skip reasons are
 * the constant ones of the cells; an error is `not ok` with the directive ERROR.
 */
export function* renderKtap(results: Results): Generator<string> {
  const { run } = results
  const rules = byRule(results.cells)
  const areas = [...new Set(rules.map((rule) => rule.area))]
  const gate = gateReason(results)
  yield `KTAP version 1\n1..${areas.length + (gate === null ? 0 : 1)}\n`
  yield `# ${cleanLine(`ipcns ${run.suiteVersion}, Linux ${run.kernel.release} ${run.kernel.arch}, profile ${run.profile}`)}\n`
  let number = 0
  if (gate !== null) yield `not ok ${++number} run # ERROR ${nameOf(GATE_TITLE)}: ${gate}\n`
  for (const area of areas) {
    const inArea = rules.filter((rule) => rule.area === area)
    yield* areaLines(area, inArea)
    yield `${line(++number, area, stateOfAll(inArea), 'see its rules')}\n`
  }
}

function* areaLines(area: string, rules: readonly RuleResult[]): Generator<string> {
  yield `  KTAP version 1\n  # Subtest: ${nameOf(area)}\n  1..${rules.length}\n`
  for (const [place, rule] of rules.entries()) {
    yield `    KTAP version 1\n    # Subtest: ${nameOf(rule.rule)}\n    # ${cleanLine(rule.title)}\n`
    yield `    1..${rule.cells.length}\n`
    for (const [index, cell] of rule.cells.entries()) yield cellLines(index + 1, cell)
    yield `  ${line(place + 1, rule.rule, rule.state, onlyReason(rule))}\n`
  }
}

function cellLines(number: number, cell: CellResult): string {
  const reason = headlineOf(cell)
  const result = `    ${line(number, cell.id, stateOf(cell), reason)}\n`
  if (cell.verdict !== 'fail' && cell.verdict !== 'error') return result
  const proof = proofOf(cell).flatMap(({ name, lines }) =>
    lines.map((text) => `    # ${name}: ${cleanLine(text)}\n`),
  )
  return proof.join('') + result
}

/** `ok 3 name # SKIP reason`. */
function line(number: number, name: string, state: State, reason = ''): string {
  const directive = {
    pass: '',
    fail: '',
    error: ` # ERROR ${reason}`,
    skip: ` # SKIP ${reason}`,
    known: ` # SKIP ${reason}`,
  }[state]
  const word = state === 'fail' || state === 'error' ? 'not ok' : 'ok'
  return `${word} ${number} ${nameOf(name)}${directive.trimEnd()}`
}

/** A skip reason that all cells of a rule share; else how many differ is in the cells. */
function onlyReason(rule: RuleResult): string {
  const reasons = new Set(rule.cells.filter((cell) => cell.verdict !== 'pass').map(headlineOf))
  return reasons.size === 1 ? [...reasons].join('') : 'see its cells'
}

/** Unlike a rule's: one known deviation does not make a SKIP of an area in which other rules passed. */
function stateOfAll(rules: readonly RuleResult[]): State {
  const order: readonly State[] = ['fail', 'error', 'pass', 'known', 'skip']
  return order.find((state) => rules.some((rule) => rule.state === state)) ?? 'skip'
}

/** A `#` would begin a directive. */
function nameOf(text: string): string {
  return cleanLine(text).replaceAll('#', '_') || 'unnamed'
}
