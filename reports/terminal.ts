import pc from 'picocolors'
import { count, type Judgement, judge } from '../harness/results/judge.ts'
import type { CellResult, Results } from '../harness/results/model.ts'
import { cleanLine, shorten } from './clean.ts'
import { waysAndFlags } from './flag-sets.ts'
import { errorReasons, type Group, groupCells, knownDeviations, type Reason, skipReasons } from './group.ts'
import { type Paint, renderMatrix } from './matrix.ts'
import { proofOf } from './proof.ts'
import { wrap } from './wrap.ts'

export interface TerminalOptions {
  /** True to colour; the caller looks at NO_COLOR and whether this is a terminal. */
  colour: boolean
  /** Columns; nothing is wider but a single word that is. */
  width: number
  /** Files to name at the end. */
  reportPaths: readonly string[]
}

/** Rules shown with a whole proof; the others get one line each. */
const WHOLE_PROOFS = 8

/**
 * The summary a person understands in five seconds: the machine, the matrix, each finding as a proof, known
 * deviations, skip reasons, where the reports are, and the verdict last, where the eye is. Ends in a newline.
 */
export function renderTerminal(results: Results, options: TerminalOptions): string {
  const paint = pc.createColors(options.colour)
  const width = Math.max(40, options.width)
  const judgement = judge(results)
  const sections = [
    heading(results, width),
    renderMatrix(results.cells, width, paint),
    failures(results.cells, width, paint),
    reasons(
      'Errors: the harness broke, this says nothing about the kernel',
      errorReasons(results.cells),
      width,
    ),
    reasons('Known deviations', knownDeviations(results.cells), width),
    reasons('Skipped: not applicable here', skipReasons(results.cells), width),
    paths(options.reportPaths),
    conclusion(results, judgement, width, paint),
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

function heading({ run }: Results, width: number): string {
  const parts = [
    `ipcns ${run.suiteVersion}`,
    `Linux ${run.kernel.release} ${run.kernel.arch}`,
    `profile ${run.profile}`,
    run.uid === 0 ? 'root' : `uid ${run.uid}`,
    run.kernel.config ? `config ${run.kernel.config.source}` : 'no kernel config found',
    ...(run.host ? [run.host] : []),
  ]
  return wrap(cleanLine(parts.join(' · ')), width).join('\n')
}

function failures(cells: readonly CellResult[], width: number, paint: Paint): string {
  const rules = new Map<string, Group[]>()
  for (const group of groupCells(cells, 'fail'))
    rules.set(group.rule, [...(rules.get(group.rule) ?? []), group])
  const blocks = [...rules.values()].map((groups, place) =>
    place < WHOLE_PROOFS ? wholeProof(groups, width, paint) : shortProof(groups, width, paint),
  )
  const whole = blocks.slice(0, WHOLE_PROOFS).join('\n\n')
  if (blocks.length <= WHOLE_PROOFS) return whole
  const more = `${blocks.length - WHOLE_PROOFS} more rules fail; their proofs are in the reports:`
  return `${whole}\n\n${more}\n${blocks.slice(WHOLE_PROOFS).join('\n')}`
}

function wholeProof(groups: readonly Group[], width: number, paint: Paint): string {
  const [group, ...others] = groups as [Group, ...Group[]]
  const total = groups.reduce((sum, { cells }) => sum + cells.length, 0)
  const title = `FAIL ${group.rule}  ${cleanLine(group.first.title)}`
  const lines = wrap(title, width, ' '.repeat(5)).map((line) => paint.bold(paint.red(line)))
  for (const { name, lines: content } of proofOf(group.first)) {
    // The differences stand in expected and observed already; a known bug's name does not.
    if (name === 'reason' && group.first.expected && !group.first.reason?.startsWith('known bug')) continue
    lines.push(...part(name, content, width))
  }
  if (group.cells.length > 1) lines.push(...part('also in', [alsoIn(group)], width))
  for (const other of others.slice(0, 3))
    lines.push(...part('another', [`${count(other.cells.length, 'cell')}: ${gist(other.first)}`], width))
  if (others.length > 3) lines.push(...part('', [`… and ${others.length - 3} more kinds of failure`], width))
  lines.push(
    ...part('rule', [`${cleanLine(group.first.file)}:${group.first.line}  (${count(total, 'cell')})`], width),
  )
  return lines.join('\n')
}

function shortProof(groups: readonly Group[], width: number, paint: Paint): string {
  const [{ rule, first }] = groups as [Group, ...Group[]]
  const total = groups.reduce((sum, { cells }) => sum + cells.length, 0)
  const line = `FAIL ${rule}  ${count(total, 'cell')}: ${cleanLine(first.title)}`
  return paint.red(shorten(line, width))
}

/** The cells of a group in a line: how many, by which ways in, with which flags. */
function alsoIn(group: Group): string {
  const rest = group.cells.slice(1)
  return `${count(rest.length, 'more cell')}: ${waysAndFlags(rest, 6)}`
}

function gist(cell: CellResult): string {
  if (cell.expected || cell.observed)
    return cleanLine(`expected ${cell.expected ?? '?'}, observed ${cell.observed ?? '?'}`)
  return cleanLine(cell.reason ?? 'no reason given')
}

function reasons(title: string, list: readonly Reason[], width: number): string {
  if (list.length === 0) return ''
  const most = String(list[0]?.cells.length ?? 0).length
  const lines = list.flatMap(({ reason, cells }) => {
    const first = `${String(cells.length).padStart(most + 2)}  `
    const example = cells[0]?.verdict === 'error' ? ` (${exampleOf(cells)})` : ''
    const text = wrap(cleanLine(reason) + example, width - first.length)
    return text.map((line, place) => (place === 0 ? first : ' '.repeat(first.length)) + line)
  })
  const total = list.reduce((sum, { cells }) => sum + cells.length, 0)
  return [`${title} (${count(total, 'cell')})`, ...lines].join('\n')
}

function exampleOf(cells: readonly CellResult[]): string {
  const rules = [...new Set(cells.map((cell) => cell.rule))]
  return rules.length > 4
    ? `${rules.slice(0, 4).join(', ')}, … ${count(rules.length, 'rule')}`
    : rules.join(', ')
}

function paths(list: readonly string[]): string {
  return list.length === 0 ? '' : `Reports\n${list.map((path) => `  ${path}`).join('\n')}`
}

function conclusion(results: Results, judgement: Judgement, width: number, paint: Paint): string {
  const { pass, fail, skip, error, known, rules } = results.summary
  const colour = {
    conforms: paint.green,
    nonconforming: paint.red,
    broken: paint.red,
    'nothing-ran': paint.yellow,
  }
  const counts = [
    count(rules, 'rule'),
    `${pass} pass`,
    `${fail} fail`,
    `${skip - known} skip`,
    ...(known > 0 ? [count(known, 'known deviation')] : []),
    `${error} error`,
    `${(results.run.durationMs / 1000).toFixed(1)} s`,
  ]
  const headline = wrap(`${judgement.headline}: ${judgement.sentence}`, width)
  const coloured = headline.map((line) => paint.bold(colour[judgement.conclusion](line)))
  return [...coloured, ...wrap(counts.join(' · '), width)].join('\n')
}

/** `  name      text`, wrapped under itself. */
function part(name: string, content: readonly string[], width: number): string[] {
  const indent = 11
  return content.flatMap((line, place) => {
    const prefix = place === 0 ? `  ${name}`.padEnd(indent) : ' '.repeat(indent)
    // Commands are to be copied: they stay on one line, however long.
    const lines = name === 'by hand' ? [line] : wrap(line, width - indent, '  ')
    return lines.map((text, row) => (row === 0 ? prefix : ' '.repeat(indent)) + text)
  })
}
