import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
  mkdirSync(join(home, 'node_modules'))
  writeFileSync(join(home, 'package.json'), '{}')
  cpSync(fileURLToPath(new URL('.', import.meta.url)), join(home, 'ci/tmt'), { recursive: true })
})
afterEach(() => rmSync(home, { recursive: true }))

/** Runs the test over a stand-in for the suite. */
async function ended(status: number) {
  const suite = `
    const [command, ...rest] = process.argv.slice(2)
    if (command === 'run') { console.log('ran'); process.exit(${status}) }
    console.log('[report ' + rest.slice(1).join(' ') + ']')`
  writeFileSync(join(home, 'harness/bin/ipcns.mjs'), suite)
  const env = { TMT_TEST_DATA: join(home, 'data') }
  return (await execa(join(home, 'ci/tmt/isolation.sh'), [], { env, cwd: '/' })).stdout
}

test.each([0, 1])('status %i: the report is the result', async (status) => {
  expect(await ended(status)).toBe('ran')
  expect(readFileSync(join(home, 'data/results.json'), 'utf8')).toBe('[report --tmt --out -]\n')
  expect(existsSync(join(home, 'data/results.yaml'))).toBe(false)
})

test.each([
  [2, 'error', 'the suite broke, status 2'],
  [77, 'skip', 'nothing that applies here could run'],
])('status %i is %s in results.yaml', async (status, result, note) => {
  expect(await ended(status)).toBe('ran')
  expect(readFileSync(join(home, 'data/results.yaml'), 'utf8')).toBe(
    `- name: /\n  result: ${result}\n  note: ["${note}"]\n  log: [output.txt]\n`,
  )
  expect(existsSync(join(home, 'data/results.json'))).toBe(false)
})

test('away from the project it is found by IPCNS_HOME, else said to be missing', async () => {
  const suite = join(home, 'elsewhere')
  mkdirSync(join(suite, 'harness/bin'), { recursive: true })
  mkdirSync(join(suite, 'node_modules'))
  writeFileSync(join(suite, 'package.json'), '{}')
  writeFileSync(
    join(suite, 'harness/bin/ipcns.mjs'),
    `if (process.argv[2] === 'run') console.log('elsewhere')`,
  )
  rmSync(join(home, 'package.json'))
  const run = (more: Record<string, string>) =>
    execa(join(home, 'ci/tmt/isolation.sh'), [], { env: { TMT_TEST_DATA: join(home, 'data'), ...more } })
  expect((await run({ IPCNS_HOME: suite })).stdout).toBe('elsewhere')
  await expect(run({})).rejects.toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('is not above'),
  })
})
