import pc from 'picocolors'
import { cleanLine } from './clean.ts'
import { CHANGES, type Diff, groupChanges, isWorse } from './diff.ts'
import { changeSign, changeWords, diffHeadline, diffSentence, runWords } from './diff-words.ts'
import { waysAndFlags } from './flag-sets.ts'
import type { TerminalOptions } from './terminal.ts'
import { wrap } from './wrap.ts'

/** Name of the schema of `ipcns diff --json`. */
export const DIFF_SCHEMA = 'ipcns-diff/1'

/** The comparison for a person: each kind of change, each rule once. Ends in a newline. */
export function renderDiffText(diff: Diff, options: Pick<TerminalOptions, 'colour' | 'width'>): string {
  const paint = pc.createColors(options.colour)
  const width = Math.max(40, options.width)
  const lines = [
    ...wrap(`before: Linux ${runWords(diff.before)}`, width, '        '),
    ...wrap(`after:  Linux ${runWords(diff.after)}`, width, '        '),
  ]
  const groups = groupChanges(diff.changes)
  for (const [kind, { title }] of Object.entries(CHANGES)) {
    const ofKind = groups.filter((group) => group.kind === kind)
    if (ofKind.length === 0) continue
    const number = ofKind.reduce((sum, group) => sum + group.changes.length, 0)
    lines.push('', paint.bold(`${title} (${number})`))
    for (const group of ofKind) {
      const sign = changeSign(group.first)
      const colour = sign === '-' ? paint.red : sign === '+' ? paint.green : (text: string) => text
      const head = `${sign} ${cleanLine(group.rule)}  ${changeWords(group.first)}  ${cleanLine(group.first.cell.title)}`
      lines.push(...wrap(head, width, '    ').map((line) => colour(line)))
      const cells = `    ${group.changes.length} × ${waysAndFlags(
        group.changes.map(({ cell }) => cell),
        6,
      )}`
      lines.push(...wrap(cells, width, '    '))
      const reason = group.first.after === null ? '' : cleanLine(group.first.cell.reason ?? '')
      if (reason) lines.push(...wrap(`    ${reason}`, width, '    '))
    }
  }
  const verdict = `${diffHeadline(diff)}: ${diffSentence(diff)}`
  lines.push(
    '',
    ...wrap(verdict, width).map((line) => paint.bold(diff.worse ? paint.red(line) : paint.green(line))),
  )
  return `${lines.join('\n')}\n`
}

/** The comparison for a machine: both runs, counts by kind, each changed cell. Ends in a newline. */
export function* renderDiffJson(diff: Diff): Generator<string> {
  const counts = Object.fromEntries(
    Object.keys(CHANGES).map((kind) => [kind, diff.changes.filter((change) => change.kind === kind).length]),
  )
  yield `{"schema":${JSON.stringify(DIFF_SCHEMA)},\n"worse":${diff.worse},\n`
  yield `"before":${JSON.stringify(diff.before.run)},\n"after":${JSON.stringify(diff.after.run)},\n`
  yield `"counts":${JSON.stringify({ ...counts, unchanged: diff.unchanged })},\n"changes":[`
  let separator = '\n'
  for (const change of diff.changes) {
    const { kind, id, rule, before, after, cell } = change
    const reason = after === null ? undefined : cell.reason
    yield separator + JSON.stringify({ kind, worse: isWorse(change), id, rule, before, after, reason })
    separator = ',\n'
  }
  yield '\n]}\n'
}
