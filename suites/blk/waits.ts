/** Calls that wait for an object: how each is made to wait, fed, and what it gives then. */
import { SYSTEM_V, type SystemVFamily } from '../../fixtures/objects.ts'
import type { Blocked, Member } from '../../fixtures/rules.ts'

/** One call that waits in the kernel, on an object of its family. */
export interface Wait {
  family: SystemVFamily
  /** Makes the call wait: brings the object, which is new, into the state for it, and calls. */
  begin(owner: Member, waiter: Member, id: number): Promise<Blocked<unknown>>
  /** Brings an object of the same kind into the same state, without waiting for it. */
  prepare(owner: Member, id: number): Promise<void>
  /** What lets such a call go on: `word` is told to a receiver. */
  feed(member: Member, id: number, word: string): Promise<unknown>
  /** What the call gives when it was fed. */
  fed(word: string): unknown
  /** Whether somebody waits, by the object: the number of waiters, where it can be asked for. */
  waiters?(member: Member, id: number): Promise<unknown>
}

/** Long enough never to be the reason why a call returns. */
const LIMIT_MS = 50_000

const semaphores = {
  family: SYSTEM_V.sem,
  fed: () => 0,
  waiters: (member: Member, id: number) => member.try.semctlGet(id, 0, 'GETNCNT'),
}

const nothing = async (): Promise<void> => undefined

async function fill(owner: Member, id: number): Promise<void> {
  await owner.msgctlSet(id, {
    uid: await owner.geteuid(),
    gid: await owner.getegid(),
    mode: 0o600,
    qbytes: 4,
  })
  await owner.msgsnd(id, 1, 'full', 0)
}

/**
 * One call of several operations: the kernel has lists of their own for them, one for the operations that
 * change values and one for those that wait for zero only.
 */
const SEVERAL: Readonly<Record<string, Wait>> = {
  'semop on several': {
    ...semaphores,
    prepare: nothing,
    begin: (_owner, waiter, id) =>
      waiter.block.semop(id, [
        { index: 0, change: -1 },
        { index: 1, change: -1 },
      ]),
    feed: (member, id) => member.try.semctlSetAll(id, [1, 1, 0]),
  },
  'semop for zero on several': {
    ...semaphores,
    prepare: async (owner, id) => {
      await owner.semctlSetValue(id, 0, 1)
    },
    begin: async (owner, waiter, id) => {
      await owner.semctlSetValue(id, 0, 1)
      return waiter.block.semop(id, [
        { index: 0, change: 0 },
        { index: 1, change: 0 },
      ])
    },
    feed: (member, id) => member.try.semctlSetAll(id, [0, 0, 0]),
    waiters: (member, id) => member.try.semctlGet(id, 0, 'GETZCNT'),
  },
}

/** The calls by name. */
const WAITS: Readonly<Record<string, Wait>> = {
  msgrcv: {
    family: SYSTEM_V.msg,
    prepare: nothing,
    begin: (_owner, waiter, id) => waiter.block.msgrcv(id, 64, 0, 0),
    feed: (member, id, word) => member.try.msgsnd(id, 1, word, 0),
    fed: (word) => ({ type: 1, text: word }),
  },
  msgsnd: {
    family: SYSTEM_V.msg,
    prepare: fill,
    begin: async (owner, waiter, id) => {
      await fill(owner, id)
      return waiter.block.msgsnd(id, 1, 'more', 0)
    },
    feed: (member, id) => member.try.msgrcv(id, 64, 0, 0),
    fed: () => 0,
  },
  semop: {
    ...semaphores,
    prepare: nothing,
    begin: (_owner, waiter, id) => waiter.block.semop(id, [{ index: 0, change: -1 }]),
    feed: (member, id) => member.try.semop(id, [{ index: 0, change: 1 }]),
  },
  'semop for zero': {
    ...semaphores,
    prepare: async (owner, id) => {
      await owner.semctlSetValue(id, 0, 1)
    },
    begin: async (owner, waiter, id) => {
      await owner.semctlSetValue(id, 0, 1)
      return waiter.block.semop(id, [{ index: 0, change: 0 }])
    },
    feed: (member, id) => member.try.semctlSetAll(id, [0, 0, 0]),
    waiters: (member, id) => member.try.semctlGet(id, 0, 'GETZCNT'),
  },
  semtimedop: {
    ...semaphores,
    prepare: nothing,
    begin: (_owner, waiter, id) => waiter.block.semop(id, [{ index: 0, change: -1 }], LIMIT_MS),
    feed: (member, id) => member.try.semctlSetValue(id, 0, 1),
  },
}

/** The names, for `variants`. */
export const WAIT_NAMES = Object.keys(WAITS)

/** The names of those with several operations, for where it is the kernel's lists that matter. */
export const SEVERAL_NAMES = Object.keys(SEVERAL)

/** The call that the cell's variant names; the variant may say more after a slash. */
export function waitOf({ variant }: { readonly variant: string }): Wait {
  const name = variant.split(' / ')[0] ?? ''
  const wait = WAITS[name] ?? SEVERAL[name]
  if (!wait) throw new Error(`the variant ${variant} names no call that waits`)
  return wait
}
