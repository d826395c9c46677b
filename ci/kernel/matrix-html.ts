import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Eta } from 'eta'
import { SIGNS, STATES } from '../../reports/states.ts'
import type { Matrix } from './matrix-model.ts'
import { matrixStatus } from './matrix-model.ts'
import { agreement } from './matrix-text.ts'
import { asset } from './top.ts'

const HEADLINES = {
  0: 'Every kernel conforms, as predicted',
  1: 'A kernel does not conform, or not as predicted',
  2: 'Not every guest could be judged',
  77: 'Nothing ran',
} as const

/** The matrix as one self-contained page; any two guests can be compared in it. Nothing is loaded. */
export function renderMatrixHtml(matrix: Matrix): string {
  const [page, style, script] = ['eta', 'css', 'js'].map((end) =>
    readFileSync(asset(`page/matrix.${end}`), 'utf8'),
  )
  return new Eta({ autoTrim: false }).renderString(page ?? '', {
    policy: `default-src 'none'; img-src data:; style-src '${hashOf(style ?? '')}'; script-src '${hashOf(script ?? '')}'; base-uri 'none'; form-action 'none'`,
    style,
    script,
    matrix,
    headline: HEADLINES[matrixStatus(matrix)],
    agreement,
    columns: matrix.guests.flatMap(({ id, state }, index) => (state === 'left-out' ? [] : [{ id, index }])),
    disagreements: matrix.guests.flatMap(({ id, disagreements }) =>
      (disagreements ?? []).map((disagreement) => ({ guest: id, ...disagreement })),
    ),
    signs: SIGNS,
    legend: STATES.map((state) => ({ state, sign: SIGNS[state] })),
  })
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}
