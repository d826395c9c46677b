/** How a person reads a call and its result: as C and the manual pages write them. */
import {
  CLONE,
  FLAGS,
  type Flag,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SLAVE,
  MSG_COPY,
  MSG_EXCEPT,
  MSG_NOERROR,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_PATH,
  O_TRUNC,
  SEM_UNDO,
  SHM_HUGETLB,
} from '../probe/constants.ts'
import type { OperationName } from '../probe/operations/index.ts'
import type { SemaphoreStep } from '../probe/operations/sysv-sem.ts'
import { Failure } from './failure.ts'

type Show = (value: unknown) => string

const plain: Show = (value) => (typeof value === 'string' ? JSON.stringify(value) : text(value))
const bare: Show = (value) => String(value)
const octal: Show = (value) => `0${Number(value).toString(8)}`
const key: Show = (value) => (value === 0 ? 'IPC_PRIVATE' : `0x${(Number(value) >>> 0).toString(16)}`)

function bits(names: Readonly<Record<string, number>>, mode: boolean): Show {
  return (value) => {
    let rest = Number(value)
    const words: string[] = []
    for (const [name, bit] of Object.entries(names))
      if ((rest & bit) === bit && bit !== 0) {
        words.push(name)
        rest &= ~bit
      }
    if (rest !== 0) words.push(mode ? octal(rest) : `0x${rest.toString(16)}`)
    return words.join('|') || '0'
  }
}

const getFlags = bits({ IPC_CREAT, IPC_EXCL, SHM_HUGETLB }, true)
const messageFlags = bits({ IPC_NOWAIT, MSG_NOERROR, MSG_EXCEPT, MSG_COPY }, true)
const openFlags: Show = (value) => {
  const number = Number(value)
  const access = ['O_RDONLY', 'O_WRONLY', 'O_RDWR'][number & 3] ?? '3'
  const others = bits({ O_CREAT, O_EXCL, O_TRUNC, O_NONBLOCK, O_CLOEXEC, O_PATH }, true)(number & ~3)
  return others === '0' ? access : `${access}|${others}`
}
const cloneFlags = bits(
  Object.fromEntries(Object.entries(CLONE).map(([name, bit]) => [`CLONE_${name}`, bit])),
  false,
)
const mountFlags = bits(
  { MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE },
  false,
)

const stepFlags = bits({ SEM_UNDO, IPC_NOWAIT }, true)
/** As the initializer of a struct sembuf. */
const step: Show = (value) => {
  const { index, change, flags } = value as SemaphoreStep
  return `{${index}, ${change}, ${stepFlags(flags ?? 0)}}`
}
const steps: Show = (value) => `{${(value as SemaphoreStep[]).map(step).join(', ')}}`

/** C name of an operation where it is not the operation's own, and how its arguments are shown. */
interface How {
  name?: string
  args?: Show[]
  fixed?: string[]
}

const shown: Readonly<Record<string, How>> = {
  msgget: { args: [key, getFlags] },
  msgsnd: { args: [bare, bare, plain, messageFlags] },
  msgrcv: { args: [bare, bare, bare, messageFlags] },
  msgctlStat: { name: 'msgctl', args: [bare, bare] },
  msgctlSet: { name: 'msgctl IPC_SET' },
  msgctlRemove: { name: 'msgctl', fixed: ['IPC_RMID'] },
  msgctlInfo: { name: 'msgctl', args: [bare] },
  semget: { args: [key, bare, getFlags] },
  semop: { args: [bare, steps, bare] },
  semopRepeated: { name: 'semop', args: [bare, step, (times) => `${times} times`] },
  semctlGet: { name: 'semctl', args: [bare, bare, bare] },
  semctlGetAll: { name: 'semctl GETALL' },
  semctlSetValue: { name: 'semctl SETVAL' },
  semctlSetAll: { name: 'semctl SETALL' },
  semctlStat: { name: 'semctl', args: [bare, bare] },
  semctlSet: { name: 'semctl IPC_SET' },
  semctlRemove: { name: 'semctl', fixed: ['IPC_RMID'] },
  semctlInfo: { name: 'semctl', args: [bare] },
  shmget: { args: [key, bare, getFlags] },
  shmctlStat: { name: 'shmctl', args: [bare, bare] },
  shmctlSet: { name: 'shmctl IPC_SET' },
  shmctlRemove: { name: 'shmctl', fixed: ['IPC_RMID'] },
  shmctlLock: { name: 'shmctl', args: [bare, bare] },
  shmctlLimits: { name: 'shmctl IPC_INFO' },
  shmctlUsage: { name: 'shmctl SHM_INFO' },
  mq_open: { args: [plain, openFlags] },
  mq_create: { name: 'mq_open', args: [plain, openFlags, octal, plain] },
  mq_open_raw: { name: 'mq_open', args: [plain, openFlags] },
  mq_notify_thread: { name: 'mq_notify SIGEV_THREAD' },
  netlinkSocket: { name: 'socket', fixed: ['AF_NETLINK'] },
  open: { args: [plain, openFlags, octal] },
  openat: { args: [bare, plain, openFlags, octal] },
  unshare: { args: [cloneFlags] },
  setns: { args: [bare, cloneFlags] },
  clone: { args: [cloneFlags] },
  clone3: { args: [cloneFlags] },
  cloneFunction: { name: 'clone', args: [cloneFlags, bare] },
  cloneWithPid: { name: 'clone3 set_tid', args: [cloneFlags] },
  mount: { args: [plain, plain, plain, mountFlags, plain] },
} satisfies Partial<Record<OperationName | 'clone3', How>>

/** One call as a person reads it, without the operation's name: its arguments. */
export function describeArguments(operation: string, args: readonly unknown[]): string {
  const how = shown[operation]
  const words = args.map((value, index) => (how?.args?.[index] ?? plain)(value))
  return [...words, ...(how?.fixed ?? [])].join(', ')
}

/** The operation's name as the manual pages have it. */
export function describeName(operation: string): string {
  return shown[operation]?.name ?? operation
}

/** A whole call: `msgget(0x1f, IPC_CREAT|0600)`. */
export function describeCall(operation: string, args: readonly unknown[]): string {
  return `${describeName(operation)}(${describeArguments(operation, args)})`
}

/** A value as a person reads it: an errno's name, a number, a short JSON. */
export function text(value: unknown): string {
  if (value instanceof Failure) return value.errno
  if (typeof value === 'string') return JSON.stringify(value)
  if (value === undefined) return 'nothing'
  const json = JSON.stringify(value)
  return json.length > 400 ? `${json.slice(0, 400)}…` : json
}

/** Flags as cells name them, in their fixed order: `NEWIPC+NEWNS`, or `none`. */
export function flagNames(flags: readonly Flag[]): string {
  return FLAGS.filter((flag) => flags.includes(flag)).join('+') || 'none'
}
