import { readFileSync } from 'node:fs'
import { exports, quote } from './shell.ts'
import { asset } from './top.ts'

/** What a guest does. */
export interface GuestJob {
  /** Program and arguments. */
  command: readonly string[]
  /** Absolute; the same path inside. */
  cwd: string
  environment: Readonly<Record<string, string | undefined>>
  /** The one directory of the machine that the guest may change; absolute, links resolved. */
  writable?: string
  /** Directories that must stay visible though they lie under a place that guests have for themselves. */
  keep: readonly string[]
}

/** How a kind of guest reaches the outside. */
export interface GuestDevices {
  root: 'hostfs' | '9p'
  out: string
  err: string
  status: string
  /** Path of busybox. */
  busybox: string
}

/** Directories in which a guest has a file system of its own. */
const PRIVATE = ['/tmp', '/var/tmp']

/** The text of a guest's first process: this boot's values, then guest/init.sh. */
export function initScript(job: GuestJob, devices: GuestDevices): string {
  const values = Object.entries({ ...devices, writable: job.writable ?? '' })
    .map(([name, value]) => `${name}=${quote(value)}\n`)
    .join('')
  const back = keptDirectories([job.cwd, ...job.keep])
    .map(
      (directory) =>
        `  mkdir -p ${quote(directory)}; ${quote(devices.busybox)} mount -t hostfs -o ro,${quote(directory)} none ${quote(directory)}\n`,
    )
    .join('')
  return `#!/bin/sh
${values}bring_back() {
${back}  :
}
job() {
${exports({ ...job.environment, PWD: job.cwd })}cd ${quote(job.cwd)} || exit 126
exec ${job.command.map(quote).join(' ')}
}
${readFileSync(asset('guest/init.sh'), 'utf8')}`
}

/** The top directories under the private places that hold one of the paths, each once. */
export function keptDirectories(paths: readonly string[]): string[] {
  const kept = paths.flatMap((path) => {
    const place = PRIVATE.find((candidate) => path.startsWith(`${candidate}/`))
    return place === undefined ? [] : [`${place}/${path.slice(place.length + 1).split('/')[0]}`]
  })
  return [...new Set(kept)].sort()
}
