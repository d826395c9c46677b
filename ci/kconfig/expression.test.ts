import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Expression, evaluate, expressionText, parseExpression, symbolsOf } from './expression.ts'
import { configOf } from './samples.ts'
import { assignmentLine, satisfy } from './satisfy.ts'
import { type Lookup, NO_CONFIG, type State } from './state.ts'

const lines = ['CONFIG_Y=y', 'CONFIG_M=m', 'CONFIG_V=250', 'CONFIG_S="a b"', '# CONFIG_N is not set']
const full = configOf(lines)
const fragment = configOf(lines, 'fragment')
const holds = (text: string, lookup: Lookup) => evaluate(parseExpression(text), lookup)

// The table is that of map() in LTP's lib/tst_kconfig.c.
test.each([
  ['CONFIG_Y', 'yes'],
  ['CONFIG_M', 'yes'],
  ['CONFIG_V', 'no'],
  ['CONFIG_N', 'no'],
  ['CONFIG_Y=y', 'yes'],
  ['CONFIG_Y=m', 'no'],
  ['CONFIG_M=y', 'no'],
  ['CONFIG_M=m', 'yes'],
  ['CONFIG_N=n', 'yes'],
  ['CONFIG_Y=n', 'no'],
  ['CONFIG_V=250', 'yes'],
  ['CONFIG_V=25', 'no'],
  ['CONFIG_V=y', 'no'],
  ['CONFIG_S="a b"', 'yes'],
  ['CONFIG_S="a c"', 'no'],
  ['CONFIG_ABSENT', 'no'],
  ['CONFIG_ABSENT=n', 'no'],
  ['!CONFIG_ABSENT', 'yes'],
  ['CONFIG_N | CONFIG_Y & CONFIG_N', 'no'],
  ['(CONFIG_Y | CONFIG_N) & CONFIG_N', 'no'],
  ['CONFIG_Y | CONFIG_N & CONFIG_N', 'yes'],
  ['CONFIG_A=y | (CONFIG_M & !CONFIG_N)', 'yes'],
  ['!CONFIG_N & CONFIG_Y', 'yes'],
  ['! ( CONFIG_N | CONFIG_Y )', 'no'],
  ['!!CONFIG_Y', 'yes'],
  ['Y&M', 'yes'],
])('%s is %s', (text, wanted) => {
  expect(holds(text, full)).toBe(wanted)
})

test.each([
  ['ABSENT', 'unknown'],
  ['!ABSENT', 'unknown'],
  ['ABSENT=n', 'unknown'],
  ['ABSENT & N', 'no'],
  ['ABSENT & Y', 'unknown'],
  ['ABSENT | Y', 'yes'],
  ['ABSENT | N', 'unknown'],
])('in a fragment %s is %s', (text, wanted) => {
  expect(holds(text, fragment)).toBe(wanted)
})

test('without a configuration nothing is known', () => {
  expect(holds('A', NO_CONFIG)).toBe('unknown')
  expect(holds('!A=y', NO_CONFIG)).toBe('unknown')
})

describe('what is malformed is refused with its place', () => {
  test.each([
    ['', 'a symbol expected, not the end'],
    ['A &', 'a symbol expected, not the end'],
    ['A B', '"&" or "|" expected, not "B" at column 3'],
    ['(A', '")" expected, not the end'],
    ['A)', '"&" or "|" expected, not ")" at column 2'],
    ['A && B', 'a symbol expected, not "&" at column 4'],
    ['A=', 'nothing known at column 2'],
    ['A = y', 'nothing known at column 3'],
    ['A="x', 'nothing known at column 2'],
    ['A + B', 'nothing known at column 3'],
    ['CONFIG_', 'nothing known at column 1'],
    [`${'('.repeat(5000)}A`, 'nested more than'],
  ])('%j', (text, message) => {
    expect(() => parseExpression(text)).toThrow(message)
    expect(() => parseExpression(text)).toThrow(expect.objectContaining({ name: 'UsageError' }))
  })
})

const names = ['A', 'B', 'C', 'D', 'E']
const leaf: fc.Arbitrary<Expression> = fc.oneof(
  fc.constantFrom(...names).map((symbol): Expression => ({ op: 'is-on', symbol })),
  fc
    .tuple(fc.constantFrom(...names), fc.constantFrom('y', 'm', 'n', '7', '"a b"'))
    .map(([symbol, value]): Expression => ({ op: 'equals', symbol, value })),
)
const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 5 },
    leaf,
    tie('expression').map((of): Expression => ({ op: 'not', of })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), tie('expression'), tie('expression'))
      .map(([op, left, right]): Expression => ({ op, left, right })),
  ),
}))
const anyState = fc.constantFrom<State>(
  { kind: 'y' },
  { kind: 'm' },
  { kind: 'is-not-set' },
  { kind: 'absent' },
  { kind: 'value', value: '7' },
  { kind: 'value', value: '"a b"' },
)
const lookup = fc
  .tuple(fc.boolean(), fc.array(anyState, { minLength: names.length, maxLength: names.length }))
  .map(
    ([complete, states]): Lookup => ({
      complete,
      state: (symbol) => states[names.indexOf(symbol)] ?? { kind: 'absent' },
    }),
  )

test('property: text and expression are two forms of one thing', () => {
  fc.assert(
    fc.property(expression, (one) => {
      expect(parseExpression(expressionText(one))).toEqual(one)
    }),
  )
})

/** The meaning written down a second time, as JavaScript: with everything known there are two truths only. */
function meaning(one: Expression, of: (symbol: string) => State): boolean {
  if (one.op === 'not') return !meaning(one.of, of)
  if ('left' in one) {
    const [left, right] = [meaning(one.left, of), meaning(one.right, of)]
    return one.op === 'and' ? left && right : left || right
  }
  const state = of(one.symbol)
  const text = { y: 'y', m: 'm', 'is-not-set': 'n', absent: '', 'no-config': '', value: '' }[state.kind]
  if (one.op === 'is-on') return text === 'y' || text === 'm'
  return one.value === (state.kind === 'value' ? state.value : text)
}

test('property: with a full configuration the outcome is what the operators mean', () => {
  fc.assert(
    fc.property(expression, lookup, (one, config) => {
      const complete = { ...config, complete: true }
      expect(evaluate(one, complete)).toBe(meaning(one, config.state) ? 'yes' : 'no')
    }),
  )
})

test('property: what a fragment already decides, no completion of it changes', () => {
  fc.assert(
    fc.property(expression, lookup, lookup, (one, config, completion) => {
      const before = evaluate(one, { ...config, complete: false })
      fc.pre(before !== 'unknown')
      const completed: Lookup = {
        complete: true,
        state: (symbol) => {
          const state = config.state(symbol)
          return state.kind === 'absent' ? completion.state(symbol) : state
        },
      }
      expect(evaluate(one, completed)).toBe(before)
    }),
  )
})

test('property: symbolsOf names what the outcome can rest on', () => {
  fc.assert(
    fc.property(expression, lookup, (one, config) => {
      const known = new Set(symbolsOf(one))
      const blind: Lookup = {
        complete: config.complete,
        state: (symbol) => (known.has(symbol) ? config.state(symbol) : { kind: 'absent' }),
      }
      expect(evaluate(one, blind)).toBe(evaluate(one, config))
    }),
  )
})

test('property: adding what satisfy says makes a condition without repeated symbols hold', () => {
  fc.assert(
    fc.property(expression, lookup, (one, config) => {
      const words = expressionText(one).match(/CONFIG_./g) ?? []
      fc.pre(new Set(words).size === words.length)
      const added = new Map(satisfy(one, config).map(({ symbol, state }) => [symbol, state]))
      const after: Lookup = { ...config, state: (symbol) => added.get(symbol) ?? config.state(symbol) }
      expect(evaluate(one, after)).toBe('yes')
    }),
  )
})

test('satisfy takes the shorter way and leaves alone what holds', () => {
  const lineFor = (text: string) => satisfy(parseExpression(text), full).map(assignmentLine)
  expect(lineFor('Y')).toEqual([])
  expect(lineFor('(A & B) | C')).toEqual(['CONFIG_C=y'])
  expect(lineFor('A & V=100 & !Y & !ABSENT')).toEqual(['CONFIG_A=y', 'CONFIG_V=100', '# CONFIG_Y is not set'])
})
