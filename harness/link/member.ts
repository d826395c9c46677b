import { setImmediate } from 'node:timers/promises'
import { CLONE, type Flag, IPC_CREAT, IPC_PRIVATE, O_CREAT } from '../probe/constants.ts'
import type { OperationName, Operations } from '../probe/operations/index.ts'
import type { MadeObject } from '../probe/operations/upkeep.ts'
import type { EvidenceStep } from '../results/model.ts'
import { deferred } from './deferred.ts'
import { describeArguments, describeCall, describeName, text } from './describe.ts'
import { Failure, failed, HarnessError, type Outcome, SetUpRefused } from './failure.ts'
import type { Answer, Hub } from './hub.ts'
import type { IpcNamespace } from './ipc-namespace.ts'
import type { Process } from './process.ts'

type Result<Name extends OperationName> = ReturnType<Operations[Name]>

/** Calls that must succeed: a failure ends the cell with `error`. For the set-up of an experiment. */
export type Calls = {
  [Name in OperationName]: (...args: Parameters<Operations[Name]>) => Promise<Result<Name>>
}

/** Calls whose outcome is an observation: the value, or a Failure with the errno. */
export type Tries = {
  [Name in OperationName]: (...args: Parameters<Operations[Name]>) => Promise<Outcome<Result<Name>>>
}

/** Calls that block in the kernel; each resolves once the member is seen to sleep in it, or it returned. */
export type BlockingCalls = {
  [Name in OperationName]: (...args: Parameters<Operations[Name]>) => Promise<Blocked<Result<Name>>>
}

/** A call that was found blocked in the kernel, or came back at once. */
export interface Blocked<Value> {
  /** `'blocked'`, or the outcome if the call has returned. */
  state(): 'blocked' | Outcome<Value>
  /** The outcome, whenever it comes. */
  readonly returned: Promise<Outcome<Value>>
  /** The outcome if it comes within so many milliseconds (on the usual machine), else `'blocked'`. */
  within(milliseconds: number): Promise<'blocked' | Outcome<Value>>
}

interface RawStep {
  who: string
  operation: string
  args: readonly unknown[]
  answer: Answer
}

/** What happened in one cell: the evidence, and what was made and must be removed. */
export class CellRecord {
  readonly #steps: RawStep[] = []
  readonly made: { object: MadeObject; namespace: IpcNamespace }[] = []

  add(who: string, operation: string, args: readonly unknown[], answer: Answer): void {
    this.#steps.push({ who, operation, args, answer })
  }

  /** A remark of the harness among the calls, such as how long something was watched. */
  remark(who: string, what: string, result: unknown): void {
    this.#steps.push({ who, operation: what, args: [], answer: { value: result } })
  }

  /** The steps as a person reads them; a call that was repeated with one result, as polling does, is one. */
  evidence(): EvidenceStep[] {
    const steps: (EvidenceStep & { times: number })[] = []
    for (const { who, operation, args, answer } of this.#steps) {
      const call = describeName(operation)
      const shown = describeArguments(operation, args)
      const result = 'value' in answer ? text(answer.value) : 'errno' in answer ? answer.errno : answer.broken
      const last = steps.at(-1)
      if (last && last.who === who && last.call === call && last.args === shown && last.result === result)
        last.times += 1
      else steps.push({ who, call, args: shown, result, times: 1 })
    }
    return steps.map(({ times, result, ...step }) => ({
      ...step,
      result: times > 1 ? `${result} (${times} times)` : result,
    }))
  }
}

/** How a member is made to leave: by exit(2) or by a signal; both wait until it is reaped. */
export interface MemberActions {
  /** Its role in the experiment: `actor`, `observer`, … */
  readonly name: string
  /** Pid in its creator's pid namespace. */
  readonly pid: number
  readonly process: Process
  readonly record: CellRecord
  readonly try: Tries
  readonly block: BlockingCalls
  /** Whether its probe still answers. */
  readonly alive: boolean
  /** A child by clone(2) or clone3(2) with these namespace flags (and other CLONE_ bits). */
  spawn(name: string, flags?: readonly Flag[], options?: SpawnOptions): Promise<Member>
  /** Like `spawn`, but a refusal is an observation. */
  trySpawn(name: string, flags?: readonly Flag[], options?: SpawnOptions): Promise<Outcome<Member>>
  /** Ends the member by SIGKILL, or by another signal that kills it, and reaps it through its creator. */
  killAndReap(signal?: number): Promise<void>
  /** Ends the member by exit(2) and reaps it through its creator. */
  exitAndReap(): Promise<void>
  /** Becomes a freshly started program with one further thread for each name; gives those threads. */
  withThreads(...names: string[]): Promise<Member[]>
}

export interface SpawnOptions {
  call?: 'clone' | 'clone3'
  /** Further CLONE_ bits, such as CLONE.SYSVSEM. */
  bits?: number
  /** With CLONE_CLEAR_SIGHAND, which clone3(2) alone takes. */
  clearSighand?: boolean
  /** Descriptors that the child inherits; all others are closed in it. */
  keep?: number[]
  /** Lets the child live on when its creator exits. */
  outlive?: boolean
}

/** A process of the experiment: every operation of the probe as a method, recorded as evidence. */
export type Member = Calls & MemberActions

class MemberCore {
  readonly name: string
  readonly process: Process
  readonly record: CellRecord
  readonly try: Tries
  readonly block: BlockingCalls

  constructor(name: string, process: Process, record: CellRecord) {
    this.name = name
    this.process = process
    this.record = record
    this.try = table((operation, args) => this.attempt(operation, args)) as unknown as Tries
    this.block = table((operation, args) => this.startBlocking(operation, args)) as unknown as BlockingCalls
  }

  get pid(): number {
    return this.process.pid
  }

  get alive(): boolean {
    return this.process.alive
  }

  async attempt(operation: string, args: readonly unknown[]): Promise<unknown> {
    const made = madeBy(operation, args)
    // Captured now: the namespace the call is made in, not the one a later call moves the member to.
    const { ipc } = this.process
    if (made && named(made)) ipc.announce?.(made)
    const answer = await this.process.call(
      operation,
      args,
      () => `${this.name}: ${describeCall(operation, args)}`,
      operation === 'execProbe' ? STARTING_LIMIT_MS : undefined,
    )
    this.record.add(this.name, operation, args, answer)
    if (made) this.#noteMade(made, answer, ipc)
    if ('value' in answer) {
      this.#follow(operation, args)
      return answer.value
    }
    if ('errno' in answer) {
      // What the environment does to all of them, as containers and gVisor do: no answer of this sysctl.
      if ((answer.errno === 'EROFS' || answer.errno === 'EIO') && isSysctl(args))
        throw this.#refused(operation, args, answer.errno)
      return Failure.of(answer.errno)
    }
    throw new HarnessError(`${this.name}: ${describeCall(operation, args)}: ${answer.broken}`)
  }

  async must(operation: string, args: readonly unknown[]): Promise<unknown> {
    const outcome = await this.attempt(operation, args)
    if (failed(outcome)) throw this.#refused(operation, args, outcome.errno)
    return outcome
  }

  #refused(operation: string, args: readonly unknown[], errno: string): SetUpRefused {
    const what = `set-up failed: ${this.name}: ${describeCall(operation, args)} gave ${errno}`
    return new SetUpRefused(what, operation, args, errno)
  }

  async startBlocking(operation: string, args: readonly unknown[]): Promise<Blocked<unknown>> {
    let state: unknown = 'blocked'
    const describe = (): string => `${this.name}: ${describeCall(operation, args)}`
    const notice = this.process.link.requestBlocking(operation, args, describe)
    const returned = notice.answer.then((answer) => {
      this.record.add(this.name, operation, args, answer)
      if ('broken' in answer) throw new HarnessError(`${describe()}: ${answer.broken}`)
      state = 'value' in answer ? answer.value : Failure.of(answer.errno)
      return state
    })
    // Whoever asks for it sees the rejection; a cell that ends while its member is blocked does not.
    returned.catch(() => undefined)
    const where = await notice.began
    const deadline = performance.now() + FALLING_ASLEEP_MS * this.process.hub.pace
    while (state === 'blocked' && !(await sleeping(this.process.hub, where))) {
      if (performance.now() > deadline) throw new HarnessError(`${describe()}: neither blocked nor returned`)
      await setImmediate()
    }
    if (state === 'blocked') this.record.remark(this.name, `blocked in ${describeCall(operation, args)}`, '…')
    return {
      state: () => state,
      returned,
      within: async (milliseconds) => {
        const timer = deferred<'blocked'>()
        const timeout = setTimeout(() => timer.resolve('blocked'), this.process.hub.patience(milliseconds))
        try {
          return await Promise.race([returned, timer.promise])
        } finally {
          clearTimeout(timeout)
        }
      },
    }
  }

  async trySpawn(
    name: string,
    flags: readonly Flag[] = [],
    options: SpawnOptions = {},
  ): Promise<Outcome<Member>> {
    const { hub } = this.process
    const link = hub.expect()
    const bits = flags.reduce((sum, flag) => sum | CLONE[flag], options.bits ?? 0)
    const call = options.call ?? 'clone'
    const { keep = [], outlive = false, clearSighand = false } = options
    const answer = await this.process.call(
      'clone',
      [link.token, bits, call, { keep, outlive, clearSighand }],
      () => `${this.name}: ${describeCall(call, [bits])}`,
    )
    if (clearSighand) this.record.remark(this.name, 'CLONE_CLEAR_SIGHAND as well', name)
    this.record.add(this.name, call, [bits], answer)
    if (!('value' in answer)) {
      link.end('was not born')
      if ('errno' in answer) return Failure.of(answer.errno)
      throw new HarnessError(`${this.name}: ${describeCall(call, [bits])}: ${answer.broken}`)
    }
    const ipc = flags.includes('NEWIPC') ? { name: `of ${name}` } : this.process.ipc
    const child = this.process.child(link, Number(answer.value), ipc)
    child.ownMounts = flags.includes('NEWNS')
    return makeMember(name, child, this.record)
  }

  async spawn(name: string, flags: readonly Flag[] = [], options: SpawnOptions = {}): Promise<Member> {
    const child = await this.trySpawn(name, flags, options)
    if (failed(child))
      throw new HarnessError(`set-up failed: ${this.name}: clone of ${name} gave ${child.errno}`)
    return child
  }

  async killAndReap(signal?: number): Promise<void> {
    const more = signal === undefined ? [] : [signal]
    await this.#reap(() => this.process.creator?.must('killChild', [this.pid, ...more]))
    this.record.remark(this.name, ['killed', ...more, 'and reaped'].join(' '), '')
  }

  async exitAndReap(): Promise<void> {
    await this.#reap(async () => {
      // Death is the answer.
      await this.process.call('exitNow', [0]).catch(() => undefined)
    })
    this.record.remark(this.name, 'exited and reaped', '')
  }

  async withThreads(...names: string[]): Promise<Member[]> {
    this.process.tainted = true
    const links = names.map(() => this.process.hub.expect())
    await this.process.must('execProbe', [links.map((link) => link.token)], STARTING_LIMIT_MS)
    return links.map((link, index) => {
      const thread = this.process.thread(link)
      return makeMember(names[index] ?? 'thread', thread, this.record)
    })
  }

  async #reap(end: () => Promise<unknown> | undefined): Promise<void> {
    const { creator } = this.process
    if (!creator) throw new HarnessError(`${this.name} has no creator that could reap it`)
    await end()
    await creator.must('waitpid', [this.pid])
    this.process.link.end('was reaped')
  }

  #noteMade(object: MadeObject, answer: Answer, namespace: IpcNamespace): void {
    if (!('value' in answer)) {
      if (named(object)) namespace.renounce?.(object)
      return
    }
    if (object.kind !== 'mq') {
      const made = { ...object, id: Number(answer.value) }
      if (!named(object)) namespace.announce?.(made)
      this.record.made.push({ object: made, namespace })
    } else this.record.made.push({ object, namespace })
  }

  /** Keeps the belief about the member's IPC namespace, and taints what a reset cannot undo. */
  #follow(operation: string, args: readonly unknown[]): void {
    const { process } = this
    if (TAINTING.has(operation) || MOUNTING.has(operation) || operation === 'unshare') process.spoiled = true
    if (TAINTING.has(operation)) process.tainted = true
    if (MOUNTING.has(operation)) process.taintMounts()
    if (operation === 'unshare') {
      const bits = Number(args[0])
      if ((bits & CLONE.NEWIPC) !== 0) process.ipc = { name: `of ${this.name}` }
      if ((bits & CLONE.NEWNS) !== 0) process.ownMounts = true
      if ((bits & ~CLONE.NEWIPC) !== 0) process.tainted = true
    }
    if (operation === 'setns') {
      const bits = Number(args[1])
      // Which one was joined is not known: what is made there is looked after as if it were the initial one.
      if (bits === 0 || (bits & CLONE.NEWIPC) !== 0) process.ipc = process.hub.initial
      if ((bits & CLONE.NEWNS) !== 0) process.ownMounts = true
    }
  }
}

/** How long a call that is meant to block may take until its thread sleeps, at pace 1. */
const FALLING_ASLEEP_MS = 5000

/** Limit of execve(2) of the probe: a Node that starts on a loaded machine takes its time. */
const STARTING_LIMIT_MS = 50_000

/** Operations that change the mount namespace. */
const MOUNTING: ReadonlySet<string> = new Set<OperationName>(['mount', 'umount', 'move_mount'])

/** Operations whose effect on a process `reset` cannot undo. */
const TAINTING: ReadonlySet<string> = new Set<OperationName>([
  'setns',
  'setresuid',
  'setresgid',
  'setfsuid',
  'setfsgid',
  'umask',
  'setgroups',
  'becomeUser',
  'setCapabilities',
  'prctl',
  'setrlimit',
  'blockSignals',
  'interruptOn',
  'startThread',
  'execProbe',
  'cloneFunction',
  'chroot',
  'chdir',
  'setsid',
  'ptrace',
])

/** A member of the experiment over a process, which may serve others before and after; all it does is recorded. */
export function makeMember(name: string, process: Process, record: CellRecord): Member {
  const core = new MemberCore(name, process, record)
  const calls = table((operation, args) => core.must(operation, args))
  return new Proxy(core, {
    get(target, property, _receiver) {
      if (property in target) {
        const value: unknown = Reflect.get(target, property, target)
        return typeof value === 'function' ? value.bind(target) : value
      }
      // A promise resolved with a member must not take it for another promise.
      return typeof property === 'string' && property !== 'then' ? calls[property] : undefined
    },
  }) as unknown as Member
}

function isSysctl([path]: readonly unknown[]): boolean {
  return String(path).startsWith('/proc/sys/')
}

type AnyCall = (...args: unknown[]) => Promise<unknown>

function table(
  call: (operation: string, args: readonly unknown[]) => Promise<unknown>,
): Record<string, AnyCall> {
  return new Proxy<Record<string, AnyCall>>(
    {},
    {
      get: (known, property) => {
        if (typeof property !== 'string' || property === 'then') return undefined
        known[property] ??= (...args: unknown[]) => call(property, args)
        return known[property]
      },
    },
  )
}

function named(object: MadeObject): boolean {
  return object.kind === 'mq' || object.key !== IPC_PRIVATE
}

/** The calls that may make a System V object, and which of their arguments has the flags. */
const GETS: Readonly<Record<string, { kind: 'msg' | 'sem' | 'shm'; flagsAt: number }>> = {
  msgget: { kind: 'msg', flagsAt: 1 },
  semget: { kind: 'sem', flagsAt: 2 },
  shmget: { kind: 'shm', flagsAt: 2 },
}

/** The object that a call would make, if it is one that makes objects. */
function madeBy(operation: string, args: readonly unknown[]): MadeObject | undefined {
  const get = GETS[operation]
  if (get) {
    const key = Number(args[0])
    const flags = Number(args[get.flagsAt])
    return key === IPC_PRIVATE || (flags & IPC_CREAT) !== 0 ? { kind: get.kind, id: -1, key } : undefined
  }
  if ((operation === 'mq_create' || operation === 'mq_open_raw') && (Number(args[1]) & O_CREAT) !== 0)
    return { kind: 'mq', name: String(args[0]) }
  return undefined
}

/** Whether the thread at this place below /proc sleeps; a probe says where it is before it blocks. */
async function sleeping({ readProc }: Hub, where: string): Promise<boolean> {
  try {
    const stat = await readProc(`/proc/${where}/stat`)
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'S'
  } catch {
    return false
  }
}
