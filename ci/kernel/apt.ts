import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { runTool } from './run-tool.ts'
import { requireTools } from './tools.ts'

/** One package as a suite offers it. */
export interface Offer {
  name: string
  version: string
  /** SHA-256 of the package file, as the signed index has it. */
  sha256: string
  /** Names of the packages it depends on, without versions and alternatives. */
  depends: string[]
}

/** One of Debian's suites beside the machine's own, readable without touching the machine's package state. */
export interface Suite {
  name: string
  /** The newest version offered. Throws UsageError when the suite has no such package. */
  offer(packageName: string): Promise<Offer>
  /** Names of offered packages that match a regular expression as apt-cache reads it. */
  search(pattern: string): Promise<string[]>
  /** Fetches a package file into a directory and resolves to its path. */
  download(offer: Offer, directory: string): Promise<string>
}

/** Lists older than this are fetched again. */
const FRESH_MS = 24 * 3600 * 1000

/**
 * Opens a suite (`trixie`, `sid`, `bookworm-backports`) by a private APT configuration in `directory`: own
 * source list, own lists, own cache, no installed packages. The mirror is the one that this machine's own
 * apt sources name, read now. Throws MissingTools without apt, UsageError when the suite cannot be read.
 */
export async function openSuite(name: string, directory: string): Promise<Suite> {
  if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new UsageError(`"${name}" is no name of a Debian suite`)
  const tools = requireTools(`the Debian suite "${name}"`, ['apt-get', 'apt-cache', 'setpriv'])
  const config = join(directory, 'apt.conf')
  await mkdir(join(directory, 'lists/partial'), { recursive: true })
  await mkdir(join(directory, 'archives/partial'), { recursive: true })
  await writeFile(join(directory, 'sources.list'), sourceList(name, await machineMirrors(tools['apt-get'])))
  await writeFile(join(directory, 'status'), '')
  await writeFile(config, aptConfig(directory))
  const env = { APT_CONFIG: config }
  if (!(await areFresh(join(directory, 'lists')))) {
    await runTool(tools['apt-get'], ['update', '-qq', '-o', 'APT::Update::Error-Mode=any'], {
      env,
      doing: `read the Debian suite "${name}"`,
    }).catch((problem: unknown) => {
      throw new UsageError(problem instanceof Error ? problem.message : String(problem))
    })
    await writeFile(join(directory, 'lists/updated'), '')
  }
  const ask = (...words: string[]): Promise<string> => runTool(tools['apt-cache'], words, { env })
  return {
    name,
    async offer(packageName) {
      const text = await ask('show', '--no-all-versions', packageName).catch(() => '')
      const offer = parseOffer(text)
      if (!offer) throw new UsageError(`the Debian suite "${name}" has no package ${packageName}`)
      return offer
    },
    async search(pattern) {
      const text = await ask('search', '--names-only', pattern)
      return text.split('\n').flatMap((line) => line.split(' - ')[0]?.trim() || [])
    },
    async download(offer, into) {
      await mkdir(into, { recursive: true })
      await runTool(tools['apt-get'], ['download', '-qq', `${offer.name}=${offer.version}`], {
        env,
        cwd: into,
      })
      const file = (await readdir(into)).find(
        (entry) => entry.startsWith(`${offer.name}_`) && entry.endsWith('.deb'),
      )
      if (!file) throw new UsageError(`apt-get fetched no file for ${offer.name} ${offer.version}`)
      return join(into, file)
    },
  }
}

/** Addresses of the archives that the machine itself uses. */
export interface Mirrors {
  main: string
  security?: string
}

async function machineMirrors(aptGet: string): Promise<Mirrors> {
  const text = await runTool(aptGet, ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'])
  return pickMirrors(text.split('\n'))
}

/** Finds Debian's main and security archive among repository addresses. Throws UsageError without a main one. */
export function pickMirrors(addresses: readonly string[]): Mirrors {
  const ending = (tail: RegExp): string | undefined =>
    addresses.map((address) => address.trim()).find((address) => tail.test(address))
  const main = ending(/\/debian\/?$/)
  if (!main) throw new UsageError("this machine's apt sources name no Debian mirror")
  const security = ending(/\/debian-security\/?$/)
  return security === undefined ? { main } : { main, security }
}

/** Suites that take no security updates of their own. */
const ROLLING = /^(sid|unstable|testing|experimental)$|-/

/** The source list for one suite; a stable one with its security updates. */
export function sourceList(suite: string, { main, security }: Mirrors): string {
  const line = (address: string, name: string): string => `deb ${address} ${name} main\n`
  if (suite.endsWith('-security') && security) return line(security, suite)
  const updates = security && !ROLLING.test(suite) ? line(security, `${suite}-security`) : ''
  return line(main, suite) + updates
}

function aptConfig(directory: string): string {
  return [
    `Dir::Etc::sourcelist "${directory}/sources.list";`,
    'Dir::Etc::sourceparts "/dev/null";',
    'Dir::Etc::preferencesparts "/dev/null";',
    `Dir::State "${directory}";`,
    `Dir::State::lists "${directory}/lists";`,
    // No package counts as installed: else an older version than the installed one is never the candidate.
    `Dir::State::status "${directory}/status";`,
    `Dir::Cache "${directory}";`,
    `Dir::Cache::archives "${directory}/archives";`,
    // The cache may be readable by its owner alone, so apt must not change its user.
    'APT::Sandbox::User "";',
    'Acquire::Languages "none";',
    '',
  ].join('\n')
}

async function areFresh(lists: string): Promise<boolean> {
  const marker = await stat(join(lists, 'updated')).catch(() => undefined)
  return marker !== undefined && Date.now() - marker.mtimeMs < FRESH_MS
}

/** Reads one stanza of `apt-cache show`; undefined when there is none. */
export function parseOffer(text: string): Offer | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1]
  const [name, version, sha256] = [field('Package'), field('Version'), field('SHA256')]
  if (!name || !version || !sha256) return undefined
  const depends = (field('Depends') ?? '')
    .split(/[,|]/)
    .map((part) => part.trim().split(/[\s(:]/)[0] ?? '')
    .filter((part) => part !== '')
  return { name, version, sha256, depends }
}
