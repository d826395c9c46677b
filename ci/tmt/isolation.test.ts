import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipcns-tmt-'))
  mkdirSync(join(home, 'harness/bin'), { recursive: true })
  mkdirSync(join(home, 'data'))
  writeFileSync(join(home, 'package.json'), '{}')
  cpSync(fileURLToPath(new URL('.', import.meta.url)), join(home, 'ci/tmt'), { recursive: true })
})
afterEach(() => rmSync(home, { recursive: true }))

test.each([
  [0, 'pass', 'the kernel conforms'],
  [1, 'fail', 'the kernel does not conform'],
  [2, 'error', 'the suite broke, status 2'],
  [77, 'skip', 'nothing that applies here could run'],
])('status %i is %s in results.yaml, with the logs there are', async (status, result, note) => {
  writeFileSync(join(home, 'harness/bin/ipcns.mjs'), `console.log('ran'); process.exit(${status})`)
  const env = { TMT_TEST_DATA: join(home, 'data') }
  const { stdout } = await execa(join(home, 'ci/tmt/isolation.sh'), [], { env, cwd: '/' })
  expect(stdout).toBe('ran')
  expect(readFileSync(join(home, 'data/results.yaml'), 'utf8')).toBe(
    `- name: /\n  result: ${result}\n  note: ["${note}"]\n  log:\n    - output.txt\n`,
  )
})

test('away from the project it says so', async () => {
  rmSync(join(home, 'package.json'))
  const run = execa(join(home, 'ci/tmt/isolation.sh'), [], { env: { TMT_TEST_DATA: home } })
  await expect(run).rejects.toMatchObject({ exitCode: 2, stderr: expect.stringContaining('is not above') })
})
