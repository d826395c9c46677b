/**
 * System calls that libc does not wrap, or wraps with a variadic function or behaviour of its own, by
 * number. Numbers are those of arch/x86/entry/syscalls/syscall_64.tbl and of the generic table
 * (include/uapi/asm-generic/unistd.h: arm64, riscv64, loong64).
 */
import { bind, fail } from './system.ts'

const newer = {
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  pidfd_open: 434,
  clone3: 435,
  close_range: 436,
  pidfd_getfd: 438,
  listns: 470,
}

const x64 = {
  ...newer,
  clone: 56,
  exit: 60,
  semctl: 66,
  capget: 125,
  capset: 126,
  gettid: 186,
  futex: 202,
  tgkill: 234,
  semtimedop: 220,
  mq_open: 240,
  mq_unlink: 241,
  mq_timedsend: 242,
  mq_timedreceive: 243,
  mq_notify: 244,
  mq_getsetattr: 245,
  add_key: 248,
  keyctl: 250,
  kcmp: 312,
}

const generic: Record<keyof typeof x64, number> = {
  ...newer,
  clone: 220,
  exit: 93,
  semctl: 191,
  capget: 90,
  capset: 91,
  gettid: 178,
  futex: 98,
  tgkill: 131,
  semtimedop: 192,
  mq_open: 180,
  mq_unlink: 181,
  mq_timedsend: 182,
  mq_timedreceive: 183,
  mq_notify: 184,
  mq_getsetattr: 185,
  add_key: 217,
  keyctl: 219,
  kcmp: 272,
}

/** Name of a system call that is made by number. */
export type SyscallName = keyof typeof x64

const tables: Readonly<Record<string, Record<SyscallName, number>>> = {
  x64,
  arm64: generic,
  riscv64: generic,
  loong64: generic,
}

const numbers = tables[process.arch] ?? x64

/** One argument: a number, or memory. */
export type SyscallArgument = number | bigint | Buffer | null

const prototypes = new Map<string, (...args: SyscallArgument[]) => number>()

/** Makes a system call by name; throws SystemCallFailure with the errno's name. */
export function syscall(name: SyscallName, ...args: SyscallArgument[]): number {
  if (!(process.arch in tables)) fail('ENOSYS')
  // koffi wants a type for each argument: a Buffer goes as a pointer, everything else as a long.
  const types = args.map((argument) => (Buffer.isBuffer(argument) ? 'void *' : 'long'))
  const prototype = `long syscall(${['long', ...types].join(', ')})`
  let call = prototypes.get(prototype)
  if (!call) {
    call = bind(prototype)
    prototypes.set(prototype, call)
  }
  return call(numbers[name], ...args.map((argument) => argument ?? 0))
}

/** The number of a system call, for the one caller that must not go through a wrapper. */
export function syscallNumber(name: SyscallName): number {
  return numbers[name]
}
