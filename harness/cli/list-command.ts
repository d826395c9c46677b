import { parseArgs } from 'node:util'
import type { Area } from '../rules/rule.ts'
import { UsageError } from '../usage-error.ts'
import { renderCatalogue } from './catalogue.ts'
import { type Command, EXIT } from './command.ts'
import { listing } from './listing.ts'

const HELP = `Usage: ipcns list [--json | --markdown]

Every rule: id, area, statement, sources, requirements, arms, since which kernel;
and each row of the catalogue that is no rule here, with the reason.

  --json      the same for programs
  --markdown  the same as a page; docs/RULES.md is made with it
`

/** The `list` subcommand. */
export function listCommand(load: () => Promise<readonly Area[]>): Command {
  return {
    summary: 'the rules, and the catalogue rows that are none here',
    help: HELP,
    run: async (words) => {
      const { json, markdown } = options(words)
      const areas = await load()
      const { rules, unruled } = listing(areas)
      if (json) {
        process.stdout.write(`${JSON.stringify({ rules, unruled }, null, 2)}\n`)
        return EXIT.ok
      }
      if (markdown) {
        const titles = new Map(areas.map(({ name, title }) => [name, title]))
        process.stdout.write(renderCatalogue({ rules, unruled }, titles))
        return EXIT.ok
      }
      for (const rule of rules) {
        const only = rule.disposableOnly === undefined ? '' : ' (disposable guest only)'
        process.stdout.write(`${rule.id.padEnd(8)} ${rule.title}${only}\n`)
      }
      for (const row of unruled)
        process.stdout.write(`${row.id.padEnd(8)} no rule: ${row.title}: ${row.reason}\n`)
      process.stdout.write(`${rules.length} rules, ${unruled.length} rows without one\n`)
      return EXIT.ok
    },
  }
}

function options(words: readonly string[]): { json?: boolean; markdown?: boolean } {
  try {
    const known = { json: { type: 'boolean' }, markdown: { type: 'boolean' } } as const
    return parseArgs({ args: [...words], options: known }).values
  } catch (problem) {
    const message = problem instanceof Error ? problem.message : String(problem)
    throw new UsageError(`${message.split('. ')[0]}; see "ipcns list --help"`)
  }
}
