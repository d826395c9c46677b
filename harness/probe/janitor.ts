/**
 * The janitor: a probe in the initial IPC namespace that outlives the harness. It is told of every object
 * before it is made there, and when the harness's end of the connection closes, for whatever reason, it
 * removes what is left. A ledger file serves the day the janitor itself is killed: the next run replays it.
 */
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileOperations } from './operations/files.ts'
import { type MadeObject, quietly, removeByKey } from './operations/upkeep.ts'

const announced = new Map<string, MadeObject>()
let active = false
/** The harness's directory with its socket, which a harness that is killed cannot remove. */
let leftovers = ''
let ledger: { directory: string; file: string; descriptor: number } | null = null

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

function note(sign: '+' | '-', object: MadeObject): void {
  if (ledger) writeSync(ledger.descriptor, `${sign}${JSON.stringify(object)}\n`)
}

/** Whether this probe is the janitor, which sweeps before it ends. */
export function isJanitor(): boolean {
  return active
}

export const janitorOperations = {
  /**
   * Becomes the janitor. First replays what a janitor that was killed left in the ledger directory, which
   * must belong to this user; gives the number of ledgers replayed. Without a usable directory it works
   * without a ledger. `socketDirectory` is removed at the end.
   */
  becomeJanitor: (directory: string, socketDirectory: string): number => {
    active = true
    leftovers = socketDirectory
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const owner = lstatSync(directory)
      if (!owner.isDirectory() || owner.uid !== process.getuid?.()) return 0
      const replayed = replay(directory)
      const file = join(directory, `${process.hrtime.bigint()}.ledger`)
      // It gets its name when it is locked: until then another janitor would take it for a dead one's.
      const descriptor = openSync(`${file}.new`, 'ax', 0o600)
      fileOperations.flock(descriptor)
      writeSync(descriptor, `${bootId()}\n`)
      renameSync(`${file}.new`, file)
      ledger = { directory, file, descriptor }
      return replayed
    } catch {
      return 0
    }
  },
  /** An object is about to be made (no identifier yet), or an unnamed one was made. */
  announce: (object: MadeObject): number => {
    announced.set(JSON.stringify(object), object)
    note('+', object)
    return announced.size
  },
  /** The object could not be made or is removed. */
  renounce: (objects: MadeObject[]): number => {
    for (const object of objects) if (announced.delete(JSON.stringify(object))) note('-', object)
    return announced.size
  },
}

/** Removes everything announced and not renounced, and the ledger with it. */
export function sweep(): void {
  for (const object of announced.values()) quietly(() => removeByKey(object))
  rmSync(leftovers, { recursive: true, force: true })
  if (!ledger) return
  closeSync(ledger.descriptor)
  rmSync(ledger.file, { force: true })
  try {
    rmdirSync(ledger.directory)
  } catch {
    // Another run's ledger is in it, or it is gone already.
  }
}

function replay(directory: string): number {
  const ledgers = readdirSync(directory).filter((name) => name.endsWith('.ledger'))
  return ledgers.filter((name) => replayLedger(join(directory, name))).length
}

/** Whether it was replayed: not where its janitor lives, nor where that has just ended and removed it. */
function replayLedger(file: string): boolean {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r+')
    fileOperations.flock(descriptor)
    const [boot, ...lines] = readFileSync(file, 'utf8').split('\n')
    // After a reboot nothing of it exists, and a key could be somebody else's by now.
    if (boot === bootId()) replayLines(lines)
    unlinkSync(file)
    return true
  } catch {
    return false
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function replayLines(lines: string[]): void {
  const left = new Set<string>()
  for (const line of lines) {
    if (line.startsWith('+')) left.add(line.slice(1))
    else left.delete(line.slice(1))
  }
  for (const text of left) {
    try {
      removeByKey(JSON.parse(text) as MadeObject)
    } catch {
      // Gone already, or a last line that was cut off.
    }
  }
}
