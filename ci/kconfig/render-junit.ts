import { arch } from 'node:os'
import {
  type CellResult,
  RESULTS_SCHEMA,
  type Results,
  summarize,
  type Verdict,
} from '../../harness/results/model.ts'
import { renderJunit } from '../../reports/junit.ts'
import type { Item, KconfigReport } from './check.ts'
import { stateText } from './state.ts'

/** What JUnit wants to know besides the report. */
export interface JunitContext {
  /** ISO 8601 in UTC. */
  started: string
  suiteVersion: string
}

/**
 * The report as JUnit XML in the suite's one layout: what is missing and required fails, what is missing and
 * optional is skipped, what only the running kernel could tell is skipped without a configuration.
 */
export function renderKconfigJunit(report: KconfigReport, context: JunitContext): string {
  return [...renderJunit(asResults(report, context))].join('')
}

/** The report in the result model, so that there is one writer of JUnit in the project. */
export function asResults(report: KconfigReport, context: JunitContext): Results {
  const cells = [
    ...report.items.map((item) => itemCell(item, report)),
    ...report.disagreements
      .filter(({ kind }) => kind === 'finding')
      .map(({ symbol, message }) =>
        cellOf(report, {
          id: `verify CONFIG_${symbol}`,
          rule: `CONFIG_${symbol}`,
          area: 'kconfig-verify',
          title: 'the running kernel keeps what its configuration promises',
          verdict: 'fail',
          reason: message,
        }),
      ),
  ]
  return {
    schema: RESULTS_SCHEMA,
    run: {
      started: context.started,
      durationMs: 0,
      profile: report.profile,
      suiteVersion: context.suiteVersion,
      node: process.versions.node,
      kernel: {
        release: report.running,
        arch: arch(),
        config: report.config && { source: report.config.path, sha256: report.config.sha256 },
      },
      uid: process.getuid?.() ?? -1,
      capabilities: [],
      host: '',
    },
    summary: summarize(cells),
    cells,
  }
}

function itemCell(item: Item, report: KconfigReport): CellResult {
  const state = item.state ? stateText(item.state) : item.present
  const verdict: Verdict =
    item.present === 'yes'
      ? 'pass'
      : item.level === 'optional' || (report.config === null && item.present === 'unknown')
        ? 'skip'
        : 'fail'
  return cellOf(report, {
    // The level is part of it: a symbol of the table may be asked for as well.
    id: `${item.level} ${item.name}`,
    rule: item.name,
    area: `kconfig-${item.level}`,
    title: item.why,
    source: [item.source],
    verdict,
    ...(verdict === 'pass' ? {} : { reason: `${item.name}: ${item.remark ?? state}` }),
    expected: 'present',
    observed: item.observed?.evidence ?? state,
    line: item.line ?? 1,
  })
}

type Telling = Pick<CellResult, 'id' | 'rule' | 'area' | 'title' | 'verdict'> & Partial<CellResult>

function cellOf(report: KconfigReport, telling: Telling): CellResult {
  return {
    source: [],
    arm: 'treatment',
    place: 'stranger',
    direction: 'none',
    via: 'none',
    flags: [],
    ms: 0,
    file: report.config?.path ?? 'no configuration',
    line: 1,
    ...telling,
  }
}
