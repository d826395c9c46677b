import type { SetUpRefused } from '../link/failure.ts'
import type { RequirementName } from './requirements.ts'

/**
 * What an environment may lack that refuses this step of a set-up. Rules are written for root of the initial
 * user namespace; root of a container has not all capabilities, or has them not over everything.
 */
export function lackedBy({ operation, args, errno }: SetUpRefused): readonly RequirementName[] {
  if (errno === 'EROFS') return ['writable sysctls']
  const path = String(args[0])
  switch (operation) {
    case 'becomeUser':
    case 'setresuid':
    case 'setresgid':
    case 'setgroups':
      return ['CAP_SETUID']
    case 'setrlimit':
      return ['room to lock memory']
    case 'msgget':
    case 'semget':
    case 'shmget':
    case 'msgctlSet':
      return ['usual sysctls']
    case 'mq_create':
      return ['usual sysctls', 'POSIX_MQUEUE']
    case 'setns':
      return ['own namespaces', 'CAP_SYS_CHROOT']
    case 'chroot':
      return ['CAP_SYS_CHROOT']
    case 'ptrace':
      return ['ptrace']
    case 'umount':
      return ['removable mounts']
    case 'mount':
      return args[2] === 'proc' ? ['fresh procfs'] : []
    case 'writeFile':
      if (path.endsWith('_map')) return ['CAP_SETUID', 'CAP_SETFCAP']
      return path.startsWith('/proc/sys/') ? ['own namespaces'] : []
    default:
      return []
  }
}
