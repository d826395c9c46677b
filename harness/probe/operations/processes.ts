import { CAPABILITIES, type Capability, SIGKILL, WNOHANG } from '../constants.ts'
import { errnoName } from '../errno.ts'
import { syscall } from '../syscalls.ts'
import { addressOf, bind, bindRaw, fail } from '../system.ts'
import { tether } from '../tether.ts'
import { cString, timespec } from './structures.ts'

const libc = {
  getpid: bind<[]>('int getpid()'),
  getppid: bind<[]>('int getppid()'),
  getuid: bind<[]>('unsigned int getuid()'),
  geteuid: bind<[]>('unsigned int geteuid()'),
  getegid: bind<[]>('unsigned int getegid()'),
  kill: bind<[number, number]>('int kill(int pid, int signal)'),
  sigqueue: bind<[number, number, number]>('int sigqueue(int pid, int signal, uintptr_t value)'),
  waitpid: bind<[number, Buffer, number]>('int waitpid(int pid, void *status, int options)'),
  setsid: bind<[]>('int setsid()'),
  setresuid: bind<[number, number, number]>('int setresuid(unsigned int r, unsigned int e, unsigned int s)'),
  setresgid: bind<[number, number, number]>('int setresgid(unsigned int r, unsigned int e, unsigned int s)'),
  setfsuid: bind<[number]>('int setfsuid(unsigned int uid)'),
  setfsgid: bind<[number]>('int setfsgid(unsigned int gid)'),
  umask: bind<[number]>('unsigned int umask(unsigned int mask)'),
  setgroups: bind<[number, Buffer]>('int setgroups(size_t count, void *list)'),
  prctl: bind<[number, number, number, number, number]>(
    'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  ),
  getrlimit: bind<[number, Buffer]>('int getrlimit(int resource, void *limit)'),
  setrlimit: bind<[number, Buffer]>('int setrlimit(int resource, void *limit)'),
  sigprocmask: bind<[number, Buffer, number]>('int sigprocmask(int how, void *set, uintptr_t old)'),
  sigtimedwait: bind<[Buffer, Buffer, Buffer]>('int sigtimedwait(void *set, void *info, void *limit)'),
  sigaction: bind<[number, Buffer, number]>('int sigaction(int signal, void *action, uintptr_t old)'),
  ptrace: bind<[number, number, number, number]>(
    'long ptrace(long request, int pid, uintptr_t a, uintptr_t b)',
  ),
  pthread_create: bindRaw<[Buffer, number, number, number]>(
    'int pthread_create(void *thread, uintptr_t attributes, uintptr_t start, uintptr_t argument)',
  ),
}

/** What a signal brought with it (sigaction(2), siginfo_t). */
export interface SignalInfo {
  signal: number
  /** si_code: SI_USER, SI_MESGQ, … */
  code: number
  pid: number
  uid: number
  /** si_value: what was asked for with the notification, and 0 for a signal by kill(2). */
  value: number
}

/** How a child ended or stopped (waitpid(2)). */
export interface ChildStatus {
  pid: number
  exit: number | null
  signal: number | null
  stopped: boolean
}

function waitpid(pid: number, options: number): ChildStatus {
  const memory = Buffer.alloc(4)
  const found = libc.waitpid(pid, memory, options)
  const status = memory.readInt32LE(0)
  const stopped = (status & 0xff) === 0x7f
  const signal = status & 0x7f
  return {
    pid: found,
    exit: !stopped && signal === 0 ? (status >> 8) & 0xff : null,
    signal: stopped ? (status >> 8) & 0xff : signal === 0 ? null : signal,
    stopped,
  }
}

/** How children ended that were reaped before anybody asked. */
const reapedEarly = new Map<number, ChildStatus>()

/** To be called when a child was born: what is known of an earlier one with its pid is no longer true. */
export function forgetEnded(pid: number): void {
  reapedEarly.delete(pid)
}

/**
 * Kills a child that still runs, by a signal that ends it. One that has ended is reaped instead, and a pid that is
 * no child's any more is left alone: it may be anybody's by now. Throws ECHILD for that.
 */
function killChild(pid: number, signal = SIGKILL): number {
  const found = waitpid(pid, WNOHANG)
  if (found.pid === 0 || found.stopped) return libc.kill(pid, signal)
  reapedEarly.set(pid, found)
  return 0
}

/** Reaps every child that has ended; gives how many. A clone inherits the list but not the children. */
export function reapEnded(): number {
  let reaped = 0
  for (;;) {
    try {
      const ended = waitpid(-1, WNOHANG)
      if (ended.pid <= 0) return reaped
      reapedEarly.set(ended.pid, ended)
      reaped += 1
    } catch {
      return reaped // ECHILD: there is none.
    }
  }
}

function signalSet(signals: number[]): Buffer {
  const set = Buffer.alloc(128)
  for (const signal of signals) set[(signal - 1) >> 3]! |= 1 << ((signal - 1) & 7)
  return set
}

function limit(value: number): bigint {
  return value < 0 ? 0xffffffffffffffffn : BigInt(value)
}

function capabilityMask(names: readonly Capability[]): bigint {
  return names.reduce((mask, name) => mask | (1n << BigInt(CAPABILITIES[name])), 0n)
}

function capabilityNames(mask: bigint): Capability[] {
  return (Object.keys(CAPABILITIES) as Capability[]).filter(
    (name) => (mask >> BigInt(CAPABILITIES[name])) & 1n,
  )
}

const CAPABILITY_VERSION_3 = 0x20080522

function capabilityHeader(): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0)
  return header
}

function permitted(): bigint {
  const data = Buffer.alloc(24)
  syscall('capget', capabilityHeader(), data)
  return BigInt(data.readUInt32LE(4)) | (BigInt(data.readUInt32LE(16)) << 32n)
}

export const processOperations = {
  getpid: (): number => libc.getpid(),
  getppid: (): number => libc.getppid(),
  gettid: (): number => syscall('gettid'),
  getuid: (): number => libc.getuid(),
  geteuid: (): number => libc.geteuid(),
  getegid: (): number => libc.getegid(),
  /** kill(2). */
  kill: (pid: number, signal: number): number => libc.kill(pid, signal),
  /** sigqueue(3): a signal with a value. */
  sigqueue: (pid: number, signal: number, value: number): number => libc.sigqueue(pid, signal, value),
  /** tgkill(2): a signal to one thread of a process. */
  tgkill: (pid: number, tid: number, signal: number): number => syscall('tgkill', pid, tid, signal),
  killChild,
  /** waitpid(2). */
  waitpid: (pid: number, options = 0): ChildStatus => {
    const early = reapedEarly.get(pid)
    if (!early) return waitpid(pid, options)
    reapedEarly.delete(pid)
    return early
  },
  setsid: (): number => libc.setsid(),
  /** setresuid(2), then the tether and the dumpable flag again: a change of credentials clears both. */
  setresuid: (real: number, effective: number, saved: number): number => {
    const returned = libc.setresuid(real, effective, saved)
    tether()
    return returned
  },
  /** setresgid(2). */
  setresgid: (real: number, effective: number, saved: number): number => {
    const returned = libc.setresgid(real, effective, saved)
    tether()
    return returned
  },
  /** setfsuid(2), which tells no error: it answers with the id that was before. */
  setfsuid: (uid: number): number => {
    const before = libc.setfsuid(uid)
    tether()
    return before
  },
  /** setfsgid(2), which tells no error either. */
  setfsgid: (gid: number): number => {
    const before = libc.setfsgid(gid)
    tether()
    return before
  },
  /** umask(2): sets it, gives what was before. */
  umask: (mask: number): number => libc.umask(mask),
  /** setgroups(2). */
  setgroups: (groups: number[]): number => {
    const list = Buffer.alloc(4 * groups.length)
    for (const [index, group] of groups.entries()) list.writeUInt32LE(group, 4 * index)
    return libc.setgroups(groups.length, list)
  },
  /** Becomes another user for good, groups included: setgroups, setresgid, setresuid. */
  becomeUser: (uid: number, gid: number = uid): number => {
    libc.setgroups(0, Buffer.alloc(4))
    libc.setresgid(gid, gid, gid)
    libc.setresuid(uid, uid, uid)
    tether()
    return 0
  },
  /** capset(2): leaves just these capabilities effective; permitted ones stay unless `forGood`. */
  setCapabilities: (effective: Capability[], forGood = false): number => {
    const mask = capabilityMask(effective)
    const keep = forGood ? mask : permitted()
    const data = Buffer.alloc(24)
    data.writeUInt32LE(Number(mask & 0xffffffffn), 0)
    data.writeUInt32LE(Number(keep & 0xffffffffn), 4)
    data.writeUInt32LE(Number(mask >> 32n), 12)
    data.writeUInt32LE(Number(keep >> 32n), 16)
    const returned = syscall('capset', capabilityHeader(), data)
    tether()
    return returned
  },
  /** capget(2): names of the effective capabilities. */
  capabilities: (): Capability[] => {
    const data = Buffer.alloc(24)
    syscall('capget', capabilityHeader(), data)
    return capabilityNames(BigInt(data.readUInt32LE(0)) | (BigInt(data.readUInt32LE(12)) << 32n))
  },
  /** prctl(2). */
  prctl: (option: number, argument = 0): number => libc.prctl(option, argument, 0, 0, 0),
  /** getrlimit(2); -1 means no limit. */
  getrlimit: (resource: number): { soft: number; hard: number } => {
    const memory = Buffer.alloc(16)
    libc.getrlimit(resource, memory)
    return { soft: Number(memory.readBigInt64LE(0)), hard: Number(memory.readBigInt64LE(8)) }
  },
  /** setrlimit(2); -1 means no limit. */
  setrlimit: (resource: number, soft: number, hard: number): number => {
    const memory = Buffer.alloc(16)
    memory.writeBigUInt64LE(limit(soft), 0)
    memory.writeBigUInt64LE(limit(hard), 8)
    return libc.setrlimit(resource, memory)
  },
  /** sigprocmask(2) SIG_BLOCK, so that the signals wait for `sigtimedwait`. */
  blockSignals: (signals: number[]): number => libc.sigprocmask(0, signalSet(signals), 0),
  /** sigtimedwait(2); EAGAIN when none came within so many milliseconds. */
  sigtimedwait: (signals: number[], milliseconds: number): SignalInfo => {
    const info = Buffer.alloc(128)
    const signal = libc.sigtimedwait(signalSet(signals), info, timespec(milliseconds))
    return {
      signal,
      code: info.readInt32LE(8),
      pid: info.readInt32LE(16),
      uid: info.readUInt32LE(20),
      value: info.readInt32LE(24),
    }
  },
  /**
   * Lets a signal interrupt a blocked call with EINTR and do nothing else. The handler is a libc function
   * that has no effect: a JavaScript one could not run in the middle of a call.
   */
  interruptOn: (signal: number): number => {
    const action = Buffer.alloc(152)
    action.writeBigUInt64LE(addressOf('getpid'), 0)
    return libc.sigaction(signal, action, 0)
  },
  /** ptrace(2) PTRACE_SEIZE (0x4206), PTRACE_INTERRUPT (0x4207), PTRACE_DETACH (17). */
  ptrace: (request: number, pid: number): number => libc.ptrace(request, pid, 0, 0),
  /**
   * pthread_create(3) with a libc function of one argument as its start routine: `pause` for a second thread
   * that just lives, `unshare` for one that makes a namespace and ends.
   */
  startThread: (routine: 'pause' | 'unshare' | 'sleep', argument = 0): number => {
    const thread = Buffer.alloc(8)
    const error = libc.pthread_create(thread, 0, Number(addressOf(routine)), argument)
    if (error !== 0) fail(errnoName(error))
    return 0
  },
  /** add_key(2) of a user key into a keyring; gives its serial number. */
  add_key: (description: string, payload: string, keyring: number): number => {
    const data = Buffer.from(payload, 'latin1')
    return syscall('add_key', cString('user'), cString(description), data, data.length, keyring)
  },
  /** keyctl(2) KEYCTL_SEARCH of a user key; gives its serial number. */
  keyctlSearch: (keyring: number, description: string): number =>
    syscall('keyctl', 10, keyring, cString('user'), cString(description), 0),
  /** keyctl(2) KEYCTL_SET_TIMEOUT: the key is gone after so many seconds. */
  keyctlSetTimeout: (key: number, seconds: number): number => syscall('keyctl', 15, key, seconds, 0, 0),
  /** keyctl(2) KEYCTL_LINK. */
  keyctlLink: (key: number, keyring: number): number => syscall('keyctl', 8, key, keyring, 0, 0),
  /** keyctl(2) KEYCTL_UNLINK. */
  keyctlUnlink: (key: number, keyring: number): number => syscall('keyctl', 9, key, keyring, 0, 0),
}
