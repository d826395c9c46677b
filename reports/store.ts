import { join } from 'node:path'
import {
  type CellResult,
  RESULTS_SCHEMA,
  type Results,
  type RunInfo,
  summarize,
} from '../harness/results/model.ts'
import { CellLog } from './cell-log.ts'
import { EvidenceKeeper, withoutEvidence } from './evidence.ts'
import { asUsageError, type Text, writeAtomically } from './files.ts'
import { FORMATS, type FormatName } from './formats.ts'
import { makeDirectory, type Owner, sudoOwner } from './owner.ts'
import { renderResultsJson } from './results-json.ts'

export { readResults } from './read.ts'

/** What a planned cell says until its result is there. */
export const NEVER_RAN = 'the run ended before this cell ran'

/** How a run ended. */
export interface RunEnd {
  /** Wall time in milliseconds. */
  durationMs: number
  /** Somebody ended it before its time: the reports say that it is not finished. */
  interrupted?: boolean
}

/** A run that is being written down. */
export interface OpenRun {
  /**
   * Takes one finished cell. Synchronous and cheap; on disk within 0.2 s. A cell that comes twice keeps the
   * worse verdict; one that was not planned is kept behind the planned ones.
   */
  add(cell: CellResult): void
  /** Everything that is known now, for other reports; until `finish` it is unfinished, cells to come are `error`. */
  results(): Results
  /**
   * Writes results.json, junit.xml and the formats asked for, removes the log, and returns the paths in
   * that order. `durationMs` is the wall time of the run. Cells that never came stay `error`.
   */
  finish(end: RunEnd, formats?: readonly FormatName[]): string[]
}

/**
 * Begins to write a run down in `directory`, which is created when it is missing. From here on a readable,
 * red results.json and junit.xml are there, so that even SIGKILL leaves the truth. What is created belongs
 * to the caller of sudo. Throws UsageError when the directory cannot be written.
 */
export function openRun(directory: string, run: RunInfo, plan: readonly CellResult[]): OpenRun {
  return new Store(directory, run, plan)
}

const WORSE: readonly CellResult['verdict'][] = ['pass', 'skip', 'fail', 'error']

class Store implements OpenRun {
  readonly #directory: string
  readonly #owner: Owner | null = sudoOwner()
  #run: RunInfo
  readonly #cells: CellResult[]
  readonly #index = new Map<string, number>()
  readonly #planned: number
  readonly #came = new Set<number>()
  readonly #evidence = new EvidenceKeeper()
  readonly #log: CellLog

  constructor(directory: string, run: RunInfo, plan: readonly CellResult[]) {
    this.#directory = directory
    const { unfinished: _, ...finished } = run
    this.#run = { ...finished, unfinished: true }
    this.#cells = plan.map((cell) => {
      const { known: _, ...planned } = withoutEvidence(cell)
      return { ...planned, verdict: 'error', reason: NEVER_RAN }
    })
    for (const [index, cell] of this.#cells.entries()) {
      if (this.#index.has(cell.id)) throw new Error(`two planned cells have the id ${cell.id}`)
      this.#index.set(cell.id, index)
    }
    this.#planned = this.#cells.length
    try {
      makeDirectory(directory, this.#owner)
      // The log first: from the moment results.json says "unfinished", a log that is beside it is this run's.
      this.#log = new CellLog(directory, run.started, this.#owner)
    } catch (problem) {
      throw asUsageError(problem, directory)
    }
    this.#write([])
  }

  add(cell: CellResult): void {
    let index = this.#index.get(cell.id)
    if (index === undefined) {
      index = this.#cells.length
      this.#index.set(cell.id, index)
    }
    const before = this.#came.has(index) ? this.#cells[index] : undefined
    if (before && WORSE.indexOf(before.verdict) >= WORSE.indexOf(cell.verdict)) return
    const kept = this.#evidence.keep(cell, index)
    this.#came.add(index)
    this.#cells[index] = kept
    this.#log.add(kept)
  }

  results(): Results {
    // Unplanned cells came in the order of their finishing; by id the same results give the same bytes.
    const unplanned = this.#cells.slice(this.#planned).sort((a, b) => (a.id < b.id ? -1 : 1))
    const cells = [...this.#cells.slice(0, this.#planned), ...unplanned]
    return { schema: RESULTS_SCHEMA, run: this.#run, summary: summarize(cells), cells }
  }

  finish(end: RunEnd, formats: readonly FormatName[] = []): string[] {
    const { unfinished: _, ...run } = this.#run
    this.#run = { ...run, durationMs: end.durationMs, ...(end.interrupted ? { unfinished: true } : {}) }
    const paths = this.#write(formats)
    this.#log.remove()
    return paths
  }

  #write(formats: readonly FormatName[]): string[] {
    const results = this.results()
    const write = (file: string, text: Text): string => {
      const path = join(this.#directory, file)
      writeAtomically(path, text, this.#owner)
      return path
    }
    // JUnit before results.json: whoever finds a finished results.json finds a finished junit.xml as well.
    const others = [...new Set<FormatName>(['junit', ...formats])].map((name) =>
      write(FORMATS[name].file, FORMATS[name].render(results)),
    )
    return [write('results.json', renderResultsJson(results)), ...others]
  }
}
