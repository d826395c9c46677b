import { describe, expect, test } from 'vitest'
import { Failure } from '../link/failure.ts'
import { judge } from './judge.ts'
import {
  agrees,
  atLeast,
  containing,
  differs,
  EINVAL,
  ENOENT,
  having,
  oneOf,
  succeeds,
  without,
} from './match.ts'

describe('predictions', () => {
  test('an errno agrees with itself only', () => {
    expect(agrees(Failure.of('EINVAL'), EINVAL)).toBe(true)
    expect(agrees(Failure.of('ENOENT'), EINVAL)).toBe(false)
    expect(agrees('EINVAL', EINVAL)).toBe(false)
    expect(agrees(0, EINVAL)).toBe(false)
  })

  test('success is any value that is no failure', () => {
    expect(agrees(0, succeeds)).toBe(true)
    expect(agrees(ENOENT, succeeds)).toBe(false)
  })

  test('a failed call contains nothing, and lacks nothing either', () => {
    expect(agrees(ENOENT, containing('x'))).toBe(false)
    expect(agrees(ENOENT, without('x'))).toBe(false)
    expect(agrees(['x'], containing('x'))).toBe(true)
    expect(agrees('abc', without('x'))).toBe(true)
  })

  test('matchers may stand inside lists and objects, which must agree in full', () => {
    expect(agrees([0, EINVAL, { a: 3 }], [0, oneOf(0, EINVAL), { a: atLeast(3) }])).toBe(true)
    expect(agrees([0, ENOENT], [0, oneOf(0, EINVAL)])).toBe(false)
    expect(agrees([0], [0, oneOf(0, EINVAL)])).toBe(false)
    expect(agrees({ a: 1, b: 2 }, { a: 1 })).toBe(false)
    expect(agrees({ a: ENOENT }, { a: EINVAL })).toBe(false)
  })

  test('the other matchers', () => {
    expect(agrees(3, atLeast(3))).toBe(true)
    expect(agrees(2, atLeast(3))).toBe(false)
    expect(agrees(3, differs(3))).toBe(false)
    expect(agrees(Failure.of('EINVAL'), differs(3))).toBe(false)
    expect(agrees(undefined, differs(3))).toBe(false)
    expect(agrees(EINVAL, oneOf(0, EINVAL))).toBe(true)
    expect(agrees(ENOENT, oneOf(0, EINVAL))).toBe(false)
    expect(agrees({ a: 1, b: 2 }, having({ a: 1 }))).toBe(true)
    expect(agrees({ a: 2 }, having({ a: 1 }))).toBe(false)
  })
})

describe('the verdict', () => {
  test('fails when one field of several disagrees, and names just that one', () => {
    const { verdict, reason } = judge({ found: 3, alive: true }, { found: ENOENT, alive: true })
    expect(verdict).toBe('fail')
    expect(reason).toBe('found is 3, not ENOENT')
  })

  test('fails when a predicted field was not observed at all', () => {
    expect(judge({}, { found: 1 }).verdict).toBe('fail')
  })

  test('names a known bug when it looks like it, and only then', () => {
    const bugs = [{ id: 'BUG-0', fix: 'abc', fixedIn: '9.9', looksLike: { found: 3 } }]
    expect(judge({ found: 3 }, { found: ENOENT }, bugs).reason).toMatch(/^known bug BUG-0/)
    expect(judge({ found: 4 }, { found: ENOENT }, bugs).reason).toBe('found is 4, not ENOENT')
  })
})
