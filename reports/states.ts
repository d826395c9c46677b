import type { CellResult, Verdict } from '../harness/results/model.ts'

/** What a cell shows as: its verdict, or `known` for a skip that is a known deviation. */
export type State = Verdict | 'known'

/** All states, the most telling first. */
export const STATES: readonly State[] = ['fail', 'error', 'known', 'pass', 'skip']

/** A sign for each state, so that nothing depends on colour. */
export const SIGNS: Readonly<Record<State, string>> = {
  fail: '✗',
  error: '!',
  known: '◇',
  pass: '✓',
  skip: '–',
}

/** The state of a cell. */
export function stateOf(cell: Pick<CellResult, 'verdict' | 'known'>): State {
  return cell.known ? 'known' : cell.verdict
}

/** How many cells of each state. */
export type Tally = Record<State, number>

/** Counts cells by state. */
export function tallyOf(cells: Iterable<Pick<CellResult, 'verdict' | 'known'>>): Tally {
  const tally: Tally = { fail: 0, error: 0, known: 0, pass: 0, skip: 0 }
  for (const cell of cells) tally[stateOf(cell)] += 1
  return tally
}

/** The state that stands for many: the worst finding, else a pass, else a skip. */
export function worstOf(tally: Tally): State {
  return STATES.find((state) => tally[state] > 0) ?? 'skip'
}

/** `29 pass, 6 fail`: a tally in words. */
export function tallyText(tally: Tally): string {
  return STATES.filter((state) => tally[state] > 0)
    .map((state) => `${tally[state]} ${state}`)
    .join(', ')
}
