import { type Expression, evaluate, expressionText, parseExpression, symbolsOf } from './expression.ts'
import { type Lookup, stateText } from './state.ts'

/** A rule as far as a configuration matters to it. */
export interface RuleNeeds {
  /** Catalogue id, `SVK-01`. */
  id: string
  title: string
  /** Its requirements by name; without an expression no configuration decides (a capability, a tool). */
  needs: readonly { name: string; kconfig?: string }[]
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
  return rules.map(({ id, title, needs }) => {
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
      id,
      title,
      outcome,
      unmet: cause.map(({ name }) => name),
      undecided: needs.filter(({ kconfig }) => kconfig === undefined).map(({ name }) => name),
      reason: cause.map(({ name, expression }) => `needs ${name}: ${whyNot(expression, config)}`).join('; '),
    }
  })
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
