/** What the commands of harness/cli need from the rooms above. */
import { FORMATS, type FormatName } from '../../reports/formats.ts'
import { renderGithub } from '../../reports/github.ts'
import { screenOf } from '../../reports/screen.ts'
import { openRun } from '../../reports/store.ts'
import { renderTerminal } from '../../reports/terminal.ts'
import type { RunParts } from '../cli/run-command.ts'

export const runParts: RunParts = {
  areas: async () => (await import('../../suites/all.ts')).areas,
  open: (directory, run, plan) => {
    const store = openRun(directory, run, plan)
    return {
      add: (cell) => store.add(cell),
      results: () => store.results(),
      finish: (end, formats) => store.finish(end, formats as readonly FormatName[]),
    }
  },
  formats: Object.keys(FORMATS),
  terminal: (results, reportPaths) =>
    renderTerminal(results, {
      ...screenOf(),
      reportPaths: [...reportPaths],
    }),
  annotations: renderGithub,
}
