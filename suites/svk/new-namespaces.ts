/** What a new namespace begins with: identifiers from 0, no objects, limits of its own. */
import { amounts, NOTHING } from '../../fixtures/amounts.ts'
import { setMeanwhile } from '../../fixtures/initial-sysctls.ts'
import {
  EMPTY,
  LASTING,
  type Label,
  OBJECT_KINDS,
  OBJECTS,
  type ObjectKind,
  SYSTEM_V,
  SYSTEM_V_KINDS,
  type SystemVFamily,
  systemV,
} from '../../fixtures/objects.ts'
import { sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  type ComparisonWorld,
  differs,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSPC,
  ENOSYS,
  failed,
  having,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  O_RDWR,
  oneOf,
  SYSTEM_CALL_WAYS,
  succeeds,
} from '../../fixtures/rules.ts'
import { watchNamespace } from '../../fixtures/sensors.ts'
import { writeSysctl } from '../../fixtures/sysctls.ts'

/** More than the indices that are used round and round in a young namespace. */
const ROUND = 70
/** Shortly before the last of those indices. */
const ROUND_ENDS = 58

/** The variant of SVK-20 in which other namespaces die. */
const AFTER_DEATHS = 'after deaths'

const LIMIT_FILE = { msg: 'msgmni', sem: 'sem', shm: 'shmmni' } as const

export function addNewNamespaceRules(svk: Area): void {
  svk.visibility('SVK-13', {
    says: 'every new IPC namespace gives its identifiers in the same order from 0, whatever others have used up, and none again when it goes round the indices',
    source: ['ipc/util.c: ipc_idr_alloc, ipc_init_ids', 'ipc_namespaces(7)'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    // The observer is to be in a namespace that was just made.
    scenes: ({ direction }) => direction !== 'child-to-initial' && direction !== 'child-to-parent',
    async experiment(world) {
      const { actor, observer, fresh } = world
      const family = systemV(world)
      // More than the indices that are used round and round, so that the sequence number goes on too.
      if (!sideInInitial(world, 'actor')) await actor.burnIdentifiers(family.kind, 150)
      const last = await family.make(actor, fresh.key())
      const inOrder = async (member: Member) => {
        const ids: number[] = []
        for (let made = 0; made < 3; made += 1) ids.push(await family.make(member, fresh.key()))
        await family.remove(member, ids[2] ?? -1)
        const afterRemoval = await family.make(member, fresh.key())
        // Once round the indices, so that the sequence number goes on here as well.
        const mayGoRound = member !== observer || !sideInInitial(world, 'observer')
        if (mayGoRound) await member.burnIdentifiers(family.kind, ROUND)
        const afterRound = await family.make(member, fresh.key())
        // Where the round begins again objects stay: one of them gets the index of the one that was removed.
        if (mayGoRound) {
          await member.burnIdentifiers(family.kind, Math.max(1, ROUND_ENDS - (afterRound & 0x7fff)))
          await member.makeUnnamed(family.kind, 15)
        }
        const removed = await family.stat(member, ids[2] ?? -1)
        const kept = await family.stat(member, ids[1] ?? -1)
        return {
          ids,
          afterRemoval,
          afterRound,
          removed: failed(removed) ? removed : removed.returned,
          kept: failed(kept) ? kept : kept.returned,
        }
      }
      const { ids, afterRemoval, afterRound, removed, kept } = await inOrder(observer)
      const newer = await inOrder(await observer.spawn('member of a newer namespace', ['NEWIPC']))
      if (world.relation.ipc === 'different' && afterRemoval !== 3)
        world.note('an index is used again at once, as before Linux 5.2')
      return { last, ids, first: ids[0], afterRemoval, afterRound, removed, kept, newer }
    },
    shared: () => ({
      first: differs(0),
      removed: EINVAL,
      kept: 0,
      newer: having({ ids: [0, 1, 2], removed: EINVAL, kept: 0 }),
    }),
    // Before Linux 5.2 the index was used again with the next sequence number.
    isolated: ({ ids, afterRemoval, afterRound }, world) => ({
      ids: [0, 1, 2],
      afterRemoval: oneOf(3, 2 + 0x8000),
      removed: EINVAL,
      kept: 0,
      newer: { ids, afterRemoval, afterRound, removed: EINVAL, kept: 0 },
      ...(sideInInitial(world, 'actor') ? {} : { last: differs(0) }),
    }),
  })

  svk.comparison('SVK-20', {
    says: 'a new IPC namespace is empty: nothing of its creator’s is copied into it, no object, no count and no identifiers used up; nor does a new object hold what one of its key held in a namespace that died',
    source: ['ipc_namespaces(7)', 'ipc/util.c: ipc_init_ids', 'ipc/namespace.c: create_ipc_ns'],
    needs: ['SYSVIPC'],
    variants: ['private', 'initial', 'queues_max', AFTER_DEATHS],
    variantNeeds: { queues_max: ['POSIX_MQUEUE', 'MQUEUE_SYSCTL'], [AFTER_DEATHS]: ['POSIX_MQUEUE'] },
    arms: { treatment: 'made with CLONE_NEWIPC', control: 'made without it' },
    flags: 'with NEWIPC',
    via: SYSTEM_CALL_WAYS,
    async experiment(world) {
      const { outer, enter, initial, arm, flags, variant, fresh } = world
      const creator = variant === 'initial' ? await initial() : outer
      // More than the indices that are used round and round, so that the sequence number has gone on.
      if (creator === outer) for (const kind of SYSTEM_V_KINDS) await outer.burnIdentifiers(kind, 70)
      // Two of each, so that neither the first nor the last is the one that is looked for.
      const withQueues = (await creator.try.mq_open(fresh.name(), O_RDWR)) !== ENOSYS
      const kinds = withQueues ? OBJECT_KINDS : SYSTEM_V_KINDS
      const labels = kinds.map((kind) => ({
        kind,
        label: OBJECTS[kind].label(fresh),
        other: OBJECTS[kind].label(fresh),
      }))
      for (const { kind, label, other } of labels)
        for (const name of [label, other]) await makeLasting(creator, kind, name)
      const newcomer = await enter('newcomer', {
        from: creator,
        flags: arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC'),
      })
      const found: Record<string, unknown> = {}
      const used: Record<string, unknown> = {}
      for (const { kind, label, other } of labels)
        found[kind] = [await OBJECTS[kind].find(newcomer, label), await OBJECTS[kind].find(newcomer, other)]
      for (const kind of SYSTEM_V_KINDS) {
        const seen = await SYSTEM_V[kind].used(newcomer)
        used[kind] = failed(seen) ? seen : { ...seen, ...(await amounts(newcomer, kind)) }
        for (const index of [0, 1]) {
          const status = await SYSTEM_V[kind].stat(newcomer, index, 'index, any mode')
          used[`${kind} at ${index}`] = failed(status) ? status : 'something'
        }
      }
      const first: Record<string, unknown> = {}
      for (const kind of SYSTEM_V_KINDS) {
        first[kind] = await SYSTEM_V[kind].get(newcomer, fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
        // Where nothing is in use the kernel tells 0 as the highest index, whatever it has noted down.
        first[`${kind} then`] = await SYSTEM_V[kind].used(newcomer)
      }
      const queues =
        variant === 'queues_max'
          ? await queuesUpToOne(world, arm === 'treatment' ? newcomer : creator, newcomer)
          : undefined
      const deaths =
        variant === AFTER_DEATHS ? await sameLabelsAfterDeaths(world, kinds, newcomer) : undefined
      return { kinds, found, used, first, queues, deaths }
    },
    treatment: ({ kinds, queues, deaths }) => ({
      found: eachOf(kinds, ENOENT),
      used: {
        msg: EMPTY_NAMESPACE.msg,
        'msg at 0': EINVAL,
        'msg at 1': EINVAL,
        sem: EMPTY_NAMESPACE.sem,
        'sem at 0': EINVAL,
        'sem at 1': EINVAL,
        shm: EMPTY_NAMESPACE.shm,
        'shm at 0': EINVAL,
        'shm at 1': EINVAL,
      },
      first: {
        msg: 0,
        'msg then': { used: 1, highest: 0 },
        sem: 0,
        'sem then': { used: 1, highest: 0 },
        shm: 0,
        'shm then': { used: 1, highest: 0 },
      },
      queues: queues && { ...queues, made: queues.limited ? ['made', ENOSPC] : ['made', 'made'] },
      deaths: deaths?.map(() => ({
        end: 'destroyed',
        ...Object.fromEntries(kinds.map((kind) => [kind, ['made', EMPTY[kind]]])),
      })),
    }),
    control: ({ kinds, queues, deaths }, { variant }) => ({
      found: eachOf(kinds, 'found'),
      // The initial namespace may have no room for more.
      ...(variant === 'initial'
        ? {}
        : { first: having({ msg: differs(0), sem: differs(0), shm: differs(0) }) }),
      queues: queues && { ...queues, made: queues.limited ? [ENOSPC, ENOSPC] : ['made', 'made'] },
      deaths: deaths?.map(() => ({
        end: 'alive',
        ...Object.fromEntries(kinds.map((kind) => [kind, [EEXIST, 41]])),
      })),
    }),
  })

  svk.comparison('SVK-22', {
    says: 'the limit on the number of objects is each IPC namespace’s own, and only its own objects count',
    source: [
      'msgget(2), semget(2), shmget(2) ERRORS ENOSPC',
      'proc(5) msgmni, sem, shmmni',
      'ipc/util.c: ipc_addid',
    ],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    variants: ['msg', 'sem', 'shm', 'msg-initial', 'sem-initial', 'shm-initial'],
    variantNeeds: { 'shm-initial': ['lasting segments'] },
    arms: { treatment: 'another namespace has more objects', control: 'the same namespace has' },
    async experiment(world) {
      const { outer, enter, initial, stranger, arm, variant, fresh, disposable } = world
      const family = systemV(world)
      const crowded = variant.endsWith('-initial') && arm === 'treatment' ? await initial() : outer
      for (let made = 0; made < 5; made += 1) await family.make(crowded, fresh.key())
      // There is room for another one: the initial namespace may have a low limit of its own.
      await family.remove(crowded, await family.make(crowded, fresh.key()))
      const limited =
        arm === 'control'
          ? outer
          : crowded === outer
            ? await enter('limited')
            : await enter('limited', { from: crowded })
      await limited.writeFile(
        `/proc/sys/kernel/${LIMIT_FILE[family.kind]}`,
        family.kind === 'sem' ? '250 32000 100 3' : '3',
      )
      const made = await limited.makeUntilRefused(family.kind, 10)
      // The limit is nobody else's.
      const crowdedMakes = await family.get(crowded, fresh.key(), IPC_CREAT | 0o600)
      const elsewhere = await (await stranger()).makeUntilRefused(family.kind, 10)
      // One less, one more. The first identifier of a new namespace is 0 (SVK-13).
      const removed = arm === 'treatment' ? await family.remove(limited, 0) : undefined
      const roomAgain = await limited.makeUntilRefused(family.kind, 10)
      const whileInitialHasLess =
        disposable && crowded !== outer
          ? await makeWhileInitialHasLess(family, crowded, await stranger())
          : undefined
      return { made, crowdedMakes, elsewhere, removed, roomAgain, whileInitialHasLess }
    },
    treatment: ({ whileInitialHasLess }) => ({
      made: { made: 3, refusal: 'ENOSPC' },
      crowdedMakes: succeeds,
      elsewhere: { made: 10, refusal: '' },
      removed: 0,
      roomAgain: { made: 1, refusal: 'ENOSPC' },
      whileInitialHasLess: whileInitialHasLess && {
        ...whileInitialHasLess,
        made: whileInitialHasLess.asked,
        refusal: '',
      },
    }),
    control: () => ({
      made: { made: 0, refusal: 'ENOSPC' },
      crowdedMakes: ENOSPC,
      elsewhere: { made: 10, refusal: '' },
      roomAgain: { made: 0, refusal: 'ENOSPC' },
    }),
  })
}

/**
 * What another namespace makes of objects, asked for more than the initial one may have: its limit leaves room
 * there for what others do meanwhile, and no more.
 */
async function makeWhileInitialHasLess(family: SystemVFamily, initial: Member, other: Member) {
  const file = LIMIT_FILE[family.kind]
  const used = await family.used(initial)
  const limit = (failed(used) ? 0 : used.used) + 500
  // The last of the values of sem, the only one of the others.
  const limits = (await initial.readFile(`/proc/sys/kernel/${file}`)).trim().split(/\s+/)
  const asked = limit + 100
  const { made, refusal } = await setMeanwhile(initial, file, [...limits.slice(0, -1), limit].join(' '), () =>
    other.makeUntilRefused(family.kind, asked),
  )
  return { asked, made, refusal }
}

/** How many die one after another: what a kernel keeps of a death it may keep of the last one only, anybody's. */
const DEATHS = 3

/**
 * Again and again somebody makes objects with contents and dies, with its IPC namespace or (control) without;
 * then the newcomer makes objects of the same labels and sizes. What came of that, and what they hold.
 */
async function sameLabelsAfterDeaths(
  world: ComparisonWorld,
  kinds: readonly ObjectKind[],
  newcomer: Member,
): Promise<Record<string, unknown>[]> {
  const { outer, arm, fresh } = world
  const deaths: Record<string, unknown>[] = []
  while (deaths.length < (arm === 'treatment' ? DEATHS : 1)) {
    const mortal = await outer.spawn('mortal', arm === 'treatment' ? ['NEWIPC'] : [])
    const watch = await watchNamespace(outer, mortal)
    const labels = kinds.map((kind) => ({ kind, label: OBJECTS[kind].label(fresh) }))
    for (const { kind, label } of labels) await OBJECTS[kind].make(mortal, label, 41)
    await mortal.killAndReap()
    const seen: Record<string, unknown> = {
      end: arm === 'treatment' ? await watch.end(world) : await watch.look(),
    }
    for (const { kind, label } of labels)
      seen[kind] = [await OBJECTS[kind].makeAnew(newcomer, label), await OBJECTS[kind].read(newcomer, label)]
    deaths.push(seen)
  }
  return deaths
}

/** Tries to make two POSIX queues, the IPC namespace being limited to one if `limiter` may do that. */
async function queuesUpToOne(
  { fresh }: ComparisonWorld,
  limiter: Member,
  member: Member,
): Promise<{ limited: boolean; made: unknown[] }> {
  // Root of a user namespace may not do that on every kernel (SYS-13).
  const limited = !failed(await writeSysctl(limiter, '/proc/sys/fs/mqueue/queues_max', '1'))
  // CAP_SYS_RESOURCE would lift the limit.
  const powerless = await member.spawn('powerless')
  await powerless.setCapabilities([], true)
  const made: unknown[] = []
  for (const name of [fresh.name(), fresh.name()]) made.push(await OBJECTS.mq.makeAnew(powerless, name))
  return { limited, made }
}

/** What the *_INFO commands say of a namespace in which nothing was ever made. */
const EMPTY_NAMESPACE = {
  msg: { used: 0, highest: 0, ...NOTHING.msg },
  sem: { used: 0, highest: 0, ...NOTHING.sem },
  shm: { used: 0, highest: 0, ...NOTHING.shm },
}

/** Both objects of each family found alike. */
function eachOf(kinds: readonly ObjectKind[], both: unknown): unknown {
  return Object.fromEntries(kinds.map((kind) => [kind, [both, both]]))
}

/** Makes an object that needs nobody to stay; a queue's descriptor is closed again. */
async function makeLasting(member: Member, kind: ObjectKind, label: Label): Promise<void> {
  // Into a segment nothing: detached, it would not last where kernel.shm_rmid_forced is 1.
  const made = await OBJECTS[kind].make(member, label, kind === 'shm' ? undefined : 41)
  if (kind === 'mq') await member.close(made)
}
