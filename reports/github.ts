import { count, judge } from '../harness/results/judge.ts'
import type { CellResult, Results } from '../harness/results/model.ts'
import { clean, cleanLine } from './clean.ts'
import { errorReasons, groupCells, knownDeviations } from './group.ts'
import { proofOf } from './proof.ts'

/** GitHub shows this many annotations of a kind for each step and drops the rest. */
const LIMIT = 10

/**
 * Workflow commands that GitHub turns into annotations at the rule's line: an error for each kind of
 * failure, one for what broke, a notice for each known deviation, and the verdict. Ends in a newline.
 */
export function renderGithub(results: Results): string {
  const judgement = judge(results)
  const failures = groupCells(results.cells, 'fail').map(({ first, cells }) =>
    command(
      'error',
      first,
      `${first.rule} does not conform`,
      `${first.title} (${count(cells.length, 'cell')})\n${proof(first)}`,
    ),
  )
  const errors = errorReasons(results.cells).flatMap(({ reason, cells: [first, ...rest] }) =>
    first
      ? [
          command(
            'error',
            first,
            `${first.rule}: the harness broke`,
            `${reason} (${count(rest.length + 1, 'cell')})`,
          ),
        ]
      : [],
  )
  const known = knownDeviations(results.cells).flatMap(({ reason, cells: [first, ...rest] }) =>
    first
      ? [command('notice', first, 'known deviation', `${reason} (${count(rest.length + 1, 'cell')})`)]
      : [],
  )
  const kind = judgement.status === 0 ? 'notice' : judgement.status === 77 ? 'warning' : 'error'
  const verdict = `::${kind} title=ipcns::${data(`${judgement.headline}: ${judgement.sentence}`)}`
  // The verdict comes first: what stands behind the limit is dropped.
  const findings = [...failures, ...errors]
  const shown = findings.slice(0, LIMIT - 1)
  const more =
    findings.length > shown.length
      ? [`${findings.length - shown.length} more findings are in the reports`]
      : []
  return [verdict, ...shown, ...more, ...known.slice(0, LIMIT - 1)].map((text) => `${text}\n`).join('')
}

function proof(cell: CellResult): string {
  return proofOf(cell)
    .filter(({ name }) => name !== 'source' && name !== 'reason')
    .flatMap(({ name, lines }) => lines.map((text) => `${name}: ${text}`))
    .join('\n')
}

function command(kind: string, { file, line }: CellResult, title: string, message: string): string {
  return `::${kind} file=${property(file)},line=${line},title=${property(title)}::${data(message)}`
}

/** Escapes as actions/toolkit does in packages/core/src/command.ts. */
function data(text: string): string {
  return clean(text).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return data(cleanLine(text)).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
