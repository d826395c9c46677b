/** What *_INFO tells of a namespace: how much there is in it, and its limits. */
import { amounts, NOTHING } from '../../fixtures/amounts.ts'
import { indexOf } from '../../fixtures/identifiers.ts'
import { LASTING, SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
import { sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  atLeast,
  failed,
  IPC_CREAT,
  IPC_NOWAIT,
  Matcher,
  type Member,
  type Outcome,
  succeeds,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { readSysctl, writeSysctl } from '../../fixtures/sysctls.ts'

export function addCountRules(svk: Area): void {
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
    soughtFromInitial: true,
    experiment: (world) => (world.variant === 'limits' ? compareLimits(world) : compareCounts(world)),
    shared: (_, world) =>
      world.variant === 'limits'
        ? { actorsAgree: true, observersAgree: true, alike: touching(world) ? succeeds : true }
        : touching(world)
          ? { atFirst: atLeast(3), highestAtFirst: atLeast(2), withOwn: atLeast(5), actorsKept: atLeast(5) }
          : {
              atFirst: 3,
              highestAtFirst: 2,
              withOwn: 5,
              highestWithOwn: 4,
              afterRemoval: 4,
              highestAfterRemoval: 3,
              aboveHole: 'the newest object',
              highestBelowHole: 2,
              actorsKept: 5,
              highestKept: 4,
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
              withOwn: 2,
              highestWithOwn: 1,
              afterRemoval: 1,
              highestAfterRemoval: 0,
              aboveHole: 'the newest object',
              highestBelowHole: 0,
              byLimits: 0,
              ...(sideInInitial(world, 'actor') ? {} : { actorsKept: 3, highestKept: 2 }),
            },
  })

  svk.visibility('SVK-12', {
    says: 'messages, bytes, semaphores and pages are counted for each IPC namespace by itself: what comes in, is taken out or removed',
    source: [
      'msgctl(2) MSG_INFO',
      'semctl(2) SEM_INFO',
      'shmctl(2) SHM_INFO',
      'ipc/msg.c: do_msgsnd, do_msgrcv, freeque',
      'ipc/shm.c: newseg',
      'ipc/sem.c: newary',
    ],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    soughtFromInitial: true,
    experiment: compareAmounts,
    shared: (_, world) =>
      touching(world)
        ? { atFirst: holdingAtLeast(5), withOwn: holdingAtLeast(7) }
        : {
            atFirst: holding(world.variant, 5),
            withOwn: holding(world.variant, 7),
            afterTaking: holding(world.variant, world.variant === 'msg' ? 6 : 7),
            afterRemoval: holding(world.variant, 5),
          },
    isolated: (_, world) =>
      sideInInitial(world, 'observer')
        ? { ofActor: holding(world.variant, 100), grown: false }
        : {
            atFirst: NOTHING[systemV(world).kind],
            withOwn: holding(world.variant, 2),
            afterTaking: holding(world.variant, world.variant === 'msg' ? 1 : 2),
            afterRemoval: NOTHING[systemV(world).kind],
            ...(sideInInitial(world, 'actor')
              ? {}
              : { ofActor: holding(world.variant, 5), actorsKept: holding(world.variant, 5) }),
          },
  })
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

/** What a namespace with `count` of them has; pages are of 4, 16 or 64 KiB. */
function holding(kind: string, count: number): unknown {
  if (kind === 'msg') return { messages: count, bytes: 4 * count }
  if (kind === 'sem') return { semaphores: count }
  // Pages that were swapped out are not resident; huge pages come whole.
  return new Matcher(`${count} × 64 KiB of pages`, (seen) =>
    [1, 4, 16].some((pages) => (seen as { pages?: unknown }).pages === pages * count),
  )
}

/** At least what the actor saw, when others may use the namespace as well. */
function holdingAtLeast(count: number): Matcher {
  return new Matcher(`at least ${count} of each`, (seen) =>
    Object.entries(seen as Record<string, number>).every(
      ([name, value]) => name === 'resident' || value >= count,
    ),
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
    // The kernel has no other limit on the segments of one process.
    shmseg: String(shm.shmseg),
  }
}

/** The same limits as the sysctls have them; numbers above 2^53 rounded as JSON does. */
async function limitsBySysctl(member: Member): Promise<Record<string, string>> {
  const limits: Record<string, string> = {}
  for (const name of ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmmax', 'shmall', 'shmmni']) {
    const text = String(await readSysctl(member, `/proc/sys/kernel/${name}`))
    limits[name] = name === 'sem' ? text : String(Number(text))
  }
  limits.shmseg = limits.shmmni ?? ''
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

function touching(world: VisibilityWorld): boolean {
  return sideInInitial(world, 'actor') || sideInInitial(world, 'observer')
}

async function compareCounts(world: VisibilityWorld): Promise<Record<string, unknown>> {
  const { actor, observer, fresh, eventually } = world
  const family = systemV(world)
  for (let made = 0; made < 3; made += 1) await family.make(actor, fresh.key())
  if (world.relation.ipc === 'different' && sideInInitial(world, 'observer')) {
    // Others make objects in the initial namespace too, but not 200 between two looks each time.
    let rounds = 0
    const grown = await eventually(
      async () => {
        const before = await countOf(family, observer)
        await actor.makeUnnamed(family.kind, 200)
        rounds += 1
        return (await countOf(family, observer)) >= before + 200
      },
      // Long before the actor's namespace is full.
      (seen) => !seen || rounds === 20,
    )
    const ofActor = await family.used(actor)
    const expected = 3 + 200 * rounds
    return { grown, ofActor: of(ofActor, 'used') === expected && of(ofActor, 'highest') === expected - 1 }
  }
  const atFirst = await family.used(observer)
  const byLimits = await highestByLimits(family, observer)
  const own = await family.make(observer, fresh.key())
  const last = await family.make(observer, fresh.key())
  const withOwn = await family.used(observer)
  const kept = await family.used(actor)
  await family.remove(observer, last)
  const afterRemoval = await family.used(observer)
  // With a hole among the indices the highest one is not how many there are.
  const newest = await family.make(observer, fresh.key())
  await family.remove(observer, own)
  const withHole = of(await family.used(observer), 'highest')
  const index = await indexOf(observer, family, newest)
  await family.remove(observer, newest)
  const belowHole = await family.used(observer)
  return {
    atFirst: of(atFirst, 'used'),
    highestAtFirst: of(atFirst, 'highest'),
    byLimits,
    withOwn: of(withOwn, 'used'),
    highestWithOwn: of(withOwn, 'highest'),
    actorsKept: of(kept, 'used'),
    highestKept: of(kept, 'highest'),
    afterRemoval: of(afterRemoval, 'used'),
    highestAfterRemoval: of(afterRemoval, 'highest'),
    aboveHole: withHole === index ? 'the newest object' : withHole,
    highestBelowHole: of(belowHole, 'highest'),
  }
}

async function compareAmounts(world: VisibilityWorld): Promise<Record<string, unknown>> {
  const { actor, observer, fresh, eventually } = world
  const family = systemV(world)
  const { kind } = family
  if (world.relation.ipc === 'different' && sideInInitial(world, 'observer')) {
    let ofActor: Readonly<Record<string, number>> = {}
    // Others put things into the initial namespace too, but not as much between two looks each time.
    const grown = await eventually(
      async () => {
        const before = await amounts(observer, kind)
        const id = await putAmounts(actor, kind, fresh.key(), 100)
        const after = await amounts(observer, kind)
        ofActor = await amounts(actor, kind)
        await family.remove(actor, id)
        return Object.entries(ofActor).some(
          ([name, amount]) => amount > 0 && (after[name] ?? 0) >= (before[name] ?? 0) + amount,
        )
      },
      (seen) => !seen,
    )
    return { ofActor, grown }
  }
  await putAmounts(actor, kind, fresh.key(), 5)
  const ofActor = await amounts(actor, kind)
  const atFirst = await amounts(observer, kind)
  const id = await putAmounts(observer, kind, fresh.key(), 2)
  const withOwn = await amounts(observer, kind)
  // Only a message can be taken out.
  if (kind === 'msg') await observer.msgrcv(id, 64, 0, IPC_NOWAIT)
  const afterTaking = await amounts(observer, kind)
  const actorsKept = await amounts(actor, kind)
  await family.remove(observer, id)
  const afterRemoval = await amounts(observer, kind)
  return { ofActor, atFirst, withOwn, afterTaking, actorsKept, afterRemoval }
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
