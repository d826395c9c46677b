import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PROLIFIC, SINGLE_THREADED } from '../probe/v8-flags.ts'

/** The project's top level, found from wherever this code was bundled to. */
export function projectTop(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json'))) {
    const above = dirname(directory)
    if (above === directory) throw new Error('package.json of ipcns not found')
    directory = above
  }
  return directory
}

/** Command line of a probe that connects to the harness. */
export function probeProgram(socketPath: string, token: string): string[] {
  return [process.execPath, ...SINGLE_THREADED, program(), socketPath, token]
}

/** Command line of a probe that others are cloned from: slower to start, and they are faster for it. */
export function rootProgram(socketPath: string, token: string): string[] {
  return [process.execPath, ...PROLIFIC, program(), socketPath, token, 'rehearse']
}

/** How long, in milliseconds, a program that does not answer may take to end and say why. */
export const LAST_WORDS_MS = 1000

function program(): string {
  return join(projectTop(), 'dist/probe.cjs')
}

/**
 * The environment of a probe: the runner's, without what Node would read at each start. Certificates of
 * NODE_EXTRA_CA_CERTS alone take as long as the rest of its start.
 */
export function probeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NODE_')))
}
