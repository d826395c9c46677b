/** Processes: how they are made, named and looked at. */
import { readlinkSync } from 'node:fs'
import { failed } from '../../link/failure.ts'
import { CLONE, O_RDONLY, PIDFD_GET_IPC_NAMESPACE, PIDFD_THREAD } from '../../probe/constants.ts'
import { ANOTHER_USER, type Requirement, works } from './requirement.ts'

/** By name. */
export const PROCESSES = {
  clone3: {
    reason: 'the kernel has no clone3 (ENOSYS)',
    met: async (child) => String(await child.try.cloneAndExit(0, 'clone3')) !== 'ENOSYS',
  },
  pidfd: {
    reason: 'the kernel has no pidfd_open (ENOSYS)',
    met: async (child) => works(await child.try.pidfd_open(await child.getpid())),
  },
  pidfd_getfd: {
    reason: 'the kernel has no pidfd_getfd (ENOSYS), or a sandbox forbids it (EPERM)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      return !failed(self) && works(await child.try.pidfd_getfd(self, self))
    },
  },
  'pidfd setns': {
    reason: 'setns takes no pidfd (EINVAL), or there is none (ENOSYS)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      if (failed(self)) return false
      // With 0 a kernel that knows pidfds says EINVAL as well; a capable caller may join its own.
      const outcome = await child.try.setns(self, CLONE.NEWIPC)
      await child.close(self)
      return works(outcome) || String(outcome) === 'EPERM'
    },
  },
  PIDFD_GET_IPC_NAMESPACE: {
    reason: 'pidfds have no PIDFD_GET_IPC_NAMESPACE (ENOTTY)',
    met: async (child) => {
      const self = await child.try.pidfd_open(await child.getpid())
      return !failed(self) && works(await child.try.ioctl(self, PIDFD_GET_IPC_NAMESPACE))
    },
  },
  PIDFD_THREAD: {
    reason: 'pidfd_open has no PIDFD_THREAD (EINVAL)',
    met: async (child) => works(await child.try.pidfd_open(await child.gettid(), PIDFD_THREAD)),
  },
  'the runner’s user namespace': {
    reason: 'the runner starts this command itself, and everything else is in a user namespace of its own',
    met: async (child) => {
      const childs = await child.try.readlink('/proc/self/ns/user')
      return failed(childs) || childs === readlinkSync('/proc/self/ns/user')
    },
  },
  'processes in sight': {
    reason: '/proc hides the processes of others (hidepid)',
    met: async (child) => {
      const path = `/proc/${await child.readlink('/proc/self')}/ns`
      const user = await child.spawn('user')
      return failed(await user.try.becomeUser(ANOTHER_USER)) || works(await user.try.stat(path))
    },
  },
  'kernel threads in sight': {
    reason: 'procfs does not show the kernel threads',
    met: async (child) => {
      const name = await child.try.readFile('/proc/2/comm')
      return name === 'kthreadd\n' && works(await child.try.readlink('/proc/2/ns/ipc'))
    },
  },
  map_files: {
    reason: '/proc/PID/map_files cannot be opened',
    met: async (child) => {
      const [name] = await child.readdir('/proc/self/map_files').catch(() => [])
      return name !== undefined && works(await child.try.open(`/proc/self/map_files/${name}`, O_RDONLY))
    },
  },
} satisfies Record<string, Requirement>
