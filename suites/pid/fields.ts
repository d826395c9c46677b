/** The pids that System V objects remember, over scenes and flag sets: PID-01 … PID-03, PID-05 and PID-07. */

import { indexOf } from '../../fixtures/identifiers.ts'
import { joinIpc } from '../../fixtures/leaving.ts'
import { family, LASTING, OBJECT_KINDS, SYSTEM_V, type SystemVKind } from '../../fixtures/objects.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  type Area,
  CLONE,
  ENOENT,
  type Flag,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  type Member,
  O_RDONLY,
  procPid,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { parseTable, tablePath } from '../../fixtures/sysvipc-table.ts'

/** What one family remembers of who did what, and the calls that make it remember. */
interface Remembering {
  /** Makes an object; the first pids it remembers are the maker's. */
  make(member: Member, key: number): Promise<number>
  find(member: Member, key: number): ReturnType<Member['try']['msgget']>
  /** Each of the acts after which the object remembers the actor, and the field that does. */
  readonly acts: Readonly<Record<string, (member: Member, id: number) => Promise<unknown>>>
  /** Calls that have to wait until the feeder acts, and the fields that remember the one who waited. */
  readonly waiting?: {
    fields: readonly string[]
    act(waiter: Member, feeder: Member, id: number): Promise<unknown>
  }
  /** All fields as the member sees them. */
  pids(member: Member, id: number): Promise<Readonly<Record<string, number>>>
  /** The same by the commands that take an index, where there are such. */
  pidsByIndex?(member: Member, id: number): Promise<readonly Readonly<Record<string, number>>[]>
}

async function attachAndDetach(member: Member, id: number): Promise<void> {
  await member.shmdt(await member.shmat(id))
}

const shmPids = ({ cpid, lpid }: { cpid: number; lpid: number }) => ({ cpid, lpid })
const msgPids = ({ lspid, lrpid }: { lspid: number; lrpid: number }) => ({ lspid, lrpid })

/** The families; each act is named after the field that it changes. */
export const REMEMBERING: Readonly<Record<SystemVKind, Remembering>> = {
  shm: {
    make: (member, key) => member.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600),
    find: (member, key) => member.try.shmget(key, 0, 0),
    acts: { lpid: attachAndDetach },
    pids: async (member, id) => shmPids(await member.shmctlStat(id)),
    pidsByIndex: async (member, id) => {
      const index = await indexOf(member, SYSTEM_V.shm, id)
      const byMode = await member.shmctlStat(index, 'SHM_STAT')
      return [byMode, await member.shmctlStat(index, 'SHM_STAT_ANY')].map(shmPids)
    },
  },
  msg: {
    make: (member, key) => member.msgget(key, IPC_CREAT | IPC_EXCL | 0o600),
    find: (member, key) => member.try.msgget(key, 0),
    acts: {
      lspid: (member, id) => member.msgsnd(id, 1, 'x', IPC_NOWAIT),
      lrpid: (member, id) => member.msgrcv(id, 64, 0, IPC_NOWAIT),
    },
    waiting: {
      fields: ['lrpid'],
      act: async (waiter, feeder, id) => {
        const received = await waiter.block.msgrcv(id, 64, 0, 0)
        await feeder.msgsnd(id, 1, 'handed over', IPC_NOWAIT)
        return received.within(PATIENCE_MS)
      },
    },
    pids: async (member, id) => msgPids(await member.msgctlStat(id)),
    pidsByIndex: async (member, id) => {
      const index = await indexOf(member, SYSTEM_V.msg, id)
      const byMode = await member.msgctlStat(index, 'MSG_STAT')
      return [byMode, await member.msgctlStat(index, 'MSG_STAT_ANY')].map(msgPids)
    },
  },
  sem: {
    make: (member, key) => member.semget(key, 3, IPC_CREAT | IPC_EXCL | 0o600),
    find: (member, key) => member.try.semget(key, 0, 0),
    acts: {
      first: (member, id) => member.semop(id, [{ index: 0, change: 1 }]),
      second: (member, id) => member.semctlSetValue(id, 1, 1),
      third: (member, id) => member.semop(id, [{ index: 2, change: 0 }]),
    },
    waiting: {
      fields: ['first', 'third'],
      act: async (waiter, feeder, id) => {
        const taken = await waiter.block.semop(id, [{ index: 0, change: -5 }])
        await feeder.semop(id, [{ index: 0, change: 5 }])
        await taken.within(PATIENCE_MS)
        // What names a semaphore twice is done by another function of the kernel.
        const down = { index: 2, change: -1 }
        const twice = await waiter.block.semop(id, [down, down])
        await feeder.semop(id, [{ index: 2, change: 2 }])
        return twice.within(PATIENCE_MS)
      },
    },
    pids: async (member, id) => ({
      first: await member.semctlGet(id, 0, 'GETPID'),
      second: await member.semctlGet(id, 1, 'GETPID'),
      third: await member.semctlGet(id, 2, 'GETPID'),
    }),
  },
}

/** The two sides as each sees itself and the other: its own number, another's number, or 0 for none. */
interface Numbers {
  actor: { self: number; other: number }
  observer: { self: number; other: number }
}

/**
 * How the two sides are numbered in each other's pid namespace. /proc is the outer side's: a process's own
 * link there tells its number in the outermost of the pid namespaces.
 */
async function numbersOf(world: VisibilityWorld, visitor: Member): Promise<Numbers> {
  const { actor, relation } = world
  const outermost = async (member: Member) => Number(await procPid(member))
  const selves = { actor: await actor.getpid(), observer: await visitor.getpid() }
  const of = {
    same: { actor: selves.observer, observer: selves.actor },
    'observer-below': { actor: await outermost(visitor), observer: 0 },
    'actor-below': { actor: 0, observer: await outermost(actor) },
    apart: { actor: 0, observer: 0 },
  }[relation.pid]
  return {
    actor: { self: selves.actor, other: of.actor },
    observer: { self: selves.observer, other: of.observer },
  }
}

/** With NEWIPC the observer's child joins the actor's IPC namespace; it stays in the observer's pid namespace. */
async function visitorOf({ actor, observer, relation }: VisibilityWorld): Promise<Member> {
  const visitor = await observer.spawn('visitor')
  if (relation.ipc === 'different') await joinIpc(visitor, actor)
  return visitor
}

/** An object of somebody two pid namespaces below the actor, as that one sees it and as one far above. */
interface Deep {
  deepNumber?: number
  byDeep?: { above: Readonly<Record<string, number>>; deep: Readonly<Record<string, number>> }
  namesakeNumber?: number
  byNamesake?: Readonly<Record<'above' | 'deep' | 'namesake', Readonly<Record<string, number>>>>
}

/**
 * Makes it, where /proc is that of the one above: there the link of a process tells its number. Not where
 * the cell has no NEWPID, for then there may be no pid namespaces.
 */
async function deepBelow(world: VisibilityWorld, visitor: Member, how: Remembering): Promise<Deep> {
  const { actor, relation, fresh } = world
  if (relation.pid !== 'observer-below' && relation.pid !== 'actor-below') return {}
  const above = relation.pid === 'actor-below' ? visitor : actor
  const middle = await actor.spawn('one below', ['NEWPID'])
  const deep = await middle.spawn('two below', ['NEWPID'])
  const deepNumber = Number(await procPid(deep))
  const object = await how.make(deep, fresh.key())
  for (const act of Object.values(how.acts)) await act(deep, object)
  const byDeep = { above: await how.pids(above, object), deep: await how.pids(deep, object) }
  // Then another one acts, whose number in a pid namespace of its own is the same.
  const namesake = await middle.spawn('namesake', ['NEWPID'])
  const namesakeNumber = Number(await procPid(namesake))
  for (const act of Object.values(how.acts)) await act(namesake, object)
  const byNamesake = {
    above: await how.pids(above, object),
    deep: await how.pids(deep, object),
    namesake: await how.pids(namesake, object),
  }
  await middle.killAndReap()
  return { deepNumber, byDeep, namesakeNumber, byNamesake }
}

/** Who is seen from far above has a number there, and is the first of his own pid namespace. */
function deepNumbers(kind: SystemVKind, { deepNumber, byDeep, namesakeNumber }: Deep) {
  if (deepNumber === undefined || byDeep === undefined || namesakeNumber === undefined) return {}
  const fields = Object.keys(byDeep.deep)
  const all = (number: number) => Object.fromEntries(fields.map((field) => [field, number]))
  const made = (number: number) => (kind === 'shm' ? { cpid: number } : {})
  return {
    byDeep: { above: all(deepNumber), deep: all(1) },
    byNamesake: {
      above: { ...all(namesakeNumber), ...made(deepNumber) },
      deep: { ...all(0), ...made(1) },
      namesake: { ...all(1), ...made(0) },
    },
  }
}

/** An object as who has unshared NEWPID sees it, and as the child who is the first in the namespace made thereby. */
interface Unshared {
  byUnsharer?: Readonly<Record<string, number>>
  byItsChild?: Readonly<Record<string, number>>
}

/** unshare(CLONE_NEWPID) moves the children only: the caller’s own pid namespace goes on to count. */
async function unsharePid(
  { relation }: VisibilityWorld,
  visitor: Member,
  look: (member: Member) => Promise<Readonly<Record<string, number>>>,
): Promise<Unshared> {
  if (relation.pid === 'same') return {}
  await visitor.unshare(CLONE.NEWPID)
  const child = await visitor.spawn('child in the new pid namespace')
  return { byUnsharer: await look(visitor), byItsChild: await look(child) }
}

/** The one sees what it saw before, and in the other's pid namespace nobody who acted has a number. */
function unsharedNumbers({ byItsChild }: Unshared, before: Readonly<Record<string, number>>) {
  if (byItsChild === undefined) return {}
  return {
    byUnsharer: before,
    byItsChild: Object.fromEntries(Object.keys(byItsChild).map((field) => [field, 0])),
  }
}

/** Without NEWUSER: from inside a user namespace the actor's IPC namespace cannot be joined (ENT-29). */
const withoutUser = (flags: readonly Flag[]): boolean => !flags.includes('NEWUSER')

const ROWS = [
  ['PID-01', 'shm', 'shm_cpid and shm_lpid', 'ipc/shm.c: shmctl_stat', 'shmctl(2)'],
  ['PID-02', 'msg', 'msg_lspid and msg_lrpid', 'ipc/msg.c: msgctl_stat', 'msgctl(2)'],
  ['PID-03', 'sem', 'a semaphore’s GETPID', 'ipc/sem.c: semctl_main', 'semctl(2)'],
] as const

export function addFields(pid: Area): void {
  for (const [id, kind, what, place, page] of ROWS)
    pid.visibility(id, {
      says: `${what} are numbers of the caller’s pid namespace, 0 where it has none, whatever the IPC namespaces${
        REMEMBERING[kind].waiting ? ', also of one who had to wait' : ''
      }; unshare(CLONE_NEWPID) changes that for children only`,
      source: [page, 'pid_namespaces(7)', place],
      needs: ['SYSVIPC', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'],
      initialNeeds: kind === 'shm' ? ['lasting segments'] : [],
      since: '4.17',
      flags: withoutUser,
      aboutFlags: ['NEWPID'],
      async experiment(world) {
        const { actor, observer, fresh } = world
        const how = REMEMBERING[kind]
        const key = fresh.key()
        const object = await how.make(actor, key)
        const found = await how.find(observer, key)
        const visitor = await visitorOf(world)
        const numbers = await numbersOf(world, visitor)
        const look = async () => ({
          actor: await how.pids(actor, object),
          observer: await how.pids(visitor, object),
        })
        const fresh0 = await look()
        for (const act of Object.values(how.acts)) await act(actor, object)
        const byActor = await look()
        const byIndex = {
          actor: await how.pidsByIndex?.(actor, object),
          observer: await how.pidsByIndex?.(visitor, object),
        }
        await how.waiting?.act(visitor, actor, object)
        const byWaiter = await look()
        for (const act of Object.values(how.acts)) await act(visitor, object)
        const byObserver = await look()
        const deep = await deepBelow(world, visitor, how)
        const unshared = await unsharePid(world, visitor, (member) => how.pids(member, object))
        await visitor.killAndReap()
        return {
          object,
          numbers,
          found,
          fresh: fresh0,
          byActor,
          byIndex,
          byWaiter,
          byObserver,
          ...deep,
          ...unshared,
        }
      },
      shared: (seen) => ({ ...everything(kind, seen), found: seen.object }),
      isolated: (seen) => ({ ...everything(kind, seen), found: ENOENT }),
    })

  pid.visibility('PID-05', {
    says: '/proc/sysvipc gives the pids of a segment and of a queue as the pid namespace of the process that opened it has them',
    source: ['proc_sysvipc(5)', 'pid_namespaces(7)', 'ipc/util.c: sysvipc_proc_open'],
    needs: ['SYSVIPC', 'PROC_SYSVIPC', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'PID_NS'],
    since: '4.17',
    flags: withoutUser,
    variantNeeds: LASTING,
    variants: ['shm', 'msg'],
    aboutFlags: ['NEWPID'],
    async experiment(world) {
      const { actor, fresh, variant } = world
      const kind = variant as 'shm' | 'msg'
      const how = REMEMBERING[kind]
      const object = await how.make(actor, fresh.key())
      for (const act of Object.values(how.acts)) await act(actor, object)
      const visitor = await visitorOf(world)
      const numbers = await numbersOf(world, visitor)
      const path = tablePath(kind)
      const actorReads = pidsIn(kind, await actor.readFile(path), object)
      const observerReads = pidsIn(kind, await visitor.readFile(path), object)
      // One more reader with a file that the visitor opened: the opener's pid namespace counts.
      const file = await visitor.open(path, O_RDONLY)
      const heir = await visitor.spawn('heir', ['NEWPID'], { keep: [file] })
      const heirReads = pidsIn(kind, await readToEnd(heir, file), object)
      // And one who has made a pid namespace for its children, and is not in it.
      await visitor.unshare(CLONE.NEWPID)
      const unsharerReads = pidsIn(kind, await visitor.readFile(path), object)
      const child = await visitor.spawn('child in the new pid namespace')
      const itsChildReads = pidsIn(kind, await child.readFile(path), object)
      await visitor.killAndReap()
      return { numbers, actorReads, observerReads, heirReads, unsharerReads, itsChildReads }
    },
    shared: (seen, world) => rows(world.variant as 'shm' | 'msg', seen.numbers),
    isolated: (seen, world) => rows(world.variant as 'shm' | 'msg', seen.numbers),
  })

  pid.visibility('PID-07', {
    says: 'a new pid namespace never changes which objects are seen',
    source: ['pid_namespaces(7)', 'ipc_namespaces(7)'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    flags: (flags) => flags.includes('NEWPID'),
    variantNeeds: LASTING,
    variants: OBJECT_KINDS,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const kind = family(world)
      const labels = { actors: kind.label(fresh), observers: kind.label(fresh) }
      const made = await kind.make(actor, labels.actors, 11)
      const found = await kind.find(observer, labels.actors)
      const read = await kind.read(observer, labels.actors)
      const madeToo = await kind.make(observer, labels.observers, 22)
      const actorReads = await kind.read(actor, labels.observers)
      const removed = await kind.remove(observer, labels.actors)
      const left = await kind.find(actor, labels.actors)
      if (kind.kind === 'mq') {
        await actor.close(made)
        await observer.close(madeToo)
      }
      await kind.remove(actor, labels.actors)
      await kind.remove(observer, labels.observers)
      return { found, read, actorReads, removed, left }
    },
    shared: () => ({ found: 'found', read: 11, actorReads: 22, removed: 0, left: ENOENT }),
    isolated: () => ({ found: ENOENT, read: ENOENT, actorReads: ENOENT, removed: ENOENT, left: 'found' }),
  })
}

/**
 * What each side must see before anybody acted, after the actor did, after the actor let the observer's side
 * go on that waited for it, and after that side did.
 */
function remembered(kind: SystemVKind, { actor, observer }: Numbers) {
  const { waiting } = REMEMBERING[kind]
  const all = (number: number) =>
    Object.fromEntries(Object.keys(REMEMBERING[kind].acts).map((field) => [field, number]))
  const made = (number: number) => (kind === 'shm' ? { cpid: number } : {})
  const waiter = (number: number) =>
    Object.fromEntries((waiting?.fields ?? []).map((field) => [field, number]))
  return {
    fresh: {
      actor: { ...made(actor.self), ...all(0) },
      observer: { ...made(observer.other), ...all(0) },
    },
    byActor: {
      actor: { ...made(actor.self), ...all(actor.self) },
      observer: { ...made(observer.other), ...all(observer.other) },
    },
    byWaiter: {
      actor: { ...made(actor.self), ...all(actor.self), ...waiter(actor.other) },
      observer: { ...made(observer.other), ...all(observer.other), ...waiter(observer.self) },
    },
    byObserver: {
      actor: { ...made(actor.self), ...all(actor.other) },
      observer: { ...made(observer.other), ...all(observer.self) },
    },
  }
}

/** Such a file gives a page at a time, and the initial namespace may hold many objects. */
async function readToEnd(member: Member, file: number): Promise<string> {
  let text = ''
  for (;;) {
    const part = await member.read(file)
    if (part === '') return text
    text += part
  }
}

/** All that does not depend on who finds the object. */
function everything(kind: SystemVKind, seen: { numbers: Numbers } & Deep & Unshared) {
  const numbers = remembered(kind, seen.numbers)
  const { actor, observer } = numbers.byActor
  const byIndex = REMEMBERING[kind].pidsByIndex
    ? { byIndex: { actor: [actor, actor], observer: [observer, observer] } }
    : {}
  return {
    ...numbers,
    ...byIndex,
    ...deepNumbers(kind, seen),
    ...unsharedNumbers(seen, numbers.byObserver.observer),
  }
}

/** Columns of the two files that hold pids (proc_sysvipc(5)), by the names in their first line. */
const COLUMNS = { shm: ['cpid', 'lpid'], msg: ['lspid', 'lrpid'] } as const
const ID_COLUMN = { shm: 'shmid', msg: 'msqid' } as const

/** The pids in the row of one object, or 'no row'. */
function pidsIn(kind: 'shm' | 'msg', table: string, id: number): unknown {
  const row = parseTable(table).find((candidate) => candidate[ID_COLUMN[kind]] === id)
  return row ? COLUMNS[kind].map((name) => row[name]) : 'no row'
}

function rows(kind: 'shm' | 'msg', { actor, observer }: Numbers) {
  const both = (number: number) => COLUMNS[kind].map(() => number)
  return {
    actorReads: both(actor.self),
    observerReads: both(observer.other),
    heirReads: both(observer.other),
    unsharerReads: both(observer.other),
    itsChildReads: both(0),
  }
}
