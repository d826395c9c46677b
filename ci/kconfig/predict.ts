import { type Expression, evaluate, expressionText, parseExpression, symbolsOf } from './expression.ts'
import { type Lookup, stateText } from './state.ts'

/** A requirement; without an expression no configuration decides it (a capability, a tool). */
export interface Need {
  name: string
  /** In the language of expression.ts. */
  kconfig?: string
}

/** A rule as far as a configuration matters to it. */
export interface RuleNeeds {
  /** Catalogue id, `SVK-01`. */
  id: string
  title: string
  /** What each of its cells needs. */
  needs: readonly Need[]
  /**
   * What its cells need besides, one list for each kind of cell (flags, way in, place). A rule is skipped
   * only when all its cells are: it runs as soon as one kind can.
   */
  cells?: readonly (readonly Need[])[]
}

/** What a configuration lets a rule do. */
export interface Prediction {
  id: string
  title: string
  /** `unknown` where a fragment, or no configuration at all, leaves it open. */
  outcome: 'run' | 'skip' | 'unknown'
  /** Names of the requirements that are not met (or, when unknown, left open). */
  unmet: string[]
  /** Names of the requirements that no configuration decides: they may still lead to a skip. */
  undecided: string[]
  /** One sentence; empty when it will run. */
  reason: string
}

/**
 * Predicts for each rule whether a suite on a kernel with this configuration runs or skips it. Throws
 * UsageError when a requirement's expression is malformed, which is a defect of the rule table.
 */
export function predict(rules: readonly RuleNeeds[], config: Lookup): Prediction[] {
  const read = new Map<string, Expression>()
  const expressionOf = (text: string): Expression => {
    const known = read.get(text) ?? parseExpression(text)
    read.set(text, known)
    return known
  }
  return rules.map(({ id, title, needs, cells = [[]] }) => {
    const kinds = cells.map((more) => judge([...needs, ...more], expressionOf, config))
    return { id, title, ...best(kinds) }
  })
}

type Judgement = Omit<Prediction, 'id' | 'title'>

/** What one kind of cell will do. */
function judge(
  needs: readonly Need[],
  expressionOf: (text: string) => Expression,
  config: Lookup,
): Judgement {
  const judged = needs.flatMap(({ name, kconfig }) => {
    if (kconfig === undefined) return []
    const expression = expressionOf(kconfig)
    return [{ name, expression, holds: evaluate(expression, config) }]
  })
  const missing = judged.filter(({ holds }) => holds === 'no')
  const open = judged.filter(({ holds }) => holds === 'unknown')
  const outcome = missing.length > 0 ? 'skip' : open.length > 0 ? 'unknown' : 'run'
  const cause = outcome === 'skip' ? missing : open
  return {
    outcome,
    unmet: cause.map(({ name }) => name),
    undecided: needs.filter(({ kconfig }) => kconfig === undefined).map(({ name }) => name),
    reason: cause.map(({ name, expression }) => `needs ${name}: ${whyNot(expression, config)}`).join('; '),
  }
}

/** The kind of cell that gets furthest speaks for the rule; of equals the one with the least to say. */
function best(kinds: readonly Judgement[]): Judgement {
  const order: readonly Judgement['outcome'][] = ['run', 'unknown', 'skip']
  const [first] = [...kinds].sort(
    (a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome) || a.unmet.length - b.unmet.length,
  )
  return first ?? { outcome: 'skip', unmet: [], undecided: [], reason: 'no cell of it is in this run' }
}

/** The states that an expression's outcome rests on: `CONFIG_SYSVIPC is not set`. */
export function whyNot(expression: Expression, config: Lookup): string {
  const states = symbolsOf(expression).map((symbol) => {
    const state = config.state(symbol)
    if (state.kind === 'absent') return `CONFIG_${symbol} is absent`
    if (state.kind === 'no-config') return `CONFIG_${symbol} is unknown without a configuration`
    return state.kind === 'is-not-set'
      ? `CONFIG_${symbol} is not set`
      : `CONFIG_${symbol} is ${stateText(state)}`
  })
  const alone = expression.op === 'is-on'
  return alone ? states.join('') : `${expressionText(expression)} (${states.join(', ')})`
}
