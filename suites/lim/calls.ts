/** LIM-01, LIM-02: limits on one call. */
import { MSGMAX, MSGMNB, MSGMNB_SET } from '../../fixtures/limits.ts'
import type { Area } from '../../fixtures/rules.ts'
import { limitRule } from './rule.ts'

export function callLimitRules(lim: Area): void {
  limitRule(lim, 'LIM-01', {
    says: 'msgmax of the sender’s IPC namespace bounds a message: a larger one is EINVAL, and one that is not is copied (MSG_COPY) and received whole',
    source: ['msgop(2)', 'ipc/msg.c: do_msgsnd, prepare_copy'],
    since: '2.6.19',
    limits: [MSGMAX],
  })

  limitRule(lim, 'LIM-02', {
    says: 'msgmnb of its IPC namespace is the capacity of a new message queue: what does not fit is EAGAIN; and the most that IPC_SET gives one without CAP_SYS_RESOURCE: more is EPERM',
    source: ['msgop(2)', 'msgctl(2) IPC_SET', 'ipc/msg.c: newque, msgctl_down'],
    since: '2.6.19',
    limits: [MSGMNB, MSGMNB_SET],
  })
}
