import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { XMLParser } from 'fast-xml-parser'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { judge } from '../harness/results/judge.ts'
import type { CellResult } from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { sampleCell, sampleFailure, sampleRun, sampleSweep } from './sample.ts'
import { NEVER_RAN, openRun, readResults } from './store.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ipcns-store-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const steps = [{ who: 'actor', call: 'msgget', args: '1', result: '2' }]

describe('a run that is written down', () => {
  test('is readable and red before the first cell', () => {
    openRun(directory, sampleRun(), [sampleCell(), sampleCell({ via: 'clone3' })])
    const results = readResults(directory)
    expect(results.run.unfinished).toBe(true)
    expect(results.summary).toMatchObject({ pass: 0, error: 2 })
    expect(results.cells[0]).toMatchObject({ verdict: 'error', reason: NEVER_RAN })
    expect(judge(results).status).toBe(2)
    const junit = new XMLParser({ ignoreAttributes: false }).parse(
      readFileSync(join(directory, 'junit.xml'), 'utf8'),
    )
    expect(junit.testsuites['@_errors']).toBe('3')
  })

  test('is finished with what came, in the order of the plan', () => {
    const plan = [sampleCell(), sampleCell({ via: 'clone3' }), sampleCell({ via: 'unshare' })]
    const run = openRun(directory, sampleRun(), plan)
    run.add(plan[2] as CellResult)
    run.add(plan[0] as CellResult)
    const paths = run.finish({ durationMs: 12 }, ['ktap', 'terminal'])
    expect(paths.map((path) => path.slice(directory.length + 1))).toEqual([
      'results.json',
      'junit.xml',
      'results.ktap',
      'summary.txt',
    ])
    const results = readResults(directory)
    expect(results.run.unfinished).toBeUndefined()
    expect(results.run.durationMs).toBe(12)
    expect(results.cells.map((cell) => cell.verdict)).toEqual(['pass', 'error', 'pass'])
    expect(results).toEqual(run.results())
    expect(readdirSync(directory).sort()).toEqual([
      'junit.xml',
      'results.json',
      'results.ktap',
      'summary.txt',
    ])
  })

  test('gives the same bytes in whatever order the cells finish', () => {
    const { cells } = sampleSweep(600, true)
    const bytes = [cells, [...cells].reverse()].map((order, place) => {
      const where = join(directory, String(place))
      const run = openRun(where, sampleRun(), cells)
      for (const cell of order) run.add(cell)
      run.add(sampleCell({ id: `unplanned-${place === 0 ? 'a' : 'b'}` }))
      run.add(sampleCell({ id: `unplanned-${place === 0 ? 'b' : 'a'}` }))
      return run.finish({ durationMs: 1 }, ['html']).map((path) => readFileSync(path, 'utf8'))
    })
    expect(bytes[0]).toEqual(bytes[1])
  })

  test('keeps evidence of what did not pass and of the first passing cell of a rule and arm', () => {
    const plan = ['clone', 'clone3', 'unshare'].map((via) => sampleCell({ via, evidence: steps }))
    plan.push(sampleFailure({ via: 'setns-nsfd' }), sampleCell({ flags: [], evidence: steps }))
    const run = openRun(directory, sampleRun(), plan)
    for (const place of [2, 1, 3, 0, 4]) run.add(plan[place] as CellResult)
    const kept = run.results().cells.map((cell) => cell.evidence !== undefined)
    expect(kept).toEqual([true, false, false, true, true])
  })

  test('never lets a second result make a cell better', () => {
    const run = openRun(directory, sampleRun(), [sampleCell()])
    run.add(sampleFailure())
    run.add(sampleCell())
    expect(run.results().cells[0]?.verdict).toBe('fail')
  })

  test('refuses a plan with an id twice', () => {
    expect(() => openRun(directory, sampleRun(), [sampleCell(), sampleCell()])).toThrow('SVK-01/')
  })

  test('replaces a link instead of following it', () => {
    const victim = join(directory, 'victim')
    writeFileSync(victim, 'precious')
    for (const name of ['results.json', 'junit.xml', 'cells.ndjson'])
      symlinkSync(victim, join(directory, name))
    openRun(directory, sampleRun(), [sampleCell()]).finish({ durationMs: 1 })
    expect(readFileSync(victim, 'utf8')).toBe('precious')
  })

  test('says in one sentence where it cannot write', () => {
    writeFileSync(join(directory, 'file'), '')
    for (const place of [join(directory, 'file'), join(directory, 'file/deeper'), '/proc/ipcns/x'])
      expect(() => openRun(place, sampleRun(), [])).toThrow(UsageError)
  })

  test.skipIf(process.getuid?.() !== 0)(
    'belongs to the caller of sudo, what was there before does not',
    () => {
      chmodSync(directory, 0o755)
      const before = { ...process.env }
      Object.assign(process.env, { SUDO_UID: '12345', SUDO_GID: '23456' })
      try {
        openRun(join(directory, 'a/b'), sampleRun(), [sampleCell()]).finish({ durationMs: 1 }, ['html'])
      } finally {
        process.env = before
      }
      const owners = ['a', 'a/b', 'a/b/results.json', 'a/b/junit.xml', 'a/b/report.html'].map((name) => {
        const { uid, gid } = statSync(join(directory, name))
        return `${uid}:${gid}`
      })
      expect(new Set(owners)).toEqual(new Set(['12345:23456']))
      expect(statSync(directory).uid).toBe(0)
    },
  )
})

describe('a run that is killed', () => {
  test('leaves what it had finished, and the rest as errors', async () => {
    const child = await program(`
      const { cells } = sampleSweep(400)
      const run = openRun(process.argv[2], sampleRun(), cells)
      for (const cell of cells.slice(0, 300)) run.add(cell)
      setTimeout(() => { run.add(cells[300]); process.kill(process.pid, 'SIGKILL') }, 600)
    `)
    const { signal } = await child([directory])
    expect(signal).toBe('SIGKILL')
    const results = readResults(directory)
    expect(results.run.unfinished).toBe(true)
    expect(results.summary).toMatchObject({ error: 100 })
    expect(results.cells.filter((cell) => cell.reason === NEVER_RAN)).toHaveLength(100)
    expect(results.cells.at(-1)?.verdict).toBe('error')
    expect(judge(results).status).toBe(2)
    expect(existsSync(join(directory, 'cells.ndjson'))).toBe(true)
  })

  test('by process.exit loses nothing that was added', async () => {
    const child = await program(`
      const { cells } = sampleSweep(50)
      const run = openRun(process.argv[2], sampleRun(), cells)
      for (const cell of cells) run.add(cell)
      process.exit(3)
    `)
    expect((await child([directory])).code).toBe(3)
    const results = readResults(directory)
    expect(results.summary.error).toBe(0)
    expect(judge(results)).toMatchObject({ conclusion: 'broken', headline: 'RUN NOT FINISHED' })
  })
})

test('100,000 cells are written in 400 MB', async () => {
  const child = await program(`
    const { cells } = sampleSweep(100000, true)
    const run = openRun(process.argv[2], sampleRun(), cells)
    for (const cell of cells) run.add(cell)
    run.finish({ durationMs: 1 })
  `)
  const { code } = await child([directory], ['--max-old-space-size=400'])
  expect(code).toBe(0)
  expect(readResults(directory).cells).toHaveLength(100_000)
}, 120_000)

/** Bundles a little program around the store and gives a function that runs it. */
async function program(source: string) {
  const outfile = join(directory, 'program.cjs')
  const room = dirname(fileURLToPath(import.meta.url))
  const head = `import { openRun } from './store.ts'\nimport { sampleRun, sampleSweep } from './sample.ts'\n`
  await build({
    stdin: { contents: head + source, resolveDir: room, loader: 'ts' },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'error',
    // Only the HTML report asks for it.
    define: { 'import.meta.url': '"file:///"' },
  })
  return (args: string[], nodeArgs: string[] = []) =>
    new Promise<{ code: number | null; signal: string | null }>((resolve) => {
      spawn(process.execPath, [...nodeArgs, outfile, ...args], { stdio: 'inherit' }).on(
        'exit',
        (code, signal) => resolve({ code, signal }),
      )
    })
}
