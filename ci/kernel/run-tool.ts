import { execa } from 'execa'

/** A tool of the system that failed: the sentence names it and repeats the end of what it said. */
export class ToolFailed extends Error {
  override name = 'ToolFailed'
}

export interface ToolOptions {
  cwd?: string
  env?: Readonly<Record<string, string>>
  /** Given to its standard input. */
  input?: string
  /** Ends the program early. */
  stop?: AbortSignal | undefined
  /** How its output becomes text: UTF-8 unless it is bytes. */
  encoding?: 'utf8' | 'latin1'
  /** Completes "cannot …" in the error's sentence; the command line by default. */
  doing?: string
}

/**
 * Runs a program to its end and resolves to its standard output. The program dies with this process
 * (PR_SET_PDEATHSIG), speaks English, and reads no terminal. Rejects with ToolFailed when it fails.
 */
export async function runTool(
  file: string,
  words: readonly string[],
  options: ToolOptions = {},
): Promise<string> {
  const done = await execa('setpriv', ['--pdeathsig', 'TERM', '--', file, ...words], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...options.env, LC_ALL: 'C' },
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    ...(options.stop === undefined ? {} : { cancelSignal: options.stop }),
    encoding: options.encoding ?? 'utf8',
    reject: false,
    maxBuffer: 64 * 1024 * 1024,
    stripFinalNewline: false,
  })
  if (!done.failed) return done.stdout
  if (done.isCanceled) throw new ToolFailed(`stopped: ${options.doing ?? file}`)
  const said = lastLines(`${done.stdout}\n${done.stderr}`, 4)
  const how =
    done.exitCode === undefined ? (done.signal ?? done.code ?? 'it did not start') : `status ${done.exitCode}`
  throw new ToolFailed(
    `cannot ${options.doing ?? `run ${[file, ...words].join(' ')}`} (${how})${said && `: ${said}`}`,
  )
}

/** The last `count` lines that say something, joined to one. */
export function lastLines(text: string, count: number): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-count)
    .join(' | ')
}
