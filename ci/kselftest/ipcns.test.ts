import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipcns-kselftest-'))
  mkdirSync(join(home, 'harness/bin'), { recursive: true })
  mkdirSync(join(home, 'node_modules'))
  mkdirSync(join(home, 'ci/kselftest'), { recursive: true })
  cpSync(fileURLToPath(new URL('./ipcns.sh', import.meta.url)), join(home, 'ci/kselftest/ipcns.sh'))
  chmodSync(join(home, 'ci/kselftest/ipcns.sh'), 0o755)
})
afterEach(() => rmSync(home, { recursive: true }))

/** Puts a stand-in for the suite that ends its run with `status`, and its report with `reported`. */
async function wrapped(status: number, reported = 0, env: Record<string, string> = {}) {
  const suite = `
    const [command, ...rest] = process.argv.slice(2)
    if (command === 'run') { console.log('ran ' + rest.join(' ')); process.exit(${status}) }
    if (rest.slice(1).join(' ') !== '--ktap --out -') process.exit(3)
    if (${reported} === 0) console.log('KTAP version 1\\n1..1\\nok 1 SVK-01')
    process.exit(${reported})`
  writeFileSync(join(home, 'harness/bin/ipcns.mjs'), suite)
  const result = await execa(join(home, 'ci/kselftest/ipcns.sh'), ['--rule', 'SVK-*'], { reject: false, env })
  return { status: result.exitCode, output: result.stdout }
}

const KTAP = 'KTAP version 1\n1..1\nok 1 SVK-01'

test('a kernel that conforms passes with its KTAP alone', async () => {
  expect(await wrapped(0)).toEqual({ status: 0, output: KTAP })
})

test('one that does not fails, with the run as diagnostics', async () => {
  const { status, output } = await wrapped(1, 0, { IPCNS_PROFILE: 'quick' })
  expect(status).toBe(1)
  expect(output).toMatch(
    /^KTAP version 1\n1\.\.1\nok 1 SVK-01\n# ran --profile quick --out \S+ --rule SVK-\*$/,
  )
})

test('77 becomes 4, a KTAP skip', async () => {
  expect(await wrapped(77)).toEqual({
    status: 4,
    output: 'KTAP version 1\n1..0 # SKIP nothing that applies here could run',
  })
})

test('a suite that broke is a failure: 2 would mean "expected failure" to kselftest', async () => {
  expect((await wrapped(2)).status).toBe(1)
  const { status, output } = await wrapped(2, 2)
  expect(status).toBe(1)
  expect(output).toMatch(/^KTAP version 1\n# ran .*\nBail out! /)
})

test('without the project’s packages it is skipped', async () => {
  rmSync(join(home, 'node_modules'), { recursive: true })
  expect(await wrapped(0)).toMatchObject({ status: 4, output: expect.stringContaining('npm ci') })
})
