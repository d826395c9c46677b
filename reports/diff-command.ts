import type { Command } from '../harness/cli/command.ts'
import { readOptions } from '../harness/cli/options.ts'
import { UsageError } from '../harness/usage-error.ts'
import { diffResults } from './diff.ts'
import { renderDiffJson, renderDiffText } from './diff-render.ts'
import { textOf, writeAtomically } from './files.ts'
import { renderHtml } from './html.ts'
import { sudoOwner } from './owner.ts'
import { readResults } from './read.ts'
import { screenOf } from './screen.ts'

const HELP = `Usage: ipcns diff A B [--text] [--json] [--html FILE]

Says what changed from run A to run B: newly failing, newly passing, newly skipped, appeared, vanished. A
and B are results.json files or directories that have one, of two kernels or two configurations.

Options:
  --text        for a person (the default)
  --json        for a machine: one JSON text with every changed cell
  --html FILE   the HTML report of B with the comparison on top

Something is worse when a cell that did not fail fails, when one cannot be judged any more (error), when
one that passed is now skipped, a known deviation or gone, or when run B did not finish.

Exit status: 0 nothing got worse, 1 something did, 2 for bad input.
`

const OPTIONS = { json: { type: 'boolean' }, text: { type: 'boolean' }, html: { type: 'string' } } as const

/** `ipcns diff`: compares two runs. */
export const diffCommand: Command = {
  summary: 'compare two runs: what got worse, what got better',
  help: HELP,
  run: async (words) => diff(words),
}

function diff(words: readonly string[]): number {
  const { before, after, json, text, html } = readWords(words)
  const [a, b] = [readResults(before), readResults(after)]
  const difference = diffResults(a, b)
  if (html !== undefined) {
    writeAtomically(html, renderHtml(b, a), sudoOwner())
    if (!json && !text) process.stdout.write(`${html}\n`)
  }
  if (json) process.stdout.write(textOf(renderDiffJson(difference)))
  else if (text || html === undefined) process.stdout.write(renderDiffText(difference, screenOf()))
  return difference.worse ? 1 : 0
}

function readWords(words: readonly string[]) {
  const { values, positionals } = readOptions('diff', words, OPTIONS, 'words')
  const [before, after, ...rest] = positionals
  if (before === undefined || after === undefined || rest.length > 0)
    throw new UsageError(`diff compares two runs, but got ${positionals.length}: ipcns diff A B`)
  if (values.json && values.text) throw new UsageError('--json and --text both print: name one')
  return { before, after, json: values.json === true, text: values.text === true, html: values.html }
}
