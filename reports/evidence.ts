import type { CellResult } from '../harness/results/model.ts'

/**
 * Decides which cells keep their evidence: each that did not pass, and of the passing cells of one rule
 * and arm the first in the order of the plan. Cells may come in any order; what is kept in the end is the same.
 */
export class EvidenceKeeper {
  readonly #first = new Map<string, { index: number; cell: CellResult }>()

  /**
   * The cell as it is to be kept. `index` is its place in the plan. A passing cell that was first until now
   * loses its evidence in place.
   */
  keep(cell: CellResult, index: number): CellResult {
    if (cell.verdict !== 'pass' || cell.evidence === undefined) return cell
    const group = `${cell.rule}\n${cell.arm}`
    const known = this.#first.get(group)
    if (known !== undefined && known.index < index) return withoutEvidence(cell)
    const kept = { ...cell }
    if (known !== undefined && known.index !== index) delete known.cell.evidence
    this.#first.set(group, { index, cell: kept })
    return kept
  }
}

/** A copy of the cell without its evidence. */
export function withoutEvidence(cell: CellResult): CellResult {
  const { evidence: _, ...rest } = cell
  return rest
}
