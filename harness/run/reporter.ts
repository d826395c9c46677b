import type { Reporter, TestCase, Vitest } from 'vitest/node'
import type { CellResult } from '../results/model.ts'

/** Takes the results as they come. */
export interface Sink {
  add(cell: CellResult): void
}

/** What went wrong besides cells: a worker that died, a suite that did not load. */
export interface Breakage {
  messages: string[]
}

/**
 * Carries each finished cell from the workers to the sink, and whatever else broke to `breakage`. Vitest's
 * own verdict is not asked: a worker that is killed leaves its tests pending and the run `passed`.
 */
export class CellReporter implements Reporter {
  readonly breakage: Breakage = { messages: [] }
  readonly #sink: Sink
  readonly #progress: (done: CellResult) => void

  constructor(sink: Sink, progress: (done: CellResult) => void) {
    this.#sink = sink
    this.#progress = progress
  }

  onInit(_vitest: Vitest): void {
    this.breakage.messages.length = 0
  }

  onTestCaseResult(test: TestCase): void {
    const { cell } = test.meta()
    const result = test.result()
    if (cell) {
      this.#sink.add(cell)
      this.#progress(cell)
    } else if (result.state === 'failed') {
      this.breakage.messages.push(
        `${test.fullName}: ${result.errors.map(({ message }) => message).join('; ')}`,
      )
    }
  }

  onTestModuleEnd(module: { moduleId: string; errors(): { message: string }[] }): void {
    for (const { message } of module.errors()) this.breakage.messages.push(`${module.moduleId}: ${message}`)
  }

  onTestRunEnd(_modules: readonly unknown[], unhandled: readonly { message: string }[]): void {
    for (const { message } of unhandled) this.breakage.messages.push(message)
  }
}
