import type { KconfigReport } from './check.ts'

/** The report as it stands, for machines. */
export function renderJson(report: KconfigReport): string {
  return `${JSON.stringify(report, null, 2)}\n`
}
