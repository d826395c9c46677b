import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** The cache directory: the one named, else `ipcns/kernels` under XDG_CACHE_HOME or ~/.cache. */
export function cacheDirectory(
  named: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (named !== undefined) return resolve(named)
  // The XDG base directory specification: a relative path is to be ignored.
  const xdg = environment.XDG_CACHE_HOME
  const base = xdg?.startsWith('/') ? xdg : join(environment.HOME || homedir(), '.cache')
  return join(base, 'ipcns/kernels')
}

/** A key of what it is given, in order; 24 hexadecimal digits of SHA-256. */
export function contentKey(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  // The length before each part: no two lists of parts are the same bytes.
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('hex').slice(0, 24)
}

/** SHA-256 of a file, 64 hexadecimal digits. Rejects with the file system's error. */
export async function fileDigest(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/**
 * Does something while no other process of this machine does it under the same lock file. A lock whose owner
 * is dead is taken over. Waits without limit: builds end.
 */
export async function withLock<T>(file: string, work: () => Promise<T>, onWait?: () => void): Promise<T> {
  await mkdir(dirname(file), { recursive: true })
  let waited = false
  while (!(await take(file))) {
    if (!waited) onWait?.()
    waited = true
    await pause(200)
  }
  try {
    return await work()
  } finally {
    await rm(file, { force: true })
  }
}

async function take(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx')
    await handle.writeFile(`${process.pid}`)
    await handle.close()
    return true
  } catch (problem) {
    if ((problem as NodeJS.ErrnoException).code !== 'EEXIST') throw problem
  }
  const owner = Number(await readFile(file, 'utf8').catch(() => ''))
  // An empty file is one that its owner has made and not yet written.
  if (owner > 0 && !isAlive(owner)) await rm(file, { force: true })
  return false
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (problem) {
    return (problem as NodeJS.ErrnoException).code === 'EPERM'
  }
}
