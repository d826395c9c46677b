import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Makes a directory for everything temporary of this run, vitest's files and the probes' sockets alike, and
 * makes it this process's TMPDIR. A detached shell waits on a pipe and removes it when this process is gone,
 * whatever ended it. Gives a function that removes it at once.
 */
export function temporaryDirectory(): () => void {
  const directory = join(tmpdir(), `ipcns-${process.pid}-${randomBytes(4).toString('hex')}`)
  // The shell first: at no moment is there a directory that nobody would remove.
  const keeper = spawn('/bin/sh', ['-c', 'read -r _; rm -rf -- "$0"', directory], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  keeper.on('error', () => undefined)
  keeper.stdin.on('error', () => undefined)
  keeper.unref()
  // A member that has become another user must be able to pass through.
  mkdirSync(directory, { mode: 0o711 })
  const before = process.env.TMPDIR
  process.env.TMPDIR = directory
  return () => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    rmSync(directory, { recursive: true, force: true })
    keeper.stdin.end()
  }
}
