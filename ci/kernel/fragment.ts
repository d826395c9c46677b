import { UsageError } from '../../harness/usage-error.ts'

/** Symbol without `CONFIG_` to its value as a configuration file writes it; `n` is "is not set". */
export type Fragment = ReadonlyMap<string, string>

const ASSIGNMENT = /^CONFIG_([A-Za-z0-9_]+)=("(?:[^"\\]|\\.)*"|[A-Za-z0-9_+-]+)$/
const NOT_SET = /^# CONFIG_([A-Za-z0-9_]+) is not set$/

/**
 * Reads a kernel configuration or a fragment of one. Throws UsageError with the line's number for a line that
 * is none; `name` says whose. A symbol written twice keeps its last value, as merging in the kernel does.
 */
export function parseFragment(text: string, name: string): Fragment {
  const fragment = new Map<string, string>()
  text.split('\n').forEach((raw, index) => {
    const line = raw.trim()
    const unset = NOT_SET.exec(line)
    if (unset?.[1]) fragment.set(unset[1], 'n')
    else if (line !== '' && !line.startsWith('#')) {
      const [symbol, value] = parseAssignment(line, `${name}, line ${index + 1}`)
      fragment.set(symbol, value)
    }
  })
  return fragment
}

/** Reads one `CONFIG_X=value`; the prefix may be left out, as people do on a command line. */
export function parseSetting(text: string): [symbol: string, value: string] {
  return parseAssignment(text.startsWith('CONFIG_') ? text : `CONFIG_${text}`, `--set ${text}`)
}

function parseAssignment(line: string, where: string): [symbol: string, value: string] {
  const match = ASSIGNMENT.exec(line)
  if (!match?.[1] || !match[2]) throw new UsageError(`${where}: "${line}" is not CONFIG_SYMBOL=value`)
  return [match[1], match[2]]
}

/** Later fragments win. */
export function mergeFragments(...fragments: readonly Fragment[]): Fragment {
  return new Map(fragments.flatMap((fragment) => [...fragment]))
}

/** As a file that `KCONFIG_ALLCONFIG` reads, sorted, so that equal requests are equal text. */
export function renderFragment(fragment: Fragment): string {
  const lines = [...fragment].map(([symbol, value]) =>
    value === 'n' ? `# CONFIG_${symbol} is not set` : `CONFIG_${symbol}=${value}`,
  )
  return `${lines.sort().join('\n')}\n`
}

/** A wish that the kernel's own configuration rules did not grant. */
export interface Unmet {
  symbol: string
  wanted: string
  /** The value it has, or `n` where it is not offered at all. */
  got: string
}

/** Symbols that newer kernels have under another name only: from 7.x on SYSCTL is what PROC_SYSCTL was. */
const RENAMED: Readonly<Record<string, string>> = { PROC_SYSCTL: 'SYSCTL' }

/** Which of the wishes a finished configuration does not hold; an absent symbol counts as `n`. */
export function unmet(wishes: Fragment, finished: Fragment): Unmet[] {
  return [...wishes].flatMap(([symbol, wanted]) => {
    const got = finished.get(symbol) ?? finished.get(RENAMED[symbol] ?? '') ?? 'n'
    return got === wanted ? [] : [{ symbol, wanted, got }]
  })
}
