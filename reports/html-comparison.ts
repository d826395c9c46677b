import { count } from '../harness/results/judge.ts'
import type { Results } from '../harness/results/model.ts'
import { clean, cleanLine } from './clean.ts'
import { CHANGES, diffResults, groupChanges, isWorse } from './diff.ts'
import { changeWords, diffHeadline, diffSentence, runWords } from './diff-words.ts'
import { waysAndFlags } from './flag-sets.ts'

/** What changed since another run, as the page shows it. */
export interface Comparison {
  headline: string
  before: string
  after: string
  sentence: string
  groups: {
    title: string
    sign: string
    state: string
    count: string
    rows: { rule: string; title: string; change: string; reason: string; count: number; cells: string }[]
  }[]
}

/** The comparison section of a page; changes of one rule that say the same are one row. */
export function comparisonView(before: Results, after: Results): Comparison {
  const diff = diffResults(before, after)
  const groups = groupChanges(diff.changes)
  return {
    headline: diffHeadline(diff),
    before: runWords(before),
    after: runWords(after),
    sentence: diffSentence(diff),
    groups: Object.entries(CHANGES).flatMap(([kind, { title }]) => {
      const ofKind = groups.filter((group) => group.kind === kind)
      if (ofKind.length === 0) return []
      const worse = ofKind.some(({ first }) => isWorse(first))
      const better = kind === 'newly-passing'
      const rows = ofKind.map((group) => ({
        rule: clean(group.rule),
        title: cleanLine(group.first.cell.title),
        change: changeWords(group.first),
        reason: cleanLine(group.first.after === null ? '' : (group.first.cell.reason ?? '')),
        count: group.changes.length,
        cells: waysAndFlags(
          group.changes.map(({ cell }) => cell),
          8,
        ),
      }))
      return [
        {
          title,
          sign: worse ? '▼' : better ? '▲' : '●',
          state: worse ? 'fail' : better ? 'pass' : 'skip',
          count: count(
            rows.reduce((sum, row) => sum + row.count, 0),
            'cell',
          ),
          rows,
        },
      ]
    }),
  }
}
