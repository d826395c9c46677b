import type { Results } from '../harness/results/model.ts'

/**
 * What is wrong with a run as a whole and no cell says: it has no end, or no cell. Null for a whole run.
 * Consumers judge by what is counted, and nothing counted looks green: each format gives this a result of
 * its own that is an error.
 */
export function gateReason(results: Results): string | null {
  if (results.run.unfinished) return 'the run did not finish'
  return results.cells.length === 0 ? 'the run has no cells' : null
}

/** Name of that result. */
export const GATE_TITLE = 'the run comes to its end'
