import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { readOptions } from '../../harness/cli/options.ts'
import { readProfile } from '../../harness/rules/profiles.ts'
import { UsageError } from '../../harness/usage-error.ts'
import { makeReportDirectory, textOf, writeAtomically } from '../../reports/files.ts'
import { FORMATS } from '../../reports/formats.ts'
import { type Owner, sudoOwner } from '../../reports/owner.ts'
import { cacheDirectory } from './cache.ts'
import { configNames, wantedConfig } from './configs.ts'
import type { MatrixRequest } from './matrix.ts'
import { runMatrix } from './matrix.ts'
import { renderMatrixHtml } from './matrix-html.ts'
import { DEFAULT_KERNELS, matrixKernel } from './matrix-kernels.ts'
import type { Guest, GuestResults, Matrix } from './matrix-model.ts'
import { matrixStatus, mergeMatrix } from './matrix-model.ts'
import { matrixResults } from './matrix-results.ts'
import { agreement, renderMatrixText } from './matrix-text.ts'
import { list, positive } from './options.ts'

/** Seconds that one guest gets unless somebody says otherwise. */
const GUEST_TIMEOUT = 3600

const OPTIONS = {
  kernels: { type: 'string' },
  configs: { type: 'string' },
  profile: { type: 'string' },
  rule: { type: 'string', multiple: true },
  out: { type: 'string' },
  cache: { type: 'string' },
  timeout: { type: 'string' },
  jobs: { type: 'string' },
} as const

/** `ipcns kernel matrix`: the table on standard output, progress on standard error, reports in a directory. */
export async function runMatrixCommand(words: readonly string[]): Promise<number> {
  const request = readMatrixWords(words)
  const owner = sudoOwner()
  makeReportDirectory(request.out, owner)
  const stop = new AbortController()
  const onSignal = (name: NodeJS.Signals): void => stop.abort(name)
  const ending = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of ending) process.on(name, onSignal)
  try {
    const started = new Date()
    const guests = await runMatrix({ ...request, stop: stop.signal })
    const matrix = mergeMatrix(guests, {
      started: started.toISOString(),
      seconds: Math.round((Date.now() - started.getTime()) / 1000),
      profile: request.profile,
    })
    const files = writeReports(guests, matrix, request.out, owner)
    process.stdout.write(renderMatrixText(matrix))
    process.stdout.write(`\nReports\n${files.map((file) => `  ${file}\n`).join('')}`)
    return matrixStatus(matrix)
  } finally {
    for (const name of ending) process.off(name, onSignal)
  }
}

/** Reads the words after `matrix`. Throws UsageError when they make no sense. */
export function readMatrixWords(words: readonly string[]): Omit<MatrixRequest, 'stop'> {
  const { values } = readOptions('kernel', words, OPTIONS, 'none')
  const kernels = (values.kernels === undefined ? [...DEFAULT_KERNELS] : list(values.kernels)).map(
    matrixKernel,
  )
  const configs = values.configs === undefined ? configNames() : list(values.configs)
  if (kernels.length === 0 || configs.length === 0)
    throw new UsageError('the matrix is empty: name a kernel and a configuration')
  // Found now rather than after an hour.
  for (const config of configs) wantedConfig(config)
  const twice = [...kernels.map(({ name }) => name), ...configs].find(
    (name, index, all) => all.indexOf(name) !== index,
  )
  if (twice !== undefined) throw new UsageError(`"${twice}" is named twice`)
  return {
    kernels,
    configs,
    profile: readProfile(values.profile ?? 'quick'),
    more: (values.rule ?? []).flatMap((glob) => ['--rule', glob]),
    out: resolve(values.out ?? 'reports/latest/matrix'),
    cache: cacheDirectory(values.cache),
    timeout: positive('timeout', values.timeout) ?? GUEST_TIMEOUT,
    jobs: Math.ceil(positive('jobs', values.jobs) ?? availableParallelism()),
    say: (message) => process.stderr.write(`ipcns kernel: ${message}\n`),
    onGuest: (guest) => process.stderr.write(`ipcns kernel: ${guestLine(guest)}\n`),
  }
}

function guestLine(guest: Guest): string {
  const { summary } = guest
  if (guest.state !== 'ran' || !summary)
    return `${guest.id}: ${guest.state.replace('-', ' ')}: ${guest.reason}`
  const counts = `${summary.pass} pass, ${summary.fail} fail, ${summary.skip} skip, ${summary.error} error`
  return `${guest.id}: ${counts}; kconfig ${agreement(guest)}; ${guest.seconds} s`
}

function writeReports(
  guests: readonly GuestResults[],
  matrix: Matrix,
  out: string,
  owner: Owner | null,
): string[] {
  const texts = {
    'matrix.json': `${JSON.stringify(matrix, null, 1)}\n`,
    'matrix.html': renderMatrixHtml(matrix),
    'junit.xml': textOf(FORMATS.junit.render(matrixResults(guests, matrix))),
  }
  return Object.entries(texts).map(([name, text]) => {
    writeAtomically(join(out, name), text, owner)
    return join(out, name)
  })
}
