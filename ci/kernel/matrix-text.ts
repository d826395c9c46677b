import Table from 'cli-table3'
import { SIGNS } from '../../reports/states.ts'
import type { Guest, Matrix } from './matrix-model.ts'

/** Whether a guest's prediction came true, in a word. */
export function agreement({ disagreements }: Guest): string {
  if (disagreements === null) return '–'
  return disagreements.length === 0 ? 'agrees' : `${disagreements.length} differ`
}

/** The matrix for a terminal: the guests, where their rules differ, and every disagreement. */
export function renderMatrixText(matrix: Matrix): string {
  return [guestTable(matrix), differences(matrix), disagreements(matrix), reasons(matrix)]
    .filter((part) => part !== '')
    .join('\n\n')
    .concat('\n')
}

const PLAIN = {
  chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  style: { head: [], border: [], compact: true },
}

function guestTable({ guests }: Matrix): string {
  const table = new Table({
    ...PLAIN,
    head: ['kernel', 'configuration', 'release', 'pass', 'fail', 'skip', 'error', 'kconfig', 's'],
    colAligns: ['left', 'left', 'left', 'right', 'right', 'right', 'right', 'left', 'right'],
  })
  for (const guest of guests) {
    const { summary } = guest
    const counts = summary
      ? [summary.pass, summary.fail, summary.skip, summary.error].map(String)
      : ['', '', '', '']
    const word = guest.state === 'ran' ? agreement(guest) : guest.state.replace('-', ' ')
    table.push([guest.kernel, guest.config, guest.release, ...counts, word, guest.seconds.toFixed(1)])
  }
  return table.toString()
}

/** Rules that are not the same in all guests that ran them; what is the same everywhere needs no column. */
function differences({ guests, rules }: Matrix): string {
  const shown = guests.flatMap((guest, index) => (guest.state === 'left-out' ? [] : [{ guest, index }]))
  const differing = rules.filter(
    ({ states }) => new Set(shown.map(({ index }) => states[index] ?? null)).size > 1,
  )
  if (rules.length === 0) return ''
  if (differing.length === 0) return 'Every rule came to the same in every guest.'
  const table = new Table({ ...PLAIN, head: ['rule', ...shown.map((_, place) => String(place + 1)), ''] })
  for (const { rule, title, states } of differing)
    table.push([rule, ...shown.map(({ index }) => sign(states[index])), title.slice(0, 60)])
  const key = shown.map(({ guest }, place) => `${place + 1} ${guest.id}`).join(', ')
  return `Rules that differ (${key}; ${SIGNS.pass} pass, ${SIGNS.fail} fail, ${SIGNS.skip} skip, ${SIGNS.error} error)\n${table}`
}

function sign(state: keyof typeof SIGNS | null | undefined): string {
  return state ? SIGNS[state] : ' '
}

function disagreements({ guests }: Matrix): string {
  const lines = guests.flatMap(({ id, disagreements: found }) =>
    (found ?? []).map(
      ({ rule, predicted, seen }) => `  ${id} ${rule}\n    predicted ${predicted}\n    seen      ${seen}`,
    ),
  )
  return lines.length === 0 ? '' : `Not as kconfig predicted\n${lines.join('\n')}`
}

function reasons({ guests }: Matrix): string {
  const lines = guests.filter(({ reason }) => reason !== '').map(({ id, reason }) => `  ${id}: ${reason}`)
  return lines.length === 0 ? '' : `Not run\n${lines.join('\n')}`
}
