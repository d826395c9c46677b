/**
 * The `ipcns` command. This file and vitest.config.ts are where the rooms meet: nothing else may import
 * from a room above its own.
 */
import type { Command } from '../cli/command.ts'
import { dispatch } from '../cli/command.ts'

const commands: Record<string, () => Promise<Command>> = {
  run: async () => {
    const { runCommand } = await import('../cli/run-command.ts')
    const { runParts } = await import('./parts.ts')
    return runCommand(runParts)
  },
  list: async () => {
    const { listCommand } = await import('../cli/list-command.ts')
    return listCommand(async () => (await import('../../suites/all.ts')).areas)
  },
  bench: async () => {
    const { benchCommand } = await import('../cli/bench-command.ts')
    return benchCommand(async () => (await import('../../suites/all.ts')).areas)
  },
  report: async () => (await import('../../reports/report-command.ts')).reportCommand,
  merge: async () => (await import('../../reports/merge-command.ts')).mergeCommand,
  diff: async () => (await import('../../reports/diff-command.ts')).diffCommand,
  kernel: async () => (await import('../../ci/kernel/command.ts')).kernelCommand,
  kconfig: async () => {
    const { createKconfigCommand } = await import('../../ci/kconfig/command.ts')
    // The rules are loaded only when something is to be predicted.
    return createKconfigCommand({
      rules: async (profile) => (await import('./rule-needs.ts')).ruleNeeds(profile),
    })
  },
}

/** Runs one command line, given without the program's name; resolves to the exit status. */
export function main(words: readonly string[]): Promise<number> {
  return dispatch(words, commands)
}
