/**
 * The rule model: one experiment, two predictions. A rule is data; the engine makes its worlds, runs its
 * experiment in each cell and holds what was seen against the prediction of the cell's arm.
 */
import type { Member } from '../link/member.ts'
import type { Flag } from '../probe/constants.ts'
import { compareRules } from '../results/model.ts'
import type { WayIn } from '../ways/way-in.ts'
import type { Fresh } from './fresh.ts'
import type { RequirementName } from './requirements.ts'
import { whereDefined } from './where.ts'

/** The two arms of every experiment: what the rule is about, and the proof that it could have failed. */
export type Arm = 'treatment' | 'control'

/** Where the object lives, seen from the observer: the observer's parent's IPC namespace, the initial one, or another. */
export type Place = 'stranger' | 'parent' | 'initial'

/** Who the two sides are to each other: actor first. */
export type Direction =
  | 'parent-to-child'
  | 'child-to-parent'
  | 'child-to-initial'
  | 'sibling-to-sibling'
  | 'nested'

/** A scene of a visibility rule: place and direction. */
export interface Scene {
  place: Place
  direction: Direction
}

/** How one kind of namespace of the two sides relates. */
export type Kinship = 'same' | 'observer-below' | 'actor-below' | 'apart'

/** How the two sides relate, by kind of namespace, as the flags of the cell make it. */
export interface Relation {
  ipc: 'same' | 'different'
  user: Kinship
  pid: Kinship
  mount: Kinship
  uts: Kinship
  net: Kinship
}

/** What the experiment of every rule is given. */
export interface Setting {
  readonly arm: Arm
  readonly flags: readonly Flag[]
  readonly via: WayIn
  /** Which of the rule's variants this cell is. */
  readonly variant: string
  /** Keys, names and users that nothing else uses. */
  readonly fresh: Fresh
  /** True in a throw-away guest: the initial namespace's sysctls may be written. */
  readonly disposable: boolean
  /** Adds a remark to the evidence. */
  remark(what: string, result: unknown): void
  /** Says which of several conforming behaviours was seen; shown in reports, no verdict. */
  note(what: string): void
  /**
   * Calls `look` again and again until `done` says so, for what the kernel does later; gives the last
   * look. Never fails: after the deadline (milliseconds, 5000) the last look is the observation.
   */
  eventually<Value>(
    look: () => Promise<Value>,
    done: (seen: Value) => boolean,
    deadline?: number,
  ): Promise<Value>
}

/** What a visibility experiment is given: two members, and the place and direction of the cell. */
export interface VisibilityWorld extends Setting {
  /** Makes the object. */
  readonly actor: Member
  /** Looks for it. */
  readonly observer: Member
  readonly relation: Relation
  readonly scene: Scene
}

/** What the experiment of a comparison is given. */
export interface ComparisonWorld extends Setting {
  /** A member of a fresh private IPC namespace (with a private mount namespace), owned by the initial user namespace. */
  readonly outer: Member
  /**
   * Another member from `from` (default `outer`) by the cell's way in and flags, or by others. Fails the
   * cell with `error` if it cannot be made.
   */
  enter(name: string, how?: { from?: Member; via?: WayIn; flags?: readonly Flag[] }): Promise<Member>
  /** A member of the initial IPC namespace, in a private mount namespace: write no sysctl there. */
  initial(): Promise<Member>
  /** Another member of a fresh private IPC namespace, unrelated to `outer`. */
  stranger(): Promise<Member>
}

/** A prediction: expected value or Matcher by name of the observed field; fields left out are not judged. */
export type Prediction<Seen> = { readonly [Field in FieldOf<Seen>]?: unknown }

/** Arms may see different things, so the fields are those of either. */
type FieldOf<Seen> = Seen extends unknown ? keyof Seen : never

/** A known kernel bug that a failing rule may show (CATALOGUE section 18). */
export interface KnownBug {
  id: string
  /** Subject or hash of the fixing commit, and what the bug means for the machine's owner. */
  fix: string
  /** Kernel versions with the fix. */
  fixedIn: string
  /** Observed fields that mean that it is this bug. */
  looksLike: Readonly<Record<string, unknown>>
}

interface Common {
  /** The statement, one sentence. */
  says: string
  /** Manual page and section, or kernel file: function. */
  source: readonly string[]
  /** What it needs besides what every cell needs (IPC namespaces, the privilege to make them). */
  needs?: readonly RequirementName[]
  /** What one of the variants needs besides, by its name. */
  variantNeeds?: Readonly<Record<string, readonly RequirementName[]>>
  /** Kernel version that has it first. */
  since?: string
  /** One experiment for each of these; `variant` says which. */
  variants?: readonly string[]
  bugs?: readonly KnownBug[]
  /** Commands that show it by hand, for a failure's proof. */
  byHand?: readonly string[]
  /** Could corrupt an unfixed kernel, or changes the machine: runs with --disposable only; says why. */
  disposableOnly?: string
}

/** A rule about what two sides see of each other. */
export interface VisibilityRule<Seen extends object> extends Common {
  /** Flag sets whose outcome is told apart; all by default. */
  flags?: (flags: readonly Flag[]) => boolean
  via?: readonly WayIn[]
  scenes?: (scene: Scene) => boolean
  /**
   * Flags on which the outcome depends: with each of them added even the quick profile shows both arms, and
   * the default one every scene. `'all'` where flags and ways in are what the rule is about: then quick
   * runs each flag and the mission's pairs by every way in, and the full profile every subset by every way in.
   */
  aboutFlags?: 'all' | readonly Flag[]
  /** What the cells with a side in the initial namespace need besides. */
  initialNeeds?: readonly RequirementName[]
  /**
   * The observer looks for what the actor has: even the quick profile has him in the initial namespace for each
   * variant, of other rules for one variant in five. A kernel may let callers of that namespace find more.
   */
  soughtFromInitial?: true
  /** The cell needs members and namespaces of its own: it counts objects, changes limits, blocks, leaves. */
  ownWorld?: boolean
  /** Writes sysctls of either side's IPC namespace: no scene with the initial one unless disposable. */
  writesSysctls?: boolean
  /** Mounted afresh in the observer's (and a new actor's) mount namespace when the cell has NEWNS. */
  remount?: readonly ('proc' | 'mqueue')[]
  experiment(world: VisibilityWorld): Promise<Seen>
  /** What must be seen when both sides share one IPC namespace. */
  shared(seen: Seen, world: VisibilityWorld): Prediction<NoInfer<Seen>>
  /** What must be seen when they do not. */
  isolated(seen: Seen, world: VisibilityWorld): Prediction<NoInfer<Seen>>
}

/** A rule whose arms differ by what the experiment does, not by the flags. */
export interface ComparisonRule<Seen extends object> extends Common {
  /** What each arm is, in a few words. */
  arms: { treatment: string; control: string }
  /** Flag sets to run; `'with NEWIPC'` is every one of the profile that has it. Default: NEWIPC alone. */
  flags?: 'with NEWIPC' | readonly (readonly Flag[])[]
  /** Ways in to run with; default clone alone. Flag sets beyond the first run with the first way only. */
  via?: readonly WayIn[]
  experiment(world: ComparisonWorld): Promise<Seen>
  treatment(seen: Seen, world: ComparisonWorld): Prediction<NoInfer<Seen>>
  control(seen: Seen, world: ComparisonWorld): Prediction<NoInfer<Seen>>
}

/** Either kind, as the registry holds it. */
export type Rule = (
  | ({ kind: 'visibility' } & VisibilityRule<Record<string, unknown>>)
  | ({ kind: 'comparison' } & ComparisonRule<Record<string, unknown>>)
) & { id: string; area: string; file: string; line: number }

/** A catalogue row that is no rule here, with the one true reason. */
export interface Unruled {
  id: string
  says: string
  reason: string
}

/** The rules of one area of the catalogue, in the order of their numbers; one suite file. */
export interface Area {
  /** Lower-case name, dot-free: a suite's name in the reports. */
  readonly name: string
  readonly title: string
  readonly rules: readonly Rule[]
  readonly unruled: readonly Unruled[]
  visibility<Seen extends object>(id: string, rule: VisibilityRule<Seen>): void
  comparison<Seen extends object>(id: string, rule: ComparisonRule<Seen>): void
  /** Records a catalogue row without a rule. */
  noRule(id: string, row: { says: string; reason: string }): void
}

/** Starts an area. Throws when two rules of it have one id: that is a defect of the suite. */
export function area(name: string, title: string): Area {
  const rules: Rule[] = []
  const unruled: Unruled[] = []
  const ids = new Set<string>()
  const claim = (id: string): void => {
    if (ids.has(id)) throw new Error(`two rules of area ${name} are called ${id}`)
    ids.add(id)
  }
  const add = (rule: object): void => {
    // The registry forgets each rule's own type of what it sees: the engine only hands it back.
    rules.push(rule as unknown as Rule)
    rules.sort((a, b) => compareRules(a.id, b.id))
  }
  return {
    name,
    title,
    rules,
    unruled,
    visibility: (id, rule) => {
      claim(id)
      add({ kind: 'visibility', id, area: name, ...rule, ...whereDefined() })
    },
    comparison: (id, rule) => {
      claim(id)
      add({ kind: 'comparison', id, area: name, ...rule, ...whereDefined() })
    },
    noRule: (id, row) => {
      claim(id)
      unruled.push({ id, ...row })
    },
  }
}
