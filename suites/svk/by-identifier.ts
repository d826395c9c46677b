/** Objects by their identifier: every call that takes one. */
import { ATTEMPTS, foreign, makePinned, makeTwins, SEQUENCE_BIT } from '../../fixtures/identifiers.ts'
import { EMPTY, LASTING, SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
import { sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  EINVAL,
  ENOENT,
  failed,
  HarnessError,
  IPC_CREAT,
  IPC_NOWAIT,
  IPC_PRIVATE,
  type Member,
  MSG_COPY,
  type Outcome,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { unlikeText } from '../../fixtures/texts.ts'
import { CALLS, CHANGED, LARGE_SETS, refusedAll, type Subject } from './calls.ts'

async function modeOf(family: SystemVFamily, member: Member, id: number): Promise<unknown> {
  const seen = await family.stat(member, id)
  return failed(seen) ? seen : seen.perm.mode & 0o777
}

/**
 * An identifier that was in use by the actor a moment ago and is not now, and that means nobody else's object
 * to an observer in the initial namespace.
 */
async function unusedId({ actor, observer, fresh }: VisibilityWorld, family: SystemVFamily): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const key = fresh.key()
    const id = await family.make(actor, key)
    await family.remove(actor, id)
    if (attempt === ATTEMPTS || !foreign(await family.stat(observer, id), key)) return id
  }
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
    if (attempt === ATTEMPTS)
      throw new HarnessError(`no ${family.noun} gets an identifier that nobody else has`)
    for (const made of [id, other]) if (!failed(made)) await family.remove(actor, made)
  }
}

/** Twins of one user other than root, of whom the kernel asks more before it lets an object be set or removed. */
const OF_A_USER: readonly string[] = SYSTEM_V_KINDS.map((kind) => `${kind}-of a user`)

/** Without these root could not take away what a user left in the initial namespace when a run was killed. */
const CLEANABLE = ['CAP_SETUID', 'CAP_IPC_OWNER', 'CAP_SYS_ADMIN'] as const

const NEEDS_OF_A_USER = {
  ...LASTING,
  'msg-of a user': CLEANABLE,
  'sem-of a user': CLEANABLE,
  'shm-of a user': [...CLEANABLE, 'lasting segments'],
} as const

/** Both sides as root; or, in a variant of a user, a child of each that is one and the same user. */
async function ofOneOwner(
  world: VisibilityWorld,
): Promise<{ actor: Member; observer: Member; owner: number }> {
  const { actor, observer, variant, fresh } = world
  if (!OF_A_USER.includes(variant)) return { actor, observer, owner: 0 }
  const owner = fresh.uid()
  const asUser = async (member: Member): Promise<Member> => {
    const user = await member.spawn('user')
    await user.becomeUser(owner)
    return user
  }
  return { actor: await asUser(actor), observer: await asUser(observer), owner }
}

/** A segment that the actor has attached while the observer removes its own. */
const ATTACHED = 'shm-attached'

export function addIdentifierRules(svk: Area): void {
  svk.visibility('SVK-06', {
    says: 'an identifier of one IPC namespace is EINVAL in another for every call that uses an object by it, and the object is not touched',
    source: [
      'msgop(2), semop(2), shmop(2) ERRORS EINVAL',
      'semctl(2), msgctl(2), shmctl(2) ERRORS EINVAL',
      'ipc/util.c: ipc_obtain_object_check',
    ],
    needs: ['SYSVIPC'],
    variants: [...SYSTEM_V_KINDS, 'sem-large'],
    variantNeeds: LASTING,
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer, variant } = world
      const family = variant === 'sem-large' ? LARGE_SETS : systemV(world)
      const { id, key } = await makePinned(world, family, 41)
      const before = await family.inspect(actor, id)
      const calls = await CALLS[variant as Subject].use(observer, id)
      const after = await family.inspect(actor, id)
      const mode = await modeOf(family, actor, id)
      const content = await family.read(actor, id)
      const found = await family.find(actor, key)
      await family.remove(actor, id)
      return { ...calls, id, before, after, mode, content, found }
    },
    shared: ({ id }, { variant }) => {
      const { content, mode } = CHANGED[variant as Subject]
      return {
        ...CALLS[variant as Subject].succeed,
        mode,
        found: id,
        ...(content === undefined ? {} : { content }),
      }
    },
    isolated: ({ id, before }, { variant }) => ({
      ...refusedAll(variant as Subject),
      after: before,
      mode: 0o600,
      content: 41,
      found: id,
    }),
  })

  svk.visibility('SVK-07', {
    says: 'an identifier of one IPC namespace is EINVAL for IPC_STAT in another, just as one that is not in use anywhere or has another sequence number',
    source: [
      'msgctl(2), semctl(2), shmctl(2) ERRORS EINVAL',
      'ipc/util.c: ipc_obtain_object_check, ipc_checkid',
    ],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const { id, key } = await makePinned(world, family, 41, 'harmless')
      const before = await family.inspect(actor, id)
      const seen = await family.stat(observer, id)
      const otherSequence = await family.stat(actor, id ^ SEQUENCE_BIT)
      const unused = await unusedId(world, family)
      const unusedToActor = await family.stat(actor, unused)
      const unusedToObserver = await family.stat(observer, unused)
      const after = await family.inspect(actor, id)
      const content = await family.read(actor, id)
      await family.remove(actor, id)
      const removed = await family.stat(observer, id)
      return {
        before,
        seen: failed(seen) ? seen : { returned: seen.returned, ours: seen.perm.key === key },
        otherSequence,
        unusedToActor,
        unusedToObserver,
        after,
        content,
        removed,
      }
    },
    shared: ({ before }) => ({
      seen: { returned: 0, ours: true },
      otherSequence: EINVAL,
      unusedToActor: EINVAL,
      unusedToObserver: EINVAL,
      after: before,
      content: 41,
      removed: EINVAL,
    }),
    isolated: ({ before }) => ({
      seen: EINVAL,
      otherSequence: EINVAL,
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
    variants: [...SYSTEM_V_KINDS, ...OF_A_USER],
    variantNeeds: NEEDS_OF_A_USER,
    soughtFromInitial: true,
    async experiment(world) {
      const family = systemV(world)
      const { actor, observer } = await ofOneOwner(world)
      const empty = await makePinned({ ...world, actor, observer }, family)
      const { id, key } = await makePinned({ ...world, actor, observer }, family, 41)
      const emptyBefore = await family.inspect(actor, empty.id)
      const before = await family.inspect(actor, id)
      const removed = await family.remove(observer, id)
      const removedEmpty = await family.remove(observer, empty.id)
      const after = await family.inspect(actor, id)
      const emptyAfter = await family.inspect(actor, empty.id)
      const found = await family.find(actor, key)
      const content = await family.read(actor, id)
      const removedByActor = await family.remove(actor, id)
      const gone = await family.stat(actor, id)
      await family.remove(actor, empty.id)
      return {
        id,
        before,
        emptyBefore,
        removed,
        removedEmpty,
        after,
        emptyAfter,
        found,
        content,
        removedByActor,
        gone,
      }
    },
    shared: () => ({
      removed: 0,
      removedEmpty: 0,
      after: EINVAL,
      emptyAfter: EINVAL,
      found: ENOENT,
      content: EINVAL,
      removedByActor: EINVAL,
      gone: EINVAL,
    }),
    isolated: ({ id, before, emptyBefore }) => ({
      removed: EINVAL,
      removedEmpty: EINVAL,
      after: before,
      emptyAfter: emptyBefore,
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
    variants: [...SYSTEM_V_KINDS, ...OF_A_USER, ATTACHED],
    variantNeeds: { ...NEEDS_OF_A_USER, [ATTACHED]: ['lasting segments'] },
    ownWorld: true,
    soughtFromInitial: true,
    async experiment(world) {
      const family = systemV(world)
      const { actor, observer, owner } = await ofOneOwner(world)
      const { id, observerId, equal } = await makeTwins({ ...world, actor, observer }, family)
      await family.write(actor, id, 111)
      const attached = world.variant === ATTACHED ? await actor.shmat(id) : undefined
      const before = await family.inspect(actor, id)
      const written = await family.write(observer, observerId, 222)
      const writtenAgain = await family.write(observer, observerId, 222)
      const set = await family.setMode(observer, observerId, 0o640, owner)
      const modeOfObserver = await modeOf(family, observer, observerId)
      const during = await family.inspect(actor, id)
      const modeOfActor = await modeOf(family, actor, id)
      const removed = await family.remove(observer, observerId)
      const after = await family.inspect(actor, id)
      if (attached !== undefined) await actor.shmdt(attached)
      const goneForObserver = await family.stat(observer, observerId)
      const content = await family.read(actor, id)
      // Its owner can; whoever cleans up after a cell may not be allowed to.
      await family.remove(actor, id)
      return {
        equal,
        before,
        written,
        writtenAgain,
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
    shared: (_, { variant }) => ({
      written: 0,
      writtenAgain: 0,
      set: 0,
      modeOfObserver: 0o640,
      modeOfActor: 0o640,
      removed: 0,
      goneForObserver: EINVAL,
      // What is attached is there until it is detached (shmctl(2) IPC_RMID).
      ...(variant === ATTACHED ? {} : { after: EINVAL }),
      content: EINVAL,
    }),
    isolated: ({ before }) => ({
      written: 0,
      writtenAgain: 0,
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
    soughtFromInitial: true,
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
    says: 'msgrcv with MSG_COPY copies a message, however long, without taking it, inside the IPC namespace of the queue only',
    source: ['msgop(2) MSG_COPY', 'ipc/msg.c: do_msgrcv'],
    needs: ['SYSVIPC', 'MSG_COPY'],
    since: '3.8',
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV({ variant: 'msg' })
      const { id } = await makePinned(world, family, 41)
      // Longer than a page, of which the kernel keeps messages, if the namespace lets it pass.
      const { msgmax, msgmnb } = await actor.msgctlInfo('IPC_INFO')
      const text = unlikeText(Math.min(8000, msgmax, msgmnb - 2))
      await actor.msgsnd(id, 5, text, IPC_NOWAIT)
      const before = await family.inspect(actor, id)
      const first = await observer.try.msgrcv(id, 64, 0, MSG_COPY | IPC_NOWAIT)
      const second = await observer.try.msgrcv(id, text.length, 1, MSG_COPY | IPC_NOWAIT)
      const own = await actor.try.msgrcv(id, text.length, 1, MSG_COPY | IPC_NOWAIT)
      const after = await family.inspect(actor, id)
      const taken = await family.read(actor, id)
      await family.remove(actor, id)
      return { before, text, first, second, own, after, taken }
    },
    shared: ({ before, text }) => ({
      first: { type: 1, text: '41' },
      second: { type: 5, text },
      own: { type: 5, text },
      after: before,
      taken: 41,
    }),
    isolated: ({ before, text }) => ({
      first: EINVAL,
      second: EINVAL,
      own: { type: 5, text },
      after: before,
      taken: 41,
    }),
  })
}
