import type { Results } from '../harness/results/model.ts'
import { byRule, remarksOf, slug } from './by-rule.ts'
import { cleanLine } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import type { State } from './states.ts'

/** How LAVA calls a state. It has no word for a broken harness but `unknown`; a run is never green by it. */
const RESULT: Readonly<Record<State, string>> = {
  pass: 'pass',
  fail: 'fail',
  error: 'unknown',
  known: 'skip',
  skip: 'skip',
}

/**
 * Lines for a shell in a LAVA job: a test set an area, a test case a rule. LAVA has no field for a reason,
 * so reasons are comments; names are letters, digits, `_` and `-` only.
 */
export function* renderLava(results: Results): Generator<string> {
  yield '#!/bin/sh\n'
  const gate = gateReason(results)
  if (gate !== null) yield `# ${GATE_TITLE}: ${gate}\nlava-test-case RUN --result fail\n`
  let area = ''
  for (const rule of byRule(results.cells)) {
    if (rule.area !== area) {
      if (area !== '') yield 'lava-test-set stop\n'
      area = rule.area
      yield `lava-test-set start ${name(area)}\n`
    }
    for (const remark of remarksOf(rule)) yield `# ${cleanLine(remark)}\n`
    yield `lava-test-case ${name(rule.rule)} --result ${RESULT[rule.state]}\n`
  }
  if (area !== '') yield 'lava-test-set stop\n'
}

/** A leading `-` would be an option. */
function name(text: string): string {
  return slug(text).replace(/^-+/, '_')
}
