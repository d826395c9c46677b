import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import { mergeFragments, parseFragment, parseSetting, renderFragment, unmet } from './fragment.ts'

describe('a fragment', () => {
  test('is read with its three forms', () => {
    const text = '# a comment\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C="fd:0,fd:1"\nCONFIG_D=-5\r\n'
    expect([...parseFragment(text, 'x')]).toEqual([
      ['A', 'y'],
      ['B', 'n'],
      ['C', '"fd:0,fd:1"'],
      ['D', '-5'],
    ])
  })

  test.each(['CONFIG_A', 'CONFIG_A=', 'A=y', 'CONFIG_A=y z', 'CONFIG_A="open'])(
    'with the line %s names it',
    (line) => {
      expect(() => parseFragment(`CONFIG_X=y\n${line}\n`, 'mine')).toThrow(
        new UsageError(`mine, line 2: "${line}" is not CONFIG_SYMBOL=value`),
      )
    },
  )

  test('is equal text for equal wishes, whatever their order', () => {
    const symbols = fc.uniqueArray(
      fc.tuple(fc.stringMatching(/^[A-Z][A-Z0-9_]{0,9}$/), fc.constantFrom('y', 'n', 'm', '7', '"a b"')),
      {
        selector: ([symbol]) => symbol,
      },
    )
    fc.assert(
      fc.property(symbols, (wishes) => {
        const text = renderFragment(new Map(wishes))
        expect(renderFragment(new Map([...wishes].reverse()))).toBe(text)
        expect(new Map(parseFragment(text, 'x'))).toEqual(new Map(wishes))
      }),
    )
  })
})

test('later fragments win', () => {
  const merged = mergeFragments(
    new Map([['A', 'y']]),
    new Map([
      ['A', 'n'],
      ['B', 'y'],
    ]),
  )
  expect([...merged]).toEqual([
    ['A', 'n'],
    ['B', 'y'],
  ])
})

test.each([
  ['CONFIG_X=n', ['X', 'n']],
  ['X=n', ['X', 'n']],
  ['CONFIG_LOG=17', ['LOG', '17']],
])('--set %s is a setting', (text, pair) => {
  expect(parseSetting(text)).toEqual(pair)
})

test.each(['', 'X', 'X=', '=y', 'X=y y'])('--set "%s" is none', (text) => {
  expect(() => parseSetting(text)).toThrow(UsageError)
})

test('what a kernel did not grant is named; an absent symbol is off', () => {
  const wishes = new Map([
    ['A', 'y'],
    ['B', 'n'],
    ['C', 'n'],
    ['D', 'y'],
  ])
  const finished = new Map([
    ['A', 'y'],
    ['C', 'y'],
  ])
  expect(unmet(wishes, finished)).toEqual([
    { symbol: 'C', wanted: 'n', got: 'y' },
    { symbol: 'D', wanted: 'y', got: 'n' },
  ])
})

test('a symbol that a newer kernel has under another name is granted under that name', () => {
  const wishes = new Map([['PROC_SYSCTL', 'y']])
  expect(unmet(wishes, new Map([['SYSCTL', 'y']]))).toEqual([])
  expect(unmet(wishes, new Map([['SYSCTL', 'n']]))).toHaveLength(1)
  expect(
    unmet(
      wishes,
      new Map([
        ['PROC_SYSCTL', 'n'],
        ['SYSCTL', 'y'],
      ]),
    ),
  ).toHaveLength(1)
})
