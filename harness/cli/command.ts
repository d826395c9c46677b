import { UsageError } from '../usage-error.ts'

/** One subcommand of `ipcns`. */
export interface Command {
  /** What it does, one line of the overview. */
  summary: string
  /** The whole text of `--help`. */
  help: string
  /**
   * Runs it with the words after its name and resolves to the exit status.
   * Throws UsageError for bad input; anything else thrown is a defect of ours.
   */
  run(words: readonly string[]): Promise<number>
}

/** Exit statuses of every command (DESIGN: 0 conforms, 1 does not, 2 usage or broken, 77 nothing could run). */
export const EXIT = { ok: 0, nonconforming: 1, broken: 2, nothingRan: 77 } as const

/**
 * Finds the named command and runs it. Bad input becomes one sentence on standard error and status 2;
 * with IPCNS_DEBUG set, an unexpected exception shows its stack as well.
 */
export async function dispatch(
  words: readonly string[],
  commands: Readonly<Record<string, () => Promise<Command>>>,
): Promise<number> {
  const [name, ...rest] = words
  // A reader such as head(1) that has seen enough ends neither the command nor the reports it writes.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreBrokenPipe)
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      process.stdout.write(await overview(commands))
      return name === undefined ? EXIT.broken : EXIT.ok
    }
    const load = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (!load) throw new UsageError(`unknown command "${name}"; known: ${Object.keys(commands).join(', ')}`)
    const command = await load()
    // Words after "--" belong to somebody else's command.
    const own = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
    if (own.includes('--help') || own.includes('-h')) {
      process.stdout.write(command.help.endsWith('\n') ? command.help : `${command.help}\n`)
      return EXIT.ok
    }
    return await command.run(rest)
  } catch (problem) {
    const message = problem instanceof Error ? problem.message : String(problem)
    process.stderr.write(`ipcns: ${message}\n`)
    if (!(problem instanceof UsageError) && problem instanceof Error && process.env.IPCNS_DEBUG)
      process.stderr.write(`${problem.stack}\n`)
    return EXIT.broken
  }
}

function ignoreBrokenPipe(problem: NodeJS.ErrnoException): void {
  if (problem.code !== 'EPIPE') throw problem
}

async function overview(commands: Readonly<Record<string, () => Promise<Command>>>): Promise<string> {
  const rows = await Promise.all(
    Object.entries(commands).map(async ([name, load]) => `  ${name.padEnd(9)}${(await load()).summary}\n`),
  )
  return `Usage: ipcns COMMAND [OPTION...]\n\nSays whether CLONE_NEWIPC really isolates on this kernel.\n\n${rows.join('')}\n"ipcns COMMAND --help" explains one.\n`
}
