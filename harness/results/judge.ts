import type { Results } from './model.ts'

/** What a whole run says. `conforms` is the only good one. */
export type Conclusion = 'conforms' | 'nonconforming' | 'broken' | 'nothing-ran'

/** The conclusion of a run, in the words of every report. */
export interface Judgement {
  conclusion: Conclusion
  /** In capitals for headlines: `CONFORMS`. */
  headline: string
  /** One sentence that says why. */
  sentence: string
  /** Exit status of the run (DESIGN: 0, 1, 2 or 77). */
  status: 0 | 1 | 2 | 77
}

/**
 * Judges a run. A finding outranks a broken harness (status 1: what was seen stays true), and anything
 * missing (a run that died, no cell, cells without a verdict) outranks a pass. Controls alone pass nothing.
 */
export function judge(results: Results): Judgement {
  const { pass, fail, error, known, skip } = results.summary
  const died = results.run.unfinished === true
  if (fail > 0) {
    const rules = new Set(results.cells.filter((cell) => cell.verdict === 'fail').map((cell) => cell.rule))
    const tail = died
      ? '; the run did not finish'
      : error > 0
        ? `; ${count(error, 'cell')} could not be judged`
        : ''
    return {
      conclusion: 'nonconforming',
      headline: 'DOES NOT CONFORM',
      sentence: `${count(rules.size, 'rule')} broken in ${count(fail, 'cell')}${tail}`,
      status: 1,
    }
  }
  if (died)
    return broken('RUN NOT FINISHED', `the run ended early: ${count(error, 'cell')} without a verdict`)
  if (results.cells.length === 0) return broken('NO RESULT', 'the run has no cells')
  if (error > 0) return broken('HARNESS BROKE', `${count(error, 'cell')} could not be judged`)
  if (pass === 0 && known === 0) return nothingRan(`none of ${count(skip, 'cell')} applies here`)
  // What is shared was seen to be shared: that says nothing of isolation.
  const treatments = results.cells.filter(({ arm }) => arm === 'treatment')
  if (treatments.length > 0 && treatments.every(({ verdict, known: of }) => verdict === 'skip' && !of))
    return nothingRan(`none of ${count(treatments.length, 'cell')} with a new namespace applies here`)
  const deviations = known > 0 ? ` but for ${count(known, 'known deviation')}` : ''
  const skipped = skip > known ? `; ${count(skip - known, 'cell')} not applicable here` : ''
  return {
    conclusion: 'conforms',
    headline: known > 0 ? 'CONFORMS WITH KNOWN DEVIATIONS' : 'CONFORMS',
    sentence: `${count(pass, 'cell')} passed${deviations}${skipped}`,
    status: 0,
  }
}

/** `1 cell`, `12 cells`: a count with its noun. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function nothingRan(sentence: string): Judgement {
  return { conclusion: 'nothing-ran', headline: 'NOTHING RAN', sentence, status: 77 }
}

function broken(headline: string, sentence: string): Judgement {
  return { conclusion: 'broken', headline, sentence, status: 2 }
}
