import { amounts } from '../fixtures/amounts.ts'
import { twoOfOneIdentifier } from '../fixtures/identifiers.ts'
import { nsfdOf } from '../fixtures/identity.ts'
import { joinIpc } from '../fixtures/leaving.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import { ELSEWHERE, type Elsewhere } from '../fixtures/places.ts'
import {
  area,
  CLONE,
  type ComparisonWorld,
  conformance,
  EIDRM,
  EINVAL,
  failed,
  type Member,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  type Outcome,
  procPid,
} from '../fixtures/rules.ts'
import { watchNamespace } from '../fixtures/sensors.ts'
import { withThread } from '../fixtures/threads.ts'
import { begin, OTHER_LIST_NAMES, WAIT_NAMES, waitOf } from './blk/waits.ts'

const blk = area('blk', 'Blocked operations')
export default blk

/** Each call that waits, in each relation of the two namespaces. */
const WAITS_ELSEWHERE = [
  ...WAIT_NAMES.flatMap((wait) => ELSEWHERE.map((where) => `${wait} / ${where}`)),
  // Those of the other lists once.
  ...OTHER_LIST_NAMES.map((wait) => `${wait} / stranger`),
]

function whereOf({ variant }: { readonly variant: string }): Elsewhere {
  return variant.split(' / ')[1] as Elsewhere
}

/** An object of the call's family here and one there, of one identifier. */
function objectsOf(world: ComparisonWorld) {
  return twoOfOneIdentifier(world, whereOf(world), waitOf(world).family)
}

/** How much a namespace holds; of the initial one nothing, in which others do things too. */
async function heldBy(world: ComparisonWorld, member: Member): Promise<unknown> {
  return whereOf(world) === 'from-initial' ? 'not counted' : amounts(member, waitOf(world).family.kind)
}

/** Messages and bytes in a queue; of a set nothing. */
function queued(status: Outcome<Readonly<Record<string, unknown>>>): unknown {
  return failed(status) ? status : [status.qnum, status.cbytes]
}

blk.comparison('BLK-01', {
  says: 'a task that waits for an object is a member of the IPC namespace and keeps it alive when all others leave; removing the object wakes it with EIDRM',
  source: [
    'ipc_namespaces(7)',
    'msgop(2), semop(2) ERRORS EIDRM',
    'ipc/msg.c: do_msgrcv',
    'ipc/namespace.c: put_ipc_ns',
  ],
  needs: ['SYSVIPC'],
  variants: WAIT_NAMES,
  arms: { treatment: 'one task waits in the namespace', control: 'nobody stays in it' },
  async experiment(world) {
    const { outer, enter, arm, fresh } = world
    const wait = waitOf(world)
    const resident = await enter('resident')
    const id = await wait.family.make(resident, fresh.key())
    const waiter = await outer.spawn('waiter')
    const leaver = await outer.spawn('leaver')
    const exiter = await outer.spawn('exiter')
    const home = await leaver.open('/proc/self/ns/ipc', O_RDONLY)
    const nsfd = await nsfdOf(leaver, resident)
    for (const member of [leaver, exiter, ...(arm === 'treatment' ? [waiter] : [])])
      await joinIpc(member, resident)
    const watch = await watchNamespace(outer, resident)
    const visitorsPath = `/proc/${await procPid(waiter)}/ns/ipc`
    const waiting = arm === 'treatment' ? await begin(wait, resident, waiter, id) : undefined
    // All others leave, each in its own way; a member that leaves wakes nobody.
    await leaver.setns(home, CLONE.NEWIPC)
    await leaver.close(nsfd)
    await exiter.exitAndReap()
    await resident.unshare(CLONE.NEWIPC)
    if (!waiting) return { end: await watch.end(world) }
    // A namespace that nobody stays in is gone by the time it is looked at this one.
    const twin = await enter('twin')
    const twinsWatch = await watchNamespace(outer, twin)
    await twin.exitAndReap()
    const twinsEnd = await twinsWatch.end(world)
    const alive = await watch.look()
    const state = waiting.state()
    const visitor = await outer.spawn('visitor')
    const entrance = await visitor.open(visitorsPath, O_RDONLY)
    await visitor.setns(entrance, CLONE.NEWIPC)
    await visitor.close(entrance)
    const removed = await wait.family.remove(visitor, id)
    const woken = await waiting.within(PATIENCE_MS)
    await visitor.exitAndReap()
    if (woken !== 'blocked') await waiter.unshare(CLONE.NEWIPC)
    return { twinsEnd, alive, state, removed, woken, end: await watch.end(world) }
  },
  treatment: () => ({
    twinsEnd: 'destroyed',
    alive: 'alive',
    state: 'blocked',
    removed: 0,
    woken: EIDRM,
    end: 'destroyed',
  }),
  control: () => ({ end: 'destroyed' }),
})

blk.comparison('BLK-02', {
  says: 'removing an object wakes all who wait for it with EIDRM; removing one of the same identifier in another IPC namespace does not',
  source: ['msgop(2), semop(2) ERRORS EIDRM', 'ipc/msg.c: freeque', 'ipc/sem.c: freeary'],
  needs: ['SYSVIPC'],
  variants: WAITS_ELSEWHERE,
  arms: { treatment: 'removed in another namespace', control: 'removed in the one of the waiting task' },
  async experiment(world) {
    const { arm } = world
    const wait = waitOf(world)
    const { here, there, hereId, thereId } = await objectsOf(world)
    const waiting = [await begin(wait, here, await here.spawn('waiter'), hereId)]
    // One place is enough to show that it is all of them.
    if (whereOf(world) === 'stranger')
      for (const name of ['second waiter', 'third waiter'])
        waiting.push(await wait.call(await here.spawn(name), hereId))
    const removed =
      arm === 'control' ? await wait.family.remove(here, hereId) : await wait.family.remove(there, thereId)
    // Where they still wait, this is what they were waiting for; EIDRM would have come before.
    if (arm === 'treatment')
      for (const _ of waiting)
        if (waiting.some((one) => one.state() === 'blocked')) await wait.feed(here, hereId, 'from here')
    return { removed, woken: await Promise.all(waiting.map((one) => one.within(PATIENCE_MS))) }
  },
  treatment: ({ woken }, world) => ({ removed: 0, woken: woken.map(() => waitOf(world).fed('from here')) }),
  control: ({ woken }) => ({ removed: 0, woken: woken.map(() => EIDRM) }),
})

blk.comparison('BLK-03', {
  says: 'what is sent to or done with an object of the same identifier in another IPC namespace never reaches who waits; IPC_SET of a queue lets a sender go on for whom it makes room',
  source: [
    'ipc_namespaces(7)',
    'msgctl(2)',
    'ipc/msg.c: pipelined_send, msgctl_down',
    'ipc/sem.c: update_queue',
  ],
  needs: ['SYSVIPC'],
  variants: WAITS_ELSEWHERE,
  arms: { treatment: 'done in another namespace', control: 'done in the one of the waiting task' },
  async experiment(world) {
    const { arm } = world
    const wait = waitOf(world)
    const { here, there, hereId, thereId } = await objectsOf(world)
    await wait.prepare(there, thereId)
    const waiter = await here.spawn('waiter')
    const waiting = await begin(wait, here, waiter, hereId)
    const before = await wait.family.inspect(here, hereId)
    const held = await heldBy(world, here)
    const fed = arm === 'control' ? 'not done' : await wait.feed(there, thereId, 'from elsewhere')
    const waiters = await wait.waiters?.(here, hereId)
    const after = await wait.family.inspect(here, hereId)
    await wait.feed(here, hereId, 'from here')
    const woken = await waiting.within(PATIENCE_MS)
    await wait.clear?.(here, hereId)
    // What is handed over to who waits is in the queue no more than before.
    const atLast = {
      queued: queued(await wait.family.inspect(here, hereId)),
      held: await heldBy(world, here),
    }
    return { fed, before, held, waiters: waiters ?? 1, after, woken, atLast }
  },
  treatment: ({ before, held }, world) => ({
    waiters: 1,
    after: before,
    woken: waitOf(world).fed('from here'),
    atLast: { queued: queued(before), held },
  }),
  control: ({ before, held }, world) => ({
    waiters: 1,
    woken: waitOf(world).fed('from here'),
    atLast: { queued: queued(before), held },
  }),
})

blk.comparison('BLK-04', {
  says: 'a thread that waits in an IPC namespace stays there when another thread of its process leaves; whichever of them is abroad cannot reach what is at home by the identifier until it is back',
  source: ['unshare(2)', 'namespaces(7)', 'ipc/msg.c: do_msgrcv'],
  needs: ['SYSVIPC'],
  variants: WAIT_NAMES,
  arms: { treatment: 'the other thread leaves and comes back', control: 'the other thread stays' },
  async experiment(world) {
    const { outer, arm, fresh } = world
    const wait = waitOf(world)
    const process = await outer.spawn('process')
    const thread = await withThread(process, 'thread')
    const key = fresh.key()
    const id = await wait.family.make(process, key)
    // Before it waits the thread itself is abroad for a while, or stays, and tries another object of home.
    const another = await wait.family.make(process, fresh.key())
    await wait.prepare(process, another)
    const harbour = await thread.open('/proc/thread-self/ns/ipc', O_RDONLY)
    if (arm === 'treatment') await thread.unshare(CLONE.NEWIPC)
    const threadFed = await wait.feed(thread, another, 'from the thread')
    if (arm === 'treatment') await thread.setns(harbour, CLONE.NEWIPC)
    const waiting = await begin(wait, process, thread, id)
    if (arm === 'control') {
      const fed = await wait.feed(process, id, 'from home')
      return {
        threadFed: failed(threadFed) ? threadFed : 'done',
        fed,
        woken: await waiting.within(PATIENCE_MS),
      }
    }
    const home = await process.open('/proc/self/ns/ipc', O_RDONLY)
    await process.unshare(CLONE.NEWIPC)
    const fromAbroad = await wait.feed(process, id, 'from abroad')
    // The same with an object of that key and identifier abroad.
    const twin = await wait.family.make(process, key)
    await wait.prepare(process, twin)
    await wait.feed(process, twin, 'from abroad')
    const state = waiting.state()
    await process.setns(home, CLONE.NEWIPC)
    const fed = await wait.feed(process, id, 'from home')
    return {
      sameId: twin === id,
      threadFed,
      fromAbroad,
      state,
      fed,
      woken: await waiting.within(PATIENCE_MS),
    }
  },
  treatment: (_, world) => ({
    sameId: true,
    threadFed: EINVAL,
    fromAbroad: EINVAL,
    state: 'blocked',
    woken: waitOf(world).fed('from home'),
  }),
  control: (_, world) => ({ threadFed: 'done', woken: waitOf(world).fed('from home') }),
})

blk.comparison('BLK-05', {
  says: 'mq_receive on a descriptor waits for the queue itself, whatever IPC namespaces its holders are in, and also when the queue’s own is dead',
  source: ['mq_overview(7)', 'mq_receive(3)', 'ipc/mqueue.c: do_mq_timedreceive'],
  needs: ['POSIX_MQUEUE', 'messages of POSIX queues'],
  since: '2.6.30',
  variants: ['namespace alive', 'namespace dead'],
  arms: { treatment: 'another holder of the queue sends', control: 'the other holder closes it' },
  async experiment(world) {
    const { outer, enter, arm, variant, fresh } = world
    const maker = await enter('maker')
    const queue = await maker.mq_create(fresh.name(), O_RDWR | O_CREAT | O_EXCL)
    const receiver = await maker.spawn('receiver', ['NEWIPC'], { keep: [queue] })
    const sender = await maker.spawn('sender', ['NEWIPC'], { keep: [queue] })
    const waiting = await receiver.block.mq_receive(queue, 50_000)
    let end = 'alive'
    if (variant === 'namespace dead') {
      const watch = await watchNamespace(outer, maker)
      await maker.close(queue)
      await maker.unshare(CLONE.NEWIPC)
      end = await watch.end(world)
    }
    const state = waiting.state()
    const done = arm === 'treatment' ? await sender.try.mq_send(queue, 'late') : await sender.try.close(queue)
    // Descriptors of a queue of the same name elsewhere do not matter either.
    const woken = await waiting.within(arm === 'treatment' ? PATIENCE_MS : 50)
    if (arm === 'control') return { end, state, done, woken }
    const again = await sender.try.mq_send(queue, 'more')
    return { end, state, done, woken, again, received: await receiver.try.mq_receive(queue) }
  },
  treatment: (_, { variant }) => ({
    end: variant === 'namespace dead' ? 'destroyed' : 'alive',
    state: 'blocked',
    done: 0,
    woken: 'late',
    again: 0,
    received: 'more',
  }),
  control: (_, { variant }) => ({
    end: variant === 'namespace dead' ? 'destroyed' : 'alive',
    state: 'blocked',
    done: 0,
    woken: 'blocked',
  }),
})

await conformance(blk)
