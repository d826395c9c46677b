import type { CellResult } from '../harness/results/model.ts'
import { areasOf } from './areas.ts'
import { cleanLine } from './clean.ts'
import { headlineOf, proofOf } from './proof.ts'
import { type State, stateOf, type Tally, tallyOf, worstOf } from './states.ts'

/** A rule with all its cells, for formats whose unit is a test and not a cell. */
export interface RuleResult {
  rule: string
  area: string
  title: string
  cells: CellResult[]
  tally: Tally
  /** The worst of its cells: one failing cell fails the rule. */
  state: State
  /** Sum of the cells' times in milliseconds. */
  ms: number
}

/** The rules of a run: areas in the catalogue's order, rules in the order of the plan. */
export function byRule(cells: readonly CellResult[]): RuleResult[] {
  const rules = new Map<string, CellResult[]>()
  for (const cell of cells) {
    const list = rules.get(cell.rule)
    if (list) list.push(cell)
    else rules.set(cell.rule, [cell])
  }
  const results = [...rules.entries()].map(([rule, list]): RuleResult => {
    const tally = tallyOf(list)
    return {
      rule,
      area: list[0]?.area ?? '',
      title: list[0]?.title ?? '',
      cells: list,
      tally,
      state: worstOf(tally),
      ms: list.reduce((sum, cell) => sum + cell.ms, 0),
    }
  })
  return areasOf(cells).flatMap((area) => results.filter((result) => result.area === area))
}

/** The distinct headlines of a rule's cells that did not pass, each with its count; at most `limit`. */
export function remarksOf({ cells }: RuleResult, limit = 10): string[] {
  const counts = new Map<string, number>()
  for (const cell of cells) {
    if (cell.verdict === 'pass') continue
    const remark = `${stateOf(cell)}: ${headlineOf(cell)}`
    counts.set(remark, (counts.get(remark) ?? 0) + 1)
  }
  const all = [...counts].map(([remark, number]) => (number > 1 ? `${remark} (${number} cells)` : remark))
  return all.length > limit ? [...all.slice(0, limit), `… and ${all.length - limit} more`] : all
}

/** What a log of the rule says: its sentence, its remarks, and the proof of its worst cell. */
export function logOf(result: RuleResult): string {
  const worst = result.cells.find((cell) => stateOf(cell) === result.state)
  const proof =
    worst && worst.verdict !== 'pass'
      ? [
          '',
          worst.id,
          ...proofOf(worst).flatMap(({ name, lines }) => [`${name}:`, ...lines.map((line) => `  ${line}`)]),
        ]
      : []
  return [result.title, ...remarksOf(result), ...proof]
    .map((line) => line.replace(/\t/g, ' '))
    .map(trimEnd)
    .join('\n')
}

/** `svk.SVK-01`-like words: everything but letters, digits, `_` and `-` becomes `_`. */
export function slug(text: string): string {
  return cleanLine(text).replace(/[^A-Za-z0-9_-]+/g, '_') || '_'
}

function trimEnd(line: string): string {
  return cleanLine(line) === '' ? '' : line.replace(/\s+$/, '')
}
