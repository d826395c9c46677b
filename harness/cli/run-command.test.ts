import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CellResult, type Results, summarize, type Verdict } from '../results/model.ts'
import { effectiveCapabilities } from '../run/run.ts'
import { projectTop } from '../ways/program.ts'
import { exitStatus } from './run-command.ts'

// The command as its users start it, and everything that can end it.
const privileged = effectiveCapabilities().includes('CAP_SYS_ADMIN')
const root = process.getuid?.() === 0
let scratch = ''
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ipcns-test-'))
  chmodSync(scratch, 0o777)
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

function start(
  words: readonly string[],
  options: { uid?: number; env?: NodeJS.ProcessEnv; within?: readonly string[] } = {},
): { child: ChildProcess; ended: Promise<Ended>; progress: Promise<void> } {
  const [program = '', ...first] = [...(options.within ?? []), process.execPath]
  const child = spawn(program, [...first, 'harness/bin/ipcns.mjs', ...words], {
    cwd: projectTop(),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, VITEST: undefined, TMPDIR: scratch, ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  let stdout = ''
  let stderr = ''
  let seen: () => void = () => undefined
  const progress = new Promise<void>((resolve) => {
    seen = resolve
  })
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    if (/\d+ of \d+ cells/.test(stderr)) seen()
  })
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (status) => {
      seen()
      resolve({ status, stdout, stderr })
    }),
  )
  return { child, ended, progress }
}

const run = (words: readonly string[], options?: Parameters<typeof start>[1]): Promise<Ended> =>
  start(words, options).ended

function results(directory: string): Results {
  return JSON.parse(readFileSync(join(directory, 'results.json'), 'utf8')) as Results
}

/** Pids of processes that have the scratch directory in their environment: everything a run started. */
function left(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const owned = readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`TMPDIR=${scratch}`)
        return owned && !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
      } catch {
        return false
      }
    })
}

async function nothingLeft(): Promise<void> {
  await expect.poll(left, { timeout: 15_000, interval: 50 }).toEqual([])
  await expect
    .poll(() => readdirSync(scratch).filter((name) => name.startsWith('ipcns-')), { timeout: 15_000 })
    .toEqual([])
}

/** Vitest's workers under a run. */
function workers(child: ChildProcess): number[] {
  const pids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim().split(' ')
  return pids.map(Number).filter((pid) => {
    try {
      return /vitest/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))
    } catch {
      return false
    }
  })
}

describe('bad input is one sentence and status 2', () => {
  const wrong: [string, string[], RegExp][] = [
    ['option', ['run', '--no-such'], /--no-such/],
    ['command', ['frobnicate'], /unknown command "frobnicate"/],
    ['rule', ['run', '--rule', 'XYZ-99'], /no rule is called "XYZ-99"/],
    ['area', ['run', '--area', 'xyz'], /unknown area "xyz"/],
    ['profile', ['run', '--profile', 'huge'], /unknown profile "huge"/],
    ['flag set', ['run', '--flags', 'NEWFOO'], /unknown flag "NEWFOO"/],
    ['way in', ['run', '--via', 'teleport'], /unknown way in "teleport"/],
    ['report', ['run', '--report', 'pdf'], /unknown report "pdf"/],
    ['shard', ['run', '--shard', '3/2'], /--shard takes I\/N/],
    ['shard of three parts', ['run', '--shard', '1/2/3'], /--shard takes I\/N/],
    ['known file', ['run', '--known', '/nonexistent'], /cannot read the known deviations in \/nonexistent/],
    ['output directory', ['run', '--rule', 'SVK-01', '--out', '/proc/nowhere'], /\/proc\/nowhere/],
  ]
  test.each(wrong)('an unknown %s', async (_what, words, says) => {
    const { status, stderr, stdout } = await run(words)
    expect(status).toBe(2)
    expect(stderr).toMatch(says)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stdout).toBe('')
  })
})

test('a reader that stops reading ends no command', async () => {
  const { child, ended } = start(['list', '--json'])
  child.stdout?.destroy()
  const { status, stderr } = await ended
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})

describe('the exit status', () => {
  const of = (verdicts: Verdict[], how: object = {}): number => {
    const cells = verdicts.map((verdict) => ({ rule: 'T-1', arm: 'treatment', verdict }) as CellResult)
    const results = { run: {}, summary: summarize(cells), cells } as Results
    return exitStatus(results, { broken: false, strict: false, ...how })
  }
  test.each<[string, Verdict[], object, number]>([
    ['all pass', ['pass', 'pass'], {}, 0],
    ['a skip among passes', ['pass', 'skip'], {}, 0],
    ['a fail', ['pass', 'fail'], {}, 1],
    ['a fail outranks an error', ['fail', 'error'], {}, 1],
    ['a fail outranks lost cells', ['fail'], { broken: true }, 1],
    ['an error', ['pass', 'error'], {}, 2],
    ['lost cells outrank passes', ['pass'], { broken: true }, 2],
    ['nothing but skips', ['skip', 'skip'], {}, 77],
    ['strict with a skip', ['pass', 'skip'], { strict: true }, 1],
    ['strict without', ['pass'], { strict: true }, 0],
    ['no cell', [], {}, 2],
  ])('%s', (_what, verdicts, how, status) => expect(of(verdicts, how)).toBe(status))

  test.each<[string, Verdict, number]>([
    ['controls pass nothing where no treatment could run', 'skip', 77],
    ['controls beside treatments', 'pass', 0],
  ])('%s', (_what, treatment, status) => {
    const cells = [
      { rule: 'T-1', arm: 'control', verdict: 'pass' },
      { rule: 'T-1', arm: 'treatment', verdict: treatment },
    ] as CellResult[]
    const results = { run: {}, summary: summarize(cells), cells } as Results
    expect(exitStatus(results, { broken: false, strict: false })).toBe(status)
  })

  test('a known deviation is no skip to be strict about', () => {
    const known = { rule: 'T-1', arm: 'treatment', verdict: 'skip', known: {} } as CellResult
    const cells = [{ rule: 'T-1', arm: 'treatment', verdict: 'pass' } as CellResult, known]
    const results = { run: {}, summary: summarize(cells), cells } as Results
    expect(exitStatus(results, { broken: false, strict: true })).toBe(0)
  })
})

describe.skipIf(!privileged)('a run (needs CAP_SYS_ADMIN)', () => {
  test('conforms, says so, and leaves its reports and nothing else', async () => {
    const out = join(scratch, 'plain')
    const { status, stdout } = await run(['run', '--profile', 'quick', '--rule', 'SVK-01', '--out', out])
    expect(status).toBe(0)
    expect(stdout).toContain('CONFORMS')
    expect(readdirSync(out).sort()).toEqual(['junit.xml', 'results.json'])
    const { run: info, summary, cells } = results(out)
    expect(info.unfinished).toBeUndefined()
    expect(summary.pass).toBe(cells.length)
    await nothingLeft()
  })

  test('two at the same time say the same', async () => {
    const outs = ['one', 'two'].map((name) => join(scratch, name))
    const ended = await Promise.all(
      outs.map((out) => run(['run', '--profile', 'quick', '--area', 'svk', '--out', out])),
    )
    expect(ended.map(({ status }) => status)).toEqual([0, 0])
    const [one, two] = outs.map((out) => results(out).cells.map(({ id, verdict }) => `${id} ${verdict}`))
    expect(one).toEqual(two)
    await nothingLeft()
  })

  test.each(['SIGKILL', 'SIGINT', 'SIGTERM'] as const)(
    '%s leaves no process and no file, and reports that say so',
    async (signal) => {
      const out = join(scratch, signal)
      const { child, ended, progress } = start(['run', '--area', 'svk', '--out', out])
      await progress
      child.kill(signal)
      const { status } = await ended
      expect(status).toBe(signal === 'SIGKILL' ? null : 2)
      await nothingLeft()
      const { summary, run: info } = results(out)
      expect(info.unfinished).toBe(true)
      expect(summary.error).toBeGreaterThan(0)
      const report = await run(['report', out])
      expect(report.stdout).toContain('NOT FINISHED')
    },
  )

  const shell = (first: string): string[] => ['sh', '-c', `${first} && exec "$@"`, 'sh']
  const READ_ONLY = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys'
  test.each<[string, readonly string[], RegExp]>([
    ['sysctls that a container has made read-only', ['unshare', '--mount', ...shell(READ_ONLY)], /read-only/],
    [
      'capabilities that a container lacks',
      ['setpriv', '--bounding-set=-setfcap,-sys_chroot,-chown,-kill,-dac_override'],
      /CAP_/,
    ],
    [
      'segments where the host destroys them early',
      ['unshare', '--ipc', ...shell('echo 1 > /proc/sys/kernel/shm_rmid_forced')],
      /shm_rmid_forced/,
    ],
    [
      'limits that the host has changed',
      [
        'unshare',
        '--ipc',
        ...shell('cd /proc/sys && echo 64 > kernel/msgmnb && echo 7 > fs/mqueue/msg_default && cd -'),
      ],
      /(other|lower) limits/,
    ],
    [
      'processes that procfs hides',
      ['unshare', '--mount', '--pid', '--fork', ...shell('mount -t proc -o hidepid=2 proc /proc')],
      /hidepid|kernel threads/,
    ],
    ['queues without room', ['prlimit', '--msgqueue=0', '--memlock=0'], /RLIMIT_M/],
  ])('%s are skips', async (what, within, reason) => {
    const out = join(scratch, what)
    const rules = [
      'SVK-0*',
      'LIM-0*',
      'SHA-09',
      'SHA-18',
      'ENT-01',
      'MQM-06',
      'OBS-04',
      'PRC-12',
      'UNS-02',
      'PID-01',
    ]
    const words = ['run', '--profile', 'quick', ...rules.flatMap((rule) => ['--rule', rule]), '--out', out]
    const { status } = await run(words, { within })
    const { summary, cells } = results(out)
    expect(summary).toMatchObject({ fail: 0, error: 0 })
    expect(cells.filter(({ verdict }) => verdict === 'skip').map((cell) => cell.reason)).not.toEqual([])
    for (const cell of cells) if (cell.verdict === 'skip') expect(cell.reason).toMatch(reason)
    expect(status).toBe(0)
    await nothingLeft()
  })

  test("works where /proc is that of another pid namespace, where its numbers are others' processes", async () => {
    const out = join(scratch, 'procfs')
    const words = [
      'run',
      '--profile',
      'quick',
      '--rule',
      'NOT-03',
      '--rule',
      'NOT-07',
      '--rule',
      'PID-01',
      '--out',
      out,
    ]
    const { status } = await run(words, { within: ['unshare', '--pid', '--fork'] })
    expect(results(out).summary).toMatchObject({ fail: 0, skip: 0, error: 0 })
    expect(status).toBe(0)
  })

  test('a worker that is killed is a broken run, and its cells are errors', async () => {
    const out = join(scratch, 'worker')
    const { child, ended, progress } = start(['run', '--area', 'svk', '--out', out])
    await progress
    for (const pid of workers(child)) process.kill(pid, 'SIGKILL')
    const { status, stderr } = await ended
    expect(status).toBe(2)
    expect(stderr).toMatch(/cells never ran/)
    expect(results(out).summary.error).toBeGreaterThan(0)
    await nothingLeft()
  })
})

const IN_USER_NAMESPACE = ['unshare', '--user', '--map-root-user']
/** In a user namespace that allows no further one, and without capabilities. */
const CONFINED = [
  ...IN_USER_NAMESPACE,
  'sh',
  '-c',
  'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"',
  'sh',
]
const possible =
  root && spawnSync('setpriv', ['--reuid=65534', '--clear-groups', ...CONFINED, 'true']).status === 0

describe.skipIf(!possible)('without privilege (needs root to give it up, and user namespaces)', () => {
  const uid = 65534

  test('skips everything with a reason where no user namespace can be had, and does not crash', async () => {
    const out = join(scratch, 'confined')
    const words = ['run', '--profile', 'quick', '--area', 'svk', '--out', out]
    const { status, stdout } = await run(words, { uid, within: CONFINED })
    expect(status).toBe(77)
    const { summary, cells } = results(out)
    expect(summary.error + summary.fail).toBe(0)
    expect(cells.filter(({ verdict }) => verdict === 'skip').every(({ reason }) => reason)).toBe(true)
    expect(stdout).toContain('CAP_SYS_ADMIN is missing')
    await nothingLeft()
  })

  test.each<[string, readonly string[]]>([
    ['a user', []],
    ['root of a user namespace', IN_USER_NAMESPACE],
  ])('%s accuses no kernel of what may not be done there', async (who, within) => {
    const out = join(scratch, who)
    // Rules with every kind of set-up that is refused there: other users, maps, setns outwards, procfs.
    const rules = ['UNS-01', 'LIM-07', 'LIM-09', 'PID-01', 'PRC-04', 'SVK-18', 'ENT-18', 'SVK-01', 'MQM-06']
    const words = ['run', '--profile', 'quick', ...rules.flatMap((rule) => ['--rule', rule]), '--out', out]
    const { status } = await run(words, { uid, within })
    const { summary } = results(out)
    expect(summary).toMatchObject({ fail: 0, error: 0 })
    expect(summary.pass).toBeGreaterThan(20)
    expect(status).toBe(0)
    await nothingLeft()
  })
})
