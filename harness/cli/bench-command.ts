import { execFileSync } from 'node:child_process'
import { CellRecord, type Member } from '../link/member.ts'
import { CLONE, IPC_CREAT, IPC_EXCL } from '../probe/constants.ts'
import { type Profile, readProfile } from '../rules/profiles.ts'
import type { Area } from '../rules/rule.ts'
import { Engine } from '../run/engine.ts'
import { effectiveCapabilities } from '../run/run.ts'
import { cellsOf, everything } from '../run/selection.ts'
import { Trunk } from '../run/trunk.ts'
import { UsageError } from '../usage-error.ts'
import { type Command, EXIT } from './command.ts'
import { readOptions } from './options.ts'

const HELP = `Usage: ipcns bench [--profile NAME]

Says what a cell costs on this machine: medians of runs side by side, in
milliseconds. Needs root. With --profile the cells of that profile are run, in
one process without vitest, and each area's share is shown.
`

/** The `bench` subcommand: figures to compare by hand, never a verdict. */
export function benchCommand(load: () => Promise<readonly Area[]>): Command {
  return {
    summary: 'what a cell costs here, in milliseconds by part',
    help: HELP,
    run: async (words) => {
      const { profile } = readOptions('bench', words, { profile: { type: 'string' } }, 'none').values
      if (!effectiveCapabilities().includes('CAP_SYS_ADMIN'))
        throw new UsageError('bench makes namespaces: run it as root')
      if (profile !== undefined) await profileShares(await load(), readProfile(profile))
      else await parts()
      return EXIT.ok
    },
  }
}

async function parts(): Promise<void> {
  const trunk = await Trunk.start()
  try {
    const outer = await trunk.leaseArena('outer', new CellRecord())
    row('start of Node (node -e 0)', await median(7, async () => execFileSync(process.execPath, ['-e', '0'])))
    row('clone of a probe, to its first answer', await median(200, () => withChild(outer, [], ping)))
    row('the same with CLONE_NEWIPC', await median(200, () => withChild(outer, ['NEWIPC'], ping)))
    row('one request', await median(1000, () => outer.ping()))
    row('one request of 100 sent together', (await median(50, () => hundred(outer))) / 100)
    row('unshare(CLONE_NEWIPC) of a living member', await median(200, () => outer.unshare(CLONE.NEWIPC)))
    row('a cell: two fresh clones, eight requests, both ends', await median(200, () => freshCell(outer)))
    row('a cell in a world that lives: eight requests', await median(500, () => eightRequests(outer, outer)))
    process.stdout.write('\na fresh clone and its cell, with so many namespaces alive:\n')
    const alive: Member[] = []
    for (const count of [10, 30, 100, 300]) {
      while (alive.length < count) alive.push(await outer.spawn('alive', ['NEWIPC']))
      row(`  ${count}`, await median(50, () => freshCell(outer)))
    }
  } finally {
    await trunk.stop()
  }
}

async function profileShares(areas: readonly Area[], profile: Profile): Promise<void> {
  const engine = new Engine({ disposable: false })
  let all = 0
  let cells = 0
  for (const area of areas) {
    const own = cellsOf(area, everything(profile))
    const started = performance.now()
    const results = await Promise.all(engine.start(own).values())
    const spent = performance.now() - started
    all += spent
    cells += own.length
    row(`${area.name} (${own.length} cells), a cell`, spent / Math.max(1, own.length))
    for (const { id, verdict, ms } of results)
      if (verdict === 'fail' || verdict === 'error') row(`  ${verdict} ${id}`, ms)
  }
  await engine.stop()
  row(`all ${cells} cells, a cell`, all / cells)
  process.stdout.write(`${(cells / (all / 1000)).toFixed(0)} cells a second in one worker\n`)
}

async function ping(child: Member): Promise<void> {
  await child.ping()
}

async function withChild(
  outer: Member,
  flags: readonly 'NEWIPC'[],
  work: (child: Member) => Promise<void>,
): Promise<void> {
  const child = await outer.spawn('child', flags)
  await work(child)
  child.process.end()
}

async function hundred(outer: Member): Promise<void> {
  await Promise.all(Array.from({ length: 100 }, () => outer.ping()))
}

async function eightRequests(actor: Member, observer: Member): Promise<void> {
  const queue = await actor.msgget(0x7e57, IPC_CREAT | IPC_EXCL | 0o600)
  for (let look = 0; look < 5; look += 1) await observer.try.msgget(0x7e57, 0)
  await actor.msgctlStat(queue)
  await actor.msgctlRemove(queue)
}

async function freshCell(outer: Member): Promise<void> {
  const actor = await outer.spawn('actor', ['NEWIPC'])
  const observer = await outer.spawn('observer', ['NEWIPC'])
  await eightRequests(actor, observer)
  actor.process.end()
  observer.process.end()
}

/** Median of so many runs in milliseconds, after one that does not count. */
async function median(runs: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let index = 0; index <= runs; index += 1) {
    const started = performance.now()
    await work()
    if (index > 0) times.push(performance.now() - started)
  }
  times.sort((a, b) => a - b)
  return times[Math.floor(times.length / 2)] ?? 0
}

function row(what: string, milliseconds: number): void {
  process.stdout.write(`${what.padEnd(54)} ${milliseconds.toFixed(3).padStart(9)} ms\n`)
}
