import Table from 'cli-table3'
import type pc from 'picocolors'
import type { CellResult } from '../harness/results/model.ts'
import { areasOf } from './areas.ts'
import { cleanLine, shorten } from './clean.ts'
import { compareFlagSets, flagLabel } from './flag-sets.ts'
import { tallyOf } from './states.ts'

/** The colours in use; without colour all are the identity. */
export type Paint = ReturnType<typeof pc.createColors>

/** The most flag sets that get a column each. */
const COLUMNS = 7

/**
 * Areas × flag sets, each field with its counts: `12` passed, `2F` failed, `3s` skipped, `1k` known, `1E`
 * errors. Cells with CLONE_NEWIPC and without stand in blocks of their own, so that columns are the other
 * flags; when those are too many for the width, a column is a number of other flags.
 */
export function renderMatrix(cells: readonly CellResult[], width: number, paint: Paint): string {
  if (cells.length === 0) return ''
  const columns = columnsOf(cells)
  const blocks = [true, false].map((isolated) => {
    const inBlock = cells.filter((cell) => cell.flags.includes('NEWIPC') === isolated)
    return inBlock.length === 0 ? '' : block(inBlock, isolated, columns, width, paint)
  })
  const legend = 'F fail  E error  s skip  k known deviation  · no cell'
  return `${blocks.filter((text) => text !== '').join('\n\n')}\n\n${legend}`
}

interface Column {
  label: string
  holds(others: readonly string[]): boolean
}

function columnsOf(cells: readonly CellResult[]): Column[] {
  const sets = new Map<string, string[]>()
  for (const cell of cells) {
    const others = othersOf(cell)
    sets.set(flagLabel(others), others)
  }
  const sorted = [...sets.values()].sort(compareFlagSets)
  if (sorted.length <= COLUMNS)
    return sorted.map((set) => {
      const label = flagLabel(set)
      return {
        label: set.length === 0 ? 'alone' : `+${label}`,
        holds: (others) => flagLabel(others) === label,
      }
    })
  const sizes = [...new Set(sorted.map((set) => set.length))].sort((a, b) => a - b)
  return sizes.map((size) => ({
    label: size === 0 ? 'alone' : `+${size} flag${size === 1 ? '' : 's'}`,
    holds: (others) => others.length === size,
  }))
}

function block(
  cells: readonly CellResult[],
  isolated: boolean,
  columns: readonly Column[],
  width: number,
  paint: Paint,
): string {
  const used = columns.filter((column) => cells.some((cell) => column.holds(othersOf(cell))))
  const areaWidth = 6
  const each = Math.max(7, Math.floor((width - areaWidth) / (used.length + 1)))
  const table = new Table({
    head: [],
    colWidths: [areaWidth, ...used.map(() => each), each],
    colAligns: ['left', ...used.map(() => 'right' as const), 'right'],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
    chars: NO_BORDERS,
  })
  const labels = used.map((column) => shorten(cleanLine(column.label), each - 1))
  table.push(['', ...labels, 'all'].map((text) => paint.dim(text)))
  for (const area of areasOf(cells)) {
    const row = cells.filter((cell) => cell.area === area)
    const fields = used.map((column) =>
      field(
        row.filter((cell) => column.holds(othersOf(cell))),
        each,
        paint,
      ),
    )
    table.push([shorten(cleanLine(area.toUpperCase()), areaWidth - 1), ...fields, field(row, each, paint)])
  }
  const title = isolated ? 'with CLONE_NEWIPC' : 'without CLONE_NEWIPC'
  const rows = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
  return [paint.bold(title), ...rows].join('\n')
}

/** The counts of one field; findings first when there is not room for all. */
function field(cells: readonly CellResult[], width: number, paint: Paint): string {
  if (cells.length === 0) return paint.dim('·')
  const tally = tallyOf(cells)
  const parts: [string, (text: string) => string][] = []
  if (tally.fail > 0) parts.push([`${tally.fail}F`, paint.red])
  if (tally.error > 0) parts.push([`${tally.error}E`, paint.magenta])
  if (tally.known > 0) parts.push([`${tally.known}k`, paint.yellow])
  if (tally.skip > 0) parts.push([`${tally.skip}s`, paint.yellow])
  if (tally.pass > 0) parts.unshift([String(tally.pass), paint.green])
  // Least telling first to go: passes, then skips.
  const room = width - 1
  const length = () => parts.reduce((sum, [text]) => sum + text.length + 1, -1)
  if (length() > room && tally.pass > 0 && parts.length > 1) parts.shift()
  while (length() > room && parts.length > 1) parts.pop()
  return parts.map(([text, colour]) => colour(text)).join(' ')
}

function othersOf(cell: CellResult): string[] {
  return cell.flags.filter((flag) => flag !== 'NEWIPC')
}

const NO_BORDERS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((name) => [name, '']),
)
