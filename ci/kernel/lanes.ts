/** Lets at most `width` pieces of work run at once; the others wait in the order in which they came. */
export class Lanes {
  readonly #width: number
  #busy = 0
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#width = width
  }

  /** Does the work as soon as a lane is free. */
  async do<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= this.#width) await new Promise<void>((go) => this.#waiting.push(go))
    else this.#busy += 1
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      // The lane goes to the next one as it is; only an unused one is given back.
      if (next) next()
      else this.#busy -= 1
    }
  }
}
