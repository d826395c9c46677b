/** Which user namespace owns an IPC namespace, and how ids are shown and set through maps: UNS-01, UNS-04, UNS-06, UNS-10, UNS-11. */
import { nsfdOf } from '../../fixtures/identity.ts'
import { joinIpc } from '../../fixtures/leaving.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import { SYSTEM_V, SYSTEM_V_KINDS, systemV } from '../../fixtures/objects.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import { foundByName, NEW_QUEUE } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  EACCES,
  EINVAL,
  ENOENT,
  EOVERFLOW,
  EPERM,
  type Flag,
  failed,
  IPC_PRIVATE,
  type Member,
  mayExceedLimits,
  NS_GET_USERNS,
  O_RDONLY,
  O_WRONLY,
  procPid,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'
import { type MapLine, overflowIds, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'

/** Orders of making the two, and which step's user namespace owns the IPC namespace: -1 is the outer one. */
const ORDERS: Readonly<Record<string, { steps: readonly (readonly Flag[])[]; owner: number }>> = {
  IPC: { steps: [['NEWIPC']], owner: -1 },
  USER: { steps: [['NEWUSER']], owner: -1 },
  'USER+IPC': { steps: [['NEWUSER', 'NEWIPC']], owner: 0 },
  'USER, IPC': { steps: [['NEWUSER'], ['NEWIPC']], owner: 0 },
  'IPC, USER': { steps: [['NEWIPC'], ['NEWUSER']], owner: -1 },
  'USER+IPC, USER': { steps: [['NEWUSER', 'NEWIPC'], ['NEWUSER']], owner: 0 },
  'USER+IPC, IPC': { steps: [['NEWUSER', 'NEWIPC'], ['NEWIPC']], owner: 0 },
  'USER+IPC, USER+IPC': {
    steps: [
      ['NEWUSER', 'NEWIPC'],
      ['NEWUSER', 'NEWIPC'],
    ],
    owner: 1,
  },
  'USER, USER, IPC': { steps: [['NEWUSER'], ['NEWUSER'], ['NEWIPC']], owner: 1 },
  'USER, USER, USER+IPC': { steps: [['NEWUSER'], ['NEWUSER'], ['NEWUSER', 'NEWIPC']], owner: 2 },
  'USER+IPC+PID+NS': { steps: [['NEWUSER', 'NEWIPC', 'NEWPID', 'NEWNS']], owner: 0 },
  // What is made in one call after the IPC namespace, or before it, is made for the new user namespace as well.
  'USER+IPC+UTS+NET+CGROUP': {
    steps: [['NEWUSER', 'NEWIPC', 'NEWUTS', 'NEWNET', 'NEWCGROUP']],
    owner: 0,
  },
}

/** Ids inside the viewer's map; outside they are fresh users. */
const INSIDE = { creator: 100, group: 101 }
/** The one of them that a user namespace below maps on. */
const BELOW = { group: 500 }

/** Room for a queue's bytes, other than a new one's, that IPC_SET asks for. */
const QBYTES = 1024
/** Only queues have that. */
const NO_QUEUE = 'no queue'

/** Root of a user namespace who is not root outside it. */
const ANOTHER_ROOT = 'root who is another user outside'

export function addOwnership(uns: Area): void {
  uns.comparison('UNS-01', {
    says: 'an IPC namespace is owned by the user namespace its maker was in, or made in the same call; a later one changes nothing',
    source: ['user_namespaces(7)', 'ioctl_nsfs(2) NS_GET_USERNS', 'ipc/namespace.c: copy_ipcs'],
    needs: ['IPC_NS', 'USER_NS', 'PID_NS', 'NS_GET_USERNS', 'CAP_SYS_ADMIN', 'CAP_SETUID', 'CAP_SYS_PTRACE'],
    since: '3.8',
    variants: Object.keys(ORDERS),
    variantNeeds: { 'USER+IPC+UTS+NET+CGROUP': ['UTS_NS', 'NET_NS', 'CGROUP_NS'] },
    // By unshare one process takes all the steps, and what it did before could change.
    via: ['unshare', 'clone', 'clone3', 'setns-nsfd', 'setns-pidfd'],
    arms: { treatment: 'the steps of the variant', control: 'the same without NEWUSER' },
    async experiment({ outer, enter, arm, variant, via }) {
      const order = ORDERS[variant]
      if (!order) throw new Error(`unknown variant ${variant}`)
      const userNamespace = async (member: Member) => {
        const { dev, ino } = await outer.stat(`/proc/${await procPid(member)}/ns/user`)
        return `${dev}:${ino}`
      }
      const users = new Map<number, string>([[-1, await userNamespace(outer)]])
      let member = outer
      for (const [step, flags] of order.steps.entries()) {
        const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWUSER')
        // From inside a user namespace setns back to what is outside it is refused: later steps are clones.
        member = await enter(`step ${step}`, { from: member, via: step === 0 ? via : 'clone', flags: kind })
        users.set(step, await userNamespace(member))
      }
      const ipc = await nsfdOf(outer, member)
      const owner = await outer.try.ioctl(ipc, NS_GET_USERNS)
      if (failed(owner)) return { owner, distinct: users.size, expected: '' }
      const { dev, ino } = await outer.fstat(owner)
      return {
        owner: `${dev}:${ino}`,
        distinct: new Set(users.values()).size,
        expected: users.get(order.owner),
        outerUser: users.get(-1),
      }
    },
    treatment: ({ expected }, { variant }) => ({
      owner: expected,
      distinct: 1 + (ORDERS[variant]?.steps.filter((flags) => flags.includes('NEWUSER')).length ?? 0),
    }),
    control: ({ outerUser }) => ({ owner: outerUser, distinct: 1 }),
  })

  uns.comparison('UNS-04', {
    says: 'IPC_STAT shows owner and creator as the caller’s user namespace maps them, and the overflow id for who is not mapped',
    source: ['user_namespaces(7)', 'ipc/util.c: kernel_to_ipc64_perm'],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '3.8',
    variants: SYSTEM_V_KINDS.flatMap((kind) => [kind, `${kind}-by index`, `${kind}-by index, any mode`]),
    arms: { treatment: 'in a user namespace with other numbers', control: 'in the objects’ own' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const family = systemV(world)
      const [creator, group, owner, ownersGroup] = [fresh.uid(), fresh.uid(), fresh.uid(), fresh.uid()]
      const maker = await outer.spawn('maker')
      await maker.becomeUser(creator, group)
      const id = await family.make(maker, fresh.key())
      // Owner, creator and both their groups have four different numbers; all may read.
      const set = { uid: owner, gid: ownersGroup, mode: 0o644 }
      if (family.kind === 'msg') await outer.msgctlSet(id, { ...set, qbytes: 1024 })
      else if (family.kind === 'sem') await outer.semctlSet(id, set)
      else await outer.shmctlSet(id, set)
      const map = [
        [0, 0, 1],
        [INSIDE.creator, creator, 1],
        [INSIDE.group, group, 1],
        [INSIDE.group + 1, ownersGroup, 1],
      ] as const
      const viewer =
        arm === 'treatment'
          ? await spawnInUserNamespace(outer, 'viewer', [], map)
          : await outer.spawn('viewer')
      // To whom nobody is mapped at all.
      const stranger =
        arm === 'treatment' ? await spawnInUserNamespace(outer, 'viewer without maps', [], []) : viewer
      // Below the first one, where only the creator's group is mapped, and by yet another number.
      const below =
        arm === 'treatment'
          ? await spawnInUserNamespace(viewer, 'viewer below', [], [[BELOW.group, INSIDE.group, 1]])
          : viewer
      const by = variant.endsWith('any mode') ? 'index, any mode' : variant.endsWith('index') ? 'index' : 'id'
      // The first object of a fresh namespace has index 0.
      const shownTo = async (member: Member): Promise<unknown> => {
        const status = await family.stat(member, by === 'id' ? id : 0, by)
        if (failed(status)) return status
        const { uid, gid, cuid, cgid } = status.perm
        return { uid, gid, cuid, cgid }
      }
      return {
        numbers: { uid: owner, gid: ownersGroup, cuid: creator, cgid: group },
        overflow: await overflowIds(outer),
        shown: await shownTo(viewer),
        shownUnmapped: await shownTo(stranger),
        shownBelow: await shownTo(below),
      }
    },
    treatment: ({ overflow }) => ({
      shown: {
        uid: overflow.uid,
        gid: INSIDE.group + 1,
        cuid: INSIDE.creator,
        cgid: INSIDE.group,
      },
      shownUnmapped: { uid: overflow.uid, gid: overflow.gid, cuid: overflow.uid, cgid: overflow.gid },
      shownBelow: { uid: overflow.uid, gid: overflow.gid, cuid: overflow.uid, cgid: BELOW.group },
    }),
    control: ({ numbers }) => ({ shown: numbers, shownUnmapped: numbers, shownBelow: numbers }),
  })

  uns.comparison('UNS-06', {
    says: 'IPC_SET takes ids of the caller’s user namespace: a mapped one names its user, an unmapped one is EINVAL and changes nothing',
    source: ['msgctl(2)', 'user_namespaces(7)', 'ipc/util.c: ipc_update_perm'],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '3.8',
    variants: SYSTEM_V_KINDS.flatMap((kind) => [`${kind}-user`, `${kind}-group`]),
    flags: [['NEWUSER'], ['NEWUSER', 'NEWIPC']],
    arms: { treatment: 'an unmapped id', control: 'a mapped id' },
    async experiment(world) {
      const { outer, arm, flags, variant, fresh } = world
      const family = systemV(world)
      const [target, absent] = [fresh.uid(), fresh.uid()]
      const map = [
        [0, 0, 1],
        [300, target, 1],
      ] as const
      const extra = flags.filter((flag) => flag !== 'NEWUSER')
      const inner = await spawnInUserNamespace(outer, 'inner', extra, map)
      const id = await family.make(inner, IPC_PRIVATE)
      // The number that is not mapped inside is one that somebody has outside.
      const wanted = arm === 'treatment' ? absent : 300
      const set = {
        uid: variant.endsWith('user') ? wanted : 0,
        gid: variant.endsWith('group') ? wanted : 0,
        mode: 0o640,
      }
      const answer =
        family.kind === 'msg'
          ? await inner.try.msgctlSet(id, { ...set, qbytes: QBYTES })
          : family.kind === 'sem'
            ? await inner.try.semctlSet(id, set)
            : await inner.try.shmctlSet(id, set)
      // A viewer of the outer user namespace in the object's IPC namespace sees the real numbers.
      const viewer = await joinAs('viewer', outer, inner)
      const status = await family.stat(viewer, id)
      const room = family.kind === 'msg' ? (await inner.msgctlStat(id)).qbytes : NO_QUEUE
      return {
        target,
        answer,
        room: room === QBYTES ? 'as wanted' : room === NO_QUEUE ? NO_QUEUE : 'as before',
        outside: failed(status)
          ? status
          : { uid: status.perm.uid, gid: status.perm.gid, mode: status.perm.mode & 0o777 },
      }
    },
    treatment: (_seen, { variant }) => ({
      answer: EINVAL,
      room: variant.startsWith('msg') ? 'as before' : NO_QUEUE,
      outside: { uid: 0, gid: 0, mode: 0o600 },
    }),
    control: ({ target }, { variant }) => ({
      answer: 0,
      room: variant.startsWith('msg') ? 'as wanted' : NO_QUEUE,
      outside: {
        uid: variant.endsWith('user') ? target : 0,
        gid: variant.endsWith('group') ? target : 0,
        mode: 0o640,
      },
    }),
  })

  uns.comparison('UNS-10', {
    says: 'CAP_SYS_RESOURCE of a user namespace lifts no limit of the IPC namespace that it owns',
    source: ['capabilities(7)', 'ipc/msg.c: msgctl_down', 'ipc/mqueue.c: mqueue_get_inode'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    flags: [
      ['NEWUSER', 'NEWIPC'],
      ['NEWUSER', 'NEWIPC', 'NEWNS'],
    ],
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'root of a user namespace', control: 'root of the initial one' },
    async experiment({ outer, enter, arm, flags, fresh, note }) {
      const lifted = await mayExceedLimits(outer)
      if (!lifted) note('CAP_SYS_RESOURCE is missing outside as well: both arms are refused')
      const inner = await enter('inner', {
        flags: arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWUSER'),
      })
      const id = await SYSTEM_V.msg.make(inner, fresh.key())
      const { qbytes } = await inner.msgctlStat(id)
      const set = await inner.try.msgctlSet(id, { uid: 0, gid: 0, mode: 0o600, qbytes: qbytes + 1 })
      // 10 messages is the limit of a fresh namespace (mq_overview(7), msg_max).
      const queue = await inner.try.mq_create(fresh.name(), NEW_QUEUE, 0o600, { maxmsg: 11, msgsize: 8 })
      return { lifted, set, queue: whetherMade(queue) }
    },
    treatment: () => ({ set: EPERM, queue: EINVAL }),
    control: ({ lifted }) => (lifted ? { set: 0, queue: 'made' } : { set: EPERM, queue: EINVAL }),
  })

  uns.comparison('UNS-11', {
    says: 'a POSIX queue’s mode binds the root of a user namespace unless it maps the queue’s owner and group, and the user namespace’s creator, who has every capability inside and none of his own',
    source: ['user_namespaces(7)', 'capabilities(7) CAP_DAC_OVERRIDE', 'fs/namei.c: generic_permission'],
    needs: ['POSIX_MQUEUE', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '4.8',
    variants: [
      'root',
      'root without capabilities',
      'the owner',
      'another user',
      ANOTHER_ROOT,
      HALF_MAPPED.user,
      HALF_MAPPED.group,
    ],
    flags: [['NEWUSER'], ['NEWUSER', 'NEWIPC']],
    arms: { treatment: 'the owner is not mapped', control: 'the owner is mapped' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const [owner, another] = [fresh.uid(), fresh.uid()]
      const others: readonly MapLine[] =
        variant === ANOTHER_ROOT
          ? [[0, another, 1]]
          : [
              [0, 0, 1],
              [20, another, 1],
            ]
      const all: readonly MapLine[] = [...others, [10, owner, 1]]
      const mapped = (half: string) => (arm === 'control' || variant === half ? all : others)
      const extra = flags.filter((flag) => flag !== 'NEWUSER')
      const [users, groups] = [mapped(HALF_MAPPED.user), mapped(HALF_MAPPED.group)]
      const inner = await spawnInUserNamespace(outer, 'inner', extra, users, [], groups)
      const name = fresh.name()
      // The owner comes from outside, where he has another number, into the IPC namespace.
      const maker = await outer.spawn('maker')
      if (extra.length > 0) await joinIpc(maker, inner)
      await maker.becomeUser(owner)
      const made = await maker.try.mq_create(name, NEW_QUEUE)
      const viewer = await inner.spawn('viewer')
      if (variant === 'another user') await viewer.becomeUser(20)
      // All capabilities of his user namespace, and not the directory's owner.
      if (variant === ANOTHER_ROOT) await viewer.becomeUser(0)
      if (variant === 'the owner' && arm === 'control') await viewer.becomeUser(10)
      if (!isRoot(variant)) await viewer.setCapabilities([], true)
      // Outside, the user who made the user namespace: over that he has all power, over a mode he has none.
      const creator = await outer.spawn('creator')
      if (extra.length > 0) await joinIpc(creator, inner)
      await creator.setCapabilities([], true)
      const opened = await openedInEachMode(viewer, name)
      const byCreator = await openedInEachMode(creator, name)
      const unlinked = await viewer.try.mq_unlink(name)
      return { made: whetherMade(made), opened, byCreator, unlinked, left: await foundByName(maker, name) }
    },
    treatment: (_seen, { flags, variant }) =>
      flags.includes('NEWIPC')
        ? // A queue file system of that user namespace cannot hold a file of an unmapped user at all.
          {
            made: EOVERFLOW,
            opened: inEachMode(ENOENT),
            byCreator: inEachMode(ENOENT),
            unlinked: ENOENT,
            left: ENOENT,
          }
        : {
            made: 'made',
            opened: inEachMode(EACCES),
            byCreator: inEachMode(EACCES),
            ...unlinkedBy(variant, 'unmapped'),
          },
    control: (_seen, { variant }) => ({
      made: 'made',
      opened: inEachMode(isRoot(variant) || variant === 'the owner' ? 'found' : EACCES),
      byCreator: inEachMode(EACCES),
      ...unlinkedBy(variant, 'mapped'),
    }),
  })
}

async function openedInEachMode(member: Member, name: string) {
  return {
    both: await foundByName(member, name),
    reading: await foundByName(member, name, O_RDONLY),
    writing: await foundByName(member, name, O_WRONLY),
  }
}

/** The same for each mode of opening. */
const inEachMode = (outcome: unknown) => ({ both: outcome, reading: outcome, writing: outcome })

/** Root, and of the queue's owner the user alone is mapped in the treatment, or the group alone. */
const HALF_MAPPED = { user: 'root, the user is mapped', group: 'root, the group is mapped' } as const

const isRoot = (variant: string): boolean =>
  ['root', ANOTHER_ROOT, HALF_MAPPED.user, HALF_MAPPED.group].includes(variant)

/**
 * In a sticky directory the directory's owner may unlink as well: root, who made the IPC namespace. So may
 * CAP_FOWNER, over files of owners that its user namespace maps.
 */
function unlinkedBy(variant: string, owner: 'mapped' | 'unmapped') {
  return variant === 'another user' || (variant === ANOTHER_ROOT && owner === 'unmapped')
    ? { unlinked: EPERM, left: 'found' }
    : { unlinked: 0, left: ENOENT }
}
