/** Queue descriptors that cross namespaces: MQN-06 … MQN-10. */

import { joinIpc } from '../../fixtures/leaving.ts'
import { makePlaces, mountQueues, unshareMounts } from '../../fixtures/mqueue-mounts.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  awaitNotification,
  foundByName,
  NEW_QUEUE,
  passDescriptor,
  takeByName,
} from '../../fixtures/posix-queues.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  EACCES,
  EAGAIN,
  EBADF,
  ENOENT,
  ETIMEDOUT,
  failed,
  having,
  type Member,
  MNT_DETACH,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLIN,
  POLLOUT,
  SI_MESGQ,
  SIGUSR1,
} from '../../fixtures/rules.ts'
import { watchNamespace } from '../../fixtures/sensors.ts'

/** The other way to a descriptor of a queue than mq_open(3): its file in a queue file system. */
const THROUGH_MOUNT = 'opened through a mount'

export function addDescriptors(mqn: Area): void {
  mqn.comparison('MQN-06', {
    says: 'a descriptor opened in one IPC namespace does everything it did after its process is in another',
    source: ['mq_overview(7)', 'ipc/mqueue.c: do_mq_timedsend, do_mq_timedreceive, do_mq_getsetattr'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    flags: 'with NEWIPC',
    variants: ['left by unshare', 'left by setns', 'inherited by a clone'],
    arms: { treatment: 'in another IPC namespace', control: 'in the queue’s own' },
    async experiment(world) {
      const { outer, fresh } = world
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE)
      const opened = await outer.mq_open(name, O_RDWR)
      // A program that is executed elsewhere has neither.
      const closeOnExec = [await outer.closesOnExec(queue), await outer.closesOnExec(opened)]
      await outer.mq_send(queue, 'from outside')
      const mover = await moved(world, queue)
      // Members that only wait: whoever is blocked in the kernel answers nothing else.
      const waiter = await mover.spawn('waiter', [], { keep: [queue] })
      const resident = await outer.spawn('resident', [], { keep: [queue] })

      const byName = await foundByName(mover, name)
      const received = await mover.try.mq_receive(queue)
      const sent = await mover.try.mq_send(queue, 'from inside')
      const outerReceived = await outer.try.mq_receive(queue)
      const attributes = await mover.try.mq_getattr(queue)
      const wasNonblocking = await mover.try.mq_setattr(queue, O_NONBLOCK)
      const nonblocking = await mover.try.mq_receive(queue)
      const flagsThen = [await mover.try.mq_getattr(queue), await outer.try.mq_getattr(queue)]
      // The flag is of the open file, not of the queue: who has opened it by himself may wait as before.
      const othersFlags = await outer.try.mq_getattr(opened)
      const othersWait = await outer.try.mq_receive(opened)
      await outer.mq_send(opened, 'leaves no room')
      const nonblockingSend = await mover.try.mq_send(queue, 'too many')
      const othersSend = await outer.try.mq_send(opened, 'too many')
      const roomMade = await outer.try.mq_receive(opened)
      const sentIntoRoom = await mover.try.mq_send(queue, 'as there is room')
      const nonblockingReceive = await mover.try.mq_receive(queue)
      await mover.try.mq_setattr(queue, 0)
      const polled = await mover.try.poll(queue, POLLIN | POLLOUT, 0)
      const registered = await mover.try.mq_notify(queue, 0)
      const unregistered = await mover.try.mq_notify_remove(queue)

      const innerWaits = await waiter.block.mq_receive_blocking(queue)
      const outerWakes = await outer.try.mq_send(queue, 'wake up')
      const innerWoken = await innerWaits.within(PATIENCE_MS)
      const outerWaits = await resident.block.mq_receive_blocking(queue)
      const innerWakes = await mover.try.mq_send(queue, 'wake up too')
      const outerWoken = await outerWaits.within(PATIENCE_MS)

      const fills = await outer.try.mq_send(queue, 'fills the queue')
      const innerSends = await waiter.block.mq_send(queue, 'waits for room', 0, PATIENCE_MS)
      const first = await outer.try.mq_receive(queue)
      const innerSent = await innerSends.within(PATIENCE_MS)
      const second = await outer.try.mq_receive(queue, PATIENCE_MS)
      const fillsAgain = await outer.try.mq_send(queue, 'fills it again')
      const outerSends = await resident.block.mq_send(queue, 'waits too', 0, PATIENCE_MS)
      const third = await mover.try.mq_receive(queue)
      const outerSent = await outerSends.within(PATIENCE_MS)
      const fourth = await mover.try.mq_receive(queue, PATIENCE_MS)
      return {
        closeOnExec,
        byName,
        received,
        sent,
        outerReceived,
        attributes,
        wasNonblocking,
        nonblocking,
        flagsThen,
        othersFlags,
        othersWait,
        nonblockingSend,
        othersSend,
        roomMade,
        sentIntoRoom,
        nonblockingReceive,
        polled,
        registered,
        unregistered,
        outerWakes,
        innerWoken,
        innerWakes,
        outerWoken,
        fills,
        first,
        innerSent,
        second,
        fillsAgain,
        third,
        outerSent,
        fourth,
      }
    },
    treatment: () => ({ ...EVERYTHING_WORKS, byName: ENOENT }),
    control: () => ({ ...EVERYTHING_WORKS, byName: 'found' }),
  })

  mqn.comparison('MQN-07', {
    says: 'a descriptor that is passed into another IPC namespace works there, either way',
    source: ['unix(7) SCM_RIGHTS', 'pidfd_getfd(2)', 'ipc/mqueue.c: do_mq_timedsend'],
    needs: ['POSIX_MQUEUE', 'pidfd_getfd', 'CAP_SYS_PTRACE'],
    since: '5.6',
    variants: ['SCM_RIGHTS', 'pidfd_getfd'],
    flags: [['NEWIPC'], ['NEWIPC', 'NEWNS'], ['NEWIPC', 'NEWUTS']],
    arms: { treatment: 'to another IPC namespace', control: 'inside the queue’s own' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const [near, far] = await outer.socketpair()
      const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = await outer.spawn('inner', kind, { keep: [far] })
      const ends = { outer: { member: outer, socket: near }, inner: { member: inner, socket: far } }
      const name = fresh.name()
      const innerName = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE)
      const innerQueue = await inner.mq_create(innerName, NEW_QUEUE)
      await outer.mq_send(queue, 'to the inside')
      await inner.mq_send(innerQueue, 'to the outside')
      const fetch = async (by: Member, pid: number, descriptor: number) =>
        by.try.pidfd_getfd(await by.pidfd_open(pid), descriptor)
      const bySocket = variant === 'SCM_RIGHTS'
      const got = bySocket
        ? await passDescriptor(ends.outer, queue, ends.inner)
        : await fetch(inner, await inner.getppid(), queue)
      const outerGot = bySocket
        ? await passDescriptor(ends.inner, innerQueue, ends.outer)
        : await fetch(outer, inner.pid, innerQueue)
      if (failed(got) || failed(outerGot)) return { got, outerGot }
      return {
        got: 'a descriptor',
        outerGot: 'a descriptor',
        byName: await foundByName(inner, name),
        outerByName: await foundByName(outer, innerName),
        received: await inner.try.mq_receive(got),
        outerReceived: await outer.try.mq_receive(outerGot),
        sent: await inner.try.mq_send(got, 'back to the outside'),
        outerSent: await outer.try.mq_send(outerGot, 'back to the inside'),
        came: await takeByName(outer, name),
        innerCame: await takeByName(inner, innerName),
      }
    },
    treatment: () => ({ ...PASSED, byName: ENOENT, outerByName: ENOENT }),
    control: () => ({ ...PASSED, byName: 'found', outerByName: 'found' }),
  })

  mqn.comparison('MQN-08', {
    says: 'opening /proc/self/fd/N of a queue descriptor gives the same queue in any IPC namespace, if the queue’s mode allows',
    source: ['proc_pid_fd(5)', 'ipc/mqueue.c: mqueue_file_operations'],
    needs: ['POSIX_MQUEUE', 'CAP_SETUID'],
    since: '2.6.30',
    flags: [['NEWIPC'], ['NEWIPC', 'NEWNS'], ['NEWIPC', 'NEWUTS']],
    arms: { treatment: 'from another IPC namespace', control: 'from the queue’s own' },
    async experiment({ outer, arm, flags, fresh }) {
      const name = fresh.name()
      const made = await outer.mq_create(name, NEW_QUEUE)
      const queue = await outer.mq_open(name, O_RDONLY)
      const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = await outer.spawn('inner', kind, { keep: [queue] })
      const path = `/proc/self/fd/${queue}`
      const byName = await foundByName(inner, name)
      // The descriptor itself is for reading only; the new one asks for itself.
      const readOnly = await inner.try.mq_send(queue, 'no')
      const reopened = await inner.try.open(path, O_WRONLY)
      const sent = failed(reopened) ? reopened : await inner.try.mq_send(reopened, 'from inside')
      const writeOnly = failed(reopened) ? reopened : await inner.try.mq_receive(reopened)
      const came = await outer.try.mq_receive(made)
      await outer.mq_send(made, 'from outside')
      const forBoth = await inner.try.open(path, O_RDWR)
      const received = failed(forBoth) ? forBoth : await inner.try.mq_receive(forBoth)
      const another = await inner.spawn('another user', [], { keep: [queue] })
      await another.becomeUser(fresh.uid())
      const forbidden = await another.try.open(path, O_RDWR)
      return { byName, readOnly, sent, writeOnly, came, received, forbidden }
    },
    treatment: () => ({ ...REOPENED, byName: ENOENT }),
    control: () => ({ ...REOPENED, byName: 'found' }),
  })

  mqn.comparison('MQN-09', {
    says: 'a queue outlives its IPC namespace as long as a descriptor is open: old messages stay, new ones come and go',
    source: ['ipc_namespaces(7) (which says otherwise)', 'ipc/mqueue.c: mqueue_evict_inode'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    arms: { treatment: 'after the namespace is destroyed', control: 'while it has a member' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const holder = await outer.spawn('holder')
      await holder.unshare(CLONE.NEWIPC)
      const member = await holder.spawn('last member')
      const name = fresh.name()
      const queue = await holder.mq_create(name, NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      await holder.mq_send(queue, 'before')
      await holder.blockSignals([SIGUSR1])
      const watch = await watchNamespace(outer, member)
      await holder.unshare(CLONE.NEWIPC)
      if (arm === 'treatment') await member.killAndReap()
      const namespace = arm === 'treatment' ? await watch.end(world) : await watch.look()
      const sender = await holder.spawn('sender', [], { keep: [queue] })
      const seen = {
        namespace,
        attributes: await holder.try.mq_getattr(queue),
        // Behind the one that is there, up to the last for which there is room.
        sentBehind: await sender.try.mq_send(queue, 'behind'),
        sentTooMany: await sender.try.mq_send(queue, 'too many'),
        full: await holder.try.mq_getattr(queue),
        received: await holder.try.mq_receive(queue),
        receivedBehind: await holder.try.mq_receive(queue),
        sent: await sender.try.mq_send(queue, 'after'),
        polled: await holder.try.poll(queue, POLLIN | POLLOUT, 0),
        receivedAgain: await holder.try.mq_receive(queue),
        empty: await holder.try.mq_receive(queue),
        registered: await holder.try.mq_notify(queue, SIGUSR1),
        fires: await sender.try.mq_send(queue, 'notify'),
        notified: await awaitNotification(holder),
        last: await sender.try.mq_receive(queue),
      }
      const waiting = await sender.block.mq_receive_blocking(queue)
      const wakes = await holder.try.mq_send(queue, 'wake up')
      return { ...seen, wakes, woken: await waiting.within(PATIENCE_MS) }
    },
    treatment: () => ({ ...QUEUE_LIVES, namespace: 'destroyed' }),
    control: () => ({ ...QUEUE_LIVES, namespace: 'alive' }),
  })

  mqn.comparison('MQN-10', {
    says: 'a queue descriptor does not keep the queue’s IPC namespace alive, whatever is done with it',
    source: ['namespaces(7) "Namespace lifetime"', 'ipc/mqueue.c: mq_init_ns, mq_put_mnt'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    variants: ['held open', THROUGH_MOUNT, 'registered for notification', 'received from'],
    arms: { treatment: 'only the descriptor is left', control: 'an nsfd is held too' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const holder = await outer.spawn('holder')
      await holder.unshare(CLONE.NEWIPC)
      const name = fresh.name()
      const created = await holder.mq_create(name, NEW_QUEUE)
      const queue = variant === THROUGH_MOUNT ? await openThroughMount(holder, name) : created
      if (queue !== created) await holder.close(created)
      const watch = await watchNamespace(outer, holder)
      if (arm === 'control') await holder.open('/proc/self/ns/ipc', O_RDONLY)
      if (variant === 'registered for notification') await holder.mq_notify(queue, 0)
      const twin = await outer.spawn('twin')
      await twin.unshare(CLONE.NEWIPC)
      const watchTwin = await watchNamespace(outer, twin)
      const before = await watch.look()
      await holder.unshare(CLONE.NEWIPC)
      if (variant === 'received from') await holder.block.mq_receive_blocking(queue)
      // The twin's end, seen by the same sensors, is the time after which a kept namespace is a kept one.
      await twin.unshare(CLONE.NEWIPC)
      const unheld = await watchTwin.end(world)
      return { before, unheld, after: arm === 'treatment' ? await watch.end(world) : await watch.look() }
    },
    treatment: () => ({ before: 'alive', unheld: 'destroyed', after: 'destroyed' }),
    control: () => ({ before: 'alive', unheld: 'destroyed', after: 'alive' }),
  })
}

/** A descriptor of a queue from open(2) on its file in a queue file system, which is mounted for that long. */
async function openThroughMount(holder: Member, name: string): Promise<number> {
  await unshareMounts(holder)
  const [place = ''] = await makePlaces(holder, 'queues')
  await mountQueues(holder, place)
  const queue = await holder.open(`${place}${name}`, O_RDWR)
  await holder.umount(place, MNT_DETACH)
  return queue
}

/** A process that holds the descriptor and is, by the cell's variant, in another IPC namespace (or not, in the control arm). */
async function moved({ outer, arm, flags, variant }: ComparisonWorld, queue: number): Promise<Member> {
  const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
  if (variant === 'inherited by a clone') return outer.spawn('inner', kind, { keep: [queue] })
  const mover = await outer.spawn('mover', [], { keep: [queue] })
  if (variant === 'left by unshare') {
    await mover.unshare(cloneBits(kind))
    // Its own child would be the first of the new pid namespace; that one does the rest.
    return kind.includes('NEWPID') ? mover.spawn('inner', [], { keep: [queue] }) : mover
  }
  await joinIpc(mover, await outer.spawn('donor', kind))
  return mover
}

const EVERYTHING_WORKS = {
  closeOnExec: [true, true],
  received: 'from outside',
  sent: 0,
  outerReceived: 'from inside',
  attributes: { flags: 0, maxmsg: 1, msgsize: 64, curmsgs: 0 },
  wasNonblocking: { flags: 0, maxmsg: 1, msgsize: 64, curmsgs: 0 },
  nonblocking: EAGAIN,
  flagsThen: [having({ flags: O_NONBLOCK }), having({ flags: O_NONBLOCK })],
  othersFlags: having({ flags: 0, curmsgs: 0 }),
  othersWait: ETIMEDOUT,
  nonblockingSend: EAGAIN,
  othersSend: ETIMEDOUT,
  roomMade: 'leaves no room',
  sentIntoRoom: 0,
  nonblockingReceive: 'as there is room',
  polled: POLLOUT,
  registered: 0,
  unregistered: 0,
  outerWakes: 0,
  innerWoken: 'wake up',
  innerWakes: 0,
  outerWoken: 'wake up too',
  fills: 0,
  fillsAgain: 0,
  first: 'fills the queue',
  innerSent: 0,
  second: 'waits for room',
  third: 'fills it again',
  outerSent: 0,
  fourth: 'waits too',
}

const PASSED = {
  got: 'a descriptor',
  outerGot: 'a descriptor',
  received: 'to the inside',
  outerReceived: 'to the outside',
  sent: 0,
  outerSent: 0,
  came: 'back to the outside',
  innerCame: 'back to the inside',
}

const REOPENED = {
  readOnly: EBADF,
  sent: 0,
  writeOnly: EBADF,
  came: 'from inside',
  received: 'from outside',
  forbidden: EACCES,
}

const QUEUE_LIVES = {
  attributes: { flags: 0, maxmsg: 2, msgsize: 64, curmsgs: 1 },
  sentBehind: 0,
  sentTooMany: ETIMEDOUT,
  full: having({ curmsgs: 2 }),
  received: 'before',
  receivedBehind: 'behind',
  sent: 0,
  polled: POLLIN | POLLOUT,
  receivedAgain: 'after',
  empty: ETIMEDOUT,
  registered: 0,
  fires: 0,
  notified: having({ signal: SIGUSR1, code: SI_MESGQ }),
  last: 'notify',
  wakes: 0,
  woken: 'wake up',
}
