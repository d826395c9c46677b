/** What *_INFO tells of a namespace: how much there is in it, and its limits. */
import { sideInInitial } from '../../fixtures/identifiers.ts'
import { SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
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

const LASTING = { shm: ['lasting segments'] } as const

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

function touching(world: VisibilityWorld): boolean {
  return sideInInitial(world, 'actor') || sideInInitial(world, 'observer')
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
