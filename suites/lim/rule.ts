/** The experiment that every limit of an IPC namespace goes through, and the reckoning of what must come of it. */

import { becomeUserWithAllCapabilities, giveUp } from '../../fixtures/capabilities.ts'
import { joinIpc } from '../../fixtures/leaving.ts'
import { type CallLimit, currentLimit, type TotalLimit } from '../../fixtures/limits.ts'
import { inChildUserNamespace, sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  EACCES,
  ENOENT,
  EPERM,
  type Flag,
  IPC_PRIVATE,
  type Member,
  oneOf,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { readSysctl, writeSysctl } from '../../fixtures/sysctls.ts'

type Side = 'actor' | 'observer'
type AnyLimit = CallLimit | TotalLimit

/**
 * One step: a limit set, a call of so many units, a unit more or less held, an identifier asked for by *_next_id, or
 * the *_INFO calls asked for limits or usage.
 */
type Step =
  | { does: 'set'; side: Side; to: number }
  | { does: 'use'; side: Side; units: number }
  | { does: 'add' | 'remove' | 'ask' | 'count' | 'claim'; side: Side }

/** Lowered for the actor alone, then raised for the observer alone; last 0 for the actor, which is no default. */
function callScript({ low, high, mayBeZero }: CallLimit): Step[] {
  const both = (units: number): Step[] => [
    { does: 'use', side: 'actor', units },
    { does: 'use', side: 'observer', units },
  ]
  return [
    ...both(low + 1),
    { does: 'set', side: 'actor', to: low },
    ...both(low),
    ...both(low + 1),
    { does: 'ask', side: 'actor' },
    { does: 'ask', side: 'observer' },
    { does: 'set', side: 'observer', to: high },
    ...both(high),
    ...both(high + 1),
    { does: 'ask', side: 'actor' },
    { does: 'ask', side: 'observer' },
    ...(mayBeZero ? [{ does: 'set', side: 'actor', to: 0 } as const, ...both(1)] : []),
  ]
}

/**
 * Each fills what it may have; then the observer may have more, and the actor gives one back; last the actor
 * may have none.
 */
function totalScript({ low, high, nextId }: TotalLimit): Step[] {
  const fill = (side: Side): Step[] => Array.from({ length: low + 1 }, () => ({ does: 'add', side }))
  return [
    { does: 'set', side: 'actor', to: low },
    ...fill('actor'),
    { does: 'set', side: 'observer', to: low },
    ...fill('observer'),
    { does: 'ask', side: 'actor' },
    { does: 'set', side: 'observer', to: high },
    { does: 'ask', side: 'actor' },
    { does: 'ask', side: 'observer' },
    { does: 'add', side: 'observer' },
    { does: 'add', side: 'actor' },
    { does: 'remove', side: 'actor' },
    { does: 'add', side: 'actor' },
    { does: 'add', side: 'actor' },
    { does: 'set', side: 'actor', to: 0 },
    { does: 'add', side: 'actor' },
    { does: 'add', side: 'observer' },
    // An identifier asked for is no way round the limit; with room for it, it is given.
    ...(nextId === undefined
      ? []
      : ([
          { does: 'claim', side: 'actor' },
          { does: 'add', side: 'actor' },
          { does: 'set', side: 'actor', to: 4 * high },
          { does: 'add', side: 'actor' },
        ] as const)),
    // What was refused must not count, against this limit or another one.
    { does: 'count', side: 'actor' },
    { does: 'count', side: 'observer' },
  ]
}

const script = (limit: AnyLimit): Step[] => ('add' in limit ? totalScript(limit) : callScript(limit))

/** Limits at the beginning, and the outcome of each step by its description. */
type Seen = Record<string, unknown> & { first: Record<Side, number> }

/** The limit of the initial namespace is left alone: other programs live there. */
const NOT_SET = 'not set'

/**
 * In a throw-away guest the rules of SYS set the initial namespace's limits for a moment: by so little that
 * nothing here comes out otherwise, but not to be asked for.
 */
const CHANGING = 'not asked'
const changing = (world: VisibilityWorld, side: Side): boolean =>
  world.disposable && sideInInitial(world, side)

/** An identifier that no object of a young namespace has. */
const CLAIMED = String(3 * 32768 + 100)

/** Other programs have objects in the initial namespace. */
const NOT_COUNTED = 'not counted'

/** Sets one of a file's values, and leaves its others. */
async function set(member: Member, limit: AnyLimit, to: number): Promise<unknown> {
  const now = String(await readSysctl(member, limit.path)).split(' ')
  now[limit.field] = limit.text(to).split(' ')[limit.field] as string
  return writeSysctl(member, limit.path, now.join(' '))
}

/** Who makes the objects of a side: one whom CAP_SYS_RESOURCE does not help. */
async function makerOf(limit: AnyLimit, side: Side, world: VisibilityWorld): Promise<Member> {
  const member = world[side]
  // RLIMIT_MSGQUEUE counts POSIX queues by user: they need users of their own.
  if (limit.needs.includes('MQUEUE_SYSCTL')) {
    const user = await member.spawn(`${side}'s user`)
    await becomeUserWithAllCapabilities(user, world.fresh.uid())
    await giveUp(user, 'CAP_SYS_RESOURCE')
    return user
  }
  if (!limit.lifted) return member
  const powerless = await member.spawn(`${side}'s child without CAP_SYS_RESOURCE`)
  await giveUp(powerless, 'CAP_SYS_RESOURCE')
  return powerless
}

/**
 * Who sets a side's limits: before 6.9 root of a user namespace may not, and root of the one above it may, as a
 * member.
 */
async function setterOf(side: Side, world: VisibilityWorld): Promise<Member> {
  const other = side === 'actor' ? 'observer' : 'actor'
  if (!inChildUserNamespace(world, side) || inChildUserNamespace(world, other)) return world[side]
  const setter = await world[other].spawn(`setter for the ${side}`)
  if (world.relation.ipc === 'different') await joinIpc(setter, world[side])
  return setter
}

async function perform(limit: AnyLimit, world: VisibilityWorld): Promise<Seen> {
  const { actor, observer, fresh } = world
  const setters: Record<Side, Member> = {
    actor: await setterOf('actor', world),
    observer: await setterOf('observer', world),
  }
  const makers: Record<Side, Member> = {
    actor: await makerOf(limit, 'actor', world),
    observer: await makerOf(limit, 'observer', world),
  }
  const held: Record<Side, { made: number; name: string }[]> = { actor: [], observer: [] }
  // IPC_PRIVATE and a key by turns: each is made by a path of its own.
  const tried: Record<Side, number> = { actor: 0, observer: 0 }
  const one = async (step: Step): Promise<unknown> => {
    const { side } = step
    switch (step.does) {
      case 'set':
        return sideInInitial(world, side) ? NOT_SET : set(setters[side], limit, step.to)
      case 'use':
        return 'use' in limit ? limit.use(makers[side], step.units, fresh.name(), fresh.key()) : 0
      case 'claim':
        if (sideInInitial(world, side) || !('add' in limit) || limit.nextId === undefined) return NOT_SET
        return writeSysctl(setters[side], limit.nextId, CLAIMED)
      case 'ask':
        return changing(world, side) ? CHANGING : limit.told(makers[side])
      case 'count':
        return sideInInitial(world, side) || !('counted' in limit) ? NOT_COUNTED : limit.counted(makers[side])
      case 'add': {
        const name = fresh.name()
        const key = tried[side] % 2 === 0 ? IPC_PRIVATE : fresh.key()
        tried[side] += 1
        const made = 'add' in limit ? await limit.add(makers[side], name, key) : 0
        if (typeof made !== 'number') return made
        held[side].push({ made, name })
        return 'added'
      }
      case 'remove': {
        const last = held[side].pop()
        if (!last || !('add' in limit)) return 'nothing to remove'
        await limit.remove(makers[side], last.made, last.name)
        return 'removed'
      }
    }
  }
  const first = { actor: await currentLimit(actor, limit), observer: await currentLimit(observer, limit) }
  const seen: Seen = { first }
  for (const [at, step] of script(limit).entries()) seen[describe(step, at)] = await one(step)
  return seen
}

function describe(step: Step, at: number): string {
  const what = step.does === 'set' ? `set ${step.to}` : step.does === 'use' ? `use ${step.units}` : step.does
  return `step ${at + 1}, ${step.side} ${what}`
}

/** Reckons what each step must come to, with one account for each namespace. */
function reckon(limit: AnyLimit, seen: Seen, world: VisibilityWorld): Record<string, unknown> {
  const account = (side: Side) => ({
    limit: seen.first[side],
    held: 0,
    // What others hold in the initial namespace is not known, only that it is far from the limit.
    counted: !sideInInitial(world, side),
  })
  const actor = account('actor')
  const accounts = { actor, observer: world.relation.ipc === 'same' ? actor : account('observer') }
  const heldBy: Record<Side, number> = { actor: 0, observer: 0 }
  const outcomeOf = (step: Step, at: number): unknown => {
    const own = accounts[step.side]
    if (step.does === 'set') {
      if (sideInInitial(world, step.side)) return NOT_SET
      if (seen[describe(step, at)] === 0) own.limit = step.to
      // Who may is another rule's.
      return inChildUserNamespace(world, step.side) ? oneOf(0, EACCES, EPERM) : 0
    }
    // Whether the kernel has the file, and who may write it, are other rules'.
    if (step.does === 'claim')
      return sideInInitial(world, step.side) ? NOT_SET : oneOf(0, ENOENT, EACCES, EPERM)
    if (step.does === 'use') return step.units <= own.limit ? 0 : limit.over
    if (step.does === 'ask' && changing(world, step.side)) return CHANGING
    if (step.does === 'ask') return limit.asked.map(() => own.limit)
    if (step.does === 'count')
      return own.counted && 'counts' in limit ? limit.counts.map(() => own.held) : NOT_COUNTED
    if (step.does === 'add') {
      if (own.counted && own.held >= own.limit) return limit.over
      own.held += 1
      heldBy[step.side] += 1
      return 'added'
    }
    if (heldBy[step.side] === 0) return 'nothing to remove'
    heldBy[step.side] -= 1
    own.held -= 1
    return 'removed'
  }
  return Object.fromEntries(script(limit).map((step, at) => [describe(step, at), outcomeOf(step, at)]))
}

const variantOf = ({ variant, name }: AnyLimit): string => variant ?? name

/** Limits have nothing to do with the other kinds of namespaces. */
const plainOrUser = (flags: readonly Flag[]): boolean =>
  flags.every((flag) => flag === 'NEWIPC' || flag === 'NEWUSER')

/** A rule on limits: each is enforced where it was set and nowhere else, whatever other namespaces have or hold. */
export function limitRule(
  lim: Area,
  id: string,
  rule: { says: string; source: readonly string[]; since: string; limits: readonly AnyLimit[] },
): void {
  const { limits, ...what } = rule
  const named = (name: string): AnyLimit => limits.find((limit) => variantOf(limit) === name) as AnyLimit
  const predict = (seen: Seen, world: VisibilityWorld) => reckon(named(world.variant), seen, world)
  const [only] = limits
  lim.visibility(id, {
    ...what,
    needs: (only as AnyLimit).needs.includes('MQUEUE_SYSCTL')
      ? ['POSIX_MQUEUE', 'MQUEUE_SYSCTL', 'CAP_SETUID']
      : ['SYSVIPC_SYSCTL'],
    initialNeeds: ['usual sysctls'],
    variants: limits.map(variantOf),
    flags: plainOrUser,
    ownWorld: true,
    experiment: (world) => perform(named(world.variant), world),
    shared: predict,
    isolated: predict,
  })
}
