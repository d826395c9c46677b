import { join } from 'node:path'
import type { Command } from '../harness/cli/command.ts'
import { readOptions } from '../harness/cli/options.ts'
import { judge } from '../harness/results/judge.ts'
import { UsageError } from '../harness/usage-error.ts'
import { makeReportDirectory, writeAtomically } from './files.ts'
import { FORMATS } from './formats.ts'
import { mergeResults } from './merge.ts'
import { sudoOwner } from './owner.ts'
import { readResults } from './read.ts'
import { renderResultsJson } from './results-json.ts'
import { screenOf } from './screen.ts'
import { renderTerminal } from './terminal.ts'

const HELP = `Usage: ipcns merge RUN... --out DIR

Puts the shards of one run together (ipcns run --shard I/N): writes the results.json and junit.xml that one
whole run would have written, and prints its summary. RUN is a results.json or the directory that has it;
every shard must be there, of one kernel, one profile and one version of the suite. Other reports are made
from DIR with "ipcns report".

Exit status: that of the whole run (0 conforms, 1 does not, 2 broke or bad input, 77 nothing ran).
`

/** `ipcns merge`: several machines' shards as one run. */
export const mergeCommand: Command = {
  summary: 'put the shards of one run together',
  help: HELP,
  run: async (words) => merge(words),
}

function merge(words: readonly string[]): number {
  const { runs, out } = readWords(words)
  const results = mergeResults(runs.map((name) => ({ name, results: readResults(name) })))
  const owner = sudoOwner()
  makeReportDirectory(out, owner)
  const paths = [
    { path: join(out, 'results.json'), text: renderResultsJson(results) },
    { path: join(out, FORMATS.junit.file), text: FORMATS.junit.render(results) },
  ]
  for (const { path, text } of paths) writeAtomically(path, text, owner)
  process.stdout.write(renderTerminal(results, { ...screenOf(), reportPaths: paths.map(({ path }) => path) }))
  return judge(results).status
}

function readWords(words: readonly string[]): { runs: string[]; out: string } {
  const { values, positionals } = readOptions('merge', words, { out: { type: 'string' } }, 'words')
  if (positionals.length === 0)
    throw new UsageError('merge needs the shards of a run: ipcns merge RUN... --out DIR')
  if (values.out === undefined) throw new UsageError('merge needs --out DIR, where the whole run is written')
  return { runs: positionals, out: values.out }
}
