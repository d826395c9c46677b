import { syscall } from '../syscalls.ts'
import { bind } from '../system.ts'
import { type Permissions, readPermissions, timespec, unsigned, writePermissions } from './structures.ts'

const semget = bind<[number, number, number]>('int semget(int key, int sems, int flags)')

const COMMAND = {
  IPC_RMID: 0,
  IPC_SET: 1,
  IPC_STAT: 2,
  SEM_STAT: 18,
  SEM_STAT_ANY: 20,
  IPC_INFO: 3,
  SEM_INFO: 19,
  GETPID: 11,
  GETVAL: 12,
  GETALL: 13,
  GETNCNT: 14,
  GETZCNT: 15,
  SETVAL: 16,
  SETALL: 17,
} as const

/** struct semid64_ds has a padding word after each time on x86 only. */
const OFFSET = process.arch === 'x64' ? { ctime: 64, nsems: 80 } : { ctime: 56, nsems: 64 }

/** One operation of semop(2). */
export interface SemaphoreStep {
  index: number
  /** Added to the value; 0 waits for zero. */
  change: number
  /** IPC_NOWAIT, SEM_UNDO. */
  flags?: number
}

/** struct semid_ds (semctl(2)); times in seconds since 1970. */
export interface SemaphoreStatus {
  returned: number
  perm: Permissions
  otime: number
  ctime: number
  nsems: number
}

/** struct seminfo (semctl(2)); with SEM_INFO semusz counts sets and semaem semaphores. */
export interface SemaphoreInfo {
  highest: number
  semmni: number
  semmns: number
  semmsl: number
  semopm: number
  semusz: number
  semaem: number
}

export const semaphoreOperations = {
  /** semget(2). */
  semget: (key: number, sems: number, flags: number): number => semget(key, sems, flags),
  /** semget(2) of so many unnamed sets, to fill memory; gives how many. */
  semgetMany: (sems: number, count: number): number => {
    for (let made = 0; made < count; made += 1) semget(0, sems, 0o600)
    return count
  },
  /** semop(2), or semtimedop(2) with a time limit in milliseconds. */
  semop: (id: number, steps: SemaphoreStep[], milliseconds?: number): number => {
    const list = Buffer.alloc(6 * steps.length)
    steps.forEach((step, position) => {
      list.writeUInt16LE(step.index, 6 * position)
      list.writeInt16LE(step.change, 6 * position + 2)
      list.writeInt16LE(step.flags ?? 0, 6 * position + 4)
    })
    const limit = milliseconds === undefined ? null : timespec(milliseconds)
    return syscall('semtimedop', id, list, steps.length, limit)
  },
  /** semop(2), or semtimedop(2), with the same operation so many times in one call, for the limit on their number. */
  semopRepeated: (id: number, step: SemaphoreStep, times: number, milliseconds?: number): number =>
    semaphoreOperations.semop(
      id,
      Array.from({ length: times }, () => step),
      milliseconds,
    ),
  /** semctl(2) GETVAL, GETPID, GETNCNT, GETZCNT of one semaphore. */
  semctlGet: (id: number, index: number, command: 'GETVAL' | 'GETPID' | 'GETNCNT' | 'GETZCNT' = 'GETVAL') =>
    syscall('semctl', id, index, COMMAND[command], 0),
  /** semctl(2) SETVAL. */
  semctlSetValue: (id: number, index: number, value: number): number =>
    syscall('semctl', id, index, COMMAND.SETVAL, value),
  /** semctl(2) GETALL; `sems` is the size of the set. */
  semctlGetAll: (id: number, sems: number): number[] => {
    const values = Buffer.alloc(2 * sems)
    syscall('semctl', id, 0, COMMAND.GETALL, values)
    return Array.from({ length: sems }, (_, index) => values.readUInt16LE(2 * index))
  },
  /** semctl(2) SETALL. */
  semctlSetAll: (id: number, values: number[]): number => {
    const list = Buffer.alloc(2 * values.length)
    for (const [index, value] of values.entries()) list.writeUInt16LE(value, 2 * index)
    return syscall('semctl', id, 0, COMMAND.SETALL, list)
  },
  /** semctl(2) IPC_STAT by identifier, SEM_STAT and SEM_STAT_ANY by index. */
  semctlStat: (
    id: number,
    command: 'IPC_STAT' | 'SEM_STAT' | 'SEM_STAT_ANY' = 'IPC_STAT',
  ): SemaphoreStatus => {
    const status = Buffer.alloc(256)
    const returned = syscall('semctl', id, 0, COMMAND[command], status)
    return {
      returned,
      perm: readPermissions(status),
      otime: unsigned(status, 48),
      ctime: unsigned(status, OFFSET.ctime),
      nsems: unsigned(status, OFFSET.nsems),
    }
  },
  /** semctl(2) IPC_SET. */
  semctlSet: (id: number, set: { uid: number; gid: number; mode: number }): number => {
    const status = Buffer.alloc(256)
    writePermissions(status, set)
    return syscall('semctl', id, 0, COMMAND.IPC_SET, status)
  },
  /** semctl(2) IPC_RMID. */
  semctlRemove: (id: number): number => syscall('semctl', id, 0, COMMAND.IPC_RMID, 0),
  /** semctl(2) IPC_INFO (limits) and SEM_INFO (usage). */
  semctlInfo: (command: 'IPC_INFO' | 'SEM_INFO'): SemaphoreInfo => {
    const info = Buffer.alloc(64)
    const highest = syscall('semctl', 0, 0, COMMAND[command], info)
    const [, semmni = 0, semmns = 0, , semmsl = 0, semopm = 0, , semusz = 0, , semaem = 0] = new Int32Array(
      info.buffer,
      info.byteOffset,
      10,
    )
    return { highest, semmni, semmns, semmsl, semopm, semusz, semaem }
  },
}
