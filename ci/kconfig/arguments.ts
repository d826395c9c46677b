import { existsSync } from 'node:fs'
import { readOptions } from '../../harness/cli/options.ts'
import { type Profile, readProfile } from '../../harness/rules/profiles.ts'
import { UsageError } from '../../harness/usage-error.ts'
import { type Expression, parseExpression } from './expression.ts'

/** The forms of output. */
export const FORMATS = ['text', 'json', 'junit', 'github', 'fragment'] as const
export type Format = (typeof FORMATS)[number]

/** A command line, understood. */
export interface Arguments {
  /** Null: find the running kernel's. */
  file: string | null
  profile: Profile
  require: Expression[]
  verify: boolean
  format: Format
}

const OPTIONS = {
  require: { type: 'string', multiple: true },
  profile: { type: 'string' },
  verify: { type: 'boolean' },
  format: { type: 'string' },
  json: { type: 'boolean' },
} as const

/** Understands the words after `ipcns kconfig`. Throws UsageError for what it does not know. */
export function readArguments(words: readonly string[]): Arguments {
  const { values, positionals } = readOptions('kconfig', spread(words), OPTIONS, 'words')
  const [file, ...more] = positionals
  if (more.length > 0) throw new UsageError(`one FILE at a time: "${more[0]}" is one too many`)
  if (file === '') throw new UsageError('FILE is empty')
  if (values.json && values.format !== undefined && values.format !== 'json')
    throw new UsageError(`--json and --format ${values.format} exclude each other`)
  const conditions = (values.require ?? []).flatMap((text) => text.split(','))
  return {
    file: file ?? null,
    profile: readProfile(values.profile ?? 'quick'),
    require: conditions.map(parseExpression),
    verify: values.verify ?? false,
    format: oneOf('--format', values.json ? 'json' : (values.format ?? 'text'), FORMATS),
  }
}

/**
 * Lets `--require` take several symbols: a bare symbol name behind one that was required is required too,
 * unless a file is called so.
 */
function spread(words: readonly string[]): string[] {
  const out: string[] = []
  let requiring = false
  for (const [index, word] of words.entries()) {
    if (word === '--') return [...out, ...words.slice(index)]
    const afterOption = words[index - 1] === '--require'
    if (requiring && !afterOption && /^(CONFIG_)?[A-Z][A-Z0-9_]*$/.test(word) && !existsSync(word))
      out.push('--require')
    else if (!afterOption) requiring = word === '--require' || word.startsWith('--require=')
    out.push(word)
  }
  return out
}

function oneOf<Name extends string>(option: string, given: string, known: readonly Name[]): Name {
  const name = known.find((one) => one === given)
  if (name === undefined) throw new UsageError(`${option} is one of ${known.join(', ')}, not "${given}"`)
  return name
}
