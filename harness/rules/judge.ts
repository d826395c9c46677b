import { text } from '../link/describe.ts'
import type { Verdict } from '../results/model.ts'
import { agrees, describeFields, describePredicted } from './match.ts'
import type { KnownBug } from './rule.ts'

/** A verdict with what it rests on. */
export interface Judgement {
  verdict: Verdict
  reason?: string
  expected: string
  observed: string
}

/** The one place where what was seen becomes a verdict: held against the prediction field by field. */
export function judge(
  seen: Readonly<Record<string, unknown>>,
  predicted: Readonly<Record<string, unknown>>,
  bugs: readonly KnownBug[] = [],
): Judgement {
  const fields = Object.keys(predicted)
  const observed = describeFields(Object.fromEntries(fields.map((field) => [field, seen[field]])))
  const expected = describeFields(predicted)
  if (fields.length === 0)
    return { verdict: 'error', reason: 'the rule predicts nothing here', expected, observed }
  const wrong = fields.filter((field) => !agrees(seen[field], predicted[field]))
  if (wrong.length === 0) return { verdict: 'pass', expected, observed }
  const bug = bugs.find((candidate) =>
    Object.entries(candidate.looksLike).every(([field, value]) => agrees(seen[field], value)),
  )
  const differences = wrong.map(
    (field) => `${field} is ${text(seen[field])}, not ${describePredicted(predicted[field])}`,
  )
  const named = bug ? `known bug ${bug.id}, fixed by ${bug.fix} (in ${bug.fixedIn}): ` : ''
  return { verdict: 'fail', reason: `${named}${differences.join('; ')}`, expected, observed }
}
