import { isDeepStrictEqual } from 'node:util'
import { text } from '../link/describe.ts'
import { Failure } from '../link/failure.ts'

/** What a prediction says of one observed field, where it is not one exact value. */
export class Matcher {
  readonly says: string
  readonly holds: (seen: unknown) => boolean

  constructor(says: string, holds: (seen: unknown) => boolean) {
    this.says = says
    this.holds = holds
  }
}

// The errnos that predictions name. Each is one exact errno: EINVAL (no such id), ENOENT (no such key or
// name), EACCES (exists, forbidden), EPERM (exists, not owner) and EIDRM (removed while in use) never stand
// for one another.
export const E2BIG = Failure.of('E2BIG')
export const EACCES = Failure.of('EACCES')
export const EAGAIN = Failure.of('EAGAIN')
export const EBADF = Failure.of('EBADF')
export const EBUSY = Failure.of('EBUSY')
export const ECONNREFUSED = Failure.of('ECONNREFUSED')
export const EEXIST = Failure.of('EEXIST')
export const EFAULT = Failure.of('EFAULT')
export const EIDRM = Failure.of('EIDRM')
export const EINTR = Failure.of('EINTR')
export const EINVAL = Failure.of('EINVAL')
export const ELOOP = Failure.of('ELOOP')
export const EMFILE = Failure.of('EMFILE')
export const EMSGSIZE = Failure.of('EMSGSIZE')
export const ENAMETOOLONG = Failure.of('ENAMETOOLONG')
export const ENOENT = Failure.of('ENOENT')
export const ENOMEM = Failure.of('ENOMEM')
export const ENOMSG = Failure.of('ENOMSG')
export const ENOSPC = Failure.of('ENOSPC')
export const ENOSYS = Failure.of('ENOSYS')
export const ENOTTY = Failure.of('ENOTTY')
export const EOVERFLOW = Failure.of('EOVERFLOW')
export const EPERM = Failure.of('EPERM')
export const ERANGE = Failure.of('ERANGE')
export const ESRCH = Failure.of('ESRCH')
export const ESTALE = Failure.of('ESTALE')
export const ETIMEDOUT = Failure.of('ETIMEDOUT')

/** The call succeeded, with whatever value. */
export const succeeds = new Matcher('success', (seen) => !(seen instanceof Failure))

/** Any value but this one, of the same kind; an errno is not one. */
export function differs(from: unknown): Matcher {
  return new Matcher(
    `anything but ${text(from)}`,
    (seen) => typeof seen === typeof from && !(seen instanceof Failure) && !isDeepStrictEqual(seen, from),
  )
}

/** One of several conforming values. */
export function oneOf(...values: unknown[]): Matcher {
  return new Matcher(values.map(text).join(' or '), (seen) => values.some((value) => agrees(seen, value)))
}

/** A number of at least this. */
export function atLeast(least: number): Matcher {
  return new Matcher(`at least ${least}`, (seen) => typeof seen === 'number' && seen >= least)
}

/** A text or list that contains this. */
export function containing(part: string | number): Matcher {
  return new Matcher(`something containing ${text(part)}`, (seen) => contains(seen, part))
}

/** A text or list that does not contain this; a failed call is neither. */
export function without(part: string | number): Matcher {
  return new Matcher(
    `something without ${text(part)}`,
    (seen) => (typeof seen === 'string' || Array.isArray(seen)) && !contains(seen, part),
  )
}

function contains(seen: unknown, part: string | number): boolean {
  if (typeof seen === 'string') return seen.includes(String(part))
  return Array.isArray(seen) && seen.includes(part)
}

/** An object with at least these fields. */
export function having(fields: Readonly<Record<string, unknown>>): Matcher {
  return new Matcher(`{ ${describeFields(fields)} }`, (seen) => {
    if (typeof seen !== 'object' || seen === null) return false
    return Object.entries(fields).every(([name, value]) =>
      agrees((seen as Record<string, unknown>)[name], value),
    )
  })
}

/** Whether what was seen is what was predicted; matchers may stand inside lists and objects. */
export function agrees(seen: unknown, predicted: unknown): boolean {
  if (predicted instanceof Matcher) return predicted.holds(seen)
  if (Array.isArray(predicted))
    return (
      Array.isArray(seen) &&
      seen.length === predicted.length &&
      predicted.every((item, index) => agrees(seen[index], item))
    )
  if (!isPlain(predicted) || !isPlain(seen)) return isDeepStrictEqual(seen, predicted)
  const names = Object.keys(predicted)
  return (
    names.length === Object.keys(seen).length &&
    names.every((name) => name in seen && agrees(seen[name], predicted[name]))
  )
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

/** A predicted value as a person reads it. */
export function describePredicted(predicted: unknown): string {
  if (predicted instanceof Matcher) return predicted.says
  if (Array.isArray(predicted)) return `[${predicted.map(describePredicted).join(',')}]`
  if (isPlain(predicted)) return `{ ${describeFields(predicted)} }`
  return text(predicted)
}

/** Named values as a person reads them. */
export function describeFields(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}: ${describePredicted(value)}`)
    .join(', ')
}
