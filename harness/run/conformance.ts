import type { CellResult } from '../results/model.ts'
import type { Area } from '../rules/rule.ts'
import { Engine } from './engine.ts'
import { describeCell } from './result.ts'
import { cellsOf, type Selection } from './selection.ts'

declare module 'vitest' {
  interface ProvidedContext {
    selection: Selection
  }
  interface TaskMeta {
    /** The cell's result, for the reporter in the main process. */
    cell?: CellResult
  }
}

/**
 * The engine of this worker: it serves every suite file that the worker runs, and is ended by the worker's
 * end, whatever that is. On globalThis because vitest may load this module once for each file.
 */
function workerEngine(disposable: boolean): Engine {
  const holder = globalThis as { ipcnsEngine?: Engine }
  holder.ipcnsEngine ??= new Engine({ disposable })
  return holder.ipcnsEngine
}

/**
 * What a suite file ends with: the tests of its area. Does nothing where a suite file is imported for its
 * rules alone: outside vitest, from a bundle, and by the project's own tests, which provide no selection.
 */
export async function conformance(area: Area): Promise<void> {
  if (process.env.VITEST && import.meta.url.endsWith('.ts')) await testCells(area)
}

/** Makes one vitest test of each cell of an area. */
export async function testCells(area: Area): Promise<void> {
  const { beforeAll, describe, inject, test } = await import('vitest')
  const selection: Selection | undefined = inject('selection')
  if (!selection) return
  const cells = cellsOf(area, selection)
  describe(area.title, () => {
    let results: ReadonlyMap<string, Promise<CellResult>> = new Map()
    beforeAll(() => {
      results = workerEngine(selection.disposable).start(cells)
    })
    for (const cell of cells)
      test(cell.id, async ({ task, skip }) => {
        const result = (await results.get(cell.id)) ?? describeCell(cell)
        task.meta.cell = result
        if (result.verdict === 'skip') skip(result.reason)
        if (result.verdict !== 'pass') throw new NotConforming(result)
      })
    if (cells.length === 0) test.skip('no cell of this area is selected')
  })
}

/** What a test of a cell throws; the proof is in the cell's result. */
class NotConforming extends Error {
  constructor(result: CellResult) {
    super(`${result.verdict}: ${result.reason ?? ''}`)
    this.name = result.verdict
    // The place is the rule's, which the result names.
    this.stack = `${this.name}: ${this.message}\n    at ${result.file}:${result.line}:1`
  }
}
