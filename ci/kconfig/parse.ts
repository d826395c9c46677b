import type { Lookup, State } from './state.ts'

/** One line that cannot be right; `line` counts from 1. */
export interface Problem {
  line: number
  message: string
}

/** A symbol's state and the line that gives it, counted from 1. */
export interface Setting {
  state: State
  line: number
}

/** A kernel configuration as its text says it. */
export interface Config extends Lookup {
  /** `full` is what a kernel was built with; `fragment` leaves the rest to defaults. */
  kind: 'full' | 'fragment'
  /** The kernel version of the header, `6.1.140`; null where there is none. */
  version: string | null
  /** By symbol, without `CONFIG_`. */
  settings: ReadonlyMap<string, Setting>
}

/** What parsing gives: the configuration, and the lines that are wrong (an empty list when all is well). */
export interface Parsed {
  config: Config
  problems: Problem[]
}

const SETTING = /^CONFIG_(\w+)=(.*)$/
const NOT_SET = /^# CONFIG_(\w+) is not set$/
/** What was meant as "is not set" and what the kernel's own reader passes over as a comment, silently. */
const NEARLY_NOT_SET = /^\s*#+\s*CONFIG_\w+(\s.*)?\bnot\s+set/
const VALUE = /^(?:[ymn]|-?\d+|0[xX][\da-fA-F]+|"(?:[^"\\]|\\.)*")$/
/** `Linux/x86 6.1.140`, `User Mode Linux/x86_64 6.1.0`, `Linux/arm64 6.8.5-301.fc40.aarch64`. */
const HEADER = /^# .*?(\d+\.\d+\S*) Kernel Configuration$/
const OLD_HEADER = /^# Linux kernel version: (\d+\.\d+\S*)/
/** Lines of the header count only up to here. */
const HEADER_LINES = 10

/**
 * Reads the text of a .config, a defconfig or a fragment. Never throws: every broken and every repeated line
 * is in `problems`. Grammar as in the kernel's scripts/kconfig/confdata.c, except that what it passes over
 * with a warning or in silence is a problem here.
 */
export function parseConfig(text: string): Parsed {
  const settings = new Map<string, Setting>()
  const problems: Problem[] = []
  let version: string | null = null
  let generated = false
  text.split('\n').forEach((raw, index) => {
    const line = index + 1
    const content = raw.trimEnd()
    if (index < HEADER_LINES && content.startsWith('#')) {
      version ??= (HEADER.exec(content) ?? OLD_HEADER.exec(content))?.[1] ?? null
      generated ||= content.includes('Automatically generated')
    }
    const found = readLine(content)
    if (found === null) return
    if ('message' in found) {
      problems.push({ line, message: found.message })
      return
    }
    const before = settings.get(found.symbol)
    if (before) {
      const same = sameState(before.state, found.state) ? 'set again' : 'set again to something else'
      problems.push({ line, message: `CONFIG_${found.symbol} is ${same} (first on line ${before.line})` })
      return
    }
    settings.set(found.symbol, { state: found.state, line })
  })
  // The compiler's version is written into every full configuration since 4.18, never into a defconfig.
  const full = version !== null || generated || settings.has('CC_VERSION_TEXT')
  const config: Config = {
    kind: full ? 'full' : 'fragment',
    complete: full,
    version,
    settings,
    state: (symbol) => settings.get(symbol)?.state ?? { kind: 'absent' },
  }
  return { config, problems }
}

/** What one line says; null for blank lines and comments. */
function readLine(content: string): { symbol: string; state: State } | { message: string } | null {
  if (content === '') return null
  const unset = NOT_SET.exec(content)
  if (unset?.[1]) return { symbol: unset[1], state: { kind: 'is-not-set' } }
  if (NEARLY_NOT_SET.test(content))
    return { message: `${quote(content)} is only nearly "# CONFIG_… is not set", so the kernel ignores it` }
  if (content.startsWith('#')) return null
  const setting = SETTING.exec(content)
  if (setting?.[1] === undefined || setting[2] === undefined)
    return { message: `${quote(content)} is not "CONFIG_…=value"` }
  const [, symbol, value] = setting
  if (value === '') return { message: `CONFIG_${symbol} has no value` }
  if (!VALUE.test(value)) return { message: `CONFIG_${symbol} has the impossible value ${quote(value)}` }
  return { symbol, state: stateOf(value) }
}

function stateOf(value: string): State {
  if (value === 'y' || value === 'm') return { kind: value }
  if (value === 'n') return { kind: 'is-not-set' }
  return { kind: 'value', value }
}

function sameState(a: State, b: State): boolean {
  return a.kind === b.kind && (a.kind !== 'value' || b.kind !== 'value' || a.value === b.value)
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text)
}
