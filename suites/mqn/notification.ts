/** Notification across namespaces: MQN-13 … MQN-17. */
import { joinIpc } from '../../fixtures/leaving.ts'
import { NEW_QUEUE, pendingNotification, statusLine } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EAGAIN,
  EBUSY,
  type Flag,
  failed,
  having,
  type Member,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  SI_MESGQ,
  SIGUSR1,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'
import { overflowIds, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'

/** An id inside a user namespace that is nobody's id outside. */
const SHIFTED = 300

/** A registration as mq_notify(3) makes one for SIGEV_THREAD, before the registrant leaves. */
const SIGEV_THREAD = 'unshare after registering with SIGEV_THREAD'
/** A status line's NOTIFY where no signal is asked for (sigevent(3type)). */
const SIGEV_NONE = 1
/** unshare(CLONE_NEWPID) moves the next children, not the caller. */
const ABOUT_TO_CLONE = 'reader whose children will be in another one'
/** A thread that is not the leader closes, in an IPC namespace to which it went alone. */
const THREAD_ELSEWHERE = 'a duplicate, by another thread that has left'
const NO_EVENT_ELSEWHERE = 'no event, by another thread that has left'
const BY_THREAD: readonly string[] = [THREAD_ELSEWHERE, NO_EVENT_ELSEWHERE]
/** What the other open of the queue is for. */
const OPENED: Readonly<Record<string, number>> = {
  'another open': O_RDWR,
  'another open, for writing only': O_WRONLY,
  'another open, for reading only': O_RDONLY,
}
/** What is to come on the socket, up to its last byte: that tells what happened. */
const COOKIE = 'c'.repeat(31)
/** NOTIFY_WOKENUP (include/linux/mqueue.h of the kernel: a message came). */
const WOKEN_UP = '\u0001'
/** NOTIFY_REMOVED: there will be none. */
const REMOVED = '\u0002'

export function addNotification(mqn: Area): void {
  mqn.comparison('MQN-13', {
    says: 'a queue has one registrant for notification, from whichever IPC namespace; any other gets EBUSY',
    source: ['mq_notify(3)', 'ipc/mqueue.c: do_mq_notify'],
    needs: ['POSIX_MQUEUE', 'mq_notify'],
    since: '2.6.30',
    flags: 'with NEWIPC',
    variants: ['outside first', 'inside first'],
    arms: { treatment: 'while one is registered', control: 'after it gave the registration up' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const queue = await outer.mq_create(fresh.name(), NEW_QUEUE)
      const inner = await outer.spawn('inner', flags, { keep: [queue] })
      const resident = await outer.spawn('resident', [], { keep: [queue] })
      const neighbour = await outer.spawn('neighbour', [], { keep: [queue] })
      const [first, second] = variant === 'outside first' ? [resident, inner] : [inner, resident]
      for (const member of [first, second]) await member.blockSignals([SIGUSR1])
      // One that asks for no signal at all (SIGEV_NONE) is a registration as any other.
      const quiet = await first.try.mq_notify(queue, 0)
      if (arm === 'control') await first.mq_notify_remove(queue)
      // The registrant himself is as any other: he cannot have the signal instead.
      const instead = await first.try.mq_notify(queue, SIGUSR1)
      if (arm === 'control') await first.mq_notify_remove(queue)
      const besideQuiet = [await second.try.mq_notify(queue, SIGUSR1)]
      if (arm === 'control') await second.mq_notify_remove(queue)
      besideQuiet.push(await second.try.mq_notify(queue, 0))
      for (const member of [first, second]) await member.mq_notify_remove(queue)
      const registered = await first.try.mq_notify(queue, SIGUSR1)
      // Giving up what one has not is no error, and takes nothing from the other.
      const foreignRemoval = await second.try.mq_notify_remove(queue)
      if (arm === 'control') await first.mq_notify_remove(queue)
      const again = await second.try.mq_notify(queue, SIGUSR1)
      const silent = await neighbour.try.mq_notify(queue, 0)
      await neighbour.mq_send(queue, 'notify')
      return {
        quiet,
        instead,
        besideQuiet,
        registered,
        foreignRemoval,
        again,
        silent,
        firstNotified: await pendingNotification(first),
        secondNotified: await pendingNotification(second),
      }
    },
    treatment: () => ({
      quiet: 0,
      instead: EBUSY,
      besideQuiet: [EBUSY, EBUSY],
      registered: 0,
      foreignRemoval: 0,
      again: EBUSY,
      silent: EBUSY,
      firstNotified: NOTIFIED,
      secondNotified: EAGAIN,
    }),
    control: () => ({
      quiet: 0,
      instead: 0,
      besideQuiet: [0, 0],
      registered: 0,
      foreignRemoval: 0,
      again: 0,
      silent: EBUSY,
      firstNotified: EAGAIN,
      secondNotified: NOTIFIED,
    }),
  })

  mqn.comparison('MQN-14', {
    says: 'a registration survives the registrant’s change of IPC namespace, and one may register after it, for a signal or for a message on a netlink socket (SIGEV_THREAD), which also tells that the registration was given up',
    source: ['mq_notify(3)', 'ipc/mqueue.c: do_mq_notify, __do_notify, remove_notification'],
    needs: ['POSIX_MQUEUE', 'mq_notify'],
    since: '2.6.30',
    variants: [
      'unshare after registering',
      'setns after registering',
      'registering after unshare',
      SIGEV_THREAD,
    ],
    variantNeeds: { [SIGEV_THREAD]: ['netlink sockets'] },
    arms: { treatment: 'registered', control: 'not registered' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const queue = await outer.mq_create(fresh.name(), NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      const registrant = await outer.spawn('registrant', [], { keep: [queue] })
      // Senders of other IPC namespaces are MQN-16’s where the notification is a signal.
      const sendersFlags: Flag[] = variant === SIGEV_THREAD ? ['NEWIPC'] : []
      const neighbour = await outer.spawn('neighbour', sendersFlags, { keep: [queue] })
      await registrant.blockSignals([SIGUSR1])
      const socket = variant === SIGEV_THREAD ? await registrant.netlinkSocket() : undefined
      const register = async () => {
        if (arm === 'control') return 'not tried'
        return socket === undefined
          ? await registrant.try.mq_notify(queue, SIGUSR1)
          : await registrant.try.mq_notify_thread(queue, socket, COOKIE)
      }
      // Both come before the sender’s call returns.
      const pending = async () =>
        socket === undefined ? await pendingNotification(registrant) : await registrant.try.read(socket)
      const late = variant === 'registering after unshare'
      const early = late ? undefined : await register()
      if (variant === 'setns after registering') {
        await joinIpc(registrant, await outer.spawn('donor', ['NEWIPC']))
      } else await registrant.unshare(CLONE.NEWIPC)
      const registered = early ?? (await register())
      const others = await neighbour.try.mq_notify(queue, 0)
      if (arm === 'control') await neighbour.mq_notify_remove(queue)
      await neighbour.mq_send(queue, 'notify')
      const notified = await pending()
      // It fires once: the next message, into the queue emptied again, tells nobody.
      await neighbour.mq_receive(queue)
      await neighbour.mq_send(queue, 'again')
      const again = await pending()
      await register()
      // What comes to a message that is there is no news, and leaves the registration as it is.
      await neighbour.mq_send(queue, 'behind')
      const behind = await pending()
      const stillRegistered = await neighbour.try.mq_notify(queue, 0)
      if (arm === 'control') await neighbour.mq_notify_remove(queue)
      await registrant.mq_notify_remove(queue)
      return { registered, others, notified, again, behind, stillRegistered, givenUp: await pending() }
    },
    treatment: (_seen, { variant }) => ({
      registered: 0,
      others: EBUSY,
      notified: variant === SIGEV_THREAD ? `${COOKIE}${WOKEN_UP}` : NOTIFIED,
      again: EAGAIN,
      behind: EAGAIN,
      stillRegistered: EBUSY,
      givenUp: variant === SIGEV_THREAD ? `${COOKIE}${REMOVED}` : EAGAIN,
    }),
    control: () => ({
      others: 0,
      notified: EAGAIN,
      again: EAGAIN,
      behind: EAGAIN,
      stillRegistered: 0,
      givenUp: EAGAIN,
    }),
  })

  mqn.comparison('MQN-15', {
    says: 'the registrant gives its registration up by mq_notify(3) of no event or by closing any descriptor of the queue, from whichever IPC namespace, or by its end; nobody else does, not one of the same pid in another pid namespace',
    source: ['mq_notify(3)', 'ipc/mqueue.c: mqueue_flush_file, do_mq_notify'],
    needs: ['POSIX_MQUEUE', 'mq_notify', 'PID_NS'],
    variants: ['a duplicate', ...Object.keys(OPENED), 'the end of the process', 'no event', ...BY_THREAD],
    flags: 'with NEWIPC',
    arms: { treatment: 'by the registrant', control: 'by other processes' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE)
      const second = await outer.mq_open(name, OPENED[variant] ?? O_RDWR)
      const keep = [queue, second]
      // Each the first process of a pid namespace of its own: one pid means both. Where a thread is to leave, the
      // process stays at home: execve(2), which it takes to have threads, closes the queue, to be opened again.
      const kind: Flag[] = BY_THREAD.includes(variant) ? [] : [...flags, 'NEWPID']
      const registrant = await outer.spawn('registrant', kind, { keep })
      const namesake = await outer.spawn('namesake', [...flags, 'NEWPID'], { keep })
      const other = await outer.spawn('other process', flags, { keep })
      const neighbour = await outer.spawn('neighbour', [], { keep: [queue] })
      const thread = BY_THREAD.includes(variant)
        ? await withThread(registrant, 'registrant’s thread')
        : undefined
      const held = thread ? await thread.mq_open(name, O_RDWR) : queue
      await thread?.unshare(CLONE.NEWIPC)
      // Whichever thread registers, the registrant is the process.
      const byThread: unknown[] = []
      if (thread) {
        byThread.push(await thread.try.mq_notify(held, SIGUSR1), await neighbour.try.mq_notify(queue, 0))
        await registrant.mq_notify_remove(held)
        byThread.push(await neighbour.try.mq_notify(queue, 0))
        await neighbour.mq_notify_remove(queue)
      }
      const registered = await registrant.try.mq_notify(held, SIGUSR1)
      const before = await neighbour.try.mq_notify(queue, 0)
      for (const closer of arm === 'treatment' ? [thread ?? registrant] : [other, namesake])
        if (variant in OPENED) await closer.close(second)
        else if (variant === 'no event') await closer.mq_notify_remove(queue)
        else if (variant === NO_EVENT_ELSEWHERE)
          await closer.mq_notify_remove(arm === 'treatment' ? held : queue)
        else if (variant === 'the end of the process') await closer.exitAndReap()
        else await closer.close(await closer.dup(arm === 'treatment' ? held : queue))
      return { byThread, registered, before, after: await neighbour.try.mq_notify(queue, 0) }
    },
    treatment: (_seen, { variant }) => ({ ...registeredBefore(variant), after: 0 }),
    control: (_seen, { variant }) => ({ ...registeredBefore(variant), after: EBUSY }),
  })

  mqn.comparison('MQN-16', {
    says: 'a notification brings the registrant’s value and says who sent the message as the registrant’s pid and user namespaces name him; it comes whoever he is',
    source: [
      'mq_notify(3)',
      'sigaction(2) SI_MESGQ',
      'ipc/mqueue.c: __do_notify',
      'kernel/signal.c: send_signal_locked',
    ],
    needs: ['POSIX_MQUEUE', 'mq_notify', 'PID_NS', 'USER_NS', 'CAP_SETUID', 'CAP_SYS_ADMIN'],
    variants: Object.keys(SENDERS),
    bugs: [
      {
        id: 'BUG-16',
        fix: 'ipc/mqueue.c: change __do_notify() to bypass check_kill_permission()',
        fixedIn: '5.7, 5.6.13',
        looksLike: { notified: EAGAIN },
      },
    ],
    arms: { treatment: 'in different IPC namespaces', control: 'in one' },
    async experiment(world) {
      const meet = SENDERS[world.variant]
      if (!meet) throw new Error(`unknown variant ${world.variant}`)
      const { registered, sent, notified, pid, uid, again } = await notify(world, meet)
      if (again === undefined) return { registered, sent, notified, pid, uid }
      // Whether si_uid is translated once or twice is the kernel's; it must do one or the other everywhere.
      const other = await notify(world, meet === senderBelow ? senderAbove : senderBelow)
      const twice = !failed(other.notified) && other.notified.uid === other.again
      world.note(`si_uid is translated ${twice ? 'twice' : 'once'}`)
      return { registered, sent, notified, pid, uid: twice ? again : uid }
    },
    treatment: ({ pid, uid }) => ({
      registered: 0,
      sent: 0,
      notified: { ...NOTICE, pid, uid, value: VALUE },
    }),
    control: ({ pid, uid }) => ({ registered: 0, sent: 0, notified: { ...NOTICE, pid, uid, value: VALUE } }),
  })

  mqn.comparison('MQN-17', {
    says: 'a queue’s status line names the registrant by its pid in the reader’s own pid namespace, 0 where it has none, and has the bytes of all messages that are there',
    source: ['mq_overview(7) "Mounting the message queue filesystem"', 'ipc/mqueue.c: mqueue_read_file'],
    needs: ['POSIX_MQUEUE', 'PID_NS'],
    variants: [
      'reader above',
      'reader below',
      'reader apart',
      'reader in the same one',
      ABOUT_TO_CLONE,
      'reader is the registrant',
    ],
    flags: [['NEWPID'], ['NEWIPC', 'NEWPID'], ['NEWIPC']],
    arms: { treatment: 'registered', control: 'nobody is registered' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const queue = await outer.mq_create(fresh.name(), NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      const keep = { keep: [queue] }
      const resident = await outer.spawn('resident', [], keep)
      const inner = await outer.spawn('inner', flags, keep)
      const readers: Record<string, readonly [registrant: Member, reader: Member]> = {
        'reader above': [inner, resident],
        'reader below': [resident, inner],
        'reader apart': [inner, await outer.spawn('sibling', flags, keep)],
        'reader in the same one': [inner, await inner.spawn('neighbour', [], keep)],
        [ABOUT_TO_CLONE]: [resident, await outer.spawn('parent to be', [], keep)],
        'reader is the registrant': [inner, inner],
      }
      const [registrant, reader] = readers[variant] ?? [inner, inner]
      if (variant === ABOUT_TO_CLONE) await reader.unshare(CLONE.NEWPID)
      const number = flags.includes('NEWPID')
        ? { 'reader above': inner.pid, 'reader below': 0, 'reader apart': 0 }[variant]
        : registrant.pid
      const named = number ?? (await registrant.getpid())
      await registrant.blockSignals([SIGUSR1])
      const register = async (signal: number) =>
        arm === 'treatment' ? await registrant.try.mq_notify(queue, signal) : 0
      // One that asks for no signal (SIGEV_NONE) is named as well.
      const quiet = await register(0)
      const quietLine = await statusLine(reader, queue)
      await registrant.mq_notify_remove(queue)
      const registered = await register(SIGUSR1)
      const line = await statusLine(reader, queue)
      // Without a signal again: the one of before is not its own.
      await registrant.mq_notify_remove(queue)
      await register(0)
      const quietAgain = await statusLine(reader, queue)
      await outer.mq_send(queue, 'four')
      const after = await statusLine(reader, queue)
      await outer.mq_send(queue, 'and ten more')
      const withTwo = await statusLine(reader, queue)
      const lengths: unknown[] = []
      for (let left = 2; left > 0; left -= 1) {
        await registrant.mq_receive(queue)
        lengths.push(await statusLine(reader, queue))
      }
      return {
        quiet,
        quietLine,
        registered,
        named,
        line,
        quietAgain,
        after,
        withTwo,
        afterReceiving: lengths,
      }
    },
    treatment: ({ named }) => ({
      quiet: 0,
      quietLine: { qsize: 0, notify: SIGEV_NONE, signo: 0, notifyPid: named },
      registered: 0,
      line: { qsize: 0, notify: 0, signo: SIGUSR1, notifyPid: named },
      quietAgain: { qsize: 0, notify: SIGEV_NONE, signo: 0, notifyPid: named },
      ...LENGTHS,
    }),
    control: () => ({ quietLine: NOBODY, line: NOBODY, quietAgain: NOBODY, ...LENGTHS }),
  })
}

/** What the registrant wants to hear with the notification (sigevent(3type) sigev_value). */
const VALUE = 77
const NOTICE = { signal: SIGUSR1, code: SI_MESGQ }
const NOTIFIED = having(NOTICE)
const NOBODY = { qsize: 0, notify: 0, signo: 0, notifyPid: 0 }
/** The bytes of all messages that are there, as they come and as they go. */
const LENGTHS = {
  after: { ...NOBODY, qsize: 4 },
  withTwo: { ...NOBODY, qsize: 16 },
  afterReceiving: [{ ...NOBODY, qsize: 12 }, NOBODY],
}

/** A process’s registration before it is given up. */
function registeredBefore(variant: string) {
  return { byThread: BY_THREAD.includes(variant) ? [0, EBUSY, 0] : [], registered: 0, before: EBUSY }
}

interface Correspondents {
  registrant: Member
  sender: Member
  /** The sender as the registrant must see it. */
  pid: number
  uid: number
  /**
   * The uid that kernels up to 6.18 at least give where the user namespaces differ, for they translate twice:
   * __do_notify gives the sender's id in the registrant's user namespace, and send_signal_locked takes that
   * number for one of the sender's own and translates it again. The maps tell once, twice and never apart.
   */
  again?: number
}

type Meet = (world: ComparisonWorld, queue: number) => Promise<Correspondents>

/** The registrant is told of a message by the sender. Both hold a descriptor; whether they could open the queue is no matter. */
async function notify(world: ComparisonWorld, meet: Meet) {
  const queue = await world.outer.mq_create(world.fresh.name(), NEW_QUEUE)
  const { registrant, sender, ...expected } = await meet(world, queue)
  await registrant.blockSignals([SIGUSR1])
  const registered = await registrant.try.mq_notify(queue, SIGUSR1, VALUE)
  const sent = await sender.try.mq_send(queue, 'notify')
  return { registered, sent, notified: await pendingNotification(registrant), ...expected }
}

/** The sender's IPC namespace is the registrant's own in the control arm, and never in the other. */
function apartIf(world: ComparisonWorld): readonly Flag[] {
  return world.arm === 'treatment' ? ['NEWIPC'] : []
}

/** The sender is in the user namespace above the registrant’s. */
const senderAbove: Meet = async (world, queue) => {
  const { outer, fresh } = world
  const uid = fresh.uid()
  const map = [
    [SHIFTED, uid, 1],
    [SHIFTED + 1, SHIFTED, 1],
  ] as const
  const registrant = await spawnInUserNamespace(outer, 'registrant', apartIf(world), map, [queue])
  const sender = await outer.spawn('sender', [], { keep: [queue] })
  await sender.becomeUser(uid)
  return { registrant, sender, pid: sender.pid, uid: SHIFTED, again: SHIFTED + 1 }
}

/** The sender is in a user namespace below the registrant’s. */
const senderBelow: Meet = async (world, queue) => {
  const { outer, fresh } = world
  const uid = fresh.uid()
  const other = fresh.uid()
  const map = [
    [SHIFTED, uid, 1],
    [uid, other, 1],
  ] as const
  const registrant = await outer.spawn('registrant', [], { keep: [queue] })
  const sender = await spawnInUserNamespace(outer, 'sender', apartIf(world), map, [queue])
  await sender.becomeUser(SHIFTED)
  return { registrant, sender, pid: sender.pid, uid, again: other }
}

/** Who may send, and how the registrant must see him. */
const SENDERS: Readonly<Record<string, Meet>> = {
  'sender in the same pid namespace': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', [], keep)
    const sender = await world.outer.spawn('sender', apartIf(world), keep)
    return { registrant, sender, pid: sender.pid, uid: 0 }
  },
  'sender is a thread of a process that is elsewhere': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', [], keep)
    const process = await world.outer.spawn('process', [], keep)
    // It is made a program that has threads, and keeps the queue.
    await process.setCloseOnExec(queue, false)
    const sender = await withThread(process, 'sender')
    if (world.arm === 'treatment') await sender.unshare(CLONE.NEWIPC)
    return { registrant, sender, pid: process.pid, uid: 0 }
  },
  'sender in a pid namespace below': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', apartIf(world), keep)
    const sender = await world.outer.spawn('sender', ['NEWPID'], keep)
    return { registrant, sender, pid: sender.pid, uid: 0 }
  },
  'sender in the pid namespace above': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', ['NEWPID', ...apartIf(world)], keep)
    const sender = await world.outer.spawn('sender', [], keep)
    return { registrant, sender, pid: 0, uid: 0 }
  },
  'sender in another pid namespace': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', ['NEWPID', ...apartIf(world)], keep)
    const sender = await world.outer.spawn('sender', ['NEWPID'], keep)
    return { registrant, sender, pid: 0, uid: 0 }
  },
  'sender in the same new pid namespace': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', ['NEWPID'], keep)
    const sender = await registrant.spawn('sender', apartIf(world), keep)
    return { registrant, sender, pid: sender.pid, uid: 0 }
  },
  'sender of another user': async (world, queue) => {
    const keep = { keep: [queue] }
    const registrant = await world.outer.spawn('registrant', [], keep)
    const sender = await world.outer.spawn('sender', apartIf(world), keep)
    const uid = world.fresh.uid()
    await registrant.becomeUser(world.fresh.uid())
    // sigaction(2): si_uid is the real user, whatever he is in effect.
    const effective = world.fresh.uid()
    await sender.setresuid(uid, effective, effective)
    return { registrant, sender, pid: sender.pid, uid }
  },
  'sender that the registrant’s user namespace maps': senderAbove,
  'sender that the registrant’s user namespace does not map': async (world, queue) => {
    const { outer, fresh } = world
    const map = [[SHIFTED, fresh.uid(), 1]] as const
    const registrant = await spawnInUserNamespace(outer, 'registrant', apartIf(world), map, [queue])
    const sender = await outer.spawn('sender', [], { keep: [queue] })
    await sender.becomeUser(fresh.uid())
    return { registrant, sender, pid: sender.pid, uid: (await overflowIds(outer)).uid }
  },
  'sender in a user namespace below': senderBelow,
  'sender in another user namespace': async (world, queue) => {
    const { outer, fresh } = world
    const uid = fresh.uid()
    const other = fresh.uid()
    const registrants = [
      [SHIFTED, uid, 1],
      [SHIFTED + 1, other, 1],
    ] as const
    const senders = [
      [2 * SHIFTED, uid, 1],
      [SHIFTED, other, 1],
    ] as const
    const registrant = await spawnInUserNamespace(outer, 'registrant', apartIf(world), registrants, [queue])
    const sender = await spawnInUserNamespace(outer, 'sender', [], senders, [queue])
    await sender.becomeUser(2 * SHIFTED)
    return { registrant, sender, pid: sender.pid, uid: SHIFTED, again: SHIFTED + 1 }
  },
}
