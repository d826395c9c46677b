import type { CellResult } from '../results/model.ts'
import type { Cell } from '../rules/expand.ts'
import { needsOf } from '../rules/needs.ts'

/** What is known of a cell before it has run; its verdict is `error` until then. */
export function describeCell(cell: Cell): CellResult {
  const { rule, variant } = cell
  return {
    id: cell.id,
    rule: rule.id,
    area: rule.area,
    title: variant ? `${rule.says} (${variant})` : rule.says,
    source: [...rule.source],
    arm: cell.arm,
    ...(rule.kind === 'comparison' ? { armSays: rule.arms[cell.arm] } : {}),
    place: cell.scene.place,
    direction: cell.scene.direction,
    via: cell.via,
    flags: [...cell.flags],
    verdict: 'error',
    reason: 'the cell has not run',
    requires: needsOf(cell),
    ms: 0,
    file: rule.file,
    line: rule.line,
  }
}
