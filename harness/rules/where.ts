import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { projectTop } from '../ways/program.ts'

/** The repository-relative place in suites/ from where the caller was called. */
export function whereDefined(): { file: string; line: number } {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 12
  const stack = new Error('where').stack ?? ''
  Error.stackTraceLimit = stackTraceLimit
  for (const row of stack.split('\n')) {
    const match = /((?:file:\/\/|\/)[^\s()]*\/suites\/[^\s():]+):(\d+):\d+/.exec(row)
    if (match?.[1] && match[2]) {
      const path = match[1].startsWith('file:') ? fileURLToPath(match[1]) : match[1]
      return { file: relative(projectTop(), path), line: Number(match[2]) }
    }
  }
  return { file: 'suites', line: 0 }
}
