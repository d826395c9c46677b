import pc from 'picocolors'
import { cleanLine } from '../../reports/clean.ts'
import { wrap } from '../../reports/wrap.ts'
import type { Item, KconfigReport } from './check.ts'
import type { Prediction } from './predict.ts'
import { stateText } from './state.ts'

/** How wide and whether in colour. */
export interface TextStyle {
  /** Columns. */
  width: number
  colour: boolean
}

type Colours = ReturnType<typeof pc.createColors>

/** The report for a person at a terminal. */
export function renderText(report: KconfigReport, style: TextStyle): string {
  const colours = pc.createColors(style.colour)
  const paragraphs = [
    head(report, colours),
    ...table(
      'Required',
      report.items.filter(({ level }) => level === 'required'),
      style,
      colours,
    ),
    ...table(
      'Asked for',
      report.items.filter(({ level }) => level === 'asked'),
      style,
      colours,
    ),
    ...table(
      'Optional',
      report.items.filter(({ level }) => level === 'optional'),
      style,
      colours,
    ),
    ...disagreements(report, style, colours),
    ...prediction(report.predictions, style),
    ...fragment(report),
    [verdict(report, colours)],
  ]
  return `${paragraphs.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

function head({ config, running, looked, unreadable, warnings }: KconfigReport, colours: Colours): string[] {
  const what = config
    ? [
        `Kernel configuration: ${cleanLine(config.path)}`,
        `  ${config.kind === 'full' ? 'full' : 'a fragment'}, ${config.version ?? 'no version in its header'}${config.gzip ? ', gzip' : ''}; running kernel ${running}`,
        `  sha256 ${config.sha256}`,
      ]
    : [
        `Kernel configuration: none found for the running kernel ${running}; looked for`,
        ...looked.map((path) => `  ${path}`),
      ]
  return [
    ...what,
    ...unreadable.map(
      ({ path, reason }) => `  ${colours.yellow('note:')} ${cleanLine(path)} cannot be read (${reason})`,
    ),
    ...warnings.map((text) => `  ${colours.yellow('warning:')} ${cleanLine(text)}`),
  ]
}

function table(title: string, items: readonly Item[], style: TextStyle, colours: Colours): string[][] {
  if (items.length === 0) return []
  const present = items.filter((item) => item.present === 'yes').length
  const names = Math.max(...items.map(({ name }) => name.length))
  const states = Math.max(...items.map((item) => itemState(item).length))
  const indent = ' '.repeat(2 + 2 + names + 2 + states + 2)
  const rows = items.flatMap((item) => {
    const text = `${item.why} [${item.source}]${item.remark ? `; ${item.remark}` : ''}`
    const [first = '', ...more] = wrap(text, Math.max(style.width - indent.length, 30))
    const start = `  ${mark(item, colours)} ${item.name.padEnd(names)}  ${itemState(item).padEnd(states)}  `
    return [`${start}${first}`, ...more.map((line) => `${indent}${line}`)]
  })
  return [[colours.bold(`${title}: ${present} of ${items.length} present`), ...rows]]
}

function itemState(item: Item): string {
  const written = item.state ? stateText(item.state) : item.present === 'yes' ? 'holds' : 'does not hold'
  if (!item.observed || item.observed.works === null) return written
  return `${written}, ${item.observed.works ? 'works' : 'fails'}`
}

function mark(item: Item, colours: Colours): string {
  if (item.present === 'yes') return colours.green('+')
  if (item.level === 'optional') return colours.yellow('-')
  return item.present === 'no' ? colours.red('x') : colours.yellow('?')
}

function disagreements(report: KconfigReport, style: TextStyle, colours: Colours): string[][] {
  if (!report.verified) return []
  const lines = report.disagreements.flatMap(({ kind, message }) => {
    const word = kind === 'finding' ? colours.red('finding:') : colours.yellow('note:')
    const [first = '', ...more] = wrap(message, Math.max(style.width - 11, 30))
    return [`  ${word} ${first}`, ...more.map((line) => `    ${line}`)]
  })
  const title = colours.bold('Against the running kernel')
  return [lines.length > 0 ? [title, ...lines] : [`${title}: nothing that was observed contradicts it`]]
}

function prediction(predictions: readonly Prediction[], style: TextStyle): string[][] {
  if (predictions.length === 0) return []
  const count = (outcome: Prediction['outcome']) =>
    predictions.filter((one) => one.outcome === outcome).length
  const open = count('unknown') > 0 ? `, ${count('unknown')} cannot be told` : ''
  const byReason = new Map<string, string[]>()
  for (const { id, outcome, reason } of predictions) {
    if (outcome === 'run') continue
    const ids = byReason.get(reason) ?? []
    byReason.set(reason, [...ids, id])
  }
  const rows = [...byReason].flatMap(([reason, ids]) => [
    `  ${reason}`,
    ...wrap(ids.join(' '), Math.max(style.width - 4, 30)).map((line) => `    ${line}`),
  ])
  return [
    [
      `Prediction: ${count('run')} of ${predictions.length} rules run, ${count('skip')} are skipped${open}`,
      ...rows,
    ],
  ]
}

function fragment({ fragment: { required, optional } }: KconfigReport): string[][] {
  const part = (title: string, lines: string[]) => (lines.length > 0 ? [[title, ...lines]] : [])
  return [
    ...part('To add, required:', required),
    ...part('To add so that no rule is skipped, optional:', optional),
  ]
}

function verdict({ verdict: word, because }: KconfigReport, colours: Colours): string {
  const colour = { pass: colours.green, fail: colours.red, unknown: colours.yellow }[word]
  return `${colour(word.toUpperCase())}: ${because}`
}
