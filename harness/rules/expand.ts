/** From rules to cells: which places, directions, ways in and flag sets a profile runs a rule with. */
import { flagNames } from '../link/describe.ts'
import { FLAGS, type Flag } from '../probe/constants.ts'
import { COMMAND_WAYS, SYSTEM_CALL_WAYS, type WayIn } from '../ways/way-in.ts'
import type { Profile } from './profiles.ts'
import type { Arm, ComparisonRule, Rule, Scene, VisibilityRule } from './rule.ts'
import { SCENES, touchesInitial } from './scenes.ts'

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
const TO_INITIAL = SCENES[3] as Scene

/** Takes the n-th, round and round: spreads one dimension over another. */
function turn<Item>(items: readonly Item[], number: number): Item {
  return items[number % items.length] as Item
}

function wayFor(number: number): WayIn {
  return turn(SYSTEM_CALL_WAYS, number)
}

const NEWIPC: readonly Flag[] = ['NEWIPC']
const NONE: readonly Flag[] = []
const TWO_OWNERS: readonly Flag[] = ['NEWIPC', 'NEWUSER']

/**
 * The fewest that show both arms: from the parent, from the initial namespace and from one place more, and once
 * with namespaces that two user namespaces own. The ways in and the third place take turns with the rule's variants.
 */
function quick(variant: number): Combination[] {
  const third = turn(SCENES.slice(2), variant)
  return [
    ...[PLAIN, FROM_INITIAL, third].map((scene, number) => ({
      scene,
      via: wayFor(number + variant),
      flags: NEWIPC,
    })),
    ...[PLAIN, third].map((scene, number) => ({ scene, via: wayFor(number + variant), flags: NONE })),
    { scene: turn([third, PLAIN], variant), via: wayFor(variant + 2), flags: TWO_OWNERS },
  ]
}

/** The observer in the initial namespace; where the variant's turn is to be there anyhow, the same cell. */
function soughtFromInitial(variant: number): Combination {
  return { scene: TO_INITIAL, via: wayFor(variant + 2), flags: NEWIPC }
}

/** Every scene, every way in and every flag set of the mission; where one is the subject the others take turns. */
function standard(variant: number): Combination[] {
  const sets = bothWays(MISSION)
  return [
    ...quick(variant),
    ...SCENES.map((scene, number) => ({ scene, via: wayFor(number + variant), flags: NEWIPC })),
    ...SYSTEM_CALL_WAYS.map((via) => ({ scene: PLAIN, via, flags: NEWIPC })),
    ...sets.map((flags, number) => ({ scene: PLAIN, via: wayFor(number + variant), flags })),
    ...SCENES.slice(1).map((scene, row) => ({
      scene,
      via: wayFor(row + variant + 2),
      flags: turn(sets, 2 * row + variant),
    })),
    ...(variant === 0 ? COMMANDS : []),
  ]
}

const COMMANDS: readonly Combination[] = COMMAND_WAYS.flatMap((via) =>
  [NEWIPC, NONE].map((flags) => ({ scene: FROM_INITIAL, via, flags })),
)

/** The standard ones, and every subset of the flags; ways in and scenes take turns, so that each pair occurs. */
function full(variant: number): Combination[] {
  const more = EVERY_SUBSET.flatMap((flags, row) =>
    [0, 1].map((column) => ({
      scene: turn(SCENES, row + column + variant),
      via: wayFor(row + 2 * column),
      flags,
    })),
  )
  return [...standard(variant), ...more]
}

/** For a rule whose outcome depends on a flag: both arms with it; beyond the quick profile in every scene. */
function withFlag(flag: Flag, profile: Profile, variant: number): Combination[] {
  const everywhere = SCENES.flatMap((scene, row) =>
    bothWays([NONE]).map((flags) => ({ scene, via: wayFor(row + variant), flags })),
  )
  return (profile === 'quick' ? quick(variant) : everywhere).map((combination) => ({
    ...combination,
    flags: [...combination.flags, flag],
  }))
}

/** For a rule that is about flags, the quick profile: each flag set by each way in. */
function eachFlagSet(): Combination[] {
  const sets = bothWays(EACH_FLAG)
  const product = sets.flatMap((flags) => SYSTEM_CALL_WAYS.map((via) => ({ scene: PLAIN, via, flags })))
  return [...quick(0), ...product]
}

/** For a rule that is about flags: the same, and each flag set in each scene. */
function aboutFlags(): Combination[] {
  const sets = bothWays(EACH_FLAG)
  return [
    ...standard(0),
    ...eachFlagSet(),
    ...SCENES.slice(1).flatMap((scene, row) =>
      sets.map((flags, column) => ({ scene, via: wayFor(row + column), flags })),
    ),
  ]
}

/** For a rule that is about flags, the full profile: every subset by every way in. */
function whole(): Combination[] {
  const product = EVERY_SUBSET.flatMap((flags) =>
    SYSTEM_CALL_WAYS.map((via) => ({ scene: PLAIN, via, flags })),
  )
  return [...aboutFlags(), ...full(0), ...product]
}

const ABOUT_FLAGS: Readonly<Record<Profile, () => Combination[]>> = {
  quick: eachFlagSet,
  default: aboutFlags,
  full: whole,
}

const COMBINATIONS: Readonly<Record<Profile, (variant: number) => Combination[]>> = {
  quick,
  default: standard,
  full,
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
  variant: number,
): readonly Combination[] {
  const { flags: wanted, aboutFlags = [] } = rule
  if (aboutFlags === 'all') return ABOUT_FLAGS[profile]()
  const combinations = [
    ...COMBINATIONS[profile](variant),
    ...(rule.soughtFromInitial && profile === 'quick' ? [soughtFromInitial(variant)] : []),
    ...aboutFlags.flatMap((flag) => withFlag(flag, profile, variant)),
  ]
  if (!wanted) return combinations
  // Where a rule does not want a combination's flags, it gets the plainest it wants instead.
  const instead = (flags: readonly Flag[]): readonly Flag[] =>
    [flags, ...bothWays(EACH_FLAG)].find(
      (set) => set.includes('NEWIPC') === flags.includes('NEWIPC') && wanted(set),
    ) ?? flags
  return combinations.map((combination) => ({ ...combination, flags: instead(combination.flags) }))
}

function visibilityCells(
  rule: Rule & VisibilityRule<Record<string, unknown>>,
  profile: Profile,
  disposable: boolean,
): Cell[] {
  const cells = new Map<string, Cell>()
  for (const [number, variant] of (rule.variants ?? ['']).entries()) {
    for (const combination of combinationsOf(rule, profile, number)) {
      const { scene, via, flags } = combination
      if (!possible(combination)) continue
      if (rule.via && !rule.via.includes(via)) continue
      if (rule.scenes && !rule.scenes(scene)) continue
      if (rule.flags && !rule.flags(flags)) continue
      if (rule.writesSysctls && touchesInitial(scene) && !disposable) continue
      const name = variant ? `${rule.id}:${variant}` : rule.id
      const id = [name, scene.place, scene.direction, via, flagNames(flags)].join('/')
      const arm = flags.includes('NEWIPC') ? 'treatment' : 'control'
      if (!cells.has(id)) cells.set(id, { id, rule, arm, scene, via, flags, variant })
    }
  }
  return [...cells.values()]
}

function comparisonCells(rule: Rule & ComparisonRule<Record<string, unknown>>, profile: Profile): Cell[] {
  const arms: readonly Arm[] = ['treatment', 'control']
  return comparisons(rule, profile).flatMap(({ flags, via, variant }) =>
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
  )
}

/**
 * Each variant by the first way in and with the first flag set. With the other ways in and flag sets: in
 * the quick profile one variant for each that the rule names itself, and one for two owners; else all variants.
 */
function comparisons(
  rule: ComparisonRule<Record<string, unknown>>,
  profile: Profile,
): Pick<Cell, 'flags' | 'via' | 'variant'>[] {
  const sets = rule.flags === 'with NEWIPC' ? withNewipc(profile) : (rule.flags ?? [NEWIPC])
  const ways = rule.via ?? ['clone']
  const variants = rule.variants ?? ['']
  const [firstSet = NEWIPC, ...otherSets] = sets
  const [firstWay = 'clone', ...otherWays] = ways
  const each = (flags: readonly Flag[], via: WayIn) => variants.map((variant) => ({ flags, via, variant }))
  const first = each(firstSet, firstWay)
  if (profile !== 'quick')
    return [
      ...first,
      ...otherWays.flatMap((via) => each(firstSet, via)),
      ...otherSets.flatMap((flags) => each(flags, firstWay)),
    ]
  const namedSets = rule.flags === 'with NEWIPC' ? [TWO_OWNERS] : otherSets
  return [
    ...first,
    ...otherWays.map((via, row) => ({ flags: firstSet, via, variant: turn(variants, row + 1) })),
    ...namedSets.map((flags, row) => ({ flags, via: firstWay, variant: turn(variants, row + 1) })),
  ]
}

function withNewipc(profile: Profile): readonly (readonly Flag[])[] {
  return profile === 'full'
    ? EVERY_SUBSET.filter((flags) => flags.includes('NEWIPC'))
    : MISSION.map((flags) => ['NEWIPC', ...flags] as Flag[])
}

/** The cells of one rule in a profile, each with an id that is unique and the same from run to run. */
export function expand(rule: Rule, profile: Profile, disposable: boolean): Cell[] {
  return rule.kind === 'visibility'
    ? visibilityCells(rule, profile, disposable)
    : comparisonCells(rule, profile)
}
