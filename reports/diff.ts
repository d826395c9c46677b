import type { CellResult, Results } from '../harness/results/model.ts'
import { type State, stateOf } from './states.ts'

/** How a cell changed between two runs. */
export type ChangeKind =
  | 'newly-failing'
  | 'newly-broken'
  | 'newly-skipped'
  | 'vanished'
  | 'newly-known'
  | 'appeared-failing'
  | 'newly-passing'
  | 'appeared'

/** What each kind means and whether it makes a comparison worse; in the order of reports. */
export const CHANGES: Readonly<Record<ChangeKind, { title: string; worse: boolean }>> = {
  'newly-failing': { title: 'newly failing', worse: true },
  'appeared-failing': { title: 'appeared, not passing', worse: true },
  'newly-broken': { title: 'newly broken (error)', worse: true },
  'newly-skipped': { title: 'newly skipped', worse: true },
  'newly-known': { title: 'newly a known deviation', worse: true },
  vanished: { title: 'vanished', worse: true },
  'newly-passing': { title: 'newly passing', worse: false },
  appeared: { title: 'appeared', worse: false },
}

/** One cell that is not as before. */
export interface Change {
  kind: ChangeKind
  id: string
  rule: string
  before: State | null
  after: State | null
  /** The cell after the change, or before it when it vanished. */
  cell: CellResult
}

/** What changed from one run to another. */
export interface Diff {
  before: Results
  after: Results
  changes: Change[]
  /** Cells with the same state in both. */
  unchanged: number
  /** True when something got worse, or when the later run did not finish. */
  worse: boolean
}

/**
 * Compares two runs cell by cell. A cell that passed and is now skipped or gone counts as worse: what is no
 * longer looked at is no longer known. A cell that failed before and vanished is not a repair either.
 */
export function diffResults(before: Results, after: Results): Diff {
  const old = new Map(before.cells.map((cell) => [cell.id, cell]))
  const changes: Change[] = []
  let unchanged = 0
  for (const cell of after.cells) {
    const was = old.get(cell.id)
    old.delete(cell.id)
    const [from, to] = [was ? stateOf(was) : null, stateOf(cell)]
    if (from === to) unchanged += 1
    else changes.push({ kind: kindOf(from, to), id: cell.id, rule: cell.rule, before: from, after: to, cell })
  }
  for (const cell of old.values())
    changes.push({
      kind: 'vanished',
      id: cell.id,
      rule: cell.rule,
      before: stateOf(cell),
      after: null,
      cell,
    })
  const worse = after.run.unfinished === true || changes.some(isWorse)
  return { before, after, changes, unchanged, worse }
}

/** True when this change makes the later run worse. */
export function isWorse(change: Change): boolean {
  // A cell that could never run and is gone takes nothing away.
  if (change.kind === 'vanished' && change.before === 'skip') return false
  // From fail to skip or known nothing got worse, nor better.
  if (change.kind === 'newly-skipped' || change.kind === 'newly-known') return change.before === 'pass'
  return CHANGES[change.kind].worse
}

const NEWLY = {
  fail: 'newly-failing',
  error: 'newly-broken',
  pass: 'newly-passing',
  known: 'newly-known',
  skip: 'newly-skipped',
} as const satisfies Readonly<Record<State, ChangeKind>>

function kindOf(before: State | null, after: State): ChangeKind {
  if (before !== null) return NEWLY[after]
  return after === 'fail' || after === 'error' ? 'appeared-failing' : 'appeared'
}

/** Changes of one kind and rule with the same before and after; the first stands for all. */
export interface ChangeGroup {
  kind: ChangeKind
  rule: string
  first: Change
  changes: Change[]
}

/** Groups changes for reading: by kind in the order of CHANGES, then by rule in the order of the runs. */
export function groupChanges(changes: readonly Change[]): ChangeGroup[] {
  const groups = new Map<string, ChangeGroup>()
  for (const change of changes) {
    const key = `${change.kind}\n${change.rule}\n${change.before}\n${change.after}`
    const group = groups.get(key)
    if (group) group.changes.push(change)
    else groups.set(key, { kind: change.kind, rule: change.rule, first: change, changes: [change] })
  }
  const order = Object.keys(CHANGES)
  return [...groups.values()].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))
}
