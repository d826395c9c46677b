import { IPC_NOWAIT } from '../constants.ts'
import { bind, SystemCallFailure } from '../system.ts'
import { cString, type Permissions, readPermissions, unsigned, writePermissions } from './structures.ts'

const libc = {
  msgget: bind<[number, number]>('int msgget(int key, int flags)'),
  msgsnd: bind<[number, Buffer, number, number]>(
    'int msgsnd(int id, void *message, size_t bytes, int flags)',
  ),
  msgrcv: bind<[number, Buffer, number, number, number]>(
    'long msgrcv(int id, void *message, size_t bytes, long type, int flags)',
  ),
  msgctl: bind<[number, number, Buffer | null]>('int msgctl(int id, int command, void *status)'),
}

/** A message of type 1 with so many bytes of text, all 0. */
function messageOf(bytes: number): Buffer {
  const message = Buffer.alloc(8 + bytes)
  message.writeBigInt64LE(1n)
  return message
}

const COMMAND = {
  IPC_RMID: 0,
  IPC_SET: 1,
  IPC_STAT: 2,
  MSG_STAT: 11,
  MSG_STAT_ANY: 13,
  IPC_INFO: 3,
  MSG_INFO: 12,
} as const

/** struct msqid_ds (msgctl(2)); times in seconds since 1970, sizes in bytes. */
export interface MessageQueueStatus {
  /** What the call returned: 0 for IPC_STAT, the identifier for MSG_STAT. */
  returned: number
  perm: Permissions
  stime: number
  rtime: number
  ctime: number
  cbytes: number
  qnum: number
  qbytes: number
  lspid: number
  lrpid: number
}

/** struct msginfo (msgctl(2)); with MSG_INFO msgpool counts queues, msgmap messages, msgtql bytes. */
export interface MessageQueueInfo {
  /** Highest used index of the namespace's table. */
  highest: number
  msgpool: number
  msgmap: number
  msgmax: number
  msgmnb: number
  msgmni: number
  msgtql: number
}

export const messageQueueOperations = {
  /** msgget(2). */
  msgget: (key: number, flags: number): number => libc.msgget(key, flags),
  /** msgsnd(2) with a text. */
  msgsnd: (id: number, type: number, text: string, flags: number): number => {
    const body = cString(text).subarray(0, -1)
    const message = Buffer.alloc(8 + body.length)
    message.writeBigInt64LE(BigInt(type))
    body.copy(message, 8)
    return libc.msgsnd(id, message, body.length, flags)
  },
  /** msgsnd(2) of so many messages of so many bytes, to fill memory; gives how many. */
  msgsndMany: (id: number, bytes: number, count: number): number => {
    const message = messageOf(bytes)
    for (let sent = 0; sent < count; sent += 1) libc.msgsnd(id, message, bytes, IPC_NOWAIT)
    return count
  },
  /** The same to a queue that is full: so many calls; gives how many of them were refused (EAGAIN). */
  msgsndManyRefused: (id: number, bytes: number, count: number): number => {
    const message = messageOf(bytes)
    let refused = 0
    for (let time = 0; time < count; time += 1)
      try {
        libc.msgsnd(id, message, bytes, IPC_NOWAIT)
      } catch (problem) {
        if (!(problem instanceof SystemCallFailure) || problem.message !== 'EAGAIN') throw problem
        refused += 1
      }
    return refused
  },
  /** msgrcv(2) of so many messages of so many bytes; gives how many. */
  msgrcvMany: (id: number, bytes: number, count: number): number => {
    const message = Buffer.alloc(8 + bytes)
    for (let received = 0; received < count; received += 1) libc.msgrcv(id, message, bytes, 0, IPC_NOWAIT)
    return count
  },
  /** msgrcv(2); `bytes` is the room for the text. */
  msgrcv: (id: number, bytes: number, type: number, flags: number): { type: number; text: string } => {
    const message = Buffer.alloc(8 + bytes)
    const length = libc.msgrcv(id, message, bytes, type, flags)
    return { type: Number(message.readBigInt64LE()), text: message.toString('latin1', 8, 8 + length) }
  },
  /** msgctl(2) IPC_STAT by identifier, MSG_STAT and MSG_STAT_ANY by index. */
  msgctlStat: (
    id: number,
    command: 'IPC_STAT' | 'MSG_STAT' | 'MSG_STAT_ANY' = 'IPC_STAT',
  ): MessageQueueStatus => {
    const status = Buffer.alloc(256)
    const returned = libc.msgctl(id, COMMAND[command], status)
    return {
      returned,
      perm: readPermissions(status),
      stime: unsigned(status, 48),
      rtime: unsigned(status, 56),
      ctime: unsigned(status, 64),
      cbytes: unsigned(status, 72),
      qnum: unsigned(status, 80),
      qbytes: unsigned(status, 88),
      lspid: status.readInt32LE(96),
      lrpid: status.readInt32LE(100),
    }
  },
  /** msgctl(2) IPC_SET. */
  msgctlSet: (id: number, set: { uid: number; gid: number; mode: number; qbytes: number }): number => {
    const status = Buffer.alloc(256)
    writePermissions(status, set)
    status.writeBigUInt64LE(BigInt(set.qbytes), 88)
    return libc.msgctl(id, COMMAND.IPC_SET, status)
  },
  /** msgctl(2) IPC_RMID. */
  msgctlRemove: (id: number): number => libc.msgctl(id, COMMAND.IPC_RMID, null),
  /** msgctl(2) IPC_INFO (limits) and MSG_INFO (usage). */
  msgctlInfo: (command: 'IPC_INFO' | 'MSG_INFO'): MessageQueueInfo => {
    const info = Buffer.alloc(64)
    const highest = libc.msgctl(0, COMMAND[command], info)
    const [msgpool = 0, msgmap = 0, msgmax = 0, msgmnb = 0, msgmni = 0, , msgtql = 0] = new Int32Array(
      info.buffer,
      info.byteOffset,
      7,
    )
    return { highest, msgpool, msgmap, msgmax, msgmnb, msgmni, msgtql }
  },
}
