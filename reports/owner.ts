import { existsSync, fchownSync, lchownSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { UsageError } from '../harness/usage-error.ts'

/** Whom the reports belong to: the user who called sudo. */
export interface Owner {
  uid: number
  gid: number
}

/**
 * Reads the caller of sudo from SUDO_UID and SUDO_GID. Null when we are not root, when sudo was not used,
 * or when the two are not plain numbers: files then stay with the user who runs us.
 */
export function sudoOwner(
  env: NodeJS.ProcessEnv = process.env,
  uid: number | undefined = process.getuid?.(),
): Owner | null {
  if (uid !== 0) return null
  const plain = /^\d{1,10}$/
  if (!plain.test(env.SUDO_UID ?? '') || !plain.test(env.SUDO_GID ?? '')) return null
  return { uid: Number(env.SUDO_UID), gid: Number(env.SUDO_GID) }
}

/**
 * Creates a directory with its missing parents; only those made here are given to `owner`. By hand, because
 * mkdirSync with `recursive` never returns below /proc (it takes the ENOENT there for a missing parent).
 */
export function makeDirectory(directory: string, owner: Owner | null): void {
  const missing: string[] = []
  let path = resolve(directory)
  for (; !existsSync(path); path = dirname(path)) missing.unshift(path)
  if (!statSync(path).isDirectory())
    throw new UsageError(`cannot write ${directory}: ${path} is not a directory`)
  for (const made of missing) {
    mkdirSync(made)
    if (owner !== null) lchownSync(made, owner.uid, owner.gid)
  }
}

/** Gives an open file to `owner`; by descriptor, so that no link can be slipped in between. */
export function giveFile(descriptor: number, owner: Owner | null): void {
  if (owner !== null) fchownSync(descriptor, owner.uid, owner.gid)
}
