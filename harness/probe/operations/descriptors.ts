import { syscall } from '../syscalls.ts'
import { addressOfBuffer, bind } from '../system.ts'
import { cString } from './structures.ts'

const libc = {
  pipe: bind<[Buffer, number]>('int pipe2(void *ends, int flags)'),
  socketpair: bind<[number, number, number, Buffer]>(
    'int socketpair(int domain, int type, int protocol, void *ends)',
  ),
  socket: bind<[number, number, number]>('int socket(int domain, int type, int protocol)'),
  bind: bind<[number, Buffer, number]>('int bind(int descriptor, void *address, unsigned int length)'),
  listen: bind<[number, number]>('int listen(int descriptor, int backlog)'),
  accept: bind<[number, number, number, number]>(
    'int accept4(int descriptor, uintptr_t address, uintptr_t length, int flags)',
  ),
  connect: bind<[number, Buffer, number]>('int connect(int descriptor, void *address, unsigned int length)'),
  getsockopt: bind<[number, number, number, Buffer, Buffer]>(
    'int getsockopt(int descriptor, int level, int option, void *value, void *length)',
  ),
  getsockname: bind<[number, Buffer, Buffer]>('int getsockname(int descriptor, void *address, void *length)'),
  sendmsg: bind<[number, Buffer, number]>('long sendmsg(int descriptor, void *message, int flags)'),
  recvmsg: bind<[number, Buffer, number]>('long recvmsg(int descriptor, void *message, int flags)'),
  dup: bind<[number]>('int dup(int descriptor)'),
  eventfd: bind<[number, number]>('int eventfd(unsigned int value, int flags)'),
  memfd: bind<[Buffer, number]>('int memfd_create(void *name, unsigned int flags)'),
  poll: bind<[Buffer, number, number]>('int poll(void *list, unsigned long count, int milliseconds)'),
  epollCreate: bind<[number]>('int epoll_create1(int flags)'),
  epollControl: bind<[number, number, number, Buffer]>(
    'int epoll_ctl(int epoll, int operation, int descriptor, void *event)',
  ),
  epollWait: bind<[number, Buffer, number, number]>(
    'int epoll_wait(int epoll, void *events, int room, int milliseconds)',
  ),
  close: bind<[number]>('int close(int descriptor)'),
}

const AF_UNIX = 1
const AF_INET = 2
const AF_NETLINK = 16
const SOCK_STREAM = 1
const SOCK_RAW = 3
const SOCK_NONBLOCK = 0o4000
/** What a UNIX socket may carry (unix(7)): SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET. */
const UNIX_TYPES = { stream: SOCK_STREAM, datagram: 2, packets: 5 } as const

/** Type of a UNIX socket. */
export type UnixType = keyof typeof UNIX_TYPES

const SCM_RIGHTS = 1
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const MSG_NOSIGNAL = 0x4000

/** struct sockaddr_un; a path that begins with @ is an abstract name. */
export function unixAddress(path: string): Buffer {
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  const address = Buffer.alloc(2 + name.length)
  address.writeUInt16LE(AF_UNIX, 0)
  address.write(name, 2, 'latin1')
  return address
}

/** struct sockaddr_in of a port of 127.0.0.1. */
function loopback(port: number): Buffer {
  const address = Buffer.alloc(16)
  address.writeUInt16LE(AF_INET, 0)
  address.writeUInt16BE(port, 2)
  address.set([127, 0, 0, 1], 4)
  return address
}

// A struct msghdr with one byte of data and room for one descriptor. It holds plain addresses, so its
// parts live as long as the probe.
const data = Buffer.alloc(1)
const vector = Buffer.alloc(16)
const control = Buffer.alloc(24)
const header = Buffer.alloc(56)

function descriptorMessage(): Buffer {
  vector.writeBigUInt64LE(addressOfBuffer(data), 0)
  vector.writeBigUInt64LE(1n, 8)
  control.writeBigUInt64LE(20n, 0)
  control.writeInt32LE(SOL_SOCKET, 8)
  control.writeInt32LE(SCM_RIGHTS, 12)
  control.writeInt32LE(-1, 16)
  header.writeBigUInt64LE(addressOfBuffer(vector), 16)
  header.writeBigUInt64LE(1n, 24)
  header.writeBigUInt64LE(addressOfBuffer(control), 32)
  header.writeBigUInt64LE(24n, 40)
  return header
}

export const descriptorOperations = {
  /** pipe2(2). */
  pipe: (): [reader: number, writer: number] => {
    const ends = Buffer.alloc(8)
    libc.pipe(ends, 0)
    return [ends.readInt32LE(0), ends.readInt32LE(4)]
  },
  /** socketpair(2) of UNIX stream sockets. */
  socketpair: (): [one: number, other: number] => {
    const ends = Buffer.alloc(8)
    libc.socketpair(AF_UNIX, SOCK_STREAM, 0, ends)
    return [ends.readInt32LE(0), ends.readInt32LE(4)]
  },
  /** socket(2), bind(2) and (but for datagrams) listen(2) on a path, or on an abstract name written with @. */
  listenUnix: (path: string, type: UnixType = 'stream'): number => {
    const socket = libc.socket(AF_UNIX, UNIX_TYPES[type], 0)
    const address = unixAddress(path)
    libc.bind(socket, address, address.length)
    if (type !== 'datagram') libc.listen(socket, 8)
    return socket
  },
  /** socket(2) and connect(2) to a path or an abstract name. */
  connectUnix: (path: string, type: UnixType = 'stream'): number => {
    const socket = libc.socket(AF_UNIX, UNIX_TYPES[type], 0)
    const address = unixAddress(path)
    libc.connect(socket, address, address.length)
    return socket
  },
  /** socket(2), bind(2) to a free port of 127.0.0.1 and listen(2); gives the port too. */
  listenInet: (): { socket: number; port: number } => {
    const socket = libc.socket(AF_INET, SOCK_STREAM, 0)
    const address = loopback(0)
    libc.bind(socket, address, address.length)
    libc.listen(socket, 8)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(address.length)
    libc.getsockname(socket, address, length)
    return { socket, port: address.readUInt16BE(2) }
  },
  /** socket(2) and connect(2) to a port of 127.0.0.1. */
  connectInet: (port: number): number => {
    const socket = libc.socket(AF_INET, SOCK_STREAM, 0)
    const address = loopback(port)
    libc.connect(socket, address, address.length)
    return socket
  },
  /** socket(2) of netlink (netlink(7)) that does not block: reading gives EAGAIN where nothing came. */
  netlinkSocket: (): number => libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0),
  /** accept4(2). */
  accept: (socket: number): number => libc.accept(socket, 0, 0, 0),
  /** getsockopt(2) SO_PEERCRED: the pid of who connected, or listened, at the other end. */
  peerPid: (socket: number): number => {
    const credentials = Buffer.alloc(12)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(credentials.length)
    libc.getsockopt(socket, SOL_SOCKET, SO_PEERCRED, credentials, length)
    return credentials.readInt32LE(0)
  },
  /** sendmsg(2) of a descriptor with SCM_RIGHTS (unix(7)). */
  sendDescriptor: (socket: number, descriptor: number): number => {
    const message = descriptorMessage()
    control.writeInt32LE(descriptor, 16)
    return libc.sendmsg(socket, message, MSG_NOSIGNAL)
  },
  /** recvmsg(2) of a descriptor. */
  receiveDescriptor: (socket: number): number => {
    libc.recvmsg(socket, descriptorMessage(), 0)
    return control.readInt32LE(16)
  },
  /** dup(2). */
  dup: (descriptor: number): number => libc.dup(descriptor),
  /** eventfd(2). */
  eventfd: (value: number): number => libc.eventfd(value, 0),
  /** memfd_create(2). */
  memfd_create: (name: string): number => libc.memfd(cString(name), 0),
  /** poll(2) of one descriptor; gives the events that came, 0 after so many milliseconds. */
  poll: (descriptor: number, events: number, milliseconds: number): number => {
    const entry = Buffer.alloc(8)
    entry.writeInt32LE(descriptor, 0)
    entry.writeInt16LE(events, 4)
    libc.poll(entry, 1, milliseconds)
    return entry.readInt16LE(6)
  },
  /** epoll_create1(2), epoll_ctl(2) and epoll_wait(2) of one descriptor; gives the events as `poll` does. */
  epoll: (descriptor: number, events: number, milliseconds: number): number => {
    const epoll = libc.epollCreate(0)
    try {
      // struct epoll_event begins with the events on every architecture.
      const event = Buffer.alloc(16)
      event.writeUInt32LE(events, 0)
      libc.epollControl(epoll, 1, descriptor, event)
      const came = Buffer.alloc(16)
      return libc.epollWait(epoll, came, 1, milliseconds) === 0 ? 0 : came.readUInt32LE(0)
    } finally {
      libc.close(epoll)
    }
  },
  /** pidfd_open(2). */
  pidfd_open: (pid: number, flags = 0): number => syscall('pidfd_open', pid, flags),
  /** pidfd_send_signal(2), with what kill(2) would say of the sender. */
  pidfd_send_signal: (pidfd: number, signal: number): number =>
    syscall('pidfd_send_signal', pidfd, signal, 0, 0),
  /** pidfd_getfd(2). */
  pidfd_getfd: (pidfd: number, descriptor: number): number => syscall('pidfd_getfd', pidfd, descriptor, 0),
}
