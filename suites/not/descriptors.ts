/** What two processes share by descriptors, paths and memory, whatever their IPC namespaces. */

import { connected, withDirectory } from '../../fixtures/meeting.ts'
import { ok } from '../../fixtures/outcomes.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  type Area,
  type ComparisonWorld,
  EAGAIN,
  ECONNREFUSED,
  EINVAL,
  ENOENT,
  ENOSYS,
  failed,
  type Member,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  POLLIN,
  SIGIO,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'

/** Each by its call, on a file of its own: F_SETLK, F_OFD_SETLK and flock(2). */
const LOCKS = ['lockFile', 'lockOpenFile', 'flock'] as const

export function addDescriptorRules(not: Area): void {
  not.visibility('NOT-01', {
    says: 'pipes and FIFOs connect processes of different IPC namespaces, and tell a reader who asked for SIGIO',
    source: ['ipc_namespaces(7) (what it isolates)', 'pipe(7)', 'fifo(7)', 'fcntl(2) F_SETOWN'],
    experiment: (world) =>
      withDirectory(async (directory) => {
        const writer = await world.actor.spawn('writer')
        const reader = await world.observer.spawn('reader')
        const fifo = `${directory}/fifo`
        await writer.mkfifo(fifo)
        const input = await reader.try.open(fifo, O_RDONLY | O_NONBLOCK)
        const output = await writer.open(fifo, O_RDWR)
        await reader.blockSignals([SIGIO])
        if (!failed(input)) await reader.signalWhenReady(input, await reader.getpid())
        const before = failed(input) ? input : await reader.poll(input, POLLIN, 0)
        const silent = await reader.try.sigtimedwait([SIGIO], 0)
        await writer.write(output, 'by FIFO')
        const told = await reader.try.sigtimedwait([SIGIO], 5000)
        const byFifo = failed(input) ? input : await reader.try.read(input)
        // A pipe, handed over.
        const { sender, receiver } = await connected(writer, reader, `${directory}/socket`)
        const [pipeReader, pipeWriter] = await writer.pipe()
        await writer.sendDescriptor(sender, pipeReader)
        const pipe = await reader.receiveDescriptor(receiver)
        const pipeBefore = await reader.poll(pipe, POLLIN, 0)
        await writer.write(pipeWriter, 'by pipe')
        const byPipe = await reader.try.read(pipe)
        return { before, silent, told: failed(told) ? told : told.signal, byFifo, pipeBefore, byPipe }
      }),
    shared: () => PIPES,
    isolated: () => PIPES,
  })

  not.visibility('NOT-02', {
    says: 'UNIX sockets connect processes of different IPC namespaces, and tell each of the other (SO_PEERCRED); abstract names belong to the network namespace',
    source: ['unix(7)', 'network_namespaces(7)', 'ipc_namespaces(7) (what it isolates)'],
    needs: ['abstract sockets'],
    experiment: (world) =>
      withDirectory(async (directory) => {
        const server = await world.actor.spawn('server')
        const client = await world.observer.spawn('client')
        const path = `${directory}/socket`
        const listening = await server.listenUnix(path)
        const byPath = await client.try.connectUnix(path)
        let heard: unknown
        let peers: unknown
        if (!failed(byPath)) {
          const connection = await server.accept(listening)
          await client.write(byPath, 'by path')
          heard = await server.read(connection)
          peers = [await client.try.peerPid(byPath), await server.try.peerPid(connection)]
        }
        const abstract = `@${world.fresh.name().slice(1)}`
        const nobody = ok(await client.try.connectUnix(abstract))
        await server.listenUnix(abstract)
        const byName = ok(await client.try.connectUnix(abstract))
        const [one, other] = await server.socketpair()
        const { sender, receiver } = await connected(server, client, `${directory}/other`)
        await server.sendDescriptor(sender, other)
        const pair = await client.receiveDescriptor(receiver)
        await client.write(pair, 'by pair')
        const byPair = await server.read(one)
        // The kernel finds the socket of a datagram in another place than that of a connection.
        const otherTypes: Record<string, unknown> = {}
        for (const type of OTHER_TYPES)
          otherTypes[type] = {
            byPath: await meeting(server, client, `${directory}/${type}`, type),
            byName: await meeting(server, client, `@${world.fresh.name().slice(1)}`, type),
          }
        const pids = [await server.getpid(), await client.getpid()]
        return { byPath: ok(byPath), heard, pids, peers, nobody, byName, byPair, ...otherTypes }
      }),
    shared: ({ pids }, { relation }) => ({ ...sockets(relation.net === 'same'), ...peersOf(relation, pids) }),
    isolated: ({ pids }, { relation }) => ({
      ...sockets(relation.net === 'same'),
      ...peersOf(relation, pids),
    }),
  })

  not.visibility('NOT-06', {
    says: 'descriptors work on in any IPC namespace, for who made them and for who got them: memfd, eventfd',
    source: ['memfd_create(2)', 'eventfd(2)', 'ipc_namespaces(7) (what it isolates)'],
    experiment: (world) =>
      withDirectory(async (directory) => {
        const giver = await world.actor.spawn('giver')
        const taker = await world.observer.spawn('taker')
        const { sender, receiver } = await connected(giver, taker, `${directory}/socket`)
        const hand = async (descriptor: number): Promise<number> => {
          await giver.sendDescriptor(sender, descriptor)
          return taker.receiveDescriptor(receiver)
        }
        const memory = await giver.memfd_create('ipcns')
        const takersMemory = await hand(memory)
        const atFirst = await taker.try.read(takersMemory)
        await giver.write(memory, 'in memory')
        await taker.lseek(takersMemory, 0)
        const written = await taker.try.read(takersMemory)
        const event = await giver.eventfd(0)
        const takersEvent = await hand(event)
        const silent = await taker.poll(takersEvent, POLLIN, 0)
        await giver.write(event, '\u0005\0\0\0\0\0\0\0')
        const signalled = await taker.poll(takersEvent, POLLIN, 0)
        const count = await taker.try.read(takersEvent, 8)
        // And back: what was written by the one who did not make it.
        await taker.write(takersMemory, ', and more')
        await giver.lseek(memory, 0)
        const writtenBack = await giver.try.read(memory)
        const silentAgain = await giver.poll(event, POLLIN, 0)
        await taker.write(takersEvent, '\u0003\0\0\0\0\0\0\0')
        const signalledBack = await giver.poll(event, POLLIN, 0)
        const countBack = signalledBack === POLLIN ? await giver.try.read(event, 8) : 'not signalled'
        return {
          atFirst,
          written,
          silent,
          signalled,
          count,
          writtenBack,
          silentAgain,
          signalledBack,
          countBack,
        }
      }),
    shared: () => DESCRIPTORS,
    isolated: () => DESCRIPTORS,
  })

  not.comparison('NOT-07', {
    says: 'shared anonymous memory and futexes in it work across IPC namespaces',
    source: ['mmap(2) MAP_SHARED', 'futex(2)', 'ipc_namespaces(7) (what it isolates)'],
    flags: 'with NEWIPC',
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'one mapping, inherited', control: 'a mapping of each process’s own' },
    async experiment(world) {
      const { outer, enter, arm, flags } = world
      const owner = await outer.spawn('owner')
      const address = await owner.mmapShared(-1, 4096)
      await owner.writeWord(address, 1)
      const heir = await enter('heir', { from: owner })
      const place = arm === 'treatment' ? address : await heir.mmapShared(-1, 4096)
      if (arm === 'control') await heir.writeWord(place, 1)
      await owner.writeWord(address, 7)
      const seen = await heir.readWord(place)
      // Other words of the same memory are mutexes with priority inheritance: such a word holds its owner's tid,
      // which is nobody's in another pid namespace.
      const mutexes = flags.includes('NEWPID')
        ? NOT_TRIED
        : await inheritingMutexes(world, owner, heir, address, place)
      const waiting = await heir.block.futexWait(place, seen, 50_000)
      const woken = await owner.futexWake(address, 1)
      const wait = await waiting.within(arm === 'treatment' ? PATIENCE_MS : 50)
      return { seen, woken, wait, mutexes }
    },
    treatment: ({ mutexes }) => ({
      seen: 7,
      woken: 1,
      wait: 0,
      mutexes: mutexes === NOT_TRIED ? NOT_TRIED : { tried: EAGAIN, waited: 'blocked', given: 0, got: 0 },
    }),
    control: ({ mutexes }) => ({
      seen: 1,
      woken: 0,
      wait: 'blocked',
      mutexes: mutexes === NOT_TRIED ? NOT_TRIED : { tried: 0, given: 0, got: 0 },
    }),
  })

  not.visibility('NOT-08', {
    says: 'file locks, those of fcntl(2), of a process or of an open file, and of flock(2), hold against processes of every IPC namespace, which are told of them',
    source: ['fcntl(2) F_SETLK, F_GETLK, F_OFD_SETLK', 'flock(2)', 'ipc_namespaces(7) (what it isolates)'],
    experiment: (world) =>
      withDirectory(async (directory) => {
        const holder = await world.actor.spawn('holder')
        const other = await world.observer.spawn('other')
        const locks: Record<string, unknown> = {}
        for (const lock of LOCKS) {
          const held = await holder.open(`${directory}/${lock}`, O_RDWR | O_CREAT | O_EXCL)
          const taken = await holder.try[lock](held)
          const own = await other.open(`${directory}/${lock}`, O_RDWR)
          const refused = await other.try[lock](own)
          // Whoever asks is told of it too, of the lock of a process as an example.
          const asks = lock === 'lockFile'
          if (asks) locks.toldOf = await other.try.isLocked(own)
          await holder.close(held)
          if (asks) locks.toldAfterwards = await other.try.isLocked(own)
          locks[lock] = [taken, refused, await other.try[lock](own)]
        }
        return locks
      }),
    shared: heldAgainst,
    isolated: heldAgainst,
  })

  not.visibility('NOT-11', {
    says: 'files, TCP and the cgroup are as they were in a new IPC namespace',
    source: ['ipc_namespaces(7) (what it isolates)', 'network_namespaces(7)', 'cgroup_namespaces(7)'],
    needs: ['INET'],
    experiment: (world) =>
      withDirectory(async (directory) => {
        const server = await world.actor.spawn('server')
        const client = await world.observer.spawn('client')
        const file = await server.open(`${directory}/file`, O_RDWR | O_CREAT | O_EXCL)
        await server.write(file, 'in a file')
        const read = await client.try.readFile(`${directory}/file`)
        const listening = await server.try.listenInet()
        // In a new network namespace even its own loopback device is down.
        const byTcp = failed(listening) ? listening : ok(await client.try.connectInet(listening.port))
        const cgroups = [
          await server.try.readFile('/proc/self/cgroup'),
          await client.try.readFile('/proc/self/cgroup'),
        ]
        return { read, byTcp, sameCgroup: String(cgroups[0]) === String(cgroups[1]) }
      }),
    shared: (_, world) => surroundings(world),
    isolated: (_, world) => surroundings(world),
  })
}

const PIPES = {
  before: 0,
  silent: EAGAIN,
  told: SIGIO,
  byFifo: 'by FIFO',
  pipeBefore: 0,
  byPipe: 'by pipe',
}

const NOT_TRIED = 'not tried'

/** Both sides lock two mutexes, `owner` first: the other one only tries the first and waits for the second. */
async function inheritingMutexes(
  { arm, note }: ComparisonWorld,
  owner: Member,
  heir: Member,
  owners: number,
  heirs: number,
): Promise<unknown> {
  const [first, second] = [64, 128]
  const locked = await owner.try.futexLockPi(owners + first)
  if (locked === ENOSYS) {
    note('futexes have no priority inheritance (ENOSYS)')
    return NOT_TRIED
  }
  await owner.futexLockPi(owners + second)
  const tried = await heir.try.futexTrylockPi(heirs + first)
  const waiting = await heir.block.futexLockPi(heirs + second)
  // Seen to wait, or it has just not told yet that it need not: only for the treatment a difference.
  const waited = arm === 'treatment' ? { waited: waiting.state() } : {}
  const given = await owner.try.futexUnlockPi(owners + second)
  return { tried, ...waited, given, got: await waiting.within(PATIENCE_MS) }
}

const DESCRIPTORS = {
  atFirst: '',
  written: 'in memory',
  silent: 0,
  signalled: POLLIN,
  count: '\u0005\0\0\0\0\0\0\0',
  writtenBack: 'in memory, and more',
  silentAgain: 0,
  signalledBack: POLLIN,
  countBack: '\u0003\0\0\0\0\0\0\0',
}

/** The types of UNIX sockets besides streams. */
const OTHER_TYPES = ['datagram', 'packets'] as const

/** A client looks for a socket of that address before there is one and afterwards, and what it says there. */
async function meeting(
  server: Member,
  client: Member,
  address: string,
  type: (typeof OTHER_TYPES)[number],
): Promise<unknown> {
  const nobody = ok(await client.try.connectUnix(address, type))
  const bound = await server.listenUnix(address, type)
  const met = await client.try.connectUnix(address, type)
  if (failed(met)) return { nobody, met }
  const sent = await client.try.write(met, 'a message')
  const incoming = type === 'datagram' ? bound : await server.accept(bound)
  const came = await server.poll(incoming, POLLIN, 0)
  return { nobody, met: 'ok', sent, heard: came === POLLIN ? await server.try.read(incoming) : 'nothing' }
}

function sockets(sameNet: boolean): Readonly<Record<string, unknown>> {
  const met = { met: 'ok', sent: 'a message'.length, heard: 'a message' }
  const otherType = {
    byPath: { nobody: ENOENT, ...met },
    byName: sameNet ? { nobody: ECONNREFUSED, ...met } : { nobody: ECONNREFUSED, met: ECONNREFUSED },
  }
  return {
    byPath: 'ok',
    heard: 'by path',
    nobody: ECONNREFUSED,
    byName: sameNet ? 'ok' : ECONNREFUSED,
    byPair: 'by pair',
    datagram: otherType,
    packets: otherType,
  }
}

/** Each end tells who is at the other one; a pid is a number of the reader's own pid namespace. */
function peersOf({ pid }: { pid: string }, pids: unknown): { peers?: unknown } {
  return pid === 'same' ? { peers: pids } : {}
}

/** Taken, refused to another, granted to him afterwards. Not every system that calls itself Linux has F_OFD_SETLK. */
function heldAgainst({ lockOpenFile }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const held = [0, EAGAIN, 0]
  const unknown = [EINVAL, EINVAL, EINVAL]
  return {
    lockFile: held,
    toldOf: true,
    toldAfterwards: false,
    flock: held,
    lockOpenFile: Array.isArray(lockOpenFile) && lockOpenFile[0] === EINVAL ? unknown : held,
  }
}

/** Not judged: what a network or cgroup namespace of its own changes. */
function surroundings({ relation, flags }: { relation: { net: string }; flags: readonly string[] }): {
  read: unknown
  byTcp?: unknown
  sameCgroup?: unknown
} {
  return {
    read: 'in a file',
    ...(relation.net === 'same' ? { byTcp: 'ok' } : {}),
    ...(flags.includes('NEWCGROUP') ? {} : { sameCgroup: true }),
  }
}
