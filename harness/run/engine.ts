import { type Deferred, deferred } from '../link/deferred.ts'
import { flagNames } from '../link/describe.ts'
import { HarnessError, SetUpRefused } from '../link/failure.ts'
import type { Hub } from '../link/hub.ts'
import { CellRecord, type Member, makeMember } from '../link/member.ts'
import type { CellResult, EvidenceStep } from '../results/model.ts'
import type { Cell } from '../rules/expand.ts'
import { makeFresh } from '../rules/fresh.ts'
import { judge } from '../rules/judge.ts'
import { lackedBy } from '../rules/lacked-by.ts'
import { needsOf } from '../rules/needs.ts'
import { REQUIREMENTS, type RequirementName } from '../rules/requirements.ts'
import type { ComparisonWorld, Setting, VisibilityWorld } from '../rules/rule.ts'
import { relationOf, touchesInitial } from '../rules/scenes.ts'
import { placeIn } from '../rules/where.ts'
import { enter } from '../ways/way-in.ts'
import { describeCell } from './result.ts'
import { Trunk } from './trunk.ts'
import { makePair, type PairWorld } from './world.ts'

/** How many worlds are under way at once; with more the processors' caches lose more than waiting costs. */
const WORLDS_AT_ONCE = 8

/** After this many milliseconds a cell is given up; each call in it has a shorter limit of its own. */
const CELL_LIMIT_MS = 60_000

/** How long `eventually` looks where the rule does not say, in milliseconds. */
const EVENTUALLY_MS = 5000

/**
 * How often a cell with a side in the initial namespace is tried before it counts as failed. Other programs make
 * and remove objects there, whose identifiers may coincide with ours; what the kernel does wrong it does again.
 */
const CHANCES = 3

/** What came of one try of a cell; `inInitial` when a side of it was in the initial namespace. */
type Outcome = Pick<CellResult, 'verdict' | 'reason' | 'expected' | 'observed' | 'note'> & {
  inInitial: boolean
}

/** Cells that one world serves, one after another. */
type Job = readonly Cell[]

/** Runs cells: makes their worlds, runs their experiments, judges, cleans up. One for each worker. */
export class Engine {
  readonly #disposable: boolean
  readonly #fresh = makeFresh()
  readonly #requirements = new Map<RequirementName, Promise<boolean>>()
  #trunk: Promise<Trunk> | undefined
  #failedWaiting = 0

  readonly #requestLimit: number | undefined

  /** `requestLimit` in milliseconds is how long a probe may take to answer one request. */
  constructor(options: { disposable: boolean; requestLimit?: number }) {
    this.#disposable = options.disposable
    this.#requestLimit = options.requestLimit
  }

  /** Starts all the cells, many at once; gives each one's result by its id. Only a defect of ours rejects. */
  start(cells: readonly Cell[]): ReadonlyMap<string, Promise<CellResult>> {
    const results = new Map<string, Deferred<CellResult>>()
    for (const cell of cells) results.set(cell.id, deferred())
    const jobs = jobsOf(cells.filter((cell) => !disturbsInitial(cell)))
    const alone = jobsOf(cells.filter(disturbsInitial))
    const shown = firstOfEachArm(cells)
    const work = async (queue: Job[]): Promise<void> => {
      for (let job = queue.shift(); job; job = queue.shift())
        await this.#runJob(job, shown, (cell, result) => results.get(cell.id)?.resolve(result))
    }
    Promise.all(Array.from({ length: WORLDS_AT_ONCE }, () => work(jobs)))
      .then(() => work(alone))
      .catch((problem) => {
        // A defect of the engine itself: whoever waits for a result must hear of it.
        for (const result of results.values()) result.reject(asError(problem))
      })
    return new Map([...results].map(([id, { promise }]) => [id, promise]))
  }

  /** Ends every probe. */
  async stop(): Promise<void> {
    const trunk = this.#trunk
    this.#trunk = undefined
    await (await trunk?.catch(() => undefined))?.stop()
  }

  async #runJob(
    job: Job,
    shown: ReadonlySet<Cell>,
    report: (cell: Cell, result: CellResult) => void,
  ): Promise<void> {
    let world: PairWorld | undefined
    const leave = async (): Promise<void> => {
      const left = world
      world = undefined
      await left?.end()
    }
    for (const cell of job) {
      const started = performance.now()
      const finish = (partial: Partial<CellResult> & Pick<CellResult, 'verdict'>): void =>
        report(cell, {
          ...withoutReason(describeCell(cell)),
          ...partial,
          ms: round(performance.now() - started),
        })
      let records: CellRecord[] = []
      try {
        const trunk = await this.#liveTrunk()
        const lacking = await this.#lacking(cell)
        if (lacking !== undefined) {
          finish({ verdict: 'skip', reason: lacking })
          continue
        }
        const attempt = async (): Promise<Outcome & { records: CellRecord[] }> => {
          if (cell.rule.kind === 'visibility') {
            if (world && !world.sound()) await leave()
            world ??= await makePair(trunk, cell)
          }
          const record = new CellRecord()
          records = world ? [world.record, record] : [record]
          const experiment = this.#experiment(trunk, cell, record, world)
          return { ...(await limited(experiment, cell, trunk.hub.pace)), records }
        }
        let outcome = await attempt()
        for (let more = CHANCES - 1; more > 0 && outcome.verdict === 'fail' && outcome.inInitial; more -= 1) {
          await leave()
          // What was seen stays true: a try that breaks takes nothing of it back.
          const again = await attempt().catch(() => outcome)
          outcome = again.verdict === 'pass' ? { ...again, note: coincidence(outcome, again) } : again
        }
        // Thousands of passing cells need none: one of each rule and arm shows what is done.
        const evidence =
          outcome.verdict !== 'pass' || shown.has(cell) ? { evidence: evidenceOf(outcome.records) } : {}
        const { inInitial: _, records: __, ...judged } = outcome
        finish({ ...judged, ...evidence, ...byHand(cell, outcome.verdict) })
        if (outcome.verdict === 'fail') this.#learnHaste(trunk.hub, performance.now() - started)
        if (outcome.verdict !== 'pass') await leave()
      } catch (problem) {
        const lacking = problem instanceof SetUpRefused ? await this.#lackedBy(problem) : undefined
        if (lacking === undefined) {
          const reason = problem instanceof HarnessError ? problem.message : unexpected(problem)
          finish({ verdict: 'error', reason, evidence: evidenceOf(records) })
        } else finish({ verdict: 'skip', reason: lacking })
        await leave()
      }
    }
    await leave()
  }

  async #experiment(
    trunk: Trunk,
    cell: Cell,
    record: CellRecord,
    pair: PairWorld | undefined,
  ): Promise<Outcome> {
    const notes: string[] = []
    const setting: Setting = {
      arm: cell.arm,
      flags: cell.flags,
      via: cell.via,
      variant: cell.variant,
      fresh: this.#fresh,
      disposable: this.#disposable,
      remark: (what, result) => record.remark('harness', what, result),
      note: (what) => notes.push(what),
      eventually: (look, done, deadline = EVENTUALLY_MS) =>
        eventually(look, done, trunk.hub.patience(deadline)),
    }
    const { rule } = cell
    const leased: Member[] = []
    let inInitial = touchesInitial(cell.scene)
    try {
      let judgement: ReturnType<typeof judge>
      if (rule.kind === 'visibility') {
        if (!pair) throw new HarnessError('a visibility rule without its world')
        const world: VisibilityWorld = {
          ...setting,
          actor: makeMember('actor', pair.actor, record),
          observer: makeMember('observer', pair.observer, record),
          relation: relationOf(cell.scene, cell.flags),
          scene: cell.scene,
        }
        const seen = await rule.experiment(world)
        const prediction = cell.arm === 'treatment' ? rule.isolated(seen, world) : rule.shared(seen, world)
        judgement = judge(seen, prediction, rule.bugs)
      } else {
        const lease = async (member: Promise<Member>): Promise<Member> => {
          leased.push(await member)
          return member
        }
        const outer = await lease(trunk.leaseArena('outer', record))
        const world: ComparisonWorld = {
          ...setting,
          outer,
          enter: (name, how = {}) =>
            enter(how.from ?? outer, name, how.via ?? cell.via, how.flags ?? cell.flags),
          initial: () => {
            inInitial = true
            return lease(trunk.leaseOutsider('initial', record))
          },
          stranger: () => lease(trunk.leaseArena('stranger', record)),
        }
        const seen = await rule.experiment(world)
        const prediction = cell.arm === 'treatment' ? rule.treatment(seen, world) : rule.control(seen, world)
        judgement = judge(seen, prediction, rule.bugs)
      }
      return { ...judgement, inInitial, ...(notes.length > 0 ? { note: notes.join('; ') } : {}) }
    } finally {
      await trunk.clean(record)
      for (const member of leased) await trunk.release(member.process)
    }
  }

  /**
   * On a kernel on which something never happens, hundreds of cells would wait for it in full. Where ten have
   * failed after such a wait the others wait a tenth; a kernel without a failure is never hurried.
   */
  #learnHaste(hub: Hub, spent: number): void {
    if (spent < hub.patience(EVENTUALLY_MS)) return
    this.#failedWaiting += 1
    if (this.#failedWaiting >= 10) hub.haste = 0.1
  }

  /** The first unmet need's reason. */
  async #lacking(cell: Cell): Promise<string | undefined> {
    if (cell.rule.disposableOnly && !this.#disposable)
      return `runs in a disposable guest only: ${cell.rule.disposableOnly}`
    for (const name of needsOf(cell)) if (!(await this.#meets(name))) return REQUIREMENTS[name].reason
    return undefined
  }

  /** The reason why this step could not be had here, where that is known by itself. */
  async #lackedBy(refused: SetUpRefused): Promise<string | undefined> {
    for (const name of lackedBy(refused)) {
      // Where even that cannot be found out the refusal itself is what there is to report.
      const met = await this.#meets(name).catch(() => true)
      if (!met) return REQUIREMENTS[name].reason
    }
    return undefined
  }

  #meets(name: RequirementName): Promise<boolean> {
    let answer = this.#requirements.get(name)
    if (!answer) {
      // Once more where it broke: one probe that was killed must not make errors of all the cells of this need.
      answer = this.#tryOut(name).catch(() => this.#tryOut(name))
      this.#requirements.set(name, answer)
    }
    return answer
  }

  async #tryOut(name: RequirementName): Promise<boolean> {
    const trunk = await this.#liveTrunk()
    const scratch = await trunk.scratch()
    try {
      return await REQUIREMENTS[name].met(scratch)
    } finally {
      scratch.process.end()
      await trunk.clean(scratch.record)
    }
  }

  /** The trunk that all cells share; another one when it has died. */
  async #liveTrunk(): Promise<Trunk> {
    this.#trunk ??= Trunk.start(this.#requestLimit)
    const current = this.#trunk
    const trunk = await current
    if (trunk.alive) return trunk
    // Whoever notices first replaces it; the others find the new one.
    if (this.#trunk === current) {
      this.#trunk = undefined
      await trunk.stop()
    }
    return this.#liveTrunk()
  }
}

/** Changes sysctls of the initial namespace, in which other cells are: runs when they are done. */
function disturbsInitial({ rule, scene }: Cell): boolean {
  return rule.kind === 'visibility' && rule.writesSysctls === true && touchesInitial(scene)
}

/** The first cell of each rule and arm. */
function firstOfEachArm(cells: readonly Cell[]): ReadonlySet<Cell> {
  const first = new Map<string, Cell>()
  for (const cell of cells) {
    const arm = `${cell.rule.id} ${cell.arm}`
    if (!first.has(arm)) first.set(arm, cell)
  }
  return new Set(first.values())
}

/** Groups the cells of one world; those that need their own stay alone. */
function jobsOf(cells: readonly Cell[]): Job[] {
  const jobs: Cell[][] = []
  const shared = new Map<string, Cell[]>()
  for (const cell of cells) {
    const { rule } = cell
    if (rule.kind === 'comparison' || rule.ownWorld || rule.writesSysctls || rule.remount) {
      jobs.push([cell])
      continue
    }
    const world = [cell.scene.place, cell.scene.direction, cell.via, flagNames(cell.flags)].join('/')
    const together = shared.get(world)
    if (together) together.push(cell)
    else {
      const started = [cell]
      shared.set(world, started)
      jobs.push(started)
    }
  }
  return jobs
}

async function limited<Value>(work: Promise<Value>, cell: Cell, pace: number): Promise<Value> {
  const limit = deferred<never>()
  const milliseconds = CELL_LIMIT_MS * pace
  const timer = setTimeout(
    () =>
      limit.reject(
        new HarnessError(`the cell took more than ${Math.round(milliseconds / 1000)} s: ${cell.id}`),
      ),
    milliseconds,
  )
  try {
    return await Promise.race([work, limit.promise])
  } finally {
    clearTimeout(timer)
    work.catch(() => undefined)
  }
}

async function eventually<Value>(
  look: () => Promise<Value>,
  done: (seen: Value) => boolean,
  deadline: number,
): Promise<Value> {
  const end = performance.now() + deadline
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    const seen = await look()
    if (done(seen) || performance.now() > end) return seen
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
}

/** What to say of a cell that passed only after it had failed. */
function coincidence(before: Outcome, now: Outcome): string {
  const what = `tried again after it had seen ${before.observed}: in the initial namespace others have objects too`
  return now.note === undefined ? what : `${now.note}; ${what}`
}

function byHand(cell: Cell, verdict: string): { byHand?: string[] } {
  return verdict === 'fail' && cell.rule.byHand ? { byHand: [...cell.rule.byHand] } : {}
}

function evidenceOf(records: readonly CellRecord[]): EvidenceStep[] {
  return records.flatMap((record) => record.evidence())
}

function withoutReason({ reason: _, ...cell }: CellResult): CellResult {
  return cell
}

function unexpected(problem: unknown): string {
  const error = asError(problem)
  const place = placeIn(error.stack ?? '')
  return `defect of the suite: ${error.message}${place ? ` at ${place.file}:${place.line}` : ''}`
}

function asError(problem: unknown): Error {
  return problem instanceof Error ? problem : new Error(String(problem))
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000
}
