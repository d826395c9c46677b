import { readOptions } from '../../harness/cli/options.ts'
import { buildKernel } from './build.ts'
import { cacheDirectory } from './cache.ts'
import { wantedConfig } from './configs.ts'
import { findSource } from './source.ts'

/** `ipcns kernel build`: prints the path of the program; everything else goes to standard error. */
export async function runBuild(words: readonly string[]): Promise<number> {
  const { values } = readOptions(
    'kernel',
    words,
    {
      source: { type: 'string' },
      suite: { type: 'string' },
      config: { type: 'string' },
      set: { type: 'string', multiple: true },
      cache: { type: 'string' },
    },
    'none',
  )
  const cache = cacheDirectory(values.cache)
  const wanted = wantedConfig(values.config, values.set)
  const source = await findSource(values.source, values.suite, cache)
  const built = await buildKernel(source, wanted, cache, (message) =>
    process.stderr.write(`ipcns kernel: ${message}\n`),
  )
  process.stdout.write(`${built.program}\n`)
  return 0
}
