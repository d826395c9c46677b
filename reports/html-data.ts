import type { CellResult } from '../harness/results/model.ts'
import { clean } from './clean.ts'
import { compareFlagSets, flagLabel, orderFlags } from './flag-sets.ts'
import { knownWords, settingOf } from './proof.ts'
import { stateOf } from './states.ts'

/**
 * The cells as the page's script reads them. Texts stand once in `texts`, evidence once in `evidence`, and a
 * cell is a row of indexes (-1 for none) in the order of `CELL_FIELDS`: a tenth of the size of results.json.
 */
export interface PageData {
  rules: PageRule[]
  /** Flag sets in the order of the matrix's columns; `ipc` tells whether NEWIPC is among them. */
  flags: { label: string; ipc: boolean }[]
  texts: string[]
  /** Steps of `[who, call, args, result]`. */
  evidence: string[][][]
  fields: readonly string[]
  cells: number[][]
}

interface PageRule {
  id: string
  title: string
  area: string
  source: string[]
  requires: string[]
  where: string
}

/** Members of a cell's row. All but `rule`, `flags`, `evidence` and `ms` are indexes into `texts`. */
export const CELL_FIELDS = [
  'rule', 'flags', 'evidence', 'ms', 'id', 'state', 'arm', 'place', 'direction', 'via',
  'expected', 'observed', 'reason', 'note', 'byHand', 'known', 'setting',
] as const // biome-ignore format: one line is easier to compare with the row below

/** The distinct flag sets of these cells in the order of the matrix: with NEWIPC, then without. */
export function flagSetsOf(cells: readonly CellResult[]): string[][] {
  const sets = new Map<string, string[]>()
  for (const cell of cells) sets.set(flagLabel(cell.flags), orderFlags(cell.flags))
  const withIpc = (set: readonly string[]): number => (set.includes('NEWIPC') ? 0 : 1)
  return [...sets.values()].sort((a, b) => withIpc(a) - withIpc(b) || compareFlagSets(a, b))
}

/** Packs the cells for the page's script. */
export class Packer {
  readonly #texts = new Map<string, number>()
  readonly #evidence = new Map<string, number>()
  readonly #evidenceList: string[][][] = []
  readonly #rules = new Map<string, number>()
  readonly #data: PageData

  constructor(cells: readonly CellResult[]) {
    const sets = flagSetsOf(cells)
    const flagIndex = new Map(sets.map((set, index) => [flagLabel(set), index]))
    const rules: PageRule[] = []
    const rows = cells.map((cell) => {
      let rule = this.#rules.get(cell.rule)
      if (rule === undefined) {
        rule = rules.push(pageRule(cell)) - 1
        this.#rules.set(cell.rule, rule)
      }
      return [
        rule, flagIndex.get(flagLabel(cell.flags)) ?? -1, this.evidenceIndex(cell), Math.round(cell.ms * 1000) / 1000,
        this.#text(cell.id), this.#text(stateOf(cell)), this.#text(cell.arm), this.#text(cell.place),
        this.#text(cell.direction), this.#text(cell.via), this.#text(cell.expected), this.#text(cell.observed),
        this.#text(cell.reason), this.#text(cell.note), this.#text(cell.byHand?.join('\n')),
        this.#text(cell.known && knownWords(cell.known)), this.#text(settingOf(cell)),
      ] // biome-ignore format: as above
    })
    this.#data = {
      rules,
      flags: sets.map((set) => ({ label: flagLabel(set), ipc: set.includes('NEWIPC') })),
      texts: [...this.#texts.keys()],
      evidence: this.#evidenceList,
      fields: CELL_FIELDS,
      cells: rows,
    }
  }

  /** Place of the cell's evidence in the page's list, -1 when it has none. */
  evidenceIndex(cell: CellResult): number {
    if (!cell.evidence?.length) return -1
    const steps = cell.evidence.map(({ who, call, args, result }) => [who, call, args, result].map(clean))
    const key = JSON.stringify(steps)
    const known = this.#evidence.get(key)
    if (known !== undefined) return known
    this.#evidence.set(key, this.#evidenceList.length)
    return this.#evidenceList.push(steps) - 1
  }

  /** Place of the rule in the page's list. */
  ruleIndex(rule: string): number {
    return this.#rules.get(rule) ?? -1
  }

  /** The data as JSON that can stand inside a script element: no `<` is left that could end it. */
  toJson(): string {
    return JSON.stringify(this.#data).replaceAll('<', '\\u003c')
  }

  #text(text: string | undefined): number {
    if (text === undefined || text === '') return -1
    const cleaned = clean(text)
    const known = this.#texts.get(cleaned)
    if (known !== undefined) return known
    this.#texts.set(cleaned, this.#texts.size)
    return this.#texts.size - 1
  }
}

function pageRule(cell: CellResult): PageRule {
  return {
    id: clean(cell.rule),
    title: clean(cell.title),
    area: clean(cell.area),
    source: cell.source.map(clean),
    requires: (cell.requires ?? []).map(clean),
    where: clean(`${cell.file}:${cell.line}`),
  }
}
