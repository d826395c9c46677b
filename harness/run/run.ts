import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { hostname, machine, release } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { CAPABILITIES } from '../probe/constants.ts'
import type { CellResult, RunInfo } from '../results/model.ts'
import { projectTop } from '../ways/program.ts'
import { CellReporter } from './reporter.ts'
import type { Selection } from './selection.ts'
import { temporaryDirectory } from './temporary.ts'

/**
 * Runs a selection through vitest, two workers side by side where they cannot disturb each other. `take` is given
 * each cell as it is done. Gives what broke besides cells: nothing means that every worker came to its end.
 */
export async function runSuites(selection: Selection, take: (cell: CellResult) => void): Promise<string[]> {
  const removeTemporary = temporaryDirectory()
  // Workers need no network; reading certificates would be a good part of their start.
  delete process.env.NODE_EXTRA_CA_CERTS
  const { startVitest } = await import('vitest/node')
  const reporter = new CellReporter(take)
  const exitCode = process.exitCode
  const vitest = await startVitest(
    'test',
    [],
    {
      // Everything is said here: reading a configuration file would write a temporary one beside it.
      config: false,
      root: projectTop(),
      // The bundled suites: vitest would translate two hundred files at each start.
      include: ['dist/suites/*.suite.mjs'],
      server: { deps: { external: [/\/dist\//] } },
      watch: false,
      pool: 'forks',
      isolate: false,
      // Whoever writes sysctls of the initial namespace must know of everybody who is in it.
      maxWorkers: selection.disposable ? 1 : 2,
      testTimeout: 0,
      hookTimeout: 120_000,
      teardownTimeout: 20_000,
      reporters: [reporter],
      passWithNoTests: true,
      coverage: { enabled: false },
      provide: { selection },
    },
    { cacheDir: join(projectTop(), 'node_modules/.vite'), server: { watch: null }, logLevel: 'error' },
  )
  await vitest.close()
  removeTemporary()
  // Vitest's own exit status counts failing cells; ours is decided by the results.
  process.exitCode = exitCode
  return reporter.broken
}

/** What a report says about the machine and the run. */
export function describeRun({ profile, shard }: Selection, started: Date, host: boolean): RunInfo {
  return {
    started: started.toISOString(),
    durationMs: 0,
    profile,
    suiteVersion: suiteVersion(),
    node: process.versions.node,
    kernel: { release: release(), arch: machine(), config: kernelConfig() },
    uid: process.getuid?.() ?? 0,
    capabilities: effectiveCapabilities(),
    host: host ? hostname() : '',
    ...(shard ? { shard: shard.join('/') } : {}),
  }
}

/** The version of this suite, from package.json. */
export function suiteVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(projectTop(), 'package.json'), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : ''
}

/** Names of this process's effective capabilities (proc(5), CapEff). */
export function effectiveCapabilities(): string[] {
  try {
    const line = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'latin1'))
    const mask = BigInt(`0x${line?.[1] ?? '0'}`)
    return Object.entries(CAPABILITIES)
      .filter(([, bit]) => (mask >> BigInt(bit)) & 1n)
      .map(([name]) => name)
  } catch {
    return []
  }
}

/** Where the running kernel's configuration is, as far as a run looks for it, and its digest. */
function kernelConfig(): RunInfo['kernel']['config'] {
  const candidates = ['/proc/config.gz', `/boot/config-${release()}`, `/lib/modules/${release()}/config`]
  const source = candidates.find((path) => existsSync(path))
  if (source === undefined) return null
  try {
    const bytes = readFileSync(source)
    const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes
    return { source, sha256: createHash('sha256').update(plain).digest('hex') }
  } catch {
    return null
  }
}
