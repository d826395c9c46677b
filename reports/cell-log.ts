import { closeSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CellResult } from '../harness/results/model.ts'
import { createFile, writeAll } from './files.ts'
import type { Owner } from './owner.ts'

/** Name of the log that stands beside results.json while a run lives. */
export const CELL_LOG = 'cells.ndjson'

/** The most that a kill may lose: this many milliseconds of finished cells, or this many characters. */
const FLUSH_MS = 200
const FLUSH_CHARACTERS = 64 * 1024

/**
 * The finished cells of a living run, one JSON text a line behind a head that names the run. What was
 * written survives SIGKILL, for the page cache has it.
 */
export class CellLog {
  readonly #path: string
  readonly #descriptor: number
  readonly #atExit = () => this.flush()
  #buffer: string
  #timer: NodeJS.Timeout | undefined
  #open = true

  /** Creates the log; an old one in its place belongs to a dead run and is removed. */
  constructor(directory: string, started: string, owner: Owner | null) {
    this.#path = join(directory, CELL_LOG)
    this.#descriptor = createFile(this.#path, owner)
    this.#buffer = `${JSON.stringify({ started })}\n`
    this.flush()
    // process.exit() and uncaught exceptions run no timers, but they do run this.
    process.on('exit', this.#atExit)
  }

  /** Takes one finished cell; on disk at the latest after FLUSH_MS if the event loop turns. */
  add(cell: CellResult): void {
    this.#buffer += `${JSON.stringify(cell)}\n`
    if (this.#buffer.length >= FLUSH_CHARACTERS) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref()
  }

  /** Writes what is gathered. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (!this.#open || this.#buffer === '') return
    const text = this.#buffer
    this.#buffer = ''
    writeAll(this.#descriptor, text)
  }

  /** Ends the log and removes it: results.json has everything now. */
  remove(): void {
    this.flush()
    this.#open = false
    process.off('exit', this.#atExit)
    closeSync(this.#descriptor)
    rmSync(this.#path, { force: true })
  }
}
