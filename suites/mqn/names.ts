/** Queues by name: MQN-01 … MQN-05; MQN-11, the file system that the names live in; MQN-18, whose a queue is. */
import { makePlaces } from '../../fixtures/mqueue-mounts.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import { attributesByName, foundByName, NEW_QUEUE, takeByName } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  differs,
  EACCES,
  EEXIST,
  EMFILE,
  ENAMETOOLONG,
  ENOENT,
  ENOSYS,
  EPERM,
  ETIMEDOUT,
  failed,
  type Member,
  MNT_DETACH,
  makePrivate,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  oneOf,
} from '../../fixtures/rules.ts'
import { overflowIds } from '../../fixtures/user-namespaces.ts'

/** Sizes that tell whose queue was found. */
const ACTORS = { maxmsg: 3, msgsize: 41 }
const OBSERVERS = { maxmsg: 2, msgsize: 33 }

/** Both sides are one user, who is nobody’s root: whose name it is does not stand in the way. */
const BY_A_USER = 'absent, and the caller is not root'

/** A child of the member that is this user, without capabilities. */
async function userOf(side: Member, uid: number): Promise<Member> {
  const user = await side.spawn(`${side.name}’s user`)
  await user.becomeUser(uid)
  return user
}

export function addNames(mqn: Area): void {
  mqn.visibility('MQN-01', {
    says: 'mq_open(3) finds a queue by its name only inside the IPC namespace that made it',
    source: ['ipc_namespaces(7)', 'ipc/mqueue.c: do_mq_open'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    soughtFromInitial: true,
    async experiment({ actor, observer, fresh }) {
      const name = fresh.name()
      const queue = await actor.mq_create(name, NEW_QUEUE, 0o600, ACTORS)
      await actor.mq_send(queue, 'of the actor')
      const forReading = await attributesByName(observer, name, O_RDONLY)
      const forWriting = await attributesByName(observer, name, O_WRONLY)
      const forBoth = await attributesByName(observer, name, O_RDWR)
      const neverMade = await attributesByName(observer, fresh.name(), O_RDWR)
      // As long as a name may be: 255 bytes after the slash.
      const longName = fresh.name().padEnd(256, 'x')
      await actor.close(await actor.mq_create(longName, NEW_QUEUE))
      const longest = await foundByName(observer, longName)
      await actor.try.mq_unlink(longName)
      // O_CREAT without O_EXCL opens the queue where it is found and makes another where it is not.
      const created = await observer.try.mq_create(name, O_RDWR | O_CREAT, 0o600, OBSERVERS)
      const opened = failed(created) ? created : await observer.try.mq_getattr(created)
      const taken = failed(created) ? created : await observer.try.mq_receive(created)
      const actorsOwn = await attributesByName(actor, name, O_RDWR)
      const left = await actor.try.mq_receive(queue)
      await actor.close(queue)
      if (!failed(created)) await observer.close(created)
      await actor.try.mq_unlink(name)
      await observer.try.mq_unlink(name)
      return { forReading, forWriting, forBoth, neverMade, longest, opened, taken, actorsOwn, left }
    },
    shared: () => ({
      forReading: { flags: 0, ...ACTORS, curmsgs: 1 },
      forWriting: { flags: 0, ...ACTORS, curmsgs: 1 },
      forBoth: { flags: 0, ...ACTORS, curmsgs: 1 },
      neverMade: ENOENT,
      longest: 'found',
      opened: { flags: 0, ...ACTORS, curmsgs: 1 },
      taken: 'of the actor',
      actorsOwn: { flags: 0, ...ACTORS, curmsgs: 0 },
      left: ETIMEDOUT,
    }),
    isolated: () => ({
      forReading: ENOENT,
      forWriting: ENOENT,
      forBoth: ENOENT,
      neverMade: ENOENT,
      longest: ENOENT,
      opened: { flags: 0, ...OBSERVERS, curmsgs: 0 },
      taken: ETIMEDOUT,
      actorsOwn: { flags: 0, ...ACTORS, curmsgs: 1 },
      left: 'of the actor',
    }),
  })

  mqn.visibility('MQN-02', {
    says: 'a name that is taken in one IPC namespace is free for O_CREAT|O_EXCL in another, and the queues are two, the attributes of the one no default of the other',
    source: ['ipc_namespaces(7)', 'mq_open(3)', 'ipc/mqueue.c: do_mq_open'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    soughtFromInitial: true,
    async experiment({ actor, observer, fresh, eventually }) {
      const name = fresh.name()
      const queue = await actor.mq_create(name, NEW_QUEUE, 0o600, ACTORS)
      await actor.mq_send(queue, 'of the actor')
      const again = await actor.try.mq_create(name, NEW_QUEUE, 0o600, ACTORS)
      const created = await observer.try.mq_create(name, NEW_QUEUE, 0o600, OBSERVERS)
      const made = failed(created) ? created : await observer.try.mq_getattr(created)
      const sent = failed(created) ? created : await observer.try.mq_send(created, 'of the observer')
      const actorTakes = await takeByName(actor, name)
      const actorTakesAgain = await takeByName(actor, name)
      const observerTakes = failed(created) ? created : await takeByName(observer, name)
      if (!failed(created)) {
        await observer.close(created)
        await observer.mq_unlink(name)
      }
      const byDefault = (one: string): Promise<unknown> =>
        eventually(
          () => madeByDefault(observer, one),
          (seen) => seen !== EMFILE,
          500,
        )
      const defaults = await byDefault(fresh.name())
      const madeAlike = await byDefault(name)
      await actor.close(queue)
      await actor.try.mq_unlink(name)
      return { again, made, sent, actorTakes, actorTakesAgain, observerTakes, defaults, madeAlike }
    },
    shared: () => ({
      again: EEXIST,
      made: EEXIST,
      sent: EEXIST,
      actorTakes: 'of the actor',
      actorTakesAgain: ETIMEDOUT,
      madeAlike: EEXIST,
    }),
    isolated: ({ defaults }) => ({
      again: EEXIST,
      made: { flags: 0, ...OBSERVERS, curmsgs: 0 },
      sent: 0,
      actorTakes: 'of the actor',
      actorTakesAgain: ETIMEDOUT,
      observerTakes: 'of the observer',
      // RLIMIT_MSGQUEUE counts what the user has anywhere, and there may just be no room.
      madeAlike: oneOf(defaults, EMFILE),
    }),
  })

  mqn.visibility('MQN-03', {
    says: 'mq_unlink(3) removes a name only from the caller’s IPC namespace',
    source: ['ipc_namespaces(7)', 'mq_unlink(3)', 'ipc/mqueue.c: mq_unlink'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    variants: ['absent in the caller’s namespace', 'present in both', BY_A_USER],
    variantNeeds: { [BY_A_USER]: ['CAP_SETUID'] },
    soughtFromInitial: true,
    async experiment({ fresh, variant, relation, ...sides }) {
      const uid = fresh.uid()
      const byUser = variant === BY_A_USER
      const actor = byUser ? await userOf(sides.actor, uid) : sides.actor
      const observer = byUser ? await userOf(sides.observer, uid) : sides.observer
      const name = fresh.name()
      const queue = await actor.mq_create(name, NEW_QUEUE)
      await actor.mq_send(queue, 'of the actor')
      const twin = variant === 'present in both' && relation.ipc === 'different'
      if (twin) await observer.close(await observer.mq_create(name, NEW_QUEUE))
      const unlinked = await observer.try.mq_unlink(name)
      const unlinkedAgain = await observer.try.mq_unlink(name)
      const observerFinds = await foundByName(observer, name)
      const actorTakes = await takeByName(actor, name)
      // The other direction: the actor's own name goes, the observer's does not.
      if (twin) await observer.close(await observer.mq_create(name, NEW_QUEUE))
      const actorUnlinks = await actor.try.mq_unlink(name)
      const actorFinds = await foundByName(actor, name)
      const observersOwn = await foundByName(observer, name)
      await actor.close(queue)
      await observer.try.mq_unlink(name)
      if (byUser) for (const user of [actor, observer]) await user.exitAndReap()
      return { unlinked, unlinkedAgain, observerFinds, actorTakes, actorUnlinks, actorFinds, observersOwn }
    },
    shared: () => ({
      unlinked: 0,
      unlinkedAgain: ENOENT,
      observerFinds: ENOENT,
      actorTakes: ENOENT,
      actorUnlinks: ENOENT,
      actorFinds: ENOENT,
      observersOwn: ENOENT,
    }),
    isolated: (_seen, { variant }) => ({
      unlinked: variant === 'present in both' ? 0 : ENOENT,
      unlinkedAgain: ENOENT,
      observerFinds: ENOENT,
      actorTakes: 'of the actor',
      actorUnlinks: 0,
      actorFinds: ENOENT,
      observersOwn: variant === 'present in both' ? 'found' : ENOENT,
    }),
  })

  mqn.comparison('MQN-04', {
    says: 'mq_open(3) needs no mounted mqueue and heeds neither the root directory nor the mount namespace, only the IPC namespace',
    source: ['mq_overview(7) "Mounting the message queue filesystem"', 'ipc/mqueue.c: do_mq_open'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.6',
    variants: ['nothing mounted', 'in an empty root directory'],
    flags: [['NEWNS'], ['NEWNS', 'NEWPID'], ['NEWNS', 'NEWUTS']],
    arms: { treatment: 'in another IPC namespace', control: 'in another mount namespace only' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE)
      await outer.mq_send(queue, 'from outside')
      const inner = await outer.spawn('inner', arm === 'treatment' ? [...flags, 'NEWIPC'] : flags)
      await makePrivate(inner)
      const mounted = (text: string): string[] =>
        text
          .split('\n')
          .filter((row) => row.split(' ')[2] === 'mqueue')
          .map((row) => row.split(' ')[1] ?? '')
      for (const place of mounted(await inner.readFile('/proc/mounts'))) await inner.umount(place, MNT_DETACH)
      const mounts = mounted(await inner.readFile('/proc/mounts')).length
      if (variant === 'in an empty root directory') {
        const [empty = ''] = await makePlaces(inner, 'root')
        await inner.chroot(empty)
        await inner.chdir('/')
      }
      const taken = await takeByName(inner, name)
      const own = fresh.name()
      const created = await inner.try.mq_create(own, NEW_QUEUE)
      const outerFindsIt = await foundByName(outer, own)
      const unlinked = await inner.try.mq_unlink(own)
      return { mounts, taken, created: whetherMade(created), outerFindsIt, unlinked }
    },
    treatment: () => ({ mounts: 0, taken: ENOENT, created: 'made', outerFindsIt: ENOENT, unlinked: 0 }),
    control: () => ({
      mounts: 0,
      taken: 'from outside',
      created: 'made',
      outerFindsIt: 'found',
      unlinked: 0,
    }),
  })

  mqn.comparison('MQN-05', {
    says: 'a queue’s name is at most 255 bytes without a slash and neither "." nor "..", in every IPC namespace',
    source: ['mq_open(3) ERRORS', 'fs/namei.c: lookup_one_len'],
    needs: ['POSIX_MQUEUE'],
    flags: [['NEWIPC'], ['NEWIPC', 'NEWUSER']],
    arms: { treatment: 'inside a new namespace', control: 'outside it' },
    async experiment({ outer, enter, arm, fresh }) {
      const inner = await enter('inner')
      const member = arm === 'treatment' ? inner : outer
      // The harness takes one leading slash away, as libc does; what is left is what the kernel sees.
      const label = fresh.name()
      const tries = async (raw: string) => {
        const created = await member.try.mq_create(`/${raw}`, NEW_QUEUE)
        const opened = await foundByName(member, `/${raw}`)
        const unlinked = await member.try.mq_unlink(`/${raw}`)
        return [whetherMade(created), opened, unlinked]
      }
      const plain = label.slice(1)
      return {
        plain: await tries(plain),
        longest: await tries(plain.padEnd(255, 'x')),
        tooLong: await tries(plain.padEnd(256, 'x')),
        slashFirst: await tries(label),
        slashInside: await tries(`${plain}/x`),
        dot: await tries('.'),
        dots: await tries('..'),
        empty: await tries(''),
      }
    },
    treatment: () => NAMES,
    control: () => NAMES,
  })

  mqn.visibility('MQN-11', {
    says: 'each IPC namespace has a queue file system of its own, and fstat(2) of a queue tells which by st_dev',
    source: ['ipc/mqueue.c: mqueue_get_tree', 'stat(2)'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    async experiment({ actor, observer, fresh }) {
      const names = [fresh.name(), fresh.name(), fresh.name()] as const
      const first = await actor.mq_create(names[0], NEW_QUEUE)
      const second = await actor.mq_create(names[1], NEW_QUEUE)
      const other = await observer.mq_create(names[2], NEW_QUEUE)
      // All three are held open: a device number may be given out again once its file system is gone.
      const seen = {
        first: (await actor.fstat(first)).dev,
        second: (await actor.fstat(second)).dev,
        other: (await observer.fstat(other)).dev,
      }
      for (const queue of [first, second]) await actor.close(queue)
      await observer.close(other)
      for (const name of names.slice(0, 2)) await actor.mq_unlink(name)
      await observer.mq_unlink(names[2])
      return seen
    },
    shared: ({ first }) => ({ second: first, other: first }),
    isolated: ({ first }) => ({ second: first, other: differs(first) }),
  })

  mqn.comparison('MQN-18', {
    says: 'a queue belongs to the user who made it (his file-system user ID, which follows the effective one until setfsuid(2)), and each viewer sees that user as his own user namespace maps it',
    source: ['mq_open(3)', 'user_namespaces(7)', 'setfsuid(2)', 'ipc/mqueue.c: mqueue_get_inode'],
    needs: ['POSIX_MQUEUE', 'USER_NS', 'CAP_SETUID', 'CAP_SYS_ADMIN'],
    since: '3.5',
    flags: [['NEWIPC'], ['NEWIPC', 'NEWUSER'], ['NEWUSER']],
    arms: { treatment: 'made by an ordinary user', control: 'made by root' },
    async experiment({ enter, outer, arm, fresh }) {
      const [uid, gid] = arm === 'treatment' ? [fresh.uid(), fresh.uid()] : [0, 0]
      const stranger = fresh.uid()
      const name = fresh.name()
      const inner = await enter('inner')
      const [mine, theirs] = await inner.socketpair()
      const creator = await inner.spawn('creator', [], { keep: [theirs] })
      // The effective user counts, not the real one.
      await creator.setresgid(0, gid, 0)
      await creator.setresuid(0, uid, 0)
      const made = await creator.mq_create(name, NEW_QUEUE)
      await creator.sendDescriptor(theirs, made)
      const queue = await inner.receiveDescriptor(mine)
      // Queues for the one or the other alone, and for others as well.
      const [toRead, toWrite, forAll] = [fresh.name(), fresh.name(), fresh.name()]
      await creator.mq_create(toRead, NEW_QUEUE, 0o400)
      await creator.mq_create(toWrite, NEW_QUEUE, 0o200)
      await creator.umask(0)
      const shared = await creator.mq_create(forAll, NEW_QUEUE, 0o666)
      await creator.umask(0o027)
      const masked = await creator.mq_create(fresh.name(), NEW_QUEUE, 0o666)
      const modes: string[] = []
      for (const each of [shared, masked]) modes.push(((await creator.fstat(each)).mode & 0o777).toString(8))
      // The creator’s file-system user is root from here on; his effective user stays who he was.
      const changed = await creator.try.setfsuid(0)
      const changedGroup = await creator.try.setfsgid(0)
      const roots = await creator.fstat(await creator.mq_create(fresh.name(), NEW_QUEUE))
      const bySetfsuid = failed(changed) ? changed : roots.uid
      const bySetfsgid = failed(changedGroup) ? changedGroup : roots.gid
      const seen = async (member: typeof inner) => {
        const { uid, gid, mode } = await member.fstat(queue)
        return { uid, gid, mode: mode.toString(8) }
      }
      const fromInside = await seen(inner)
      // A viewer whose user namespace maps the creator to 7, and nobody else.
      const viewer = await inner.spawn('viewer', ['NEWUSER'], { keep: [queue] })
      const pid = await viewer.readlink('/proc/self')
      await inner.writeFile(`/proc/${pid}/uid_map`, `7 ${uid} 1`)
      await inner.writeFile(`/proc/${pid}/gid_map`, `8 ${gid} 1`)
      const mapped = await seen(viewer)
      const blind = await inner.spawn('blind viewer', ['NEWUSER'], { keep: [queue] })
      const unmapped = await seen(blind)
      const overflow = await overflowIds(outer)
      const forbidden = await inner.spawn('another user')
      await forbidden.becomeUser(stranger)
      const strangerOpens = await foundByName(forbidden, name)
      // Nor does one get it by asking for a new one.
      const strangerCreates = whetherMade(await forbidden.try.mq_create(name, O_RDWR | O_CREAT))
      const strangerOpensShared = await foundByName(forbidden, forAll)
      const strangerUnlinks = await forbidden.try.mq_unlink(name)
      const owner = await inner.spawn('owner')
      await owner.becomeUser(uid, gid)
      if (uid === 0) await owner.setCapabilities([], true)
      const ownerOpens = await foundByName(owner, name)
      const ownerCreates = whetherMade(await owner.try.mq_create(name, O_RDWR | O_CREAT))
      const ownerOpensByMode: unknown[][] = []
      for (const each of [toRead, toWrite]) {
        const row: unknown[] = []
        for (const flags of [O_RDONLY, O_WRONLY, O_RDWR]) row.push(await foundByName(owner, each, flags))
        ownerOpensByMode.push(row)
      }
      const ownerUnlinks = await owner.try.mq_unlink(name)
      return {
        uid,
        gid,
        overflow,
        fromInside,
        modes,
        bySetfsuid,
        bySetfsgid,
        mapped,
        unmapped,
        strangerOpens,
        strangerCreates,
        strangerOpensShared,
        strangerUnlinks,
        ownerOpens,
        ownerCreates,
        ownerOpensByMode,
        ownerUnlinks,
      }
    },
    treatment: (seen) => owned(seen),
    control: (seen) => owned(seen),
  })
}

/** The attributes of a queue made without any, and gone at once; or the errno of mq_open(3). */
async function madeByDefault(member: Member, name: string): Promise<unknown> {
  const queue = await member.try.mq_create(name, NEW_QUEUE, 0o600, null)
  if (failed(queue)) return queue
  const attributes = await member.mq_getattr(queue)
  await member.close(queue)
  await member.mq_unlink(name)
  return attributes
}

const REFUSED = {
  tooLong: [ENAMETOOLONG, ENAMETOOLONG, ENAMETOOLONG],
  slash: [EACCES, EACCES, EACCES],
  empty: [ENOENT, ENOENT, ENOENT],
}

const NAMES = {
  plain: ['made', 'found', 0],
  longest: ['made', 'found', 0],
  tooLong: REFUSED.tooLong,
  slashFirst: REFUSED.slash,
  slashInside: REFUSED.slash,
  dot: REFUSED.slash,
  dots: REFUSED.slash,
  empty: REFUSED.empty,
}

function owned(of: { uid: number; gid: number; overflow: { uid: number; gid: number } }) {
  return {
    fromInside: { uid: of.uid, gid: of.gid, mode: '100600' },
    // Not everything that calls itself Linux has setfsuid.
    bySetfsuid: oneOf(0, ENOSYS),
    bySetfsgid: oneOf(0, ENOSYS),
    modes: ['666', '640'],
    mapped: { uid: 7, gid: 8, mode: '100600' },
    unmapped: { ...of.overflow, mode: '100600' },
    strangerOpens: EACCES,
    strangerCreates: EACCES,
    strangerOpensShared: 'found',
    strangerUnlinks: EPERM,
    ownerOpens: 'found',
    ownerCreates: 'made',
    // For reading, for writing, for both.
    ownerOpensByMode: [
      ['found', EACCES, EACCES],
      [EACCES, 'found', EACCES],
    ],
    ownerUnlinks: 0,
  }
}
