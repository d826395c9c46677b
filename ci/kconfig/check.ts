import type { Profile } from '../../harness/rules/profiles.ts'
import { type Expression, evaluate, expressionText } from './expression.ts'
import type { Source } from './find.ts'
import { fragmentFor } from './fragment.ts'
import type { Observation } from './observe.ts'
import type { Config } from './parse.ts'
import { type Prediction, predict, type RuleNeeds, whyNot } from './predict.ts'
import { isOlder } from './release.ts'
import { type Lookup, NO_CONFIG, type State, type Truth } from './state.ts'
import { isRequired, type KernelSymbol, SYMBOLS } from './symbols.ts'
import { compare, corrected, type Disagreement } from './verify.ts'

/** Name of the JSON that `--format json` writes. */
export const KCONFIG_SCHEMA = 'ipcns-kconfig/1'

/** What there is to judge. */
export interface Question {
  /** Null when none was found. */
  found: { source: Source; config: Config } | null
  /** Places looked at when none was named. */
  looked: readonly string[]
  unreadable: readonly { path: string; reason: string }[]
  /** uname -r. */
  running: string
  /** Sentences about the source, such as that it is another release's. */
  warnings: readonly string[]
  profile: Profile
  /** Conditions of the user besides the table. */
  require: readonly Expression[]
  rules: readonly RuleNeeds[]
  /** Null without --verify. */
  observations: readonly Observation[] | null
}

/** One line of the table. */
export interface Item {
  /** The symbol with its prefix, or the user's expression. */
  name: string
  level: 'required' | 'asked' | 'optional'
  /** What the configuration says; null for an expression of more than one symbol. */
  state: State | null
  /** The line that says so, from 1; null where there is none. */
  line: number | null
  /** Whether it is there: by behaviour where that was observed, else by the configuration. */
  present: Truth
  /** Why it is (not) present when the state alone does not tell. */
  remark: string | null
  why: string
  source: string
  observed: Observation | null
}

/** Everything that the renderings show; it is `--format json` as it stands. */
export interface KconfigReport {
  schema: string
  running: string
  config: {
    path: string
    sha256: string
    gzip: boolean
    kind: 'full' | 'fragment'
    version: string | null
  } | null
  looked: readonly string[]
  unreadable: readonly { path: string; reason: string }[]
  warnings: readonly string[]
  profile: Profile
  verified: boolean
  items: Item[]
  disagreements: Disagreement[]
  /** Empty when the rules are not known to this command. */
  predictions: Prediction[]
  /** Lines for a configuration fragment. */
  fragment: { required: string[]; optional: string[] }
  /** `unknown`: there is no configuration, and behaviour did not settle it either. */
  verdict: 'pass' | 'fail' | 'unknown'
  /** What the verdict rests on, one sentence. */
  because: string
}

/** Judges a configuration. Pure. Throws UsageError when a rule's requirement is malformed. */
export function check(question: Question): KconfigReport {
  const { found, observations, profile } = question
  const written = found ? withBuiltIns(found.config) : NO_CONFIG
  const effective = observations ? corrected(written, observations) : written
  const disagreements = observations ? compare(written, observations) : []
  const items = [
    ...SYMBOLS.map((symbol) => itemOf(symbol, question, effective)),
    ...question.require.map((expression) => askedItem(expression, question, effective)),
  ]
  const { verdict, because } = judge(items, disagreements, found !== null)
  return {
    schema: KCONFIG_SCHEMA,
    running: question.running,
    config: found && {
      path: found.source.path,
      sha256: found.source.sha256,
      gzip: found.source.gzip,
      kind: found.config.kind,
      version: found.config.version,
    },
    looked: question.looked,
    unreadable: question.unreadable,
    warnings: question.warnings,
    profile,
    verified: observations !== null,
    items,
    disagreements,
    predictions: predict(question.rules, effective),
    fragment: fragmentFor(profile, question.require, effective),
    verdict,
    because,
  }
}

/** A symbol that a kernel of this version does not have yet stands for a feature that was built in. */
function withBuiltIns(config: Config): Lookup {
  const builtIn = new Set(SYMBOLS.filter((symbol) => isBuiltIn(symbol, config)).map((symbol) => symbol.name))
  return {
    complete: config.complete,
    state: (symbol) => (builtIn.has(symbol) ? { kind: 'y' } : config.state(symbol)),
  }
}

function isBuiltIn(symbol: KernelSymbol, config: Config): boolean {
  const { optionSince } = symbol
  if (optionSince === undefined || config.version === null || !config.complete) return false
  return config.state(symbol.name).kind === 'absent' && isOlder(config.version, optionSince)
}

function itemOf(symbol: KernelSymbol, question: Question, effective: Lookup): Item {
  const { found } = question
  const state = (found?.config ?? NO_CONFIG).state(symbol.name)
  const observed = question.observations?.find((one) => one.symbol === symbol.name) ?? null
  const builtIn = found !== null && isBuiltIn(symbol, found.config)
  return {
    name: `CONFIG_${symbol.name}`,
    level: isRequired(symbol, question.profile) ? 'required' : 'optional',
    state,
    line: found?.config.settings.get(symbol.name)?.line ?? null,
    present: evaluate({ op: 'is-on', symbol: symbol.name }, effective),
    remark: builtIn ? `always built in before ${symbol.optionSince}` : null,
    why: symbol.why,
    source: symbol.source,
    observed,
  }
}

function askedItem(expression: Expression, question: Question, effective: Lookup): Item {
  const config = question.found?.config
  const symbol = 'symbol' in expression ? expression.symbol : null
  const present = evaluate(expression, effective)
  return {
    name: expressionText(expression),
    level: 'asked',
    state: symbol === null ? null : (config ?? NO_CONFIG).state(symbol),
    line: symbol === null ? null : (config?.settings.get(symbol)?.line ?? null),
    present,
    remark: symbol === null && present !== 'yes' ? whyNot(expression, effective) : null,
    why: 'asked for with --require',
    source: 'the command line',
    observed: question.observations?.find((one) => one.symbol === symbol) ?? null,
  }
}

function judge(
  items: readonly Item[],
  disagreements: readonly Disagreement[],
  hasConfig: boolean,
): { verdict: KconfigReport['verdict']; because: string } {
  const needed = items.filter(({ level }) => level !== 'optional')
  // Without a configuration "unknown" is no one's fault; in a fragment it is a thing left unsaid.
  const missing = needed.filter(({ present }) => present === 'no' || (present === 'unknown' && hasConfig))
  const findings = disagreements.filter(({ kind }) => kind === 'finding')
  const names = missing.map(({ name }) => name).join(', ')
  if (missing.length > 0 && findings.length > 0)
    return { verdict: 'fail', because: `missing: ${names}; and ${contradictions(findings.length)}` }
  if (missing.length > 0) return { verdict: 'fail', because: `missing: ${names}` }
  if (findings.length > 0) return { verdict: 'fail', because: contradictions(findings.length) }
  if (hasConfig) return { verdict: 'pass', because: 'everything required is present' }
  const open = needed.filter(({ present }) => present === 'unknown').map(({ name }) => name)
  return open.length === 0
    ? { verdict: 'pass', because: 'no configuration was found, but everything required works' }
    : {
        verdict: 'unknown',
        because: `no configuration was found, and nothing tells about ${open.join(', ')}`,
      }
}

function contradictions(count: number): string {
  return count === 1
    ? 'the running kernel contradicts the configuration in one place'
    : `the running kernel contradicts the configuration in ${count} places`
}
