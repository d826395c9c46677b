import { UsageError } from '../../harness/usage-error.ts'

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
