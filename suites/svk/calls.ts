/** The calls that take an identifier. */
import { SYSTEM_V, type SystemVFamily, type SystemVKind } from '../../fixtures/objects.ts'
import {
  EACCES,
  EINVAL,
  ENOMEM,
  EPERM,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  type Member,
  MSG_EXCEPT,
  MSG_NOERROR,
  oneOf,
  SEM_UNDO,
  SHM_EXEC,
  SHM_RDONLY,
  SHM_REMAP,
  SHM_RND,
  succeeds,
} from '../../fixtures/rules.ts'

/** Outcomes by call. */
type Outcomes = Readonly<Record<string, unknown>>

/** Attaches and detaches: 'attached', or the errno. */
async function attach(member: Member, id: number, flags: number, text?: string): Promise<unknown> {
  const address = await member.try.shmat(id, flags)
  if (failed(address)) return address
  if (text !== undefined) await member.writeMemory(address, text)
  await member.shmdt(address)
  return 'attached'
}

/** As much as the largest pages are; memory is mapped in whole pages. */
const PAGE = 65536

/** Attaches at a free address, or with SHM_REMAP at a used one: 'attached', or the errno. */
async function attachAt(member: Member, id: number, flags: number, offset = 0): Promise<unknown> {
  const room = await member.mmapShared(-1, 3 * PAGE)
  const place = room + PAGE
  // Between two pages in use: what else the process maps meanwhile goes elsewhere.
  if ((flags & SHM_REMAP) === 0) await member.munmap(place, PAGE)
  const address = await member.try.shmat(id, flags, place + offset)
  if (!failed(address)) await member.shmdt(address)
  await member.munmap(room, 3 * PAGE)
  return failed(address) ? address : address === place ? 'attached' : 'elsewhere'
}

/** More operations in one semop than the kernel has room for on its stack, if the namespace lets so many pass. */
async function manyOperations(member: Member): Promise<number> {
  return Math.min(70, (await member.semctlInfo('IPC_INFO')).semopm)
}

/** More semaphores than GETALL and SETALL have room for on the kernel's stack. */
const LARGE = 300

/** Sets of so many semaphores, if the namespace lets such be made. */
export const LARGE_SETS: SystemVFamily = {
  ...SYSTEM_V.sem,
  make: async (member, key, mark, mode = 0o600) => {
    const semaphores = Math.min(LARGE, (await member.semctlInfo('IPC_INFO')).semmsl)
    const id = await member.semget(key, semaphores, IPC_CREAT | IPC_EXCL | mode)
    if (mark !== undefined) await member.semctlSetValue(id, 0, mark)
    return id
  },
  inspect: async (member, id) => {
    const status = await member.try.semctlStat(id)
    return failed(status) ? status : { ...status, values: await member.try.semctlGetAll(id, LARGE) }
  },
}

/** What the calls are made on: an object of each family, and a large set, with which the kernel deals otherwise. */
export type Subject = SystemVKind | 'sem-large'

/**
 * Every call that uses an object by its identifier, besides IPC_STAT (SVK-07), IPC_RMID (SVK-08) and
 * MSG_COPY (SVK-23), in this order on an object that holds the mark 41; with what each gives to a member. A call has
 * an entry for each form that the kernel treats by itself: flags, none or many operations, no text, a time limit.
 */
export const CALLS: Readonly<
  Record<Subject, { use(member: Member, id: number): Promise<Outcomes>; succeed: Outcomes }>
> = {
  msg: {
    use: async (member, id) => ({
      msgsnd: await member.try.msgsnd(id, 2, 'intruder', IPC_NOWAIT),
      'msgsnd that may wait': await member.try.msgsnd(id, 3, 'intruder', 0),
      'msgrcv of any type': await member.try.msgrcv(id, 64, 0, IPC_NOWAIT),
      'msgrcv of a type': await member.try.msgrcv(id, 64, 3, IPC_NOWAIT),
      'msgrcv of other types': await member.try.msgrcv(id, 64, 7, IPC_NOWAIT | MSG_EXCEPT),
      'msgsnd of a high type': await member.try.msgsnd(id, 9, 'intruder', IPC_NOWAIT),
      'msgsnd of a low type': await member.try.msgsnd(id, 8, 'intruder', IPC_NOWAIT),
      'msgrcv of the lowest type': await member.try.msgrcv(id, 64, -9, IPC_NOWAIT),
      'msgrcv of what fits': await member.try.msgrcv(id, 3, 0, IPC_NOWAIT | MSG_NOERROR),
      'msgsnd of no text': await member.try.msgsnd(id, 4, '', IPC_NOWAIT),
      'msgrcv of no text': await member.try.msgrcv(id, 0, 4, IPC_NOWAIT),
      IPC_SET: await member.try.msgctlSet(id, { uid: 0, gid: 0, mode: 0o640, qbytes: 512 }),
    }),
    succeed: {
      msgsnd: 0,
      'msgsnd that may wait': 0,
      'msgrcv of any type': { type: 1, text: '41' },
      'msgrcv of a type': { type: 3, text: 'intruder' },
      'msgrcv of other types': { type: 2, text: 'intruder' },
      'msgsnd of a high type': 0,
      'msgsnd of a low type': 0,
      'msgrcv of the lowest type': { type: 8, text: 'intruder' },
      'msgrcv of what fits': { type: 9, text: 'int' },
      'msgsnd of no text': 0,
      'msgrcv of no text': { type: 4, text: '' },
      IPC_SET: 0,
    },
  },
  sem: {
    use: async (member, id) => ({
      GETVAL: await member.try.semctlGet(id, 0),
      GETALL: await member.try.semctlGetAll(id, 3),
      GETPID: await member.try.semctlGet(id, 0, 'GETPID'),
      GETNCNT: await member.try.semctlGet(id, 0, 'GETNCNT'),
      GETZCNT: await member.try.semctlGet(id, 0, 'GETZCNT'),
      'semop that waits for zero': await member.try.semop(id, [{ index: 2, change: 0, flags: IPC_NOWAIT }]),
      'semop of many': await member.try.semopRepeated(
        id,
        { index: 2, change: 0, flags: IPC_NOWAIT },
        await manyOperations(member),
      ),
      'semtimedop that waits for zero': await member.try.semop(id, [{ index: 2, change: 0 }], 0),
      semop: await member.try.semop(id, [{ index: 1, change: 1, flags: IPC_NOWAIT }]),
      'semop of two': await member.try.semop(id, [
        { index: 1, change: 2 },
        { index: 2, change: 0, flags: IPC_NOWAIT },
      ]),
      semtimedop: await member.try.semop(id, [{ index: 0, change: -1 }], 1000),
      // Up and down: nothing is left to undo.
      'semop with SEM_UNDO': await member.try.semop(id, [{ index: 0, change: 3, flags: SEM_UNDO }]),
      'semop back': await member.try.semop(id, [{ index: 0, change: -3, flags: SEM_UNDO | IPC_NOWAIT }]),
      SETVAL: await member.try.semctlSetValue(id, 2, 5),
      SETALL: await member.try.semctlSetAll(id, [7, 8, 9]),
      IPC_SET: await member.try.semctlSet(id, { uid: 0, gid: 0, mode: 0o640 }),
    }),
    succeed: {
      GETVAL: 41,
      GETALL: [41, 0, 0],
      GETPID: succeeds,
      GETNCNT: 0,
      GETZCNT: 0,
      'semop that waits for zero': 0,
      'semop of many': 0,
      'semtimedop that waits for zero': 0,
      semop: 0,
      'semop of two': 0,
      semtimedop: 0,
      'semop with SEM_UNDO': 0,
      'semop back': 0,
      SETVAL: 0,
      SETALL: 0,
      IPC_SET: 0,
    },
  },
  'sem-large': {
    use: async (member, id) => ({
      GETALL: await member.try.semctlGetAll(id, LARGE),
      SETALL: await member.try.semctlSetAll(id, Array<number>(LARGE).fill(7)),
    }),
    succeed: {
      GETALL: Array.from({ length: LARGE }, (_, index) => (index === 0 ? 41 : 0)),
      SETALL: 0,
    },
  },
  shm: {
    use: async (member, id) => ({
      shmat: await attach(member, id, 0, '99'),
      'shmat read-only': await attach(member, id, SHM_RDONLY),
      'shmat executable': await attach(member, id, SHM_EXEC),
      'shmat at an address': await attachAt(member, id, 0),
      'shmat at an address to be rounded': await attachAt(member, id, SHM_RND, 8),
      'shmat over a mapping': await attachAt(member, id, SHM_REMAP),
      'shmat read-only over a mapping': await attachAt(member, id, SHM_REMAP | SHM_RDONLY),
      SHM_LOCK: await member.try.shmctlLock(id, 'SHM_LOCK'),
      SHM_UNLOCK: await member.try.shmctlLock(id, 'SHM_UNLOCK'),
      IPC_SET: await member.try.shmctlSet(id, { uid: 0, gid: 0, mode: 0o640 }),
    }),
    succeed: {
      shmat: 'attached',
      'shmat read-only': 'attached',
      // The mode lets nobody execute it but who has CAP_IPC_OWNER; a mount or a security module may forbid it.
      'shmat executable': oneOf('attached', EACCES, EPERM),
      'shmat at an address': 'attached',
      'shmat at an address to be rounded': 'attached',
      'shmat over a mapping': 'attached',
      'shmat read-only over a mapping': 'attached',
      // The owner without CAP_IPC_LOCK is held to RLIMIT_MEMLOCK.
      SHM_LOCK: oneOf(0, ENOMEM, EPERM),
      SHM_UNLOCK: 0,
      IPC_SET: 0,
    },
  },
}

/** What they all come to where the identifier means nothing. */
export function refusedAll(subject: Subject): Outcomes {
  return Object.fromEntries(Object.keys(CALLS[subject].succeed).map((call) => [call, EINVAL]))
}

/** The actor's object as it is after a member has made all those calls. */
export const CHANGED: Readonly<Record<Subject, Outcomes>> = {
  msg: { mode: 0o640, content: undefined },
  sem: { mode: 0o640, content: 7 },
  'sem-large': { mode: 0o600, content: 7 },
  shm: { mode: 0o640, content: 99 },
}
