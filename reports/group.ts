import type { CellResult, Verdict } from '../harness/results/model.ts'

/** Cells of one rule that say the same; the first stands for all. */
export interface Group {
  rule: string
  verdict: Verdict
  first: CellResult
  cells: CellResult[]
}

/**
 * Groups the cells of a verdict by rule, arm and what was seen, so that one defect reads as one finding.
 * Numbers (ids, pids, inodes) and made-up names do not tell two groups apart.
 */
export function groupCells(cells: readonly CellResult[], verdict: Verdict): Group[] {
  const groups = new Map<string, Group>()
  for (const cell of cells) {
    if (cell.verdict !== verdict || cell.known) continue
    const key = JSON.stringify([
      cell.rule,
      cell.arm,
      alike(cell.reason),
      alike(cell.expected),
      alike(cell.observed),
    ])
    const group = groups.get(key)
    if (group) group.cells.push(cell)
    else groups.set(key, { rule: cell.rule, verdict, first: cell, cells: [cell] })
  }
  return [...groups.values()]
}

/** A skip reason or known deviation, and the cells that have it. */
export interface Reason {
  reason: string
  cells: CellResult[]
}

/** Each skip reason once, the most frequent first; known deviations are not among them. */
export function skipReasons(cells: readonly CellResult[]): Reason[] {
  return byReason(cells.filter((cell) => cell.verdict === 'skip' && !cell.known))
}

/** Each known deviation once, by rule and reference. */
export function knownDeviations(cells: readonly CellResult[]): Reason[] {
  return byReason(
    cells.filter((cell) => cell.known),
    knownText,
  )
}

/** Errors, each reason once. */
export function errorReasons(cells: readonly CellResult[]): Reason[] {
  return byReason(cells.filter((cell) => cell.verdict === 'error'))
}

/** The rule and its reason; the reference as well, unless the reason has it already. */
function knownText({ rule, reason = 'known deviation', known }: CellResult): string {
  const reference = known && !reason.includes(known.reference) ? ` (${known.reference})` : ''
  return `${rule}: ${reason}${reference}`
}

function byReason(
  cells: readonly CellResult[],
  text: (cell: CellResult) => string = (cell) => cell.reason ?? 'no reason given',
): Reason[] {
  const reasons = new Map<string, Reason>()
  for (const cell of cells) {
    const reason = text(cell)
    const entry = reasons.get(reason)
    if (entry) entry.cells.push(cell)
    else reasons.set(reason, { reason, cells: [cell] })
  }
  // The sort is stable: of equal counts the first in the plan's order comes first.
  return [...reasons.values()].sort((a, b) => b.cells.length - a.cells.length)
}

function alike(text: string | undefined): string {
  // Names that the harness makes up begin with ipcns-.
  return (text ?? '').replace(/ipcns-[\w-]+|0x[0-9a-f]+|\d+/gi, '#')
}
