import { readdirSync, readFileSync } from 'node:fs'
import { UsageError } from '../../harness/usage-error.ts'
import type { Fragment } from './fragment.ts'
import { mergeFragments, parseFragment, parseSetting } from './fragment.ts'
import { asset } from './top.ts'

/** The configuration that all others are laid over. */
export const FULL = 'full'

/** What somebody asked a kernel to be configured as. */
export interface WantedConfig {
  /** `no-ipc-ns`, or the file's path, with the settings that followed: a title for tables. */
  name: string
  /** Everything asked for, the base included. */
  whole: Fragment
  /** What was asked for beyond the base; a kernel that does not grant this is not what was wanted. */
  particular: Fragment
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
  const base = read(asset(`configs/${FULL}.config`), FULL)
  const named = nameOrFile === FULL ? new Map<string, string>() : overlay(nameOrFile)
  const particular = mergeFragments(named, new Map(settings.map(parseSetting)))
  return {
    name: [nameOrFile, ...settings].join(' '),
    whole: mergeFragments(base, particular),
    particular,
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
