/** What the rules need, for the commands that predict a run from a configuration. */
import type { Need, RuleNeeds } from '../../ci/kconfig/predict.ts'
import { areas } from '../../suites/all.ts'
import type { Cell } from '../rules/expand.ts'
import { needsOf } from '../rules/needs.ts'
import type { Profile } from '../rules/profiles.ts'
import { needOf, REQUIREMENTS } from '../rules/requirements.ts'
import { cellsOf, everything } from '../run/selection.ts'

/** Only a run with --disposable has such cells; no configuration decides that. */
const DISPOSABLE: Need = { name: 'a disposable guest' }

/** Every rule of a profile with what its kinds of cells need, the disposable ones included. */
export function ruleNeeds(profile: Profile): RuleNeeds[] {
  const usual = new Set(areas.flatMap((area) => cellsOf(area, everything(profile))).map(({ id }) => id))
  const cells = areas.flatMap((area) => cellsOf(area, { ...everything(profile), disposable: true }))
  const byRule = new Map<string, Cell[]>()
  for (const cell of cells) byRule.set(cell.rule.id, [...(byRule.get(cell.rule.id) ?? []), cell])
  return areas
    .flatMap(({ rules }) => rules)
    .map(({ id, says }) => ({
      id,
      title: says,
      needs: [],
      cells: kinds((byRule.get(id) ?? []).map((cell) => needsOfCell(cell, usual.has(cell.id)))),
    }))
}

function needsOfCell(cell: Cell, usual: boolean): Need[] {
  const needs = needsOf(cell).flatMap((name): Need[] => {
    const { besides } = REQUIREMENTS[name]
    const need = needOf(name)
    return besides === undefined ? [need] : [need, { name: `${name}: ${besides}` }]
  })
  return usual ? needs : [...needs, DISPOSABLE]
}

/** Cells with the same needs are one kind. */
function kinds(cells: readonly Need[][]): Need[][] {
  return [...new Map(cells.map((needs) => [needs.map(({ name }) => name).join('\n'), needs])).values()]
}
