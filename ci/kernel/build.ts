import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { contentKey, withLock } from './cache.ts'
import type { WantedConfig } from './configs.ts'
import type { Fragment, Unmet } from './fragment.ts'
import { parseFragment, renderFragment, unmet } from './fragment.ts'
import { fitToHost, registerBytes } from './host-fit.ts'
import { runTool } from './run-tool.ts'
import type { KernelSource } from './source.ts'
import { MissingTools, requireTools } from './tools.ts'

/** A user-mode Linux kernel that is ready to boot. */
export interface BuiltKernel {
  /** The program. */
  program: string
  /** The finished configuration beside it. */
  config: string
  /** True when it was in the cache. */
  cached: boolean
}

/** The kernel does not let a wish be granted: an option that follows from others, or that it does not have. */
export class NotSwitchable extends UsageError {
  override name = 'NotSwitchable'
}

/** The same program whoever builds it, whenever. */
const REPRODUCIBLE = {
  KBUILD_BUILD_TIMESTAMP: 'Thu Jan 1 00:00:00 UTC 1970',
  KBUILD_BUILD_USER: 'ipcns',
  KBUILD_BUILD_HOST: 'ipcns',
  KBUILD_BUILD_VERSION: '1',
}

/**
 * Builds user-mode Linux from a source with a configuration, or finds it in the cache: the key is the source's
 * identity with the finished configuration. One object directory a source is kept, so that the second
 * configuration takes seconds. Throws MissingTools, NotSwitchable, or ToolFailed with the compiler's words.
 */
export async function buildKernel(
  source: KernelSource,
  wanted: WantedConfig,
  cache: string,
  say: (message: string) => void,
  stop?: AbortSignal,
): Promise<BuiltKernel> {
  const tools = buildTools()
  const made = await identityHere(source, tools.gcc)
  const request = requestFile(made, wanted, cache)
  const known = await knownProgram(request, cache)
  if (known) return { ...known, cached: true }
  const tree = join(cache, 'trees', made)
  return withLock(
    `${tree}.lock`,
    async () => {
      await unpackOnce(source, tree, await registerBytes(tools.gcc), say)
      const make = (...words: string[]): Promise<string> =>
        runTool(
          tools.make,
          ['-s', '-C', join(tree, 'source'), `O=${join(tree, 'objects')}`, 'ARCH=um', ...words],
          {
            env: REPRODUCIBLE,
            stop,
            doing: `build ${source.title}`,
          },
        )
      const finished = await configure(wanted, source, tree, make)
      const key = contentKey(made, renderFragment(finished))
      const place = join(cache, 'programs', key)
      const cached = existsSync(join(place, 'linux'))
      if (!cached) {
        say(`building ${source.title} with configuration "${wanted.name}"`)
        await make(`-j${availableParallelism()}`, 'linux')
        await keep(join(tree, 'objects'), place)
      }
      await mkdir(dirname(request), { recursive: true })
      await writeFile(request, key)
      return { program: join(place, 'linux'), config: join(place, 'config'), cached }
    },
    () => say(`waiting for another build of ${source.title}`),
  )
}

/** The kernel that `buildKernel` would find in the cache, or undefined when it would have to build. */
export async function cachedKernel(
  source: KernelSource,
  wanted: WantedConfig,
  cache: string,
): Promise<BuiltKernel | undefined> {
  const made = await identityHere(source, buildTools().gcc)
  const known = await knownProgram(requestFile(made, wanted, cache), cache)
  return known && { ...known, cached: true }
}

const TOOLS = ['make', 'gcc', 'ld', 'flex', 'bison', 'bc', 'gzip', 'setpriv'] as const

function buildTools(): Record<(typeof TOOLS)[number], string> {
  if (process.arch !== 'x64')
    throw new MissingTools(`user-mode Linux exists for x86 only, not for ${process.arch}`)
  return requireTools('building user-mode Linux', TOOLS)
}

/** A source as this machine compiles it. */
async function identityHere(source: KernelSource, gcc: string): Promise<string> {
  const compiler = (await runTool(gcc, ['--version'])).split('\n')[0] ?? ''
  return contentKey(source.identity, compiler, String(await registerBytes(gcc)))
}

/** Remembers which program a request led to, so that asking again costs no `make`. */
function requestFile(made: string, wanted: WantedConfig, cache: string): string {
  return join(cache, 'requests', contentKey(made, renderFragment(wanted.whole)))
}

async function knownProgram(
  request: string,
  cache: string,
): Promise<Omit<BuiltKernel, 'cached'> | undefined> {
  const key = await readFile(request, 'utf8').catch(() => '')
  const place = join(cache, 'programs', key)
  if (key === '' || !existsSync(join(place, 'linux'))) return undefined
  return { program: join(place, 'linux'), config: join(place, 'config') }
}

async function unpackOnce(
  source: KernelSource,
  tree: string,
  bytes: number,
  say: (message: string) => void,
): Promise<void> {
  if (existsSync(join(tree, 'source'))) return
  say(`unpacking ${source.title}`)
  const fresh = join(tree, 'source.new')
  await rm(fresh, { recursive: true, force: true })
  await source.unpack(fresh)
  await fitToHost(fresh, bytes)
  await mkdir(join(tree, 'objects'), { recursive: true })
  await rename(fresh, join(tree, 'source'))
}

/** Writes the finished configuration into the object directory and reads it back. */
async function configure(
  wanted: WantedConfig,
  source: KernelSource,
  tree: string,
  make: (...words: string[]) => Promise<string>,
): Promise<Fragment> {
  const wishes = join(tree, 'objects/wishes.config')
  await writeFile(wishes, renderFragment(wanted.whole))
  await make('allnoconfig', `KCONFIG_ALLCONFIG=${wishes}`)
  const finished = parseFragment(await readFile(join(tree, 'objects/.config'), 'utf8'), '.config')
  const refused = unmet(wanted.binding, finished)
  if (refused.length > 0) throw new NotSwitchable(refusal(refused, source.title))
  return finished
}

function refusal(refused: readonly Unmet[], title: string): string {
  const each = refused.map(
    ({ symbol, wanted, got }) => `CONFIG_${symbol} cannot be ${wanted}: it comes out as ${got}`,
  )
  return `${title} does not let this be switched: ${each.join('; ')}`
}

async function keep(objects: string, place: string): Promise<void> {
  const fresh = `${place}.new`
  await rm(fresh, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true })
  await copyFile(join(objects, '.config'), join(fresh, 'config'))
  await copyFile(join(objects, 'linux'), join(fresh, 'linux'))
  await rename(fresh, place)
}
