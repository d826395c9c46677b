import { EXIT } from '../../harness/cli/command.ts'
import { readOptions } from '../../harness/cli/options.ts'
import { UsageError } from '../../harness/usage-error.ts'
import { boot } from './boot.ts'
import { cacheDirectory } from './cache.ts'
import { findKernel } from './find-kernel.ts'
import type { BootEnd } from './machine.ts'
import { writableDirectory } from './machine.ts'
import { positive } from './options.ts'

/** Seconds that a guest gets unless somebody says otherwise. */
export const DEFAULT_TIMEOUT = 300

/** What `ipcns kernel boot` was asked for. */
export interface BootWords {
  kernel: string
  command: string[]
  suite?: string
  cache: string
  timeout: number
  memory?: number
  writable?: string
}

/** Reads the words after `boot`. Throws UsageError when they make no sense. */
export function readBootWords(words: readonly string[]): BootWords {
  const split = words.indexOf('--')
  const command = split < 0 ? [] : words.slice(split + 1)
  const { values, positionals } = readOptions(
    'kernel',
    split < 0 ? words : words.slice(0, split),
    {
      timeout: { type: 'string' },
      memory: { type: 'string' },
      writable: { type: 'string' },
      suite: { type: 'string' },
      cache: { type: 'string' },
    },
    'words',
  )
  const [kernel, ...more] = positionals
  if (kernel === undefined) throw new UsageError('boot wants a kernel: ipcns kernel boot KERNEL -- COMMAND')
  if (more.length > 0)
    throw new UsageError(`boot takes one kernel; the command goes after "--", as in: -- ${more.join(' ')}`)
  if (command.length === 0)
    throw new UsageError('boot wants a command after "--": ipcns kernel boot KERNEL -- COMMAND')
  const memory = positive('memory', values.memory)
  if (memory !== undefined && (memory < 64 || !Number.isInteger(memory)))
    throw new UsageError(`--memory ${values.memory}: a guest needs a whole number of megabytes, 64 or more`)
  return {
    kernel,
    command,
    cache: cacheDirectory(values.cache),
    timeout: positive('timeout', values.timeout) ?? DEFAULT_TIMEOUT,
    ...(memory === undefined ? {} : { memory }),
    ...(values.suite === undefined ? {} : { suite: values.suite }),
    ...(values.writable === undefined ? {} : { writable: writableDirectory(values.writable) }),
  }
}

/** `ipcns kernel boot`: the command's output and exit status are the guest command's. */
export async function runBoot(words: readonly string[]): Promise<number> {
  const wanted = readBootWords(words)
  const kernel = await findKernel(wanted.kernel, wanted.suite, wanted.cache)
  const stop = new AbortController()
  let signal = 0
  const onSignal = (name: NodeJS.Signals, number: number): void => {
    signal = number
    stop.abort(name)
  }
  const ending = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of ending) process.on(name, onSignal)
  // A reader that went away, as `head` does, is a reason to stop and no defect.
  const onBrokenPipe = (): void => stop.abort('EPIPE')
  process.stdout.on('error', onBrokenPipe)
  try {
    const end = await boot({
      ...wanted,
      kernel,
      stop: stop.signal,
      onOut: (chunk) => process.stdout.write(chunk),
      onErr: (chunk) => process.stderr.write(chunk),
    })
    return exitStatus(end, wanted, signal)
  } finally {
    for (const name of ending) process.off(name, onSignal)
    process.stdout.off('error', onBrokenPipe)
  }
}

function exitStatus(end: BootEnd, wanted: BootWords, signal: number): number {
  switch (end.kind) {
    case 'exited':
      return end.status
    case 'timeout':
      process.stderr.write(`ipcns kernel: the guest did not end within ${wanted.timeout} s and was killed\n`)
      return EXIT.broken
    case 'died':
      process.stderr.write(`ipcns kernel: the guest ended without the command's exit status: ${end.why}\n`)
      return EXIT.broken
    case 'stopped':
      return 128 + (signal || 13)
  }
}
