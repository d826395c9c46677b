import type { CellResult } from '../../harness/results/model.ts'
import type { Requirement } from '../../harness/rules/requirements/requirement.ts'
import { REQUIREMENTS } from '../../harness/rules/requirements.ts'
import { evaluate, parseExpression } from '../kconfig/expression.ts'
import type { Prediction } from '../kconfig/predict.ts'
import type { Lookup } from '../kconfig/state.ts'
import type { Disagreement } from './matrix-model.ts'

/** A requirement by the reason that its skips give, as far as a configuration decides it. */
export interface Decided {
  name: string
  reason: string
  kconfig?: string
}

const KNOWN: readonly Decided[] = Object.entries(REQUIREMENTS).map(
  ([name, { reason, kconfig, besides }]: [string, Requirement]) => ({
    name,
    reason,
    // One that needs more than the configuration may be skipped whatever the configuration says.
    ...(kconfig === undefined || besides !== undefined ? {} : { kconfig }),
  }),
)

/**
 * Compares what a configuration lets one expect with what the suite said, rule by rule:
 * - a rule predicted to be skipped must have no cell that ran;
 * - a rule predicted to run must have one that ran, unless each skip names a requirement that no
 *   configuration decides (a capability, a system call that this version lacks);
 * - no cell may be skipped for a requirement that the configuration meets.
 */
export function disagreementsOf(
  cells: readonly CellResult[],
  predictions: readonly Prediction[],
  config: Lookup,
  requirements: readonly Decided[] = KNOWN,
): Disagreement[] {
  const decided = new Map(requirements.map((requirement) => [requirement.reason, requirement]))
  const found: Disagreement[] = []
  const note = (rule: string, predicted: string, seen: string): void => {
    if (!found.some((known) => known.rule === rule && known.seen === seen))
      found.push({ rule, predicted, seen })
  }
  const predicted = new Map(predictions.map((prediction) => [prediction.id, prediction]))
  for (const cell of cells) {
    const prediction = predicted.get(cell.rule)
    if (cell.verdict !== 'skip') {
      if (prediction?.outcome === 'skip')
        note(cell.rule, `skip: ${prediction.reason}`, `${cell.verdict}: ${cell.id}`)
      continue
    }
    const requirement = decided.get(cell.reason ?? '')
    if (requirement?.kconfig === undefined) continue
    if (evaluate(parseExpression(requirement.kconfig), config) === 'yes')
      note(cell.rule, `${requirement.name} is there: ${requirement.kconfig}`, `skip: ${cell.reason}`)
  }
  for (const [rule, { outcome }] of predicted) {
    const own = cells.filter((cell) => cell.rule === rule)
    if (outcome !== 'run' || own.length === 0 || own.some(({ verdict }) => verdict !== 'skip')) continue
    const reasons = own.map(({ reason }) => reason ?? '')
    const excused = reasons.some((reason) => decided.get(reason)?.kconfig === undefined)
    if (!excused) note(rule, 'run', `skip: ${[...new Set(reasons)].join('; ')}`)
  }
  return found
}
