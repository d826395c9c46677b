import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'

/** A kernel that can be booted. */
export type KernelFile =
  | { kind: 'uml'; program: string }
  /** `modules`: its directory of modules (with `kernel/` in it), where there is one. */
  | { kind: 'stock'; vmlinuz: string; release: string; modules: string | undefined }

/** What a file is by its first bytes; throws UsageError when it is nothing that can be booted. */
export function fileKind(file: string): 'uml' | 'vmlinuz' | 'deb' {
  const head = firstBytes(file, 0x210)
  if (head.subarray(0, 8).toString('latin1') === '!<arch>\n') return 'deb'
  if (head.subarray(0x202, 0x206).toString('latin1') === 'HdrS') return 'vmlinuz'
  // An option that only user-mode Linux has; its help text is in the program.
  if (head.subarray(0, 4).toString('latin1') === '\x7fELF' && readFileSync(file).includes('uml_dir='))
    return 'uml'
  throw new UsageError(`${file} is no kernel: neither user-mode Linux, nor a vmlinuz for x86, nor a .deb`)
}

function firstBytes(file: string, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  const descriptor = openSync(file, 'r')
  try {
    readSync(descriptor, bytes, 0, count, 0)
  } finally {
    closeSync(descriptor)
  }
  return bytes
}

/**
 * The release that a bzImage's boot header names (Documentation/arch/x86/boot.rst: kernel_version).
 * Throws UsageError when there is none.
 */
export function vmlinuzRelease(image: Buffer, name: string): string {
  const offset = image.readUInt16LE(0x20e)
  const text = offset === 0 ? '' : image.subarray(0x200 + offset, 0x400 + offset).toString('latin1')
  const release = /^[\w.+~-]+/.exec(text)?.[0]
  if (!release) throw new UsageError(`${name} does not say which release it is`)
  return release
}

/** A stock kernel by its vmlinuz, with the modules that stand where packages put them beside it. */
export function stockKernel(vmlinuz: string): KernelFile {
  const release = vmlinuzRelease(readFileSync(vmlinuz), vmlinuz)
  const beside = dirname(vmlinuz)
  const candidates = [
    beside,
    join(beside, '../lib/modules', release),
    join(beside, '../usr/lib/modules', release),
    // A vmlinuz under usr/lib whose modules another package put under lib, or the other way round.
    join(beside, '../../../../lib/modules', release),
    join('/lib/modules', release),
  ]
  const modules = candidates.find((directory) => existsSync(join(directory, 'kernel')))
  return { kind: 'stock', vmlinuz, release, modules }
}

/** True when a word names an existing file rather than a package. */
export function isFile(word: string): boolean {
  return statSync(word, { throwIfNoEntry: false })?.isFile() ?? false
}
