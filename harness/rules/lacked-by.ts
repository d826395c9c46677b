import type { SetUpRefused } from '../link/failure.ts'
import { CLONE } from '../probe/constants.ts'
import type { RequirementName } from './requirements.ts'

/**
 * What an environment may lack that refuses this step of a set-up. Rules are written for root of the initial
 * user namespace; root of a container has not all capabilities, or has them not over everything.
 */
export function lackedBy({ operation, args, errno }: SetUpRefused): readonly RequirementName[] {
  if (errno === 'EROFS' || errno === 'EIO') return ['writable sysctls']
  const path = String(args[0])
  if (errno === 'ENOENT' && path === '/proc/sys/kernel/shm_rmid_forced') return ['shm_rmid_forced']
  switch (operation) {
    case 'becomeUser':
    case 'setresuid':
    case 'setresgid':
    case 'setgroups':
      return ['CAP_SETUID']
    case 'setrlimit':
      return ['room to lock memory', 'limits that can be set']
    case 'msgget':
    case 'semget':
    case 'shmget':
    case 'msgctlSet':
      return ['usual sysctls']
    case 'mq_create':
      return ['usual sysctls', 'POSIX_MQUEUE']
    case 'mq_send':
    case 'mq_receive':
      return ['messages of POSIX queues']
    case 'mq_notify':
    case 'mq_notify_remove':
      return ['mq_notify']
    case 'setns':
      if (errno === 'EINVAL' && args[1] === CLONE.NEWPID) return ['setns of pid namespaces']
      if (errno === 'EINVAL' && args[1] === CLONE.NEWUSER) return ['setns of user namespaces']
      return ['own namespaces', 'CAP_SYS_CHROOT']
    case 'indexOf':
      return ['System V indices']
    case 'chroot':
      return ['CAP_SYS_CHROOT']
    case 'ptrace':
      return ['ptrace']
    case 'umount':
      return ['removable mounts']
    case 'mount':
      return args[2] === 'proc' ? ['fresh procfs'] : ['mounts in a user namespace']
    case 'writeFile':
      if (path.endsWith('_map')) return ['CAP_SETUID', 'CAP_SETFCAP']
      return path.startsWith('/proc/sys/') ? ['own namespaces'] : []
    default:
      return []
  }
}
