/** The answer of a system call that failed: its errno's name. One object for each name. */
export class Failure {
  readonly errno: string

  private constructor(errno: string) {
    this.errno = errno
  }

  static readonly #known = new Map<string, Failure>()

  /** The failure of that name, always the same object. */
  static of(errno: string): Failure {
    let failure = Failure.#known.get(errno)
    if (!failure) {
      failure = new Failure(errno)
      Failure.#known.set(errno, failure)
    }
    return failure
  }

  toString(): string {
    return this.errno
  }

  toJSON(): string {
    return this.errno
  }
}

/** What a call that may fail answers: the value, or the errno's name as a Failure. */
export type Outcome<Value> = Value | Failure

/** Whether an outcome is a failure. */
export function failed(outcome: unknown): outcome is Failure {
  return outcome instanceof Failure
}

/**
 * The harness could not do what an experiment needs: a set-up call failed, a probe died or hung. Becomes
 * the verdict `error`; never an observation.
 */
export class HarnessError extends Error {
  override name = 'HarnessError'
}

/** A call of the set-up that the kernel refused: `error`, unless it is known that it cannot be had here. */
export class SetUpRefused extends HarnessError {
  readonly operation: string
  readonly args: readonly unknown[]
  readonly errno: string

  constructor(message: string, operation: string, args: readonly unknown[], errno: string) {
    super(message)
    this.operation = operation
    this.args = args
    this.errno = errno
  }
}
