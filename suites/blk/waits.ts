/** Calls that wait for an object: how each is made to wait, fed, and what it gives then. */
import { SYSTEM_V, type SystemVFamily } from '../../fixtures/objects.ts'
import { type Blocked, IPC_NOWAIT, type Member, type Outcome } from '../../fixtures/rules.ts'

/** One call that waits in the kernel, on an object of its family. */
export interface Wait {
  family: SystemVFamily
  /** Brings an object, which is new, into the state in which the call waits. */
  prepare(owner: Member, id: number): Promise<void>
  /** Makes the call, which waits. */
  call(waiter: Member, id: number): Promise<Blocked<unknown>>
  /** What lets such a call go on: `word` is told to a receiver. */
  feed(member: Member, id: number, word: string): Promise<unknown>
  /** What the call gives when it was fed. */
  fed(word: string): unknown
  /** Whether somebody waits, by the object: the number of waiters, where it can be asked for. */
  waiters?(member: Member, id: number): Promise<unknown>
  /** Takes out again what is in the object and was not before, when the call has gone on. */
  clear?(member: Member, id: number): Promise<unknown>
}

/** Long enough never to be the reason why a call returns. */
const LIMIT_MS = 50_000

const semaphores = (index = 0) => ({
  family: SYSTEM_V.sem,
  fed: () => 0,
  waiters: (member: Member, id: number) => member.try.semctlGet(id, index, 'GETNCNT'),
})

const nothing = async (): Promise<void> => undefined

/** IPC_SET of a queue's size alone. */
async function setSize(owner: Member, id: number, qbytes: number): Promise<Outcome<number>> {
  const [uid, gid] = [await owner.geteuid(), await owner.getegid()]
  return owner.try.msgctlSet(id, { uid, gid, mode: 0o600, qbytes })
}

async function fill(owner: Member, id: number): Promise<void> {
  await setSize(owner, id, 4)
  await owner.msgsnd(id, 1, 'full', 0)
}

/** One semop that takes from a semaphore in which there is nothing. */
const takes = (index: number): Wait => ({
  ...semaphores(index),
  prepare: nothing,
  call: (waiter, id) => waiter.block.semop(id, [{ index, change: -1 }]),
  feed: (member, id) => member.try.semop(id, [{ index, change: 1 }]),
})

/** One semop that waits until a semaphore that is in use is 0. */
const waitsForZero = (index: number): Wait => ({
  ...semaphores(index),
  prepare: async (owner, id) => {
    await owner.semctlSetValue(id, index, 1)
  },
  call: (waiter, id) => waiter.block.semop(id, [{ index, change: 0 }]),
  feed: (member, id) => member.try.semctlSetAll(id, [0, 0, 0]),
  waiters: (member, id) => member.try.semctlGet(id, index, 'GETZCNT'),
})

/**
 * Calls for which the kernel has other lists than for one operation on the first semaphore: each semaphore has its
 * own, and there is one for several operations that change values and one for several that wait for zero only. And
 * what lets a sender go on without anybody receiving.
 */
const OTHER_LISTS: Readonly<Record<string, Wait>> = {
  'msgsnd until the queue is larger': {
    family: SYSTEM_V.msg,
    prepare: fill,
    call: (waiter, id) => waiter.block.msgsnd(id, 1, 'more', 0),
    feed: (member, id) => setSize(member, id, 1024),
    fed: () => 0,
    clear: (member, id) => member.try.msgrcv(id, 64, 0, IPC_NOWAIT),
  },
  'semop on the last': takes(2),
  'semop for zero on the last': waitsForZero(2),
  'semop on several': {
    ...semaphores(),
    prepare: nothing,
    call: (waiter, id) =>
      waiter.block.semop(id, [
        { index: 0, change: -1 },
        { index: 1, change: -1 },
      ]),
    feed: (member, id) => member.try.semctlSetAll(id, [1, 1, 0]),
  },
  'semop for zero on several': {
    ...waitsForZero(0),
    call: (waiter, id) =>
      waiter.block.semop(id, [
        { index: 0, change: 0 },
        { index: 1, change: 0 },
      ]),
  },
}

/** The calls by name. */
const WAITS: Readonly<Record<string, Wait>> = {
  msgrcv: {
    family: SYSTEM_V.msg,
    prepare: nothing,
    call: (waiter, id) => waiter.block.msgrcv(id, 64, 0, 0),
    feed: (member, id, word) => member.try.msgsnd(id, 1, word, 0),
    fed: (word) => ({ type: 1, text: word }),
  },
  msgsnd: {
    family: SYSTEM_V.msg,
    prepare: fill,
    call: (waiter, id) => waiter.block.msgsnd(id, 1, 'more', 0),
    feed: (member, id) => member.try.msgrcv(id, 64, 0, 0),
    fed: () => 0,
  },
  semop: takes(0),
  'semop for zero': waitsForZero(0),
  semtimedop: {
    ...semaphores(),
    prepare: nothing,
    call: (waiter, id) => waiter.block.semop(id, [{ index: 0, change: -1 }], LIMIT_MS),
    feed: (member, id) => member.try.semctlSetValue(id, 0, 1),
  },
}

/** The names, for `variants`. */
export const WAIT_NAMES = Object.keys(WAITS)

/** The names of the others, for where it is the kernel's lists that matter. */
export const OTHER_LIST_NAMES = Object.keys(OTHER_LISTS)

/** The call that the cell's variant names; the variant may say more after a slash. */
export function waitOf({ variant }: { readonly variant: string }): Wait {
  const name = variant.split(' / ')[0] ?? ''
  const wait = WAITS[name] ?? OTHER_LISTS[name]
  if (!wait) throw new Error(`the variant ${variant} names no call that waits`)
  return wait
}

/** Brings the object into the state for the call, and makes the waiter call. */
export async function begin(
  wait: Wait,
  owner: Member,
  waiter: Member,
  id: number,
): Promise<Blocked<unknown>> {
  await wait.prepare(owner, id)
  return wait.call(waiter, id)
}
