import { flagNames } from '../link/describe.ts'
import { FLAGS, type Flag } from '../probe/constants.ts'
import { type Cell, expand } from '../rules/expand.ts'
import type { Profile } from '../rules/profiles.ts'
import type { Area } from '../rules/rule.ts'
import { UsageError } from '../usage-error.ts'
import { COMMAND_WAYS, SYSTEM_CALL_WAYS, type WayIn } from '../ways/way-in.ts'

/** Which cells a run is about; plain data, so that it reaches the workers. */
export interface Selection {
  profile: Profile
  disposable: boolean
  /** Globs over rule ids, such as `SVK-*`; empty means every rule. */
  rules: string[]
  /** Area names; empty means all. */
  areas: string[]
  /** Flag sets as cells name them; empty means all. */
  flags: string[]
  /** Ways in; empty means all. */
  via: WayIn[]
  /** `[1, 3]` is the first of three shards; null means everything. */
  shard: [number, number] | null
}

/** Everything in a profile. */
export function everything(profile: Profile): Selection {
  return { profile, disposable: false, rules: [], areas: [], flags: [], via: [], shard: null }
}

/** The cells of one area that a selection takes, in a fixed order. */
export function cellsOf(area: Area, selection: Selection): Cell[] {
  if (selection.areas.length > 0 && !selection.areas.includes(area.name)) return []
  return area.rules
    .filter((rule) => selection.rules.length === 0 || selection.rules.some((glob) => matches(rule.id, glob)))
    .flatMap((rule) => expand(rule, selection.profile, selection.disposable))
    .filter((cell) => selection.flags.length === 0 || selection.flags.includes(flagNames(cell.flags)))
    .filter((cell) => selection.via.length === 0 || selection.via.includes(cell.via))
    .filter((cell) => inShard(cell, selection.shard))
}

/** Whether an id matches a glob, in which * stands for anything; letters of either case. */
export function matches(id: string, glob: string): boolean {
  const pattern = glob.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^${pattern}$`, 'i').test(id)
}

/** A rule stays whole, so that both its arms are in one shard. */
function inShard(cell: Cell, shard: [number, number] | null): boolean {
  if (!shard) return true
  let hash = 0
  for (const character of cell.rule.id) hash = (hash * 31 + character.charCodeAt(0)) >>> 0
  return hash % shard[1] === shard[0] - 1
}

/** Reads `NEWIPC+NEWNS`, `CLONE_NEWIPC,NEWNS` or `none`; gives the name that cells use. Throws UsageError. */
export function parseFlags(text: string): string {
  if (text === 'none') return text
  const flags = text
    .toUpperCase()
    .split(/[+|,\s]+/)
    .filter(Boolean)
    .map((word) => word.replace(/^CLONE_/, ''))
    .map((word) => (word.startsWith('NEW') ? word : `NEW${word}`))
  const unknown = flags.find((flag) => !FLAGS.includes(flag as Flag))
  if (unknown !== undefined || flags.length === 0)
    throw new UsageError(
      `unknown flag "${unknown ?? text}"; known: ${FLAGS.join(', ')} (joined with +), or none`,
    )
  return flagNames(flags as Flag[])
}

/** Reads a way in. Throws UsageError. */
export function parseWay(text: string): WayIn {
  const ways = [...SYSTEM_CALL_WAYS, ...COMMAND_WAYS]
  const way = ways.find((candidate) => candidate === text)
  if (!way) throw new UsageError(`unknown way in "${text}"; known: ${ways.join(', ')}`)
  return way
}
