import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { runTool } from './run-tool.ts'
import { requireTools } from './tools.ts'

/** A kernel module ready to be loaded: uncompressed. */
export interface Module {
  name: string
  data: Buffer
}

/**
 * The modules of a kernel that provide what is named, each after those it depends on. What is built into the
 * kernel is left out. `directory` holds `kernel/`, and `modules.builtin` where the package has it. Throws
 * UsageError, with `release` in the sentence, for one that the kernel does not have.
 */
export async function loadModules(
  directory: string,
  release: string,
  wanted: readonly string[],
): Promise<Module[]> {
  const files = moduleFiles(join(directory, 'kernel'))
  const builtin = builtinModules(directory)
  const loaded = new Map<string, Module>()
  const load = async (name: string): Promise<void> => {
    if (loaded.has(name) || builtin?.has(name)) return
    const file = files.get(name)
    // Without a list it may be built in; if it is not, the guest says what it cannot mount.
    if (!file && !builtin) return
    if (!file)
      throw new UsageError(
        `kernel ${release} has no module ${name}; a cloud image lacks it, the plain one has it`,
      )
    const data = await uncompressed(file)
    for (const dependency of dependencies(data)) await load(dependency)
    loaded.set(name, { name, data })
  }
  for (const name of wanted) await load(name)
  return [...loaded.values()]
}

/** Names of what is built into the kernel; undefined where the package has no list, as Debian's from 7.x on. */
function builtinModules(directory: string): Set<string> | undefined {
  const file = join(directory, 'modules.builtin')
  if (!existsSync(file)) return undefined
  return new Set(readFileSync(file, 'utf8').split('\n').map(moduleName))
}

/** `fs/9p/9p.ko.xz` is `9p`; a dash and an underscore are the same in names of modules. */
export function moduleName(file: string): string {
  return basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_')
}

function moduleFiles(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.ko(\.\w+)?$/.test(file),
  )
  return new Map(files.map((file) => [moduleName(file), join(directory, file)]))
}

/** What a module's own information section says it needs. */
export function dependencies(module: Buffer): string[] {
  const start = module.indexOf('\0depends=')
  if (start < 0) return []
  const end = module.indexOf(0, start + 1)
  const text = module.subarray(start + '\0depends='.length, end).toString('latin1')
  return text
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName)
}

async function uncompressed(file: string): Promise<Buffer> {
  if (file.endsWith('.ko')) return readFileSync(file)
  const tool = file.endsWith('.xz') ? 'xz' : file.endsWith('.zst') ? 'zstd' : 'gzip'
  const tools = requireTools('unpacking a kernel module', [tool, 'setpriv'])
  return Buffer.from(await runTool(tools[tool], ['-dc', file], { encoding: 'latin1' }), 'latin1')
}
