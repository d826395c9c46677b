/**
 * What a process did in an IPC namespace before it left, and that is over: no call, granted or refused, holds
 * the namespace afterwards. A way out of the kernel that forgets to drop its reference leaks the namespace
 * with everything in it, so as many ways are gone as there are.
 */
import { NEW_QUEUE } from '../../fixtures/posix-queues.ts'
import {
  type Blocked,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  type Flag,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  type Member,
  MS_REMOUNT,
  NS_FILE,
  NS_GET_ID,
  NS_GET_NSTYPE,
  NS_GET_OWNER_UID,
  NS_GET_PARENT,
  NS_GET_USERNS,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  PIDFD_GET_IPC_NAMESPACE,
  procPid,
  RLIMIT_MSGQUEUE,
  SEM_UNDO,
  SHM_RDONLY,
  SIGUSR1,
  writeMaps,
} from '../../fixtures/rules.ts'
import { SYSCTLS, sysctl } from '../../fixtures/sysctls.ts'

/** Calls of a member that leaves afterwards. It is in a mount namespace of its own. */
type Deeds = (caller: Member, world: ComparisonWorld) => Promise<unknown>

const NEW = IPC_CREAT | IPC_EXCL | 0o600
const PAGE = 4096
const QUEUES_MAX = sysctl('queues_max').path
const FORCED = sysctl('shm_rmid_forced').path

/** Removes an object while a child waits for something of it. */
async function removeWhileWaiting(
  caller: Member,
  wait: (waiter: Member) => Promise<Blocked<unknown>>,
  remove: () => Promise<unknown>,
): Promise<void> {
  const waiter = await caller.spawn('waiter')
  const waiting = await wait(waiter)
  await remove()
  await waiting.returned
  await waiter.exitAndReap()
}

const messageQueueCalls: Deeds = async (caller, { fresh }) => {
  const key = fresh.key()
  const queue = await caller.msgget(key, NEW)
  await caller.try.msgget(key, NEW)
  await caller.try.msgget(fresh.key(), 0)
  await caller.msgsnd(queue, 1, 'done with', IPC_NOWAIT)
  await caller.try.msgsnd(queue, -1, 'of no type', IPC_NOWAIT)
  await caller.msgctlStat(queue)
  await caller.try.msgctlStat(0, 'MSG_STAT')
  await caller.msgctlInfo('IPC_INFO')
  await caller.msgctlInfo('MSG_INFO')
  await caller.try.msgctlSet(queue, { uid: await caller.geteuid(), gid: 0, mode: 0o600, qbytes: 512 })
  await caller.try.msgsnd(queue, 1, 'm'.repeat(600), IPC_NOWAIT)
  await caller.try.msgrcv(queue, 1, 1, IPC_NOWAIT)
  await caller.msgrcv(queue, 64, 1, IPC_NOWAIT)
  await caller.try.msgrcv(queue, 64, 1, IPC_NOWAIT)
  await removeWhileWaiting(
    caller,
    (waiter) => waiter.block.msgrcv(queue, 64, 1, 0),
    () => caller.msgctlRemove(queue),
  )
  await caller.try.msgctlRemove(queue)
}

const semaphoreCalls: Deeds = async (caller, { fresh }) => {
  const key = fresh.key()
  const set = await caller.semget(key, 2, NEW)
  await caller.try.semget(key, 2, NEW)
  await caller.try.semget(key, 3, 0)
  await caller.try.semget(fresh.key(), 2, 0)
  await caller.try.semget(fresh.key(), 0, NEW)
  await caller.semctlSetAll(set, [1, 2])
  await caller.semctlGetAll(set, 2)
  await caller.semctlGet(set, 0, 'GETPID')
  await caller.semctlStat(set)
  await caller.try.semctlStat(0, 'SEM_STAT')
  await caller.semctlInfo('IPC_INFO')
  await caller.semctlInfo('SEM_INFO')
  await caller.semop(set, [{ index: 0, change: 1, flags: SEM_UNDO }])
  await caller.try.semop(set, [{ index: 0, change: -9, flags: IPC_NOWAIT | SEM_UNDO }])
  await caller.try.semop(set, [{ index: 0, change: -9 }], 1)
  await caller.try.semop(set, [{ index: 2, change: 1, flags: SEM_UNDO }])
  const undoer = await caller.spawn('undoer')
  await undoer.semop(set, [{ index: 1, change: 1, flags: SEM_UNDO }])
  await undoer.exitAndReap()
  await removeWhileWaiting(
    caller,
    (waiter) => waiter.block.semop(set, [{ index: 0, change: -9 }]),
    () => caller.semctlRemove(set),
  )
  await caller.try.semctlRemove(set)
}

const segmentCalls: Deeds = async (caller, { fresh }) => {
  const key = fresh.key()
  const segment = await caller.shmget(key, 2 * PAGE, NEW)
  await caller.try.shmget(key, 2 * PAGE, NEW)
  await caller.try.shmget(key, 3 * PAGE, 0)
  await caller.try.shmget(fresh.key(), PAGE, 0)
  await caller.try.shmget(fresh.key(), 0, NEW)
  await caller.shmctlStat(segment)
  await caller.try.shmctlStat(0, 'SHM_STAT')
  await caller.shmctlLimits()
  await caller.shmctlUsage()
  await caller.try.shmctlLock(segment)
  await caller.try.shmctlLock(segment, 'SHM_UNLOCK')
  const memory = await caller.shmat(segment)
  // At an address that is in use, and at one that no page begins at.
  await caller.try.shmat(segment, 0, memory)
  await caller.try.shmat(segment, 0, memory + 1)
  const readable = await caller.shmat(segment, SHM_RDONLY)
  await caller.shmdt(readable)
  await caller.try.shmdt(readable)
  // Inherited and left at the exit.
  const heir = await caller.spawn('heir')
  await heir.exitAndReap()
  const another = await caller.shmget(fresh.key(), PAGE, NEW)
  const attacher = await caller.spawn('attacher')
  await attacher.shmat(another)
  await caller.shmctlRemove(another)
  await attacher.exitAndReap()
  // In two pieces, by the two calls that detach, when it is removed already.
  await caller.shmctlRemove(segment)
  await caller.munmap(memory + PAGE, PAGE)
  await caller.shmdt(memory)
  await caller.try.shmat(segment)
  await caller.try.shmctlRemove(segment)
}

/** Calls whose caller is killed while it waits in them. */
const unfinishedCalls: Deeds = async (caller, { fresh }) => {
  const empty = await caller.msgget(fresh.key(), NEW)
  const full = await caller.msgget(fresh.key(), NEW)
  await caller.msgctlSet(full, { uid: await caller.geteuid(), gid: 0, mode: 0o600, qbytes: 1 })
  await caller.msgsnd(full, 1, 'm', IPC_NOWAIT)
  const set = await caller.semget(fresh.key(), 1, NEW)
  const calls: readonly ((waiter: Member) => Promise<unknown>)[] = [
    (waiter) => waiter.block.msgrcv(empty, 64, 1, 0),
    (waiter) => waiter.block.msgsnd(full, 1, 'm', 0),
    (waiter) => waiter.block.semop(set, [{ index: 0, change: -1, flags: SEM_UNDO }]),
  ]
  for (const call of calls) {
    const waiter = await caller.spawn('waiter')
    await call(waiter)
    await waiter.killAndReap()
  }
}

const queueCalls: Deeds = async (caller, { fresh }) => {
  const name = fresh.name()
  const queue = await caller.mq_create(name, NEW_QUEUE | O_NONBLOCK)
  await caller.try.mq_create(name, NEW_QUEUE)
  await caller.try.mq_open(fresh.name(), O_RDWR)
  await caller.try.mq_open_raw('no/name', NEW_QUEUE)
  await caller.try.mq_open_raw('', NEW_QUEUE)
  await caller.mq_send(queue, 'done with')
  await caller.try.mq_send(queue, 'one too many')
  await caller.mq_receive(queue)
  await caller.try.mq_receive(queue)
  await caller.mq_setattr(queue, 0)
  await caller.mq_getattr(queue)
  await caller.mq_notify(queue, 0)
  await caller.try.mq_notify(queue, SIGUSR1)
  await caller.mq_notify_remove(queue)
  const registered = await caller.spawn('registered', [], { keep: [queue] })
  await registered.mq_notify(queue, SIGUSR1)
  await registered.exitAndReap()
  // Killed while it waits.
  const waiting = await caller.mq_open(name, O_RDONLY)
  const waiter = await caller.spawn('waiter', [], { keep: [waiting] })
  await waiter.block.mq_receive_blocking(waiting)
  await waiter.killAndReap()
  await caller.close(waiting)
  await caller.mq_unlink(name)
  await caller.try.mq_unlink(name)
  await caller.close(queue)
}

const refusedQueues: Deeds = async (caller, { fresh }) => {
  const one = { maxmsg: 1, msgsize: 64 }
  for (const attributes of [
    { maxmsg: -1, msgsize: 64 },
    { maxmsg: 1, msgsize: -1 },
  ])
    await caller.try.mq_create(fresh.name(), NEW_QUEUE, 0o600, attributes)
  const poor = await caller.spawn('poor')
  await poor.setrlimit(RLIMIT_MSGQUEUE, 0, 0)
  await poor.try.mq_create(fresh.name(), NEW_QUEUE, 0o600, one)
  await poor.exitAndReap()
  const limit = await caller.readFile(QUEUES_MAX)
  await caller.try.writeFile(QUEUES_MAX, '0')
  const ordinary = await caller.spawn('ordinary')
  // CAP_SYS_RESOURCE lifts the limit.
  await ordinary.setCapabilities([], true)
  await ordinary.try.mq_create(fresh.name(), NEW_QUEUE, 0o600, one)
  await ordinary.exitAndReap()
  await caller.try.writeFile(QUEUES_MAX, limit)
}

const mountedQueues: Deeds = async (caller, { fresh }) => {
  await caller.mount('mqueue', '/dev', 'mqueue')
  await caller.try.mount('', '/dev', '', MS_REMOUNT)
  const path = `/dev${fresh.name()}`
  const queue = await caller.open(path, NEW_QUEUE)
  await caller.read(queue)
  await caller.close(queue)
  await caller.try.open(path, NEW_QUEUE)
  await caller.readdir('/dev')
  await caller.try.mkdir(`${path}-directory`)
  await caller.unlink(path)
  await caller.umount('/dev')
}

/** What is asked of the namespace, by its file, its descriptor, its handle and a pidfd of a member. */
const questions: Deeds = async (caller) => {
  const path = '/proc/self/ns/ipc'
  await caller.readlink(path)
  const neighbour = await caller.spawn('neighbour')
  await caller.readlink(`/proc/${await procPid(neighbour)}/ns/ipc`)
  await neighbour.exitAndReap()
  await caller.stat(path)
  await caller.lstat(path)
  await caller.statfsType(path)
  await caller.readdir('/proc/self/ns')
  await caller.close(await caller.open(path, O_PATH))
  await caller.try.open(path, O_RDWR)
  const nsfd = await caller.open(path, O_RDONLY)
  await caller.fstat(nsfd)
  await caller.readlink(`/proc/self/fd/${nsfd}`)
  await caller.try.read(nsfd)
  await caller.close(await caller.dup(nsfd))
  const own = await caller.pidfd_open(await caller.getpid())
  for (const opened of [
    await caller.try.ioctl(nsfd, NS_GET_USERNS),
    await caller.try.ioctl(own, PIDFD_GET_IPC_NAMESPACE),
  ])
    if (!failed(opened)) await caller.close(opened)
  for (const request of [NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID, NO_REQUEST])
    await caller.try.ioctl(nsfd, request)
  await caller.try.ioctl64(nsfd, NS_GET_ID)
  const handle = await caller.try.name_to_handle_at(nsfd)
  if (!failed(handle)) {
    const opened = await caller.try.open_by_handle_at(nsfd, handle)
    if (!failed(opened)) await caller.close(opened)
  }
  await caller.close(own)
  await caller.close(nsfd)
}
/** A number of nsfs's that means nothing. */
const NO_REQUEST = 0xb7ff

const OTHER_KINDS: readonly Flag[] = ['NEWUTS', 'NEWNET', 'NEWCGROUP', 'NEWPID']

/** setns(2) into the own namespaces, this one and others, and where it is refused. */
const joins: Deeds = async (caller) => {
  const nsfd = await caller.open('/proc/self/ns/ipc', O_RDONLY)
  const own = await caller.pidfd_open(await caller.getpid())
  await caller.try.setns(nsfd, CLONE.NEWIPC)
  await caller.try.setns(nsfd, 0)
  await caller.try.setns(nsfd, CLONE.NEWUTS)
  await caller.try.setns(own, CLONE.NEWIPC)
  await caller.try.setns(own, CLONE.NEWUTS)
  await caller.try.setns(own, cloneBits(['NEWIPC', 'NEWUTS']))
  for (const kind of OTHER_KINDS) {
    const other = await caller.try.open(`/proc/self/ns/${NS_FILE[kind]}`, O_RDONLY)
    if (failed(other)) continue
    await caller.try.setns(other, CLONE[kind])
    await caller.close(other)
  }
  // Nobody may join the user namespace where they are.
  const user = await caller.try.open('/proc/self/ns/user', O_RDONLY)
  if (!failed(user)) {
    await caller.try.setns(user, CLONE.NEWUSER)
    await caller.close(user)
  }
  await caller.try.setns(own, cloneBits(['NEWIPC', 'NEWUSER']))
  const powerless = await caller.spawn('powerless', [], { keep: [nsfd] })
  await powerless.setCapabilities([], true)
  await powerless.try.setns(nsfd, CLONE.NEWIPC)
  await powerless.try.unshare(CLONE.NEWIPC)
  await powerless.exitAndReap()
  await caller.close(own)
  await caller.close(nsfd)
}

/** Namespaces of other kinds made, and refused half-way: by a limit, and by a pid that is in use. */
const otherNamespaces: Deeds = async (caller) => {
  await caller.try.unshare(CLONE.NEWUTS)
  await caller.try.unshare(CLONE.NEWCGROUP)
  await caller.try.unshare(CLONE.SYSVSEM)
  const kin = await caller.trySpawn('kin', ['NEWUTS', 'NEWPID'])
  if (!failed(kin)) await kin.exitAndReap()
  await caller.try.cloneWithPid(CLONE.NEWUTS, await caller.getpid())
  const limited = await caller.spawn('limited', ['NEWUSER'])
  await writeMaps(caller, limited)
  for (const kind of OTHER_KINDS) {
    await limited.try.writeFile(`/proc/sys/user/max_${NS_FILE[kind]}_namespaces`, '0')
    await limited.try.unshare(CLONE[kind])
    await limited.try.cloneAndExit(CLONE[kind])
  }
  await limited.exitAndReap()
}

/** Root of a user namespace that does not own the IPC namespace: it is refused to him. */
const foreignRoot: Deeds = async (caller) => {
  const root = await caller.spawn('root of a user namespace', ['NEWUSER', 'NEWNS'])
  await writeMaps(caller, root)
  const nsfd = await root.open('/proc/self/ns/ipc', O_RDONLY)
  await root.try.ioctl(nsfd, NS_GET_USERNS)
  await root.try.mount('mqueue', '/dev', 'mqueue')
  const context = await root.try.fsopen('mqueue')
  if (!failed(context)) await root.try.fsconfigCreate(context)
  await root.exitAndReap()
}

const procFiles: Deeds = async (caller) => {
  await caller.readdir('/proc/sysvipc')
  for (const family of ['msg', 'sem', 'shm']) {
    const path = `/proc/sysvipc/${family}`
    const table = await caller.open(path, O_RDONLY)
    await caller.readFile(path)
    await caller.readPieces(table, 16)
    await caller.lseek(table, 0)
    await caller.read(table)
    await caller.close(table)
  }
  for (const { path } of SYSCTLS) {
    const text = await caller.try.readFile(path)
    if (failed(text)) continue
    await caller.try.writeFile(path, text)
    await caller.try.writeFile(path, 'nonsense')
  }
}

/** Segments that shm_rmid_forced destroys: by their maker's exit, by its leaving, by the sysctl itself. */
const forcedRemoval: Deeds = async (caller, { fresh }) => {
  const orphaner = await caller.spawn('orphaner')
  await orphaner.shmget(fresh.key(), PAGE, NEW)
  await orphaner.exitAndReap()
  await caller.try.writeFile(FORCED, '1')
  const maker = await caller.spawn('maker')
  await maker.shmget(fresh.key(), PAGE, NEW)
  await maker.shmat(await maker.shmget(fresh.key(), PAGE, NEW))
  await maker.exitAndReap()
  const leaver = await caller.spawn('leaver')
  await leaver.shmget(fresh.key(), PAGE, NEW)
  await leaver.unshare(CLONE.NEWIPC)
  await leaver.exitAndReap()
  await caller.try.writeFile(FORCED, '0')
}

function oneAfterAnother(...all: Deeds[]): Deeds {
  return async (caller, world) => {
    for (const deeds of all) await deeds(caller, world)
  }
}

/** Every group by its name. */
export const DEEDS: Readonly<Record<string, Deeds>> = {
  'System V calls': oneAfterAnother(messageQueueCalls, semaphoreCalls, segmentCalls, unfinishedCalls),
  'queue calls': oneAfterAnother(queueCalls, refusedQueues, mountedQueues),
  'calls about namespaces': oneAfterAnother(questions, joins, otherNamespaces, foreignRoot),
  'files of /proc': procFiles,
  'forced removal': forcedRemoval,
}
