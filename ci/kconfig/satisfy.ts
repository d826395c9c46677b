import { type Expression, evaluate } from './expression.ts'
import type { Lookup, State } from './state.ts'

/** A line to add to a configuration. */
export interface Assignment {
  symbol: string
  state: State
}

/**
 * The assignments that make an expression hold, as few as one look at each `|` finds; an empty list when it
 * holds already. What contradicts itself (`A & !A`) gets assignments that do not help.
 */
export function satisfy(expression: Expression, lookup: Lookup, wanted = true): Assignment[] {
  if (evaluate(expression, lookup) === (wanted ? 'yes' : 'no')) return []
  switch (expression.op) {
    case 'is-on':
      return [{ symbol: expression.symbol, state: { kind: wanted ? 'y' : 'is-not-set' } }]
    case 'equals':
      return [{ symbol: expression.symbol, state: stateFor(expression.value, wanted) }]
    case 'not':
      return satisfy(expression.of, lookup, !wanted)
    default: {
      const left = satisfy(expression.left, lookup, wanted)
      const right = satisfy(expression.right, lookup, wanted)
      // "Not (a | b)" is "not a and not b", and the other way round.
      const all = (expression.op === 'and') === wanted
      if (!all) return right.length < left.length ? right : left
      const have = new Set(left.map(({ symbol }) => symbol))
      return [...left, ...right.filter(({ symbol }) => !have.has(symbol))]
    }
  }
}

function stateFor(value: string, wanted: boolean): State {
  if (!wanted) return { kind: value === 'n' ? 'y' : 'is-not-set' }
  if (value === 'y' || value === 'm') return { kind: value }
  return value === 'n' ? { kind: 'is-not-set' } : { kind: 'value', value }
}

/** The line of a .config that says so. */
export function assignmentLine({ symbol, state }: Assignment): string {
  if (state.kind === 'value') return `CONFIG_${symbol}=${state.value}`
  return state.kind === 'y' || state.kind === 'm'
    ? `CONFIG_${symbol}=${state.kind}`
    : `# CONFIG_${symbol} is not set`
}
