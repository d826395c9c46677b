import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { UsageError } from '../harness/usage-error.ts'
import { giveFile, makeDirectory, type Owner } from './owner.ts'

/** Makes the directory that reports go to. Throws UsageError when it cannot be. */
export function makeReportDirectory(directory: string, owner: Owner | null): void {
  try {
    makeDirectory(directory, owner)
  } catch (problem) {
    throw asUsageError(problem, directory)
  }
}

/** What a report is made of: one text, or pieces that are written as they come. */
export type Text = string | Iterable<string>

/** How many characters are gathered before one write. */
const CHUNK = 1 << 18

/**
 * Writes a file so that a reader sees the old or the new content, never half of one: into a temporary file
 * beside it, then renamed. A link at `path` is replaced, not followed. `pieces` are never held together.
 * Throws UsageError when the place cannot be written.
 */
export function writeAtomically(path: string, pieces: Text, owner: Owner | null): void {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`)
  let descriptor: number | undefined
  try {
    descriptor = createFile(temporary, owner)
    writePieces(descriptor, pieces)
    fsyncSync(descriptor)
    closeSync(descriptor)
    descriptor = undefined
    renameSync(temporary, path)
  } catch (problem) {
    if (descriptor !== undefined) closeSync(descriptor)
    rmSync(temporary, { force: true })
    throw asUsageError(problem, path)
  }
}

/** Creates a new empty file for writing, in place of whatever had the name; links are not followed. */
export function createFile(path: string, owner: Owner | null): number {
  rmSync(path, { force: true })
  const descriptor = openSync(path, 'wx', 0o644)
  giveFile(descriptor, owner)
  return descriptor
}

/** Writes all of `text`, however often the kernel takes only a part. */
export function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done)
}

/** Joins pieces into one string, for reports that go to standard output or into another. */
export function textOf(pieces: Text): string {
  return typeof pieces === 'string' ? pieces : [...pieces].join('')
}

/** The sentence a user gets for a file or directory that cannot be used; other errors pass unchanged. */
export function asUsageError(problem: unknown, path: string): unknown {
  const code = problem instanceof Error && 'code' in problem ? String(problem.code) : ''
  const why: Record<string, string> = {
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOTDIR: 'a part of the path is not a directory',
    EEXIST: 'something that is not a directory has that name',
    EISDIR: 'it is a directory',
    ENOSPC: 'no space left',
    EDQUOT: 'disk quota exceeded',
    ENOENT: 'it does not exist',
    ENAMETOOLONG: 'the name is too long',
    ELOOP: 'too many symbolic links',
  }
  return Object.hasOwn(why, code) ? new UsageError(`cannot write ${path}: ${why[code]}`) : problem
}

function writePieces(descriptor: number, pieces: Text): void {
  if (typeof pieces === 'string') {
    writeAll(descriptor, pieces)
    return
  }
  let buffer = ''
  for (const piece of pieces) {
    buffer += piece
    if (buffer.length < CHUNK) continue
    writeAll(descriptor, buffer)
    buffer = ''
  }
  writeAll(descriptor, buffer)
}
