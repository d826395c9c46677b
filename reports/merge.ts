import {
  compareRules,
  RESULTS_SCHEMA,
  type Results,
  type RunInfo,
  summarize,
} from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { areasOf } from './areas.ts'

/** The results of one shard, and how messages call it. */
export interface Shard {
  name: string
  results: Results
}

/**
 * Puts the shards of one run together: the same cells in the same order as one whole run has. It began when
 * the first began, lasted as long as the longest, and had the capabilities that all had. Throws UsageError
 * when something is missing, there twice, or of another run: what was not run must not look green.
 */
export function mergeResults(shards: readonly Shard[]): Results {
  const [first] = shards
  if (!first) throw new UsageError('nothing to merge')
  for (const shard of shards) checkSame(first, shard)
  checkComplete(shards)
  const cells = shards.flatMap(({ results }) => results.cells)
  const areas = areasOf(cells)
  cells.sort((a, b) => areas.indexOf(a.area) - areas.indexOf(b.area) || compareRules(a.rule, b.rule))
  return { schema: RESULTS_SCHEMA, run: mergeRuns(shards), summary: summarize(cells), cells }
}

function checkSame(first: Shard, other: Shard): void {
  const facts = ({ profile, suiteVersion, kernel }: RunInfo): Record<string, string> => ({
    profile,
    'version of the suite': suiteVersion,
    kernel: `${kernel.release} ${kernel.arch}`,
    'kernel configuration': kernel.config?.sha256 ?? 'unknown',
  })
  const wanted = facts(first.results.run)
  for (const [what, value] of Object.entries(facts(other.results.run)))
    if (value !== wanted[what])
      throw new UsageError(
        `${other.name} is no shard of the run that ${first.name} is of: its ${what} is ${value}, not ${wanted[what]}`,
      )
}

function checkComplete(shards: readonly Shard[]): void {
  const owners = new Map<string, string>()
  let parts: number | undefined
  for (const { name, results } of shards) {
    const [, part, of] = /^(\d+)\/(\d+)$/.exec(results.run.shard ?? '') ?? []
    if (part === undefined) throw new UsageError(`${name} is no shard: it was not run with --shard I/N`)
    parts ??= Number(of)
    if (Number(of) !== parts) throw new UsageError(`${name} is shard ${part} of ${of}, not of ${parts}`)
    const owner = owners.get(part)
    if (owner !== undefined) throw new UsageError(`${owner} and ${name} are both shard ${part}/${of}`)
    owners.set(part, name)
  }
  for (let part = 1; part <= (parts ?? 0); part += 1)
    if (!owners.has(String(part))) throw new UsageError(`shard ${part}/${parts} is missing`)
}

function mergeRuns(shards: readonly Shard[]): RunInfo {
  const runs = shards.map(({ results }) => results.run)
  const { shard: _, unfinished: __, ...first } = runs[0] as RunInfo
  return {
    ...first,
    started: runs.map(({ started }) => started).sort()[0] ?? first.started,
    durationMs: Math.max(...runs.map(({ durationMs }) => durationMs)),
    capabilities: first.capabilities.filter((name) => runs.every((run) => run.capabilities.includes(name))),
    host: [...new Set(runs.map(({ host }) => host).filter(Boolean))].join(', '),
    ...(runs.some(({ unfinished }) => unfinished) ? { unfinished: true } : {}),
  }
}
