import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UsageError } from '../../harness/usage-error.ts'
import { buildKernel, NotSwitchable } from './build.ts'
import { wantedConfig } from './configs.ts'
import type { KernelFile } from './kernel-file.ts'
import { Lanes } from './lanes.ts'
import type { GuestTask } from './matrix-guest.ts'
import { runGuest } from './matrix-guest.ts'
import type { LoadedKernel, MatrixKernel } from './matrix-kernels.ts'
import type { Guest, GuestResults } from './matrix-model.ts'
import { ToolFailed } from './run-tool.ts'

/** Name of the only configuration of a kernel that somebody else built. */
export const AS_SHIPPED = 'as-shipped'

export interface MatrixRequest {
  kernels: readonly MatrixKernel[]
  configs: readonly string[]
  profile: string
  more: readonly string[]
  out: string
  cache: string
  /** Seconds for one guest. */
  timeout: number
  /** Guests at once. */
  jobs: number
  stop: AbortSignal
  say(message: string): void
  onGuest(guest: Guest): void
}

/**
 * Builds kernel after kernel and runs the suite in guests meanwhile. Resolves to one result for each kernel
 * and configuration, in that order; what could not be built or booted is told there. Rejects with
 * MissingTools, and for defects.
 */
export async function runMatrix(request: MatrixRequest): Promise<GuestResults[]> {
  const lanes = new Lanes(request.jobs)
  const guests: Promise<GuestResults>[] = []
  for (const kernel of request.kernels) {
    const loaded = request.stop.aborted ? STOPPED : await attempt(() => kernel.load(request.cache))
    const configs = 'value' in loaded && loaded.value.kind === 'built' ? [AS_SHIPPED] : request.configs
    for (const config of configs) {
      const ready =
        'value' in loaded ? await attempt(() => prepare(loaded.value, kernel, config, request)) : loaded
      const missing = (why: Failure): GuestResults => ({
        guest: absent(kernel.name, config, why),
        results: null,
      })
      const run = async (): Promise<GuestResults> => {
        if (request.stop.aborted) return missing(STOPPED)
        return 'value' in ready ? runGuest(ready.value) : missing(ready)
      }
      const told = ('value' in ready ? lanes.do(run) : run()).then(tellWhenDone(request))
      guests.push(told)
      // The loop goes on building; a rejection is looked at when everything is gathered.
      told.catch(() => {})
    }
  }
  return Promise.all(guests)
}

function tellWhenDone(request: MatrixRequest): (result: GuestResults) => GuestResults {
  return (result) => {
    request.onGuest(result.guest)
    return result
  }
}

interface Failure {
  state: 'left-out' | 'broken'
  reason: string
}

/** What a signal leaves undone; what was done is reported all the same. */
const STOPPED: Failure = { state: 'broken', reason: 'it was stopped' }

/** Turns what a kernel cannot help, as opposed to a defect of ours, into a reason. */
async function attempt<T>(work: () => Promise<T>): Promise<{ value: T } | Failure> {
  try {
    return { value: await work() }
  } catch (problem) {
    if (problem instanceof NotSwitchable) return { state: 'left-out', reason: problem.message }
    if (problem instanceof UsageError || problem instanceof ToolFailed)
      return { state: 'broken', reason: problem.message }
    throw problem
  }
}

async function prepare(
  loaded: LoadedKernel,
  kernel: MatrixKernel,
  config: string,
  request: MatrixRequest,
): Promise<GuestTask> {
  const { profile, more, timeout, cache, stop } = request
  const task = {
    kernel: kernel.name,
    config,
    out: join(request.out, kernel.name, config),
    profile,
    more,
    timeout,
    cache,
    stop,
  }
  if (loaded.kind === 'built') return { ...task, file: loaded.file, configFile: shippedConfig(loaded.file) }
  const built = await buildKernel(loaded.source, wantedConfig(config), cache, request.say, stop)
  return { ...task, file: { kind: 'uml', program: built.program }, configFile: built.config }
}

/** The configuration that a package puts beside its kernel. */
function shippedConfig(file: KernelFile): string | undefined {
  const places =
    file.kind === 'uml'
      ? [join(dirname(file.program), 'config'), join(dirname(file.program), '.config')]
      : [join(dirname(file.vmlinuz), `config-${file.release}`), join(dirname(file.vmlinuz), 'config')]
  return places.find((place) => existsSync(place))
}

function absent(kernel: string, config: string, { state, reason }: Failure): Guest {
  return {
    id: `${kernel}/${config}`,
    kernel,
    config,
    state,
    reason,
    release: '',
    seconds: 0,
    summary: null,
    disagreements: null,
  }
}
