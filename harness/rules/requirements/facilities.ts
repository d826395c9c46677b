/** What else of a system an experiment uses: sockets, keyrings, places, commands. */
import { failed } from '../../link/failure.ts'
import type { Member } from '../../link/member.ts'
import { PROCESS_KEYRING } from '../../probe/constants.ts'
import { type Requirement, works } from './requirement.ts'

async function onPath(child: Member, command: string): Promise<boolean> {
  return (await pathOf(child, command)) !== undefined
}

/** Where a command is installed, as the member sees the file system. */
export async function pathOf(member: Member, command: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '/usr/bin:/bin').split(':'))
    if (await member.exists(`${directory}/${command}`)) return `${directory}/${command}`
  return undefined
}

/** By name. */
export const FACILITIES = {
  fsopen: {
    reason: 'the kernel has no fsopen (ENOSYS)',
    met: async (child) => String(await child.try.fsopen('mqueue')) !== 'ENOSYS',
  },
  'abstract sockets': {
    reason: 'the kernel has no UNIX sockets',
    kconfig: 'CONFIG_UNIX',
    met: async (child) => works(await child.try.socketpair()),
  },
  'netlink sockets': {
    reason: 'a sandbox forbids netlink sockets',
    kconfig: 'CONFIG_NET',
    met: async (child) => works(await child.try.netlinkSocket()),
  },
  INET: {
    reason: 'TCP over 127.0.0.1 does not work',
    kconfig: 'CONFIG_INET',
    met: async (child) => {
      const listening = await child.try.listenInet()
      return !failed(listening) && works(await child.try.connectInet(listening.port))
    },
  },
  keyrings: {
    reason: 'keyrings cannot be used here',
    kconfig: 'CONFIG_KEYS',
    // ENOSYS without them, EPERM or ENOSYS where a sandbox forbids the calls.
    met: async (child) =>
      works(await child.try.add_key('ipcns-trial', 'x', PROCESS_KEYRING)) &&
      String(await child.try.keyctlSearch(PROCESS_KEYRING, 'ipcns-no-such-key')) === 'ENOKEY',
  },
  '/dev/mqueue': {
    reason: '/dev/mqueue does not exist as a place to mount on',
    met: (child) => child.exists('/dev/mqueue'),
  },
  '/dev/shm': { reason: '/dev/shm does not exist', met: (child) => child.exists('/dev/shm') },
  'unshare(1)': {
    reason: 'unshare(1) is not installed',
    met: (child) => onPath(child, 'unshare'),
  },
  'nsenter(1)': {
    reason: 'nsenter(1) is not installed',
    met: (child) => onPath(child, 'nsenter'),
  },
  'lsns(1)': {
    reason: 'lsns(1) is not installed, or cannot list namespaces here',
    met: async (child) => {
      if (!(await onPath(child, 'lsns'))) return false
      // It also fails when some process, anybody's, ends while it reads /proc.
      for (let attempts = 20; attempts > 0; attempts -= 1)
        if ((await child.run(['lsns', '-t', 'ipc'])).exit === 0) return true
      return false
    },
  },
  'ipcs(1)': { reason: 'ipcs(1) is not installed', met: (child) => onPath(child, 'ipcs') },
  'ipcmk(1)': { reason: 'ipcmk(1) is not installed', met: (child) => onPath(child, 'ipcmk') },
  'readlink(1)': {
    reason: 'readlink(1) is not installed, or cp(1) is not',
    met: async (child) => (await onPath(child, 'readlink')) && (await onPath(child, 'cp')),
  },
} satisfies Record<string, Requirement>
