import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { failed, HarnessError, SetUpRefused } from '../link/failure.ts'
import { Hub } from '../link/hub.ts'
import type { IpcNamespace } from '../link/ipc-namespace.ts'
import { CellRecord, type Member, makeMember } from '../link/member.ts'
import { Process } from '../link/process.ts'
import { CLONE, type Flag, PR_SET_CHILD_SUBREAPER } from '../probe/constants.ts'
import { LAST_WORDS_MS, probeEnvironment, rootProgram } from '../ways/program.ts'
import { writeMaps } from '../ways/user-map.ts'
import { makePrivate } from '../ways/way-in.ts'

/**
 * The root probe with everything that grows from it: the janitor, and pools of members that are used again;
 * without privilege these are in a user namespace. One for each worker. When the root dies, everything dies
 * with it; the next cell starts another.
 */
export class Trunk {
  readonly hub: Hub
  readonly privileged: boolean
  readonly #root: Process
  readonly #janitor: Process
  readonly #arenas: Process[] = []
  readonly #outsiders: Process[] = []

  private constructor(hub: Hub, root: Process, janitor: Process, privileged: boolean) {
    this.hub = hub
    this.#root = root
    this.#janitor = janitor
    this.privileged = privileged
  }

  /** Starts the root probe; `requestLimit` as for Hub.open. Throws HarnessError with what it printed when it cannot run. */
  static async start(requestLimit?: number): Promise<Trunk> {
    const hub = await Hub.open(requestLimit)
    const started = performance.now()
    const link = hub.expect()
    const [command = '', ...words] = rootProgram(hub.socketPath, link.token)
    const child = spawn(command, words, {
      env: probeEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      hub.stderr = (hub.stderr + text).slice(-2000)
    })
    const over = once(child, 'close').then(() => link.end('died'))
    // The run must be able to end while the root still lives: it dies with this process.
    child.unref()
    const { initial } = hub
    const root = new Process(hub, link, child.pid ?? 0, undefined, initial)
    try {
      await root.must('ping', [])
    } catch {
      const hangs = setTimeout(() => child.kill('SIGKILL'), LAST_WORDS_MS)
      await over
      clearTimeout(hangs)
      await hub.close()
      throw new HarnessError(`the probe does not start: ${hub.stderr.trim() || 'it ended without a word'}`)
    }
    hub.pace = paceOf(performance.now() - started)
    const member = makeMember('root', root, new CellRecord())
    await haveOwnProcfs(member)
    const janitor = (await member.spawn('janitor', [], { outlive: true })).process
    await janitor.must('becomeJanitor', [ledgerDirectory(), hub.directory])
    initial.announce = (object) => ignore(janitor.call('announce', [object]))
    initial.renounce = (object) => ignore(janitor.call('renounce', [[object]]))
    if (await isPrivileged(member)) return new Trunk(hub, root, janitor, true)
    const inside = await rootOfItsOwn(member)
    return inside ? new Trunk(hub, inside.process, janitor, true) : new Trunk(hub, root, janitor, false)
  }

  /** The runner's own IPC namespace. */
  get initial(): IpcNamespace {
    return this.hub.initial
  }

  get alive(): boolean {
    return this.#root.alive && this.#janitor.alive
  }

  /** A child of the root in the runner's own namespaces, for trying things out; ended by the caller. */
  scratch(): Promise<Member> {
    return makeMember('root', this.#root, new CellRecord()).spawn('scratch')
  }

  /** A member of a fresh private IPC namespace, in a private mount namespace. */
  async leaseArena(name: string, record: CellRecord): Promise<Member> {
    const used = this.#take(this.#arenas)
    const process = used ?? (await this.#grow('arena', ['NEWIPC', 'NEWNS']))
    const member = makeMember(name, process, record)
    if (used) await member.unshare(CLONE.NEWIPC)
    process.ipc = { name: 'private' }
    return member
  }

  /** A member of the initial IPC namespace, in a private mount namespace where that is allowed. */
  async leaseOutsider(name: string, record: CellRecord): Promise<Member> {
    const process =
      this.#take(this.#outsiders) ?? (await this.#grow('outsider', this.privileged ? ['NEWNS'] : []))
    process.ipc = this.initial
    return makeMember(name, process, record)
  }

  /** Gives a leased member back; it is used again if a reset makes it as good as new. */
  async release(process: Process): Promise<void> {
    process.endChildren()
    if (!process.reusable) {
      process.end()
      return
    }
    try {
      await process.must('reset', [])
      const pool = process.ipc === this.initial ? this.#outsiders : this.#arenas
      pool.push(process)
    } catch {
      process.end()
    }
  }

  /** Removes the objects that were made in the initial IPC namespace. */
  async clean({ made }: CellRecord): Promise<void> {
    const objects = made.filter(({ namespace }) => namespace === this.initial).map(({ object }) => object)
    if (objects.length === 0) return
    await this.#janitor.must('removeObjects', [objects])
    const announced = objects.map((object) =>
      object.kind === 'mq' || object.key === 0 ? object : { ...object, id: -1 },
    )
    await this.#janitor.must('renounce', [announced])
  }

  /** Ends every probe and removes what the hub made. */
  async stop(): Promise<void> {
    await this.hub.close()
  }

  #take(pool: Process[]): Process | undefined {
    for (;;) {
      const process = pool.pop()
      if (!process || process.reusable) return process
    }
  }

  async #grow(name: string, flags: readonly Flag[]): Promise<Process> {
    const member = await makeMember('root', this.#root, new CellRecord()).spawn(name, flags)
    if (flags.includes('NEWNS')) await makePrivate(member)
    // Making it private is no use of it.
    member.process.tainted = false
    return member.process
  }
}

/**
 * After `unshare --pid` without `--mount-proc` /proc has the numbers of another pid namespace, and everything that is
 * looked up or signalled by them is some other process or none: a procfs of the root's own, where nobody else sees
 * it, not even the harness.
 */
async function haveOwnProcfs(member: Member): Promise<void> {
  const self = await member.try.readlink('/proc/self')
  if (failed(self) || self === String(await member.getpid())) return
  const apart = await member.try.unshare(CLONE.NEWNS)
  if (!failed(apart)) await makePrivate(member)
  const mounted = failed(apart) ? apart : await member.try.mount('proc', '/proc', 'proc')
  if (failed(mounted))
    throw new HarnessError(
      `/proc is that of another pid namespace and no other can be mounted (${mounted}): run it where /proc is its own, as unshare --mount-proc has it`,
    )
  const { process } = member
  process.hub.readProc = async (path) => String(await process.must('readFile', [path]))
}

async function isPrivileged(member: Member): Promise<boolean> {
  return (await member.capabilities()).includes('CAP_SYS_ADMIN')
}

/**
 * Root of a user namespace of its own, which needs no privilege where that is allowed; not where it gives no rights
 * (an LSM may take them away again).
 */
async function rootOfItsOwn(member: Member): Promise<Member | undefined> {
  const inside = await member.trySpawn('root of a user namespace', ['NEWUSER'])
  if (failed(inside)) return undefined
  try {
    await writeMaps(member, inside)
    // Orphans come to the nearest subreaper, which must be the one that clones and so reaps.
    await inside.prctl(PR_SET_CHILD_SUBREAPER, 1)
    const trial = await inside.trySpawn('trial', ['NEWIPC', 'NEWNS'])
    if (!failed(trial)) {
      await trial.killAndReap()
      return inside
    }
  } catch (problem) {
    if (!(problem instanceof SetUpRefused)) throw problem
  }
  inside.process.end()
  return undefined
}

/** A quiet machine starts a probe in a tenth of a second; an emulated or an overloaded one takes longer. */
const USUAL_START_MS = 250

function paceOf(startMs: number): number {
  return Math.min(20, Math.max(1, startMs / USUAL_START_MS))
}

function ignore(call: Promise<unknown>): void {
  call.catch(() => undefined)
}

function ledgerDirectory(): string {
  const uid = process.getuid?.() ?? 0
  // Not below TMPDIR, which is the run's own and is gone before the janitor.
  return uid === 0 ? '/run/ipcns' : join(process.env.XDG_RUNTIME_DIR ?? '/tmp', `ipcns-ledger-${uid}`)
}
