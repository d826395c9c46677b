import { readFileSync } from 'node:fs'

/**
 * The processors of this machine, lent to one guest each. User-mode Linux runs one of its processes at a time and
 * (up to 6.12 at least, by ptrace) stops it at each system call and page fault: all on one processor, a clone takes half the time.
 */
export class Processors {
  readonly #guests: Map<number, number>

  constructor(processors: readonly number[] = allowedProcessors()) {
    // Another run on this machine lends out the same ones: not everybody begins with the first.
    const first = Math.floor(Math.random() * processors.length)
    this.#guests = new Map([...processors.slice(first), ...processors.slice(0, first)].map((one) => [one, 0]))
  }

  /** Does the work of one guest with the number of the processor that has the fewest of them. */
  async lend<T>(work: (processor: number) => Promise<T>): Promise<T> {
    const [[processor, guests] = [0, 0]] = [...this.#guests].sort(([, a], [, b]) => a - b)
    this.#guests.set(processor, guests + 1)
    try {
      return await work(processor)
    } finally {
      this.#guests.set(processor, (this.#guests.get(processor) ?? 1) - 1)
    }
  }
}

/** Numbers of the processors that this process may use (proc_pid_status(5), Cpus_allowed_list). */
export function allowedProcessors(status: string = readFileSync('/proc/self/status', 'latin1')): number[] {
  const list = /^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1] ?? '0'
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
