import { spawnSync } from 'node:child_process'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CellResult } from '../harness/results/model.ts'
import { textOf } from './files.ts'
import { FORMAT_NAMES, FORMATS, parseFormats } from './formats.ts'
import { renderGithub } from './github.ts'
import { renderKcidb } from './kcidb.ts'
import { renderKirk } from './kirk.ts'
import { renderKtap } from './ktap.ts'
import { renderLava } from './lava.ts'
import { sampleCell, sampleFailure, sampleResults, sampleSweep } from './sample.ts'
import { renderTmt } from './tmt.ts'

const sweep = sampleSweep(1200, true)
const unfinished = sampleResults([sampleCell()], { unfinished: true })
const empty = sampleResults([])

/** Names and messages of any script, with what formats give a meaning to. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom('a # SKIP b', 'not ok 1', '\n::error::x', '%0A', '\u001b[31m', '"\\', '1..0', '-x', ''),
)
const nastyResults = fc
  .array(fc.record({ rule: nasty, area: nasty, reason: nasty, via: nasty, title: nasty }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((list) =>
    sampleResults(
      list.map((texts, place): CellResult => {
        const verdict = (['fail', 'skip', 'error', 'pass'] as const)[place % 4] ?? 'fail'
        return sampleFailure({ ...texts, verdict, rule: `${texts.rule}${place}`, id: `${place}${texts.via}` })
      }),
    ),
  )

test.each(FORMAT_NAMES)('%s: the same results give the same bytes', (name) => {
  const copy = structuredClone(sweep)
  expect(textOf(FORMATS[name].render(copy))).toBe(textOf(FORMATS[name].render(sweep)))
})

test.each(FORMAT_NAMES)('%s tells no host and no environment', (name) => {
  process.env.IPCNS_TEST_SECRET = 'hunter2-in-the-environment'
  const text = textOf(FORMATS[name].render(sweep))
  expect(text).not.toContain('hunter2')
  expect(text).not.toContain(process.cwd())
})

test('a list of formats is read', () => {
  expect(parseFormats('html, ktap,,html')).toEqual({ formats: ['html', 'ktap'], unknown: [] })
  expect(parseFormats('html,pdf')).toEqual({ formats: ['html'], unknown: ['pdf'] })
  expect(parseFormats('constructor').unknown).toEqual(['constructor'])
})

describe('KTAP', () => {
  test.skipIf(spawnSync('perl', ['-MTAP::Parser', '-e', '1']).status !== 0)(
    "Perl's TAP::Parser reads every level of it (skipped without Perl)",
    () => {
      const text = textOf(renderKtap(sweep))
      const levels = documentsOf(text).map((document) => ({ document, read: perl(document) }))
      expect(levels).toHaveLength(1 + 13 + 15)
      for (const { document, read } of levels) {
        expect(read.errors, document).toBe('')
        expect(read.run).toBe(read.planned)
      }
      const cells = levels.filter(({ document }) => /^(not )?ok \d+ [A-Z]+-\d+\//m.test(document))
      const sum = (key: 'run' | 'failed' | 'skipped') => cells.reduce((all, { read }) => all + read[key], 0)
      expect(sum('run')).toBe(1200)
      expect(sum('failed')).toBe(sweep.summary.fail + sweep.summary.error)
      expect(sum('skipped')).toBe(sweep.summary.skip)
    },
  )

  test('follows the line grammar of the kernel documentation', () => {
    // Documentation/dev-tools/ktap.rst: version line, plan, "<result> <number> [<description>][ # [<directive>]
    // [<diagnostic data>]]", diagnostics "#"; subtests two spaces deeper, with a version line of their own.
    const line = /^( {2}){0,2}(KTAP version 1|1\.\.\d+|# .*|(not )?ok \d+ [^#]+( # (SKIP|ERROR) \S.*)?)$/
    fc.assert(
      fc.property(nastyResults, (results) => {
        for (const text of textOf(renderKtap(results)).trimEnd().split('\n')) expect(text).toMatch(line)
      }),
    )
    const skips = [...textOf(renderKtap(sweep)).matchAll(/# SKIP (.*)/g)].map(([, reason]) => reason)
    expect(new Set(skips)).toEqual(
      new Set([
        'known deviation: the tracker has it',
        'user namespaces are disabled here',
        'nsenter(1) is not installed',
        'see its rules',
      ]),
    )
  })

  test('a run without an end or cells is not ok', () => {
    for (const results of [unfinished, empty])
      expect(textOf(renderKtap(results))).toMatch(/^not ok 1 run # ERROR/m)
  })
})

describe('kirk', () => {
  // libkirk/export.py, JSONExporter.save_file: these members, these five words.
  const strings = { type: 'array', items: { type: 'string' } }
  const count = { type: 'integer', minimum: 0 }
  const status = { enum: ['pass', 'brok', 'warn', 'conf', 'fail'] }
  const counts = { failed: count, passed: count, broken: count, skipped: count, warnings: count }
  const exact = (properties: Record<string, unknown>) => ({
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  })
  const string = { type: 'string' }
  const schema = exact({
    results: {
      type: 'array',
      items: exact({
        test_fqn: string,
        status,
        test: exact({
          command: string,
          arguments: strings,
          log: string,
          retval: strings,
          duration: { type: 'number' },
          ...counts,
          result: status,
        }),
      }),
    },
    stats: exact({ runtime: { type: 'number' }, ...counts }),
    environment: exact(
      Object.fromEntries(
        ['distribution', 'distribution_version', 'kernel', 'cmdline', 'arch', 'cpu', 'swap', 'RAM'].map(
          (name) => [name, string],
        ),
      ),
    ),
  })

  test('has what kirk writes, and one test a rule', () => {
    const validate = new Ajv().compile(schema)
    for (const results of [sweep, unfinished, empty]) {
      const json = JSON.parse(textOf(renderKirk(results)))
      expect(validate(json), JSON.stringify(validate.errors)).toBe(true)
    }
    const { results, stats } = JSON.parse(textOf(renderKirk(sweep)))
    expect(results).toHaveLength(sweep.summary.rules)
    expect(stats).toMatchObject({
      passed: sweep.summary.pass,
      failed: sweep.summary.fail,
      broken: 12,
      warnings: 12,
    })
    const svk = results.find((entry: { test_fqn: string }) => entry.test_fqn === 'SVK-01')
    expect(svk).toMatchObject({ status: 'fail', test: { failed: 36, passed: 48 } })
    expect(svk.test.log).toContain('observer: msgget(0x1234abcd, 0) = 32769')
  })

  test('a run without an end or cells is broken', () => {
    for (const results of [unfinished, empty])
      expect(JSON.parse(textOf(renderKirk(results))).results[0].status).toBe('brok')
  })
})

describe('tmt', () => {
  // From tmt/schemas/results.yaml and common.yaml, the parts we write.
  const outcome = { enum: ['pass', 'fail', 'info', 'warn', 'error', 'skip', 'pending'] }
  const duration = { type: 'string', pattern: '^[0-9]{2,}:[0-5][0-9]:[0-5][0-9]$' }
  const note = { type: 'array', items: { type: 'string' } }
  const schema = {
    type: 'array',
    items: {
      type: 'object',
      additionalProperties: false,
      required: ['name', 'result'],
      properties: {
        name: { type: 'string', pattern: '^/.*' },
        result: outcome,
        note,
        duration,
        subresult: {
          type: 'array',
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['name', 'result'],
            properties: { name: { type: 'string' }, result: outcome, note, duration },
          },
        },
      },
    },
  }

  test('follows its schema, whatever the texts', () => {
    const validate = new Ajv().compile(schema)
    const check = (json: unknown): void => {
      expect(validate(json), JSON.stringify(validate.errors)).toBe(true)
    }
    for (const results of [sweep, unfinished, empty]) check(JSON.parse(textOf(renderTmt(results))))
    fc.assert(fc.property(nastyResults, (results) => check(JSON.parse(textOf(renderTmt(results))))))
    const list = JSON.parse(textOf(renderTmt(sweep)))
    expect(list).toHaveLength(sweep.summary.rules)
    expect(list.flatMap((entry: { subresult: unknown[] }) => entry.subresult)).toHaveLength(1200)
    expect(list.find((entry: { name: string }) => entry.name === '/prc/PRC-01').result).toBe('info')
  })

  test('a run without an end or cells is an error', () => {
    for (const results of [unfinished, empty])
      expect(JSON.parse(textOf(renderTmt(results)))[0]).toMatchObject({ name: '/run', result: 'error' })
  })
})

describe('KCIDB', () => {
  // From kcidb_io/schema/v05_03.py, v05_00.py and v03_00.py, the parts we write.
  const id = { type: 'string', pattern: '^[a-z0-9_]+:[^\\0]*$' }
  const line = { type: 'string', pattern: '^[^\\0]*$' }
  const schema = {
    type: 'object',
    required: ['version'],
    additionalProperties: false,
    properties: {
      version: { const: { major: 5, minor: 3 } },
      tests: {
        type: 'array',
        items: {
          type: 'object',
          required: ['id', 'origin', 'build_id'],
          additionalProperties: false,
          properties: {
            id,
            build_id: id,
            origin: { type: 'string', pattern: '^[a-z0-9_]+$' },
            path: { type: 'string', pattern: '^([a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*)?$' },
            status: { enum: ['FAIL', 'ERROR', 'MISS', 'PASS', 'DONE', 'SKIP'] },
            comment: line,
            log_excerpt: { type: 'string', maxLength: 16384, pattern: '^[^\\0]*$' },
            duration: { type: 'number' },
            start_time: { type: 'string' },
            environment: {
              type: 'object',
              additionalProperties: false,
              properties: { comment: line, misc: { type: 'object' } },
            },
            misc: { type: 'object' },
          },
        },
      },
    },
  }

  test('follows its schema, whatever the texts, with unique ids', () => {
    const validate = new Ajv().compile(schema)
    const check = (text: string) => {
      const json = JSON.parse(text)
      expect(validate(json), JSON.stringify(validate.errors)).toBe(true)
      expect(text).not.toMatch(/null|\\u0000/)
    }
    for (const results of [sweep, unfinished, empty]) check(textOf(renderKcidb(results)))
    fc.assert(fc.property(nastyResults, (results) => check(textOf(renderKcidb(results)))))
    const { tests } = JSON.parse(textOf(renderKcidb(sweep)))
    expect(new Set(tests.map((one: { id: string }) => one.id)).size).toBe(sweep.summary.rules)
    const long = sampleFailure({ observed: '\u{1d11e}'.repeat(20_000) })
    const [{ log_excerpt: excerpt }] = JSON.parse(textOf(renderKcidb(sampleResults([long])))).tests
    expect(Buffer.byteLength(excerpt)).toBeLessThanOrEqual(16_384)
  })

  test('a run without an end or cells is an error', () => {
    for (const results of [unfinished, empty])
      expect(JSON.parse(textOf(renderKcidb(results))).tests[0].status).toBe('ERROR')
  })
})

describe('LAVA', () => {
  test('is a shell script that a shell runs, whatever the texts', () => {
    // What a LAVA overlay's lava-test-case and lava-test-set take, as functions that print what they got.
    const head = 'lava-test-case() { echo "case $# $1 $2 $3"; }; lava-test-set() { echo "set $1 $2"; }\n'
    const run = (script: string) => spawnSync('bash', ['-c', head + script], { encoding: 'utf8' })
    fc.assert(
      fc.property(nastyResults, (results) => {
        const { stdout, stderr } = run(textOf(renderLava(results)))
        expect(stderr).toBe('')
        for (const line of stdout.trimEnd().split('\n'))
          expect(line).toMatch(
            /^(case 3 [A-Za-z0-9_][A-Za-z0-9_-]* --result (pass|fail|skip|unknown)|set (start [A-Za-z0-9_-]+|stop ?))$/,
          )
      }),
      { numRuns: 25 },
    )
    const { stdout } = run(textOf(renderLava(sweep)))
    expect(stdout.match(/^case/gm)).toHaveLength(sweep.summary.rules)
    expect(stdout).toContain('case 3 SVK-01 --result fail')
    expect(stdout).toContain('case 3 MQM-01 --result unknown')
  })

  test('a run without an end or cells fails', () => {
    for (const results of [unfinished, empty])
      expect(textOf(renderLava(results))).toContain('lava-test-case RUN --result fail')
  })
})

describe('GitHub', () => {
  test('one annotation for each kind of finding, at the rule, the verdict first', () => {
    const lines = renderGithub(sweep).trimEnd().split('\n')
    expect(lines[0]).toMatch(/^::error title=ipcns::DOES NOT CONFORM: 2 rules broken/)
    expect(lines[1]).toMatch(/^::error file=suites\/svk.ts,line=14,title=SVK-01 does not conform::/)
    expect(lines.filter((line) => line.startsWith('::notice'))).toHaveLength(1)
    expect(renderGithub(sampleResults([sampleCell()]))).toMatch(/^::notice title=ipcns::CONFORMS/)
  })

  test('no text can begin a command of its own', () => {
    fc.assert(
      fc.property(nastyResults, (results) => {
        for (const line of renderGithub(results).trimEnd().split('\n'))
          expect(line).toMatch(
            /^(::(error|warning|notice) ((file=[^,:]*,line=\d+,)?title=[^,:]*)::[^\n\r]*|\d+ more findings .*)$/,
          )
      }),
    )
  })

  test('stays within what GitHub shows', () => {
    const cells = Array.from({ length: 40 }, (_, place) => sampleFailure({ rule: `SVK-${place}` }))
    const text = renderGithub(sampleResults(cells))
    expect(text.match(/^::error/gm)).toHaveLength(10)
    expect(text).toContain('31 more findings')
  })
})

/** The documents of a KTAP text, one a level, without the indentation of their level. */
function documentsOf(text: string): string[] {
  const done: string[][] = []
  const open: string[][] = []
  for (const line of text.trimEnd().split('\n')) {
    const depth = (/^ */.exec(line)?.[0].length ?? 0) / 2
    while (open.length > depth + 1) done.push(open.pop() as string[])
    if (open.length === depth) open.push([])
    open[depth]?.push(line.trimStart())
  }
  return [...done, ...open].map((lines) => `${lines.join('\n')}\n`)
}

function perl(document: string) {
  const script = `use TAP::Parser; local $/; my $p = TAP::Parser->new({ tap => scalar <STDIN> }); $p->run;
    print join("|", $p->tests_run, $p->tests_planned, scalar($p->failed), scalar($p->skipped), join(";", $p->parse_errors));`
  const { stdout } = spawnSync('perl', ['-e', script], { input: document, encoding: 'utf8' })
  const [run, planned, failed, skipped, errors] = stdout.split('|')
  return {
    run: Number(run),
    planned: Number(planned),
    failed: Number(failed),
    skipped: Number(skipped),
    errors,
  }
}
