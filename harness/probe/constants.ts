/**
 * Numbers of the kernel's interface that the rules and the probe share. Values are those of every 64-bit
 * architecture that the probe supports (include/uapi/linux).
 */

// ipc.h, msg.h, sem.h, shm.h
export const IPC_CREAT = 0o1000
export const IPC_EXCL = 0o2000
export const IPC_NOWAIT = 0o4000
export const IPC_PRIVATE = 0
export const MSG_NOERROR = 0o10000
export const MSG_EXCEPT = 0o20000
export const MSG_COPY = 0o40000
export const SEM_UNDO = 0x1000
export const SHM_RDONLY = 0o10000
export const SHM_RND = 0o20000
export const SHM_REMAP = 0o40000
export const SHM_EXEC = 0o100000
export const SHM_HUGETLB = 0o4000
/** No swap is set aside for the segment. */
export const SHM_NORESERVE = 0o10000
export const SHM_DEST = 0o1000
export const SHM_LOCKED = 0o2000

// sched.h
export const CLONE = {
  NEWNS: 0x00020000,
  NEWCGROUP: 0x02000000,
  NEWUTS: 0x04000000,
  NEWIPC: 0x08000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
  VM: 0x00000100,
  FS: 0x00000200,
  FILES: 0x00000400,
  SIGHAND: 0x00000800,
  PIDFD: 0x00001000,
  VFORK: 0x00004000,
  PARENT: 0x00008000,
  THREAD: 0x00010000,
  SYSVSEM: 0x00040000,
  PARENT_SETTID: 0x00100000,
  CHILD_CLEARTID: 0x00200000,
  UNTRACED: 0x00800000,
  CHILD_SETTID: 0x01000000,
  // The sign bit: as C’s int, and as sums of bits are in this language.
  IO: 0x80000000 | 0,
} as const

/** The clone(2) bits of a further thread of the caller’s process. */
export const THREAD_BITS = CLONE.VM | CLONE.FS | CLONE.FILES | CLONE.SIGHAND | CLONE.THREAD

/** A namespace flag without its `CLONE_`, as cells name it. */
export type Flag = 'NEWIPC' | 'NEWNS' | 'NEWPID' | 'NEWUTS' | 'NEWUSER' | 'NEWNET' | 'NEWCGROUP'

/** All namespace flags, in the order in which cells name them. */
export const FLAGS: readonly Flag[] = [
  'NEWIPC',
  'NEWNS',
  'NEWPID',
  'NEWUTS',
  'NEWUSER',
  'NEWNET',
  'NEWCGROUP',
]

/** The clone(2) bits of a set of flags. */
export function cloneBits(flags: readonly Flag[]): number {
  return flags.reduce((bits, flag) => bits | CLONE[flag], 0)
}

/** The file below /proc/PID/ns of each namespace flag. */
export const NS_FILE: Readonly<Record<Flag, string>> = {
  NEWIPC: 'ipc',
  NEWNS: 'mnt',
  NEWPID: 'pid',
  NEWUTS: 'uts',
  NEWUSER: 'user',
  NEWNET: 'net',
  NEWCGROUP: 'cgroup',
}

// fcntl.h (x86 and generic differ only in O_DIRECTORY, O_NOFOLLOW; those come from node:fs)
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_TRUNC = 0o1000
export const O_NONBLOCK = 0o4000
export const O_ASYNC = 0o20000
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
export const F_SETFL = 4
export const F_GETLK = 5
export const F_SETLK = 6
export const F_SETOWN = 8
export const F_OFD_SETLK = 37
export const AT_FDCWD = -100
export const AT_EMPTY_PATH = 0x1000

// signal.h
export const SIGHUP = 1
export const SIGINT = 2
export const SIGQUIT = 3
export const SIGKILL = 9
export const SIGUSR1 = 10
export const SIGTERM = 15
export const SIGCHLD = 17
export const SIGCONT = 18
export const SIGSTOP = 19
export const SIGIO = 29
export const SI_USER = 0
export const SI_QUEUE = -1
export const SI_MESGQ = -3

// wait.h
export const WNOHANG = 1

// poll.h
export const POLLIN = 1
export const POLLOUT = 4

// nsfs.h
export const NS_GET_USERNS = 0xb701
export const NS_GET_PARENT = 0xb702
export const NS_GET_NSTYPE = 0xb703
export const NS_GET_OWNER_UID = 0xb704
export const NS_GET_MNTNS_ID = 0x8008b705
export const NS_GET_PID_FROM_PIDNS = 0x8004b706
export const NS_GET_TGID_FROM_PIDNS = 0x8004b707
export const NS_GET_PID_IN_PIDNS = 0x8004b708
export const NS_GET_TGID_IN_PIDNS = 0x8004b709
export const NS_GET_ID = 0x8008b70d
/** Inode numbers of the initial namespaces (include/uapi/linux/nsfs.h: enum init_ns_ino). */
export const INITIAL_INODE = { ipc: 0xefffffff, uts: 0xeffffffe, user: 0xeffffffd, pid: 0xeffffffc } as const
export const FD_NSFS_ROOT = -10003
export const NSFS_HANDLE_TYPE = 0xf1

// pidfd.h
export const PIDFD_THREAD = O_EXCL
export const PIDFD_GET_IPC_NAMESPACE = 0xff02

// mount.h
export const MS_RDONLY = 1
export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MS_NOEXEC = 8
export const MS_REMOUNT = 0x20
export const MS_BIND = 0x1000
export const MS_REC = 0x4000
export const MS_PRIVATE = 0x40000
export const MS_SLAVE = 0x80000
export const MNT_DETACH = 2
export const FSCONFIG_CMD_CREATE = 6
export const MOVE_MOUNT_F_EMPTY_PATH = 4

// resource.h
export const RLIMIT_NOFILE = 7
export const RLIMIT_MEMLOCK = 8
export const RLIMIT_MSGQUEUE = 12

// prctl.h
export const PR_SET_PDEATHSIG = 1
export const PR_SET_DUMPABLE = 4
export const PR_SET_KEEPCAPS = 8
export const PR_SET_CHILD_SUBREAPER = 36

/** Capabilities by name, with their bit (capability.h). */
export const CAPABILITIES = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_DAC_READ_SEARCH: 2,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_LINUX_IMMUTABLE: 9,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_BROADCAST: 11,
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_IPC_LOCK: 14,
  CAP_IPC_OWNER: 15,
  CAP_SYS_MODULE: 16,
  CAP_SYS_RAWIO: 17,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_PACCT: 20,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_BOOT: 22,
  CAP_SYS_NICE: 23,
  CAP_SYS_RESOURCE: 24,
  CAP_SYS_TIME: 25,
  CAP_SYS_TTY_CONFIG: 26,
  CAP_MKNOD: 27,
  CAP_LEASE: 28,
  CAP_AUDIT_WRITE: 29,
  CAP_AUDIT_CONTROL: 30,
  CAP_SETFCAP: 31,
  CAP_MAC_OVERRIDE: 32,
  CAP_MAC_ADMIN: 33,
  CAP_SYSLOG: 34,
  CAP_WAKE_ALARM: 35,
  CAP_BLOCK_SUSPEND: 36,
  CAP_AUDIT_READ: 37,
  CAP_PERFMON: 38,
  CAP_BPF: 39,
  CAP_CHECKPOINT_RESTORE: 40,
} as const

/** A capability's name. */
export type Capability = keyof typeof CAPABILITIES

/** Keyrings by their special serial numbers (keyctl(2)). */
export const PROCESS_KEYRING = -2
export const USER_KEYRING = -4

/** A request of ptrace(2). */
export const PTRACE_SEIZE = 0x4206
