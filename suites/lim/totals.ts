/** LIM-03 to LIM-06: limits on what an IPC namespace holds, and on its segments and semaphore sets. */
import { giveUp } from '../../fixtures/capabilities.ts'
import {
  MSGMNI,
  SEMMNI,
  SEMMNS,
  SEMMSL,
  SEMOPM,
  SEMOPM_TIMED,
  SHMALL,
  SHMMAX,
  SHMMNI,
} from '../../fixtures/limits.ts'
import {
  type Area,
  E2BIG,
  EAGAIN,
  EINVAL,
  ENOMSG,
  ENOSPC,
  EPERM,
  failed,
  IPC_CREAT,
  IPC_NOWAIT,
  IPC_PRIVATE,
  type Member,
  SHM_RDONLY,
} from '../../fixtures/rules.ts'
import { unlikeText } from '../../fixtures/texts.ts'
import { limitRule } from './rule.ts'

export function totalLimitRules(lim: Area): void {
  limitRule(lim, 'LIM-03', {
    says: 'msgmni, semmni and shmmni bound the objects of one IPC namespace: one more is ENOSPC, and what was refused counts nowhere',
    source: ['proc_sys_kernel(5)', 'ipc/util.c: ipc_addid', 'ipc/sem.c: newary', 'ipc/shm.c: newseg'],
    since: '2.6.19',
    limits: [MSGMNI, SEMMNI, SHMMNI],
  })

  limitRule(lim, 'LIM-04', {
    says: 'shmmax bounds a segment (EINVAL), shmall the pages of all segments of one IPC namespace (ENOSPC)',
    source: ['shmget(2)', 'ipc/shm.c: newseg'],
    since: '2.6.19',
    limits: [SHMMAX, SHMALL],
  })

  limitRule(lim, 'LIM-05', {
    says: 'SEMMSL bounds a set (EINVAL), SEMMNS the semaphores of one IPC namespace (ENOSPC), SEMOPM one semop or semtimedop (E2BIG)',
    source: ['semget(2)', 'semop(2)', 'ipc/sem.c: newary', 'ipc/sem.c: do_semtimedop'],
    since: '2.6.19',
    limits: [SEMMSL, SEMMNS, SEMOPM, SEMOPM_TIMED],
  })

  lim.comparison('LIM-06', {
    says: 'lowering a limit neither removes nor shrinks objects that exist; only new ones are refused',
    source: ['proc_sys_kernel(5)', 'ipc/msg.c: newque', 'ipc/sem.c: newary', 'ipc/shm.c: newseg'],
    needs: ['SYSVIPC_SYSCTL'],
    arms: { treatment: 'objects made before', control: 'objects made after' },
    async experiment({ outer, arm }) {
      const lower = async (): Promise<void> => {
        await outer.writeFile('/proc/sys/kernel/msgmnb', '10')
        await outer.writeFile('/proc/sys/kernel/shmmax', '10')
        await outer.writeFile('/proc/sys/kernel/sem', '1 100 1 100')
      }
      const forbid = async (): Promise<void> => {
        await outer.writeFile('/proc/sys/kernel/msgmni', '0')
        await outer.writeFile('/proc/sys/kernel/shmmni', '0')
        await outer.writeFile('/proc/sys/kernel/sem', '0 0 1 0')
      }
      if (arm === 'control') await lower()
      const queue = await outer.msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
      // Those made before hold a message.
      if (arm === 'treatment') await outer.msgsnd(queue, TYPE, LONG_TEXT, IPC_NOWAIT)
      const set = await outer.try.semget(IPC_PRIVATE, 2, IPC_CREAT | 0o600)
      const segment = await outer.try.shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0o600)
      if (arm === 'control') {
        const used = await use(outer, { queue, set, segment })
        return { set, segment, ...used, ...(await shorten(outer, queue)) }
      }
      await lower()
      await forbid()
      return {
        ...(await use(outer, { queue, set, segment })),
        ...(await shorten(outer, queue)),
        moreQueues: await outer.try.msgget(IPC_PRIVATE, IPC_CREAT | 0o600),
        moreSets: await outer.try.semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600),
        moreSegments: await outer.try.shmget(IPC_PRIVATE, 1, IPC_CREAT | 0o600),
      }
    },
    treatment: () => ({
      sent: 0,
      enlarged: EPERM,
      capacity: 16384,
      sems: 2,
      changed: 0,
      twoOperations: E2BIG,
      bytes: 8192,
      attached: 'the text',
      attachedReadOnly: 'the text',
      received: { type: TYPE, text: LONG_TEXT },
      sentThen: EINVAL,
      moreQueues: ENOSPC,
      moreSets: EINVAL,
      moreSegments: ENOSPC,
    }),
    control: () => ({
      sent: EAGAIN,
      enlarged: EPERM,
      capacity: 10,
      set: EINVAL,
      segment: EINVAL,
      received: ENOMSG,
      sentThen: EINVAL,
    }),
  })
}

/** A message that msgmax lets through until it is lowered, and its type. */
const LONG_TEXT = unlikeText(1000)
const TYPE = 2

/** Lowers msgmax: what comes of a message that is in the queue, if there is one, and of one more. */
async function shorten(member: Member, queue: number): Promise<Record<string, unknown>> {
  await member.writeFile('/proc/sys/kernel/msgmax', '10')
  return {
    received: await member.try.msgrcv(queue, LONG_TEXT.length, TYPE, IPC_NOWAIT),
    sentThen: await member.try.msgsnd(queue, TYPE, LONG_TEXT, IPC_NOWAIT),
  }
}

/** Uses a queue, a set of two and a segment in full; `undefined` for those that could not be made. */
async function use(
  member: Member,
  { queue, set, segment }: Record<'queue' | 'set' | 'segment', unknown>,
): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {}
  if (typeof queue === 'number') {
    seen.sent = await member.try.msgsnd(queue, 1, 'm'.repeat(100), IPC_NOWAIT)
    if (seen.sent === 0) await member.msgrcv(queue, 100, 1, IPC_NOWAIT)
    const powerless = await member.spawn('child without CAP_SYS_RESOURCE')
    await giveUp(powerless, 'CAP_SYS_RESOURCE')
    seen.enlarged = await powerless.try.msgctlSet(queue, { uid: 0, gid: 0, mode: 0o600, qbytes: 20_000 })
    seen.capacity = (await member.msgctlStat(queue)).qbytes
  }
  if (typeof set === 'number') {
    seen.sems = (await member.semctlStat(set)).nsems
    seen.changed = await member.try.semop(set, [{ index: 1, change: 1 }])
    seen.twoOperations = await member.try.semop(set, [
      { index: 0, change: 1 },
      { index: 1, change: 1 },
    ])
  }
  if (typeof segment === 'number') {
    seen.bytes = (await member.shmctlStat(segment)).segsz
    const address = await member.try.shmat(segment)
    if (failed(address)) return { ...seen, attached: address }
    await member.writeMemory(address + 5000, 'the text')
    seen.attached = await member.readMemory(address + 5000, 100)
    await member.shmdt(address)
    const readable = await member.try.shmat(segment, SHM_RDONLY)
    seen.attachedReadOnly = failed(readable) ? readable : await member.readMemory(readable + 5000, 100)
    if (!failed(readable)) await member.shmdt(readable)
  }
  return seen
}
