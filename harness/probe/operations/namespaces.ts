import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  FSCONFIG_CMD_CREATE,
  MOVE_MOUNT_F_EMPTY_PATH,
  NSFS_HANDLE_TYPE,
} from '../constants.ts'
import { syscall } from '../syscalls.ts'
import { bind, SystemCallFailure } from '../system.ts'
import { cString } from './structures.ts'

const libc = {
  unshare: bind<[number]>('int unshare(int flags)'),
  setns: bind<[number, number]>('int setns(int descriptor, int type)'),
  mount: bind<[Buffer | null, Buffer, Buffer | null, number, Buffer | null]>(
    'int mount(void *source, void *target, void *type, unsigned long flags, void *data)',
  ),
  umount: bind<[Buffer, number]>('int umount2(void *target, int flags)'),
  ioctl: bind<[number, number, number]>(
    'int ioctl(int descriptor, unsigned long request, uintptr_t argument)',
  ),
  ioctlMemory: bind<[number, number, Buffer]>(
    'int ioctl(int descriptor, unsigned long request, void *argument)',
  ),
  nameToHandle: bind<[number, Buffer, Buffer, Buffer, number]>(
    'int name_to_handle_at(int directory, void *path, void *handle, void *mount, int flags)',
  ),
  openByHandle: bind<[number, Buffer, number]>('int open_by_handle_at(int mount, void *handle, int flags)'),
  sethostname: bind<[Buffer, number]>('int sethostname(void *name, size_t length)'),
}

/** An nsfs file handle, as name_to_handle_at(2) gives it (fs/nsfs.c: nsfs_encode_fh). */
export interface NamespaceHandle {
  type: number
  bytes: number
  /** NS_GET_ID's 64 bits in decimal; JSON has no such numbers. */
  id: string
  /** CLONE_NEW* bit of the namespace. */
  nsType: number
  inum: number
}

export const namespaceOperations = {
  /** unshare(2) with clone bits. */
  unshare: (bits: number): number => libc.unshare(bits),
  /** setns(2) with an nsfd or a pidfd. */
  setns: (descriptor: number, bits: number): number => libc.setns(descriptor, bits),
  /** mount(2). */
  mount: (source: string, target: string, type: string, flags = 0, data = ''): number =>
    libc.mount(
      cString(source),
      cString(target),
      type === '' ? null : cString(type),
      flags,
      data === '' ? null : cString(data),
    ),
  /** umount2(2). */
  umount: (target: string, flags = 0): number => libc.umount(cString(target), flags),
  /** fsopen(2). */
  fsopen: (type: string, flags = 0): number => syscall('fsopen', cString(type), flags),
  /** fsconfig(2) FSCONFIG_CMD_CREATE. */
  fsconfigCreate: (descriptor: number): number =>
    syscall('fsconfig', descriptor, FSCONFIG_CMD_CREATE, 0, 0, 0),
  /** fsmount(2). */
  fsmount: (descriptor: number): number => syscall('fsmount', descriptor, 0, 0),
  /** move_mount(2) of a detached mount to a path. */
  move_mount: (descriptor: number, target: string): number =>
    syscall('move_mount', descriptor, cString(''), AT_FDCWD, cString(target), MOVE_MOUNT_F_EMPTY_PATH),
  /** ioctl(2) with a number as argument. */
  ioctl: (descriptor: number, request: number, argument = 0): number =>
    libc.ioctl(descriptor, request, argument),
  /** ioctl(2) that writes a 64-bit number; in decimal, since JSON has no such numbers. */
  ioctl64: (descriptor: number, request: number): string => {
    const answer = Buffer.alloc(8)
    libc.ioctlMemory(descriptor, request, answer)
    return answer.readBigUInt64LE().toString()
  },
  /** name_to_handle_at(2) of the descriptor itself; `capacity` is the room offered, in bytes. */
  name_to_handle_at: (descriptor: number, capacity = 16): NamespaceHandle => {
    const handle = Buffer.alloc(8 + 128)
    handle.writeUInt32LE(capacity, 0)
    libc.nameToHandle(descriptor, cString(''), handle, Buffer.alloc(8), AT_EMPTY_PATH)
    return {
      bytes: handle.readUInt32LE(0),
      type: handle.readInt32LE(4),
      id: handle.readBigUInt64LE(8).toString(),
      nsType: handle.readUInt32LE(16),
      inum: handle.readUInt32LE(20),
    }
  },
  /** The bytes that name_to_handle_at(2) asks for when offered `capacity`; it says so with EOVERFLOW. */
  handleBytesAskedFor: (descriptor: number, capacity: number): number => {
    const handle = Buffer.alloc(8 + 128)
    handle.writeUInt32LE(capacity, 0)
    try {
      libc.nameToHandle(descriptor, cString(''), handle, Buffer.alloc(8), AT_EMPTY_PATH)
    } catch (problem) {
      if (!(problem instanceof SystemCallFailure) || problem.message !== 'EOVERFLOW') throw problem
    }
    return handle.readUInt32LE(0)
  },
  /** open_by_handle_at(2) of a namespace handle made from its three fields. */
  open_by_handle_at: (
    mount: number,
    handle: { id: string; nsType: number; inum: number; type?: number },
    flags = 0,
  ): number => {
    const memory = Buffer.alloc(8 + 16)
    memory.writeUInt32LE(16, 0)
    memory.writeInt32LE(handle.type ?? NSFS_HANDLE_TYPE, 4)
    memory.writeBigUInt64LE(BigInt(handle.id), 8)
    memory.writeUInt32LE(handle.nsType, 16)
    memory.writeUInt32LE(handle.inum, 20)
    return libc.openByHandle(mount, memory, flags)
  },
  /** sethostname(2). */
  sethostname: (name: string): number => libc.sethostname(cString(name), name.length),
  /** listns(2): identifiers of all namespaces of a type, in decimal; of those that a user namespace owns. */
  listns: (bits: number, userNamespaceId = '0'): string[] => {
    const room = 4096
    const list: string[] = []
    for (;;) {
      // struct ns_id_req: size, the identifier to go on after, type, owner.
      const request = Buffer.alloc(32)
      request.writeUInt32LE(32, 0)
      request.writeBigUInt64LE(BigInt(list.at(-1) ?? 0), 8)
      request.writeUInt32LE(bits, 16)
      request.writeBigUInt64LE(BigInt(userNamespaceId), 24)
      const ids = Buffer.alloc(8 * room)
      const count = syscall('listns', request, ids, room, 0)
      for (let index = 0; index < count; index++) list.push(ids.readBigUInt64LE(8 * index).toString())
      if (count < room) return list
    }
  },
}
