import type { Results } from '../harness/results/model.ts'
import { byRule, logOf, type RuleResult } from './by-rule.ts'
import { cleanLine } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import type { State } from './states.ts'

/** How kirk calls a state; a known deviation is a warning there. */
const STATUS: Readonly<Record<State, string>> = {
  pass: 'pass',
  fail: 'fail',
  error: 'brok',
  known: 'warn',
  skip: 'conf',
}

/**
 * The JSON report of kirk, LTP's runner (libkirk/export.py, JSONExporter), one test a rule: the counts of a
 * test are those of its cells. openQA reads it as LTP results. What kirk tells of the host (distribution,
 * command line, memory) is left empty: reports name no host.
 */
export function* renderKirk(results: Results): Generator<string> {
  const { run, summary } = results
  const gate = gateReason(results)
  yield '{\n"results": ['
  let separator = '\n'
  const entry = (value: unknown): string => {
    const text = separator + JSON.stringify(value)
    separator = ',\n'
    return text
  }
  if (gate !== null) yield entry(gateEntry(gate))
  for (const rule of byRule(results.cells)) yield entry(ruleEntry(rule))
  const stats = {
    runtime: run.durationMs / 1000,
    passed: summary.pass,
    failed: summary.fail,
    broken: summary.error + (gate === null ? 0 : 1),
    skipped: summary.skip - summary.known,
    warnings: summary.known,
  }
  const environment = {
    distribution: '',
    distribution_version: '',
    kernel: cleanLine(`Linux ${run.kernel.release}`),
    cmdline: '',
    arch: cleanLine(run.kernel.arch),
    cpu: '',
    swap: '',
    RAM: '',
  }
  yield `\n],\n"stats": ${JSON.stringify(stats)},\n"environment": ${JSON.stringify(environment)}\n}\n`
}

function ruleEntry(rule: RuleResult): unknown {
  const { tally } = rule
  const status = STATUS[rule.state]
  return {
    test_fqn: cleanLine(rule.rule),
    status,
    test: {
      command: 'ipcns',
      arguments: ['run', '--rule', cleanLine(rule.rule)],
      log: logOf(rule),
      retval: [rule.state === 'fail' ? '1' : rule.state === 'error' ? '2' : '0'],
      duration: rule.ms / 1000,
      failed: tally.fail,
      passed: tally.pass,
      broken: tally.error,
      skipped: tally.skip,
      warnings: tally.known,
      result: status,
    },
  }
}

function gateEntry(reason: string): unknown {
  return {
    test_fqn: 'RUN',
    status: 'brok',
    test: {
      command: 'ipcns',
      arguments: ['run'],
      log: `${GATE_TITLE}: ${reason}`,
      retval: ['2'],
      duration: 0,
      failed: 0,
      passed: 0,
      broken: 1,
      skipped: 0,
      warnings: 0,
      result: 'brok',
    },
  }
}
