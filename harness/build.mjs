// Bundles what must run without a TypeScript loader: the `ipcns` command, the suites as vitest runs them, and
// the probe. Runs from `npm ci` (prepare) and, when a source is newer than the bundle, from
// harness/bin/ipcns.mjs.
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const top = dirname(dirname(fileURLToPath(import.meta.url)))

/** The bundles, by their absolute paths. */
export const bundles = {
  command: join(top, 'dist/ipcns.mjs'),
  suites: join(top, 'dist/conformance.mjs'),
  probe: join(top, 'dist/probe.cjs'),
}

/** One test file for each suite, which takes it from the bundle: see harness/run/run.ts. */
const testFiles = join(top, 'dist/suites')

/** True when a bundle is missing or older than a source file it could have been made from. */
export function isStale() {
  const made = Math.min(...Object.values(bundles).map((file) => modified(file)))
  return (
    made === 0 ||
    newest(['harness', 'fixtures', 'suites', 'reports', 'ci'].map((room) => join(top, room))) > made
  )
}

/** Whether all bundles are there, however old. */
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
      if (!entry.isFile() || !/\.(ts|mjs)$/.test(entry.name)) continue
      latest = Math.max(latest, modified(join(entry.parentPath ?? entry.path, entry.name)))
    }
  }
  return latest
}

/**
 * Writes the bundles; rejects with esbuild's own message when a source does not parse. Each file takes its
 * place in one step, the programs after the parts they load: a run that starts at the same time finds the old
 * one or the new one, never half of one.
 */
export async function build() {
  const { build: bundle } = await import('esbuild')
  const common = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
    write: false,
    outdir: join(top, 'dist'),
    absWorkingDir: top,
  }
  const made = await Promise.all([
    bundle({
      ...common,
      entryPoints: { ipcns: 'harness/bin/ipcns.ts', conformance: 'harness/bin/conformance.ts' },
      format: 'esm',
      // A command loads no more than its own part, and that from few files: a guest opens files slowly.
      splitting: true,
      external: ['esbuild', 'koffi', 'vitest'],
      outExtension: { '.js': '.mjs' },
      // What a failing cell names is a line of a suite.
      sourcemap: true,
      sourcesContent: false,
      banner: {
        js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
      },
    }),
    bundle({
      ...common,
      entryPoints: { probe: 'harness/probe/main.ts' },
      format: 'cjs',
      packages: 'external',
      outExtension: { '.js': '.cjs' },
    }),
  ])
  mkdirSync(testFiles, { recursive: true })
  const files = made.flatMap(({ outputFiles }) => outputFiles)
  const programs = new Set(Object.values(bundles))
  const order = files.toSorted((a, b) => Number(programs.has(a.path)) - Number(programs.has(b.path)))
  for (const { path, contents } of order) place(path, contents)
  removeOld(new Set(files.map(({ path }) => path)))
  placeTestFiles()
}

function placeTestFiles() {
  const areas = readdirSync(join(top, 'suites'))
    .filter((name) => name.endsWith('.suite.ts'))
    .map((name) => basename(name, '.suite.ts'))
  for (const area of areas)
    place(
      join(testFiles, `${area}.suite.mjs`),
      `process.setSourceMapsEnabled(true)
const { conform } = await import('../conformance.mjs')
await conform('${area}')
`,
    )
  for (const name of readdirSync(testFiles))
    if (name.endsWith('.suite.mjs') && !areas.includes(basename(name, '.suite.mjs')))
      rmSync(join(testFiles, name), { force: true })
}

function place(path, contents) {
  const half = `${path}.${process.pid}`
  writeFileSync(half, contents)
  renameSync(half, path)
}

/** Removes parts of earlier bundles. Not at once: a run that is under way loads its own as it comes to them. */
function removeOld(current) {
  for (const name of readdirSync(join(top, 'dist'))) {
    const path = join(top, 'dist', name)
    if (/\.mjs(\.map)?$/.test(name) && !current.has(path) && modified(path) < Date.now() - 24 * 3600_000)
      rmSync(path, { force: true })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await build()
