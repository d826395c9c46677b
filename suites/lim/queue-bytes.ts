/** LIM-10 to LIM-14: RLIMIT_MSGQUEUE counts bytes of POSIX queues by user, not by IPC namespace. */
import { becomeUserWithAllCapabilities } from '../../fixtures/capabilities.ts'
import { nsfdOf } from '../../fixtures/identity.ts'
import { makePlaces, mountQueues } from '../../fixtures/mqueue-mounts.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import { passDescriptor } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EMFILE,
  EPERM,
  failed,
  type Member,
  O_CREAT,
  O_RDWR,
  type Outcome,
  RLIMIT_MSGQUEUE,
} from '../../fixtures/rules.ts'
import { intoOwnUserNamespaces, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'

/** Room for one queue of default size (82880 bytes with 64-bit pointers), not for two. */
const ONE_QUEUE = 100_000

/** Whose process makes the queue inside a user namespace. */
const IN_OWN = 'in a user namespace of its own'
const JOINED = 'after setns into another’s user namespace'

/** Closed, after the namespace's limits went below what the queue was made with. */
const LOWERED = 'closed, limits lowered'

/** A file made in a mounted queue file system is a queue of default size, too. */
const BY_MOUNT = 'made by open(2) through a mount'

const SOURCE = ['getrlimit(2): RLIMIT_MSGQUEUE', 'ipc/mqueue.c: mqueue_get_inode']

/** A queue of default size. */
async function create(member: Member, name: string): Promise<Outcome<number>> {
  return member.try.mq_create(name, O_CREAT | O_RDWR, 0o600, null)
}

/** Becomes a user who may have that many bytes of queues. */
async function asUser(member: Member, uid: number, bytes = ONE_QUEUE): Promise<Member> {
  await member.setrlimit(RLIMIT_MSGQUEUE, bytes, bytes)
  await member.becomeUser(uid)
  return member
}

/** Whether the user can make a queue of default size now; gives it back. */
async function room(member: Member, name: string): Promise<unknown> {
  const queue = await create(member, name)
  if (failed(queue)) return queue
  await member.mq_unlink(name)
  await member.close(queue)
  return 'room'
}

export function queueByteRules(lim: Area): void {
  lim.comparison('LIM-10', {
    says: 'RLIMIT_MSGQUEUE counts the queues of a user in all IPC namespaces together',
    source: [...SOURCE, 'kernel/ucount.c: inc_rlimit_ucounts'],
    needs: ['POSIX_MQUEUE', 'CAP_SETUID'],
    variants: ['made by mq_open(3)', BY_MOUNT],
    variantNeeds: { [BY_MOUNT]: ['CAP_SYS_ADMIN'] },
    since: '2.6.30',
    bugs: [
      {
        id: 'BUG-21',
        fix: 'ucounts: Fix regression preventing increasing of rlimits in init_user_ns: queues are refused that the limit allows',
        fixedIn: '5.15',
        looksLike: { first: EMFILE },
      },
    ],
    arms: { treatment: 'one user in two IPC namespaces', control: 'two users in two IPC namespaces' },
    async experiment({ outer, enter, arm, variant, fresh, eventually }) {
      const uid = fresh.uid()
      const [one, other, third] = [await enter('one'), await enter('other'), await enter('third')]
      const places = new Map<Member, string>()
      if (variant === BY_MOUNT) {
        const [ones = '', others = ''] = await makePlaces(outer, 'one', 'other')
        await mountQueues(one, ones)
        await mountQueues(other, others)
        places.set(one, ones).set(other, others)
      }
      await asUser(one, uid)
      await asUser(other, arm === 'treatment' ? uid : fresh.uid())
      await asUser(third, uid)
      const make = (member: Member, name: string): Promise<Outcome<number>> => {
        const place = places.get(member)
        return place === undefined
          ? create(member, name)
          : member.try.open(`${place}${name}`, O_CREAT | O_RDWR, 0o600)
      }
      const name = fresh.name()
      const queue = await make(one, name)
      const second = await make(other, name)
      const again = await make(one, fresh.name())
      if (!failed(queue)) {
        await one.close(queue)
        await one.mq_unlink(name)
      }
      return {
        first: whetherMade(queue),
        second: whetherMade(second),
        again: whetherMade(again),
        returned: await eventually(
          () => room(third, fresh.name()),
          (seen) => seen === 'room',
        ),
      }
    },
    treatment: () => ({ first: 'made', second: EMFILE, again: EMFILE, returned: 'room' }),
    control: () => ({ first: 'made', second: 'made', again: EMFILE, returned: 'room' }),
  })

  lim.comparison('LIM-11', {
    says: 'a queue is charged maxmsg × (msgsize + the kernel’s own bytes for each message), to the byte',
    source: SOURCE,
    needs: ['POSIX_MQUEUE', 'CAP_SETUID'],
    since: '3.5',
    arms: { treatment: 'the limit is one byte less', control: 'the limit is the charge' },
    async experiment({ enter, arm, fresh }) {
      const user = await asUser(await enter('user'), fresh.uid(), 500_000)
      const fits = async (
        bytes: number,
        size: { maxmsg: number; msgsize: number } | null,
      ): Promise<unknown> => {
        await user.setrlimit(RLIMIT_MSGQUEUE, bytes, 500_000)
        const name = fresh.name()
        const queue = await user.try.mq_create(name, O_CREAT | O_RDWR, 0o600, size)
        if (failed(queue)) return queue
        await user.mq_unlink(name)
        await user.close(queue)
        return 'made'
      }
      // The kernel's own part (48 + 48 bytes where pointers have 64 bits) is found with the smallest queue.
      let [least, most] = [64, 1024]
      while (least < most) {
        const middle = Math.floor((least + most) / 2)
        if ((await fits(middle, { maxmsg: 1, msgsize: 64 })) === 'made') most = middle
        else least = middle + 1
      }
      const own = least - 64
      const less = arm === 'treatment' ? 1 : 0
      return {
        own,
        small: await fits(1 * (64 + own) - less, { maxmsg: 1, msgsize: 64 }),
        long: await fits(1 * (8192 + own) - less, { maxmsg: 1, msgsize: 8192 }),
        many: await fits(10 * (8 + own) - less, { maxmsg: 10, msgsize: 8 }),
        byDefault: await fits(10 * (8192 + own) - less, null),
      }
    },
    treatment: () => ({ own: 96, small: EMFILE, long: EMFILE, many: EMFILE, byDefault: EMFILE }),
    control: () => ({ own: 96, small: 'made', long: 'made', many: 'made', byDefault: 'made' }),
  })

  lim.comparison('LIM-12', {
    says: 'the charge of a queue lasts until the queue is gone, by the last close after unlink, whoever’s it is, or with its IPC namespace (getrlimit(2): until removed)',
    source: [...SOURCE, 'ipc/mqueue.c: mqueue_evict_inode', 'ipc/namespace.c: put_ipc_ns'],
    needs: ['POSIX_MQUEUE', 'CAP_SETUID'],
    variants: ['closed', 'namespace-dead', LOWERED],
    variantNeeds: { [LOWERED]: ['MQUEUE_SYSCTL'] },
    arms: { treatment: 'the queue is still there', control: 'the queue is gone' },
    async experiment({ outer, enter, arm, variant, fresh, eventually }) {
      const uid = fresh.uid()
      const watcher = await asUser(await outer.spawn('watcher'), uid)
      const look = () => room(watcher, fresh.name())
      const before = await look()
      const holder = await enter('holder')
      const [near, far] = await holder.socketpair()
      const creator = await asUser(await holder.spawn('creator', [], { keep: [far] }), uid)
      const name = fresh.name()
      const queue = await create(creator, name)
      const whileOpen = await look()
      // What comes back is what was charged, not what a queue may have by now.
      if (variant === LOWERED) {
        await holder.writeFile('/proc/sys/fs/mqueue/msg_max', '1')
        await holder.writeFile('/proc/sys/fs/mqueue/msgsize_max', '128')
      }
      if (variant !== 'namespace-dead') {
        const unlinked = await creator.try.mq_unlink(name)
        const afterUnlink = await look()
        if (!failed(queue)) {
          const ends = { creator: { member: creator, socket: far }, holder: { member: holder, socket: near } }
          const passed = await passDescriptor(ends.creator, queue, ends.holder)
          await creator.close(queue)
          // The last to close it is another user, who was charged nothing.
          if (arm === 'control') await holder.close(passed)
        }
        const after = arm === 'control' ? await eventually(look, (seen) => seen === 'room') : await look()
        return { before, queue: whetherMade(queue), whileOpen, unlinked, afterUnlink, after }
      }
      await creator.exitAndReap()
      const afterUnlink = await look()
      if (arm === 'control') await holder.exitAndReap()
      const after = arm === 'control' ? await eventually(look, (seen) => seen === 'room') : await look()
      return { before, queue: whetherMade(queue), whileOpen, unlinked: 0, afterUnlink, after }
    },
    treatment: () => ({
      before: 'room',
      queue: 'made',
      whileOpen: EMFILE,
      unlinked: 0,
      afterUnlink: EMFILE,
      after: EMFILE,
    }),
    control: () => ({
      before: 'room',
      queue: 'made',
      whileOpen: EMFILE,
      unlinked: 0,
      afterUnlink: EMFILE,
      after: 'room',
    }),
  })

  lim.comparison('LIM-13', {
    says: 'a queue made inside a user namespace, by who made that or by who joined it, also counts against its creator, and against the limit, in every ancestor',
    source: [
      'kernel/ucount.c: inc_rlimit_ucounts',
      'ipc/mqueue.c: mqueue_get_inode',
      'kernel/user_namespace.c: userns_install',
    ],
    variants: [IN_OWN, JOINED],
    variantNeeds: { [JOINED]: ['setns of user namespaces', 'CAP_SYS_PTRACE'] },
    needs: ['POSIX_MQUEUE', 'USER_NS', 'CAP_SETUID'],
    since: '5.14',
    bugs: [
      {
        id: 'BUG-21',
        fix: 'ucounts: Fix rlimit max values check: a user namespace inside another escapes the limit',
        fixedIn: '5.16',
        looksLike: { whileOutsideHasOne: 'room' },
      },
    ],
    arms: { treatment: 'the creator of the user namespace, outside', control: 'another user outside' },
    async experiment(world) {
      const { outer, arm, variant, fresh, eventually } = world
      const uid = fresh.uid()
      // Two generations: the queue is made by the user's own child user namespace's child.
      const owner = await inOwnUserNamespace(outer, uid)
      // Who joins is another user: only where he is makes it the owner's queue.
      const creator = variant === JOINED ? await joinedUserNamespace(outer, owner) : owner
      const counted = variant === JOINED ? await ownersAreCharged(world) : true
      if (!counted) world.note('queues count against the user alone, not against who made his user namespace')
      const outside = await asUser(await outer.spawn('outside'), arm === 'treatment' ? uid : fresh.uid())
      const before = await room(outside, fresh.name())
      // The limit of each ancestor holds, too: inside there is no queue yet.
      const name = fresh.name()
      const outsides = await create(outside, name)
      const whileOutsideHasOne = await room(creator, fresh.name())
      if (!failed(outsides)) {
        await outside.mq_unlink(name)
        await outside.close(outsides)
      }
      const within = fresh.name()
      const queue = await create(creator, within)
      const whileThere = await room(outside, fresh.name())
      // Its IPC namespace does not end with who joined a user namespace only.
      if (variant === JOINED) await creator.try.mq_unlink(within)
      await creator.exitAndReap()
      const look = () => room(outside, fresh.name())
      return {
        counted,
        before,
        outsides: whetherMade(outsides),
        whileOutsideHasOne,
        queue: whetherMade(queue),
        whileThere,
        returned: await eventually(look, (seen) => seen === 'room'),
      }
    },
    treatment: ({ counted }) => ({
      before: 'room',
      outsides: 'made',
      whileOutsideHasOne: counted ? EMFILE : 'room',
      queue: 'made',
      whileThere: counted ? EMFILE : 'room',
      returned: 'room',
    }),
    control: () => ({
      before: 'room',
      outsides: 'made',
      whileOutsideHasOne: 'room',
      queue: 'made',
      whileThere: 'room',
      returned: 'room',
    }),
  })

  lim.comparison('LIM-14', {
    says: 'root of a child user namespace cannot raise its hard RLIMIT_MSGQUEUE',
    source: ['setrlimit(2)', 'kernel/sys.c: do_prlimit'],
    needs: ['USER_NS'],
    arms: { treatment: 'raised', control: 'lowered' },
    async experiment({ outer, arm, enter }) {
      const limited = await outer.spawn('limited')
      await limited.setrlimit(RLIMIT_MSGQUEUE, 50_000, 50_000)
      const root = await enter('root', { from: limited, flags: ['NEWUSER', 'NEWIPC'] })
      const holds = (await root.capabilities()).includes('CAP_SYS_RESOURCE')
      const wanted = arm === 'treatment' ? 50_001 : 49_999
      const set = await root.try.setrlimit(RLIMIT_MSGQUEUE, 50_000 - 1, wanted)
      return { holds, set, limit: await root.getrlimit(RLIMIT_MSGQUEUE) }
    },
    treatment: () => ({ holds: true, set: EPERM, limit: { soft: 50_000, hard: 50_000 } }),
    control: () => ({ holds: true, set: 0, limit: { soft: 49_999, hard: 49_999 } }),
  })
}

/** The user, in a user namespace inside another that both are of its own making, with an IPC namespace. */
async function inOwnUserNamespace(outer: Member, uid: number): Promise<Member> {
  const member = await outer.spawn('creator')
  await member.setrlimit(RLIMIT_MSGQUEUE, ONE_QUEUE, ONE_QUEUE)
  return intoOwnUserNamespaces(member, uid, [['NEWUSER'], ['NEWUSER', 'NEWIPC']])
}

/** Root of outside, its own limit as it is, in that user namespace: none of its users. */
async function joinedUserNamespace(outer: Member, owner: Member): Promise<Member> {
  const joiner = await outer.spawn('joiner')
  await joiner.setns(await nsfdOf(joiner, owner, 'NEWUSER'), CLONE.NEWUSER)
  return joiner
}

/**
 * Whether queues of a user namespace count against who made it, and not only against the user himself: since
 * 5.14. Shown by another user in it, who was there from the beginning.
 */
async function ownersAreCharged({ outer, fresh }: ComparisonWorld): Promise<boolean> {
  const [uid, other] = [fresh.uid(), fresh.uid()]
  const outside = await asUser(await outer.spawn('owner outside'), uid)
  const owner = await outer.spawn('owner')
  await owner.setrlimit(RLIMIT_MSGQUEUE, ONE_QUEUE, ONE_QUEUE)
  await becomeUserWithAllCapabilities(owner, uid)
  const map = [
    [0, uid, 1],
    [1, other, 1],
  ] as const
  const inside = await spawnInUserNamespace(owner, 'another user inside', [], map)
  await inside.becomeUser(1)
  const name = fresh.name()
  await create(inside, name)
  const seen = await room(outside, fresh.name())
  await inside.try.mq_unlink(name)
  await inside.exitAndReap()
  return seen !== 'room'
}
