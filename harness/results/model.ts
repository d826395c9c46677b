/**
 * The one result model: what a run found, as it stands in results.json (schema `ipcns-results/1`).
 * Every report is a pure function of it; the JSON Schema is reports/schema/results-1.json.
 */

/** Name of the schema that this version writes. */
export const RESULTS_SCHEMA = 'ipcns-results/1'

/**
 * What a cell says: `pass`; `fail`, the kernel does not conform; `skip`, not applicable here, with one
 * constant reason; `error`, the harness broke or the cell never ran.
 */
export type Verdict = 'pass' | 'fail' | 'skip' | 'error'

/** All verdicts in the order in which reports count them. */
export const VERDICTS: readonly Verdict[] = ['pass', 'fail', 'skip', 'error']

/** One system call of an experiment, as it was seen from the harness. */
export interface EvidenceStep {
  /** The member that made the call: `actor`, `observer`, … */
  who: string
  /** The operation's name: `msgget`, `unshare`, … */
  call: string
  /** Its arguments as a person reads them. */
  args: string
  /** The value it returned or the errno name it failed with, as a person reads it. */
  result: string
}

/** A deviation that the user knows of and has accepted for now, as listed in a known-deviations file. */
export interface KnownDeviation {
  /** Where it is tracked: a bug number, a commit, a URL. */
  reference: string
  /** ISO date after which it counts as a failure again. */
  expires?: string
  /** What the list says about it, one sentence. */
  reason?: string
}

/** One cell: rule × place × direction × way in × flag set; the smallest thing with a verdict. */
export interface CellResult {
  /** Unique, and the same from run to run. */
  id: string
  /** Catalogue id of the rule, `SVK-01`. */
  rule: string
  /** Area of the catalogue in lower case, `svk`; one suite of the reports. */
  area: string
  /** The rule's statement, one sentence. */
  title: string
  /** Manual pages and kernel functions the statement rests on. */
  source: string[]
  arm: 'treatment' | 'control'
  /** What the arm is, in a few words, where it is not "different IPC namespaces" or "the same". */
  armSays?: string
  /** Where the object lives, seen from the observer. */
  place: 'stranger' | 'parent' | 'initial'
  /** `parent-to-child`, `child-to-parent`, `sibling-to-sibling`, `nested`, … */
  direction: string
  /** The way in: `clone`, `clone3`, `unshare`, `setns-nsfd`, `setns-pidfd`, `unshare(1)`, `nsenter(1)`. */
  via: string
  /** Names of the flags without `CLONE_`: `NEWIPC`. */
  flags: string[]
  verdict: Verdict
  /** Why it was skipped, failed or could not run; always there unless the verdict is `pass`. */
  reason?: string
  /** What the rule predicts for this arm. */
  expected?: string
  /** What was seen. */
  observed?: string
  /** Kept for each cell that did not pass and for one passing cell of each rule and arm. */
  evidence?: EvidenceStep[]
  /** Commands that show the same by hand with the usual tools, for failures. */
  byHand?: string[]
  /**
   * Set when the kernel does not conform and the user has listed that as known: the verdict is then `skip`
   * (never `pass`), the reason starts with "known deviation: ", and reports count it by itself.
   */
  known?: KnownDeviation
  /** What the rule needs, as a person reads it: `SYSVIPC`, `CAP_SYS_ADMIN`, … */
  requires?: string[]
  /** Which of several conforming behaviours was seen, or another remark that is no verdict. */
  note?: string
  /** Wall time in milliseconds. */
  ms: number
  /** Repository-relative file of the rule. */
  file: string
  line: number
}

/** What the run was and where it ran. */
export interface RunInfo {
  /** ISO 8601 in UTC, with Z. */
  started: string
  durationMs: number
  profile: string
  suiteVersion: string
  /** Node's version without `v`. */
  node: string
  kernel: {
    release: string
    arch: string
    config: { source: string; sha256: string } | null
  }
  uid: number
  /** Names of the effective capabilities, `CAP_SYS_ADMIN`. */
  capabilities: string[]
  /** Host name; empty unless it was asked for. */
  host: string
  /** `2/3` when this was the second of three shards of a run. */
  shard?: string
  /** Set while a run has not ended: what is read then is what a run that died left. */
  unfinished?: boolean
}

/** Counts of cells by verdict, of those skips that are known deviations, and of distinct rules. */
export interface Summary {
  pass: number
  fail: number
  skip: number
  error: number
  /** How many of the skips are known deviations. */
  known: number
  rules: number
}

/** The whole of results.json. */
export interface Results {
  schema: string
  run: RunInfo
  summary: Summary
  cells: CellResult[]
}

/** Orders rule ids as the catalogue does: by area's letters, then by number. */
export function compareRules(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

/** Counts cells by verdict and the distinct rules among them. */
export function summarize(cells: Iterable<CellResult>): Summary {
  const summary: Summary = { pass: 0, fail: 0, skip: 0, error: 0, known: 0, rules: 0 }
  const rules = new Set<string>()
  for (const cell of cells) {
    summary[cell.verdict] += 1
    if (cell.known) summary.known += 1
    rules.add(cell.rule)
  }
  summary.rules = rules.size
  return summary
}
