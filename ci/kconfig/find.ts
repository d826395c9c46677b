import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { UsageError } from '../../harness/usage-error.ts'

/** A configuration's text and where it is from. */
export interface Source {
  /** As the user or the place names it; `standard input` for `-`. */
  path: string
  text: string
  /** Hexadecimal, of the bytes as they are stored (so that `sha256sum FILE` says the same). */
  sha256: string
  gzip: boolean
}

/** What looking in the usual places gave. */
export interface Search {
  /** Null when no place has one. */
  source: Source | null
  /** Places that were looked at, in order, up to the one that had it. */
  looked: string[]
  /** Places that have one which cannot be read, with the reason. */
  unreadable: { path: string; reason: string }[]
}

/** No configuration is near this; /dev/zero and a compression bomb are past it. */
const LARGEST = 64 * 1024 * 1024

/** What a file that is no gzip may be instead, by its first bytes. */
const OTHER_PACKINGS: readonly [name: string, unpack: string, magic: number[]][] = [
  ['xz', 'xz -dc', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['zstd', 'zstd -dc', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', 'bzip2 -dc', [0x42, 0x5a, 0x68]],
]

/**
 * Where distributions keep the configuration of the kernel `release`, the surest first: what the kernel says
 * itself, then files named after the release. Not /usr/src/linux: a source tree need not be that of the
 * running kernel. Nor is `modprobe configs` tried: looking must not change the machine.
 */
export function placesFor(release: string): string[] {
  return [
    '/proc/config.gz',
    '/proc/config',
    `/boot/config-${release}`,
    `/lib/modules/${release}/config`,
    `/lib/modules/${release}/build/.config`,
    `/usr/lib/modules/${release}/config`,
    `/usr/lib/modules/${release}/build/.config`,
    // Fedora CoreOS, Silverblue and other ostree systems.
    `/usr/lib/ostree-boot/config-${release}`,
    `/boot/ostree/*/config-${release}`,
    // Clear Linux.
    `/lib/kernel/config-${release}`,
    `/usr/lib/kernel/config-${release}`,
    `/usr/src/linux-headers-${release}/.config`,
    `/usr/src/linux-${release}/.config`,
  ]
}

/**
 * Finds the configuration of the running kernel. `preferred` (LTP's variable KCONFIG_PATH) comes first and
 * must be readable: UsageError otherwise. `root` is put before each of the usual places (for tests and for a
 * mounted image). Throws UsageError for a file that is there and is no configuration.
 */
export function findConfig(release: string, options: { root?: string; preferred?: string } = {}): Search {
  const search: Search = { source: null, looked: [], unreadable: [] }
  if (options.preferred) {
    search.looked.push(options.preferred)
    search.source = readSource(options.preferred)
    return search
  }
  for (const place of placesFor(release)) {
    search.looked.push(place)
    for (const path of expand(join(options.root ?? '/', place))) {
      try {
        search.source = decode(path, readBytes(path))
        return search
      } catch (problem) {
        const code = codeOf(problem)
        // Nothing there is the usual case; there and unreadable is worth telling, and the next may do.
        if (code === 'ENOENT' || code === 'ENOTDIR') continue
        if (problem instanceof UsageError || code === null) throw problem
        search.unreadable.push({ path, reason: code })
      }
    }
  }
  return search
}

/** Reads a named configuration, plain or gzip; `-` is standard input. Throws UsageError when it cannot. */
export function readSource(path: string): Source {
  try {
    return path === '-' ? decode('standard input', readFileSync(0)) : decode(path, readBytes(path))
  } catch (problem) {
    const code = codeOf(problem)
    if (code === null) throw problem
    const reason = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'it is a directory' : code
    throw new UsageError(`cannot read the kernel configuration "${path}": ${reason}`)
  }
}

function readBytes(path: string): Buffer {
  const info = statSync(path)
  if (info.isDirectory()) throw Object.assign(new Error('directory'), { code: 'EISDIR' })
  if (!isReadable(info)) throw new UsageError(`cannot read the kernel configuration "${path}": it is no file`)
  return readFileSync(path)
}

/** A pipe is fine (`<(xz -dc config.xz)`), a device is not: /dev/zero never ends. */
function isReadable(info: Stats): boolean {
  return (info.isFile() && info.size <= LARGEST) || info.isFIFO()
}

function decode(path: string, bytes: Buffer): Source {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b
  const packing = OTHER_PACKINGS.find(([, , magic]) => magic.every((byte, index) => bytes[index] === byte))
  if (packing)
    throw new UsageError(`"${path}" is compressed with ${packing[0]}: unpack it first (${packing[1]} FILE)`)
  const text = (gzip ? unpack(path, bytes) : bytes).toString('utf8')
  if (text.includes('\0')) throw new UsageError(`"${path}" is no kernel configuration: it is binary`)
  return { path, text, sha256, gzip }
}

function unpack(path: string, bytes: Buffer): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: LARGEST })
  } catch (problem) {
    const reason = problem instanceof Error ? problem.message : String(problem)
    throw new UsageError(`"${path}" is damaged: gzip says "${reason}"`)
  }
}

/** Resolves one `*` as a whole path component. */
function expand(path: string): string[] {
  const [before, after] = path.split('/*/')
  if (before === undefined || after === undefined) return [path]
  try {
    return readdirSync(before)
      .sort()
      .map((name) => join(before, name, after))
  } catch {
    return []
  }
}

function codeOf(problem: unknown): string | null {
  if (!(problem instanceof Error) || !('code' in problem)) return null
  return typeof problem.code === 'string' ? problem.code : null
}
