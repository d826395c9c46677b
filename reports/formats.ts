import type { Results } from '../harness/results/model.ts'
import type { Text } from './files.ts'
import { renderHtml } from './html.ts'
import { renderJunit } from './junit.ts'
import { renderTerminal } from './terminal.ts'

/** One format: the file it is written to and how it is made. */
export interface Format {
  /** Name inside the run's directory. */
  file: string
  /** What it is for, one line of the help. */
  says: string
  render(results: Results): Text
}

/** Every report but results.json, by the name the user calls it. */
export const FORMATS = {
  junit: { file: 'junit.xml', says: 'JUnit XML, one case a cell', render: renderJunit },
  html: { file: 'report.html', says: 'one page to read, self-contained', render: renderHtml },
  terminal: {
    file: 'summary.txt',
    says: 'the summary that a run prints',
    render: (results) => renderTerminal(results, { colour: false, width: 80, reportPaths: [] }),
  },
} as const satisfies Record<string, Format>

/** The name of a format, as in `--report html,ktap`. */
export type FormatName = keyof typeof FORMATS
