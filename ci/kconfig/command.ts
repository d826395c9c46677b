import { readFileSync } from 'node:fs'
import { release, version } from 'node:os'
import type { Command } from '../../harness/cli/command.ts'
import { EXIT } from '../../harness/cli/command.ts'
import type { Profile } from '../../harness/rules/profiles.ts'
import { UsageError } from '../../harness/usage-error.ts'
import manifest from '../../package.json' with { type: 'json' }
import { type Format, readArguments } from './arguments.ts'
import { check, type KconfigReport } from './check.ts'
import { findConfig, readSource, type Search, type Source } from './find.ts'
import { KCONFIG_HELP } from './help.ts'
import { type Machine, thisMachine } from './machine.ts'
import { observe } from './observe.ts'
import { type Config, type Problem, parseConfig } from './parse.ts'
import type { RuleNeeds } from './predict.ts'
import { type Running, releaseWarning } from './release.ts'
import { renderFragment } from './render-fragment.ts'
import { githubProblems, renderGithub } from './render-github.ts'
import { renderJson } from './render-json.ts'
import { renderKconfigJunit } from './render-junit.ts'
import { renderText } from './render-text.ts'

/** What the command works on; each has a default that is this machine. */
export interface Surroundings {
  /** The rules to predict, known to the composition root only. */
  rules: (profile: Profile) => Promise<readonly RuleNeeds[]>
  machine: Machine
  running: Running
  /** Put before the usual places. */
  root: string
  /** LTP's KCONFIG_PATH; empty when not set. */
  preferred: string
  write: (text: string) => void
  suiteVersion: string
}

/** Broken lines that one sentence names. */
const NAMED = 10

/** Makes `ipcns kconfig` with other surroundings than this machine, or with rules to predict. */
export function createKconfigCommand(given: Partial<Surroundings> = {}): Command {
  return {
    summary: 'check a kernel configuration and predict which rules will run',
    help: KCONFIG_HELP,
    run: (words) => runKconfig(words, { ...here(), ...given }),
  }
}

async function runKconfig(words: readonly string[], around: Surroundings): Promise<number> {
  const given = readArguments(words)
  const search = locate(given.file, around)
  const found = search.source && understood(search.source, given.format, around)
  if (search.source === null && search.unreadable.length > 0 && !given.verify) {
    const [first] = search.unreadable
    throw new UsageError(`cannot read the kernel configuration "${first?.path}": ${first?.reason}`)
  }
  const report = check({
    found,
    looked: search.looked,
    unreadable: search.unreadable,
    running: around.running.release,
    warnings: found ? warningsFor(found, around.running) : [],
    profile: given.profile,
    require: given.require,
    rules: await around.rules(given.profile),
    observations: given.verify ? await observe(around.machine) : null,
  })
  around.write(render(report, given.format, around))
  return { pass: EXIT.ok, fail: EXIT.nonconforming, unknown: EXIT.nothingRan }[report.verdict]
}

function locate(file: string | null, around: Surroundings): Search {
  if (file !== null) return { source: readSource(file), looked: [], unreadable: [] }
  return findConfig(around.running.release, {
    root: around.root,
    ...(around.preferred ? { preferred: around.preferred } : {}),
  })
}

/** Reads the text; throws UsageError that names each broken line. */
function understood(
  source: Source,
  format: Format,
  around: Surroundings,
): { source: Source; config: Config } {
  const { config, problems } = parseConfig(source.text)
  if (problems.length > 0) {
    if (format === 'github') around.write(githubProblems(source.path, problems))
    throw new UsageError(malformed(source.path, problems, config))
  }
  if (config.settings.size === 0)
    throw new UsageError(`"${source.path}" is no kernel configuration: it sets no symbol`)
  return { source, config }
}

function malformed(path: string, problems: readonly Problem[], config: Config): string {
  if (config.settings.size === 0)
    return `"${path}" is no kernel configuration: no line sets a symbol (line ${problems[0]?.line}: ${problems[0]?.message})`
  const named = problems.slice(0, NAMED).map(({ line, message }) => `line ${line}: ${message}`)
  const rest = problems.length > NAMED ? `; and ${problems.length - NAMED} more` : ''
  return `"${path}" is malformed: ${named.join('; ')}${rest}`
}

function warningsFor(found: { source: Source; config: Config }, running: Running): string[] {
  const warning = releaseWarning(found.config.version, running, found.source.path, found.config.kind)
  return warning === null ? [] : [warning]
}

function render(report: KconfigReport, format: Format, around: Surroundings): string {
  switch (format) {
    case 'json':
      return renderJson(report)
    case 'junit':
      return renderKconfigJunit(report, {
        started: new Date().toISOString(),
        suiteVersion: around.suiteVersion,
      })
    case 'github':
      return renderGithub(report)
    case 'fragment':
      return renderFragment(report)
    default: {
      const { isTTY, columns } = process.stdout
      return renderText(report, { width: columns ?? 120, colour: Boolean(isTTY) && !process.env.NO_COLOR })
    }
  }
}

function here(): Surroundings {
  return {
    rules: async () => [],
    machine: thisMachine,
    running: { release: release(), version: version(), signature: signature() },
    root: '/',
    preferred: process.env.KCONFIG_PATH ?? '',
    write: (text) => {
      process.stdout.write(text)
    },
    suiteVersion: manifest.version,
  }
}

/** Ubuntu's true kernel version. */
function signature(): string {
  try {
    return readFileSync('/proc/version_signature', 'utf8').trim()
  } catch {
    return ''
  }
}
