/** The table of objects of a namespace: indices, counts, limits, the order of identifiers. */
import { makePinned, sideInInitial } from '../../fixtures/identifiers.ts'
import {
  type Label,
  OBJECT_KINDS,
  OBJECTS,
  type ObjectKind,
  SYSTEM_V,
  SYSTEM_V_KINDS,
  type SystemVFamily,
  systemV,
} from '../../fixtures/objects.ts'
import {
  type Area,
  atLeast,
  differs,
  EACCES,
  EINVAL,
  ENOENT,
  ENOSPC,
  ENOSYS,
  failed,
  IPC_CREAT,
  IPC_NOWAIT,
  Matcher,
  type Member,
  O_RDWR,
  type Outcome,
  oneOf,
  succeeds,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { readSysctl, writeSysctl } from '../../fixtures/sysctls.ts'

const LASTING = { shm: ['lasting segments'] } as const

/** Whose object an index leads to: the identifier if it is ours, `another`, or the errno. */
async function byIndex(
  family: SystemVFamily,
  member: Member,
  { key, index }: { key: number; index: number },
  by: 'index' | 'index, any mode',
): Promise<unknown> {
  const seen = await family.stat(member, index, by)
  return failed(seen) ? seen : seen.perm.key === key ? seen.returned : 'another'
}

/** Nothing at that index; in the initial namespace there may be another program's object of any mode. */
function nothingThere(world: VisibilityWorld): unknown {
  return sideInInitial(world, 'observer') ? oneOf(EINVAL, 'another', EACCES) : EINVAL
}

/** What *_INFO counts in a namespace, besides objects. */
async function amounts(member: Member, kind: string): Promise<Readonly<Record<string, number>>> {
  if (kind === 'msg') {
    const { msgmap, msgtql } = await member.msgctlInfo('MSG_INFO')
    return { messages: msgmap, bytes: msgtql }
  }
  if (kind === 'sem') return { semaphores: (await member.semctlInfo('SEM_INFO')).semaem }
  const { tot, rss } = await member.shmctlUsage()
  return { pages: tot, resident: rss }
}

/** Puts amounts into the member's namespace: `count` messages of four bytes, semaphores, or 64 KiB units. */
async function putAmounts(member: Member, kind: string, key: number, count: number): Promise<number> {
  if (kind === 'msg') {
    const id = await member.msgget(key, IPC_CREAT | 0o600)
    for (let sent = 0; sent < count; sent += 1) await member.msgsnd(id, 1, 'four', IPC_NOWAIT)
    return id
  }
  if (kind === 'sem') return member.semget(key, count, IPC_CREAT | 0o600)
  const id = await member.shmget(key, count * 65536, IPC_CREAT | 0o600)
  const address = await member.shmat(id)
  await member.touchMemory(address, count * 65536)
  await member.shmdt(address)
  return id
}

/** What a namespace with nothing in it has. */
const NOTHING: Readonly<Record<string, unknown>> = {
  msg: { messages: 0, bytes: 0 },
  sem: { semaphores: 0 },
  shm: { pages: 0, resident: 0 },
}

/** What a namespace with `count` of them has; pages are of 4, 16 or 64 KiB. */
function holding(kind: string, count: number): unknown {
  if (kind === 'msg') return { messages: count, bytes: 4 * count }
  if (kind === 'sem') return { semaphores: count }
  // Pages that were swapped out are not resident; huge pages come whole.
  return new Matcher(`${count} × 64 KiB of pages`, (seen) =>
    [1, 4, 16].some((pages) => (seen as { pages?: unknown }).pages === pages * count),
  )
}

/** The limits of a namespace by the IPC_INFO commands, in the order of its sysctls. */
async function limitsByInfo(member: Member): Promise<Outcome<Record<string, string>>> {
  const msg = await member.try.msgctlInfo('IPC_INFO')
  const sem = await member.try.semctlInfo('IPC_INFO')
  const shm = await member.try.shmctlLimits()
  if (failed(msg)) return msg
  if (failed(sem)) return sem
  if (failed(shm)) return shm
  return {
    msgmax: String(msg.msgmax),
    msgmnb: String(msg.msgmnb),
    msgmni: String(msg.msgmni),
    sem: `${sem.semmsl} ${sem.semmns} ${sem.semopm} ${sem.semmni}`,
    shmmax: String(shm.shmmax),
    shmall: String(shm.shmall),
    shmmni: String(shm.shmmni),
  }
}

/** The same limits as the sysctls have them; numbers above 2^53 rounded as JSON does. */
async function limitsBySysctl(member: Member): Promise<Record<string, string>> {
  const limits: Record<string, string> = {}
  for (const name of ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmmax', 'shmall', 'shmmni']) {
    const text = String(await readSysctl(member, `/proc/sys/kernel/${name}`))
    limits[name] = name === 'sem' ? text : String(Number(text))
  }
  return limits
}

/** Limits that no namespace has by itself; `turn` tells two writers apart. */
async function writeLimits(member: Member, turn: number): Promise<'written' | 'refused'> {
  const limits: Readonly<Record<string, string>> = {
    msgmax: String(7000 + turn),
    msgmnb: String(15000 + turn),
    msgmni: String(1000 + turn),
    sem: `${300 + turn} ${40000 + turn} ${200 + turn} ${2000 + turn}`,
    shmmax: String(1_000_000_000 + turn),
    shmall: String(2_000_000 + turn),
    shmmni: String(3000 + turn),
  }
  for (const [name, value] of Object.entries(limits))
    if (failed(await writeSysctl(member, `/proc/sys/kernel/${name}`, value))) return 'refused'
  return 'written'
}

export function addTableRules(svk: Area): void {
  svk.visibility('SVK-09', {
    says: 'MSG_STAT, SEM_STAT and SHM_STAT look an index up in the table of the caller’s own IPC namespace only',
    source: ['msgctl(2) MSG_STAT', 'semctl(2) SEM_STAT', 'shmctl(2) SHM_STAT', 'ipc/msg.c: msgctl_stat'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const pinned = await makePinned(world, family, 41, 'harmless')
      const { id } = pinned
      const before = await family.inspect(actor, id)
      const own = await byIndex(family, actor, pinned, 'index')
      const seen = await byIndex(family, observer, pinned, 'index')
      const after = await family.inspect(actor, id)
      await family.remove(actor, id)
      const removed = await byIndex(family, observer, pinned, 'index')
      return { id, before, own, seen, after, removed }
    },
    shared: ({ id, before }, world) => ({
      own: id,
      seen: id,
      after: before,
      removed: nothingThere(world),
    }),
    isolated: ({ id, before }, world) => ({ own: id, seen: nothingThere(world), after: before }),
  })

  svk.visibility('SVK-10', {
    says: 'MSG_STAT_ANY, SEM_STAT_ANY and SHM_STAT_ANY need no read permission, but look in the caller’s own IPC namespace only',
    source: ['msgctl(2) MSG_STAT_ANY', 'semctl(2) SEM_STAT_ANY', 'shmctl(2) SHM_STAT_ANY'],
    needs: ['SYSVIPC'],
    since: '4.17',
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const pinned = await makePinned(world, family, 41, 'harmless')
      const { id } = pinned
      await family.setMode(actor, id, 0)
      const own = await byIndex(family, actor, pinned, 'index, any mode')
      const seen = await byIndex(family, observer, pinned, 'index, any mode')
      const seenByMode = await byIndex(family, observer, pinned, 'index')
      await family.remove(actor, id)
      const powerful = (await observer.capabilities()).includes('CAP_IPC_OWNER')
      return { id, own, seen, seenByMode, powerful }
    },
    shared: ({ id, powerful }, { relation }) => ({
      own: id,
      seen: id,
      // The mode says no to everybody; only a capability over the namespace's owner helps.
      seenByMode: powerful && ['same', 'actor-below'].includes(relation.user) ? id : EACCES,
    }),
    isolated: ({ id }, world) => ({ own: id, seen: nothingThere(world), seenByMode: nothingThere(world) }),
  })

  svk.visibility('SVK-11', {
    says: 'MSG_INFO, SEM_INFO and SHM_INFO count the objects of the caller’s own IPC namespace, and IPC_INFO tells its own limits',
    source: [
      'msgctl(2) MSG_INFO, IPC_INFO',
      'semctl(2) SEM_INFO, IPC_INFO',
      'shmctl(2) SHM_INFO, IPC_INFO',
      'ipc/msg.c: msgctl_info',
    ],
    needs: ['SYSVIPC'],
    variants: [...SYSTEM_V_KINDS, 'limits'],
    variantNeeds: { ...LASTING, limits: ['SYSVIPC_SYSCTL'] },
    ownWorld: true,
    experiment: (world) => (world.variant === 'limits' ? compareLimits(world) : compareCounts(world)),
    shared: (_, world) =>
      world.variant === 'limits'
        ? { actorsAgree: true, observersAgree: true, alike: touching(world) ? succeeds : true }
        : touching(world)
          ? { atFirst: atLeast(3), highestAtFirst: atLeast(2), withOne: atLeast(4), actorsKept: atLeast(4) }
          : {
              atFirst: 3,
              highestAtFirst: 2,
              withOne: 4,
              highestWithOne: 3,
              afterRemoval: 3,
              actorsKept: 4,
              highestKept: 3,
              byLimits: 2,
            },
    isolated: ({ unlike }, world) =>
      world.variant === 'limits'
        ? { actorsAgree: true, observersAgree: true, alike: unlike ? false : succeeds }
        : sideInInitial(world, 'observer')
          ? { grown: false, ofActor: true }
          : {
              atFirst: 0,
              highestAtFirst: 0,
              withOne: 1,
              highestWithOne: 0,
              afterRemoval: 0,
              byLimits: 0,
              ...(sideInInitial(world, 'actor') ? {} : { actorsKept: 3, highestKept: 2 }),
            },
  })

  svk.visibility('SVK-12', {
    says: 'messages, bytes, semaphores and pages are counted for each IPC namespace by itself',
    source: [
      'msgctl(2) MSG_INFO',
      'semctl(2) SEM_INFO',
      'shmctl(2) SHM_INFO',
      'ipc/shm.c: newseg',
      'ipc/sem.c: newary',
    ],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    experiment: compareAmounts,
    shared: (_, world) =>
      touching(world)
        ? { atFirst: holdingAtLeast(5), withOwn: holdingAtLeast(7) }
        : { atFirst: holding(world.variant, 5), withOwn: holding(world.variant, 7) },
    isolated: (_, world) =>
      sideInInitial(world, 'observer')
        ? { ofActor: holding(world.variant, 100), grown: false }
        : {
            atFirst: NOTHING[world.variant],
            withOwn: holding(world.variant, 2),
            afterRemoval: NOTHING[world.variant],
            ...(sideInInitial(world, 'actor')
              ? {}
              : { ofActor: holding(world.variant, 5), actorsKept: holding(world.variant, 5) }),
          },
  })

  svk.visibility('SVK-13', {
    says: 'every new IPC namespace gives its identifiers in the same order from 0, whatever others have used up',
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
      const ids: number[] = []
      for (let made = 0; made < 3; made += 1) ids.push(await family.make(observer, fresh.key()))
      await family.remove(observer, ids[2] ?? -1)
      const afterRemoval = await family.make(observer, fresh.key())
      if (world.relation.ipc === 'different' && afterRemoval !== 3)
        world.note('an index is used again at once, as before Linux 5.2')
      return { last, ids, first: ids[0], afterRemoval }
    },
    shared: () => ({ first: differs(0) }),
    // Before Linux 5.2 the index was used again with the next sequence number.
    isolated: (_, world) => ({
      ids: [0, 1, 2],
      afterRemoval: oneOf(3, 2 + 0x8000),
      ...(sideInInitial(world, 'actor') ? {} : { last: differs(0) }),
    }),
  })

  svk.comparison('SVK-20', {
    says: 'a new IPC namespace is empty: nothing of its creator’s is copied into it',
    source: ['ipc_namespaces(7)', 'ipc/util.c: ipc_init_ids', 'ipc/namespace.c: create_ipc_ns'],
    needs: ['SYSVIPC'],
    variants: ['private', 'initial'],
    arms: { treatment: 'made with CLONE_NEWIPC', control: 'made without it' },
    flags: 'with NEWIPC',
    via: ['clone', 'clone3', 'unshare', 'setns-nsfd', 'setns-pidfd'],
    async experiment(world) {
      const { outer, enter, initial, arm, flags, variant, fresh } = world
      const creator = variant === 'initial' ? await initial() : outer
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
        used[kind] = failed(seen) ? seen : seen.used
        for (const index of [0, 1]) {
          const status = await SYSTEM_V[kind].stat(newcomer, index, 'index, any mode')
          used[`${kind} at ${index}`] = failed(status) ? status : 'something'
        }
      }
      return { kinds, found, used }
    },
    treatment: ({ kinds }) => ({
      found: eachOf(kinds, ENOENT),
      used: {
        msg: 0,
        'msg at 0': EINVAL,
        'msg at 1': EINVAL,
        sem: 0,
        'sem at 0': EINVAL,
        'sem at 1': EINVAL,
        shm: 0,
        'shm at 0': EINVAL,
        'shm at 1': EINVAL,
      },
    }),
    control: ({ kinds }) => ({ found: eachOf(kinds, 'found') }),
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
      const { outer, enter, initial, stranger, arm, variant, fresh } = world
      const family = systemV(world)
      const crowded = variant.endsWith('-initial') && arm === 'treatment' ? await initial() : outer
      for (let made = 0; made < 5; made += 1) await family.make(crowded, fresh.key())
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
      return { made, crowdedMakes, elsewhere, removed, roomAgain }
    },
    treatment: () => ({
      made: { made: 3, refusal: 'ENOSPC' },
      crowdedMakes: succeeds,
      elsewhere: { made: 10, refusal: '' },
      removed: 0,
      roomAgain: { made: 1, refusal: 'ENOSPC' },
    }),
    control: () => ({
      made: { made: 0, refusal: 'ENOSPC' },
      crowdedMakes: ENOSPC,
      elsewhere: { made: 10, refusal: '' },
      roomAgain: { made: 0, refusal: 'ENOSPC' },
    }),
  })
}

/** Both objects of each family found alike. */
function eachOf(kinds: readonly ObjectKind[], both: unknown): unknown {
  return Object.fromEntries(kinds.map((kind) => [kind, [both, both]]))
}

const LIMIT_FILE = { msg: 'msgmni', sem: 'sem', shm: 'shmmni' } as const

/** Makes an object with nothing in it that needs nobody to stay; a queue's descriptor is closed again. */
async function makeLasting(member: Member, kind: ObjectKind, label: Label): Promise<void> {
  const made = await OBJECTS[kind].make(member, label)
  if (kind === 'mq') await member.close(made)
}

function touching(world: VisibilityWorld): boolean {
  return sideInInitial(world, 'actor') || sideInInitial(world, 'observer')
}

/** At least what the actor saw, when others may use the namespace as well. */
function holdingAtLeast(count: number): Matcher {
  return new Matcher(`at least ${count} of each`, (seen) =>
    Object.entries(seen as Record<string, number>).every(
      ([name, value]) => name === 'resident' || value >= count,
    ),
  )
}

async function compareCounts(world: VisibilityWorld): Promise<Record<string, unknown>> {
  const { actor, observer, fresh, eventually } = world
  const family = systemV(world)
  for (let made = 0; made < 3; made += 1) await family.make(actor, fresh.key())
  const observerOutside = world.relation.ipc === 'different' && sideInInitial(world, 'observer')
  const seen: Record<string, unknown> = {}
  if (observerOutside) {
    // Others make objects in the initial namespace too, but not 200 between two looks each time.
    let rounds = 0
    seen.grown = await eventually(
      async () => {
        const before = await countOf(family, observer)
        await actor.makeUnnamed(family.kind, 200)
        rounds += 1
        return (await countOf(family, observer)) >= before + 200
      },
      (grown) => !grown,
    )
    const ofActor = await family.used(actor)
    const expected = 3 + 200 * rounds
    return { ...seen, ofActor: of(ofActor, 'used') === expected && of(ofActor, 'highest') === expected - 1 }
  }
  const atFirst = await family.used(observer)
  const byLimits = await highestByLimits(family, observer)
  const own = await family.make(observer, fresh.key())
  const withOne = await family.used(observer)
  const kept = await family.used(actor)
  await family.remove(observer, own)
  const afterRemoval = await family.used(observer)
  return {
    atFirst: of(atFirst, 'used'),
    highestAtFirst: of(atFirst, 'highest'),
    byLimits,
    withOne: of(withOne, 'used'),
    highestWithOne: of(withOne, 'highest'),
    actorsKept: of(kept, 'used'),
    highestKept: of(kept, 'highest'),
    afterRemoval: of(afterRemoval, 'used'),
  }
}

async function compareAmounts(world: VisibilityWorld): Promise<Record<string, unknown>> {
  const { actor, observer, variant, fresh, eventually } = world
  const family = systemV(world)
  if (world.relation.ipc === 'different' && sideInInitial(world, 'observer')) {
    let ofActor: Readonly<Record<string, number>> = {}
    // Others put things into the initial namespace too, but not as much between two looks each time.
    const grown = await eventually(
      async () => {
        const before = await amounts(observer, variant)
        const id = await putAmounts(actor, variant, fresh.key(), 100)
        const after = await amounts(observer, variant)
        ofActor = await amounts(actor, variant)
        await family.remove(actor, id)
        return Object.entries(ofActor).some(
          ([name, amount]) => amount > 0 && (after[name] ?? 0) >= (before[name] ?? 0) + amount,
        )
      },
      (seen) => !seen,
    )
    return { ofActor, grown }
  }
  await putAmounts(actor, variant, fresh.key(), 5)
  const ofActor = await amounts(actor, variant)
  const atFirst = await amounts(observer, variant)
  const id = await putAmounts(observer, variant, fresh.key(), 2)
  const withOwn = await amounts(observer, variant)
  const actorsKept = await amounts(actor, variant)
  await family.remove(observer, id)
  const afterRemoval = await amounts(observer, variant)
  return { ofActor, atFirst, withOwn, actorsKept, afterRemoval }
}

async function countOf(family: SystemVFamily, member: Member): Promise<number> {
  const used = await family.used(member)
  return failed(used) ? Number.NaN : used.used
}

function of(seen: Outcome<{ used: number; highest: number }>, field: 'used' | 'highest'): unknown {
  return failed(seen) ? seen : seen[field]
}

/** IPC_INFO returns the highest used index as well. */
async function highestByLimits(family: SystemVFamily, member: Member): Promise<unknown> {
  const info =
    family.kind === 'msg'
      ? await member.try.msgctlInfo('IPC_INFO')
      : family.kind === 'sem'
        ? await member.try.semctlInfo('IPC_INFO')
        : await member.try.shmctlLimits()
  return failed(info) ? info : info.highest
}

async function compareLimits(world: VisibilityWorld): Promise<Record<string, unknown>> {
  const { actor, observer, eventually } = world
  // Root of a user namespace may write the limits of its IPC namespaces since Linux 6.9 only (SYS-13).
  const byActor = sideInInitial(world, 'actor') ? 'refused' : await writeLimits(actor, 1)
  const byObserver =
    sideInInitial(world, 'observer') || world.relation.ipc === 'same'
      ? 'refused'
      : await writeLimits(observer, 2)
  // In a guest others may change the initial namespace's limits between the two looks.
  const agree = (member: Member): Promise<boolean> =>
    eventually(
      async () => {
        const bySysctl = await limitsBySysctl(member)
        const byInfo = await limitsByInfo(member)
        world.remark('by sysctl', bySysctl)
        world.remark('by IPC_INFO', byInfo)
        return JSON.stringify(bySysctl) === JSON.stringify(byInfo)
      },
      (alike) => alike,
      touching(world) ? 5000 : 0,
    )
  const actorsAgree = await agree(actor)
  const observersAgree = await agree(observer)
  const alike = JSON.stringify(await limitsByInfo(actor)) === JSON.stringify(await limitsByInfo(observer))
  return { actorsAgree, observersAgree, alike, unlike: [byActor, byObserver].includes('written') }
}
