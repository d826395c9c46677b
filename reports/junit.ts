import junit from 'junit-report-builder'
import { type CellResult, type Results, type RunInfo, summarize } from '../harness/results/model.ts'
import { areasOf } from './areas.ts'
import { clean, cleanLine, shorten } from './clean.ts'
import { GATE_TITLE, gateReason } from './gate.ts'
import { headlineOf, proofOf, stepLine } from './proof.ts'

/**
 * JUnit XML in the one layout that all consumers read (ECOSYSTEM section 1): flat suites, one an area, all
 * counts, skip reasons both as attribute and as text. junit-report-builder makes the elements; what it lacks
 * or gets wrong is put right here:
 * - it keeps no message for skips and knows no line, id, package or hostname: set on the built element;
 * - of several `]]>` in CDATA it escapes the first only: no CDATA, escaped text instead;
 * - it leaves remains of ANSI sequences: text is cleaned before;
 * - its tree of 100,000 cells takes a gigabyte: built in batches, joined as text.
 */
export function* renderJunit(results: Results): Generator<string> {
  const { run } = results
  const gate = gateOf(results)
  const all = summarize(results.cells)
  const seconds = secondsOf(run.durationMs)
  yield '<?xml version="1.0" encoding="UTF-8"?>\n'
  yield `<testsuites name="ipcns" tests="${results.cells.length + (gate ? 1 : 0)}" failures="${all.fail}" ` +
    `errors="${all.error + (gate ? 1 : 0)}" skipped="${all.skip}" time="${seconds}">\n`
  let id = 0
  if (gate) yield* suite('run', id++, run, [gate])
  for (const area of areasOf(results.cells)) {
    const cells = results.cells.filter((cell) => cell.area === area)
    yield* suite(area, id++, run, cells)
  }
  yield '</testsuites>\n'
}

/** Cells built at once. */
const BATCH = 500
/** Lines of evidence in system-out; consumers make a step of each. */
const EVIDENCE_LINES = 20

type Builder = ReturnType<typeof junit.newBuilder>
type TestCase = ReturnType<Builder['testCase']>
type Element = ReturnType<TestCase['build']>

function* suite(area: string, id: number, run: RunInfo, cells: readonly CellResult[]): Generator<string> {
  yield openingOf(area, id, run, cells)
  for (let start = 0; start < cells.length; start += BATCH) {
    const builder = junit.newBuilder()
    for (const cell of cells.slice(start, start + BATCH)) addCase(builder, cell)
    yield inside(builder.build(), 'testsuites')
  }
  yield '  </testsuite>\n'
}

/** `<testsuite …>` and its properties, without the end. */
function openingOf(area: string, id: number, run: RunInfo, cells: readonly CellResult[]): string {
  const counts = summarize(cells)
  const node = junit.newBuilder()
  const suiteNode = node
    .testSuite()
    // A dot would end the name for openQA.
    .name(cleanLine(area).replace(/[.\s]+/g, '-') || 'unnamed')
    .timestamp(run.started)
    .time(seconds(cells))
  const { config } = run.kernel
  const properties: [string, string][] = [
    ['kernel.release', run.kernel.release],
    ['kernel.arch', run.kernel.arch],
    ['kernel.config.source', config?.source ?? 'none'],
    ['kernel.config.sha256', config?.sha256 ?? 'none'],
    ['suite.version', run.suiteVersion],
    ['profile', run.profile],
    ['node', run.node],
    ['uid', String(run.uid)],
    ['capabilities', run.capabilities.join(' ')],
    ['known.deviations', String(counts.known)],
  ]
  for (const [name, value] of properties) suiteNode.property(name, cleanLine(value))
  whenBuilt(suiteNode, (element) => {
    element.att('id', id)
    element.att('package', 'ipcns')
    // The host is not told unless asked for; JUnit's schema wants this word then.
    element.att('hostname', cleanLine(run.host) || 'localhost')
    element.att('tests', cells.length)
    element.att('failures', counts.fail)
    element.att('errors', counts.error)
    element.att('skipped', counts.skip)
  })
  const text = inside(node.build(), 'testsuites')
  return `${text.slice(0, text.lastIndexOf('</testsuite>')).trimEnd()}\n`
}

function addCase(builder: Builder, cell: CellResult): void {
  const node = builder
    .testCase()
    .className(`ipcns.${cleanLine(cell.area)}`)
    .name(cleanLine(`${cell.id} ${cell.title}`))
    .file(cleanLine(cell.file))
    .time(secondsOf(cell.ms))
  node.property('rule.id', cleanLine(cell.rule))
  if (cell.source.length > 0) node.property('spec.ref', cleanLine(cell.source.join('; ')))
  if (cell.requires?.length) node.property('requires', cleanLine(cell.requires.join(' ')))
  if (cell.note) node.property('note', cleanLine(cell.note))
  if (cell.known) node.property('known', cleanLine(cell.known.reference))
  const message = shorten(headlineOf(cell), 200)
  if (cell.verdict === 'fail') node.failure(message, 'nonconformance')
  if (cell.verdict === 'error') node.error(message, 'harness')
  if (cell.verdict === 'skip') node.skipped()
  whenBuilt(node, (element) => {
    element.att('line', cell.line)
    if (cell.verdict === 'fail') child(element, 'failure').txt(bodyOf(cell))
    if (cell.verdict === 'error') child(element, 'error').txt(bodyOf(cell))
    if (cell.verdict === 'skip') {
      const reason = cleanLine(cell.reason ?? 'no reason given')
      child(element, 'skipped').att('message', reason).txt(reason)
    }
    const steps = (cell.evidence ?? []).map((step) => stepLine(step))
    if (steps.length > 0) element.ele('system-out').txt(firstLines(steps).join('\n'))
  })
}

/** The proof as text, ending in a line that viewers turn into a link to the rule. */
function bodyOf(cell: CellResult): string {
  const parts = proofOf(cell).map(
    ({ name, lines }) => `${name}: ${lines.join(lines.length > 1 ? '\n  ' : '')}`,
  )
  return clean([cell.title, ...parts, `    at ${cell.rule} (${cell.file}:${cell.line}:1)`].join('\n'))
}

function firstLines(lines: string[]): string[] {
  if (lines.length <= EVIDENCE_LINES) return lines
  return [...lines.slice(0, EVIDENCE_LINES - 1), `… and ${lines.length - EVIDENCE_LINES + 1} more steps`]
}

/** The case for what no cell says. */
function gateOf(results: Results): CellResult | null {
  const reason = gateReason(results)
  if (reason === null) return null
  return {
    id: 'RUN',
    rule: 'RUN',
    area: 'run',
    title: GATE_TITLE,
    source: [],
    arm: 'treatment',
    place: 'stranger',
    direction: 'none',
    via: 'none',
    flags: [],
    verdict: 'error',
    reason,
    ms: 0,
    file: 'harness/bin/ipcns.ts',
    line: 1,
  }
}

/** Lets `more` work on the element once the library has made it. */
function whenBuilt<Parent, Node extends { build(parent?: Parent): Element }>(
  node: Node,
  more: (element: Element) => void,
): void {
  const build = node.build.bind(node)
  node.build = (parent?: Parent) => {
    const element = build(parent)
    more(element)
    return element
  }
}

function child(element: Element, name: string): Element {
  const found = element.children.find((node) => 'name' in node && node.name === name)
  if (!found) throw new Error(`junit-report-builder made no <${name}>`)
  return found as Element
}

/** What stands between the first start tag and the last end tag of `name`. */
function inside(xml: string, name: string): string {
  const start = xml.indexOf('>', xml.indexOf(`<${name}`)) + 1
  const end = xml.lastIndexOf(`</${name}>`)
  return end < start ? '' : `${xml.slice(start, end).replace(/^\n/, '').trimEnd()}\n`
}

function seconds(cells: readonly CellResult[]): number {
  return secondsOf(cells.reduce((sum, cell) => sum + cell.ms, 0))
}

/** Seconds with three decimals: the schema of Jenkins' xunit plugin takes no more. */
function secondsOf(milliseconds: number): number {
  return Math.round(Math.max(0, milliseconds)) / 1000
}
