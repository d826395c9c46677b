/** From rules to cells: which places, directions, ways in and flag sets a profile runs a rule with. */
import { flagNames } from '../link/describe.ts'
import { FLAGS, type Flag } from '../probe/constants.ts'
import { COMMAND_WAYS, SYSTEM_CALL_WAYS, type WayIn } from '../ways/way-in.ts'
import type { Arm, ComparisonRule, Rule, Scene, VisibilityRule } from './rule.ts'
import { SCENES, touchesInitial } from './scenes.ts'

/** How much is run. */
export type Profile = 'quick' | 'default' | 'full'

/** The profiles, the shortest first. */
export const PROFILES: readonly Profile[] = ['quick', 'default', 'full']

/** One cell to run. */
export interface Cell {
  id: string
  rule: Rule
  arm: Arm
  scene: Scene
  via: WayIn
  flags: readonly Flag[]
  variant: string
}

/** The flag sets of the mission without NEWIPC; each also with it. */
const MISSION: readonly (readonly Flag[])[] = [
  [],
  ['NEWNS'],
  ['NEWPID'],
  ['NEWNS', 'NEWPID'],
  ['NEWUSER'],
  ['NEWUTS'],
]

/** Each flag on its own and the mission's pairs, for rules that are about flags. */
const EACH_FLAG: readonly (readonly Flag[])[] = [...MISSION, ['NEWNET'], ['NEWCGROUP']]

const EVERY_SUBSET: readonly (readonly Flag[])[] = Array.from({ length: 2 ** FLAGS.length }, (_, number) =>
  FLAGS.filter((_flag, bit) => (number >> bit) & 1),
)

function bothWays(sets: readonly (readonly Flag[])[]): readonly (readonly Flag[])[] {
  return sets.flatMap((set) => [['NEWIPC', ...set] as Flag[], [...set]])
}

type Combination = Pick<Cell, 'scene' | 'via' | 'flags'>

const PLAIN = SCENES[0] as Scene
/** Commands start from the initial namespaces. */
const FROM_INITIAL = SCENES[1] as Scene

/** Takes the n-th, round and round: spreads one dimension over another. */
function turn<Item>(items: readonly Item[], number: number): Item {
  return items[number % items.length] as Item
}

/** Every scene with and three without NEWIPC; the ways in take turns. */
function quick(): Combination[] {
  const treated = SCENES.map((scene, number) => ({
    scene,
    via: turn(SYSTEM_CALL_WAYS, number),
    flags: ['NEWIPC'] as const,
  }))
  const controls = SCENES.slice(0, 3).map((scene, number) => ({
    scene,
    via: turn(SYSTEM_CALL_WAYS, number),
    flags: [] as const,
  }))
  return [...treated, ...controls]
}

const COMMANDS: readonly Combination[] = COMMAND_WAYS.flatMap((via) =>
  [['NEWIPC'] as const, [] as const].map((flags) => ({ scene: FROM_INITIAL, via, flags })),
)

/** Every way in with and without NEWIPC, every flag set by two ways in, every scene with four flag sets. */
function standard(): Combination[] {
  const sets = bothWays(MISSION)
  return [
    ...quick(),
    ...SYSTEM_CALL_WAYS.flatMap((via) =>
      [['NEWIPC'] as const, [] as const].map((flags) => ({ scene: PLAIN, via, flags })),
    ),
    ...sets.flatMap((flags, number) =>
      [0, 2].map((step) => ({ scene: PLAIN, via: turn(SYSTEM_CALL_WAYS, number + step), flags })),
    ),
    ...SCENES.slice(1).flatMap((scene, row) =>
      [0, 1, 2, 3].map((column) => ({
        scene,
        via: turn(SYSTEM_CALL_WAYS, row + column),
        // Three and four are no multiples of each other: in six scenes every set has its turn.
        flags: turn(sets, 4 * row + 3 * column),
      })),
    ),
    ...COMMANDS,
  ]
}

/** The standard ones, and every subset of the flags; ways in and scenes take turns, so that each pair occurs. */
function full(): Combination[] {
  const more = EVERY_SUBSET.flatMap((flags, row) =>
    [0, 1].map((column) => ({
      scene: turn(SCENES, row + column),
      via: turn(SYSTEM_CALL_WAYS, row + 2 * column),
      flags,
    })),
  )
  return [...standard(), ...more]
}

/** What a rule that is about flags runs in every profile: each flag set by each way in, in each scene. */
function aboutFlags(): Combination[] {
  const sets = bothWays(EACH_FLAG)
  return [
    ...quick(),
    ...sets.flatMap((flags) => SYSTEM_CALL_WAYS.map((via) => ({ scene: PLAIN, via, flags }))),
    ...SCENES.slice(1).flatMap((scene, row) =>
      sets.map((flags, column) => ({ scene, via: turn(SYSTEM_CALL_WAYS, row + column), flags })),
    ),
    ...COMMANDS,
  ]
}

/** Every subset by every way in, for a rule whose outcome depends on them. */
function whole(): Combination[] {
  const product = EVERY_SUBSET.flatMap((flags) =>
    SYSTEM_CALL_WAYS.map((via) => ({ scene: PLAIN, via, flags })),
  )
  return [...aboutFlags(), ...full(), ...product]
}

const ABOUT_FLAGS: Readonly<Record<Profile, readonly Combination[]>> = {
  quick: aboutFlags(),
  default: aboutFlags(),
  full: whole(),
}

const COMBINATIONS: Readonly<Record<Profile, readonly Combination[]>> = {
  quick: quick(),
  default: standard(),
  full: full(),
}

/**
 * Inside a user namespace, setns to an IPC namespace of an outer one is EPERM (ENT-29), so a nested pair
 * cannot be made by it.
 */
function possible({ scene, via, flags }: Combination): boolean {
  return !(scene.direction === 'nested' && via.startsWith('setns') && flags.includes('NEWUSER'))
}

function combinationsOf(
  rule: VisibilityRule<Record<string, unknown>>,
  profile: Profile,
): readonly Combination[] {
  const { flags: wanted, aboutFlags } = rule
  if (aboutFlags) return ABOUT_FLAGS[profile]
  const combinations = COMBINATIONS[profile]
  if (profile !== 'quick' || !wanted) return combinations
  // The quick profile has two flag sets; a rule that wants others gets the plainest it wants instead.
  const instead = (flags: readonly Flag[]): readonly Flag[] =>
    bothWays(EACH_FLAG).find((set) => set.includes('NEWIPC') === flags.includes('NEWIPC') && wanted(set)) ??
    flags
  return combinations.map((combination) => ({ ...combination, flags: instead(combination.flags) }))
}

function visibilityCells(
  rule: Rule & VisibilityRule<Record<string, unknown>>,
  profile: Profile,
  disposable: boolean,
): Cell[] {
  const seen = new Set<string>()
  const cells: Cell[] = []
  for (const combination of combinationsOf(rule, profile)) {
    const { scene, via, flags } = combination
    if (!possible(combination)) continue
    if (rule.via && !rule.via.includes(via)) continue
    if (rule.scenes && !rule.scenes(scene)) continue
    if (rule.flags && !rule.flags(flags)) continue
    if (rule.writesSysctls && touchesInitial(scene) && !disposable) continue
    for (const variant of rule.variants ?? ['']) {
      const id = [
        variant ? `${rule.id}:${variant}` : rule.id,
        scene.place,
        scene.direction,
        via,
        flagNames(flags),
      ].join('/')
      if (seen.has(id)) continue
      seen.add(id)
      cells.push({
        id,
        rule,
        arm: flags.includes('NEWIPC') ? 'treatment' : 'control',
        scene,
        via,
        flags,
        variant,
      })
    }
  }
  return cells
}

function comparisonCells(rule: Rule & ComparisonRule<Record<string, unknown>>, profile: Profile): Cell[] {
  const all = rule.flags === 'with NEWIPC' ? withNewipc(profile) : (rule.flags ?? [['NEWIPC']])
  const sets = profile === 'quick' && rule.flags === 'with NEWIPC' ? all.slice(0, 1) : all
  const ways = rule.via ?? ['clone']
  const pairs = sets.flatMap((flags, number) =>
    (number === 0 && profile !== 'quick' ? ways : ways.slice(0, 1)).map((via) => ({ flags, via })),
  )
  const arms: readonly Arm[] = ['treatment', 'control']
  return pairs.flatMap(({ flags, via }) =>
    (rule.variants ?? ['']).flatMap((variant) =>
      arms.map((arm) => ({
        id: [
          variant ? `${rule.id}:${variant}` : rule.id,
          'parent',
          'parent-to-child',
          via,
          flagNames(flags),
          arm,
        ].join('/'),
        rule,
        arm,
        scene: PLAIN,
        via,
        flags,
        variant,
      })),
    ),
  )
}

function withNewipc(profile: Profile): readonly (readonly Flag[])[] {
  return profile === 'full'
    ? EVERY_SUBSET.filter((flags) => flags.includes('NEWIPC'))
    : EACH_FLAG.map((flags) => ['NEWIPC', ...flags] as Flag[])
}

/** The cells of one rule in a profile, each with an id that is unique and the same from run to run. */
export function expand(rule: Rule, profile: Profile, disposable: boolean): Cell[] {
  return rule.kind === 'visibility'
    ? visibilityCells(rule, profile, disposable)
    : comparisonCells(rule, profile)
}
