/** Objects by their identifier: every call that takes one. */
import { makePinned, makeTwins, sideInInitial } from '../../fixtures/identifiers.ts'
import {
  EMPTY,
  SYSTEM_V_KINDS,
  type SystemVFamily,
  type SystemVKind,
  systemV,
} from '../../fixtures/objects.ts'
import {
  type Area,
  EINVAL,
  ENOENT,
  ENOMEM,
  EPERM,
  failed,
  HarnessError,
  IPC_CREAT,
  IPC_NOWAIT,
  IPC_PRIVATE,
  type Member,
  MSG_COPY,
  MSG_EXCEPT,
  type Outcome,
  oneOf,
  SEM_UNDO,
  SHM_RDONLY,
  succeeds,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'

const LASTING = { shm: ['lasting segments'] } as const

/** Outcomes by call. */
type Outcomes = Readonly<Record<string, unknown>>

/** Attaches and detaches: 'attached', or the errno. */
async function attach(member: Member, id: number, flags: number, text?: string): Promise<unknown> {
  const address = await member.try.shmat(id, flags)
  if (failed(address)) return address
  if (text !== undefined) await member.writeMemory(address, text)
  await member.shmdt(address)
  return 'attached'
}

/**
 * Every call that uses an object by its identifier, besides IPC_STAT (SVK-07), IPC_RMID (SVK-08) and
 * MSG_COPY (SVK-23), in this order on an object that holds the mark 41; with what each gives to a member.
 */
const CALLS: Readonly<
  Record<SystemVKind, { use(member: Member, id: number): Promise<Outcomes>; succeed: Outcomes }>
> = {
  msg: {
    use: async (member, id) => ({
      msgsnd: await member.try.msgsnd(id, 2, 'intruder', IPC_NOWAIT),
      'msgsnd that may wait': await member.try.msgsnd(id, 3, 'intruder', 0),
      'msgrcv of any type': await member.try.msgrcv(id, 64, 0, IPC_NOWAIT),
      'msgrcv of a type': await member.try.msgrcv(id, 64, 3, IPC_NOWAIT),
      'msgrcv of other types': await member.try.msgrcv(id, 64, 7, IPC_NOWAIT | MSG_EXCEPT),
      IPC_SET: await member.try.msgctlSet(id, { uid: 0, gid: 0, mode: 0o640, qbytes: 512 }),
    }),
    succeed: {
      msgsnd: 0,
      'msgsnd that may wait': 0,
      'msgrcv of any type': { type: 1, text: '41' },
      'msgrcv of a type': { type: 3, text: 'intruder' },
      'msgrcv of other types': { type: 2, text: 'intruder' },
      IPC_SET: 0,
    },
  },
  sem: {
    use: async (member, id) => ({
      GETVAL: await member.try.semctlGet(id, 0),
      GETALL: await member.try.semctlGetAll(id, 3),
      GETPID: await member.try.semctlGet(id, 0, 'GETPID'),
      GETNCNT: await member.try.semctlGet(id, 0, 'GETNCNT'),
      GETZCNT: await member.try.semctlGet(id, 0, 'GETZCNT'),
      semop: await member.try.semop(id, [{ index: 1, change: 1, flags: IPC_NOWAIT }]),
      'semop of two': await member.try.semop(id, [
        { index: 1, change: 2 },
        { index: 2, change: 0, flags: IPC_NOWAIT },
      ]),
      semtimedop: await member.try.semop(id, [{ index: 0, change: -1 }], 1000),
      // Up and down: nothing is left to undo.
      'semop with SEM_UNDO': await member.try.semop(id, [{ index: 0, change: 3, flags: SEM_UNDO }]),
      'semop back': await member.try.semop(id, [{ index: 0, change: -3, flags: SEM_UNDO | IPC_NOWAIT }]),
      SETVAL: await member.try.semctlSetValue(id, 2, 5),
      SETALL: await member.try.semctlSetAll(id, [7, 8, 9]),
      IPC_SET: await member.try.semctlSet(id, { uid: 0, gid: 0, mode: 0o640 }),
    }),
    succeed: {
      GETVAL: 41,
      GETALL: [41, 0, 0],
      GETPID: succeeds,
      GETNCNT: 0,
      GETZCNT: 0,
      semop: 0,
      'semop of two': 0,
      semtimedop: 0,
      'semop with SEM_UNDO': 0,
      'semop back': 0,
      SETVAL: 0,
      SETALL: 0,
      IPC_SET: 0,
    },
  },
  shm: {
    use: async (member, id) => ({
      shmat: await attach(member, id, 0, '99'),
      'shmat read-only': await attach(member, id, SHM_RDONLY),
      SHM_LOCK: await member.try.shmctlLock(id, 'SHM_LOCK'),
      SHM_UNLOCK: await member.try.shmctlLock(id, 'SHM_UNLOCK'),
      IPC_SET: await member.try.shmctlSet(id, { uid: 0, gid: 0, mode: 0o640 }),
    }),
    succeed: {
      shmat: 'attached',
      'shmat read-only': 'attached',
      // The owner without CAP_IPC_LOCK is held to RLIMIT_MEMLOCK.
      SHM_LOCK: oneOf(0, ENOMEM, EPERM),
      SHM_UNLOCK: 0,
      IPC_SET: 0,
    },
  },
}

/** The actor's object as it is after a member has made all those calls. */
const CHANGED: Readonly<Record<SystemVKind, Outcomes>> = {
  msg: { mode: 0o640, content: undefined },
  sem: { mode: 0o640, content: 7 },
  shm: { mode: 0o640, content: 99 },
}

async function modeOf(family: SystemVFamily, member: Member, id: number): Promise<unknown> {
  const seen = await family.stat(member, id)
  return failed(seen) ? seen : seen.perm.mode & 0o777
}

/** An identifier that was in use a moment ago and is not now. */
async function unusedId(family: SystemVFamily, member: Member, key: number): Promise<number> {
  const id = await family.make(member, key)
  await family.remove(member, id)
  return id
}

/** What the maker of two IPC_PRIVATE objects sees of them, having put 41 into the first. */
const PRIVATE = { distinct: true, written: 0, keyOfIt: IPC_PRIVATE, content: 41 }

/** Permission bits that tell our objects, which have no key, from others'. */
const OUR_MODE = 0o604

/**
 * Makes two IPC_PRIVATE objects of the actor. The first one's identifier means nobody else's object to an
 * observer in the initial namespace, who is about to use it.
 */
async function makeUnclaimedPair(
  world: VisibilityWorld,
  family: SystemVFamily,
): Promise<{ id: Outcome<number>; other: Outcome<number> }> {
  const { actor, observer } = world
  for (let attempt = 1; ; attempt += 1) {
    const id = await family.get(actor, IPC_PRIVATE, IPC_CREAT | OUR_MODE)
    const other = await family.get(actor, IPC_PRIVATE, IPC_CREAT | OUR_MODE)
    const claimed =
      failed(id) || world.relation.ipc === 'same' || !sideInInitial(world, 'observer')
        ? EINVAL
        : await family.stat(observer, id)
    if (failed(claimed) ? claimed.errno !== 'EACCES' : (claimed.perm.mode & 0o777) === OUR_MODE)
      return { id, other }
    if (attempt === 100) throw new HarnessError(`no ${family.noun} gets an identifier that nobody else has`)
    for (const made of [id, other]) if (!failed(made)) await family.remove(actor, made)
  }
}

export function addIdentifierRules(svk: Area): void {
  svk.visibility('SVK-06', {
    says: 'an identifier of one IPC namespace is EINVAL in another for every call that uses an object by it, and the object is not touched',
    source: [
      'msgop(2), semop(2), shmop(2) ERRORS EINVAL',
      'semctl(2), msgctl(2), shmctl(2) ERRORS EINVAL',
      'ipc/util.c: ipc_obtain_object_check',
    ],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const { id, key } = await makePinned(world, family, 41)
      const before = await family.inspect(actor, id)
      const calls = await CALLS[family.kind].use(observer, id)
      const after = await family.inspect(actor, id)
      const mode = await modeOf(family, actor, id)
      const content = await family.read(actor, id)
      const found = await family.find(actor, key)
      await family.remove(actor, id)
      return { ...calls, id, before, after, mode, content, found }
    },
    shared: ({ id }, world) => {
      const { content, mode } = CHANGED[systemV(world).kind]
      return {
        ...CALLS[systemV(world).kind].succeed,
        mode,
        found: id,
        ...(content === undefined ? {} : { content }),
      }
    },
    isolated: ({ id, before }, world) => ({
      ...Object.fromEntries(Object.keys(CALLS[systemV(world).kind].succeed).map((call) => [call, EINVAL])),
      after: before,
      mode: 0o600,
      content: 41,
      found: id,
    }),
  })

  svk.visibility('SVK-07', {
    says: 'an identifier of one IPC namespace is EINVAL for IPC_STAT in another, just as one that is not in use anywhere',
    source: ['msgctl(2), semctl(2), shmctl(2) ERRORS EINVAL', 'ipc/util.c: ipc_obtain_object_check'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const family = systemV(world)
      const { id, key } = await makePinned(world, family, 41, 'harmless')
      const before = await family.inspect(actor, id)
      const seen = await family.stat(observer, id)
      const unused = await unusedId(family, actor, fresh.key())
      const unusedToActor = await family.stat(actor, unused)
      const unusedToObserver = await family.stat(observer, unused)
      const after = await family.inspect(actor, id)
      const content = await family.read(actor, id)
      await family.remove(actor, id)
      const removed = await family.stat(observer, id)
      return {
        before,
        seen: failed(seen) ? seen : { returned: seen.returned, ours: seen.perm.key === key },
        unusedToActor,
        unusedToObserver,
        after,
        content,
        removed,
      }
    },
    shared: ({ before }) => ({
      seen: { returned: 0, ours: true },
      unusedToActor: EINVAL,
      unusedToObserver: EINVAL,
      after: before,
      content: 41,
      removed: EINVAL,
    }),
    isolated: ({ before }) => ({
      seen: EINVAL,
      unusedToActor: EINVAL,
      unusedToObserver: EINVAL,
      after: before,
      content: 41,
      removed: EINVAL,
    }),
  })

  svk.visibility('SVK-08', {
    says: 'IPC_RMID of an identifier of another IPC namespace is EINVAL, and the object lives on unchanged',
    source: ['msgctl(2), semctl(2), shmctl(2) IPC_RMID', 'ipc/util.c: ipcctl_obtain_check'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const { id, key } = await makePinned(world, family, 41)
      const before = await family.inspect(actor, id)
      const removed = await family.remove(observer, id)
      const after = await family.inspect(actor, id)
      const found = await family.find(actor, key)
      const content = await family.read(actor, id)
      const removedByActor = await family.remove(actor, id)
      const gone = await family.stat(actor, id)
      return { id, before, removed, after, found, content, removedByActor, gone }
    },
    shared: () => ({
      removed: 0,
      after: EINVAL,
      found: ENOENT,
      content: EINVAL,
      removedByActor: EINVAL,
      gone: EINVAL,
    }),
    isolated: ({ id, before }) => ({
      removed: EINVAL,
      after: before,
      found: id,
      content: 41,
      removedByActor: 0,
      gone: EINVAL,
    }),
  })

  svk.visibility('SVK-14', {
    says: 'equal identifiers in two IPC namespaces are different objects: what is written, set or removed by one leaves the other as it was',
    source: ['ipc_namespaces(7)', 'ipc/util.c: ipc_obtain_object_idr', 'ipc/msg.c, sem.c, shm.c: IPC_RMID'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const { id, observerId, equal } = await makeTwins(world, family)
      await family.write(actor, id, 111)
      const before = await family.inspect(actor, id)
      const written = await family.write(observer, observerId, 222)
      const set = await family.setMode(observer, observerId, 0o640)
      const modeOfObserver = await modeOf(family, observer, observerId)
      const during = await family.inspect(actor, id)
      const modeOfActor = await modeOf(family, actor, id)
      const removed = await family.remove(observer, observerId)
      const goneForObserver = await family.stat(observer, observerId)
      const after = await family.inspect(actor, id)
      const content = await family.read(actor, id)
      return {
        equal,
        before,
        written,
        set,
        modeOfObserver,
        modeOfActor,
        during,
        removed,
        goneForObserver,
        after,
        content,
      }
    },
    shared: () => ({
      written: 0,
      set: 0,
      modeOfObserver: 0o640,
      modeOfActor: 0o640,
      removed: 0,
      goneForObserver: EINVAL,
      after: EINVAL,
      content: EINVAL,
    }),
    isolated: ({ before }) => ({
      written: 0,
      set: 0,
      modeOfObserver: 0o640,
      modeOfActor: 0o600,
      during: before,
      removed: 0,
      goneForObserver: EINVAL,
      after: before,
      content: 111,
    }),
  })

  svk.visibility('SVK-15', {
    says: 'an IPC_PRIVATE object is made in the caller’s IPC namespace, and its identifier serves the members of that one only',
    source: ['msgget(2), semget(2), shmget(2) IPC_PRIVATE', 'ipc/util.c: ipcget_new'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const { id, other } = await makeUnclaimedPair(world, family)
      const written = failed(id) ? id : await family.write(actor, id, 41)
      const status = failed(id) ? id : await family.stat(actor, id)
      const seen = failed(id) ? id : await family.stat(observer, id)
      const used = failed(id) ? id : await family.read(observer, id)
      // Taken from a queue, if the observer could.
      if (family.kind === 'msg' && !failed(id) && !failed(used)) await family.write(actor, id, 41)
      const content = failed(id) ? id : await family.read(actor, id)
      const otherContent = failed(other) ? other : await family.read(actor, other)
      if (!failed(id)) await family.remove(actor, id)
      if (!failed(other)) await family.remove(actor, other)
      return {
        distinct: id !== other,
        written,
        keyOfIt: failed(status) ? status : status.perm.key,
        seen: failed(seen) ? seen : seen.perm.key,
        used,
        content,
        otherContent,
      }
    },
    shared: (_, world) => ({ ...PRIVATE, seen: 0, used: 41, otherContent: EMPTY[systemV(world).kind] }),
    isolated: (_, world) => ({
      ...PRIVATE,
      seen: EINVAL,
      used: EINVAL,
      otherContent: EMPTY[systemV(world).kind],
    }),
  })

  svk.visibility('SVK-23', {
    says: 'msgrcv with MSG_COPY copies a message without taking it, inside the IPC namespace of the queue only',
    source: ['msgop(2) MSG_COPY', 'ipc/msg.c: do_msgrcv'],
    needs: ['SYSVIPC', 'MSG_COPY'],
    since: '3.8',
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV({ variant: 'msg' })
      const { id } = await makePinned(world, family, 41)
      await actor.msgsnd(id, 5, 'second', IPC_NOWAIT)
      const before = await family.inspect(actor, id)
      const first = await observer.try.msgrcv(id, 64, 0, MSG_COPY | IPC_NOWAIT)
      const second = await observer.try.msgrcv(id, 64, 1, MSG_COPY | IPC_NOWAIT)
      const own = await actor.try.msgrcv(id, 64, 1, MSG_COPY | IPC_NOWAIT)
      const after = await family.inspect(actor, id)
      const taken = await family.read(actor, id)
      await family.remove(actor, id)
      return { before, first, second, own, after, taken }
    },
    shared: ({ before }) => ({
      first: { type: 1, text: '41' },
      second: { type: 5, text: 'second' },
      own: { type: 5, text: 'second' },
      after: before,
      taken: 41,
    }),
    isolated: ({ before }) => ({
      first: EINVAL,
      second: EINVAL,
      own: { type: 5, text: 'second' },
      after: before,
      taken: 41,
    }),
  })
}
