import { existsSync, readFileSync } from 'node:fs'
import { appendFile, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import type { Results } from '../../harness/results/model.ts'
import { readResults } from '../../reports/read.ts'
import { parseConfig } from '../kconfig/parse.ts'
import type { Prediction } from '../kconfig/predict.ts'
import { disagreementsOf } from './agree.ts'
import { boot } from './boot.ts'
import type { KernelFile } from './kernel-file.ts'
import type { BootEnd } from './machine.ts'
import type { Disagreement, Guest, GuestResults } from './matrix-model.ts'
import { top } from './top.ts'

/** A kernel that is ready, and what its guest is to do. */
export interface GuestTask {
  kernel: string
  config: string
  file: KernelFile
  /** Path of its configuration; undefined when it is not known. */
  configFile: string | undefined
  /** Where this guest's results go. */
  out: string
  profile: string
  /** Further words for `ipcns run`. */
  more: readonly string[]
  /** Seconds. */
  timeout: number
  cache: string
  stop: AbortSignal
}

/** The command as it stands in the project; the bundle is up to date, since this process runs from it. */
const IPCNS = join(top, 'harness/bin/ipcns.mjs')

/**
 * Boots one guest, runs the suite in it, reads what it left, and compares that with what its configuration
 * lets one expect. What goes wrong is told in the result; rejects for a missing tool and for defects only.
 */
export async function runGuest(task: GuestTask): Promise<GuestResults> {
  await rm(task.out, { recursive: true, force: true })
  await mkdir(task.out, { recursive: true })
  const started = Date.now()
  const end = await bootSuite(task)
  const guest: Guest = {
    id: `${task.kernel}/${task.config}`,
    kernel: task.kernel,
    config: task.config,
    state: 'broken',
    reason: brokenReason(end, task.timeout),
    release: '',
    seconds: Math.round((Date.now() - started) / 100) / 10,
    summary: null,
    disagreements: null,
  }
  const results = existsSync(join(task.out, 'results.json')) ? readResults(task.out) : null
  if (!results)
    return {
      guest: { ...guest, reason: guest.reason || `the suite left no results: ${lastWords(task)}` },
      results,
    }
  const whole = guest.reason === '' && !results.run.unfinished
  return {
    guest: {
      ...guest,
      state: whole ? 'ran' : 'broken',
      reason: whole ? '' : guest.reason || 'the suite did not run to its end',
      release: results.run.kernel.release,
      summary: results.summary,
      disagreements: await compare(results, task),
    },
    results,
  }
}

function bootSuite(task: GuestTask): Promise<BootEnd> {
  const console = join(task.out, 'console.txt')
  let written = Promise.resolve()
  const keep = (chunk: Buffer): void => {
    written = written.then(() => appendFile(console, chunk))
  }
  const command = [
    process.execPath,
    IPCNS,
    'run',
    '--disposable',
    '--profile',
    task.profile,
    '--out',
    task.out,
  ]
  return boot({
    kernel: task.file,
    command: [...command, ...task.more],
    cwd: top,
    environment: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      LANG: 'C.UTF-8',
    },
    writable: task.out,
    timeout: task.timeout,
    cache: task.cache,
    stop: task.stop,
    onOut: keep,
    onErr: keep,
  }).finally(() => written)
}

function brokenReason(end: BootEnd, timeout: number): string {
  switch (end.kind) {
    case 'exited':
      return ''
    case 'timeout':
      return `the guest did not end within ${timeout} s`
    case 'died':
      return `the guest died: ${end.why}`
    case 'stopped':
      return 'it was stopped'
  }
}

function lastWords(task: GuestTask): string {
  const file = join(task.out, 'console.txt')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  return lines.at(-1) || 'it said nothing'
}

async function compare(results: Results, task: GuestTask): Promise<Disagreement[] | null> {
  if (task.configFile === undefined) return null
  const predictions = await askKconfig(task.configFile, task.profile)
  if (predictions.length === 0) return null
  const { config } = parseConfig(readFileSync(task.configFile, 'utf8'))
  return disagreementsOf(results.cells, predictions, config)
}

/** What `ipcns kconfig` says of a configuration: the command itself, so that it is what is tested. */
async function askKconfig(configFile: string, profile: string): Promise<Prediction[]> {
  const done = await execa(process.execPath, [IPCNS, 'kconfig', configFile, '--json', '--profile', profile], {
    reject: false,
    stdin: 'ignore',
    cwd: dirname(IPCNS),
  })
  if (done.exitCode !== 0 && done.exitCode !== 1)
    throw new Error(`ipcns kconfig ${configFile}: ${done.stderr}`)
  const report = JSON.parse(done.stdout) as { predictions: Prediction[] }
  return report.predictions
}
