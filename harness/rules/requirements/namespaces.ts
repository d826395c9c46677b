/** Kinds of namespaces, joining them, and what nsfs says of them. */
import { failed } from '../../link/failure.ts'
import type { Member } from '../../link/member.ts'
import {
  CLONE,
  FD_NSFS_ROOT,
  type Flag,
  NS_FILE,
  NS_GET_ID,
  NS_GET_USERNS,
  O_RDONLY,
} from '../../probe/constants.ts'
import { type Requirement, works } from './requirement.ts'

/** A namespace type exists where its file does and, with privilege, where clone(2) makes one. */
function namespace(flag: Flag, kconfig: string): Requirement {
  const file = NS_FILE[flag]
  return {
    reason: `${file} namespaces cannot be made here`,
    kconfig,
    met: async (child) => {
      if (!(await child.exists(`/proc/self/ns/${file}`))) return false
      const privileged = (await child.capabilities()).includes('CAP_SYS_ADMIN')
      return !(privileged || flag === 'NEWUSER') || works(await child.trySpawn('trial', [flag]))
    },
  }
}

/** Joining the namespace of a child. */
function joining(flag: Flag): Requirement {
  const file = NS_FILE[flag]
  return {
    reason: `setns joins no ${file} namespace (EINVAL)`,
    met: async (child) => {
      const other = await child.trySpawn('other', [flag])
      if (failed(other)) return false
      const nsfd = await child.try.open(`/proc/${other.pid}/ns/${file}`, O_RDONLY)
      return !failed(nsfd) && String(await child.try.setns(nsfd, CLONE[flag])) !== 'EINVAL'
    },
  }
}

async function ioctlWorks(child: Member, request: number): Promise<boolean> {
  const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
  const outcome = await child.try.ioctl64(descriptor, request)
  await child.close(descriptor)
  return works(outcome)
}

/** Of the own one, which everybody may open: a refusal is not the IPC namespace's. */
async function openHandleOfMountNamespace(child: Member): Promise<unknown> {
  const handle = await child.try.name_to_handle_at(await child.open('/proc/self/ns/mnt', O_RDONLY))
  return failed(handle) ? handle : child.try.open_by_handle_at(FD_NSFS_ROOT, handle)
}

/** By name. */
export const NAMESPACES = {
  IPC_NS: namespace('NEWIPC', 'CONFIG_IPC_NS'),
  USER_NS: namespace('NEWUSER', 'CONFIG_USER_NS'),
  PID_NS: namespace('NEWPID', 'CONFIG_PID_NS'),
  UTS_NS: namespace('NEWUTS', 'CONFIG_UTS_NS'),
  NET_NS: namespace('NEWNET', 'CONFIG_NET_NS'),
  CGROUP_NS: namespace('NEWCGROUP', 'CONFIG_CGROUPS'),
  'own namespaces': {
    reason: 'the runner may not rejoin its own namespaces (EPERM)',
    met: async (child) =>
      works(await child.try.setns(await child.open('/proc/self/ns/ipc', O_RDONLY), CLONE.NEWIPC)),
  },
  'setns of pid namespaces': joining('NEWPID'),
  'setns of user namespaces': joining('NEWUSER'),
  'unprivileged user namespaces': {
    reason: 'user namespaces cannot be made without privilege here',
    kconfig: 'CONFIG_USER_NS',
    met: async (child) => {
      await child.becomeUser(65000)
      return works(await child.trySpawn('trial', ['NEWUSER']))
    },
  },
  NS_GET_USERNS: {
    reason: 'the kernel has no NS_GET_USERNS (ENOTTY)',
    met: async (child) => {
      const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
      const outcome = await child.try.ioctl(descriptor, NS_GET_USERNS)
      await child.close(descriptor)
      return String(outcome) !== 'ENOTTY'
    },
  },
  NS_GET_ID: {
    reason: 'NS_GET_ID does not work on IPC namespaces (ENOTTY)',
    met: (child) => ioctlWorks(child, NS_GET_ID),
  },
  'namespace handles': {
    reason: 'namespaces have no file handles (EOPNOTSUPP), or a sandbox forbids to open them (EPERM)',
    kconfig: 'CONFIG_FHANDLE',
    besides: 'Linux 6.18',
    met: async (child) => {
      const descriptor = await child.open('/proc/self/ns/ipc', O_RDONLY)
      const made = works(await child.try.name_to_handle_at(descriptor))
      await child.close(descriptor)
      return made && String(await openHandleOfMountNamespace(child)) !== 'EPERM'
    },
  },
  'handles of foreign namespaces': {
    reason: 'handles of namespaces that one is not in do not open here (ESTALE)',
    kconfig: 'CONFIG_FHANDLE',
    besides: 'Linux 6.18',
    met: async (child) => {
      const foreign = await child.trySpawn('foreign', ['NEWIPC'])
      if (failed(foreign)) return false
      const nsfd = await foreign.open('/proc/self/ns/ipc', O_RDONLY)
      const handle = await foreign.try.name_to_handle_at(nsfd)
      const opened = failed(handle) ? handle : await child.try.open_by_handle_at(FD_NSFS_ROOT, handle)
      await foreign.killAndReap()
      return works(opened)
    },
  },
  listns: {
    reason: 'the kernel has no listns (ENOSYS)',
    met: async (child) => String(await child.try.listns(CLONE.NEWIPC)) !== 'ENOSYS',
  },
} satisfies Record<string, Requirement>
