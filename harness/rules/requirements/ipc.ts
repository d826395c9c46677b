/** System V objects, POSIX queues, their tables and their sysctls. */
import { failed, SetUpRefused } from '../../link/failure.ts'
import type { Member } from '../../link/member.ts'
import {
  IPC_NOWAIT,
  IPC_PRIVATE,
  MSG_COPY,
  O_RDWR,
  RLIMIT_MSGQUEUE,
  SHM_HUGETLB,
} from '../../probe/constants.ts'
import { enough, file, inTrial, type Requirement, works } from './requirement.ts'

const LIMITS = [
  ...['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni'].map((name) => `kernel/${name}`),
  ...['msg_default', 'msg_max', 'msgsize_default', 'msgsize_max', 'queues_max'].map(
    (name) => `fs/mqueue/${name}`,
  ),
]

/** What no descriptor is. */
const NO_DESCRIPTOR = -1

/** The part of a System V identifier that is the index (ipc/util.h: IPCMNI_SHIFT). */
const INDEX = 0x7fff

/** Whether that holds of each limit and the one of a fresh namespace: texts of /proc/sys, or the errno. */
async function eachLimit(
  child: Member,
  fresh: Member,
  holds: (own: string, usual: string) => boolean,
): Promise<boolean> {
  for (const name of LIMITS) {
    const own = String(await child.try.readFile(`/proc/sys/${name}`))
    if (!holds(own, String(await fresh.try.readFile(`/proc/sys/${name}`)))) return false
  }
  return true
}

/** Whether none of the numbers is below the usual one. */
function noLower(own: string, usual: string): boolean {
  const numbers = (text: string): bigint[] =>
    text.match(/^\d[\d\s]*$/) ? text.trim().split(/\s+/).map(BigInt) : []
  const least = numbers(usual)
  return numbers(own).every((number, index) => number >= (least[index] ?? 0n))
}

/** By name. */
export const IPC = {
  SYSVIPC: {
    reason: 'the kernel has no System V IPC (ENOSYS)',
    kconfig: 'CONFIG_SYSVIPC',
    met: async (child) => String(await child.try.msgget(0x1badcafe, 0)) !== 'ENOSYS',
  },
  POSIX_MQUEUE: {
    reason:
      'the kernel has no POSIX message queues (ENOSYS), or RLIMIT_MSGQUEUE is below its usual 819200 bytes',
    kconfig: 'CONFIG_POSIX_MQUEUE',
    met: async (child) =>
      String(await child.try.mq_open('/ipcns-no-such-queue', O_RDWR)) !== 'ENOSYS' &&
      enough((await child.getrlimit(RLIMIT_MSGQUEUE)).soft, 819_200),
  },
  'messages of POSIX queues': {
    reason: 'the kernel has no mq_timedsend (ENOSYS)',
    kconfig: 'CONFIG_POSIX_MQUEUE',
    met: async (child) => String(await child.try.mq_send(NO_DESCRIPTOR, '')) !== 'ENOSYS',
  },
  mq_notify: {
    reason: 'the kernel has no mq_notify (ENOSYS)',
    kconfig: 'CONFIG_POSIX_MQUEUE',
    met: async (child) => String(await child.try.mq_notify_remove(NO_DESCRIPTOR)) !== 'ENOSYS',
  },
  'System V indices': {
    reason: 'no index leads to a System V object: MSG_STAT_ANY, SEM_STAT_ANY or SHM_STAT_ANY finds nothing',
    met: async (child) => {
      const queue = await child.msgget(IPC_PRIVATE, 0o600)
      const set = await child.semget(IPC_PRIVATE, 1, 0o600)
      const segment = await child.shmget(IPC_PRIVATE, 1, 0o600)
      const found = [
        await child.try.msgctlStat(queue & INDEX, 'MSG_STAT_ANY'),
        await child.try.semctlStat(set & INDEX, 'SEM_STAT_ANY'),
        await child.try.shmctlStat(segment & INDEX, 'SHM_STAT_ANY'),
      ]
      await child.msgctlRemove(queue)
      await child.semctlRemove(set)
      await child.shmctlRemove(segment)
      return found.every(works)
    },
  },
  MSG_COPY: {
    reason: 'msgrcv has no MSG_COPY (ENOSYS)',
    kconfig: 'CONFIG_CHECKPOINT_RESTORE',
    met: async (child) => {
      const queue = await child.msgget(IPC_PRIVATE, 0o600)
      const outcome = await child.try.msgrcv(queue, 1, 0, MSG_COPY | IPC_NOWAIT)
      await child.msgctlRemove(queue)
      return String(outcome) !== 'ENOSYS'
    },
  },
  'lasting segments': {
    reason: 'kernel.shm_rmid_forced is 1: segments that nobody has attached do not last',
    met: async (child) => String(await child.try.readFile('/proc/sys/kernel/shm_rmid_forced')).trim() !== '1',
  },
  'huge pages': {
    reason: 'no huge page is free for a segment (vm.nr_hugepages)',
    kconfig: 'CONFIG_HUGETLBFS',
    besides: 'a free huge page',
    met: async (child) => {
      const size = /^Hugepagesize: +(\d+)/m.exec(await child.readFile('/proc/meminfo'))?.[1]
      const segment = size
        ? await child.try.shmget(IPC_PRIVATE, Number(size) * 1024, SHM_HUGETLB | 0o600)
        : undefined
      if (segment === undefined || failed(segment)) return false
      await child.shmctlRemove(segment)
      return true
    },
  },
  PROC_SYSVIPC: file('/proc/sysvipc/msg', 'CONFIG_SYSVIPC & CONFIG_PROC_FS'),
  // SYSCTL stands for /proc/sys: PROC_SYSCTL alone selects it, and from 7.x on there is only SYSCTL.
  SYSVIPC_SYSCTL: file('/proc/sys/kernel/msgmax', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  shm_rmid_forced: file('/proc/sys/kernel/shm_rmid_forced', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  auto_msgmni: file('/proc/sys/kernel/auto_msgmni', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  MQUEUE_SYSCTL: file('/proc/sys/fs/mqueue/queues_max', 'CONFIG_POSIX_MQUEUE & CONFIG_SYSCTL'),
  NEXT_ID: file('/proc/sys/kernel/msg_next_id', 'CONFIG_SYSVIPC & CONFIG_SYSCTL & CONFIG_CHECKPOINT_RESTORE'),
  'usual room': {
    reason: 'the runner’s own IPC namespace has lower limits than the kernel’s defaults',
    met: async (child) => {
      const fresh = await child.trySpawn('fresh', ['NEWIPC'])
      // Where none can be made nothing is known; whatever needs one is skipped for that.
      if (failed(fresh)) return true
      return eachLimit(child, fresh, noLower)
    },
  },
  'usual sysctls': {
    reason: 'the runner’s own IPC namespace has other limits than the kernel’s defaults',
    met: (child) =>
      inTrial(child, ['NEWIPC'], (fresh) => eachLimit(child, fresh, (own, usual) => own === usual)),
  },
  'writable sysctls': {
    reason: '/proc/sys is mounted read-only (EROFS), or the kernel takes no values there (EIO)',
    met: (child) =>
      inTrial(child, ['NEWIPC'], async (owner) => {
        const value = await owner.try.readFile('/proc/sys/kernel/msgmax')
        // Who may not write the sysctl is told EACCES first.
        return owner.try.writeFile('/proc/sys/kernel/msgmax', String(value)).then(
          () => true,
          (problem) => !(problem instanceof SetUpRefused),
        )
      }),
  },
  UTS_SYSCTL: file('/proc/sys/kernel/domainname', 'CONFIG_SYSCTL'),
  UCOUNT_SYSCTL: file('/proc/sys/user/max_ipc_namespaces', 'CONFIG_SYSCTL'),
} satisfies Record<string, Requirement>
