import type { Profile } from '../../harness/rules/profiles.ts'
import { type Expression, evaluate } from './expression.ts'
import { type Assignment, assignmentLine, satisfy } from './satisfy.ts'
import type { Lookup } from './state.ts'
import { isRequired, SYMBOLS, symbolNamed } from './symbols.ts'

/**
 * The lines to add to a configuration: what the profile and the user's conditions need, and apart from it
 * what would let every rule run. Prerequisites come along; symbols without a prompt do not, because a
 * configuration that sets them is ignored: what they follow from is there instead.
 */
export function fragmentFor(
  profile: Profile,
  require: readonly Expression[],
  config: Lookup,
): { required: string[]; optional: string[] } {
  const done = new Set<string>()
  const required = SYMBOLS.filter((symbol) => isRequired(symbol, profile))
  const optional = SYMBOLS.filter((symbol) => !isRequired(symbol, profile))
  return {
    required: [
      ...required.flatMap(({ name }) => switchOn(name, config, done)),
      ...require.flatMap((expression) => linesFor(expression, config, done)),
    ],
    optional: optional.flatMap(({ name }) => switchOn(name, config, done)),
  }
}

function linesFor(expression: Expression, config: Lookup, done: Set<string>): string[] {
  return satisfy(expression, config).flatMap((assignment) =>
    assignment.state.kind === 'y' ? switchOn(assignment.symbol, config, done) : once(assignment, done),
  )
}

/** What the symbol needs comes first, as a reader expects it. */
function switchOn(name: string, config: Lookup, done: Set<string>): string[] {
  if (done.has(name) || evaluate({ op: 'is-on', symbol: name }, config) === 'yes') return []
  const symbol = symbolNamed(name)
  if (symbol?.derived) done.add(name)
  const before = (symbol?.needs ?? []).flatMap((need) => switchOn(need, config, done))
  return symbol?.derived ? before : [...before, ...once({ symbol: name, state: { kind: 'y' } }, done)]
}

function once(assignment: Assignment, done: Set<string>): string[] {
  if (done.has(assignment.symbol)) return []
  done.add(assignment.symbol)
  return [assignmentLine(assignment)]
}
