/** The probe's end of its connection to the harness: lines of JSON over a UNIX stream socket. */
import { closeSync, readdirSync, readlinkSync, readSync, writeSync } from 'node:fs'
import { O_CLOEXEC } from './constants.ts'
import { unixAddress } from './operations/descriptors.ts'
import { syscall } from './syscalls.ts'
import { bind, retrying, SystemCallFailure } from './system.ts'

const libc = {
  socket: bind<[number, number, number]>('int socket(int domain, int type, int protocol)'),
  connect: bind<[number, Buffer, number]>('int connect(int descriptor, void *address, unsigned int length)'),
}

const AF_UNIX = 1
const SOCK_STREAM_CLOEXEC = 1 | O_CLOEXEC

let socket = -1
/** Directory of the harness's socket; held open because a rule may mount something over its path. */
let directory = -1
let path = ''
let pending = ''
const input = Buffer.alloc(65536)

/**
 * Node's own eventfds. A garbage collection may post a task and wake the event loop through one, and libuv
 * aborts the process when it is closed; kept open it means nothing, since a probe never runs that loop.
 */
const wakeups = eventfds()

function eventfds(): number[] {
  try {
    return readdirSync('/proc/self/fd')
      .map(Number)
      .filter((descriptor) => linkOf(descriptor) === 'anon_inode:[eventfd]')
  } catch {
    return []
  }
}

function linkOf(descriptor: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    // It was the one that listed the directory.
    return ''
  }
}

function isCode(problem: unknown, code: string): boolean {
  return problem instanceof Error && 'code' in problem && problem.code === code
}

/** Remembers where the harness listens. */
export function listenerAt(socketPath: string, directoryDescriptor: number): void {
  path = socketPath
  directory = directoryDescriptor
}

/** Where the harness listens, for a program that is started anew. */
export function listenerPath(): string {
  return path
}

/** The descriptors the probe needs itself. */
export function ownDescriptors(): number[] {
  return [socket, directory].filter((descriptor) => descriptor >= 0)
}

/** Opens one more connection and says who it will belong to; the caller owns the descriptor. */
export function connect(token: string): number {
  const descriptor = libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0)
  try {
    connectTo(descriptor, path)
  } catch {
    connectTo(descriptor, `/proc/self/fd/${directory}/sock`)
  }
  writeSync(descriptor, `${JSON.stringify({ token })}\n`)
  return descriptor
}

function connectTo(descriptor: number, target: string): void {
  const address = unixAddress(target)
  retrying(() => libc.connect(descriptor, address, address.length))
}

/** Makes this the probe's own connection and forgets the one inherited, unread input included. */
export function adopt(descriptor: number): void {
  socket = descriptor
  pending = ''
}

/** Closes every descriptor but standard streams, Node's wake-ups and these: an inherited nsfd would be a pin. */
export function closeAllBut(keep: readonly number[]): void {
  let first = 3
  for (const descriptor of [...new Set([...keep, ...wakeups])].sort((a, b) => a - b)) {
    if (descriptor < 3) continue
    if (descriptor > first) closeRange(first, descriptor - 1)
    first = descriptor + 1
  }
  closeRange(first, 0x7fffffff)
}

function closeRange(first: number, last: number): void {
  try {
    syscall('close_range', first, last, 0)
  } catch (problem) {
    if (!(problem instanceof SystemCallFailure)) throw problem
    // Linux before 5.9: one by one, as far as a probe's descriptors go.
    for (let descriptor = first; descriptor <= Math.min(last, 256); descriptor += 1) {
      try {
        closeSync(descriptor)
      } catch {
        // Not open.
      }
    }
  }
}

/** The next line, or null at end-of-file, which means that the harness is gone or wants the probe gone. */
export function readLine(): string | null {
  for (;;) {
    const end = pending.indexOf('\n')
    if (end >= 0) {
      const line = pending.slice(0, end)
      pending = pending.slice(end + 1)
      return line
    }
    let bytes: number
    try {
      bytes = readSync(socket, input)
    } catch (problem) {
      if (isCode(problem, 'EINTR')) continue
      return null
    }
    if (bytes === 0) return null
    pending += input.toString('utf8', 0, bytes)
  }
}

/** Sends one line; a harness that is gone is noticed at the next read. */
export function writeLine(line: string): void {
  let rest = Buffer.from(`${line}\n`)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(socket, rest))
    } catch (problem) {
      if (!isCode(problem, 'EINTR')) return
    }
  }
}
