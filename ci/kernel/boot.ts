import { resolve } from 'node:path'
import type { KernelFile } from './kernel-file.ts'
import type { BootEnd, BootWatch, Machine } from './machine.ts'
import { requireNamespaces, runMachine } from './machine.ts'
import { Processors } from './processors.ts'
import { top } from './top.ts'
import { umlMachine } from './uml.ts'

/** Megabytes that a guest gets unless somebody says otherwise: enough for Node and vitest. */
export const DEFAULT_MEMORY = 1024

export interface BootRequest extends BootWatch {
  kernel: KernelFile
  command: readonly string[]
  /** The present directory by default. */
  cwd?: string
  environment?: Readonly<Record<string, string | undefined>>
  /** Megabytes. */
  memory?: number
  /** Absolute, links resolved. */
  writable?: string
  /** Where made files may be kept, such as an initramfs. */
  cache: string
}

/**
 * Boots a kernel, runs the command in it as root with this machine's files visible, and resolves to how that
 * ended; never later than its time limit. Throws MissingTools for what is not installed.
 */
export async function boot(request: BootRequest): Promise<BootEnd> {
  await requireNamespaces()
  return processors.lend(async (processor) => runMachine(await machineFor(request, processor), request))
}

const processors = new Processors()

async function machineFor(request: BootRequest, processor: number): Promise<Machine> {
  const job = {
    command: request.command,
    cwd: resolve(request.cwd ?? process.cwd()),
    environment: request.environment ?? process.env,
    keep: [top, process.execPath],
    ...(request.writable === undefined ? {} : { writable: request.writable }),
  }
  const memory = request.memory ?? DEFAULT_MEMORY
  if (request.kernel.kind === 'uml') return umlMachine(request.kernel.program, job, memory, processor)
  const { qemuMachine } = await import('./qemu.ts')
  return qemuMachine(request.kernel, job, memory, request.cache)
}
