/** LIM-07 to LIM-09: limits on POSIX queues. */
import {
  DEFAULT_ATTRIBUTES,
  MSG_MAX,
  MSGSIZE_MAX,
  QUEUES_MAX,
  UNLINKED_QUEUES,
} from '../../fixtures/limits.ts'
import { type Area, EINVAL, ENOSPC, mayExceedLimits, O_CREAT, O_RDWR } from '../../fixtures/rules.ts'
import { limitRule } from './rule.ts'

export function queueLimitRules(lim: Area): void {
  limitRule(lim, 'LIM-07', {
    says: 'attributes above msg_max or msgsize_max of the IPC namespace are EINVAL; none means the smaller of its default and its limit; a message may be as long as its queue allows, whichever limit its sender has',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_get_inode, mq_attr_ok, do_mq_timedsend'],
    since: '3.5',
    limits: [MSG_MAX, MSGSIZE_MAX, ...DEFAULT_ATTRIBUTES],
  })

  limitRule(lim, 'LIM-08', {
    says: 'queues_max bounds the POSIX queues of one IPC namespace (ENOSPC), those unlinked but open too, wherever they are closed last; opening one, with O_CREAT too, is never refused',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_create_attr', 'ipc/mqueue.c: mqueue_evict_inode'],
    since: '2.6.30',
    limits: [QUEUES_MAX, UNLINKED_QUEUES],
  })

  lim.comparison('LIM-09', {
    says: 'CAP_SYS_RESOURCE lifts the limits on POSIX queues in the initial user namespace only (capabilities(7) has no such condition)',
    source: ['capabilities(7)', 'ipc/mqueue.c: mqueue_create_attr', 'ipc/mqueue.c: mq_attr_ok'],
    needs: ['POSIX_MQUEUE', 'MQUEUE_SYSCTL', 'USER_NS'],
    arms: { treatment: 'root of a child user namespace', control: 'root of the initial one' },
    async experiment({ outer, enter, arm, fresh }) {
      const member = await enter('member', {
        flags: arm === 'treatment' ? ['NEWIPC', 'NEWUSER'] : ['NEWIPC'],
      })
      const capable = (await member.capabilities()).includes('CAP_SYS_RESOURCE')
      await member.try.writeFile('/proc/sys/fs/mqueue/queues_max', '2')
      const lowered = (await member.readFile('/proc/sys/fs/mqueue/queues_max')).trim() === '2'
      const create = async (maxmsg: number, msgsize: number): Promise<unknown> => {
        const queue = await member.try.mq_create(fresh.name(), O_CREAT | O_RDWR, 0o600, { maxmsg, msgsize })
        return typeof queue === 'number' ? 'made' : queue
      }
      return {
        outers: (await outer.readFile('/proc/sys/fs/mqueue/queues_max')).trim(),
        capable,
        lifted: await mayExceedLimits(outer),
        lowered,
        tooMany: await create(11, 64),
        tooLong: await create(1, 8193),
        queues: [await create(1, 64), await create(1, 64)],
        oneMore: await create(1, 64),
      }
    },
    treatment: () => ({
      outers: '256',
      capable: true,
      lowered: true,
      tooMany: EINVAL,
      tooLong: EINVAL,
      queues: ['made', 'made'],
      oneMore: ENOSPC,
    }),
    // With the capability two queues above the limits were made, and every further one still is.
    control: ({ lifted }) => ({
      outers: '256',
      lowered: true,
      tooMany: lifted ? 'made' : EINVAL,
      tooLong: lifted ? 'made' : EINVAL,
      queues: ['made', 'made'],
      oneMore: lifted ? 'made' : ENOSPC,
    }),
  })
}
