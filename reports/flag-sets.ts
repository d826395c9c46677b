import type { CellResult } from '../harness/results/model.ts'
import { cleanLine } from './clean.ts'

/** The order in which flags are read; the one under test first. */
const ORDER = ['NEWIPC', 'NEWNS', 'NEWPID', 'NEWUTS', 'NEWUSER', 'NEWNET', 'NEWCGROUP']

/** The flags in reading order; unknown ones last, by name. */
export function orderFlags(flags: readonly string[]): string[] {
  return [...new Set(flags)].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

/** `IPC+NS`, or `none`: how a flag set is called in a narrow place. */
export function flagLabel(flags: readonly string[]): string {
  const names = orderFlags(flags).map((flag) => flag.replace(/^(CLONE_)?NEW/, ''))
  return names.length === 0 ? 'none' : names.join('+')
}

/** `clone, unshare × IPC, IPC+NS`: the ways in and flag sets of these cells, at most `limit` of each. */
export function waysAndFlags(cells: readonly CellResult[], limit: number): string {
  const list = (words: string[]): string => {
    const unique = [...new Set(words)]
    return unique.length > limit
      ? `${unique.slice(0, limit).join(', ')}, … (${unique.length})`
      : unique.join(', ')
  }
  const ways = list(cells.map((cell) => cell.via))
  return cleanLine(`${ways} × ${list(cells.map((cell) => flagLabel(cell.flags)))}`)
}

/** Orders flag sets: fewer flags first, then in reading order. */
export function compareFlagSets(a: readonly string[], b: readonly string[]): number {
  const [left, right] = [orderFlags(a), orderFlags(b)]
  if (left.length !== right.length) return left.length - right.length
  for (const [place, flag] of left.entries()) {
    const other = right[place] ?? ''
    if (flag !== other) return rank(flag) - rank(other) || (flag < other ? -1 : 1)
  }
  return 0
}

function rank(flag: string): number {
  const place = ORDER.indexOf(flag)
  return place < 0 ? ORDER.length : place
}
