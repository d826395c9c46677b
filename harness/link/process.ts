import { HarnessError } from './failure.ts'
import type { Answer, Hub, Link } from './hub.ts'
import type { IpcNamespace } from './ipc-namespace.ts'

/**
 * One probe process (or one thread of it) as the harness knows it. Experiments see it through a Member,
 * which records what they do.
 */
export class Process {
  readonly hub: Hub
  readonly link: Link
  /** Pid in the creator's pid namespace; 0 where it is not known. */
  readonly pid: number
  readonly creator: Process | undefined
  /** The IPC namespace it is believed to be in. */
  ipc: IpcNamespace
  /** Set once something was done that a reset cannot undo; such a process is not used again. */
  tainted = false
  /** Whether it got a mount namespace of its own, apart from its creator's. */
  ownMounts = false
  /** Set when a cell changed what the next cell in the same world relies on. */
  spoiled = false
  /** Called when the harness ends this process; for one that a command started. */
  onEnd: () => void = () => undefined
  #children: Process[] = []

  constructor(hub: Hub, link: Link, pid: number, creator: Process | undefined, ipc: IpcNamespace) {
    this.hub = hub
    this.link = link
    this.pid = pid
    this.creator = creator
    this.ipc = ipc
  }

  get alive(): boolean {
    return this.link.alive
  }

  /** Whether it may be used again for another world. */
  get reusable(): boolean {
    return this.alive && !this.tainted
  }

  /** Makes one call and gives the raw answer. */
  call(
    operation: string,
    args: readonly unknown[],
    describe?: () => string,
    limit?: number,
  ): Promise<Answer> {
    return this.link.request(operation, args, describe ?? (() => `${operation}(…)`), limit)
  }

  /** Makes one call that must succeed. */
  async must(operation: string, args: readonly unknown[], limit?: number): Promise<unknown> {
    const answer = await this.call(operation, args, undefined, limit)
    if ('value' in answer) return answer.value
    throw new HarnessError(`${operation}: ${'errno' in answer ? answer.errno : answer.broken}`)
  }

  /** What it mounted is seen by everybody in its mount namespace: none of them is used again. */
  taintMounts(): void {
    this.tainted = true
    if (!this.ownMounts) this.creator?.taintMounts()
  }

  /** A child that this process has just made; it is ended with this process's help. */
  child(link: Link, pid: number, ipc: IpcNamespace): Process {
    const child = new Process(this.hub, link, pid, this, ipc)
    this.#children.push(child)
    return child
  }

  /** A further thread of this process, a probe of its own. */
  thread(link: Link): Process {
    const thread = new Process(this.hub, link, 0, this, this.ipc)
    this.#children.push(thread)
    return thread
  }

  /** Ends this process and everything it made. Does not wait: what was killed is reaped later. */
  end(): void {
    const children = this.#children.splice(0)
    for (const child of children) child.#endLinks()
    this.#endLinks()
    if (this.creator?.alive && this.pid > 0)
      this.creator.call('endChildren', [[this.pid]]).catch(() => undefined)
  }

  /** Ends the children only, for a process that is used again. */
  endChildren(): void {
    const children = this.#children.splice(0)
    if (children.length === 0) return
    for (const child of children) child.#endLinks()
    const pids = children.map((child) => child.pid).filter((pid) => pid > 0)
    if (this.alive && pids.length > 0) this.call('endChildren', [pids]).catch(() => undefined)
  }

  #endLinks(): void {
    for (const child of this.#children.splice(0)) child.#endLinks()
    this.link.end('was ended by the harness')
    this.onEnd()
  }
}
