import { UsageError } from '../../harness/usage-error.ts'
import type { Lookup, Truth } from './state.ts'

/**
 * A condition on a configuration, in the language of LTP's needs_kconfigs (lib/tst_kconfig.c there):
 * `CONFIG_A` is y or m; `CONFIG_A=v` is exactly v, where v is y, m, n, a number or a quoted string;
 * `!`, `&`, `|` and parentheses combine, binding in that order. The prefix `CONFIG_` may be left out.
 */
export type Expression =
  | { op: 'is-on'; symbol: string }
  | { op: 'equals'; symbol: string; value: string }
  | { op: 'not'; of: Expression }
  | { op: 'and' | 'or'; left: Expression; right: Expression }

/** Nesting beyond this is no condition that anybody wrote. */
const DEEPEST = 100
const TOKEN = /\s*(?:([!&|()])|(\w+)(?:=("(?:[^"\\]|\\.)*"|-?\w+))?)/y

interface Token {
  text: string
  /** Column of its first character, from 1. */
  column: number
  symbol?: string
  value?: string
}

/** Reads an expression. Throws UsageError with the column of what it cannot read. */
export function parseExpression(text: string): Expression {
  const tokens = tokenize(text)
  let at = 0
  let depth = 0
  const fail = (wanted: string): never => {
    const token = tokens[at]
    const place = token ? `"${token.text}" at column ${token.column}` : 'the end'
    throw new UsageError(
      `cannot read the expression ${JSON.stringify(text)}: ${wanted} expected, not ${place}`,
    )
  }
  const or = (): Expression => chain('|', 'or', and)
  const and = (): Expression => chain('&', 'and', operand)
  const chain = (sign: string, op: 'and' | 'or', next: () => Expression): Expression => {
    let left = next()
    while (tokens[at]?.text === sign) {
      at += 1
      left = { op, left, right: next() }
    }
    return left
  }
  const operand = (): Expression => {
    const token = tokens[at]
    if (++depth > DEEPEST) throw new UsageError(`the expression is nested more than ${DEEPEST} deep`)
    try {
      if (token?.text === '!') {
        at += 1
        return { op: 'not', of: operand() }
      }
      if (token?.text === '(') {
        at += 1
        const inside = or()
        if (tokens[at]?.text !== ')') return fail('")"')
        at += 1
        return inside
      }
      if (token?.symbol === undefined) return fail('a symbol')
      at += 1
      const symbol = token.symbol.replace(/^CONFIG_/, '')
      return token.value === undefined
        ? { op: 'is-on', symbol }
        : { op: 'equals', symbol, value: token.value }
    } finally {
      depth -= 1
    }
  }
  const whole = or()
  if (at < tokens.length) fail('"&" or "|"')
  return whole
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  const end = text.trimEnd().length
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < end) {
    const start = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    const symbol = match?.[2]?.replace(/^CONFIG_/, '')
    if (!match || symbol === '') {
      const column = start + 1 + (text.slice(start).length - text.slice(start).trimStart().length)
      throw new UsageError(
        `cannot read the expression ${JSON.stringify(text)}: nothing known at column ${column}`,
      )
    }
    const whole = match[0].trimStart()
    const token: Token = { text: whole, column: TOKEN.lastIndex - whole.length + 1 }
    if (symbol !== undefined) token.symbol = symbol
    if (match[3] !== undefined) token.value = match[3]
    tokens.push(token)
  }
  return tokens
}

/**
 * Whether the expression holds. As in LTP a symbol without a line fulfils neither `CONFIG_A` nor
 * `CONFIG_A=n`; in a fragment (an incomplete lookup) it is unknown instead.
 */
export function evaluate(expression: Expression, lookup: Lookup): Truth {
  switch (expression.op) {
    case 'not':
      return opposite(evaluate(expression.of, lookup))
    case 'and':
      return both(evaluate(expression.left, lookup), evaluate(expression.right, lookup))
    case 'or':
      // De Morgan, so that the three-valued table stands in one place.
      return opposite(
        both(opposite(evaluate(expression.left, lookup)), opposite(evaluate(expression.right, lookup))),
      )
    default:
      return leaf(expression, lookup)
  }
}

function leaf(expression: Extract<Expression, { symbol: string }>, lookup: Lookup): Truth {
  const state = lookup.state(expression.symbol)
  if (state.kind === 'no-config') return 'unknown'
  if (state.kind === 'absent') return lookup.complete ? 'no' : 'unknown'
  if (expression.op === 'is-on') return truth(state.kind === 'y' || state.kind === 'm')
  if (state.kind === 'value') return truth(state.value === expression.value)
  return truth(expression.value === (state.kind === 'is-not-set' ? 'n' : state.kind))
}

function truth(holds: boolean): Truth {
  return holds ? 'yes' : 'no'
}

function opposite(of: Truth): Truth {
  return of === 'unknown' ? of : truth(of === 'no')
}

function both(a: Truth, b: Truth): Truth {
  if (a === 'no' || b === 'no') return 'no'
  return a === 'yes' && b === 'yes' ? 'yes' : 'unknown'
}

/** The expression in its own language, with the fewest parentheses; parsing it gives the same expression. */
export function expressionText(expression: Expression): string {
  switch (expression.op) {
    case 'is-on':
      return `CONFIG_${expression.symbol}`
    case 'equals':
      return `CONFIG_${expression.symbol}=${expression.value}`
    case 'not':
      return `!${wrapped(expression.of, binding(expression.of) < binding(expression))}`
    default: {
      const { left, right, op } = expression
      // Chains are read from the left, so an equal operator on the right needs its parentheses.
      const before = wrapped(left, binding(left) < binding(expression))
      const after = wrapped(right, binding(right) <= binding(expression))
      return `${before} ${op === 'and' ? '&' : '|'} ${after}`
    }
  }
}

function wrapped(expression: Expression, needed: boolean): string {
  return needed ? `(${expressionText(expression)})` : expressionText(expression)
}

function binding(expression: Expression): number {
  return { or: 0, and: 1, not: 2, 'is-on': 3, equals: 3 }[expression.op]
}

/** The symbols an expression names, each once, in their order. */
export function symbolsOf(expression: Expression): string[] {
  if ('symbol' in expression) return [expression.symbol]
  if (expression.op === 'not') return symbolsOf(expression.of)
  return [...new Set([...symbolsOf(expression.left), ...symbolsOf(expression.right)])]
}
