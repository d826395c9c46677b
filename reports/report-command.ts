import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from '../harness/cli/command.ts'
import { readOptions } from '../harness/cli/options.ts'
import { judge } from '../harness/results/judge.ts'
import type { Results } from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { makeReportDirectory, type Text, textOf, writeAtomically } from './files.ts'
import { FORMAT_NAMES, FORMATS, type FormatName, parseFormats } from './formats.ts'
import { renderHtml } from './html.ts'
import { sudoOwner } from './owner.ts'
import { readResults } from './read.ts'
import { screenOf } from './screen.ts'
import { renderTerminal } from './terminal.ts'

const HELP = `Usage: ipcns report DIR|FILE [--FORMAT...] [--report LIST] [--out DIR] [--compare DIR|FILE] [--status]

Makes reports from the results of a run: from results.json or the directory that has it. Without a format
it prints the summary. --terminal and --github print, the others write a file beside results.json and
print its path.

Formats:
${FORMAT_NAMES.map((name) => `  --${name.padEnd(10)}${FORMATS[name].says} (${FORMATS[name].file})`).join('\n')}

Options:
  --report LIST   formats separated by commas, "html,ktap"; "all" for every file
  --out DIR       write into this directory; "-" prints one format instead
  --compare RUN   the HTML page also shows what changed since that run
  --status        exit as the run did (0 conforms, 1 does not, 2 broke, 77 nothing ran)

Exit status: 0 when the reports were made, 2 for bad input.
`

type Flag = { type: 'boolean' }

const OPTIONS = {
  ...(Object.fromEntries(FORMAT_NAMES.map((name) => [name, { type: 'boolean' }])) as Record<
    FormatName,
    Flag
  >),
  report: { type: 'string' },
  out: { type: 'string' },
  compare: { type: 'string' },
  status: { type: 'boolean' },
} as const

/** `ipcns report`: every format from saved results. */
export const reportCommand: Command = {
  summary: 'make reports from the results of a run',
  help: HELP,
  run: async (words) => report(words),
}

function report(words: readonly string[]): number {
  const { path, formats, out, compare, status } = readWords(words)
  const results = readResults(path)
  const baseline = compare === undefined ? undefined : readResults(compare)
  if (out === '-') {
    const [only, ...others] = formats
    if (only === undefined || others.length > 0) throw new UsageError('--out - prints exactly one format')
    print(rendered(only, results, baseline))
  } else make(results, baseline, formats, out ?? directoryOf(path))
  if (results.run.unfinished) process.stderr.write('ipcns: this run did not finish; its reports say so\n')
  return status ? judge(results).status : 0
}

function make(
  results: Results,
  baseline: Results | undefined,
  formats: readonly FormatName[],
  directory: string,
): void {
  const files = formats.filter((name) => !isPrinted(name))
  const owner = sudoOwner()
  if (files.length > 0) makeReportDirectory(directory, owner)
  const paths = files.map((name) => {
    const path = join(directory, FORMATS[name].file)
    writeAtomically(path, rendered(name, results, baseline), owner)
    return path
  })
  if (formats.includes('terminal'))
    process.stdout.write(renderTerminal(results, { ...screenOf(), reportPaths: paths }))
  else for (const path of paths) process.stdout.write(`${path}\n`)
  if (formats.includes('github')) print(FORMATS.github.render(results))
}

function rendered(name: FormatName, results: Results, baseline: Results | undefined): Text {
  return name === 'html' ? renderHtml(results, baseline) : FORMATS[name].render(results)
}

/** These are read at once, not kept. */
function isPrinted(name: FormatName): boolean {
  return name === 'terminal' || name === 'github'
}

function print(text: Text): void {
  process.stdout.write(textOf(text))
}

function directoryOf(path: string): string {
  return statSync(path).isDirectory() ? path : dirname(path)
}

interface Words {
  path: string
  formats: FormatName[]
  out: string | undefined
  compare: string | undefined
  status: boolean
}

function readWords(words: readonly string[]): Words {
  const { values, positionals } = readOptions('report', words, OPTIONS, 'words')
  const [path, ...rest] = positionals
  if (path === undefined) throw new UsageError('report needs the results.json of a run or its directory')
  if (rest.length > 0) throw new UsageError(`report takes one run, but got ${positionals.join(' and ')}`)
  const listed = values.report ?? ''
  const { formats, unknown } = parseFormats(listed === 'all' ? FORMAT_NAMES.join(',') : listed)
  if (unknown.length > 0)
    throw new UsageError(`unknown report "${unknown.join(', ')}"; known: ${FORMAT_NAMES.join(', ')}, all`)
  const named = FORMAT_NAMES.filter((name) => values[name] === true)
  const wanted = [...new Set([...named, ...formats])]
  return {
    path,
    formats: wanted.length > 0 ? wanted : ['terminal'],
    out: values.out,
    compare: values.compare,
    status: values.status === true,
  }
}
