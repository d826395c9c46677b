import type { ParseArgsConfig } from 'node:util'
import { parseArgs } from 'node:util'
import { UsageError } from '../../harness/usage-error.ts'

type Options = NonNullable<ParseArgsConfig['options']>

/**
 * Reads a command line with node's own parser. Throws UsageError, in one sentence, for an unknown option, a
 * missing value or a word that is not expected.
 */
export function readOptions<T extends Options>(
  words: readonly string[],
  options: T,
  positionals: 'words' | 'none',
) {
  try {
    return parseArgs({
      args: [...words],
      options,
      strict: true,
      allowPositionals: positionals === 'words',
    })
  } catch (problem) {
    const message = problem instanceof Error ? problem.message : String(problem)
    const bare = /'(?:-\w, )?(--[\w-]+)[^']*' argument (is ambiguous|missing)/.exec(message)
    throw new UsageError(bare ? `${bare[1]} wants a value` : (message.split(/\.\s/)[0] ?? message))
  }
}

/** Reads a number greater than 0 of an option. Throws UsageError for anything else; undefined passes through. */
export function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new UsageError(`--${option} wants a number greater than 0, not "${text}"`)
  return value
}

/** Reads `a,b,c`; empty parts are dropped. */
export function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
