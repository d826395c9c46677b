import type { Command } from '../../harness/cli/command.ts'
import { EXIT } from '../../harness/cli/command.ts'
import { UsageError } from '../../harness/usage-error.ts'
import { help } from './help.ts'
import { MissingTools } from './tools.ts'

const subcommands: Readonly<Record<string, () => Promise<(words: readonly string[]) => Promise<number>>>> = {
  build: async () => (await import('./build-command.ts')).runBuild,
  boot: async () => (await import('./boot-command.ts')).runBoot,
  matrix: async () => (await import('./matrix-command.ts')).runMatrixCommand,
}

/** `ipcns kernel`: makes and boots real kernels, and runs the suite on them. */
export const kernelCommand: Command = {
  summary: 'build and boot real kernels, and run the suite on kernels x configurations',
  get help() {
    return help()
  },
  async run([name, ...rest]) {
    const load = name !== undefined && Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
    if (!load)
      throw new UsageError(
        `kernel wants one of ${Object.keys(subcommands).join(', ')}${name === undefined ? '' : `, not "${name}"`}`,
      )
    try {
      return await (await load())(rest)
    } catch (problem) {
      if (!(problem instanceof MissingTools)) throw problem
      process.stderr.write(`ipcns kernel: ${problem.message}\n`)
      return EXIT.nothingRan
    }
  },
}
