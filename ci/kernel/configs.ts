import { readdirSync, readFileSync } from 'node:fs'
import { UsageError } from '../../harness/usage-error.ts'
import type { Fragment } from './fragment.ts'
import { mergeFragments, parseFragment, parseSetting } from './fragment.ts'
import { asset } from './top.ts'

/** What a guest needs whatever its configuration; wishes, some of which depend on the version. */
const GUEST = 'guest/guest.config'

/** The configuration that all others are laid over. */
export const FULL = 'full'

/** What somebody asked a kernel to be configured as. */
export interface WantedConfig {
  /** `no-ipc-ns`, or the file's path, with the settings that followed: a title for tables. */
  name: string
  /** Everything asked for, what a guest needs included. */
  whole: Fragment
  /** What the suite asks about, and what was asked for beyond that: a kernel must grant all of it. */
  binding: Fragment
}

/** Names of the configurations that the project has, `full` first. */
export function configNames(): string[] {
  const names = readdirSync(asset('configs'))
    .filter((file) => file.endsWith('.config'))
    .map((file) => file.slice(0, -'.config'.length))
    .sort()
  return [FULL, ...names.filter((name) => name !== FULL)]
}

/**
 * The wishes of a named configuration or of a fragment file, with `CONFIG_X=value` settings over it.
 * Throws UsageError when there is neither such a name nor such a file, or when a line is malformed.
 */
export function wantedConfig(nameOrFile: string = FULL, settings: readonly string[] = []): WantedConfig {
  const subject = read(asset(`configs/${FULL}.config`), FULL)
  const named = nameOrFile === FULL ? new Map<string, string>() : overlay(nameOrFile)
  const binding = mergeFragments(subject, named, new Map(settings.map(parseSetting)))
  return {
    name: [nameOrFile, ...settings].join(' '),
    whole: mergeFragments(read(asset(GUEST), GUEST), binding),
    binding,
  }
}

function overlay(nameOrFile: string): Fragment {
  if (configNames().includes(nameOrFile)) return read(asset(`configs/${nameOrFile}.config`), nameOrFile)
  return read(nameOrFile, nameOrFile)
}

function read(file: string, name: string): Fragment {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    throw new UsageError(
      `no configuration "${name}": no such file, and the named ones are ${configNames().join(', ')}`,
    )
  }
  return parseFragment(text, name)
}
