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
async function reported(status: number, report: string | null) {
  const suite = `
    import { writeFileSync } from 'node:fs'
    const [command, ...rest] = process.argv.slice(2)
    if (command === 'report') {
      if (rest.slice(1).join(' ') !== '--lava --out -') process.exit(3)
      console.log(${JSON.stringify(report)})
    } else {
      if (${report !== null}) writeFileSync(rest[rest.indexOf('--out') + 1] + '/results.json', '{}')
      process.exit(${status})
    }`
  writeFileSync(join(home, 'harness/bin/ipcns.mjs'), suite)
  await execa(join(home, 'ci/lava/ipcns.sh'), [], { env: { PATH: `${home}/bin:${process.env.PATH}` } })
  return readFileSync(join(home, 'cases'), 'utf8').trimEnd().split('\n')
}

test('the run is a case, and so is what the report names', async () => {
  const cases = await reported(1, 'lava-test-case SVK-01 --result fail\nlava-test-case SVK-02 --result pass')
  expect(cases).toEqual(['ipcns-run --result fail', 'SVK-01 --result fail', 'SVK-02 --result pass'])
})

test.each([
  [0, 'pass'],
  [2, 'fail'],
  [77, 'skip'],
])('a run with status %i and without results is reported as %s', async (status, word) => {
  expect(await reported(status, null)).toEqual([`ipcns-run --result ${word}`])
})
