import { nsfdOf } from '../fixtures/identity.ts'
import { withInitialSysctl } from '../fixtures/initial-sysctls.ts'
import { joinIpc } from '../fixtures/leaving.ts'
import { furnish, inspectThrough, seeTwinDie } from '../fixtures/lifetime.ts'
import { mapFile } from '../fixtures/mappings.ts'
import {
  attachRemoved,
  drainQueue,
  fillQueue,
  makeLarge,
  memoryGauge,
  overfillQueue,
} from '../fixtures/memory.ts'
import {
  area,
  CLONE,
  type ComparisonWorld,
  conformance,
  EACCES,
  ENOENT,
  ESTALE,
  failed,
  IPC_CREAT,
  IPC_PRIVATE,
  type Member,
  MNT_DETACH,
  makePrivate,
  NS_GET_ID,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
} from '../fixtures/rules.ts'
import { lockPurse, queuePurse, slotBooth, watchNamespace } from '../fixtures/sensors.ts'

const obs = area('obs', 'Observing destruction from outside')
export default obs

const AT_THE_END = 'at the namespace’s end'
const BEFORE_THE_END = 'of messages, before it'

obs.comparison('OBS-01', {
  says: 'memory of all segments, of messages and of semaphores is free again after their namespace’s end, that of a removed segment after the last detach, from another namespace, too, and that of a message already when it was received or refused, as /proc/meminfo shows',
  source: [
    'proc_meminfo(5)',
    'ipc/namespace.c: free_ipc_ns',
    'ipc/shm.c: shm_destroy',
    'ipc/msg.c: do_msgsnd, do_msgrcv',
  ],
  needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
  since: '2.6.32',
  arms: {
    treatment: 'the namespace ends, or the messages are received',
    control: 'another member is left, and the messages',
  },
  variants: [AT_THE_END, BEFORE_THE_END],
  experiment: (world) =>
    // One measurement of the machine's memory at a time. What others do meanwhile may hide a fall or feign
    // one, so what was to be seen may be seen in any of some rounds.
    withInitialSysctl('meminfo', async () => {
      const { outer, arm, variant } = world
      const wanted = arm === 'treatment' ? 'fell' : 'stays'
      if (variant === BEFORE_THE_END) {
        let seen = await afterReceiving(world)
        for (let round = 1; round < 4 && seen.messages !== wanted; round += 1)
          seen = await afterReceiving(world)
        return seen
      }
      const seen = { detached: '', segments: '', messagesAndSets: '' }
      for (let round = 0; round < 4; round += 1) {
        const member = await outer.spawn('member', ['NEWIPC'])
        const another = await member.spawn('another', [], { outlive: true })
        const memory = await attachRemoved(another)
        const gaugeOfRemoved = await memoryGauge(outer, world)
        // Who is elsewhere by then is the last to have it attached.
        if (arm === 'treatment') {
          await another.unshare(CLONE.NEWIPC)
          await another.shmdt(memory)
        }
        const { segments: detached } = await world.eventually(
          () => gaugeOfRemoved.look(),
          (now) => arm === 'control' || now.segments === 'fell',
          3000,
        )
        if (seen.detached !== wanted) seen.detached = detached
        if (arm === 'control') await another.shmdt(memory)
        await makeLarge(member)
        const gauge = await memoryGauge(outer, world)
        await member.killAndReap()
        if (arm === 'control') await seeTwinDie(world)
        const now = arm === 'treatment' ? await gauge.fall() : await gauge.look()
        if (seen.segments !== wanted) seen.segments = now.segments
        if (seen.messagesAndSets !== wanted) seen.messagesAndSets = now.messagesAndSets
        if (arm === 'control') await another.unshare(CLONE.NEWIPC)
        if (Object.values(seen).every((each) => each === wanted)) break
      }
      return seen
    }),
  treatment: (_, { variant }) =>
    variant === BEFORE_THE_END
      ? { refused: true, messages: 'fell' }
      : { detached: 'fell', segments: 'fell', messagesAndSets: 'fell' },
  control: (_, { variant }) =>
    variant === BEFORE_THE_END
      ? { refused: true, messages: 'stays' }
      : { detached: 'stays', segments: 'stays', messagesAndSets: 'stays' },
})

/** A full queue, to which as much again is sent in vain; in the treatment arm all that it holds is received. */
async function afterReceiving({
  outer,
  arm,
  eventually,
}: ComparisonWorld): Promise<{ refused: boolean; messages: string }> {
  const member = await outer.spawn('member', ['NEWIPC'])
  const queue = await fillQueue(member)
  const gauge = await memoryGauge(outer, { eventually })
  const refused = await overfillQueue(member, queue)
  if (arm === 'treatment') await drainQueue(member, queue)
  const { messages } = arm === 'treatment' ? await gauge.fall(['messages']) : await gauge.look()
  await member.killAndReap()
  return { refused, messages }
}

obs.comparison('OBS-02', {
  says: 'a namespace is dead first and its objects are freed then: nothing is freed while it can still be found',
  source: ['ipc/namespace.c: put_ipc_ns, free_ipc'],
  needs: ['SYSVIPC', 'POSIX_MQUEUE', 'CAP_SETUID'],
  arms: { treatment: 'the last member goes', control: 'another member is left' },
  async experiment(world) {
    const { outer, arm, fresh, eventually } = world
    const purse = await lockPurse(outer, fresh.uid())
    const member = await outer.spawn('member', ['NEWIPC'])
    const another = await member.spawn('another', [], { outlive: true })
    const watch = await watchNamespace(outer, member)
    await purse.charge(member)
    const before = [await watch.look('sysctl'), await purse.look()]
    if (arm === 'treatment') await another.unshare(CLONE.NEWIPC)
    await member.killAndReap()
    if (arm === 'control') {
      const twin = await watch.seeTwinDie(world)
      return { before, twin, after: [await watch.look('sysctl'), await purse.look()] }
    }
    // Its charge first: had the namespace been found after that, it would have outlived its objects.
    let freedWhileAlive = false
    const after = await eventually(
      async () => {
        const charge = await purse.look()
        const namespace = await watch.look('sysctl')
        if (charge === 'returned' && namespace === 'alive') freedWhileAlive = true
        return [namespace, charge]
      },
      ([namespace, charge]) => namespace === 'destroyed' && charge === 'returned',
    )
    return { before, freedWhileAlive, after }
  },
  treatment: () => ({
    before: ['alive', 'charged'],
    freedWhileAlive: false,
    after: ['destroyed', 'returned'],
  }),
  control: () => ({ before: ['alive', 'charged'], twin: 'destroyed', after: ['alive', 'charged'] }),
})

obs.comparison('OBS-03', {
  says: 'the slot of max_ipc_namespaces is taken while the namespace lives, held or not, and free again after its end',
  source: ['namespaces(7) /proc/sys/user', 'ipc/namespace.c: inc_ipc_namespaces, free_ipc_ns'],
  needs: ['SYSVIPC', 'USER_NS', 'PID_NS', 'UCOUNT_SYSCTL'],
  since: '4.9',
  arms: { treatment: 'nothing holds it', control: 'an nsfd holds it' },
  variants: ['SIGKILL', 'exit', 'unshare'],
  async experiment(world) {
    const { outer, arm, variant } = world
    const booth = await slotBooth(outer, { ipc: variant === 'unshare' ? 2 : 1 })
    const member = await booth.keeper.spawn('member', ['NEWIPC'])
    const holder = await outer.spawn('holder')
    const nsfd = await nsfdOf(holder, member)
    if (arm === 'treatment') await holder.close(nsfd)
    // Leaving takes a second slot for where it goes, and that one stays.
    if (variant === 'unshare') await member.unshare(CLONE.NEWIPC)
    else if (variant === 'exit') await member.exitAndReap()
    else await member.killAndReap()
    const twin = await slotBooth(outer)
    const other = await twin.keeper.spawn('twin', ['NEWIPC'])
    const alive = await twin.ipcSlot()
    await other.killAndReap()
    const twinSlot = await twin.ipcSlotEnd(world)
    if (arm === 'treatment') return { alive, twinSlot, slot: await booth.ipcSlotEnd(world) }
    const slot = await booth.ipcSlot()
    await holder.close(nsfd)
    return { alive, twinSlot, slot, released: await booth.ipcSlotEnd(world) }
  },
  treatment: () => ({ alive: 'taken', twinSlot: 'free', slot: 'free' }),
  control: () => ({ alive: 'taken', twinSlot: 'free', slot: 'taken', released: 'free' }),
})

obs.comparison('OBS-04', {
  says: 'the RLIMIT_MSGQUEUE bytes of a queue, empty or not, come back with its namespace’s end, unless a descriptor is open: then when that is closed',
  source: ['getrlimit(2) RLIMIT_MSGQUEUE', 'ipc/mqueue.c: mqueue_evict_inode'],
  needs: ['POSIX_MQUEUE', 'CAP_SETUID', 'CAP_DAC_OVERRIDE'],
  since: '2.6.30',
  arms: { treatment: 'no descriptor is open', control: 'one is open elsewhere' },
  variants: ['an empty queue', 'a queue with a message'],
  async experiment(world) {
    const { outer, arm, variant, fresh } = world
    const message = variant === 'a queue with a message' ? 'never received' : undefined
    const uid = fresh.uid()
    const purse = await queuePurse(outer, uid)
    const twinPurse = await queuePurse(outer, fresh.uid())
    const member = await outer.spawn('member', ['NEWIPC'])
    const watch = await watchNamespace(outer, member)
    await purse.charge(member, message)
    const holder = await member.spawn('holder', [], { outlive: true })
    const queue = arm === 'control' ? await holder.mq_open('/charged', O_RDWR) : undefined
    await holder.unshare(CLONE.NEWIPC)
    const before = await purse.look()
    await member.killAndReap()
    const twin = await outer.spawn('twin', ['NEWIPC'])
    await twinPurse.charge(twin)
    await twin.killAndReap()
    const twinCharge = await twinPurse.end(world)
    const namespace = await watch.end(world)
    // Its open mqueue directory keeps the queues, though not the namespace.
    await watch.watcher.killAndReap()
    if (queue === undefined) return { before, twinCharge, namespace, charge: await purse.end(world) }
    const charge = await purse.look()
    await holder.close(queue)
    return { before, twinCharge, namespace, charge, closed: await purse.end(world) }
  },
  treatment: () => ({
    before: 'charged',
    twinCharge: 'returned',
    namespace: 'destroyed',
    charge: 'returned',
  }),
  control: () => ({
    before: 'charged',
    twinCharge: 'returned',
    namespace: 'destroyed',
    charge: 'charged',
    closed: 'returned',
  }),
})

obs.comparison('OBS-05', {
  says: 'the RLIMIT_MEMLOCK bytes of a locked segment come back with its namespace’s end',
  source: ['getrlimit(2) RLIMIT_MEMLOCK', 'ipc/shm.c: shm_destroy'],
  needs: ['SYSVIPC', 'CAP_SETUID'],
  arms: { treatment: 'nothing holds the namespace', control: 'an nsfd holds it' },
  async experiment(world) {
    const { outer, arm, fresh } = world
    const purse = await lockPurse(outer, fresh.uid())
    const twinPurse = await lockPurse(outer, fresh.uid())
    const member = await outer.spawn('member', ['NEWIPC'])
    await purse.charge(member)
    const holder = await outer.spawn('holder')
    const nsfd = await nsfdOf(holder, member)
    if (arm === 'treatment') await holder.close(nsfd)
    const before = await purse.look()
    await member.killAndReap()
    const twin = await outer.spawn('twin', ['NEWIPC'])
    await twinPurse.charge(twin)
    await twin.killAndReap()
    const twinCharge = await twinPurse.end(world)
    if (arm === 'treatment') return { before, twinCharge, charge: await purse.end(world) }
    const charge = await purse.look()
    await holder.close(nsfd)
    return { before, twinCharge, charge, released: await purse.end(world) }
  },
  treatment: () => ({ before: 'charged', twinCharge: 'returned', charge: 'returned' }),
  control: () => ({ before: 'charged', twinCharge: 'returned', charge: 'charged', released: 'returned' }),
})

obs.comparison('OBS-06', {
  says: 'the file handle of a dead IPC namespace is ESTALE; that of a living one opens that very namespace',
  source: ['open_by_handle_at(2)', 'fs/nsfs.c: nsfs_fh_to_dentry'],
  needs: ['SYSVIPC', 'POSIX_MQUEUE', 'namespace handles'],
  since: '6.18',
  arms: { treatment: 'dead', control: 'alive' },
  flags: 'with NEWIPC',
  async experiment(world) {
    const { outer, enter, arm, fresh, eventually, note } = world
    const member = await enter('member')
    const furniture = await furnish(member, fresh)
    const opener = await outer.spawn('opener')
    const nsfd = await nsfdOf(opener, member)
    const handle = await opener.name_to_handle_at(nsfd)
    const { ino } = await opener.fstat(nsfd)
    await opener.close(nsfd)
    const any = await opener.open('/proc/self/ns/ipc', O_RDONLY)
    const reopen = async (): Promise<unknown> => {
      const opened = await opener.try.open_by_handle_at(any, handle)
      if (!failed(opened)) await opener.close(opened)
      return failed(opened) ? opened : 'opened'
    }
    const before = await reopen()
    if (arm === 'treatment') {
      await member.killAndReap()
      const after = await eventually(reopen, (seen) => seen !== 'opened')
      if (before === ESTALE) note('handles may not be opened here at all')
      return { before, after }
    }
    const opened = await opener.try.open_by_handle_at(any, handle)
    if (failed(opened)) {
      note('handles may not be opened here at all')
      return { before, after: opened }
    }
    return {
      before,
      after: await reopen(),
      same: (await opener.fstat(opened)).ino === ino,
      objects: await inspectThrough(opener, opened, furniture),
    }
  },
  // Outside the initial pid namespace, or without the privilege, a kernel may refuse by ESTALE too.
  treatment: ({ before }) => (before === ESTALE ? { after: ESTALE } : { before: 'opened', after: ESTALE }),
  control: ({ before }) =>
    before === ESTALE
      ? { after: ESTALE }
      : { before: 'opened', after: 'opened', same: true, objects: 'intact' },
})

obs.comparison('OBS-07', {
  says: 'an inode number may come again with a later IPC namespace, an NS_GET_ID never does',
  source: ['ioctl_nsfs(2)', 'fs/nsfs.c', 'kernel/nscommon.c'],
  needs: ['NS_GET_ID'],
  since: '6.18',
  arms: { treatment: 'one namespace after another', control: 'one namespace, looked at again' },
  async experiment({ outer, arm, note }) {
    const count = 8
    const looker = await outer.spawn('looker')
    const ids = new Set<string>()
    const inodes = new Set<number>()
    const lasting = await outer.spawn('lasting', ['NEWIPC'])
    for (let turn = 0; turn < count; turn += 1) {
      const member = arm === 'treatment' ? await outer.spawn('member', ['NEWIPC']) : lasting
      const nsfd = await nsfdOf(looker, member)
      ids.add(await looker.ioctl64(nsfd, NS_GET_ID))
      inodes.add((await looker.fstat(nsfd)).ino)
      await looker.close(nsfd)
      if (arm === 'treatment') await member.killAndReap()
    }
    if (arm === 'treatment')
      note(inodes.size < count ? 'an inode number came again' : 'no inode number came again')
    return { ids: ids.size, inodes: inodes.size }
  },
  treatment: () => ({ ids: 8 }),
  control: () => ({ ids: 1, inodes: 1 }),
})

const SYSCTLS = [
  'kernel/msgmax',
  'kernel/sem',
  'kernel/shmmax',
  'kernel/shm_rmid_forced',
  'fs/mqueue/queues_max',
]

obs.comparison('OBS-08', {
  says: 'of a dead IPC namespace an open sysctl file gives ENOENT, and O_CREAT through its mqueue mount EACCES',
  source: ['fs/proc/proc_sysctl.c: grab_header', 'ipc/mqueue.c: mqueue_create_attr'],
  needs: ['SYSVIPC', 'POSIX_MQUEUE', 'SYSVIPC_SYSCTL', 'MQUEUE_SYSCTL'],
  since: '5.19',
  arms: { treatment: 'dead', control: 'alive' },
  flags: 'with NEWIPC',
  async experiment(world) {
    const { outer, enter, arm, eventually, note } = world
    const member = await enter('member')
    const watcher = await outer.spawn('watcher', ['NEWNS'])
    await makePrivate(watcher)
    await joinIpc(watcher, member)
    const files: number[] = []
    for (const file of SYSCTLS) files.push(await watcher.open(`/proc/sys/${file}`, O_RDONLY))
    await watcher.mount('mqueue', '/dev', 'mqueue')
    const root = await watcher.open('/dev', O_RDONLY)
    await watcher.umount('/dev', MNT_DETACH)
    await watcher.unshare(CLONE.NEWIPC)
    await watcher.writeFile('/proc/sys/kernel/msgmax', '7654')
    const boundToReader = (await readAgain(watcher, files[0] ?? -1)) === '7654\n'
    if (boundToReader) note('a sysctl descriptor shows the namespace of its reader (before 5.19)')
    if (arm === 'treatment') await member.killAndReap()
    const sysctls = async (): Promise<unknown[]> => {
      const seen: unknown[] = []
      for (const file of files) {
        const text = await readAgain(watcher, file)
        seen.push(failed(text) ? text : 'read')
      }
      return seen
    }
    const create = async (): Promise<unknown> => {
      const path = `/proc/self/fd/${root}/made`
      const made = await watcher.try.open(path, O_RDWR | O_CREAT | O_EXCL)
      if (failed(made)) return made
      await watcher.close(made)
      await watcher.unlink(path)
      return 'made'
    }
    const dead = (seen: unknown): boolean => arm === 'control' || seen === EACCES
    const made = await eventually(create, dead)
    const read = await eventually(
      sysctls,
      (seen) => arm === 'control' || boundToReader || seen.every((one) => one === ENOENT),
    )
    return { boundToReader, made, read }
  },
  treatment: ({ boundToReader }) => ({
    made: EACCES,
    read: SYSCTLS.map(() => (boundToReader ? 'read' : ENOENT)),
  }),
  control: () => ({ made: 'made', read: SYSCTLS.map(() => 'read') }),
})

async function readAgain(member: Member, file: number): ReturnType<Member['try']['read']> {
  await member.lseek(file, 0)
  return member.try.read(file)
}

obs.noRule('OBS-09', {
  says: 'slabinfo and lsns are no sensors of an IPC namespace’s end',
  reason: 'advice to observers: it promises nothing about the kernel that an experiment could find broken',
})

obs.comparison('OBS-10', {
  says: 'memory that a queue descriptor or a map_files descriptor keeps is not the namespace being alive',
  source: ['ipc/mqueue.c: mqueue_evict_inode', 'proc_pid_map_files(5)'],
  needs: ['SYSVIPC', 'POSIX_MQUEUE', 'USER_NS', 'PID_NS', 'UCOUNT_SYSCTL', 'map_files'],
  arms: { treatment: 'only memory is held', control: 'the namespace is held' },
  variants: ['queue descriptor', 'map_files descriptor'],
  async experiment(world) {
    const { outer, arm, variant } = world
    const booth = await slotBooth(outer)
    const member = await booth.keeper.spawn('member', ['NEWIPC'])
    const watch = await watchNamespace(outer, member)
    const holder = await outer.spawn('holder')
    const nsfd = await nsfdOf(holder, member)
    let content: () => Promise<unknown>
    if (variant === 'queue descriptor') {
      await holder.setns(nsfd, CLONE.NEWIPC)
      const queue = await holder.mq_create('/held', O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK)
      await holder.mq_send(queue, 'kept')
      // Back: a namespace of its own would not be the booth’s, but a member of it would be.
      await holder.unshare(CLONE.NEWIPC)
      content = () => holder.try.mq_receive(queue)
    } else {
      const segment = await member.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600)
      const memory = await member.shmat(segment)
      await member.writeMemory(memory, 'kept')
      const file = await holder.open(await mapFile(member, memory), O_RDWR)
      content = async () => {
        const window = await holder.try.mmapShared(file, 4096)
        return failed(window) ? window : holder.try.peek(window, 16)
      }
    }
    if (arm === 'treatment') await holder.close(nsfd)
    await member.killAndReap()
    const twin = await watch.seeTwinDie(world)
    const namespace = arm === 'treatment' ? await watch.end(world) : await watch.look()
    const slot = arm === 'treatment' ? await booth.ipcSlotEnd(world) : await booth.ipcSlot()
    return { twin, namespace, slot, content: await content() }
  },
  treatment: () => ({ twin: 'destroyed', namespace: 'destroyed', slot: 'free', content: 'kept' }),
  control: () => ({ twin: 'destroyed', namespace: 'alive', slot: 'taken', content: 'kept' }),
})

await conformance(obs)
