/** What processes can do to each other, and what counts for a user, whatever their IPC namespaces. */
import { OBJECTS } from '../../fixtures/objects.ts'
import { ok } from '../../fixtures/outcomes.ts'
import {
  type Area,
  EACCES,
  EAGAIN,
  EMFILE,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOSYS,
  EPERM,
  ESRCH,
  Failure,
  type Flag,
  failed,
  IPC_CREAT,
  type Member,
  makePrivate,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  type Outcome,
  oneOf,
  PROCESS_KEYRING,
  PTRACE_SEIZE,
  procPid,
  type Relation,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  SI_QUEUE,
  SI_USER,
  SIGUSR1,
  USER_KEYRING,
  type VisibilityWorld,
  writeMaps,
} from '../../fixtures/rules.ts'

const ENOKEY = Failure.of('ENOKEY')

/** Whether the observer's pid namespace has a number for processes of the actor. */
function seesPids(relation: Relation): boolean {
  return relation.pid === 'same' || relation.pid === 'actor-below'
}

/** Whether the observer can signal by a pidfd at all, tried on itself. */
async function signalsByPidfd({ observer, note }: VisibilityWorld): Promise<boolean> {
  const sent = await sendByPidfd(observer, await observer.getpid(), 0)
  if (failed(sent)) note(`no signal can be sent by a pidfd (${sent.errno})`)
  return !failed(sent)
}

/** pidfd_open(2) and pidfd_send_signal(2). */
async function sendByPidfd(sender: Member, pid: number, signal = SIGUSR1): Promise<Outcome<number>> {
  const pidfd = await sender.try.pidfd_open(pid)
  if (failed(pidfd)) return pidfd
  const sent = await sender.try.pidfd_send_signal(pidfd, signal)
  await sender.close(pidfd)
  return sent
}

/**
 * Looks for an object in /dev/shm from a child of the observer with a fresh tmpfs there: 'not permitted'
 * where the observer cannot make one.
 */
async function behindFreshTmpfs<Value>(
  observer: Member,
  look: (hidden: Member) => Promise<Value>,
): Promise<Value | 'not permitted'> {
  if (!(await observer.capabilities()).includes('CAP_SYS_ADMIN')) return 'not permitted'
  const hidden = await observer.spawn('hidden', ['NEWNS'])
  await makePrivate(hidden)
  await hidden.mount('tmpfs', '/dev/shm', 'tmpfs')
  const seen = await look(hidden)
  await hidden.exitAndReap()
  return seen
}

export function addProcessRules(not: Area): void {
  not.visibility('NOT-03', {
    says: 'signals to a process, to its process group, to its thread, with a value and by a pidfd reach processes of other IPC namespaces; only a pid namespace hides them',
    source: [
      'signal(7)',
      'kill(2)',
      'sigqueue(3)',
      'tgkill(2)',
      'pidfd_send_signal(2)',
      'pid_namespaces(7)',
      'ipc_namespaces(7) (what it isolates)',
    ],
    aboutFlags: ['NEWPID'],
    async experiment(world) {
      const { actor, observer, relation } = world
      const target = await actor.spawn('target')
      // The leader of a process group of its own, with no other process in it.
      await target.setsid()
      await target.blockSignals([SIGUSR1])
      const silent = await target.try.sigtimedwait([SIGUSR1], 0)
      const pid = Number(await procPid(target))
      // A number of another pid namespace may be somebody else's here: only asked for, never signalled.
      const sent = await observer.try.kill(pid, seesPids(relation) ? SIGUSR1 : 0)
      const receive = async () => {
        const received = await target.try.sigtimedwait([SIGUSR1], seesPids(relation) ? 5000 : 0)
        return failed(received) ? received : { signal: received.signal, code: received.code }
      }
      const receiveSignal = async () => {
        const received = await target.try.sigtimedwait([SIGUSR1], 5000)
        return failed(received) ? received : received.signal
      }
      const receiveValue = async () => {
        const received = await target.try.sigtimedwait([SIGUSR1], 5000)
        return failed(received) ? received : { code: received.code, value: received.value }
      }
      const received = await receive()
      const otherwise = seesPids(relation)
        ? {
            withValue: {
              sent: await observer.try.sigqueue(pid, SIGUSR1, 4711),
              received: await receiveValue(),
            },
            toThread: {
              sent: await observer.try.tgkill(pid, pid, SIGUSR1),
              // Its code is made SI_USER by one libc and left SI_TKILL by another.
              received: await receiveSignal(),
            },
            toGroup: { sent: await observer.try.kill(-pid, SIGUSR1), received: await receive() },
            byPidfd: (await signalsByPidfd(world))
              ? { sent: await sendByPidfd(observer, pid), received: await receive() }
              : 'not possible',
          }
        : {}
      await target.exitAndReap()
      return { pid, silent, sent, received, ...otherwise }
    },
    shared: ({ pid, byPidfd }, { relation }) => signals(pid, relation, byPidfd),
    isolated: ({ pid, byPidfd }, { relation }) => signals(pid, relation, byPidfd),
  })

  not.visibility('NOT-04', {
    says: 'POSIX shared memory is a file in /dev/shm: it goes by the mount namespace, not by the IPC namespace',
    source: ['shm_overview(7)', 'mount_namespaces(7)', 'ipc_namespaces(7) (what it isolates)'],
    needs: ['/dev/shm', 'SYSVIPC'],
    async experiment({ actor, observer, fresh }) {
      const path = `/dev/shm${fresh.name()}`
      const key = fresh.key()
      await OBJECTS.msg.make(actor, key, 41)
      const file = await actor.open(path, O_RDWR | O_CREAT | O_EXCL)
      await actor.write(file, 'from the actor')
      const read = await observer.try.readFile(path)
      const written = await observer.try.writeFile(path, 'back')
      await actor.lseek(file, 0)
      const back = await actor.try.read(file)
      const hidden = await behindFreshTmpfs(observer, async (child) => ({
        file: ok(await child.try.readFile(path)),
        queue: await OBJECTS.msg.find(child, key),
      }))
      await actor.close(file)
      await actor.unlink(path)
      await OBJECTS.msg.remove(actor, key)
      return { read, written, back, hidden }
    },
    shared: (seen) => shmFile(seen.hidden, 'found'),
    isolated: (seen) => shmFile(seen.hidden, ENOENT),
  })

  not.visibility('NOT-05', {
    says: 'POSIX named semaphores are files in /dev/shm too: they go by the mount namespace',
    source: ['sem_overview(7)', 'mount_namespaces(7)', 'ipc_namespaces(7) (what it isolates)'],
    needs: ['/dev/shm'],
    async experiment({ actor, observer, fresh }) {
      const name = fresh.name()
      const maker = await actor.spawn('maker')
      const other = await observer.spawn('other')
      const semaphore = await maker.sem_open(name, O_CREAT | O_EXCL, 1)
      const opened = await other.try.sem_open(name, 0)
      const taken = failed(opened) ? opened : await other.try.sem_trywait(opened)
      const none = await maker.try.sem_trywait(semaphore)
      if (!failed(opened)) await other.sem_post(opened)
      const posted = await maker.try.sem_trywait(semaphore)
      const hidden = await behindFreshTmpfs(observer, async (child) => ok(await child.try.sem_open(name, 0)))
      await maker.sem_unlink(name)
      const unlinked = ok(await other.try.sem_open(name, 0))
      await maker.exitAndReap()
      await other.exitAndReap()
      return { opened: ok(opened), taken, none, posted, hidden, unlinked }
    },
    shared: (seen) => semaphores(seen.hidden),
    isolated: (seen) => semaphores(seen.hidden),
  })

  not.visibility('NOT-09', {
    says: 'a user’s keyring is the same in every IPC namespace; it goes by the user namespace',
    source: ['keyrings(7)', 'user_namespaces(7)', 'ipc_namespaces(7) (what it isolates)'],
    needs: ['keyrings'],
    aboutFlags: ['NEWUSER'],
    async experiment({ actor, observer, fresh }) {
      const description = `ipcns:${fresh.name().slice(1)}`
      // Only who possesses a keyring may do everything with its keys, and a service's session has it not.
      await actor.keyctlLink(USER_KEYRING, PROCESS_KEYRING)
      const key = await actor.add_key(description, 'secret', USER_KEYRING)
      // Should this process be killed here, the key does not stay.
      await actor.keyctlSetTimeout(key, 300)
      const found = await observer.try.keyctlSearch(USER_KEYRING, description)
      const absent = await observer.try.keyctlSearch(USER_KEYRING, `${description}-none`)
      await actor.keyctlUnlink(key, USER_KEYRING)
      const unlinked = await observer.try.keyctlSearch(USER_KEYRING, description)
      return { key, found, absent, unlinked }
    },
    shared: ({ key }, { relation }) => keys(key, relation),
    isolated: ({ key }, { relation }) => keys(key, relation),
  })

  not.visibility('NOT-10', {
    says: 'ptrace, process_vm_readv, /proc/PID/mem (to read and to write) and pidfd_getfd reach processes of other IPC namespaces, as far as credentials allow',
    source: ['ptrace(2)', 'process_vm_readv(2)', 'proc(5) /proc/[pid]/mem', 'pidfd_getfd(2)'],
    needs: ['CAP_SYS_PTRACE', 'ptrace', 'pidfd_getfd'],
    // What a pid namespace hides is told by NOT-03.
    flags: (flags) => !flags.includes('NEWPID'),
    aboutFlags: ['NEWUSER'],
    async experiment(world) {
      const { actor, observer } = world
      const target = await actor.spawn('target')
      const tracer = await observer.spawn('tracer')
      const pid = Number(await procPid(target))
      const address = await target.mmapShared(-1, 4096)
      await target.writeMemory(address, 'in memory')
      const vmRead = await tracer.try.processVmReadv(pid, address, 64)
      if (vmRead === ENOSYS) world.note('the kernel has no process_vm_readv')
      const file = await tracer.try.open(`/proc/${pid}/mem`, O_RDONLY)
      let memFile: unknown = file
      if (!failed(file)) {
        await tracer.lseek(file, address)
        memFile = await tracer.try.read(file, 9)
      }
      // Not every kernel has a /proc/PID/mem that can be written: tried on oneself first.
      const own = await changeByFile(tracer, tracer, 'self')
      if (own.read !== CHANGED) world.note('a process cannot write its own memory by /proc/self/mem')
      const changed = own.read === CHANGED ? await changeByFile(tracer, target, String(pid)) : 'not possible'
      const [, writer] = await target.pipe()
      const pidfd = await tracer.pidfd_open(pid)
      const descriptor = ok(await tracer.try.pidfd_getfd(pidfd, writer))
      const seized = ok(await tracer.try.ptrace(PTRACE_SEIZE, pid))
      await tracer.exitAndReap()
      await target.exitAndReap()
      return { vmRead, memFile, changed, descriptor, seized }
    },
    shared: ({ changed }, world) => tracing(world, changed),
    isolated: ({ changed }, world) => tracing(world, changed),
  })

  not.comparison('NOT-12', {
    says: 'what counts for a user counts in all IPC namespaces together: bytes of POSIX queues, locked memory, IPC namespaces',
    source: ['getrlimit(2) RLIMIT_MSGQUEUE, RLIMIT_MEMLOCK', 'namespaces(7) max_ipc_namespaces'],
    variants: ['queue bytes', 'locked memory', 'IPC namespaces'],
    variantNeeds: {
      'queue bytes': ['POSIX_MQUEUE', 'CAP_SETUID'],
      'locked memory': ['SYSVIPC', 'CAP_SETUID'],
      'IPC namespaces': ['UCOUNT_SYSCTL', 'USER_NS'],
    },
    arms: {
      treatment: 'the same user has used it up elsewhere',
      control: 'another user has, or there is room',
    },
    async experiment(world) {
      const { outer, enter, arm, variant, fresh } = world
      if (variant === 'IPC namespaces') {
        const keeper = await outer.spawn('keeper', ['NEWUSER'])
        await writeMaps(outer, keeper)
        await keeper.writeFile('/proc/sys/user/max_ipc_namespaces', arm === 'treatment' ? '1' : '2')
        // From inside another IPC namespace there is no more room either.
        const first = await keeper.spawn('first', ['NEWIPC'])
        const second = ok(await first.trySpawn('second', ['NEWIPC']))
        return { first: 'ok' as const, second }
      }
      const spends = variant === 'queue bytes' ? spendQueue : spendLock
      const uid = fresh.uid()
      const here = await outer.spawn('here')
      const there = await enter('there')
      const first = await spends(here, uid, fresh.name())
      const second = await spends(there, arm === 'treatment' ? uid : fresh.uid(), fresh.name())
      return { first, second }
    },
    treatment: (_, { variant }) => ({
      first: 'ok',
      second: { 'queue bytes': EMFILE, 'locked memory': ENOMEM, 'IPC namespaces': ENOSPC }[variant],
    }),
    control: () => ({ first: 'ok', second: 'ok' }),
  })

  not.comparison('NOT-13', {
    says: 'the host name and domain name go by the UTS namespace, and other kernel sysctls by none: a new IPC namespace changes neither',
    source: ['uts_namespaces(7)', 'ipc_namespaces(7) (what it isolates)'],
    needs: ['UTS_NS', 'UTS_SYSCTL', 'sethostname'],
    flags: 'with NEWIPC',
    arms: { treatment: 'a new IPC namespace', control: 'a new UTS namespace too' },
    async experiment({ outer, enter, arm, flags, note }) {
      // In a UTS namespace of its own: the name of the machine is not for trying things out.
      const host = await outer.spawn('host', ['NEWUTS'])
      await host.sethostname('before')
      const child = await enter('child', {
        from: host,
        flags: [
          ...flags.filter((flag) => flag !== 'NEWUTS'),
          ...(arm === 'control' ? ['NEWUTS' as const] : []),
        ],
      })
      // What one flag leaves alone, two together might not.
      const others: Member[] = []
      for (const flag of BESIDE) {
        const both: Flag[] = ['NEWIPC', flag, ...(arm === 'control' ? (['NEWUTS'] as const) : [])]
        const other = await host.trySpawn(`child with ${flag}`, both)
        if (failed(other)) note(`clone with NEWIPC and ${flag} is refused here (${other.errno})`)
        else others.push(other)
      }
      const atFirst = await child.readFile('/proc/sys/kernel/hostname')
      await host.sethostname('changed')
      await host.writeFile('/proc/sys/kernel/domainname', 'changed.example')
      const seen = [
        await child.readFile('/proc/sys/kernel/hostname'),
        await child.readFile('/proc/sys/kernel/domainname'),
      ]
      const beside: Record<string, boolean> = {}
      for (const other of others)
        beside[other.name] = (await other.readFile('/proc/sys/kernel/hostname')).startsWith('changed')
      const files = ['osrelease', 'ngroups_max', 'threads-max', 'random/boot_id']
      const alike = await Promise.all(
        files.map(
          async (name) =>
            (await child.readFile(`/proc/sys/kernel/${name}`)) ===
            (await outer.readFile(`/proc/sys/kernel/${name}`)),
        ),
      )
      return { atFirst, changed: seen.map((name) => name.startsWith('changed')), beside, alike }
    },
    treatment: ({ beside }) => hostNames(true, beside),
    control: ({ beside }) => hostNames(false, beside),
  })
}

/** The flags that go with NEWIPC here, besides those of the cell. */
const BESIDE: readonly Flag[] = ['NEWNS', 'NEWPID', 'NEWUSER', 'NEWNET', 'NEWCGROUP']

/** Whether a change of the host’s name is seen by the child, and by those made with one flag more. */
function hostNames(
  changed: boolean,
  beside: Readonly<Record<string, boolean>>,
): Readonly<Record<string, unknown>> {
  return {
    atFirst: 'before\n',
    changed: [changed, changed],
    beside: Object.fromEntries(Object.keys(beside).map((name) => [name, changed])),
    alike: [true, true, true, true],
  }
}

const BEFORE = 'before '
const CHANGED = 'changed'

/** Writes into new memory of a process by the file /proc/`entry`/mem; what that process reads there afterwards. */
async function changeByFile(
  writer: Member,
  target: Member,
  entry: string,
): Promise<{ opened: unknown; written: unknown; read: unknown }> {
  const address = await target.mmapShared(-1, 4096)
  await target.writeMemory(address, BEFORE)
  const file = await writer.try.open(`/proc/${entry}/mem`, O_RDWR)
  let written: unknown = file
  if (!failed(file)) {
    await writer.lseek(file, address)
    written = await writer.try.write(file, CHANGED)
  }
  return { opened: ok(file), written, read: await target.readMemory(address, 64) }
}

/** Uses most of a small RLIMIT_MSGQUEUE up with one queue. */
async function spendQueue(member: Member, uid: number, name: string): Promise<unknown> {
  await member.setrlimit(RLIMIT_MSGQUEUE, 10_000, 10_000)
  await member.becomeUser(uid)
  const size = { maxmsg: 1, msgsize: 8192 }
  return ok(await member.try.mq_create(name, O_RDWR | O_CREAT | O_EXCL, 0o600, size))
}

/** Uses RLIMIT_MEMLOCK up with one locked segment. */
async function spendLock(member: Member, uid: number): Promise<unknown> {
  await member.setrlimit(RLIMIT_MEMLOCK, 65536, 65536)
  await member.becomeUser(uid)
  return ok(await member.try.shmctlLock(await member.shmget(0, 65536, IPC_CREAT | 0o600)))
}

/** A number that low may well be in use in the observer's pid namespace too. */
const LOW_PID = 64

function signals(pid: number, relation: Relation, byPidfd: unknown): Readonly<Record<string, unknown>> {
  const came = { sent: 0, received: { signal: SIGUSR1, code: SI_USER } }
  if (seesPids(relation))
    return {
      silent: EAGAIN,
      ...came,
      withValue: { sent: 0, received: { code: SI_QUEUE, value: 4711 } },
      toThread: { sent: 0, received: SIGUSR1 },
      toGroup: came,
      byPidfd: byPidfd === 'not possible' ? 'not possible' : came,
    }
  return { silent: EAGAIN, ...(pid > LOW_PID ? { sent: ESRCH } : {}), received: EAGAIN }
}

function shmFile(hidden: unknown, queue: unknown): Readonly<Record<string, unknown>> {
  return {
    read: 'from the actor',
    written: 4,
    back: 'back the actor',
    hidden: hidden === 'not permitted' ? 'not permitted' : { file: ENOENT, queue },
  }
}

function semaphores(hidden: unknown): Readonly<Record<string, unknown>> {
  return {
    opened: 'ok',
    taken: 0,
    none: EAGAIN,
    posted: 0,
    hidden: hidden === 'not permitted' ? 'not permitted' : ENOENT,
    unlinked: ENOENT,
  }
}

function keys(key: number, relation: Relation): Readonly<Record<string, unknown>> {
  return { found: relation.user === 'same' ? key : ENOKEY, absent: ENOKEY, unlinked: ENOKEY }
}

/** A child user namespace has no power over processes outside it; Yama may forbid all tracing. */
function tracing({ relation }: VisibilityWorld, changed: unknown): Readonly<Record<string, unknown>> {
  const judged = (expected: object): object => (changed === 'not possible' ? {} : { changed: expected })
  return relation.user === 'same' || relation.user === 'actor-below'
    ? {
        vmRead: oneOf('in memory', ENOSYS),
        memFile: 'in memory',
        ...judged({ opened: 'ok', written: CHANGED.length, read: CHANGED }),
        descriptor: 'ok',
        seized: 'ok',
      }
    : {
        vmRead: oneOf(EPERM, ENOSYS),
        memFile: EACCES,
        ...judged({ opened: EACCES, written: EACCES, read: BEFORE }),
        descriptor: EPERM,
        seized: EPERM,
      }
}
