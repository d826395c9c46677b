import { existsSync, readdirSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import type { Offer, Suite } from './apt.ts'
import { openSuite } from './apt.ts'
import { contentKey, fileDigest } from './cache.ts'
import type { KernelFile } from './kernel-file.ts'
import { fileKind, isFile, stockKernel } from './kernel-file.ts'
import { runTool } from './run-tool.ts'
import { requireTools } from './tools.ts'

/** The packages that together hold a kernel: one up to 6.x, the program and its modules apart from 7.x on. */
const KERNEL_PACKAGE = /^linux-(image|binary|modules)-/

/**
 * Finds what a word names: a user-mode Linux program, a vmlinuz, a .deb, an installed package, or with `suite`
 * a package of that Debian suite. Throws UsageError when it is none of these.
 */
export async function findKernel(
  word: string,
  suite: string | undefined,
  cache: string,
): Promise<KernelFile> {
  if (suite !== undefined) return fromSuite(word, suite, cache)
  if (!isFile(word)) return fromInstalled(word)
  const file = resolve(word)
  switch (fileKind(file)) {
    case 'uml':
      return { kind: 'uml', program: file }
    case 'vmlinuz':
      return stockKernel(file)
    case 'deb':
      return fromDebs(file, cache)
  }
}

async function fromInstalled(word: string): Promise<KernelFile> {
  const unknown = new UsageError(`there is no kernel "${word}": neither a file nor an installed package`)
  if (word.includes('/')) throw unknown
  const tools = requireTools('an installed kernel package', ['dpkg-query', 'setpriv'])
  const files = await runTool(tools['dpkg-query'], ['-L', word]).catch(() => {
    throw unknown
  })
  const vmlinuz = files.split('\n').find(isVmlinuz)
  if (!vmlinuz) throw new UsageError(`the package ${word} has no vmlinuz`)
  return stockKernel(vmlinuz)
}

function isVmlinuz(path: string): boolean {
  return /(^|\/)vmlinuz(-[^/]+)?$/.test(path)
}

async function fromDebs(deb: string, cache: string): Promise<KernelFile> {
  // From 7.x on the modules are in a package of their own: used when it lies beside this one.
  const beside = readdirSync(dirname(deb))
    .filter((name) => /^linux-modules-.*\.deb$/.test(name))
    .map((name) => join(dirname(deb), name))
  const place = join(cache, 'images', contentKey(await fileDigest(deb)))
  return unpackedKernel(place, async () => [deb, ...beside], deb)
}

async function fromSuite(word: string, suiteName: string, cache: string): Promise<KernelFile> {
  const suite = await openSuite(suiteName, join(cache, 'suites', suiteName))
  const offers = await withDependencies(word, suite)
  const place = join(cache, 'images', contentKey(...offers.map(({ sha256 }) => sha256)))
  const fetchAll = async (): Promise<string[]> => {
    const debs: string[] = []
    for (const offer of offers) debs.push(await suite.download(offer, join(`${place}.new`, 'debs')))
    return debs
  }
  return unpackedKernel(place, fetchAll, `${word} of ${suiteName}`)
}

async function withDependencies(word: string, suite: Suite): Promise<Offer[]> {
  const offers = new Map<string, Offer>()
  const add = async (name: string): Promise<void> => {
    if (offers.has(name)) return
    const offer = await suite.offer(name)
    offers.set(name, offer)
    for (const needed of offer.depends) if (KERNEL_PACKAGE.test(needed)) await add(needed)
  }
  await add(word)
  return [...offers.values()]
}

async function unpackedKernel(
  place: string,
  debs: () => Promise<string[]>,
  title: string,
): Promise<KernelFile> {
  if (!existsSync(place)) {
    const tools = requireTools('a kernel package', ['dpkg-deb', 'setpriv'])
    const fresh = `${place}.new`
    await rm(fresh, { recursive: true, force: true })
    await mkdir(join(fresh, 'debs'), { recursive: true })
    for (const deb of await debs())
      await runTool(tools['dpkg-deb'], ['-x', deb, fresh], { doing: `unpack ${deb}` })
    await rm(join(fresh, 'debs'), { recursive: true, force: true })
    await rename(fresh, place)
  }
  const vmlinuz = readdirSync(place, { recursive: true, encoding: 'utf8' }).find(isVmlinuz)
  if (!vmlinuz) throw new UsageError(`${title} has no vmlinuz`)
  return stockKernel(join(place, vmlinuz))
}
