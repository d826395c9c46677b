/**
 * POSIX message queues by their raw system calls: libc's wrappers check and change names, and start a
 * thread for SIGEV_THREAD. Names are given as to mq_open(3), with one leading slash, unless said otherwise.
 */
import { syscall } from '../syscalls.ts'
import { addressOfBuffer } from '../system.ts'
import { cString, timespec, unsigned } from './structures.ts'

/** struct mq_attr (mq_getattr(3)). */
export interface QueueAttributes {
  flags: number
  maxmsg: number
  msgsize: number
  curmsgs: number
}

/** A message as mq_receive(3) gives it. */
export interface Message {
  text: string
  priority: number
}

const SIGEV_SIGNAL = 0
const SIGEV_NONE = 1
const SIGEV_THREAD = 2

// What mq_notify reads by a plain address: it lives as long as the probe.
const cookieMemory = Buffer.alloc(32)

function kernelName(name: string): Buffer {
  return cString(name.startsWith('/') ? name.slice(1) : name)
}

function attributes(set: { flags?: number; maxmsg?: number; msgsize?: number }): Buffer {
  const memory = Buffer.alloc(64)
  memory.writeBigInt64LE(BigInt(set.flags ?? 0), 0)
  memory.writeBigInt64LE(BigInt(set.maxmsg ?? 0), 8)
  memory.writeBigInt64LE(BigInt(set.msgsize ?? 0), 16)
  return memory
}

function readAttributes(memory: Buffer): QueueAttributes {
  return {
    flags: unsigned(memory, 0),
    maxmsg: unsigned(memory, 8),
    msgsize: unsigned(memory, 16),
    curmsgs: unsigned(memory, 24),
  }
}

/** mq_timedsend and mq_timedreceive take an absolute time; a limit already over means: do not wait. */
function deadline(milliseconds: number): Buffer {
  return timespec(Date.now() + milliseconds)
}

/** mq_timedreceive(2); 0 for what is not asked for: the priority, or a time limit. */
function receive(descriptor: number, bytes: number, priority: Buffer | 0, limit: Buffer | 0): string {
  const body = Buffer.alloc(bytes)
  const length = syscall('mq_timedreceive', descriptor, body, bytes, priority, limit)
  return body.toString('latin1', 0, length)
}

export const posixQueueOperations = {
  /** mq_open(2) of an existing queue. */
  mq_open: (name: string, flags: number): number => syscall('mq_open', kernelName(name), flags, 0, 0),
  /**
   * mq_open(2) with O_CREAT. The smallest attributes are the default: RLIMIT_MSGQUEUE counts bytes per uid,
   * and namespaces that are dying still hold theirs. `null` asks for the namespace's own defaults.
   */
  mq_create: (
    name: string,
    flags: number,
    mode = 0o600,
    size: { maxmsg: number; msgsize: number } | null = { maxmsg: 1, msgsize: 64 },
  ): number => syscall('mq_open', kernelName(name), flags, mode, size === null ? 0 : attributes(size)),
  /** mq_open(2) with the name exactly as given, slash or not. */
  mq_open_raw: (name: string, flags: number, mode = 0o600): number =>
    syscall('mq_open', cString(name), flags, mode, attributes({ maxmsg: 1, msgsize: 64 })),
  /** mq_unlink(2). */
  mq_unlink: (name: string): number => syscall('mq_unlink', kernelName(name)),
  /** mq_timedsend(2) of a text; fails with ETIMEDOUT after so many milliseconds. */
  mq_send: (descriptor: number, text: string, priority = 0, milliseconds = 0): number => {
    const body = cString(text).subarray(0, -1)
    return syscall('mq_timedsend', descriptor, body, body.length, priority, deadline(milliseconds))
  },
  /** mq_timedreceive(2); `bytes` must be at least the queue's msgsize. */
  mq_receive: (descriptor: number, milliseconds = 0, bytes = 8192): string =>
    receive(descriptor, bytes, 0, deadline(milliseconds)),
  /** mq_timedreceive(2), the message with its priority; `null` waits without a time limit. */
  mq_receive_whole: (descriptor: number, milliseconds: number | null = 0, bytes = 8192): Message => {
    const priority = Buffer.alloc(4)
    const text = receive(descriptor, bytes, priority, milliseconds === null ? 0 : deadline(milliseconds))
    return { text, priority: priority.readUInt32LE(0) }
  },
  /** mq_receive(3) without a time limit: blocks until a message comes or the member is killed. */
  mq_receive_blocking: (descriptor: number, bytes = 8192): string => receive(descriptor, bytes, 0, 0),
  /** mq_getattr(3). */
  mq_getattr: (descriptor: number): QueueAttributes => {
    const old = Buffer.alloc(64)
    syscall('mq_getsetattr', descriptor, 0, old)
    return readAttributes(old)
  },
  /** mq_setattr(3): sets the flags, gives what was before. */
  mq_setattr: (descriptor: number, flags: number): QueueAttributes => {
    const old = Buffer.alloc(64)
    syscall('mq_getsetattr', descriptor, attributes({ flags }), old)
    return readAttributes(old)
  },
  /** mq_notify(2) with a signal that brings `value` (sigevent(3type)), or with SIGEV_NONE where the signal is 0. */
  mq_notify: (descriptor: number, signal: number, value = 0): number => {
    const event = Buffer.alloc(64)
    event.writeInt32LE(value, 0)
    event.writeInt32LE(signal, 8)
    event.writeInt32LE(signal === 0 ? SIGEV_NONE : SIGEV_SIGNAL, 12)
    return syscall('mq_notify', descriptor, event)
  },
  /**
   * mq_notify(2) with SIGEV_THREAD as mq_notify(3) uses it: a notification is the cookie on a netlink socket, its
   * 32nd byte 1. libc starts its thread when it reads that.
   */
  mq_notify_thread: (descriptor: number, socket: number, cookie: string): number => {
    cookieMemory.fill(0).write(cookie, 'latin1')
    const event = Buffer.alloc(64)
    event.writeBigUInt64LE(addressOfBuffer(cookieMemory), 0)
    event.writeInt32LE(socket, 8)
    event.writeInt32LE(SIGEV_THREAD, 12)
    return syscall('mq_notify', descriptor, event)
  },
  /** mq_notify(2) with no event: gives the registration up. */
  mq_notify_remove: (descriptor: number): number => syscall('mq_notify', descriptor, 0),
}
