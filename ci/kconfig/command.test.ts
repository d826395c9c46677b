import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { XMLParser } from 'fast-xml-parser'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import type { KconfigReport } from './check.ts'
import { createKconfigCommand, type Surroundings } from './command.ts'
import { fakeMachine, samplePath, WHOLE_PROC } from './samples.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ipcns-kconfig-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const running = { release: '6.1.0-37-amd64', version: 'Debian 6.1.140-1', signature: '' }

/** Runs the command line; what it throws becomes `problem`. */
async function kconfig(line: string | string[], more: Partial<Surroundings> = {}) {
  let output = ''
  const command = createKconfigCommand({
    root,
    running,
    preferred: '',
    machine: fakeMachine(WHOLE_PROC, { unshare: { status: 0 } }),
    write: (text) => {
      output += text
    },
    ...more,
  })
  const words = typeof line === 'string' ? line.split(' ').filter((word) => word !== '') : line
  try {
    return { status: await command.run(words), output, problem: null }
  } catch (problem) {
    if (!(problem instanceof UsageError)) throw problem
    return { status: 2, output, problem: problem.message }
  }
}

const full = samplePath('full.config')
const partial = samplePath('without-ipc-ns.config')
const fragment = samplePath('fragment.config')
const json = ({ output }: { output: string }) => JSON.parse(output) as KconfigReport
const rules = async () => [
  { id: 'ENT-01', title: 'a', needs: [{ name: 'IPC_NS', kconfig: 'CONFIG_IPC_NS' }] },
  { id: 'SVK-01', title: 'b', needs: [{ name: 'SYSVIPC', kconfig: 'CONFIG_SYSVIPC' }] },
  { id: 'SVK-02', title: 'c', needs: [{ name: 'IPC_NS', kconfig: 'CONFIG_IPC_NS' }] },
]

describe('exit status', () => {
  test.each([
    ['', 77],
    [full, 0],
    [`${full} --profile full`, 0],
    [partial, 1],
    [fragment, 1],
    [`${full} --require PACKET=m`, 0],
    [`${full} --require PACKET=y`, 1],
    [`${full} --require HZ=250,MEMCG`, 0],
    [`${full} --require HZ=250,EMBEDDED`, 1],
    [`${full} --require MEMCG USER_NS`, 0],
    [`--require MEMCG EMBEDDED ${full}`, 1],
    [`--require=MEMCG ${full}`, 0],
    [`--require MEMCG -- ${full}`, 0],
  ])('ipcns kconfig %s: %i', async (line, status) => {
    const result = await kconfig(line)
    expect([result.status, result.problem]).toEqual([status, null])
  })
})

test('the running configuration is found, unpacked and tied to the running kernel', async () => {
  mkdirSync(join(root, 'proc'))
  const bytes = gzipSync(readFileSync(full))
  writeFileSync(join(root, 'proc/config.gz'), bytes)
  const report = json(await kconfig('--json'))
  expect(report.config).toMatchObject({
    path: join(root, 'proc/config.gz'),
    gzip: true,
    kind: 'full',
    version: '6.1.140',
  })
  expect(report.warnings).toEqual([])
})

test('a configuration of another release is used with a warning', async () => {
  const result = await kconfig([full, '--json'], { running: { ...running, release: '6.12.5', version: '' } })
  expect(result.status).toBe(0)
  expect(json(result).warnings).toEqual([
    'this is the configuration of 6.1.140, the running kernel is 6.12.5',
  ])
})

describe('bad input is one sentence and status 2', () => {
  test.each([
    ['--format yaml', '--format is one of text, json, junit, github, fragment, not "yaml"'],
    ['--profile all', 'unknown profile "all"; known: quick, default, full'],
    ['--json --format junit', 'exclude each other'],
    ['--nonsense', "Unknown option '--nonsense'"],
    ['--require', '--require'],
    ['a b', 'one FILE at a time'],
    ['/no/such/file', 'cannot read the kernel configuration "/no/such/file": no such file'],
    [`${samplePath('full.config')} --require A&`, 'cannot read the expression "A&"'],
    [samplePath('README.md'), 'no line sets a symbol (line 3:'],
    [
      samplePath('duplicate.config'),
      'line 4: CONFIG_IPC_NS is set again to something else (first on line 2); line 5:',
    ],
    [samplePath('broken.config'), 'line 2: "CONFIG_IPC_NS" is not'],
  ])('%s', async (line, message) => {
    const { status, problem, output } = await kconfig(line)
    expect(status).toBe(2)
    expect(problem).toContain(message)
    expect(problem).not.toContain('\n')
    expect(output).toBe('')
  })

  test('an empty file is no configuration', async () => {
    const path = join(root, 'empty')
    writeFileSync(path, '# nothing\n')
    expect((await kconfig(path)).problem).toContain('it sets no symbol')
  })

  test('a found one that cannot be read is told, not "none"', async () => {
    mkdirSync(join(root, `boot/config-${running.release}`), { recursive: true })
    expect(await kconfig('')).toMatchObject({ status: 2, problem: expect.stringContaining('EISDIR') })
  })

  test('as annotations, broken lines are shown at their place as well', async () => {
    const path = samplePath('duplicate.config')
    const { output, status } = await kconfig(`${path} --format github`)
    expect(status).toBe(2)
    expect(output.split('\n')[0]).toBe(
      `::error file=${path},line=4,title=ipcns kconfig::CONFIG_IPC_NS is set again to something else (first on line 2)`,
    )
  })
})

describe('text', () => {
  test('says source, states, reasons, prediction and what to add', async () => {
    const { output } = await kconfig(partial, { rules })
    expect(output).toContain(`Kernel configuration: ${partial}`)
    expect(output).toContain('warning: this is the configuration of 6.1.192')
    expect(output).toMatch(/x CONFIG_IPC_NS +is not set +the namespace under test/)
    expect(output).toMatch(/- CONFIG_CHECKPOINT_RESTORE +absent /)
    expect(output).toContain(
      'Prediction: 1 of 3 rules run, 2 are skipped\n  needs IPC_NS: CONFIG_IPC_NS is not set\n    ENT-01 SVK-02\n',
    )
    expect(output).toContain('To add, required:\nCONFIG_IPC_NS=y\nCONFIG_POSIX_MQUEUE=y\n')
    expect(output).toMatch(/FAIL: missing: CONFIG_IPC_NS, CONFIG_POSIX_MQUEUE\n$/)
  })

  test('names the places where none was found', async () => {
    const { output } = await kconfig('')
    expect(output).toContain(
      'none found for the running kernel 6.1.0-37-amd64; looked for\n  /proc/config.gz\n',
    )
    expect(output).toContain('no config')
  })

  test('without a terminal has neither colours nor lines wider than asked', async () => {
    const { output } = await kconfig(full)
    expect(output).not.toContain('\u001b')
    for (const line of output.split('\n'))
      expect(line.length).toBeLessThanOrEqual(Math.max(120, full.length + 30))
  })
})

describe('--verify', () => {
  const lacking = (command: string, stderr: string) =>
    fakeMachine(WHOLE_PROC, { [command]: { status: 1, stderr }, unshare: { status: 0 } })

  test('a kernel that does what it promises passes', async () => {
    const result = await kconfig(`${full} --verify`)
    expect(result.status).toBe(0)
    expect(result.output).toContain('nothing that was observed contradicts it')
  })

  test('y and yet EINVAL is a finding that overrules the configuration and the prediction', async () => {
    const machine = lacking('unshare --ipc true', 'unshare: unshare failed: Invalid argument')
    const result = await kconfig(`${full} --verify --json`, { machine, rules })
    expect(result.status).toBe(1)
    const report = json(result)
    expect(report.disagreements).toEqual([
      {
        symbol: 'IPC_NS',
        kind: 'finding',
        message: 'CONFIG_IPC_NS is y, but the running kernel does not have it: unshare --ipc: EINVAL',
      },
    ])
    expect(report.predictions.map(({ outcome }) => outcome)).toEqual(['skip', 'run', 'skip'])
  })

  test('not set and yet there is a note and counts as present', async () => {
    const result = await kconfig(`${partial} --verify --json`)
    expect(result.status).toBe(0)
    expect(new Set(json(result).disagreements.map(({ kind }) => kind))).toEqual(new Set(['note']))
  })

  test('without a configuration what works speaks, and what nothing tells about stays open', async () => {
    const settled = await kconfig('--verify')
    expect(settled.status).toBe(0)
    expect(settled.output).toContain('PASS: no configuration was found, but everything required works')
    const { '/proc/filesystems': _, ...files } = WHOLE_PROC
    const open = await kconfig('--verify', { machine: fakeMachine(files, { unshare: { status: 0 } }) })
    expect(open.status).toBe(77)
    expect(open.output).toContain('nothing tells about CONFIG_POSIX_MQUEUE')
    const machine = lacking('unshare --ipc true', 'unshare: unshare failed: Invalid argument')
    expect((await kconfig('--verify', { machine })).status).toBe(1)
  })
})

test('JUnit: required missing fails, optional missing is skipped with its reason, counts agree', async () => {
  const { output } = await kconfig(`${partial} --format junit --require HZ=100 --verify`, {
    machine: fakeMachine(WHOLE_PROC, { 'unshare --uts': { status: 1, stderr: 'Invalid argument' } }),
  })
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '',
    isArray: (name) => name === 'testcase' || name === 'testsuite',
  })
  interface Case {
    name: string
    failure?: { message: string }
    skipped?: { message: string }
    line: string
    file: string
  }
  interface Suite {
    name: string
    tests: string
    failures: string
    skipped: string
    testcase: Case[]
  }
  const suites = (parser.parse(output) as { testsuites: { testsuite: Suite[] } }).testsuites.testsuite
  expect(suites.map(({ name }) => name).sort()).toEqual([
    'kconfig-asked',
    'kconfig-optional',
    'kconfig-required',
    'kconfig-verify',
  ])
  for (const suite of suites) {
    expect(Number(suite.tests)).toBe(suite.testcase.length)
    expect(Number(suite.failures)).toBe(suite.testcase.filter(({ failure }) => failure).length)
    expect(Number(suite.skipped)).toBe(suite.testcase.filter(({ skipped }) => skipped).length)
  }
  const cases = suites.flatMap(({ testcase }) => testcase)
  const named = (start: string) => cases.find(({ name }) => name.startsWith(start))
  expect(named('required CONFIG_IPC_NS ')).toMatchObject({ line: '11', file: partial })
  expect(named('asked CONFIG_HZ=100')?.failure?.message).toContain('absent')
  expect(named('optional CONFIG_UTS_NS')?.skipped).toBeDefined()
  expect(named('verify CONFIG_UTS_NS')?.failure?.message).toContain('EINVAL')
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
})

test('annotations: error for required, notice for optional, at the line that says so', async () => {
  const { output } = await kconfig(`${partial} --format github`)
  const lines = output.trimEnd().split('\n')
  const about = (symbol: string) => lines.find((line) => line.includes(`::CONFIG_${symbol}:`)) ?? ''
  expect(about('IPC_NS')).toMatch(
    new RegExp(`^::error file=${partial},line=11,title=ipcns kconfig::CONFIG_IPC_NS: is not set; `),
  )
  expect(about('USER_NS')).toMatch(/^::notice file=.*,line=12,/)
  expect(about('FHANDLE')).toMatch(/^::notice file=[^,]*,title=ipcns kconfig::CONFIG_FHANDLE: absent; /)
  expect(lines.at(-1)).toBe(
    '::error title=ipcns kconfig::kernel configuration: missing: CONFIG_IPC_NS, CONFIG_POSIX_MQUEUE',
  )
})

test('annotations: what a file is called cannot break the command apart', async () => {
  const path = join(root, 'a%,b:c.config')
  writeFileSync(path, readFileSync(partial))
  const { output } = await kconfig([path, '--format', 'github'])
  expect(output).toContain('a%25%2Cb%3Ac.config,line=11,')
})

test('the fragment, added, makes the check pass', async () => {
  const { output } = await kconfig(`${fragment} --format fragment --profile full`)
  const wanted = new Set(output.match(/CONFIG_\w+/g))
  const kept = readFileSync(fragment, 'utf8')
    .split('\n')
    .filter((line) => ![...wanted].some((name) => line.match(`${name}\\b`)))
  const merged = join(root, 'merged')
  writeFileSync(merged, `${kept.join('\n')}\n${output}`)
  expect(await kconfig(`${merged}`)).toMatchObject({ status: 0, problem: null })
})
