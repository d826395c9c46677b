import { type Need, needOf, type RequirementName } from '../rules/requirements.ts'
import type { Area, Rule } from '../rules/rule.ts'

/** One rule as `ipcns list --json` and the checked-in catalogue have it. */
export interface ListedRule {
  id: string
  area: string
  title: string
  source: readonly string[]
  needs: Need[]
  /** What single variants need besides. */
  variantNeeds?: Readonly<Record<string, Need[]>>
  /** What cells with a side in the initial namespace need besides. */
  initialNeeds?: Need[]
  arms: { treatment: string; control: string }
  since?: string
  variants?: readonly string[]
  bugs?: string[]
  disposableOnly?: string
  file: string
}

/** Everything that `ipcns list` knows. */
export interface Listing {
  rules: readonly ListedRule[]
  unruled: readonly { id: string; area: string; title: string; reason: string }[]
}

/** Lists the rules and the rows without one, in the catalogue's order. */
export function listing(areas: readonly Area[]): Listing {
  return {
    rules: areas.flatMap((area) => area.rules.map(listed)),
    unruled: areas.flatMap((area) =>
      area.unruled.map(({ id, says, reason }) => ({ id, area: area.name, title: says, reason })),
    ),
  }
}

function listed(rule: Rule): ListedRule {
  return {
    id: rule.id,
    area: rule.area,
    title: rule.says,
    source: rule.source,
    needs: (rule.needs ?? []).map(needOf),
    ...(rule.variantNeeds === undefined ? {} : { variantNeeds: mapNeeds(rule.variantNeeds) }),
    ...(rule.kind === 'visibility' && rule.initialNeeds?.length
      ? { initialNeeds: rule.initialNeeds.map(needOf) }
      : {}),
    arms:
      rule.kind === 'visibility'
        ? { treatment: 'different IPC namespaces', control: 'one IPC namespace' }
        : rule.arms,
    ...(rule.since === undefined ? {} : { since: rule.since }),
    ...(rule.variants === undefined ? {} : { variants: rule.variants }),
    ...(rule.bugs === undefined ? {} : { bugs: rule.bugs.map(({ id }) => id) }),
    ...(rule.disposableOnly === undefined ? {} : { disposableOnly: rule.disposableOnly }),
    file: rule.file,
  }
}

function mapNeeds(needs: Readonly<Record<string, readonly RequirementName[]>>): Record<string, Need[]> {
  return Object.fromEntries(Object.entries(needs).map(([variant, names]) => [variant, names.map(needOf)]))
}
