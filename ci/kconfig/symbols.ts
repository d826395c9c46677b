import { PROFILES, type Profile } from '../../harness/rules/profiles.ts'

/** A configuration symbol that this suite cares for. */
export interface KernelSymbol {
  /** Without `CONFIG_`. */
  name: string
  /** The least profile that cannot do without it; `never`: some rules need it, no profile insists. */
  requiredBy: Profile | 'never'
  /** What is not known about a kernel without it, one clause. */
  why: string
  /** Where in the kernel's source or manual pages that stands. */
  source: string
  /**
   * What it needs besides, by name; a fragment must switch these on too. (Only what is itself a choice:
   * `make olddefconfig` sees to what follows by itself.)
   */
  needs?: readonly string[]
  /** It has no prompt: it follows from `needs`, and a fragment that sets it is ignored. */
  derived?: boolean
  /** The first kernel that has it as a symbol; before, the feature was always built in. */
  optionSince?: string
}

/**
 * Every symbol with its reason. Required by `quick` is that without which a whole mechanism cannot be judged
 * or the suite itself cannot run; by `default`, what the flag sets of the mission need; by `full`, what any
 * rule that is not about memory or foreign binaries needs, so that nothing is skipped for the configuration.
 */
export const SYMBOLS: readonly KernelSymbol[] = [
  {
    name: 'NAMESPACES',
    requiredBy: 'quick',
    why: 'the menu of all namespace kinds; without it there is no IPC namespace to test',
    source: 'init/Kconfig; namespaces(7)',
  },
  {
    name: 'IPC_NS',
    requiredBy: 'quick',
    why: 'the namespace under test: without it CLONE_NEWIPC is EINVAL (ENT-31); needs SYSVIPC or POSIX_MQUEUE',
    source: 'init/Kconfig; include/linux/ipc_namespace.h; ipc_namespaces(7)',
    needs: ['NAMESPACES'],
  },
  {
    name: 'SYSVIPC',
    requiredBy: 'quick',
    why: 'message queues, semaphores and shared memory: all their calls are ENOSYS without it (ENT-32)',
    source: 'init/Kconfig; ipc/Makefile; sysvipc(7)',
  },
  {
    name: 'POSIX_MQUEUE',
    requiredBy: 'quick',
    why: 'POSIX message queues: mq_open is ENOSYS and mqueue cannot be mounted without it (ENT-32)',
    source: 'init/Kconfig; ipc/Makefile; mq_overview(7)',
    needs: ['NET'],
  },
  {
    name: 'PROC_FS',
    requiredBy: 'quick',
    why: 'namespaces are told apart and entered by /proc/PID/ns/ipc; /proc/sysvipc lists the objects',
    source: 'fs/proc/namespaces.c; ipc/util.c: sysvipc_proc_open',
  },
  {
    name: 'NET',
    requiredBy: 'quick',
    why: 'sockets; POSIX_MQUEUE depends on it',
    source: 'net/Kconfig; init/Kconfig: POSIX_MQUEUE',
  },
  {
    name: 'UNIX',
    requiredBy: 'quick',
    why: 'the harness talks to its probes over a UNIX socket, and passes queue descriptors over one',
    source: 'net/unix/Kconfig; unix(7)',
    needs: ['NET'],
  },
  {
    name: 'FUTEX',
    requiredBy: 'quick',
    why: 'Node.js and the C library do not start without it',
    source: 'init/Kconfig; futex(2)',
  },
  {
    name: 'EPOLL',
    requiredBy: 'quick',
    why: 'the event loop of Node.js',
    source: 'init/Kconfig; epoll(7)',
  },
  {
    name: 'EVENTFD',
    requiredBy: 'quick',
    why: 'the event loop of Node.js',
    source: 'init/Kconfig; eventfd(2)',
  },
  {
    name: 'BINFMT_ELF',
    requiredBy: 'quick',
    why: 'starts Node.js and every command',
    source: 'fs/Kconfig.binfmt',
  },
  {
    name: 'ADVISE_SYSCALLS',
    requiredBy: 'quick',
    why: 'a probe makes its memory inheritable with madvise(MADV_DOFORK) before it clones itself',
    source: 'mm/Kconfig or init/Kconfig; madvise(2)',
    optionSince: '3.18',
  },
  {
    name: 'USER_NS',
    requiredBy: 'default',
    why: 'NEWUSER in a flag set, ownership of namespaces, and every run without root',
    source: 'init/Kconfig; user_namespaces(7)',
    needs: ['NAMESPACES'],
  },
  {
    name: 'PID_NS',
    requiredBy: 'default',
    why: 'NEWPID in a flag set, and the translation of pids in IPC status (PID area)',
    source: 'init/Kconfig; pid_namespaces(7)',
    needs: ['NAMESPACES'],
  },
  {
    name: 'UTS_NS',
    requiredBy: 'default',
    why: 'NEWUTS in a flag set, and the control "another namespace does not isolate IPC"',
    source: 'init/Kconfig; uts_namespaces(7)',
    needs: ['NAMESPACES'],
  },
  {
    name: 'NET_NS',
    requiredBy: 'full',
    why: 'NEWNET in a flag set',
    source: 'net/Kconfig or init/Kconfig; network_namespaces(7)',
    needs: ['NAMESPACES', 'NET'],
  },
  {
    name: 'CGROUPS',
    requiredBy: 'full',
    why: 'NEWCGROUP in a flag set: the cgroup namespace has no symbol of its own',
    source: 'init/Kconfig; kernel/cgroup/namespace.c; cgroup_namespaces(7)',
  },
  {
    name: 'SYSVIPC_SYSCTL',
    requiredBy: 'full',
    why: '/proc/sys/kernel/msgmax and its kin, each per namespace (SYS, LIM areas)',
    source: 'init/Kconfig; ipc/ipc_sysctl.c',
    needs: ['SYSVIPC', 'PROC_SYSCTL'],
    derived: true,
  },
  {
    name: 'POSIX_MQUEUE_SYSCTL',
    requiredBy: 'full',
    why: '/proc/sys/fs/mqueue, per namespace (SYS, LIM areas)',
    source: 'init/Kconfig; ipc/mq_sysctl.c; mq_overview(7)',
    needs: ['POSIX_MQUEUE', 'PROC_SYSCTL'],
    derived: true,
  },
  {
    name: 'SYSCTL',
    requiredBy: 'full',
    why: 'what both IPC sysctl symbols depend on; selected by PROC_SYSCTL',
    source: 'init/Kconfig; fs/proc/Kconfig',
    needs: ['PROC_SYSCTL'],
    derived: true,
  },
  {
    name: 'PROC_SYSCTL',
    requiredBy: 'full',
    why: '/proc/sys, through which every sysctl rule reads and writes',
    source: 'fs/proc/Kconfig; proc(5)',
    needs: ['PROC_FS'],
  },
  {
    name: 'CHECKPOINT_RESTORE',
    requiredBy: 'full',
    why: 'msgrcv(MSG_COPY) and the *_next_id sysctls that set ids apart (SVK-23, SYS-15)',
    source: 'ipc/msg.c: prepare_copy; ipc/ipc_sysctl.c; msgop(2)',
    needs: ['PROC_FS'],
  },
  {
    name: 'FHANDLE',
    requiredBy: 'full',
    why: 'file handles of namespaces, by which a namespace is seen to die (NSI-09, OBS area)',
    source: 'fs/fhandle.c; name_to_handle_at(2)',
  },
  {
    name: 'MULTIUSER',
    requiredBy: 'full',
    why: 'other users, and capabilities given up one by one; without it every process is root',
    source: 'init/Kconfig; capabilities(7)',
    optionSince: '4.1',
  },
  {
    name: 'SHMEM',
    requiredBy: 'full',
    why: 'shared memory that swaps and is counted; without it segments live in ramfs',
    source: 'mm/Kconfig or init/Kconfig; mm/shmem.c',
  },
  {
    name: 'TMPFS',
    requiredBy: 'full',
    why: '/dev/shm: POSIX shared memory is the mechanism that NEWIPC does not isolate (NOT-04)',
    source: 'fs/Kconfig; shm_overview(7)',
    needs: ['SHMEM'],
  },
  {
    name: 'KEYS',
    requiredBy: 'full',
    why: 'keyrings, a mechanism between processes that NEWIPC does not isolate (NOT area)',
    source: 'security/keys/Kconfig; keyrings(7)',
  },
  {
    name: 'MEMCG',
    requiredBy: 'never',
    why: 'IPC objects are charged to the cgroup of their creator (LIM-20)',
    source: 'init/Kconfig; mm/memcontrol.c',
    needs: ['CGROUPS'],
  },
  {
    name: 'HUGETLBFS',
    requiredBy: 'never',
    why: 'SHM_HUGETLB segments (SHA-19)',
    source: 'fs/Kconfig; shmget(2)',
  },
  {
    name: 'SYSVIPC_COMPAT',
    requiredBy: 'never',
    why: 'the same calls from 32-bit programs; follows from IA32_EMULATION or COMPAT',
    source: 'init/Kconfig; ipc/compat.c',
    needs: ['SYSVIPC'],
    derived: true,
  },
]

/** Whether a run of this profile cannot do without the symbol. */
export function isRequired(symbol: KernelSymbol, profile: Profile): boolean {
  return symbol.requiredBy !== 'never' && PROFILES.indexOf(symbol.requiredBy) <= PROFILES.indexOf(profile)
}

/** The table's entry of a symbol, named without `CONFIG_`. */
export function symbolNamed(name: string): KernelSymbol | undefined {
  return SYMBOLS.find((symbol) => symbol.name === name)
}
