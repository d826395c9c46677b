/** Files through node:fs, whose synchronous calls run on the calling thread. */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  type Stats,
  statfsSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import {
  F_GETLK,
  F_OFD_SETLK,
  F_SETFL,
  F_SETLK,
  F_SETOWN,
  O_ASYNC,
  O_NONBLOCK,
  O_WRONLY,
} from '../constants.ts'
import { bind, fail } from '../system.ts'
import { cString } from './structures.ts'

const libc = {
  openat: bind<[number, Buffer, number, number]>(
    'int openat(int directory, void *path, int flags, int mode)',
  ),
  flock: bind<[number, number]>('int flock(int descriptor, int operation)'),
  lockf: bind<[number, number, Buffer]>('int fcntl(int descriptor, int command, void *lock)'),
  fcntl: bind<[number, number, number]>('int fcntl(int descriptor, int command, long argument)'),
  mkfifo: bind<[Buffer, number]>('int mkfifo(void *path, unsigned int mode)'),
  chroot: bind<[Buffer]>('int chroot(void *path)'),
  chdir: bind<[Buffer]>('int chdir(void *path)'),
  lseek: bind<[number, number, number]>('long lseek(int descriptor, long offset, int whence)'),
}

/** What stat(2) says; numbers of device and inode identify a file while it is held. */
export interface FileStatus {
  dev: number
  ino: number
  mode: number
  uid: number
  gid: number
  size: number
  nlink: number
}

function isNodeError(problem: unknown): problem is NodeJS.ErrnoException {
  return problem instanceof Error && 'code' in problem
}

/** node:fs puts the errno's name into `code`. */
function named<Result>(call: () => Result): Result {
  try {
    return call()
  } catch (problem) {
    if (isNodeError(problem) && problem.code) fail(problem.code)
    throw problem
  }
}

function status({ dev, ino, mode, uid, gid, size, nlink }: Stats): FileStatus {
  return { dev, ino, mode, uid, gid, size, nlink }
}

function readAll(descriptor: number, bytes: number): string {
  const memory = Buffer.alloc(bytes)
  return memory.toString('latin1', 0, readSync(descriptor, memory))
}

export const fileOperations = {
  /** open(2). */
  open: (path: string, flags: number, mode = 0o600): number => named(() => openSync(path, flags, mode)),
  /** openat(2). */
  openat: (directory: number, path: string, flags: number, mode = 0o600): number =>
    libc.openat(directory, cString(path), flags, mode),
  /** close(2). */
  close: (descriptor: number): number => {
    named(() => closeSync(descriptor))
    return 0
  },
  /** read(2) from the current position. */
  read: (descriptor: number, bytes = 65536): string => named(() => readAll(descriptor, bytes)),
  /** read(2) in pieces of so many bytes to the end; gives up after a MiB, for a file that never ends. */
  readPieces: (descriptor: number, bytes: number): string =>
    named(() => {
      let text = ''
      for (let piece = ' '; piece !== '' && text.length < 1 << 20; text += piece)
        piece = readAll(descriptor, bytes)
      return text
    }),
  /** write(2). */
  write: (descriptor: number, text: string): number =>
    named(() => writeSync(descriptor, text, null, 'latin1')),
  /** lseek(2) from the beginning. */
  lseek: (descriptor: number, offset: number): number => libc.lseek(descriptor, offset, 0),
  /** open, read to the end, close. */
  readFile: (path: string): string => named(() => readFileSync(path, 'latin1')),
  /** open for writing (without O_CREAT), write once, close. */
  writeFile: (path: string, text: string): number =>
    named(() => {
      const descriptor = openSync(path, O_WRONLY)
      try {
        return writeSync(descriptor, text, null, 'latin1')
      } finally {
        closeSync(descriptor)
      }
    }),
  /** readlink(2). */
  readlink: (path: string): string => named(() => readlinkSync(path)),
  /** stat(2). */
  stat: (path: string): FileStatus => named(() => status(statSync(path))),
  /** lstat(2). */
  lstat: (path: string): FileStatus => named(() => status(lstatSync(path))),
  /** fstat(2). */
  fstat: (descriptor: number): FileStatus => named(() => status(fstatSync(descriptor))),
  /** f_type of statfs(2). */
  statfsType: (path: string): number => named(() => statfsSync(path).type),
  /** Names in a directory, sorted. */
  readdir: (path: string): string[] => named(() => readdirSync(path)).sort(),
  /** Whether stat(2) succeeds. */
  exists: (path: string): boolean => existsSync(path),
  unlink: (path: string): number => {
    named(() => unlinkSync(path))
    return 0
  },
  mkdir: (path: string, mode = 0o755): number => {
    named(() => mkdirSync(path, mode))
    return 0
  },
  rename: (from: string, to: string): number => {
    named(() => renameSync(from, to))
    return 0
  },
  link: (from: string, to: string): number => {
    named(() => linkSync(from, to))
    return 0
  },
  symlink: (target: string, path: string): number => {
    named(() => symlinkSync(target, path))
    return 0
  },
  chmod: (path: string, mode: number): number => {
    named(() => chmodSync(path, mode))
    return 0
  },
  chown: (path: string, uid: number, gid: number): number => {
    named(() => chownSync(path, uid, gid))
    return 0
  },
  mkfifo: (path: string, mode = 0o600): number => libc.mkfifo(cString(path), mode),
  chroot: (path: string): number => libc.chroot(cString(path)),
  chdir: (path: string): number => libc.chdir(cString(path)),
  /** flock(2) LOCK_EX without waiting. */
  flock: (descriptor: number): number => libc.flock(descriptor, 2 | 4),
  /** fcntl(2) F_GETLK: whether a lock of somebody else forbids a write lock on the whole file. */
  isLocked: (descriptor: number): boolean => {
    const lock = writeLock()
    libc.lockf(descriptor, F_GETLK, lock)
    return lock.readInt16LE(0) !== F_UNLCK
  },
  /** fcntl(2) F_SETLK of a write lock on the whole file. */
  lockFile: (descriptor: number): number => libc.lockf(descriptor, F_SETLK, writeLock()),
  /** fcntl(2) F_OFD_SETLK of a write lock on the whole file: the lock is of the open file, not of the process. */
  lockOpenFile: (descriptor: number): number => libc.lockf(descriptor, F_OFD_SETLK, writeLock()),
  /** fcntl(2) F_SETOWN and F_SETFL O_ASYNC: the process gets SIGIO when there is something to read. */
  signalWhenReady: (descriptor: number, pid: number): number => {
    libc.fcntl(descriptor, F_SETOWN, pid)
    return libc.fcntl(descriptor, F_SETFL, O_ASYNC | O_NONBLOCK)
  },
  /** fcntl(2) F_SETFD: whether execve(2) closes the descriptor. */
  setCloseOnExec: (descriptor: number, close: boolean): number => libc.fcntl(descriptor, 2, close ? 1 : 0),
  /** fcntl(2) F_GETFD: whether execve(2) closes the descriptor. */
  closesOnExec: (descriptor: number): boolean => (libc.fcntl(descriptor, 1, 0) & 1) === 1,
  /** Descriptors this process holds, besides the probe's own. */
  descriptors: (): number[] => named(() => readdirSync('/proc/self/fd')).map(Number),
}

/** What F_GETLK makes of the lock that was asked for when nobody else has one. */
const F_UNLCK = 2

/** struct flock of F_WRLCK, from the file's begin to its end however long it gets. */
function writeLock(): Buffer {
  const lock = Buffer.alloc(32)
  lock.writeInt16LE(1, 0)
  return lock
}
