import { readFileSync, statSync } from 'node:fs'
import { execa } from 'execa'

/** What a command did; `missing` when there is no such command. */
export interface Ran {
  status: number | null
  stderr: string
  missing: boolean
}

/** The machine as far as verifying looks at it; tests put another in its place. */
export interface Machine {
  /** Null when it cannot be told (no permission to look). */
  exists(path: string): boolean | null
  /** The file's text; null when it cannot be read. */
  read(path: string): string | null
  /** Runs a command to its end, five seconds at most. */
  run(command: string, args: readonly string[]): Promise<Ran>
}

/** Milliseconds; each command used here takes a few. */
const LIMIT = 5000

/** This machine. Loads no module and changes nothing. */
export const thisMachine: Machine = {
  exists(path) {
    try {
      statSync(path)
      return true
    } catch (problem) {
      const code = problem instanceof Error && 'code' in problem ? problem.code : null
      return code === 'ENOENT' || code === 'ENOTDIR' ? false : null
    }
  },
  read(path) {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return null
    }
  },
  async run(command, args) {
    const result = await execa(command, args, {
      reject: false,
      timeout: LIMIT,
      forceKillAfterDelay: 500,
      stdin: 'ignore',
      // Error messages are compared, so they must not be translated.
      env: { LC_ALL: 'C' },
    })
    return {
      status: result.exitCode ?? null,
      stderr: result.stderr,
      missing: 'code' in result && result.code === 'ENOENT',
    }
  },
}
