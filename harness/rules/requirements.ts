/**
 * What a rule may need, as data: a name on the rule, and here once what it means, how it is found out by
 * trying and what the skip says. Nothing is decided by `uname -r`.
 */
import { readlinkSync } from 'node:fs'
import { failed, SetUpRefused } from '../link/failure.ts'
import type { Member } from '../link/member.ts'
import {
  type Capability,
  CLONE,
  FD_NSFS_ROOT,
  type Flag,
  IPC_NOWAIT,
  IPC_PRIVATE,
  MNT_DETACH,
  MS_PRIVATE,
  MS_REC,
  MSG_COPY,
  NS_FILE,
  NS_GET_ID,
  NS_GET_USERNS,
  O_RDONLY,
  O_RDWR,
  PIDFD_GET_IPC_NAMESPACE,
  PIDFD_THREAD,
  PROCESS_KEYRING,
  PTRACE_SEIZE,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NOFILE,
  SHM_HUGETLB,
} from '../probe/constants.ts'
import { makePrivate } from '../ways/way-in.ts'

/** One requirement. */
export interface Requirement {
  /** The constant reason of the skip. */
  reason: string
  /** Expression over kernel configuration symbols that decides it, where one does. */
  kconfig?: string
  /** What must come on top of the configuration, where that alone does not bring it: a release, a set-up. */
  besides?: string
  /** Tries it with a throw-away child of the root in the runner's own namespaces. */
  met(child: Member): Promise<boolean>
}

const works = (outcome: unknown): boolean => !failed(outcome)

/** A namespace type exists where its file does and, with privilege, where clone(2) makes one. */
function namespace(flag: Flag, kconfig: string): Requirement {
  const file = NS_FILE[flag]
  return {
    reason: `${file} namespaces cannot be made here`,
    kconfig,
    met: async (child) => {
      if (!(await child.exists(`/proc/self/ns/${file}`))) return false
      const privileged = (await child.capabilities()).includes('CAP_SYS_ADMIN')
      return !(privileged || flag === 'NEWUSER') || works(await child.trySpawn('trial', [flag]))
    },
  }
}

function capability(name: Capability): Requirement {
  return {
    reason: `${name} is missing`,
    met: async (child) => (await child.capabilities()).includes(name),
  }
}

function file(path: string, kconfig?: string): Requirement {
  return { reason: `${path} is absent`, ...(kconfig ? { kconfig } : {}), met: (child) => child.exists(path) }
}

/** Joining the namespace of a child. */
function joining(flag: Flag): Requirement {
  const file = NS_FILE[flag]
  return {
    reason: `setns joins no ${file} namespace (EINVAL)`,
    met: async (child) => {
      const other = await child.trySpawn('other', [flag])
      if (failed(other)) return false
      const nsfd = await child.try.open(`/proc/${other.pid}/ns/${file}`, O_RDONLY)
      return !failed(nsfd) && String(await child.try.setns(nsfd, CLONE[flag])) !== 'EINVAL'
    },
  }
}

/**
 * Whether the member has CAP_SYS_RESOURCE where limits ask for it: in the initial user namespace
 * (kernel/sys.c: do_prlimit asks the same). Found out by a child that raises a hard limit.
 */
export async function mayExceedLimits(member: Member): Promise<boolean> {
  const child = await member.spawn('child')
  const { hard } = await child.getrlimit(RLIMIT_NOFILE)
  await child.setrlimit(RLIMIT_NOFILE, 64, hard - 1)
  const raised = await child.try.setrlimit(RLIMIT_NOFILE, 64, hard)
  await child.killAndReap()
  return works(raised)
}

const LIMITS = [
  ...['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni'].map((name) => `kernel/${name}`),
  ...['msg_default', 'msg_max', 'msgsize_default', 'msgsize_max', 'queues_max'].map(
    (name) => `fs/mqueue/${name}`,
  ),
]

/** Whether a resource limit leaves room for so many bytes; -1 is RLIM_INFINITY. */
function enough(limit: number, bytes: number): boolean {
  return limit === -1 || limit >= bytes
}

/** What no descriptor is. */
const NO_DESCRIPTOR = -1

/** The part of a System V identifier that is the index (ipc/util.h: IPCMNI_SHIFT). */
const INDEX = 0x7fff

/** Some user other than root. */
const ANOTHER_USER = 40_000

async function ioctlWorks(child: Member, request: number): Promise<boolean> {
  const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
  const outcome = await child.try.ioctl64(descriptor, request)
  await child.close(descriptor)
  return works(outcome)
}

/** Of the own one, which everybody may open: a refusal is not the IPC namespace's. */
async function openHandleOfMountNamespace(child: Member): Promise<unknown> {
  const handle = await child.try.name_to_handle_at(await child.open('/proc/self/ns/mnt', O_RDONLY))
  return failed(handle) ? handle : child.try.open_by_handle_at(FD_NSFS_ROOT, handle)
}

/** Whether the work succeeds in new namespaces of these kinds, of a throw-away process; not where none can be had. */
async function inTrial(
  child: Member,
  flags: readonly Flag[],
  work: (trial: Member) => Promise<boolean>,
): Promise<boolean> {
  const trial = await child.trySpawn('trial', flags)
  if (failed(trial)) return false
  if (flags.includes('NEWNS')) await makePrivate(trial)
  return work(trial)
}

const table = {
  IPC_NS: namespace('NEWIPC', 'CONFIG_IPC_NS'),
  USER_NS: namespace('NEWUSER', 'CONFIG_USER_NS'),
  PID_NS: namespace('NEWPID', 'CONFIG_PID_NS'),
  UTS_NS: namespace('NEWUTS', 'CONFIG_UTS_NS'),
  NET_NS: namespace('NEWNET', 'CONFIG_NET_NS'),
  CGROUP_NS: namespace('NEWCGROUP', 'CONFIG_CGROUPS'),
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
  PROC_SYSVIPC: file('/proc/sysvipc/msg', 'CONFIG_SYSVIPC & CONFIG_PROC_FS'),
  // SYSCTL stands for /proc/sys: PROC_SYSCTL alone selects it, and from 7.x on there is only SYSCTL.
  SYSVIPC_SYSCTL: file('/proc/sys/kernel/msgmax', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  shm_rmid_forced: file('/proc/sys/kernel/shm_rmid_forced', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  auto_msgmni: file('/proc/sys/kernel/auto_msgmni', 'CONFIG_SYSVIPC & CONFIG_SYSCTL'),
  MQUEUE_SYSCTL: file('/proc/sys/fs/mqueue/queues_max', 'CONFIG_POSIX_MQUEUE & CONFIG_SYSCTL'),
  NEXT_ID: file('/proc/sys/kernel/msg_next_id', 'CONFIG_SYSVIPC & CONFIG_SYSCTL & CONFIG_CHECKPOINT_RESTORE'),
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
  'usual sysctls': {
    reason: 'the runner’s own IPC namespace has other limits than the kernel’s defaults',
    met: (child) =>
      inTrial(child, ['NEWIPC'], async (fresh) => {
        for (const name of LIMITS)
          if (
            String(await child.try.readFile(`/proc/sys/${name}`)) !==
            String(await fresh.try.readFile(`/proc/sys/${name}`))
          )
            return false
        return true
      }),
  },
  'limits that can be set': {
    reason: 'setrlimit is refused (EPERM)',
    met: async (child) => {
      const { soft, hard } = await child.getrlimit(RLIMIT_MSGQUEUE)
      return works(await child.try.setrlimit(RLIMIT_MSGQUEUE, soft, hard))
    },
  },
  'room to lock memory': {
    reason: 'RLIMIT_MEMLOCK of the runner is below 65536 bytes',
    met: async (child) => enough((await child.getrlimit(RLIMIT_MEMLOCK)).hard, 65_536),
  },
  'processes in sight': {
    reason: '/proc hides the processes of others (hidepid)',
    met: async (child) => {
      const path = `/proc/${await child.readlink('/proc/self')}/ns`
      const user = await child.spawn('user')
      return failed(await user.try.becomeUser(ANOTHER_USER)) || works(await user.try.stat(path))
    },
  },
  UTS_SYSCTL: file('/proc/sys/kernel/domainname', 'CONFIG_SYSCTL'),
  UCOUNT_SYSCTL: file('/proc/sys/user/max_ipc_namespaces', 'CONFIG_SYSCTL'),
  CAP_SYS_ADMIN: capability('CAP_SYS_ADMIN'),
  CAP_SYS_RESOURCE: {
    reason: 'CAP_SYS_RESOURCE is missing in the initial user namespace',
    met: mayExceedLimits,
  },
  'NO CAP_SYS_RESOURCE': {
    reason: 'CAP_SYS_RESOURCE lifts this limit here',
    met: async (child) => !(await mayExceedLimits(child)),
  },
  CAP_SETUID: {
    reason:
      'other users are out of reach: CAP_SETUID is missing, or the user namespace does not map their ids',
    met: async (child) => {
      const capable = (await child.capabilities()).includes('CAP_SETUID')
      return capable && works(await child.try.becomeUser(ANOTHER_USER))
    },
  },
  'own namespaces': {
    reason: 'the runner may not rejoin its own namespaces (EPERM)',
    met: async (child) =>
      works(await child.try.setns(await child.open('/proc/self/ns/ipc', O_RDONLY), CLONE.NEWIPC)),
  },
  'the runner’s user namespace': {
    reason: 'the runner starts this command itself, and everything else is in a user namespace of its own',
    met: async (child) => {
      const childs = await child.try.readlink('/proc/self/ns/user')
      return failed(childs) || childs === readlinkSync('/proc/self/ns/user')
    },
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
  'mounts in a user namespace': {
    reason: 'root of a user namespace may not change mounts (EPERM)',
    kconfig: 'CONFIG_USER_NS',
    met: async (child) => {
      const root = await child.trySpawn('root of a user namespace', ['NEWUSER', 'NEWNS'])
      return !failed(root) && works(await root.try.mount('', '/', '', MS_REC | MS_PRIVATE))
    },
  },
  'setns of pid namespaces': joining('NEWPID'),
  'setns of user namespaces': joining('NEWUSER'),
  'removable mounts': {
    reason: 'what an outer user namespace has mounted cannot be unmounted (EINVAL)',
    met: (child) =>
      inTrial(child, ['NEWNS'], async (trial) => works(await trial.try.umount('/proc', MNT_DETACH))),
  },
  'fresh procfs': {
    reason:
      'the procfs of the own pid namespace cannot be mounted: it belongs to an outer user namespace (EPERM)',
    met: (child) =>
      inTrial(child, ['NEWNS'], async (trial) => works(await trial.try.mount('proc', '/proc', 'proc'))),
  },
  CAP_CHECKPOINT_RESTORE: capability('CAP_CHECKPOINT_RESTORE'),
  CAP_CHOWN: capability('CAP_CHOWN'),
  CAP_DAC_OVERRIDE: capability('CAP_DAC_OVERRIDE'),
  CAP_KILL: capability('CAP_KILL'),
  CAP_SETFCAP: capability('CAP_SETFCAP'),
  CAP_SYS_CHROOT: capability('CAP_SYS_CHROOT'),
  CAP_SYS_PTRACE: capability('CAP_SYS_PTRACE'),
  ptrace: {
    reason: 'nobody may trace here: an LSM such as Yama or a sandbox forbids it (EPERM)',
    met: async (child) => {
      const target = await child.spawn('target')
      return works(await child.try.ptrace(PTRACE_SEIZE, target.pid))
    },
  },
  CAP_IPC_LOCK: capability('CAP_IPC_LOCK'),
  CAP_IPC_OWNER: capability('CAP_IPC_OWNER'),
  clone3: {
    reason: 'the kernel has no clone3 (ENOSYS)',
    met: async (child) => String(await child.try.cloneAndExit(0, 'clone3')) !== 'ENOSYS',
  },
  pidfd: {
    reason: 'the kernel has no pidfd_open (ENOSYS)',
    met: async (child) => works(await child.try.pidfd_open(await child.getpid())),
  },
  pidfd_getfd: {
    reason: 'the kernel has no pidfd_getfd (ENOSYS), or a sandbox forbids it (EPERM)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      return !failed(self) && works(await child.try.pidfd_getfd(self, self))
    },
  },
  'pidfd setns': {
    reason: 'setns takes no pidfd (EINVAL), or there is none (ENOSYS)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      if (failed(self)) return false
      // With 0 a kernel that knows pidfds says EINVAL as well; a capable caller may join its own.
      const outcome = await child.try.setns(self, CLONE.NEWIPC)
      await child.close(self)
      return works(outcome) || String(outcome) === 'EPERM'
    },
  },
  NS_GET_USERNS: {
    reason: 'the kernel has no NS_GET_USERNS (ENOTTY)',
    met: async (child) => {
      const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
      const outcome = await child.try.ioctl(descriptor, NS_GET_USERNS)
      await child.close(descriptor)
      return String(outcome) !== 'ENOTTY'
    },
  },
  NS_GET_ID: {
    reason: 'NS_GET_ID does not work on IPC namespaces (ENOTTY)',
    met: (child) => ioctlWorks(child, NS_GET_ID),
  },
  'namespace handles': {
    reason: 'namespaces have no file handles (EOPNOTSUPP), or a sandbox forbids to open them (EPERM)',
    kconfig: 'CONFIG_FHANDLE',
    besides: 'Linux 6.18',
    met: async (child) => {
      const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
      const made = works(await child.try.name_to_handle_at(descriptor))
      await child.close(descriptor)
      return made && String(await openHandleOfMountNamespace(child)) !== 'EPERM'
    },
  },
  'handles of foreign namespaces': {
    reason: 'handles of namespaces that one is not in do not open here (ESTALE)',
    kconfig: 'CONFIG_FHANDLE',
    besides: 'Linux 6.18',
    met: async (child) => {
      const foreign = await child.trySpawn('foreign', ['NEWIPC'])
      if (failed(foreign)) return false
      const nsfd = await foreign.open('/proc/self/ns/ipc', O_RDONLY)
      const handle = await foreign.try.name_to_handle_at(nsfd)
      const opened = failed(handle) ? handle : await child.try.open_by_handle_at(FD_NSFS_ROOT, handle)
      await foreign.killAndReap()
      return works(opened)
    },
  },
  listns: {
    reason: 'the kernel has no listns (ENOSYS)',
    met: async (child) => String(await child.try.listns(CLONE.NEWIPC)) !== 'ENOSYS',
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
  map_files: {
    reason: '/proc/PID/map_files cannot be opened',
    met: async (child) => {
      const [name] = await child.readdir('/proc/self/map_files').catch(() => [])
      return name !== undefined && works(await child.try.open(`/proc/self/map_files/${name}`, O_RDONLY))
    },
  },
  fsopen: {
    reason: 'the kernel has no fsopen (ENOSYS)',
    met: async (child) => String(await child.try.fsopen('mqueue')) !== 'ENOSYS',
  },
  'abstract sockets': {
    reason: 'the kernel has no UNIX sockets',
    kconfig: 'CONFIG_UNIX',
    met: async (child) => works(await child.try.socketpair()),
  },
  'netlink sockets': {
    reason: 'a sandbox forbids netlink sockets',
    kconfig: 'CONFIG_NET',
    met: async (child) => works(await child.try.netlinkSocket()),
  },
  INET: {
    reason: 'TCP over 127.0.0.1 does not work',
    kconfig: 'CONFIG_INET',
    met: async (child) => {
      const listening = await child.try.listenInet()
      return !failed(listening) && works(await child.try.connectInet(listening.port))
    },
  },
  keyrings: {
    reason: 'keyrings cannot be used here',
    kconfig: 'CONFIG_KEYS',
    // ENOSYS without them, EPERM or ENOSYS where a sandbox forbids the calls.
    met: async (child) =>
      works(await child.try.add_key('ipcns-trial', 'x', PROCESS_KEYRING)) &&
      String(await child.try.keyctlSearch(PROCESS_KEYRING, 'ipcns-no-such-key')) === 'ENOKEY',
  },
  sethostname: {
    reason: 'a sandbox forbids sethostname (EPERM)',
    met: (child) =>
      inTrial(child, ['NEWUTS'], async (trial) => works(await trial.try.sethostname('ipcns-trial'))),
  },
  'unprivileged user namespaces': {
    reason: 'user namespaces cannot be made without privilege here',
    kconfig: 'CONFIG_USER_NS',
    met: async (child) => {
      await child.becomeUser(65000)
      return works(await child.trySpawn('trial', ['NEWUSER']))
    },
  },
  PIDFD_GET_IPC_NAMESPACE: {
    reason: 'pidfds have no PIDFD_GET_IPC_NAMESPACE (ENOTTY)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      return !failed(self) && works(await child.try.ioctl(self, PIDFD_GET_IPC_NAMESPACE))
    },
  },
  PIDFD_THREAD: {
    reason: 'pidfd_open has no PIDFD_THREAD (EINVAL)',
    met: async (child) => works(await child.try.pidfd_open(await child.gettid(), PIDFD_THREAD)),
  },
  'kernel threads in sight': {
    reason: 'procfs does not show the kernel threads',
    met: async (child) => {
      const name = await child.try.readFile('/proc/2/comm')
      return name === 'kthreadd\n' && works(await child.try.readlink('/proc/2/ns/ipc'))
    },
  },
  'unshare(1)': {
    reason: 'unshare(1) is not installed',
    met: (child) => onPath(child, 'unshare'),
  },
  'nsenter(1)': {
    reason: 'nsenter(1) is not installed',
    met: (child) => onPath(child, 'nsenter'),
  },
  'lsns(1)': {
    reason: 'lsns(1) is not installed, or cannot list namespaces here',
    met: async (child) => {
      if (!(await onPath(child, 'lsns'))) return false
      // It also fails when some process, anybody's, ends while it reads /proc.
      for (let attempts = 20; attempts > 0; attempts -= 1)
        if ((await child.run(['lsns', '-t', 'ipc'])).exit === 0) return true
      return false
    },
  },
  'ipcs(1)': { reason: 'ipcs(1) is not installed', met: (child) => onPath(child, 'ipcs') },
  'ipcmk(1)': { reason: 'ipcmk(1) is not installed', met: (child) => onPath(child, 'ipcmk') },
  'readlink(1)': {
    reason: 'readlink(1) is not installed, or cp(1) is not',
    met: async (child) => (await onPath(child, 'readlink')) && (await onPath(child, 'cp')),
  },
  '/dev/mqueue': {
    reason: '/dev/mqueue does not exist as a place to mount on',
    met: (child) => child.exists('/dev/mqueue'),
  },
  '/dev/shm': { reason: '/dev/shm does not exist', met: (child) => child.exists('/dev/shm') },
} satisfies Record<string, Requirement>

/** Name of a requirement. */
export type RequirementName = keyof typeof table

/** A requirement by its name, with the kernel configuration that decides it, where one does. */
export interface Need {
  name: string
  kconfig?: string
}

/** The requirement of that name, as lists and predictions have it. */
export function needOf(name: RequirementName): Need {
  const { kconfig } = REQUIREMENTS[name]
  return kconfig === undefined ? { name } : { name, kconfig }
}

/** All requirements by name. */
export const REQUIREMENTS: Readonly<Record<RequirementName, Requirement>> = table

async function onPath(child: Member, command: string): Promise<boolean> {
  return (await pathOf(child, command)) !== undefined
}

/** Where a command is installed, as the member sees the file system. */
export async function pathOf(member: Member, command: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '/usr/bin:/bin').split(':'))
    if (await member.exists(`${directory}/${command}`)) return `${directory}/${command}`
  return undefined
}
