import type { CellResult, Results, Summary } from '../../harness/results/model.ts'
import { byRule } from '../../reports/by-rule.ts'
import type { State } from '../../reports/states.ts'

/** Name of the schema that this version writes. */
export const MATRIX_SCHEMA = 'ipcns-matrix/1'

/** Where a prediction from the configuration and the suite's verdicts part. */
export interface Disagreement {
  rule: string
  /** What the configuration lets one expect. */
  predicted: string
  /** What the suite said. */
  seen: string
}

/** What one guest came to. */
export interface Guest {
  /** `6.1/no-ipc-ns`: unique, and its directory below the matrix's. */
  id: string
  kernel: string
  config: string
  /**
   * `ran`: the suite ran to its end. `left-out`: this kernel has no such configuration. `broken`: no build,
   * no boot, or a guest that died; then the rest is empty.
   */
  state: 'ran' | 'left-out' | 'broken'
  /** Why it did not run; empty when it did. */
  reason: string
  /** As the guest says it. */
  release: string
  seconds: number
  summary: Summary | null
  /** Null when nothing was predicted. */
  disagreements: Disagreement[] | null
}

/** What a rule came to in one guest, in the order of the guests; null where it was not in the run. */
export interface MatrixRule {
  rule: string
  title: string
  states: (State | null)[]
}

/** The whole of matrix.json. */
export interface Matrix {
  schema: string
  /** ISO 8601 in UTC, with Z. */
  started: string
  seconds: number
  profile: string
  guests: Guest[]
  rules: MatrixRule[]
}

/** One guest with the results it left, if it left any. */
export interface GuestResults {
  guest: Guest
  results: Results | null
}

/** Puts what several guests said side by side. */
export function mergeMatrix(
  guests: readonly GuestResults[],
  about: Pick<Matrix, 'started' | 'seconds' | 'profile'>,
): Matrix {
  return {
    schema: MATRIX_SCHEMA,
    ...about,
    guests: guests.map(({ guest }) => guest),
    rules: mergeRules(guests.map(({ results }) => results?.cells ?? [])),
  }
}

function mergeRules(runs: readonly (readonly CellResult[])[]): MatrixRule[] {
  const titles = new Map<string, string>()
  for (const cell of runs.flat()) if (!titles.has(cell.rule)) titles.set(cell.rule, cell.title)
  const states = runs.map((cells) => new Map(byRule(cells).map(({ rule, state }) => [rule, state])))
  return [...titles].map(([rule, title]) => ({
    rule,
    title,
    states: states.map((ofRun) => ofRun.get(rule) ?? null),
  }))
}

/** Exit status of a matrix: 1 for a finding or a disagreement, else 2 for what could not be judged, 77, 0. */
export function matrixStatus(matrix: Matrix): 0 | 1 | 2 | 77 {
  const ran = matrix.guests.filter(({ state }) => state === 'ran')
  const wrong = ran.some(
    ({ summary, disagreements }) => (summary?.fail ?? 0) > 0 || (disagreements?.length ?? 0) > 0,
  )
  if (wrong) return 1
  if (matrix.guests.some(({ state, summary }) => state === 'broken' || (summary?.error ?? 0) > 0)) return 2
  return ran.some(({ summary }) => (summary?.pass ?? 0) > 0) ? 0 : 77
}
