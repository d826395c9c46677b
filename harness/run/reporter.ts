import type { Reporter, TestCase } from 'vitest/node'
import type { CellResult } from '../results/model.ts'

/**
 * Carries each finished cell from the workers to `take`, and whatever else broke to `broken`. Vitest's own
 * verdict is not asked: a worker that is killed leaves its tests pending and the run `passed`.
 */
export class CellReporter implements Reporter {
  /** What went wrong besides cells: a worker that died, a suite that did not load. */
  readonly broken: string[] = []
  readonly #take: (cell: CellResult) => void

  constructor(take: (cell: CellResult) => void) {
    this.#take = take
  }

  onTestCaseResult(test: TestCase): void {
    const { cell } = test.meta()
    const result = test.result()
    if (cell) this.#take(cell)
    else if (result.state === 'failed')
      this.broken.push(`${test.fullName}: ${result.errors.map(({ message }) => message).join('; ')}`)
  }

  onTestModuleEnd(module: { moduleId: string; errors(): { message: string }[] }): void {
    for (const { message } of module.errors()) this.broken.push(`${module.moduleId}: ${message}`)
  }

  onTestRunEnd(_modules: readonly unknown[], unhandled: readonly { message: string }[]): void {
    for (const { message } of unhandled) this.broken.push(message)
  }
}
