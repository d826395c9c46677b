import type { CellResult, EvidenceStep, KnownDeviation } from '../harness/results/model.ts'
import { clean, cleanLine } from './clean.ts'
import { orderFlags } from './flag-sets.ts'

/** Where the object lived, in words. */
const PLACES: Readonly<Record<CellResult['place'], string>> = {
  stranger: 'a namespace that is no relative of the observer',
  parent: "the namespace of the observer's parent process",
  initial: 'the initial namespace',
}

/** What an arm means, in words. */
export const ARMS: Readonly<Record<CellResult['arm'], string>> = {
  treatment: 'different IPC namespaces',
  control: 'the same IPC namespace',
}

/** A cell's setting in one sentence: way in, flags, direction, place, arm. */
export function settingOf(cell: CellResult): string {
  const flags = orderFlags(cell.flags).map((flag) => (flag.startsWith('CLONE_') ? flag : `CLONE_${flag}`))
  const entered = `${cell.via} with ${flags.length > 0 ? flags.join('|') : 'no flag'}`
  // A rule whose arms differ by what it does has no actor and observer to place.
  const where =
    cell.armSays === undefined
      ? `, ${cell.direction.replaceAll('-', ' ')}; the object is in ${PLACES[cell.place]}`
      : ''
  return cleanLine(`${entered}${where}; ${cell.arm} arm (${cell.armSays ?? ARMS[cell.arm]})`)
}

/** One step as a line: `observer  msgget(0x1234, 0) = ENOENT`. */
export function stepLine(step: EvidenceStep, width = 0): string {
  return `${cleanLine(step.who)}: `.padEnd(width) + cleanLine(`${step.call}(${step.args}) = ${step.result}`)
}

/** A named part of a proof. `lines` are cleaned and may be long. */
export interface ProofPart {
  name: string
  lines: string[]
}

/**
 * A finding as a proof that a stranger can follow: the sentence, where it stands, the setting, what was done
 * step by step, what was expected and seen, and how to see it by hand. Parts without content are left out.
 */
export function proofOf(cell: CellResult): ProofPart[] {
  const steps = cell.evidence ?? []
  const width = Math.max(0, ...steps.map((step) => cleanLine(step.who).length)) + 2
  const parts: ProofPart[] = [
    { name: 'source', lines: cell.source.map(cleanLine) },
    { name: 'setting', lines: [settingOf(cell)] },
    { name: 'steps', lines: steps.map((step, place) => `${place + 1}. ${stepLine(step, width)}`) },
    { name: 'expected', lines: linesOf(cell.expected) },
    { name: 'observed', lines: linesOf(cell.observed) },
    { name: 'reason', lines: linesOf(cell.reason) },
    { name: 'known as', lines: cell.known ? [knownWords(cell.known)] : [] },
    { name: 'note', lines: linesOf(cell.note) },
    { name: 'by hand', lines: (cell.byHand ?? []).flatMap(linesOf) },
  ]
  return parts.filter((part) => part.lines.length > 0)
}

/** A known deviation in a line: reference, expiry, what the list says. */
export function knownWords({ reference, expires, reason }: KnownDeviation): string {
  return [reference, expires ? `expires ${expires}` : '', reason ?? '']
    .map(cleanLine)
    .filter(Boolean)
    .join('; ')
}

/** A finding in one short line, for a heading or an attribute. */
export function headlineOf(cell: CellResult): string {
  const reason = cleanLine(cell.reason ?? '')
  if (reason !== '') return reason
  if (cell.verdict === 'fail' && (cell.expected || cell.observed))
    return cleanLine(`expected ${cell.expected ?? '?'}, observed ${cell.observed ?? 'nothing'}`)
  return cell.verdict === 'pass' ? 'pass' : 'no reason given'
}

function linesOf(text: string | undefined): string[] {
  const cleaned = clean(text ?? '').trim()
  return cleaned === '' ? [] : cleaned.split('\n')
}
