/** ENT-13: what the threads of one process see and do when one of them is in another IPC namespace. */
import { namespaceOf, ownNsfd } from '../../fixtures/identity.ts'
import { makePlaces, unshareMounts } from '../../fixtures/mqueue-mounts.ts'
import { NEW_QUEUE, takeByName } from '../../fixtures/posix-queues.ts'
import {
  CLONE,
  type ComparisonWorld,
  EINVAL,
  ENOENT,
  HarnessError,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  O_CREAT,
  O_RDWR,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'

/** The thread-group leader goes, the other thread stays; then the other one goes. */
export async function objectsOfThreads({ outer, arm, fresh }: ComparisonWorld) {
  const main = await outer.spawn('main thread')
  const [thread, third] = await main.withThreads('other thread', 'third thread')
  if (!thread || !third) throw new HarnessError('the main thread has no two further threads')
  const key = fresh.key()
  const queue = await thread.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
  const set = await thread.semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600)
  const segment = await thread.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600)
  const home = await ownNsfd(main, 'NEWIPC', '/proc/thread-self')
  // While all are in the same namespaces of every kind, one that is not the leader makes several in one call.
  const first = await namespaceOf(main, 'NEWIPC', '/proc/thread-self')
  const withMounts = {
    returned: await third.try.unshare(CLONE.NEWNS | (arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS)),
    callerMoved: (await namespaceOf(third, 'NEWIPC', '/proc/thread-self')) !== first,
    leaderStayed: (await namespaceOf(main, 'NEWIPC', '/proc/thread-self')) === first,
    otherStayed: (await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')) === first,
  }
  const refused = {
    withUser: await main.try.unshare(CLONE.NEWUSER | CLONE.NEWIPC),
    withThread: await main.try.unshare(CLONE.THREAD | CLONE.NEWIPC),
    withVm: await main.try.unshare(CLONE.VM | CLONE.NEWIPC),
  }
  await main.chdir('/')
  const returned = await main.try.unshare(arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS)
  // Back and forth.
  const abroad = await ownNsfd(main, 'NEWIPC', '/proc/thread-self')
  await main.setns(home, CLONE.NEWIPC)
  await main.setns(abroad, CLONE.NEWIPC)
  const other = await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')
  const byKey = async (member: Member): Promise<unknown[]> => [
    await member.try.msgget(key, 0),
    await member.try.semget(key, 0, 0),
    await member.try.shmget(key, 0, 0),
  ]
  /** By MSG_INFO, SEM_INFO and SHM_INFO. */
  const counted = async (member: Member): Promise<number[]> => [
    (await member.msgctlInfo('MSG_INFO')).msgpool,
    (await member.semctlInfo('SEM_INFO')).semusz,
    (await member.shmctlUsage()).usedIds,
  ]
  const seen = await main.try.msgctlStat(queue)
  const found = {
    mine: await namespaceOf(main, 'NEWIPC', '/proc/thread-self'),
    seenByMain: 'perm' in seen ? seen.perm.key === key : seen,
    foundByMain: await byKey(main),
    foundByOther: await byKey(thread),
    countedByMain: await counted(main),
    countedByOther: await counted(thread),
  }
  // What the mover opens and where it goes are still the other thread's descriptor and directory.
  await main.chdir('/proc')
  const shared = {
    descriptor: await thread.try.readlink(`/proc/thread-self/fd/${abroad}`),
    directory: await thread.try.readlink('/proc/thread-self/cwd'),
  }
  // The one that stayed makes a namespace of another kind and joins one: it keeps its own IPC namespace, and
  // does not get the leader's.
  await thread.unshare(CLONE.NEWNS)
  await thread.try.setns(await ownNsfd(thread, 'NEWNS', '/proc/thread-self'), CLONE.NEWNS)
  const stayed = (await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')) === other
  // The leader comes home; now the other one goes, alone.
  await main.setns(home, CLONE.NEWIPC)
  const joined = await thread.try.setns(abroad, CLONE.NEWIPC)
  return {
    withMounts,
    ...refused,
    returned,
    other,
    ...found,
    stayed: stayed && other === (await namespaceOf(outer)),
    made: [queue, set, segment],
    sharedDescriptor: String(shared.descriptor).startsWith('ipc:'),
    sharedDirectory: shared.directory,
    joined,
    leaderStayed: (await namespaceOf(main, 'NEWIPC', '/proc/thread-self')) === other,
    joinerMoved: (await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')) !== other,
  }
}

const SHARED = {
  returned: 0,
  stayed: true,
  sharedDescriptor: true,
  sharedDirectory: '/proc',
  joined: 0,
  leaderStayed: true,
}

export const APART = {
  ...SHARED,
  withMounts: { returned: 0, callerMoved: true, leaderStayed: true, otherStayed: true },
  withUser: EINVAL,
  withThread: EINVAL,
  withVm: EINVAL,
  seenByMain: EINVAL,
  foundByMain: [ENOENT, ENOENT, ENOENT],
  countedByMain: [0, 0, 0],
  countedByOther: [1, 1, 1],
  joinerMoved: true,
}

export const TOGETHER = {
  ...SHARED,
  withMounts: { returned: 0, callerMoved: false, leaderStayed: true, otherStayed: true },
  seenByMain: true,
  countedByMain: [1, 1, 1],
  countedByOther: [1, 1, 1],
  joinerMoved: false,
}

/** Another thread than the leader goes; each has a queue of one name, which it opens, lists, mounts and removes. */
export async function queuesOfThreads({ outer, arm, fresh }: ComparisonWorld) {
  const leader = await outer.spawn('leader')
  await unshareMounts(leader)
  const thread = await withThread(leader, 'thread')
  const [place = ''] = await makePlaces(leader, 'queues')
  const [name, leadersOnly] = [fresh.name(), fresh.name()]
  await thread.unshare(arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS)
  for (const member of [leader, thread]) {
    const queue = await member.mq_create(name, O_RDWR | O_CREAT, 0o600, { maxmsg: 2, msgsize: 64 })
    await member.mq_send(queue, member.name)
  }
  await leader.close(await leader.mq_create(leadersOnly, NEW_QUEUE))
  const taken = await takeByName(thread, name)
  await thread.mount('mqueue', place, 'mqueue')
  const listed = await thread.readdir(place)
  const unlinked = await thread.try.mq_unlink(name)
  return {
    taken,
    listed: [name, leadersOnly].filter((each) => listed.includes(each.slice(1))).length,
    unlinked,
    // What is left for each.
    leaders: await takeByName(leader, name),
    threads: await takeByName(thread, name),
  }
}

export const QUEUES_APART = { taken: 'thread', listed: 1, unlinked: 0, leaders: 'leader', threads: ENOENT }
export const QUEUES_TOGETHER = { taken: 'leader', listed: 2, unlinked: 0, leaders: ENOENT, threads: ENOENT }
