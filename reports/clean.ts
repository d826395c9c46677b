import { stripVTControlCharacters } from 'node:util'

// With the flag u only halves without their partner match. (toWellFormed is ES2024, and we keep to ES2023.)
const LONE_SURROGATE = /\p{Surrogate}/gu

/**
 * Text that is safe in every report: without ANSI sequences, control characters (tab and newline stay) and
 * halves of surrogate pairs, with one kind of newline. ANSI goes first: without its ESC the rest would stay.
 */
export function clean(text: string): string {
  return (
    stripVTControlCharacters(text)
      .replace(/\r\n?|[\u2028\u2029]/g, '\n')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/g, '')
      .replace(LONE_SURROGATE, '\ufffd')
  )
}

/** Cleaned and on one line, runs of white space made one space. */
export function cleanLine(text: string): string {
  return clean(text).replace(/\s+/g, ' ').trim()
}

/** At most `limit` UTF-16 units of a line, the end marked when something was cut. */
export function shorten(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, Math.max(0, limit - 1)).replace(LONE_SURROGATE, '')}…`
}
