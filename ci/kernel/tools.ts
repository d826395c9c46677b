import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian's package for each program that building and booting use; a program has one home here. */
const PACKAGES = {
  'apt-get': 'apt',
  'apt-cache': 'apt',
  bc: 'bc',
  bison: 'bison',
  busybox: 'busybox-static',
  cp: 'coreutils',
  'dpkg-deb': 'dpkg',
  'dpkg-query': 'dpkg',
  flex: 'flex',
  gcc: 'gcc',
  gzip: 'gzip',
  ip: 'iproute2',
  ld: 'binutils',
  make: 'make',
  mount: 'mount',
  perl: 'perl',
  'qemu-system-x86_64': 'qemu-system-x86',
  setpriv: 'util-linux',
  sh: 'dash',
  stty: 'coreutils',
  tar: 'tar',
  taskset: 'util-linux',
  unshare: 'util-linux',
  xz: 'xz-utils',
  zstd: 'zstd',
} as const

/** A program that this command may need. */
export type Tool = keyof typeof PACKAGES

/** Something is not installed here: one sentence that names what to install; the command ends with status 77. */
export class MissingTools extends Error {
  override name = 'MissingTools'
}

/** Where system programs live even when the search path of a plain user leaves them out. */
const ALWAYS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin']

/** The absolute path of a program, or undefined; `path` is a search path as in the variable PATH. */
export function findTool(name: string, path: string = process.env.PATH ?? ''): string | undefined {
  for (const directory of [...path.split(delimiter).filter((part) => part.startsWith('/')), ...ALWAYS]) {
    const file = join(directory, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // Not in this directory: the next one.
    }
  }
  return undefined
}

/**
 * The path of each tool. Throws MissingTools, naming every absent one with the Debian package that has it.
 * `purpose` completes "… needs": "building user-mode Linux".
 */
export function requireTools<T extends Tool>(
  purpose: string,
  tools: readonly T[],
  find: (name: string) => string | undefined = findTool,
): Record<T, string> {
  const found: Partial<Record<T, string>> = {}
  const absent: T[] = []
  for (const tool of tools) {
    const file = find(tool)
    if (file === undefined) absent.push(tool)
    else found[tool] = file
  }
  if (absent.length > 0) throw new MissingTools(missingSentence(purpose, absent))
  return found as Record<T, string>
}

function missingSentence(purpose: string, absent: readonly Tool[]): string {
  const named = absent.map((tool) => `${tool} (Debian package ${PACKAGES[tool]})`)
  const packages = [...new Set(absent.map((tool) => PACKAGES[tool]))]
  return `${purpose} needs ${named.join(', ')}: apt-get install ${packages.join(' ')}`
}
