import type { CellResult } from '../harness/results/model.ts'
import { areasOf, areaTitle } from './areas.ts'
import { clean } from './clean.ts'
import { compareFlagSets, flagLabel, orderFlags } from './flag-sets.ts'
import { flagSetsOf } from './html-data.ts'
import { SIGNS, STATES, type State, type Tally, tallyOf, tallyText, worstOf } from './states.ts'

/** More columns than this are drawn narrow, with a dot for each flag of a column. */
const WIDE_COLUMNS = 14

/** One count of a field. */
export interface Part {
  state: State
  sign: string
  number: number
  css: string
}

interface Field {
  state: State | 'empty'
  label: string
  /** Index of the flag set, or one of SUMS. */
  flags: string
  parts: Part[]
  edge: boolean
  total: boolean
}

/** The matrix as the template draws it. */
export interface PageMatrix {
  dense: boolean
  /** Titles over the columns; none in a dense matrix, whose blocks stand one above the other. */
  groups: { title: string; span: number; edge: boolean }[]
  columns: { words: string[]; edge: boolean }[]
  /** For each flag one row of dots, in a dense matrix. */
  flags: { name: string; dots: boolean[] }[]
  blocks: { title: string; rows: Row[] }[]
}

interface Row {
  area: string
  name: string
  title: string
  fields: Field[]
}

/** What `data-f` of a sum says: all flag sets, those with NEWIPC, those without. */
const SUMS = { all: '', isolated: 'ipc', shared: 'shared' } as const

const TITLES = { isolated: 'with CLONE_NEWIPC', shared: 'without CLONE_NEWIPC' } as const

/** Areas × flag sets, those with CLONE_NEWIPC first: side by side, or one above the other when many. */
export function pageMatrix(cells: readonly CellResult[]): PageMatrix {
  const sets = flagSetsOf(cells)
  const buckets = bucketsOf(cells)
  return sets.length > WIDE_COLUMNS ? denseMatrix(cells, sets, buckets) : wideMatrix(cells, sets, buckets)
}

type Buckets = Map<string, CellResult[]>

function bucketsOf(cells: readonly CellResult[]): Buckets {
  const buckets: Buckets = new Map()
  for (const cell of cells) {
    const key = `${cell.area}\n${flagLabel(cell.flags)}`
    const bucket = buckets.get(key)
    if (bucket) bucket.push(cell)
    else buckets.set(key, [cell])
  }
  return buckets
}

function wideMatrix(cells: readonly CellResult[], sets: readonly string[][], buckets: Buckets): PageMatrix {
  const isolated = sets.filter((set) => set.includes('NEWIPC')).length
  const edge = (index: number): boolean => index === isolated && index > 0
  const groups = [
    { title: TITLES.isolated, span: isolated, edge: false },
    { title: TITLES.shared, span: sets.length - isolated, edge: isolated > 0 },
  ]
  return {
    dense: false,
    groups: groups.filter((group) => group.span > 0),
    columns: sets.map((set, index) => ({ words: wordsOf(set), edge: edge(index) })),
    flags: [],
    blocks: [{ title: '', rows: rowsOf(cells, sets, sets, buckets, SUMS.all, edge) }],
  }
}

function denseMatrix(cells: readonly CellResult[], sets: readonly string[][], buckets: Buckets): PageMatrix {
  const others = new Map<string, string[]>()
  for (const set of sets) {
    const rest = set.filter((flag) => flag !== 'NEWIPC')
    others.set(flagLabel(rest), rest)
  }
  const columns = [...others.values()].sort(compareFlagSets)
  const blocks = (['isolated', 'shared'] as const).flatMap((half) => {
    const inHalf = cells.filter((cell) => cell.flags.includes('NEWIPC') === (half === 'isolated'))
    const shown = columns.map((set) => (half === 'isolated' ? ['NEWIPC', ...set] : set))
    const rows = rowsOf(inHalf, sets, shown, buckets, SUMS[half], () => false)
    return inHalf.length > 0 ? [{ title: TITLES[half], rows }] : []
  })
  return {
    dense: true,
    groups: [],
    columns: columns.map((set) => ({ words: wordsOf(set), edge: false })),
    flags: orderFlags(columns.flat()).map((flag) => ({
      name: clean(flag),
      dots: columns.map((set) => set.includes(flag)),
    })),
    blocks,
  }
}

function rowsOf(
  cells: readonly CellResult[],
  sets: readonly string[][],
  shown: readonly string[][],
  buckets: Buckets,
  sum: string,
  edge: (index: number) => boolean,
): Row[] {
  const places = new Map(sets.map((set, index) => [flagLabel(set), index]))
  return areasOf(cells).map((area) => {
    const name = clean(area).toUpperCase()
    const inArea = shown.map((set) => buckets.get(`${area}\n${flagLabel(set)}`) ?? [])
    const fields = shown.map((set, index) => {
      const label = flagLabel(set)
      return fieldOf(inArea[index] ?? [], `${name}, ${label}`, String(places.get(label) ?? ''), edge(index))
    })
    const total = { ...fieldOf(inArea.flat(), `${name}, all flag sets`, sum, true), total: true }
    return { area: clean(area), name, title: clean(areaTitle(area)), fields: [...fields, total] }
  })
}

/** The counts of a tally, the most telling first. */
export function partsOf(tally: Tally): Part[] {
  return STATES.filter((state) => tally[state] > 0).map((state, place) => ({
    state,
    sign: SIGNS[state],
    number: tally[state],
    css: place === 0 ? state : `${state} rest`,
  }))
}

function fieldOf(cells: readonly CellResult[], name: string, flags: string, edge: boolean): Field {
  const tally = tallyOf(cells)
  const empty = cells.length === 0
  return {
    state: empty ? 'empty' : worstOf(tally),
    label: clean(`${name}: ${empty ? 'no cell' : tallyText(tally)}`),
    flags,
    parts: partsOf(tally),
    edge,
    total: false,
  }
}

/** The flags of a column without the one that its group already names, one a line. */
function wordsOf(set: readonly string[]): string[] {
  const others = set.filter((flag) => flag !== 'NEWIPC')
  if (others.length === 0) return [set.length === 0 ? 'none' : 'alone']
  return others.map((flag) => clean(`+${flag.replace(/^NEW/, '')}`))
}
