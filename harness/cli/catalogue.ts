import type { ListedRule, Listing } from './listing.ts'

/**
 * The checked-in catalogue of the rules as a page: made from the rules, so that a change of one is seen in
 * review. `titles` names each area.
 */
export function renderCatalogue({ rules, unruled }: Listing, titles: ReadonlyMap<string, string>): string {
  const sections = [...titles].map(([name, title]) => {
    const own = rules.filter((rule) => rule.area === name)
    const without = unruled.filter((row) => row.area === name)
    const parts = [`## ${name.toUpperCase()}: ${title}`, ...own.map(ruleText)]
    if (without.length > 0)
      parts.push(
        `### Rows without a rule\n\n${without.map(({ id, title: says, reason }) => `- **${id}** ${says}: ${reason}`).join('\n')}`,
      )
    return parts.join('\n\n')
  })
  return `# The rules

Made from the rules by \`npm run catalogue\`; a test compares. How a verdict is to be read stands in
[INTERPRETING.md](INTERPRETING.md). ${rules.length} rules; ${unruled.length} rows of the catalogue have none, each with the reason.

${sections.join('\n\n')}
`
}

function ruleText(rule: ListedRule): string {
  const facts = [
    `- source: ${rule.source.join('; ')}`,
    `- arms: ${rule.arms.treatment} / ${rule.arms.control}`,
    rule.needs.length > 0 ? `- needs: ${rule.needs.map(({ name }) => name).join(', ')}` : '',
    ...Object.entries(rule.variantNeeds ?? {}).map(
      ([variant, needs]) => `- ${variant} needs besides: ${needs.map(({ name }) => name).join(', ')}`,
    ),
    rule.initialNeeds
      ? `- in the initial namespace needs besides: ${rule.initialNeeds.map(({ name }) => name).join(', ')}`
      : '',
    rule.since === undefined ? '' : `- since: Linux ${rule.since}`,
    rule.variants === undefined ? '' : `- for each of: ${rule.variants.join(', ')}`,
    rule.bugs === undefined ? '' : `- known bugs it shows: ${rule.bugs.join(', ')}`,
    rule.disposableOnly === undefined ? '' : `- disposable guest only: ${rule.disposableOnly}`,
  ]
  return [`### ${rule.id}`, rule.title, facts.filter(Boolean).join('\n')].join('\n\n')
}
