import type { Results } from '../harness/results/model.ts'
import type { Text } from './files.ts'
import { renderGithub } from './github.ts'
import { renderHtml } from './html.ts'
import { renderJunit } from './junit.ts'
import { renderKcidb } from './kcidb.ts'
import { renderKirk } from './kirk.ts'
import { renderKtap } from './ktap.ts'
import { renderLava } from './lava.ts'
import { renderTerminal } from './terminal.ts'
import { renderTmt } from './tmt.ts'

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
  junit: { file: 'junit.xml', says: 'JUnit XML, a case for each cell', render: renderJunit },
  html: {
    file: 'report.html',
    says: 'one self-contained page to read',
    render: (results: Results) => renderHtml(results),
  },
  ktap: { file: 'results.ktap', says: 'KTAP version 1, as the kernel tests print it', render: renderKtap },
  kirk: { file: 'kirk.json', says: 'JSON of kirk, the runner of LTP (openQA reads it)', render: renderKirk },
  tmt: {
    file: 'tmt-results.json',
    says: 'results.json of a tmt test with "result: custom"',
    render: renderTmt,
  },
  kcidb: { file: 'kcidb.json', says: 'KernelCI KCIDB 5.3', render: renderKcidb },
  lava: { file: 'lava.sh', says: 'lava-test-case lines for a LAVA job', render: renderLava },
  github: { file: 'github.txt', says: 'annotations for GitHub Actions', render: renderGithub },
  terminal: {
    file: 'summary.txt',
    says: 'the summary that a run prints',
    render: (results: Results) => renderTerminal(results, { colour: false, width: 80, reportPaths: [] }),
  },
} as const satisfies Record<string, Format>

/** The name of a format, as in `--report html,ktap`. */
export type FormatName = keyof typeof FORMATS

/** All names, in the order of the help. */
export const FORMAT_NAMES = Object.keys(FORMATS) as FormatName[]

/** Reads `html,ktap`; the second member has the words that name no format. */
export function parseFormats(list: string): { formats: FormatName[]; unknown: string[] } {
  const words = list
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '')
  const isFormat = (word: string): word is FormatName => Object.hasOwn(FORMATS, word)
  return { formats: [...new Set(words.filter(isFormat))], unknown: words.filter((word) => !isFormat(word)) }
}
