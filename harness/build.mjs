// Bundles the two programs that must run without a TypeScript loader: the `ipcns` command and the probe.
// Runs from `npm ci` (prepare) and, when a source is newer than the bundle, from harness/bin/ipcns.mjs.
import { readdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const top = dirname(dirname(fileURLToPath(import.meta.url)))

/** The bundles, relative to the project's top level. */
export const bundles = { command: join(top, 'dist/ipcns.mjs'), probe: join(top, 'dist/probe.cjs') }

/** True when a bundle is missing or older than a source file it could have been made from. */
export function isStale() {
  const made = Math.min(...Object.values(bundles).map((file) => modified(file)))
  return (
    made === 0 ||
    newest(['harness', 'fixtures', 'suites', 'reports', 'ci'].map((room) => join(top, room))) > made
  )
}

/** Whether both bundles are there, however old. */
export function exist() {
  return Object.values(bundles).every((file) => modified(file) > 0)
}

function modified(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function newest(directories) {
  let latest = modified(join(top, 'package.json'))
  for (const directory of directories) {
    for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile() || !/\.(ts|mjs|eta)$/.test(entry.name)) continue
      latest = Math.max(latest, modified(join(entry.parentPath ?? entry.path, entry.name)))
    }
  }
  return latest
}

/**
 * Writes both bundles; rejects with esbuild's own message when a source does not parse. Each takes its place
 * in one step: a run that starts at the same time finds the old one or the new one, never half of one.
 */
export async function build() {
  const { build: bundle } = await import('esbuild')
  const common = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'silent',
  }
  const make = async (entry, file, options) => {
    const outfile = `${file}.${process.pid}`
    await bundle({ ...common, ...options, entryPoints: [join(top, entry)], outfile })
    renameSync(outfile, file)
  }
  await Promise.all([
    make('harness/bin/ipcns.ts', bundles.command, { format: 'esm', loader: { '.eta': 'text' } }),
    make('harness/probe/main.ts', bundles.probe, { format: 'cjs' }),
  ])
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await build()
