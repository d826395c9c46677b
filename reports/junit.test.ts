import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { describe, expect, test } from 'vitest'
import { validateXML } from 'xmllint-wasm'
import type { CellResult, Results } from '../harness/results/model.ts'
import { asset } from './asset.ts'
import { textOf } from './files.ts'
import { renderJunit } from './junit.ts'
import { sampleCell, sampleFailure, sampleResults, sampleSweep } from './sample.ts'

/** What an XML reader makes of the report; lists are lists even with one member. */
function parse(results: Results) {
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '',
    isArray: (name) => ['testsuite', 'testcase', 'property'].includes(name),
    parseAttributeValue: false,
    parseTagValue: false,
    trimValues: false,
    processEntities: { enabled: true, maxTotalExpansions: 1e6, maxExpandedLength: 1e7 },
  })
  return parser.parse(textOf(renderJunit(results))).testsuites
}

async function validate(results: Results) {
  return validateXML({
    xml: [{ fileName: 'junit.xml', contents: textOf(renderJunit(results)) }],
    schema: [asset('schema/junit.xsd')],
    initialMemoryPages: 512,
  })
}

const skipped = sampleCell({ via: 'nsenter(1)', verdict: 'skip', reason: 'nsenter(1) is not installed' })
const known = sampleCell({
  via: 'unshare',
  verdict: 'skip',
  reason: 'known deviation: the tracker has it',
  known: { reference: 'BUG-29' },
})
const broken = sampleCell({ via: 'clone3', verdict: 'error', reason: 'the probe died' })
const all = sampleResults([sampleCell(), sampleFailure({ via: 'setns-nsfd' }), skipped, known, broken])

test('the published schema accepts it and would refuse what consumers stumble over', async () => {
  for (const results of [
    all,
    sampleSweep(700, true),
    sampleResults([]),
    sampleResults([sampleCell()], { unfinished: true }),
  ])
    expect(await validate(results)).toMatchObject({ valid: true, errors: [] })
  const xml = textOf(renderJunit(all))
  for (const [from, to] of [
    ['name="svk"', 'name="s.vk"'],
    [' failures="1"', ''],
    ['678Z"', '678"'],
    ['message="nsenter(1) is not installed"', ''],
    ['hostname="localhost"', 'hostname=""'],
  ] as const) {
    expect(xml).toContain(from)
    const contents = xml.replaceAll(from, to)
    const result = await validateXML({
      xml: [{ fileName: 'x.xml', contents }],
      schema: [asset('schema/junit.xsd')],
    })
    expect(result.valid, `${from} → ${to}`).toBe(false)
  }
})

describe('what a consumer reads', () => {
  const root = parse(all)
  const suite = root.testsuite[0]
  const cases = suite.testcase as Record<string, unknown>[]

  test('counts, on the root and on the suite', () => {
    const counts = { tests: '5', failures: '1', errors: '1', skipped: '2' }
    expect(root).toMatchObject({ name: 'ipcns', ...counts })
    expect(suite).toMatchObject({ name: 'svk', id: '0', package: 'ipcns', hostname: 'localhost', ...counts })
  })

  test('where it ran', () => {
    const properties = Object.fromEntries(
      suite.properties.property.map((p: { name: string; value: string }) => [p.name, p.value]),
    )
    expect(properties).toMatchObject({
      'kernel.release': '6.18.44-test',
      'kernel.config.source': '/proc/config.gz',
      'suite.version': '1.0.0',
      uid: '0',
    })
    expect(suite.timestamp).toBe('2026-01-02T03:04:05.678Z')
  })

  test('a name that begins with the rule, a class, a place', () => {
    expect(cases[0]).toMatchObject({
      classname: 'ipcns.svk',
      name: `${sampleCell().id} ${sampleCell().title}`,
      file: 'suites/svk.ts',
      line: '14',
    })
    expect(new Set(cases.map(({ name }) => name)).size).toBe(5)
  })

  test('the reason of a skip both as attribute and as text', () => {
    expect(cases[2]).toMatchObject({ skipped: { message: skipped.reason, '#text': skipped.reason } })
    expect(cases[3]).toMatchObject({ skipped: { message: known.reason, '#text': known.reason } })
  })

  test('the proof of a failure, with a line that viewers turn into a link', () => {
    const { failure } = cases[1] as { failure: Record<string, string> }
    expect(failure.message).toBe('expected found to fail with ENOENT, got 32769')
    expect(failure['#text']).toContain('observer: msgget(0x1234abcd, 0) = 32769')
    expect(failure['#text']).toContain('\n    at SVK-01 (suites/svk.ts:14:1)')
    expect(cases[1]).not.toHaveProperty('error')
  })

  test('what the harness broke as error, never as failure', () => {
    expect(cases[4]).toMatchObject({ error: { message: 'the probe died', type: 'harness' } })
    expect(cases[4]).not.toHaveProperty('failure')
  })
})

test('a run without an end or without cells has an error of its own', () => {
  for (const results of [sampleResults([]), sampleResults([sampleCell()], { unfinished: true })])
    expect(parse(results)).toMatchObject({
      errors: '1',
      testsuite: [{ name: 'run', errors: '1' }, ...results.cells.map(() => ({}))],
    })
})

test('more cells than one batch are all there', () => {
  const results = sampleSweep(1300)
  const suites = parse(results).testsuite as { testcase: { name: string }[]; tests: string }[]
  expect(suites.flatMap((suite) => suite.testcase)).toHaveLength(1300)
  for (const suite of suites) expect(suite.testcase).toHaveLength(Number(suite.tests))
})

test('evidence is cut at twenty lines', () => {
  const evidence = Array.from({ length: 50 }, (_, place) => ({
    who: 'a',
    call: 'c',
    args: String(place),
    result: '0',
  }))
  const [suite] = parse(sampleResults([sampleFailure({ evidence })])).testsuite
  const lines = suite.testcase[0]['system-out'].split('\n')
  expect(lines).toHaveLength(20)
  expect(lines[19]).toBe('… and 31 more steps')
})

test('any text whatever gives valid XML, and the text arrives', async () => {
  const nasty = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      'a]]>b]]>c',
      '\u001b[31mred\u001b[0m',
      '\ud800',
      '<&>"\'',
      '\u0000\u0007\u0085',
      ']]>',
      '--&#x0;',
    ),
  )
  const cell = fc
    .record({ id: nasty, title: nasty, reason: nasty, observed: nasty, note: nasty, via: nasty, file: nasty })
    .map((texts): CellResult => sampleFailure({ ...texts, source: [texts.title], byHand: [texts.reason] }))
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(cell, { minLength: 1, maxLength: 4, selector: ({ id }) => id }),
      async (cells) => {
        const numbered = cells.map((one, place) => ({ ...one, id: `${place} ${one.id}` }))
        const xml = textOf(renderJunit(sampleResults(numbered)))
        expect(XMLValidator.validate(xml)).toBe(true)
      },
    ),
    { numRuns: 150 },
  )
  const results = sampleResults([sampleFailure({ reason: 'a]]>b]]>c \u001b[31mred\u001b[0m <&>"' })])
  expect(await validate(results)).toMatchObject({ valid: true })
  expect(parse(results).testsuite[0].testcase[0].failure.message).toBe('a]]>b]]>c red <&>"')
})

/** Debian's python3-junitparser, a reader that CI scripts use. */
const hasJunitparser = spawnSync('python3', ['-c', 'import junitparser']).status === 0

test.skipIf(!hasJunitparser)("Python's junitparser reads it (skipped without python3-junitparser)", () => {
  const script = `
import sys, json, junitparser
xml = junitparser.JUnitXml.fromstring(sys.stdin.buffer.read())
cases = [case for suite in xml for case in suite]
print(json.dumps({
  "counts": [xml.tests, xml.failures, xml.errors, xml.skipped],
  "suites": [suite.name for suite in xml],
  "results": [[type(one).__name__, one.message] for case in cases for one in case.result],
}))`
  const { stdout, stderr } = spawnSync('python3', ['-c', script], {
    input: textOf(renderJunit(all)),
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(JSON.parse(stdout)).toEqual({
    counts: [5, 1, 1, 2],
    suites: ['svk'],
    results: [
      ['Failure', 'expected found to fail with ENOENT, got 32769'],
      ['Skipped', 'nsenter(1) is not installed'],
      ['Skipped', 'known deviation: the tracker has it'],
      ['Error', 'the probe died'],
    ],
  })
})

test('the schema is part of the package', () => {
  expect(readFileSync(new URL('./schema/junit.xsd', import.meta.url), 'utf8')).toContain('xs:schema')
})
