import { readFileSync } from 'node:fs'
import { bind, SystemCallFailure } from './system.ts'

const libc = {
  mmap: bind<[number, number, number, number, number, number]>(
    'uintptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int descriptor, long offset)',
  ),
  munmap: bind<[number, number]>('int munmap(uintptr_t address, size_t bytes)'),
  memcpy: bind<[number, number, number]>('uintptr_t memcpy(uintptr_t to, uintptr_t from, size_t bytes)'),
  mprotect: bind<[number, number, number]>('int mprotect(uintptr_t address, size_t bytes, int protection)'),
  mremap: bind<[number, number, number, number, number]>(
    'uintptr_t mremap(uintptr_t old, size_t bytes, size_t newBytes, int flags, uintptr_t address)',
  ),
}

const PROT = { read: 1, write: 2, execute: 4 }
const MAP_PRIVATE_ANONYMOUS = 0x22
const MREMAP_MAYMOVE_FIXED = 3

/** Text smaller than this, in bytes, is not worth a copy. */
const WORTH_COPYING = 4 << 20

/**
 * Replaces this program's text by a private copy at the same place. fork(2) leaves out the page tables of
 * file mappings (mm/memory.c: vma_needs_copy), so a clone would fault for every page of text it runs, and in
 * user-mode Linux, where a fault takes 0.1 ms, that is most of its life. Node's --use-largepages does the same
 * where the kernel has huge pages. A kernel that refuses it runs on with the file.
 */
export function ownText(): void {
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]/.exec(line) ?? []
    const start = Number.parseInt(from, 16)
    const bytes = Number.parseInt(to, 16) - start
    if (!(bytes >= WORTH_COPYING)) continue
    const copy = libc.mmap(0, bytes, PROT.read | PROT.write, MAP_PRIVATE_ANONYMOUS, -1, 0)
    libc.memcpy(copy, start, bytes)
    try {
      libc.mprotect(copy, bytes, PROT.read | PROT.execute)
      libc.mremap(copy, bytes, bytes, MREMAP_MAYMOVE_FIXED, start)
    } catch (problem) {
      if (!(problem instanceof SystemCallFailure)) throw problem
      libc.munmap(copy, bytes)
    }
  }
}
