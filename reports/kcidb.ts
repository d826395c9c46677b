import type { Results } from '../harness/results/model.ts'
import { byRule, logOf, type RuleResult, remarksOf, slug } from './by-rule.ts'
import { clean, cleanLine } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import type { State } from './states.ts'

/** How KCIDB calls a state. A known deviation is not judged again: SKIP, and `misc` tells which it is. */
const STATUS: Readonly<Record<State, string>> = {
  pass: 'PASS',
  fail: 'FAIL',
  error: 'ERROR',
  known: 'SKIP',
  skip: 'SKIP',
}

/** Longest log excerpt that the schema allows, in characters. */
const EXCERPT = 16_384

/**
 * KCIDB 5.3 JSON (kcidb_io/schema/v05_03.py), one test a rule below `ipcns`. The origin is `ipcns` and the
 * build a name made of kernel and configuration: whoever submits puts the CI's own ids in their place. No
 * null and no NUL anywhere; the checkout and the build are the CI's to tell.
 */
export function* renderKcidb(results: Results): Generator<string> {
  const { run } = results
  const config = run.kernel.config?.sha256.slice(0, 12) ?? 'no-config'
  const build = `ipcns:${slug(run.kernel.release)}-${slug(run.kernel.arch)}-${slug(config)}`
  const runId = slug(run.started)
  const gate = gateReason(results)
  yield '{"version":{"major":5,"minor":3},\n"tests":['
  let separator = '\n'
  const entry = (value: unknown): string => {
    const text = separator + JSON.stringify(value)
    separator = ',\n'
    return text
  }
  const common = {
    origin: 'ipcns',
    build_id: build,
    ...(isTime(run.started) ? { start_time: run.started } : {}),
    environment: {
      comment: cleanLine(`Linux ${run.kernel.release} ${run.kernel.arch}, profile ${run.profile}`),
      misc: { uid: run.uid, capabilities: run.capabilities.map(cleanLine) },
    },
  }
  if (gate !== null)
    yield entry({
      ...common,
      id: `${build}-${runId}-run`,
      path: 'ipcns.run',
      status: 'ERROR',
      comment: `${GATE_TITLE}: ${gate}`,
    })
  for (const rule of byRule(results.cells))
    yield entry({ ...common, id: `${build}-${runId}-${slug(rule.rule)}`, ...ruleEntry(rule) })
  yield '\n]}\n'
}

function ruleEntry(rule: RuleResult): Record<string, unknown> {
  return {
    path: `ipcns.${slug(rule.area)}.${slug(rule.rule)}`,
    status: STATUS[rule.state],
    comment: cleanLine(rule.title),
    duration: rule.ms / 1000,
    ...(rule.state === 'pass' ? {} : { log_excerpt: excerpt(logOf(rule)) }),
    misc: { cells: rule.tally, remarks: remarksOf(rule) },
  }
}

/** The schema counts characters, readers count bytes: both are kept below the limit. */
function excerpt(text: string): string {
  const cleaned = clean(text)
  if (Buffer.byteLength(cleaned) <= EXCERPT) return cleaned
  return clean(
    Buffer.from(cleaned)
      .subarray(0, EXCERPT - 8)
      .toString()
      .replace(/\ufffd+$/, ''),
  )
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text)
}
