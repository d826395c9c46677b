/** A queue’s messages and room, whichever IPC namespace they come from: MQN-12, MQN-19. */
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import { NEW_QUEUE, takeByName } from '../../fixtures/posix-queues.ts'
import { type Area, ETIMEDOUT, failed, having, POLLIN, POLLOUT } from '../../fixtures/rules.ts'

/** At the end of its time poll(2) looks once more, and finds what it was never woken for. */
const NO_TIMEOUT = -1

export function addMessages(mqn: Area): void {
  mqn.comparison('MQN-12', {
    says: 'poll(2) and epoll(7) tell of a queue’s messages and room whichever IPC namespace changed it',
    source: ['mq_overview(7) "Polling message queue descriptors"', 'ipc/mqueue.c: mqueue_poll_file'],
    needs: ['POSIX_MQUEUE'],
    since: '2.6.30',
    flags: 'with NEWIPC',
    variants: ['poll', 'epoll'],
    arms: { treatment: 'a message is sent', control: 'none is' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const call = variant as 'poll' | 'epoll'
      const both = POLLIN | POLLOUT
      const queue = await outer.mq_create(fresh.name(), NEW_QUEUE)
      const inner = await outer.spawn('inner', flags, { keep: [queue] })
      const poller = await outer.spawn('inner poller', flags, { keep: [queue] })
      const resident = await outer.spawn('outer poller', [], { keep: [queue] })
      const send = arm === 'treatment'
      const limit = send ? PATIENCE_MS : 50
      const empty = await inner.try[call](queue, both, 0)

      const innerWaits = await poller.block[call](queue, POLLIN, NO_TIMEOUT)
      if (send) await outer.mq_send(queue, 'from outside')
      const innerReady = await innerWaits.within(limit)
      const innerSees = await inner.try[call](queue, both, 0)
      if (send) await outer.try.mq_receive(queue)

      const outerWaits = await resident.block[call](queue, POLLIN, NO_TIMEOUT)
      if (send) await inner.try.mq_send(queue, 'from inside')
      const outerReady = await outerWaits.within(limit)
      const outerSees = await outer.try[call](queue, both, 0)
      const told = { empty, innerReady, innerSees, outerReady, outerSees }
      // Whom nobody woke waits still, and can wait for nothing else.
      if (!send || innerReady === 'blocked' || outerReady === 'blocked') return told

      // Now the queue is full: whoever waits for room sees it when the other side makes some.
      const innerWaitsForRoom = await poller.block[call](queue, POLLOUT, NO_TIMEOUT)
      const blocked = innerWaitsForRoom.state()
      await outer.try.mq_receive(queue)
      const innerRoom = await innerWaitsForRoom.within(limit)
      await inner.mq_send(queue, 'full again')
      const outerWaitsForRoom = await resident.block[call](queue, POLLOUT, NO_TIMEOUT)
      const outerBlocked = outerWaitsForRoom.state()
      await inner.try.mq_receive(queue)
      const outerRoom = await outerWaitsForRoom.within(limit)
      return { ...told, blocked, innerRoom, outerBlocked, outerRoom }
    },
    treatment: () => ({
      empty: POLLOUT,
      innerReady: POLLIN,
      innerSees: POLLIN,
      outerReady: POLLIN,
      outerSees: POLLIN,
      blocked: 'blocked',
      innerRoom: POLLOUT,
      outerBlocked: 'blocked',
      outerRoom: POLLOUT,
    }),
    control: () => ({
      empty: POLLOUT,
      innerReady: 'blocked',
      innerSees: POLLOUT,
      outerReady: 'blocked',
      outerSees: POLLOUT,
    }),
  })

  mqn.comparison('MQN-19', {
    says: 'each message of a queue is received once, the oldest of the highest priority first and with its priority, through whichever descriptor and in whichever IPC namespace',
    source: ['mq_receive(3)', 'ipc/mqueue.c: do_mq_timedreceive'],
    needs: ['POSIX_MQUEUE'],
    flags: 'with NEWIPC',
    arms: { treatment: 'received inside', control: 'not received' },
    async experiment({ outer, arm, flags, fresh }) {
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE, 0o600, { maxmsg: 3, msgsize: 64 })
      const sorted = await outer.mq_create(fresh.name(), NEW_QUEUE, 0o600, { maxmsg: 4, msgsize: 64 })
      const inner = await outer.spawn('inner', flags, { keep: [queue, sorted] })
      const waiters = [
        await inner.spawn('inner receiver', [], { keep: [queue] }),
        await outer.spawn('outer receiver', [], { keep: [queue] }),
      ]
      // The receiver is inside in one arm and outside in the other; so is, the other way round, the sender.
      const [sender, receiver] = arm === 'treatment' ? [outer, inner] : [inner, outer]
      // Above what is there, the same again, between and below: each has another place in the queue.
      await sender.mq_send(sorted, 'low', 3)
      await sender.mq_send(sorted, 'high', 5)
      await sender.mq_send(sorted, 'as high', 5)
      await sender.mq_send(sorted, 'in between', 4)
      const byPriority: unknown[] = []
      for (const { priority } of ONCE.byPriority) {
        const next = await receiver.try.mq_receive_whole(sorted)
        byPriority.push(next)
        // A kernel that has lost the order may have lost messages too, and break when it is asked for them.
        if (failed(next) || next.priority !== priority) break
      }
      await outer.mq_send(queue, 'once')
      const taken = arm === 'treatment' ? await inner.try.mq_receive(queue) : 'not tried'
      const innerCounts = await inner.try.mq_getattr(queue)
      const outerCounts = await outer.try.mq_getattr(queue)
      const left = await takeByName(outer, name)
      const leftInside = await inner.try.mq_receive(queue)
      // Two wait, one on each side; one message wakes the first, the second goes to the other.
      const waits = []
      for (const waiter of waiters) waits.push(await waiter.block.mq_receive_whole(queue, null))
      const [innerWaits, outerWaits] = waits
      await inner.try.mq_send(queue, 'first', 7)
      const first = await innerWaits?.within(PATIENCE_MS)
      const stillWaiting = await outerWaits?.within(0)
      await inner.try.mq_send(queue, 'second', 9)
      const second = await outerWaits?.within(PATIENCE_MS)
      const nothingLeft = await outer.try.mq_receive(queue)
      return {
        byPriority,
        taken,
        innerCounts,
        outerCounts,
        left,
        leftInside,
        first,
        stillWaiting,
        second,
        nothingLeft,
      }
    },
    treatment: () => ({
      ...ONCE,
      taken: 'once',
      innerCounts: having({ curmsgs: 0 }),
      outerCounts: having({ curmsgs: 0 }),
      left: ETIMEDOUT,
    }),
    control: () => ({
      ...ONCE,
      innerCounts: having({ curmsgs: 1 }),
      outerCounts: having({ curmsgs: 1 }),
      left: 'once',
    }),
  })
}

const ONCE = {
  byPriority: [
    { text: 'high', priority: 5 },
    { text: 'as high', priority: 5 },
    { text: 'in between', priority: 4 },
    { text: 'low', priority: 3 },
  ],
  leftInside: ETIMEDOUT,
  first: { text: 'first', priority: 7 },
  stillWaiting: 'blocked',
  second: { text: 'second', priority: 9 },
  nothingLeft: ETIMEDOUT,
}
