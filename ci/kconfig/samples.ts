import { fileURLToPath } from 'node:url'
import type { Machine, Ran } from './machine.ts'
import { type Config, parseConfig } from './parse.ts'

/** What the tests of this directory share. */

/** Path of a sample in fixtures/kconfig. */
export function samplePath(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/kconfig/${name}`, import.meta.url))
}

/** Parses lines that are known to be right; a full configuration unless `fragment`. */
export function configOf(lines: readonly string[], kind: 'full' | 'fragment' = 'full'): Config {
  const header = kind === 'full' ? ['# Linux/x86 6.1.140 Kernel Configuration'] : []
  const { config, problems } = parseConfig([...header, ...lines].join('\n'))
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  return config
}

/** A machine of files and command results; commands are named by all their words. */
export function fakeMachine(
  files: Readonly<Record<string, string>>,
  commands: Readonly<Record<string, Partial<Ran>>> = {},
): Machine & { ran: string[] } {
  const ran: string[] = []
  return {
    ran,
    exists: (path) => path in files,
    read: (path) => files[path] ?? null,
    async run(command, args) {
      const words = [command, ...args].join(' ')
      ran.push(words)
      const found = Object.entries(commands).find(([start]) => words.startsWith(start))
      return { status: 1, stderr: '', missing: found === undefined, ...found?.[1] }
    },
  }
}

/** The files of a Linux that has everything. */
export const WHOLE_PROC: Readonly<Record<string, string>> = {
  '/proc/self/status': '',
  '/proc/filesystems': 'nodev\tproc\nnodev\tmqueue\n\text4\n',
  '/proc/self/mountinfo': '22 1 0:20 / /proc rw - proc proc rw\n',
  '/proc/self/ns/ipc': '',
  '/proc/self/ns/user': '',
  '/proc/self/ns/pid': '',
  '/proc/self/ns/uts': '',
  '/proc/self/ns/net': '',
  '/proc/self/ns/cgroup': '',
  '/proc/sysvipc/msg': '',
  '/proc/sys/kernel/ostype': 'Linux\n',
  '/proc/sys/kernel/msgmax': '8192\n',
  '/proc/sys/kernel/msg_next_id': '-1\n',
  '/proc/sys/fs/mqueue/msg_max': '10\n',
  '/proc/self/net/dev': '',
  '/proc/self/net/unix': '',
  '/proc/self/smaps': 'VmFlags: rd io dc\nVmFlags: rd wr mr mw me dc nr\n',
  '/proc/cgroups': '#subsys_name\nmemory\t0\t1\t1\n',
}
