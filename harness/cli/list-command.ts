import type { Area } from '../rules/rule.ts'
import { renderCatalogue } from './catalogue.ts'
import { type Command, EXIT } from './command.ts'
import { listing } from './listing.ts'
import { readOptions } from './options.ts'

const HELP = `Usage: ipcns list [--json | --markdown]

Every rule: id, area, statement, sources, requirements, arms, since which kernel;
and each row of the catalogue that is no rule here, with the reason.

  --json      the same for programs
  --markdown  the same as a page; docs/RULES.md is made with it
`

const OPTIONS = { json: { type: 'boolean' }, markdown: { type: 'boolean' } } as const

/** The `list` subcommand. */
export function listCommand(load: () => Promise<readonly Area[]>): Command {
  return {
    summary: 'the rules, and the catalogue rows that are none here',
    help: HELP,
    run: async (words) => {
      const { json, markdown } = readOptions('list', words, OPTIONS, 'none').values
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
