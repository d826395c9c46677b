import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { openSuite } from './apt.ts'
import { findKernel } from './find-kernel.ts'
import type { KernelFile } from './kernel-file.ts'
import { fileKind, isFile } from './kernel-file.ts'
import type { KernelSource } from './source.ts'
import { findSource } from './source.ts'

/** A line of the matrix: a source to be built with each configuration, or a kernel that is what it is. */
export interface MatrixKernel {
  /** Short and usable as a directory's name: `6.1`, `stock-6.12`. */
  name: string
  load(cache: string): Promise<LoadedKernel>
}

export type LoadedKernel = { kind: 'source'; source: KernelSource } | { kind: 'built'; file: KernelFile }

/** Debian's suites by the kernel that is theirs. */
const SUITES = { '5.10': 'bullseye', '6.1': 'bookworm', '6.12': 'trixie' } as const

/** Suites in which the newest kernel is looked for; they leapfrog one another. */
const NEWEST = ['sid', 'trixie-backports', 'bookworm-backports']

/** The kernels that the matrix must show, oldest first. */
export const DEFAULT_KERNELS: readonly string[] = ['5.10', '6.1', '6.12', 'newest']

const NAMED: Readonly<Record<string, (cache: string) => Promise<LoadedKernel>>> = {
  ...Object.fromEntries(
    Object.entries(SUITES).flatMap(([version, suite]) => [
      [version, (cache: string) => debianSource(`linux-source-${version}`, suite, cache)],
      [`stock-${version}`, (cache: string) => stock('linux-image-amd64', suite, cache)],
    ]),
  ),
  newest: async (cache) => {
    const [name, suite] = await newest(cache)
    return debianSource(name, suite, cache)
  },
  'stock-newest': async (cache) => stock('linux-image-amd64', (await newest(cache))[1], cache),
}

/**
 * Reads one word of `--kernels`: a name of the list, `linux-source-V@SUITE`, `linux-image-X@SUITE`, or a path
 * (a source directory or tar file, a user-mode Linux program, a vmlinuz, a .deb). Throws UsageError else.
 */
export function matrixKernel(word: string): MatrixKernel {
  const named = Object.hasOwn(NAMED, word) ? NAMED[word] : undefined
  if (named) return { name: word, load: named }
  const [name, suite, ...more] = word.split('@')
  if (name && suite && more.length === 0) {
    const load = name.startsWith('linux-source') ? debianSource : stock
    return { name: plain(word), load: (cache) => load(name, suite, cache) }
  }
  if (!statSync(word, { throwIfNoEntry: false }))
    throw new UsageError(
      `no kernel "${word}": no such path, and the named ones are ${Object.keys(NAMED).join(', ')}`,
    )
  return { name: plain(word), load: (cache) => fromPath(resolve(word), cache) }
}

async function fromPath(path: string, cache: string): Promise<LoadedKernel> {
  if (isFile(path) && !/\.tar(\.\w+)?$/.test(path)) {
    fileKind(path)
    return { kind: 'built', file: await findKernel(path, undefined, cache) }
  }
  return { kind: 'source', source: await findSource(path, undefined, cache) }
}

/** The installed package when it is the one, else the suite's. */
async function debianSource(name: string, suite: string, cache: string): Promise<LoadedKernel> {
  const installed = isFile(`/usr/src/${name}.tar.xz`)
  return { kind: 'source', source: await findSource(name, installed ? undefined : suite, cache) }
}

async function stock(name: string, suite: string, cache: string): Promise<LoadedKernel> {
  return { kind: 'built', file: await findKernel(name, suite, cache) }
}

async function newest(cache: string): Promise<[name: string, suite: string]> {
  const found: [name: string, suite: string][] = []
  for (const suiteName of NEWEST) {
    const suite = await openSuite(suiteName, join(cache, 'suites', suiteName))
    for (const name of await suite.search('^linux-source-[0-9]')) found.push([name, suiteName])
  }
  found.sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
  const last = found.at(-1)
  if (!last) throw new UsageError(`none of the Debian suites ${NEWEST.join(', ')} has a linux-source package`)
  return last
}

/** A path or package as a name for a directory. */
function plain(word: string): string {
  return word.replace(/^[./]+/, '').replaceAll(/[^\w.+-]+/g, '-')
}
