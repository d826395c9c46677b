/** How a probe makes another: clone(2), clone3(2), and execve(2) of the program anew. */
import { closeSync, readFileSync, readSync } from 'node:fs'
import { adopt, closeAllBut, connect, listenerPath, ownDescriptors } from './connection.ts'
import { SIGCHLD } from './constants.ts'
import { descriptorOperations } from './operations/descriptors.ts'
import { fileOperations } from './operations/files.ts'
import { forgetEnded, processOperations } from './operations/processes.ts'
import { cString } from './operations/structures.ts'
import { syscall, syscallNumber } from './syscalls.ts'
import { addressOf, addressOfBuffer, bind, bindRaw, fail, failWithErrno } from './system.ts'
import { tether, untether } from './tether.ts'
import { SINGLE_THREADED } from './v8-flags.ts'

const libc = {
  clone: bind<[number, number, number, number, Buffer, number, Buffer]>(
    'int clone(uintptr_t routine, uintptr_t stack, int flags, uintptr_t argument, void *parent, uintptr_t tls, void *child)',
  ),
  dup2: bind<[number, number]>('int dup2(int from, int to)'),
  execve: bind<[Buffer, Buffer, Buffer]>('int execve(void *path, void *arguments, void *environment)'),
}

/** Thrown in a fresh clone to leave everything that its creator was in the middle of. */
export class IsTheChild extends Error {}

const MADV_DOFORK = 11
/**
 * Above the two pages at 1 MB that user-mode Linux up to 5.11 maps into each process for itself: copied by a
 * clone they kill the parent. Programs and their heaps begin at 4 MB or higher.
 */
const LOWEST = 0x200000
/** Where the walk must end: a mapping that is VM_IO, as [vvar] is, would end it with EINVAL. */
const limit = vvarStart() ?? 2 ** 47 - 4096

function vvarStart(): number | null {
  try {
    const line = readFileSync('/proc/self/maps', 'latin1')
      .split('\n')
      .find((row) => /\[vvar/.test(row))
    return line ? Number.parseInt(line, 16) : null
  } catch {
    return null
  }
}

// Bound without the wrapper: see forkWith.
const madvise = bindRaw<[number, number, number]>('int madvise(uintptr_t address, size_t bytes, int advice)')
const rawClone = bindRaw<[number, number, number, number, number, number]>(
  'int syscall(long number, long flags, long stack, long parent, long child, long tls)',
)
const rawClone3 = bindRaw<[number, number, number]>('int syscall(long number, uintptr_t args, size_t bytes)')

const cloneNumber = syscallNumber('clone')
const clone3Number = syscallNumber('clone3')
/** Sizes of struct clone_args: of the first version, and of the one with set_tid (Linux 5.5). */
const CLONE_ARGS_BYTES = 64
const WITH_SET_TID_BYTES = 80
const clone3Args = Buffer.alloc(WITH_SET_TID_BYTES)
const clone3Address = Number(addressOfBuffer(clone3Args))
const wantedPid = Buffer.alloc(4)
const pidfdOfChild = Buffer.alloc(4)
const pidfdAddress = Number(addressOfBuffer(pidfdOfChild))
const span = limit - LOWEST

/**
 * Node marks V8's heap MADV_DONTFORK, page by page as it grows; a clone that lacks a page dies with SIGSEGV
 * when it, or a garbage collection, comes there. So the mark is taken away right before the clone, and
 * nothing between the two may allocate: no wrapper, no list, no bigint, no other function. (madvise gives
 * ENOMEM for the holes between mappings, which it skips.)
 */
function forkWith(bits: number): number {
  madvise(LOWEST, span, MADV_DOFORK)
  return rawClone(cloneNumber, bits, 0, pidfdAddress, 0, 0)
}

function forkWithClone3(bytes: number): number {
  madvise(LOWEST, span, MADV_DOFORK)
  return rawClone3(clone3Number, clone3Address, bytes)
}

/** What clone3(2) may be asked for and clone(2) may not. */
interface OnlyClone3 {
  /** The pid that the child is to have. */
  wanted?: number
  /** CLONE_CLEAR_SIGHAND, a flag above the 32 bits that clone(2) has. */
  clearSighand?: boolean
}

/** clone(2) or clone3(2) with SIGCHLD; 0 in the child. */
function fork(call: 'clone' | 'clone3', bits: number, { wanted, clearSighand }: OnlyClone3 = {}): number {
  let pid: number
  if (call === 'clone') {
    pid = forkWith(bits | SIGCHLD)
  } else {
    clone3Args.fill(0)
    clone3Args.writeUInt32LE(bits >>> 0, 0)
    clone3Args.writeUInt32LE(clearSighand ? 1 : 0, 4)
    clone3Args.writeBigUInt64LE(BigInt(SIGCHLD), 32)
    if (wanted !== undefined) {
      wantedPid.writeInt32LE(wanted)
      clone3Args.writeBigUInt64LE(addressOfBuffer(wantedPid), 64)
      clone3Args.writeBigUInt64LE(1n, 72)
    }
    pid = forkWithClone3(wanted === undefined ? CLONE_ARGS_BYTES : WITH_SET_TID_BYTES)
  }
  if (pid === -1) failWithErrno()
  if (pid > 0) forgetEnded(pid)
  return pid
}

export const birthOperations = {
  /**
   * Clones this probe with clone(2) or clone3(2). The parent answers with the child's pid; the child has
   * its own connection, opened here because the parent's namespaces are sure to reach the socket.
   * `keep` names descriptors that the child inherits; `outlive` lets it survive its creator;
   * `clearSighand` is CLONE_CLEAR_SIGHAND, which clone3(2) alone takes.
   */
  clone: (
    token: string,
    bits: number,
    call: 'clone' | 'clone3' = 'clone',
    options: { keep?: number[]; outlive?: boolean; clearSighand?: boolean } = {},
  ): number => {
    const connection = connect(token)
    let pid: number
    try {
      pid = fork(call, bits, { clearSighand: options.clearSighand ?? false })
    } catch (problem) {
      closeSync(connection)
      throw problem
    }
    if (pid === 0) {
      adopt(connection)
      closeAllBut([...ownDescriptors(), ...(options.keep ?? [])])
      if (options.outlive) untether()
      else tether()
      throw new IsTheChild()
    }
    closeSync(connection)
    return pid
  },
  /** The pidfd that the latest clone(2) of this probe with CLONE_PIDFD gave. */
  pidfdOfClone: (): number => pidfdOfChild.readInt32LE(0),
  /**
   * clone(2) or clone3(2) of a child that ends at once, for flags whose acceptance is the question: a child
   * that shares memory must not run a probe. Gives the child's pid.
   */
  cloneAndExit: (bits: number, call: 'clone' | 'clone3' = 'clone'): number => {
    const pid = fork(call, bits)
    if (pid === 0) exit(0)
    return pid
  },
  /**
   * clone3(2) with set_tid, of a child that is to have this pid and ends at once. A pid in use is refused
   * last of all, when the child's namespaces are made.
   */
  cloneWithPid: (bits: number, wanted: number): number => {
    const pid = fork('clone3', bits, { wanted })
    if (pid === 0) exit(0)
    return pid
  },
  /**
   * clone(2) of a child or thread that runs one libc function on a stack of its own, for flags with which
   * it shares memory or descriptors with this probe and so cannot be one. Gives its pid or tid. Only inside
   * a pid namespace of the cell: nothing ties it to its creator.
   */
  cloneFunction: (bits: number, routine: 'pause' | '_exit'): number => {
    const stack = Buffer.alloc(65536)
    stacks.push(stack)
    const top = (addressOfBuffer(stack) + 65536n) & ~15n
    const pid = libc.clone(Number(addressOf(routine)), Number(top), bits, 0, told.parent, 0, told.child)
    forgetEnded(pid)
    return pid
  },
  /** Ends the calling thread only (_exit(2) NOTES), never answering. */
  exitThread: (): number => syscall('exit', 0),
  /** Runs a command and waits for it; `output` is what it wrote, errors included, cut at 64 KiB. */
  run: (words: string[]): { exit: number; output: string } => {
    const [reader, writer] = descriptorOperations.pipe()
    const pid = fork('clone', 0)
    if (pid === 0) {
      tether()
      for (const standard of [1, 2]) libc.dup2(writer, standard)
      closeAllBut([])
      tryPath(words)
      exit(127)
    }
    closeSync(writer)
    const chunks: Buffer[] = []
    const chunk = Buffer.alloc(65536)
    for (let bytes = readSync(reader, chunk); bytes > 0; bytes = readSync(reader, chunk))
      if (chunks.length < 16) chunks.push(Buffer.from(chunk.subarray(0, bytes)))
    closeSync(reader)
    const { exit: status, signal } = processOperations.waitpid(pid)
    return {
      exit: status ?? 128 + (signal ?? 0),
      output: Buffer.concat(chunks).toString('utf8').slice(0, 65536),
    }
  },
  /**
   * execve(2) of this program again, on the same connection: the process keeps its pid and its namespaces
   * and becomes an ordinary Node process. `threads` adds worker threads, each a probe of its own with a
   * token; only a freshly started program can have them.
   */
  execProbe: (threads: string[] = [], keep: number[] = []): number => {
    const [socket = -1] = ownDescriptors()
    for (const descriptor of [socket, ...keep]) fileOperations.setCloseOnExec(descriptor, false)
    const words = [
      process.execPath,
      ...(threads.length === 0 ? SINGLE_THREADED : []),
      process.argv[1] ?? fail('ENOENT'),
      listenerPath(),
      `fd:${socket}`,
      ...threads,
    ]
    return execve(process.execPath, words)
  },
  /** execve(2) of another program; succeeds by never answering. */
  exec: (path: string, words: string[]): number => execve(path, words),
}

/** Stacks of threads and children that share memory: they must not be collected. */
const stacks: Buffer[] = []
/** Where clone(2) writes a pidfd or thread ids if the bits ask for them; nobody reads it. */
const told = { parent: Buffer.alloc(4), child: Buffer.alloc(4) }

function tryPath(words: string[]): void {
  const [command = ''] = words
  const directories = command.includes('/')
    ? ['']
    : (process.env.PATH ?? '/usr/bin:/bin:/usr/sbin:/sbin').split(':')
  for (const directory of directories) {
    try {
      execve(directory === '' ? command : `${directory}/${command}`, words)
    } catch {
      // Not in this directory.
    }
  }
}

function execve(path: string, words: string[]): number {
  const environment = Object.entries(process.env).map(([name, value]) => `${name}=${value}`)
  const vectors = [words, environment].map((list) => {
    const strings = list.map((word) => cString(word))
    const vector = Buffer.alloc(8 * (strings.length + 1))
    for (const [index, text] of strings.entries()) vector.writeBigUInt64LE(addressOfBuffer(text), 8 * index)
    return { vector, strings }
  })
  const [argv, envp] = vectors
  if (!argv || !envp) fail('EINVAL')
  return libc.execve(cString(path), argv.vector, envp.vector)
}

const libcExit = bind<[number]>('void _exit(int status)')

/** Ends this process at once. Node's own ways out hang in a clone: they join threads that it has not. */
export function exit(status: number): never {
  libcExit(status)
  throw new Error('unreachable: _exit does not return')
}
