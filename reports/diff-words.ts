import { count } from '../harness/results/judge.ts'
import type { Results } from '../harness/results/model.ts'
import { cleanLine } from './clean.ts'
import { CHANGES, type Change, type Diff, isWorse } from './diff.ts'

/** The comparison in capitals. */
export function diffHeadline(diff: Diff): string {
  if (diff.worse) return 'WORSE'
  return diff.changes.some((change) => change.kind === 'newly-passing') ? 'BETTER' : 'NO WORSE'
}

/** One sentence: how many cells changed how. */
export function diffSentence(diff: Diff): string {
  const parts = Object.entries(CHANGES).flatMap(([kind, { title }]) => {
    const number = diff.changes.filter((change) => change.kind === kind).length
    return number > 0 ? [`${number} ${title}`] : []
  })
  const changed = parts.length > 0 ? parts.join(', ') : 'nothing changed'
  const died = diff.after.run.unfinished ? 'The later run did not finish. ' : ''
  return `${died}${capital(changed)}; ${count(diff.unchanged, 'cell')} as before.`
}

/** A run in a few words: kernel, architecture, profile, version, start. */
export function runWords({ run }: Results): string {
  const end = run.unfinished ? ', not finished' : ''
  return cleanLine(
    `${run.kernel.release} ${run.kernel.arch}, profile ${run.profile}, ipcns ${run.suiteVersion}, ${run.started}${end}`,
  )
}

/** `pass → fail`. */
export function changeWords(change: Change): string {
  return `${change.before ?? 'absent'} → ${change.after ?? 'absent'}`
}

/** `+` for better, `-` for worse, `~` for neither: readable without colour. */
export function changeSign(change: Change): string {
  if (isWorse(change)) return '-'
  return change.kind === 'newly-passing' || change.kind === 'appeared' ? '+' : '~'
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
