/** Who counts as the one that acted: the dead, threads, and a process that undoes: PID-04, PID-06, PID-08. */

import { type Ending, endMembership } from '../../fixtures/leaving.ts'
import type { SystemVKind } from '../../fixtures/objects.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  type Area,
  type Flag,
  IPC_CREAT,
  IPC_EXCL,
  MSG_NOERROR,
  oneOf,
  procPid,
  SEM_UNDO,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'
import { REMEMBERING } from './fields.ts'

/** How a process gives back what it did to a semaphore, by its end or by leaving the IPC namespace. */
const UNDOING: Readonly<Record<string, Ending>> = {
  undo: 'exit',
  'undo by unshare': 'unshare',
  'undo by setns': 'setns',
}

const FLAG_SETS: readonly (readonly Flag[])[] = [[], ['NEWPID']]

export function addActors(pid: Area): void {
  pid.comparison('PID-04', {
    says: 'an object remembers the pid of who acted last after that process is dead, for each pid namespace its number there',
    source: ['msgctl(2)', 'semctl(2)', 'shmctl(2)', 'ipc/util.h: ipc_update_pid'],
    needs: ['SYSVIPC', 'PID_NS'],
    since: '4.17',
    variants: ['shm', 'msg', 'sem'],
    flags: FLAG_SETS,
    arms: { treatment: 'the process is dead', control: 'it lives' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const how = REMEMBERING[variant as SystemVKind]
      // Its number is another one in its own pid namespace than outside, and in a third it has none.
      const parent = await outer.spawn('parent', ['NEWPID'])
      const stranger = await outer.spawn('stranger', ['NEWPID'])
      const mortal = await parent.spawn('mortal', flags)
      const numbers = { outer: Number(await procPid(mortal)), parent: mortal.pid, stranger: 0 }
      const object = await how.make(mortal, fresh.key())
      for (const act of Object.values(how.acts)) await act(mortal, object)
      const seenBy = async () => ({
        outer: await how.pids(outer, object),
        parent: await how.pids(parent, object),
        stranger: await how.pids(stranger, object),
      })
      const before = await seenBy()
      if (arm === 'treatment') await mortal.exitAndReap()
      return { numbers, before, after: await seenBy() }
    },
    treatment: (seen) => everyField(seen),
    control: (seen) => everyField(seen),
  })

  pid.comparison('PID-06', {
    says: 'the remembered pids are those of processes, not of threads (lrpid of a receiver that had to wait may be its thread’s)',
    source: ['msgctl(2)', 'ipc/msg.c: pipelined_send, do_msgrcv', 'ipc/sem.c: perform_atomic_semop'],
    needs: ['SYSVIPC'],
    arms: { treatment: 'the acts of a second thread', control: 'the acts of the first' },
    async experiment({ outer, arm, fresh, note }) {
      const main = await outer.spawn('process')
      const thread = await withThread(main, 'thread')
      const worker = arm === 'treatment' ? thread : main
      const ids = {
        maker: outer.pid,
        process: main.pid,
        thread: await worker.gettid(),
        seenAs: await worker.getpid(),
      }
      const seen: Record<string, Readonly<Record<string, number>>> = {}
      const semaphore = await REMEMBERING.sem.make(worker, fresh.key())
      for (const [kind, how] of Object.entries(REMEMBERING)) {
        const object = kind === 'sem' ? semaphore : await how.make(worker, fresh.key())
        for (const act of Object.values(how.acts)) await act(worker, object)
        seen[kind] = await how.pids(outer, object)
      }
      // Between shmat and shmdt: each of them notes who called.
      const held = await REMEMBERING.shm.make(outer, fresh.key())
      const memory = await worker.shmat(held)
      const attached = await REMEMBERING.shm.pids(outer, held)
      await worker.shmdt(memory)
      const valued = await REMEMBERING.sem.make(outer, fresh.key())
      await worker.semctlSetAll(valued, [1, 2, 3])
      const setAll = await REMEMBERING.sem.pids(outer, valued)
      // A message handed to a receiver that already waits, for a whole one or for as much as it has room for.
      const handedOver = async (flags: number): Promise<number> => {
        const queue = await REMEMBERING.msg.make(outer, fresh.key())
        const waiting = await worker.block.msgrcv(queue, 64, 0, flags)
        await outer.msgsnd(queue, 1, 'handed over', 0)
        await waiting.within(PATIENCE_MS)
        return (await outer.msgctlStat(queue)).lrpid
      }
      const lrpid = await handedOver(0)
      const lrpidNoError = await handedOver(MSG_NOERROR)
      if (arm === 'treatment')
        note(`lrpid of a waiting receiver is its ${lrpid === ids.thread ? 'thread' : 'process'} id`)
      return { ids, ...seen, attached, setAll, lrpid, lrpidNoError }
    },
    treatment: ({ ids, lrpid }) => ({
      ...oneProcess(ids.process),
      attached: { cpid: ids.maker, lpid: ids.process },
      lrpid: oneOf(ids.thread, ids.process),
      lrpidNoError: lrpid,
    }),
    control: ({ ids }) => ({
      ...oneProcess(ids.process),
      attached: { cpid: ids.maker, lpid: ids.process },
      lrpid: ids.process,
      lrpidNoError: ids.process,
    }),
  })

  pid.comparison('PID-08', {
    says: 'a semaphore’s pid is also that of who set it by SETVAL or SETALL, and of the process whose end, or leaving of the IPC namespace, undid its operation',
    source: ['semctl(2) NOTES', 'ipc/sem.c: semctl_setval, semctl_main, exit_sem'],
    needs: ['SYSVIPC', 'PID_NS'],
    since: '4.6',
    variants: ['SETVAL', 'SETALL', ...Object.keys(UNDOING)],
    flags: FLAG_SETS,
    arms: { treatment: 'after it', control: 'without it' },
    async experiment({ outer, arm, flags, variant, fresh }) {
      const set = await outer.semget(fresh.key(), 3, IPC_CREAT | IPC_EXCL | 0o600)
      const pids = () => REMEMBERING.sem.pids(outer, set)
      const other = await outer.spawn('other')
      const setter = await outer.spawn('setter', flags)
      const undoing = UNDOING[variant]
      // The first and the last of three; the one between them stays the other's.
      const flagsOfUndo = arm === 'treatment' ? SEM_UNDO : 0
      if (undoing)
        await setter.semop(set, [
          { index: 0, change: 1, flags: flagsOfUndo },
          { index: 2, change: 1, flags: flagsOfUndo },
        ])
      await other.semop(set, [
        { index: 0, change: 1 },
        { index: 1, change: 1 },
        { index: 2, change: 1 },
      ])
      const before = await pids()
      const inside = await setter.semctlGet(set, 0, 'GETPID')
      if (undoing) await endMembership(setter, undoing)
      else if (arm === 'treatment') {
        if (variant === 'SETALL') await setter.semctlSetAll(set, [7, 8, 9])
        else for (const index of [0, 2]) await setter.semctlSetValue(set, index, 7)
      }
      return {
        numbers: { setter: setter.pid, other: other.pid },
        before,
        inside,
        values: await outer.semctlGetAll(set, 3),
        after: await pids(),
      }
    },
    treatment: ({ numbers: { setter, other } }, { variant, flags }) => ({
      before: { first: other, second: other, third: other },
      inside: flags.includes('NEWPID') ? 0 : other,
      values: { SETVAL: [7, 1, 7], SETALL: [7, 8, 9] }[variant] ?? [1, 1, 1],
      after: { first: setter, second: variant === 'SETALL' ? setter : other, third: setter },
    }),
    control: ({ numbers: { other } }, { variant, flags }) => ({
      before: { first: other, second: other, third: other },
      inside: flags.includes('NEWPID') ? 0 : other,
      values: variant in UNDOING ? [2, 1, 2] : [1, 1, 1],
      after: { first: other, second: other, third: other },
    }),
  })
}

type Pids = Readonly<Record<string, number>>

/** Every field is the mortal's number, as the pid namespace of who looks has it. */
function everyField({ numbers, before }: { numbers: Pids; before: Readonly<Record<string, Pids>> }) {
  const all = Object.fromEntries(
    Object.entries(before).map(([who, fields]) => [
      who,
      Object.fromEntries(Object.keys(fields).map((field) => [field, numbers[who]])),
    ]),
  )
  return { before: all, after: all }
}

function oneProcess(number: number) {
  return {
    shm: { cpid: number, lpid: number },
    msg: { lspid: number, lrpid: number },
    sem: { first: number, second: number, third: number },
    setAll: { first: number, second: number, third: number },
  }
}
