import { type ParseArgsConfig, parseArgs } from 'node:util'
import { UsageError } from '../usage-error.ts'

type Options = NonNullable<ParseArgsConfig['options']>

/**
 * Reads a command line with node's own parser; every subcommand does it here. Throws UsageError, in one sentence
 * that names the command's help, for an unknown option, a missing value or a word that is not expected.
 */
export function readOptions<const T extends Options>(
  command: string,
  words: readonly string[],
  options: T,
  positionals: 'words' | 'none',
) {
  try {
    return parseArgs({ args: [...words], options, strict: true, allowPositionals: positionals === 'words' })
  } catch (problem) {
    const message = problem instanceof Error ? problem.message : String(problem)
    const bare = /'(?:-\w, )?(--[\w-]+)[^']*' argument (is ambiguous|missing)/.exec(message)
    // Node's message goes on with advice about "--"; the first sentence says it.
    const why = bare ? `${bare[1]} wants a value` : (message.split(/\.\s/)[0] ?? message)
    throw new UsageError(`${why}; see "ipcns ${command} --help"`)
  }
}
