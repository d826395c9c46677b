import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { execa } from 'execa'
import { UsageError } from '../../harness/usage-error.ts'
import { lastLines } from './run-tool.ts'
import { MissingTools, requireTools } from './tools.ts'
import { asset } from './top.ts'

/** What one boot came to. */
export type BootEnd =
  /** The command ended with this status; 128 and the signal's number when it was killed, as a shell says it. */
  | { kind: 'exited'; status: number }
  /** The time limit passed; everything was killed. */
  | { kind: 'timeout' }
  /** The guest ended, or could not start, without the command's status; with the last of what it said. */
  | { kind: 'died'; why: string }
  /** The signal to stop came; everything was killed. */
  | { kind: 'stopped' }

/** A virtual machine as a command line, to be run inside the enclosure. */
export interface Machine {
  command: readonly string[]
  /** The text of the guest's first process. */
  init: string
  /** Megabytes of memory that the guest sees. */
  memory: number
  /** The one directory that the guest may write to. */
  writable?: string
  /** Whether the machine's devices are descriptors that it inherits or named pipes that it opens. */
  channels: 'descriptors' | 'fifo'
}

export interface BootWatch {
  /** Seconds. */
  timeout: number
  /** Called with what the guest's command writes, as it comes. */
  onOut(chunk: Buffer): void
  onErr(chunk: Buffer): void
  /** Ends the boot early. */
  stop?: AbortSignal
}

/**
 * Runs a machine to its end in a pid namespace and a mount namespace of its own. Killing the one process that
 * stands outside takes everything with it, and the kernel kills that one when this process dies, however it
 * dies; the machine's memory and temporary files are in a file system that exists in that namespace alone.
 */
export async function runMachine(machine: Machine, watch: BootWatch): Promise<BootEnd> {
  const tools = requireTools('booting a kernel', ['setpriv', 'unshare', 'sh', 'mount'])
  // Its own session: Ctrl-C reaches this process alone, which then ends the guest.
  const child = execa(tools.setpriv, ['--pdeathsig', 'KILL', '--', ...enclosureCommand(tools, machine)], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    encoding: 'buffer',
    buffer: false,
    reject: false,
    env: { IPCNS_CHANNELS: machine.channels },
  })
  child.stdin.on('error', () => {})
  child.stdin.end(machine.init)
  child.stdout.on('data', watch.onOut)
  child.stderr.on('data', watch.onErr)
  const status = gather(child.stdio[3] as Readable)
  const log = gather(child.stdio[4] as Readable)

  let cut: 'timeout' | 'stopped' | undefined
  const end = (why: 'timeout' | 'stopped') => {
    cut ??= why
    child.kill('SIGKILL')
  }
  const timer = setTimeout(() => end('timeout'), watch.timeout * 1000)
  const onStop = (): void => end('stopped')
  watch.stop?.addEventListener('abort', onStop)
  if (watch.stop?.aborted) onStop()
  try {
    await child
  } finally {
    clearTimeout(timer)
    watch.stop?.removeEventListener('abort', onStop)
  }
  const exit = /^status (\d+)$/m.exec(status.text())
  if (exit) return { kind: 'exited', status: Number(exit[1]) }
  if (cut) return { kind: cut }
  return { kind: 'died', why: whyDied(log.text()) }
}

function enclosureCommand(tools: Record<'unshare' | 'sh', string>, machine: Machine): string[] {
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  return [
    tools.unshare,
    ...asUser,
    ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'],
    ...[tools.sh, asset('guest/enclosure.sh'), String(machine.memory), machine.writable ?? ''],
    ...machine.command,
  ]
}

/** The end of a kernel's log that matters: its panic, else its last lines. */
export function whyDied(log: string): string {
  const lines = log.replaceAll('\r', '').split('\n')
  const panic = lines.findIndex((line) => line.includes('Kernel panic'))
  const telling = panic < 0 ? lines : lines.slice(Math.max(0, panic - 2), panic + 1)
  return lastLines(telling.join('\n'), 4) || 'it said nothing'
}

/** Keeps the last of a stream; a console can say much. */
function gather(stream: Readable): { text(): string } {
  let text = ''
  stream.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('latin1')).slice(-100_000)
  })
  return { text: () => text }
}

/** The directory for a guest to write to, links resolved. Throws UsageError when it is no such directory. */
export function writableDirectory(path: string): string {
  let real: string
  try {
    real = realpathSync(path)
    accessSync(real, constants.W_OK)
  } catch {
    throw new UsageError(`--writable ${path}: there is no such directory to write to`)
  }
  if (!statSync(real).isDirectory()) throw new UsageError(`--writable ${path}: it is no directory`)
  // Both kinds of guest take the path as an option among others.
  if (/[,\s\\]/.test(real))
    throw new UsageError(`--writable ${real}: a path with a comma or a space cannot be mounted`)
  if (real === '/') throw new UsageError('--writable /: a guest must not write to everything')
  return real
}

/** Throws MissingTools when this user cannot make the namespaces that every boot stands in. */
export async function requireNamespaces(): Promise<void> {
  const tools = requireTools('booting a kernel', ['unshare', 'mount'])
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const words = [...asUser, '--mount', '--propagation', 'private', '--pid', '--fork', '--mount-proc', 'true']
  const done = await execa(tools.unshare, words, { reject: false, stdin: 'ignore' })
  if (done.failed)
    throw new MissingTools(
      `booting a kernel needs private mount and pid namespaces here: ${lastLines(done.stderr, 1)}`,
    )
}
