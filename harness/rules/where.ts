import { findSourceMap } from 'node:module'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectTop } from '../ways/program.ts'

/** A line of a suite file. */
export interface SuiteLine {
  /** Relative to the project's top level. */
  file: string
  line: number
}

/** The first place in suites/ that a stack names, itself or through the source map of a bundle. */
export function placeIn(stack: string): SuiteLine | undefined {
  for (const row of stack.split('\n')) {
    const [, address = '', line = '', column = ''] = /((?:file:\/\/|\/)[^\s()]+):(\d+):(\d+)/.exec(row) ?? []
    if (address === '') continue
    const path = address.startsWith('file:') ? fileURLToPath(address) : address
    const original = findSourceMap(path)?.findEntry(Number(line) - 1, Number(column) - 1)
    const found =
      original && 'originalSource' in original
        ? { path: pathOf(original.originalSource), line: original.originalLine + 1 }
        : { path, line: Number(line) }
    if (found.path.includes('/suites/') && !found.path.includes('/dist/'))
      return { file: relative(projectTop(), found.path), line: found.line }
  }
  return undefined
}

/** The place in suites/ from where the caller was called. */
export function whereDefined(): SuiteLine {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 12
  const stack = new Error('where').stack ?? ''
  Error.stackTraceLimit = stackTraceLimit
  return placeIn(stack) ?? { file: 'suites', line: 0 }
}

function pathOf(address: string): string {
  return address.startsWith('file:') ? fileURLToPath(address) : address
}
