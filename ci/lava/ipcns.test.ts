import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipcns-lava-'))
  mkdirSync(join(home, 'harness/bin'), { recursive: true })
  mkdirSync(join(home, 'bin'))
  cpSync(fileURLToPath(new URL('.', import.meta.url)), join(home, 'ci/lava'), { recursive: true })
  writeFileSync(join(home, 'bin/lava-test-case'), `#!/bin/sh\necho "$@" >>'${home}/cases'\n`)
  chmodSync(join(home, 'bin/lava-test-case'), 0o755)
})
afterEach(() => rmSync(home, { recursive: true }))

/** Runs the wrapper over a stand-in for the suite; gives the calls of lava-test-case. */
async function reported(status: number, verdicts: [rule: string, verdict: string][] | null) {
  const results = JSON.stringify({ cells: verdicts?.map(([rule, verdict]) => ({ rule, verdict })) })
  const write = verdicts
    ? `require('node:fs').writeFileSync(process.argv[process.argv.indexOf('--out') + 1] + '/results.json', ${JSON.stringify(results)})`
    : ''
  writeFileSync(join(home, 'harness/bin/suite.cjs'), `${write}\nprocess.exit(${status})`)
  writeFileSync(join(home, 'harness/bin/ipcns.mjs'), `import './suite.cjs'`)
  await execa(join(home, 'ci/lava/ipcns.sh'), [], { env: { PATH: `${home}/bin:${process.env.PATH}` } })
  return readFileSync(join(home, 'cases'), 'utf8').trimEnd().split('\n')
}

test('each rule is a case with the worst of its cells, and the run is one as well', async () => {
  const cases = await reported(1, [
    ['SVK-01', 'pass'],
    ['SVK-01', 'fail'],
    ['SVK-01', 'error'],
    ['SVK-02', 'skip'],
    ['SVK-02', 'pass'],
    ['SVK-03', 'skip'],
    ['SVK-04', 'pass'],
    ['SVK-04', 'error'],
  ])
  expect(cases).toEqual([
    'ipcns-run --result fail',
    'SVK-01 --result fail',
    'SVK-02 --result pass',
    'SVK-03 --result skip',
    'SVK-04 --result unknown',
  ])
})

test.each([
  [0, 'pass'],
  [2, 'fail'],
  [77, 'skip'],
])('a run with status %i and without results is reported as %s', async (status, word) => {
  expect(await reported(status, null)).toEqual([`ipcns-run --result ${word}`])
})
