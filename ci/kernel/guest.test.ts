import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { boot } from './boot.ts'
import { cachedKernel } from './build.ts'
import { cacheDirectory } from './cache.ts'
import { wantedConfig } from './configs.ts'
import type { BootEnd } from './machine.ts'
import { requireNamespaces } from './machine.ts'
import { findSource } from './source.ts'

// Real boots, one for each of two configurations, of what `npm run ci:matrix` or `ipcns kernel build` has left
// in the cache: building takes minutes, a boot takes one second.
const cache = cacheDirectory(process.env.IPCNS_KERNEL_CACHE)
let scratch = ''

type Ready = { full: string; lacking: string }
const ready: Ready | string = await prepare().catch((problem: Error) => problem.message)

async function prepare(): Promise<Ready> {
  await requireNamespaces()
  const source = await findSource(undefined, undefined, cache)
  const find = async (name: string): Promise<string> => {
    const built = await cachedKernel(source, wantedConfig(name), cache)
    if (!built) throw new Error(`"ipcns kernel build --config ${name}" has not been run here`)
    return built.program
  }
  return { full: await find('full'), lacking: await find('no-ipc-ns') }
}

interface Seen {
  end: BootEnd
  out: string
  err: string
}

async function guest(program: string, script: string, timeout = 50): Promise<Seen> {
  const seen = { out: '', err: '' }
  const end = await boot({
    kernel: { kind: 'uml', program },
    command: ['sh', '-c', script, 'sh', "it's"],
    cwd: scratch,
    writable: scratch,
    memory: 256,
    timeout,
    cache,
    onOut: (chunk) => {
      seen.out += chunk.toString()
    },
    onErr: (chunk) => {
      seen.err += chunk.toString()
    },
  })
  return { end, ...seen }
}

describe.skipIf(typeof ready === 'string')(
  typeof ready === 'string' ? `a guest (skipped: ${ready})` : 'a guest',
  () => {
    const { full, lacking } = typeof ready === 'string' ? { full: '', lacking: '' } : ready
    // Here and not above: vitest calls no afterAll of a file whose tests are all skipped.
    beforeAll(() => {
      scratch = mkdtempSync(join(tmpdir(), 'ipcns-guest-'))
    })
    afterAll(() => rmSync(scratch, { recursive: true }))

    test('runs a command as root where it was called, and can write there and nowhere else', async () => {
      const script = `echo "$1 $(id -u) $PWD"; echo complaint >&2; echo kept > file
        touch /usr/ipcns-no 2> /dev/null && exit 1
        unshare --ipc head -c 300000 /dev/zero
        sleep 600 &
        exit 7`
      const { end, out, err } = await guest(full, script)
      expect(end).toEqual({ kind: 'exited', status: 7 })
      expect(out.slice(0, 80).split('\n')[0]).toBe(`it's 0 ${scratch}`)
      expect(out.length).toBe(`it's 0 ${scratch}\n`.length + 300_000)
      expect(err).toBe('complaint\n')
      expect(readFileSync(join(scratch, 'file'), 'utf8')).toBe('kept\n')
    })

    test('is the kernel that its configuration says, and ends in time', async () => {
      const { end, out, err } = await guest(lacking, 'unshare --ipc true || echo none; exec sleep 600', 5)
      expect(end).toEqual({ kind: 'timeout' })
      expect(out).toBe('none\n')
      expect(err).toMatch(/unshare.*Invalid argument/)
    })
  },
)
