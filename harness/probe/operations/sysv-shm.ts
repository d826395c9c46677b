import { closeSync, readSync, writeSync } from 'node:fs'
import { syscall } from '../syscalls.ts'
import { addressOfBuffer, bind, memoryAt } from '../system.ts'
import { descriptorOperations } from './descriptors.ts'
import { type Permissions, readPermissions, timespec, unsigned, writePermissions } from './structures.ts'

const libc = {
  shmget: bind<[number, number, number]>('int shmget(int key, size_t bytes, int flags)'),
  shmat: bind<[number, number, number]>('intptr_t shmat(int id, uintptr_t address, int flags)'),
  shmdt: bind<[number]>('int shmdt(uintptr_t address)'),
  shmctl: bind<[number, number, Buffer | null]>('int shmctl(int id, int command, void *status)'),
  mmap: bind<[number, number, number, number, number, number]>(
    'intptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int descriptor, long offset)',
  ),
  munmap: bind<[number, number]>('int munmap(uintptr_t address, size_t bytes)'),
  mlock: bind<[number, number]>('int mlock(uintptr_t address, size_t bytes)'),
  mremap: bind<[number, number, number, number, number]>(
    'intptr_t mremap(uintptr_t old, size_t bytes, size_t newBytes, int flags, uintptr_t address)',
  ),
  read: bind<[number, number, number]>('long read(int descriptor, uintptr_t memory, size_t bytes)'),
  write: bind<[number, number, number]>('long write(int descriptor, uintptr_t memory, size_t bytes)'),
  processVmReadv: bind<[number, Buffer, number, Buffer, number, number]>(
    'long process_vm_readv(int pid, void *here, unsigned long n, void *there, unsigned long m, unsigned long flags)',
  ),
}

const COMMAND = {
  IPC_RMID: 0,
  IPC_SET: 1,
  IPC_STAT: 2,
  SHM_STAT: 13,
  SHM_STAT_ANY: 15,
  IPC_INFO: 3,
  SHM_INFO: 14,
  SHM_LOCK: 11,
  SHM_UNLOCK: 12,
} as const

/** struct shmid_ds (shmctl(2)); times in seconds since 1970, sizes in bytes. */
export interface SegmentStatus {
  returned: number
  perm: Permissions
  segsz: number
  atime: number
  dtime: number
  ctime: number
  cpid: number
  lpid: number
  nattch: number
}

/** struct shminfo64: limits of the namespace; shmmax in bytes, shmall in pages. */
export interface SegmentLimits {
  highest: number
  shmmax: number
  shmmin: number
  shmmni: number
  shmseg: number
  shmall: number
}

/** struct shm_info: usage of the namespace; tot, rss and swp in pages. */
export interface SegmentUsage {
  highest: number
  usedIds: number
  tot: number
  rss: number
  swp: number
}

const attached = new Set<number>()

/** Detaches every segment that this process attached by `shmat`, for a member that is used again. */
export function detachAll(): void {
  for (const address of attached) {
    try {
      libc.shmdt(address)
    } catch {
      // A rule detached it already.
    }
  }
  attached.clear()
}

/** Hands a pipe to `use` and closes it. */
function throughPipe<Result>(use: (reader: number, writer: number) => Result): Result {
  const [reader, writer] = descriptorOperations.pipe()
  try {
    return use(reader, writer)
  } finally {
    closeSync(reader)
    closeSync(writer)
  }
}

export const segmentOperations = {
  /** shmget(2). */
  shmget: (key: number, bytes: number, flags: number): number => libc.shmget(key, bytes, flags),
  /** shmat(2), where the kernel likes or at an address; gives the address, for `readMemory` and its kin. */
  shmat: (id: number, flags = 0, at = 0): number => {
    const address = libc.shmat(id, at, flags)
    attached.add(address)
    return address
  },
  /** shmdt(2). */
  shmdt: (address: number): number => {
    const returned = libc.shmdt(address)
    attached.delete(address)
    return returned
  },
  /** Text in this process's memory up to the first NUL; a wrong address kills the probe. */
  readMemory: (address: number, bytes: number): string => {
    const text = memoryAt(address, bytes).toString('latin1')
    return text.split('\0', 1)[0] ?? ''
  },
  /** Like `readMemory`, but by way of write(2) to a pipe: memory that is not there is EFAULT, no death. */
  peek: (address: number, bytes: number): string =>
    throughPipe((reader, writer) => {
      const text = Buffer.alloc(bytes)
      const length = libc.write(writer, address, bytes)
      readSync(reader, text, 0, length, null)
      return text.toString('latin1', 0, length).split('\0', 1)[0] ?? ''
    }),
  /** Like `writeMemory`, but by way of read(2) from a pipe: EFAULT where the memory cannot be written. */
  poke: (address: number, text: string): number =>
    throughPipe((reader, writer) => {
      const length = writeSync(writer, Buffer.from(`${text}\0`, 'latin1'))
      return libc.read(reader, address, length)
    }),
  /** Writes a text with a NUL at its end. */
  writeMemory: (address: number, text: string): number => {
    const memory = memoryAt(address, text.length + 1)
    memory.write(`${text}\0`, 'latin1')
    return text.length
  },
  /** Writes a byte into each page, so that the segment occupies memory; gives the number of pages. */
  touchMemory: (address: number, bytes: number): number => {
    const memory = memoryAt(address, bytes)
    for (let offset = 0; offset < bytes; offset += 4096) memory[offset] = 1
    return Math.ceil(bytes / 4096)
  },
  /** A 32-bit word in this process's memory. */
  readWord: (address: number): number => memoryAt(address, 4).readInt32LE(),
  /** Writes a 32-bit word. */
  writeWord: (address: number, value: number): number => memoryAt(address, 4).writeInt32LE(value),
  /** futex(2) FUTEX_WAIT on a shared word; ETIMEDOUT after so many milliseconds. */
  futexWait: (address: number, value: number, milliseconds: number): number =>
    syscall('futex', address, 0, value, timespec(milliseconds), 0, 0),
  /** futex(2) FUTEX_WAKE; gives the number of waiters woken. */
  futexWake: (address: number, waiters: number): number => syscall('futex', address, 1, waiters, 0, 0, 0),
  /** futex(2) FUTEX_LOCK_PI on a shared word, without limit of time. */
  futexLockPi: (address: number): number => syscall('futex', address, 6, 0, 0, 0, 0),
  /** futex(2) FUTEX_UNLOCK_PI. */
  futexUnlockPi: (address: number): number => syscall('futex', address, 7, 0, 0, 0, 0),
  /** futex(2) FUTEX_TRYLOCK_PI: EAGAIN where somebody has it. */
  futexTrylockPi: (address: number): number => syscall('futex', address, 8, 0, 0, 0, 0),
  /** mmap(2), shared; a descriptor of -1 means anonymous memory. */
  mmapShared: (descriptor: number, bytes: number, writable = true): number =>
    libc.mmap(0, bytes, writable ? 3 : 1, descriptor < 0 ? 0x21 : 0x01, descriptor, 0),
  /** munmap(2). */
  munmap: (address: number, bytes: number): number => libc.munmap(address, bytes),
  /** mlock(2). */
  mlock: (address: number, bytes: number): number => libc.mlock(address, bytes),
  /** mremap(2) MREMAP_MAYMOVE | MREMAP_FIXED: moves a mapping to an address, in place of what is there. */
  mremap: (address: number, bytes: number, to: number): number => libc.mremap(address, bytes, bytes, 3, to),
  /** process_vm_readv(2): text in another process's memory up to the first NUL. */
  processVmReadv: (pid: number, address: number, bytes: number): string => {
    const text = Buffer.alloc(bytes)
    const here = Buffer.alloc(16)
    here.writeBigUInt64LE(addressOfBuffer(text), 0)
    here.writeBigUInt64LE(BigInt(bytes), 8)
    const there = Buffer.alloc(16)
    there.writeBigUInt64LE(BigInt(address), 0)
    there.writeBigUInt64LE(BigInt(bytes), 8)
    libc.processVmReadv(pid, here, 1, there, 1, 0)
    return text.toString('latin1').split('\0', 1)[0] ?? ''
  },
  /** shmctl(2) IPC_STAT by identifier, SHM_STAT and SHM_STAT_ANY by index. */
  shmctlStat: (id: number, command: 'IPC_STAT' | 'SHM_STAT' | 'SHM_STAT_ANY' = 'IPC_STAT'): SegmentStatus => {
    const status = Buffer.alloc(256)
    const returned = libc.shmctl(id, COMMAND[command], status)
    return {
      returned,
      perm: readPermissions(status),
      segsz: unsigned(status, 48),
      atime: unsigned(status, 56),
      dtime: unsigned(status, 64),
      ctime: unsigned(status, 72),
      cpid: status.readInt32LE(80),
      lpid: status.readInt32LE(84),
      nattch: unsigned(status, 88),
    }
  },
  /** shmctl(2) IPC_SET. */
  shmctlSet: (id: number, set: { uid: number; gid: number; mode: number }): number => {
    const status = Buffer.alloc(256)
    writePermissions(status, set)
    return libc.shmctl(id, COMMAND.IPC_SET, status)
  },
  /** shmctl(2) IPC_RMID. */
  shmctlRemove: (id: number): number => libc.shmctl(id, COMMAND.IPC_RMID, null),
  /** shmctl(2) SHM_LOCK and SHM_UNLOCK. */
  shmctlLock: (id: number, command: 'SHM_LOCK' | 'SHM_UNLOCK' = 'SHM_LOCK'): number =>
    libc.shmctl(id, COMMAND[command], null),
  /** shmctl(2) IPC_INFO. */
  shmctlLimits: (): SegmentLimits => {
    const info = Buffer.alloc(128)
    const highest = libc.shmctl(0, COMMAND.IPC_INFO, info)
    return {
      highest,
      shmmax: unsigned(info, 0),
      shmmin: unsigned(info, 8),
      shmmni: unsigned(info, 16),
      shmseg: unsigned(info, 24),
      shmall: unsigned(info, 32),
    }
  },
  /** shmctl(2) SHM_INFO. */
  shmctlUsage: (): SegmentUsage => {
    const info = Buffer.alloc(128)
    const highest = libc.shmctl(0, COMMAND.SHM_INFO, info)
    return {
      highest,
      usedIds: info.readInt32LE(0),
      tot: unsigned(info, 8),
      rss: unsigned(info, 16),
      swp: unsigned(info, 24),
    }
  },
}
