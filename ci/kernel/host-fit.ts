import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runTool } from './run-tool.ts'

/** Prints the size in bytes of the register area that the XSAVE features enabled here need: CPUID leaf 13. */
const ASK_CPU = `#include <cpuid.h>
#include <stdio.h>
int main(void) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid_count(13, 0, &a, &b, &c, &d);
  printf("%u", b);
  return 0;
}
`

/** Up to 6.12 user-mode Linux has the size as a number in this file. */
const OFFSETS = 'arch/x86/um/user-offsets.c'
const SIZE_LINE = /DEFINE_LONGS\(HOST_FP_SIZE, (\d+)\)/

/** The bytes that this processor saves of a process's floating-point state, 0 where it has no XSAVE. */
export async function registerBytes(gcc: string): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'ipcns-cpu-'))
  try {
    const program = join(directory, 'ask')
    await runTool(gcc, ['-x', 'c', '-', '-o', program], { input: ASK_CPU, doing: 'compile for this machine' })
    return Number(await runTool(program, []))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/**
 * Makes an unpacked source fit this processor. Older user-mode Linux assumes at most 2696 bytes of registers;
 * a host with AMX has 11008, refuses shorter ones with EFAULT, and the guest's first process dies. Nothing
 * outside the code that talks to the host is touched.
 */
export async function fitToHost(tree: string, bytes: number): Promise<void> {
  const file = join(tree, OFFSETS)
  if (!existsSync(file)) return
  const text = await readFile(file, 'utf8')
  const fitted = fitOffsets(text, bytes)
  if (fitted !== text) await writeFile(file, fitted)
}

/** The text of the offsets file with room for at least `bytes`. */
export function fitOffsets(text: string, bytes: number): string {
  const assumed = Number(SIZE_LINE.exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
  return bytes > assumed ? text.replace(SIZE_LINE, `DEFINE_LONGS(HOST_FP_SIZE, ${bytes})`) : text
}
