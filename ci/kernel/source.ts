import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { openSuite } from './apt.ts'
import { contentKey, fileDigest, withLock } from './cache.ts'
import { runTool } from './run-tool.ts'
import { requireTools } from './tools.ts'

/** A kernel's source that a build may read and must not change. */
export interface KernelSource {
  /** What it is called in messages and tables: `linux-source-6.1 6.1.90-1`, or its path. */
  title: string
  /** Equal for equal contents. */
  identity: string
  /** Puts the tree into a new directory `into`, that the caller may change. */
  unpack(into: string): Promise<void>
}

const DEBIAN_SOURCE = /^linux-source(-\d[\w.]*)?$/

/**
 * Finds a kernel source: a directory, a tar file, or `linux-source-VERSION` (without version: the suite's
 * default), installed or fetched from a Debian suite. Without a word: the newest installed linux-source, or
 * the default of the suite that was named. Throws UsageError for what is none of these.
 */
export async function findSource(
  word: string | undefined,
  suite: string | undefined,
  cache: string,
): Promise<KernelSource> {
  if (word !== undefined && !DEBIAN_SOURCE.test(word)) {
    if (suite !== undefined)
      throw new UsageError(`--suite goes with a linux-source package, not with "${word}"`)
    return localSource(resolve(word))
  }
  if (suite !== undefined) return suiteSource(word ?? 'linux-source', suite, cache)
  const installed = await installedSource(word)
  if (installed) return localSource(installed)
  throw new UsageError(
    word === undefined
      ? 'no kernel source is installed: apt-get install linux-source, or name one with --source or a Debian suite with --suite'
      : `${word} is not installed: apt-get install ${word}, or name the Debian suite that has it with --suite`,
  )
}

async function localSource(path: string): Promise<KernelSource> {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats) throw new UsageError(`there is no kernel source ${path}`)
  if (stats.isDirectory()) return directorySource(path)
  return tarSource(path, basename(path).replace(/\.tar(\.\w+)?$/, ''), `tar ${await fileDigest(path)}`)
}

function tarSource(file: string, title: string, identity: string): KernelSource {
  return { title, identity, unpack: (into) => unpackTar(file, into) }
}

async function unpackTar(file: string, into: string): Promise<void> {
  const tools = requireTools('unpacking a kernel source', ['tar', 'xz', 'setpriv'])
  await mkdir(into, { recursive: true })
  await runTool(tools.tar, ['-xf', file, '-C', into, '--strip-components=1'], { doing: `unpack ${file}` })
  if (!existsSync(join(into, 'Kconfig'))) throw new UsageError(`${file} holds no kernel source`)
}

async function directorySource(path: string): Promise<KernelSource> {
  if (!existsSync(join(path, 'Kconfig')) || !existsSync(join(path, 'arch/um')))
    throw new UsageError(`${path} holds no kernel source with user-mode Linux`)
  return {
    title: path,
    identity: `directory ${await treeDigest(path)}`,
    async unpack(into) {
      const tools = requireTools('copying a kernel source', ['cp', 'make', 'setpriv'])
      await mkdir(into, { recursive: true })
      await runTool(tools.cp, ['-a', '--reflink=auto', `${path}/.`, into], { doing: `copy ${path}` })
      // A tree that was built in refuses to be built from; this is a copy, so it may be cleaned.
      await runTool(tools.make, ['-s', '-C', into, 'ARCH=um', 'mrproper'], {
        doing: `clean the copy of ${path}`,
      })
    },
  }
}

/** Files that a build in the tree makes: they say nothing about the source. */
const MADE = /(^|\/)(\.git|\.tmp_[^/]*|\.[^/]*\.cmd|[^/]+\.(o|a|ko|mod|order))$/

/**
 * Identifies a tree by the names, sizes and times of its files: reading 80,000 files would cost more than a
 * build saves.
 */
async function treeDigest(top: string): Promise<string> {
  const hash = createHash('sha256')
  const walk = async (directory: string): Promise<void> => {
    const entries = await readdir(join(top, directory), { withFileTypes: true })
    entries.sort((a, b) => (a.name < b.name ? -1 : 1))
    for (const entry of entries) {
      const path = join(directory, entry.name)
      if (MADE.test(path)) continue
      if (entry.isDirectory()) await walk(path)
      else {
        const { size, mtimeMs } = await lstat(join(top, path))
        hash.update(`${path}\0${size}\0${mtimeMs}\n`)
      }
    }
  }
  await walk('')
  return hash.digest('hex')
}

async function installedSource(word: string | undefined): Promise<string | undefined> {
  const wanted = word === undefined || word === 'linux-source' ? undefined : `${word}.tar.xz`
  const files = (await readdir('/usr/src').catch(() => []))
    .filter((file) => /^linux-source-[\d.]+\.tar\.xz$/.test(file))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
  const file = wanted === undefined ? files[0] : files.find((name) => name === wanted)
  return file && join('/usr/src', file)
}

async function suiteSource(word: string, suiteName: string, cache: string): Promise<KernelSource> {
  const tools = requireTools('a kernel source of another Debian suite', ['dpkg-deb', 'setpriv'])
  const suite = await openSuite(suiteName, join(cache, 'suites', suiteName))
  let offer = await suite.offer(word)
  // The package without a version only depends on the one with it.
  const versioned = offer.depends.find((name) => DEBIAN_SOURCE.test(name) && name !== 'linux-source')
  if (word === 'linux-source' && versioned) offer = await suite.offer(versioned)
  const tar = join(cache, 'tars', `${contentKey(offer.sha256)}-${offer.name}.tar.xz`)
  return {
    title: `${offer.name} ${offer.version}`,
    identity: `package ${offer.sha256}`,
    async unpack(into) {
      await withLock(`${tar}.lock`, async () => {
        if (existsSync(tar)) return
        const scratch = `${tar}.new`
        await rm(scratch, { recursive: true, force: true })
        const deb = await suite.download(offer, scratch)
        await runTool(tools['dpkg-deb'], ['-x', deb, join(scratch, 'files')], {
          doing: `unpack ${offer.name}`,
        })
        await rename(join(scratch, `files/usr/src/${offer.name}.tar.xz`), tar)
        await rm(scratch, { recursive: true, force: true })
      })
      await unpackTar(tar, into)
    },
  }
}
