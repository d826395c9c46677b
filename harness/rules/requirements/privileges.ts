/** What the runner may: capabilities, other users, limits, mounts. */
import { failed } from '../../link/failure.ts'
import type { Member } from '../../link/member.ts'
import {
  type Capability,
  MNT_DETACH,
  MS_PRIVATE,
  MS_REC,
  PTRACE_SEIZE,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NOFILE,
} from '../../probe/constants.ts'
import { ANOTHER_USER, enough, inTrial, type Requirement, works } from './requirement.ts'

function capability(name: Capability): Requirement {
  return {
    reason: `${name} is missing`,
    met: async (child) => (await child.capabilities()).includes(name),
  }
}

/**
 * Whether the member has CAP_SYS_RESOURCE where limits ask for it: in the initial user namespace
 * (kernel/sys.c: do_prlimit asks the same). Found out by a child that raises a hard limit.
 */
export async function mayExceedLimits(member: Member): Promise<boolean> {
  const child = await member.spawn('child')
  const { hard } = await child.getrlimit(RLIMIT_NOFILE)
  await child.setrlimit(RLIMIT_NOFILE, 64, hard - 1)
  const raised = await child.try.setrlimit(RLIMIT_NOFILE, 64, hard)
  await child.killAndReap()
  return works(raised)
}

/** By name. */
export const PRIVILEGES = {
  CAP_SYS_ADMIN: capability('CAP_SYS_ADMIN'),
  CAP_SYS_RESOURCE: {
    reason: 'CAP_SYS_RESOURCE is missing in the initial user namespace',
    met: mayExceedLimits,
  },
  'NO CAP_SYS_RESOURCE': {
    reason: 'CAP_SYS_RESOURCE lifts this limit here',
    met: async (child) => !(await mayExceedLimits(child)),
  },
  CAP_SETUID: {
    reason:
      'other users are out of reach: CAP_SETUID is missing, or the user namespace does not map their ids',
    met: async (child) => {
      const capable = (await child.capabilities()).includes('CAP_SETUID')
      return capable && works(await child.try.becomeUser(ANOTHER_USER))
    },
  },
  CAP_CHECKPOINT_RESTORE: capability('CAP_CHECKPOINT_RESTORE'),
  CAP_CHOWN: capability('CAP_CHOWN'),
  CAP_DAC_OVERRIDE: capability('CAP_DAC_OVERRIDE'),
  CAP_IPC_LOCK: capability('CAP_IPC_LOCK'),
  CAP_IPC_OWNER: capability('CAP_IPC_OWNER'),
  CAP_KILL: capability('CAP_KILL'),
  CAP_SETFCAP: capability('CAP_SETFCAP'),
  CAP_SYS_CHROOT: capability('CAP_SYS_CHROOT'),
  CAP_SYS_PTRACE: capability('CAP_SYS_PTRACE'),
  ptrace: {
    reason: 'nobody may trace here: an LSM such as Yama or a sandbox forbids it (EPERM)',
    met: async (child) => {
      const target = await child.spawn('target')
      return works(await child.try.ptrace(PTRACE_SEIZE, target.pid))
    },
  },
  'limits that can be set': {
    reason: 'setrlimit is refused (EPERM)',
    met: async (child) => {
      const { soft, hard } = await child.getrlimit(RLIMIT_MSGQUEUE)
      return works(await child.try.setrlimit(RLIMIT_MSGQUEUE, soft, hard))
    },
  },
  'room to lock memory': {
    reason: 'RLIMIT_MEMLOCK of the runner is below 65536 bytes',
    met: async (child) => enough((await child.getrlimit(RLIMIT_MEMLOCK)).hard, 65_536),
  },
  sethostname: {
    reason: 'a sandbox forbids sethostname (EPERM)',
    met: (child) =>
      inTrial(child, ['NEWUTS'], async (trial) => works(await trial.try.sethostname('ipcns-trial'))),
  },
  'mounts in a user namespace': {
    reason: 'root of a user namespace may not change mounts (EPERM)',
    kconfig: 'CONFIG_USER_NS',
    met: async (child) => {
      const root = await child.trySpawn('root of a user namespace', ['NEWUSER', 'NEWNS'])
      return !failed(root) && works(await root.try.mount('', '/', '', MS_REC | MS_PRIVATE))
    },
  },
  'removable mounts': {
    reason: 'what an outer user namespace has mounted cannot be unmounted (EINVAL)',
    met: (child) =>
      inTrial(child, ['NEWNS'], async (trial) => works(await trial.try.umount('/proc', MNT_DETACH))),
  },
  'fresh procfs': {
    reason:
      'the procfs of the own pid namespace cannot be mounted: it belongs to an outer user namespace (EPERM)',
    met: (child) =>
      inTrial(child, ['NEWNS'], async (trial) => works(await trial.try.mount('proc', '/proc', 'proc'))),
  },
} satisfies Record<string, Requirement>
