/**
 * The one place where a libc function is called and errno is read. Everything here is synchronous: a
 * koffi call that is not would run on a pool thread, which a clone does not have and which would sit in
 * another namespace after unshare().
 */
import koffi from 'koffi'
import { errnoName } from './errno.ts'

/** A system call that failed, with the errno's name as its message. */
export class SystemCallFailure extends Error {
  override name = 'SystemCallFailure'
}

/** What a C function gives back through koffi; a pointer or a long may come as a bigint. */
type Returned = number | bigint | null

const libc = koffi.load(null)
const failed = new Set<Returned>([-1, -1n, 0xffffffffffffffffn])

/**
 * Binds a libc function by its C prototype. The bound call returns the value, as a number wherever one can
 * hold it, or throws SystemCallFailure when the function returns -1.
 */
export function bind<Arguments extends readonly unknown[]>(
  prototype: string,
): (...args: Arguments) => number {
  const call: (...args: unknown[]) => Returned = libc.func(prototype)
  return (...args) => {
    const returned = call(...args)
    if (failed.has(returned)) failWithErrno()
    return Number(returned)
  }
}

/**
 * Binds a function that gives exactly what C returns, for those that return their errno (the pthread family)
 * and for clone; where errno is meant, `failWithErrno` must be the next thing called.
 */
export function bindRaw<Arguments extends readonly unknown[]>(
  prototype: string,
): (...args: Arguments) => number {
  return libc.func(prototype)
}

/** Throws the errno that a raw call has just left. */
export function failWithErrno(): never {
  throw new SystemCallFailure(errnoName(koffi.errno()))
}

/** The address of a libc function, for those that take one. */
export function addressOf(symbol: string): bigint {
  return libc.symbol(symbol)
}

/** The address where a buffer's bytes are. */
export function addressOfBuffer(buffer: Buffer): bigint {
  return koffi.address(buffer)
}

/** The memory at an address as a buffer; reading it after it was unmapped is a SIGSEGV. */
export function memoryAt(address: number | bigint, bytes: number): Buffer {
  return Buffer.from(koffi.view(BigInt(address), bytes))
}

/** Runs the call and tries again while a signal interrupts it. */
export function retrying<Result>(call: () => Result): Result {
  for (;;) {
    try {
      return call()
    } catch (problem) {
      if (!(problem instanceof SystemCallFailure) || problem.message !== 'EINTR') throw problem
    }
  }
}

/** Throws the named errno, for answers that an operation itself decides. */
export function fail(errno: string): never {
  throw new SystemCallFailure(errno)
}
