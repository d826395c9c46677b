import { cleanLine } from '../../reports/clean.ts'
import type { Item, KconfigReport } from './check.ts'
import type { Problem } from './parse.ts'
import { stateText } from './state.ts'

type Level = 'error' | 'warning' | 'notice'

/** GitHub's workflow commands: errors for what fails the check, warnings for doubts, notices for the rest. */
export function renderGithub(report: KconfigReport): string {
  const file = report.config?.path ?? null
  const lines = [
    ...report.warnings.map((text) => command('warning', text, file, null)),
    ...report.items.flatMap((item) => annotation(item, file)),
    ...report.disagreements.map(({ kind, message }) =>
      command(kind === 'finding' ? 'error' : 'notice', message, null, null),
    ),
    command(
      report.verdict === 'fail' ? 'error' : 'notice',
      `kernel configuration: ${report.because}`,
      null,
      null,
    ),
  ]
  return `${lines.join('\n')}\n`
}

/** The broken lines of a malformed configuration, each at its place. */
export function githubProblems(path: string, problems: readonly Problem[]): string {
  return problems.map(({ line, message }) => `${command('error', message, path, line)}\n`).join('')
}

function annotation(item: Item, file: string | null): string[] {
  if (item.present === 'yes') return []
  const state = item.state ? stateText(item.state) : 'not met'
  const remark = item.remark ? ` (${item.remark})` : ''
  const text = `${item.name}: ${state}${remark}; ${item.why}`
  const level = item.level === 'optional' ? 'notice' : item.present === 'no' ? 'error' : 'warning'
  return [command(level, text, file, item.line)]
}

function command(level: Level, text: string, file: string | null, line: number | null): string {
  const place = [
    ...(file === null ? [] : [`file=${property(file)}`]),
    ...(file === null || line === null ? [] : [`line=${line}`]),
    'title=ipcns kconfig',
  ]
  return `::${level} ${place.join(',')}::${encode(cleanLine(text))}`
}

/** The runner undoes these and no others. */
function encode(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property(text: string): string {
  return encode(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
