import { machine, release } from 'node:os'
import { judge } from '../results/judge.ts'
import type { CellResult, Results, RunInfo } from '../results/model.ts'
import { readProfile } from '../rules/profiles.ts'
import type { Area } from '../rules/rule.ts'
import { applyKnown, readKnown } from '../run/known.ts'
import { describeCell } from '../run/result.ts'
import { describeRun, effectiveCapabilities, runSuites } from '../run/run.ts'
import { cellsOf, everything, matches, parseFlags, parseWay, type Selection } from '../run/selection.ts'
import { UsageError } from '../usage-error.ts'
import { type Command, EXIT } from './command.ts'
import { readOptions } from './options.ts'
import { Progress } from './progress.ts'

/** What the run needs from the rooms above: the rules, and somewhere to write. */
export interface RunParts {
  areas(): Promise<readonly Area[]>
  open(directory: string, run: RunInfo, plan: readonly CellResult[]): OpenRun
  formats: readonly string[]
  terminal(results: Results, reportPaths: readonly string[]): string
  annotations(results: Results): string
}

/** A run that is being written down; see reports/store.ts. */
export interface OpenRun {
  add(cell: CellResult): void
  results(): Results
  finish(end: { durationMs: number; interrupted?: boolean }, formats: readonly string[]): string[]
}

const HELP = `Usage: ipcns run [OPTION...]

Runs the conformance rules on this kernel, prints what was found and writes
results.json and junit.xml. Run it as root: without root it works as root of a
user namespace of its own, where most of it runs.

  --profile NAME    quick, default or full (default: default)
  --rule GLOB       only rules with such an id, "SVK-*" (may be repeated)
  --area NAME       only this area, "svk" (may be repeated)
  --flags SET       only this flag set, "NEWIPC+NEWNS" or "none" (repeated)
  --via WAY         only this way in, "clone3" (may be repeated)
  --out DIR         where reports go (default: reports/latest)
  --report LIST     further formats beside them, "html,ktap"
  --known FILE      known deviations: reported as such, not as failures
  --strict          a skipped cell is a failure
  --disposable      this machine is a throw-away guest: also run what could
                    harm it, and write sysctls of the initial namespaces
  --shard I/N       only the I-th of N parts, for several machines
  --host            put the host's name into the reports

Exit status: 0 conforms, 1 a cell failed, 2 bad usage or the harness broke,
77 nothing could run here.
`

/** The `run` subcommand. */
export function runCommand(parts: RunParts): Command {
  return {
    summary: 'run the rules on this kernel and write the reports',
    help: HELP,
    run: (words) => run(words, parts),
  }
}

async function run(words: readonly string[], parts: RunParts): Promise<number> {
  const options = parse(words, parts.formats)
  refuseDroppedRoot()
  const areas = await parts.areas()
  checkNames(options.selection, areas)
  const known = applyKnown(options.known === undefined ? [] : readKnown(options.known), {
    release: release(),
    arch: machine(),
    today: new Date().toISOString().slice(0, 10),
  })
  const plan = areas.flatMap((area) => cellsOf(area, options.selection))
  if (plan.length === 0) throw new UsageError('no cell matches what was asked for; see "ipcns list"')
  const started = new Date()
  const store = parts.open(
    options.out,
    describeRun(options.selection, started, options.host),
    plan.map(describeCell),
  )
  const progress = new Progress(plan.length)
  const missing = new Set(plan.map(({ id }) => id))
  const take = (cell: CellResult): void => {
    missing.delete(cell.id)
    store.add(known(cell))
    progress.done(cell)
  }
  const interrupted = (signal: NodeJS.Signals): void => {
    progress.end()
    store.finish({ durationMs: Date.now() - started.getTime(), interrupted: true }, [])
    process.stderr.write(`ipcns: ${signal}: ended early; ${options.out} says what was found until then\n`)
    process.exit(EXIT.broken)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, interrupted)
  const broken = await runSuites(options.selection, take)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupted)
  progress.end()
  const paths = store.finish({ durationMs: Date.now() - started.getTime() }, options.reports)
  const results = store.results()
  process.stdout.write(parts.terminal(results, paths))
  if (process.env.GITHUB_ACTIONS === 'true') process.stdout.write(parts.annotations(results))
  for (const message of broken) process.stderr.write(`ipcns: broke: ${message}\n`)
  if (missing.size > 0)
    process.stderr.write(`ipcns: ${missing.size} cells never ran, such as ${[...missing][0]}\n`)
  return exitStatus(results, { broken: broken.length > 0 || missing.size > 0, strict: options.strict })
}

/**
 * The exit status of a run. A failing cell outranks everything, since what was seen stays true; cells that
 * were lost or a worker that died outrank every other conclusion: such a run proves nothing.
 */
export function exitStatus(
  results: Results,
  { broken, strict }: { broken: boolean; strict: boolean },
): number {
  const { status } = judge(results)
  if (status === EXIT.nonconforming) return status
  if (broken || status === EXIT.broken) return EXIT.broken
  const { skip, known } = results.summary
  // A known deviation is counted among the skips, but it ran, and somebody answers for it.
  return strict && skip > known ? EXIT.nonconforming : status
}

const OPTIONS = {
  profile: { type: 'string', default: 'default' },
  rule: { type: 'string', multiple: true },
  area: { type: 'string', multiple: true },
  flags: { type: 'string', multiple: true },
  via: { type: 'string', multiple: true },
  out: { type: 'string' },
  report: { type: 'string', multiple: true },
  known: { type: 'string' },
  strict: { type: 'boolean' },
  disposable: { type: 'boolean' },
  shard: { type: 'string' },
  host: { type: 'boolean' },
} as const

interface Options {
  selection: Selection
  out: string
  reports: string[]
  known: string | undefined
  strict: boolean
  host: boolean
}

function parse(words: readonly string[], formats: readonly string[]): Options {
  const { values } = readOptions('run', words, OPTIONS, 'none')
  const reports = (values.report ?? []).flatMap((list) => list.split(',')).filter(Boolean)
  for (const name of reports)
    if (!formats.includes(name))
      throw new UsageError(`unknown report "${name}"; known: ${formats.join(', ')}`)
  return {
    selection: {
      ...everything(readProfile(values.profile)),
      disposable: values.disposable ?? false,
      rules: values.rule ?? [],
      areas: (values.area ?? []).map((name) => name.toLowerCase()),
      flags: (values.flags ?? []).map(parseFlags),
      via: (values.via ?? []).map(parseWay),
      shard: values.shard === undefined ? null : parseShard(values.shard),
    },
    out: values.out ?? 'reports/latest',
    reports,
    known: values.known,
    strict: values.strict ?? false,
    host: values.host ?? false,
  }
}

function parseShard(text: string): [number, number] {
  const [, part, of] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number)
  if (!part || !of || part > of) throw new UsageError(`--shard takes I/N with I from 1 to N, not "${text}"`)
  return [part, of]
}

function checkNames(selection: Selection, areas: readonly Area[]): void {
  for (const name of selection.areas)
    if (!areas.some((area) => area.name === name))
      throw new UsageError(`unknown area "${name}"; known: ${areas.map((area) => area.name).join(', ')}`)
  const ids = areas.flatMap((area) => area.rules.map((rule) => rule.id))
  for (const glob of selection.rules)
    if (!ids.some((id) => matches(id, glob)))
      throw new UsageError(`no rule is called "${glob}"; see "ipcns list"`)
}

/** npm before 9 runs scripts as the owner of the directory, with no capability left, even under sudo. */
function refuseDroppedRoot(): void {
  const agent = /^npm\/(\d+)\./.exec(process.env.npm_config_user_agent ?? '')
  if (!agent?.[1] || Number(agent[1]) >= 9 || process.env.SUDO_UID === undefined) return
  if (process.getuid?.() !== 0 && effectiveCapabilities().length === 0)
    throw new UsageError(
      `npm ${agent[1]} gave root away before it ran this; use npm 9 or newer, or "sudo npx ipcns run"`,
    )
}
