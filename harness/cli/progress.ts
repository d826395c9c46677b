import type { CellResult } from '../results/model.ts'

/** Says on standard error how far a run is: one line that is written over on a terminal, else a few lines. */
export class Progress {
  readonly #total: number
  readonly #terminal = process.stderr.isTTY === true
  #done = 0
  #bad = 0
  #said = 0

  constructor(total: number) {
    this.#total = total
  }

  /** One more cell is done. */
  done(cell: CellResult): void {
    this.#done += 1
    if (cell.verdict === 'fail' || cell.verdict === 'error') this.#bad += 1
    const now = performance.now()
    if (now - this.#said < (this.#terminal ? 80 : 5000)) return
    this.#said = now
    this.#say()
  }

  /** Clears the line. */
  end(): void {
    if (this.#terminal) process.stderr.write('\r\u001b[2K')
  }

  #say(): void {
    const bad = this.#bad > 0 ? `, ${this.#bad} not passed` : ''
    const line = `${this.#done} of ${this.#total} cells${bad}`
    process.stderr.write(this.#terminal ? `\r\u001b[2K${line}` : `${line}\n`)
  }
}
