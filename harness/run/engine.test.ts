import { afterAll, describe, expect, test, vi } from 'vitest'
import { Failure, HarnessError } from '../link/failure.ts'
import { CLONE, IPC_CREAT, IPC_EXCL, SIGKILL, WNOHANG } from '../probe/constants.ts'
import type { CellResult } from '../results/model.ts'
import { expand } from '../rules/expand.ts'
import { REQUIREMENTS } from '../rules/requirements.ts'
import {
  type Area,
  area,
  type ComparisonWorld,
  type VisibilityRule,
  type VisibilityWorld,
} from '../rules/rule.ts'
import { Engine } from './engine.ts'
import { effectiveCapabilities } from './run.ts'

// What must turn a run red does so, with the right verdict; and what must not, does not.
const privileged = effectiveCapabilities().includes('CAP_SYS_ADMIN')
const engine = new Engine({ disposable: false, requestLimit: 1500 })
afterAll(() => engine.stop())

const ENOENT = Failure.of('ENOENT')

interface Seen {
  queue: number
  found: unknown
}

const honest: VisibilityRule<Seen> = {
  says: 'a key is known in its own namespace only',
  source: ['this test'],
  async experiment({ actor, observer, fresh }: VisibilityWorld) {
    const key = fresh.key()
    const queue = await actor.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    return { queue, found: await observer.try.msgget(key, 0) }
  },
  shared: ({ queue }) => ({ found: queue }),
  isolated: () => ({ found: ENOENT }),
}

async function run(define: (rules: Area) => void): Promise<CellResult[]> {
  const rules = area('test', 'Rules of this test')
  define(rules)
  const cells = rules.rules.flatMap((rule) => expand(rule, 'quick', false))
  return Promise.all(engine.start(cells).values())
}

function comparison(
  experiment: (world: ComparisonWorld) => Promise<{ done: unknown }>,
): Promise<CellResult[]> {
  return run((rules) =>
    rules.comparison('T-1', {
      says: 'something',
      source: ['this test'],
      arms: { treatment: 'one', control: 'other' },
      experiment,
      treatment: () => ({ done: true }),
      control: () => ({ done: true }),
    }),
  )
}

const verdicts = (results: CellResult[]): string[] => [...new Set(results.map(({ verdict }) => verdict))]

describe.skipIf(!privileged)('the engine (needs CAP_SYS_ADMIN)', () => {
  test('an honest rule passes in every cell of both arms', async () => {
    const results = await run((rules) => rules.visibility('T-1', honest))
    expect(verdicts(results)).toEqual(['pass'])
    expect(new Set(results.map(({ arm }) => arm)).size).toBe(2)
  })

  test('a requirement whose trial breaks is tried once more, and then is an error', async () => {
    const needy = (rules: Area): void => rules.visibility('T-1', { ...honest, needs: ['UTS_SYSCTL'] })
    const trial = vi.spyOn(REQUIREMENTS.UTS_SYSCTL, 'met').mockRejectedValue(new HarnessError('killed'))
    expect(verdicts(await run(needy))).toEqual(['error'])
    expect(trial).toHaveBeenCalledTimes(2)
    trial.mockRestore()
    vi.spyOn(REQUIREMENTS.NET_NS, 'met').mockRejectedValueOnce(new HarnessError('killed'))
    const other = (rules: Area): void => rules.visibility('T-1', { ...honest, needs: ['NET_NS'] })
    expect(verdicts(await run(other))).toEqual(['pass'])
  })

  test('swapped predictions fail in every cell, with what was expected and what was seen', async () => {
    const results = await run((rules) =>
      rules.visibility('T-1', { ...honest, shared: honest.isolated, isolated: honest.shared }),
    )
    expect(verdicts(results)).toEqual(['fail'])
    const treated = results.find(({ arm }) => arm === 'treatment')
    expect(treated?.observed).toBe('found: ENOENT')
    expect(treated?.reason).toMatch(/^found is ENOENT, not \d+$/)
    expect(treated?.evidence?.some(({ call }) => call === 'msgget')).toBe(true)
  })

  test('another errno than the predicted one fails: EINVAL is not ENOENT', async () => {
    const results = await run((rules) =>
      rules.visibility('T-1', { ...honest, isolated: () => ({ found: Failure.of('EINVAL') }) }),
    )
    expect(results.filter(({ arm }) => arm === 'treatment').every(({ verdict }) => verdict === 'fail')).toBe(
      true,
    )
    expect(results.filter(({ arm }) => arm === 'control').every(({ verdict }) => verdict === 'pass')).toBe(
      true,
    )
  })

  test('a coincidence in the initial namespace is tried again and told; elsewhere the first answer counts', async () => {
    const once = new Set<string>()
    const results = await run((rules) =>
      rules.visibility('T-1', {
        ...honest,
        async experiment(world) {
          const cell = [world.scene.place, world.scene.direction, world.via, ...world.flags].join(' ')
          const seen = await honest.experiment(world)
          if (once.has(cell)) return seen
          once.add(cell)
          return { ...seen, found: 4711 }
        },
      }),
    )
    for (const { place, direction, verdict, note } of results) {
      const initial = place === 'initial' || direction === 'child-to-initial'
      expect({ verdict, told: note?.includes('4711') ?? false }).toEqual(
        initial ? { verdict: 'pass', told: true } : { verdict: 'fail', told: false },
      )
    }
    expect(verdicts(results).sort()).toEqual(['fail', 'pass'])
  })

  test('a pid that is used again is another process: it is not killed, and its end is not known beforehand', async () => {
    const results = await comparison(async ({ outer }) => {
      const init = await outer.spawn('init', ['NEWPID'])
      const other = await init.spawn('other')
      const nextPid = (pid: number): Promise<number> =>
        other.writeFile('/proc/sys/kernel/ns_last_pid', String(pid - 1))
      const reaped = await init.spawn('reaped')
      await reaped.exitAndReap()
      await nextPid(reaped.pid)
      const stranger = await other.spawn('stranger')
      const ended = await init.spawn('ended')
      let buried = await init.process.must('endChildren', [[reaped.pid, ended.pid]])
      while (buried === 0) buried = await init.process.must('endChildren', [[]])
      await nextPid(ended.pid)
      const successor = await init.spawn('successor')
      const { pid } = await init.waitpid(successor.pid, WNOHANG)
      const same = stranger.pid === reaped.pid && successor.pid === ended.pid
      return { done: same && pid === 0 && (await stranger.ping()) === 0 }
    })
    expect(verdicts(results)).toEqual(['pass'])
  })

  test('an operation that lies fails the cell', async () => {
    const results = await run((rules) =>
      rules.visibility('T-1', {
        ...honest,
        async experiment(world) {
          const { process } = world.observer
          const call = process.call.bind(process)
          process.call = async (operation, args, ...rest) => {
            const answer = await call(operation, args, ...rest)
            return operation === 'msgget' ? { value: 4711 } : answer
          }
          try {
            return await honest.experiment(world)
          } finally {
            process.call = call
          }
        },
      }),
    )
    expect(verdicts(results)).toEqual(['fail'])
    expect(results[0]?.reason).toContain('4711')
  })

  test('a set-up call that fails is an error that names it, never an observation', async () => {
    const results = await comparison(async ({ outer }) => ({ done: await outer.msgget(0x7e57, 0) }))
    expect(verdicts(results)).toEqual(['error'])
    expect(results[0]?.reason).toBe('set-up failed: outer: msgget(0x7e57, 0) gave ENOENT')
  })

  test('a refusal that says the environment lacks something is a skip only where it does lack it', async () => {
    const results = await comparison(async ({ outer }) => {
      const powerless = await outer.spawn('powerless')
      await powerless.setCapabilities([], true)
      return { done: await powerless.becomeUser(40_000) }
    })
    expect(verdicts(results)).toEqual(['error'])
  })

  test('what was seen stays true: a second try that breaks takes no failure back', async () => {
    const tries: Record<string, number> = {}
    const results = await comparison(async ({ arm, initial }) => {
      await initial()
      tries[arm] = (tries[arm] ?? 0) + 1
      if (tries[arm] === 1) return { done: false }
      throw new TypeError('no such thing')
    })
    expect(verdicts(results)).toEqual(['fail'])
    expect(results[0]?.observed).toBe('done: false')
  })

  test('a probe that dies is an error that names the call it died in', async () => {
    const results = await comparison(async ({ outer }) => {
      const child = await outer.spawn('child')
      return { done: await child.try.kill(await child.getpid(), SIGKILL) }
    })
    expect(verdicts(results)).toEqual(['error'])
    expect(results[0]?.reason).toMatch(/child: kill\(\d+, 9\): the probe died/)
  })

  test('a probe that hangs in a system call is an error that names it, in bounded time', async () => {
    const started = performance.now()
    const results = await comparison(async ({ outer }) => {
      const queue = await outer.msgget(0, 0o600)
      return { done: await outer.try.msgrcv(queue, 16, 0, 0) }
    })
    expect(verdicts(results)).toEqual(['error'])
    expect(results[0]?.reason).toContain('msgrcv')
    expect(results[0]?.reason).toContain('in time')
    expect(performance.now() - started).toBeLessThan(20_000)
  })

  test('the death of the root is an error of what was under way, and the next cells run', async () => {
    const killed = await comparison(async ({ outer }) => {
      // The creator of a leased member is the root of the tree.
      await outer.process.creator?.call('exitNow', [])
      return { done: true }
    })
    expect(verdicts(killed)).toEqual(['error'])
    const after = await run((rules) => rules.visibility('T-2', honest))
    expect(verdicts(after)).toEqual(['pass'])
  })

  test('a rule that predicts nothing is an error, not a pass', async () => {
    const results = await run((rules) =>
      rules.visibility('T-1', { ...honest, isolated: () => ({}), shared: () => ({}) }),
    )
    expect(verdicts(results)).toEqual(['error'])
  })

  test('an exception in a rule is an error that says so', async () => {
    const results = await comparison(() => Promise.reject(new TypeError('no such thing')))
    expect(verdicts(results)).toEqual(['error'])
    expect(results[0]?.reason).toContain('defect of the suite: no such thing')
  })

  test('objects made in the initial namespace are gone after the cell', async () => {
    let key = 0
    let before: unknown
    await comparison(async ({ initial, fresh }) => {
      const member = await initial()
      // Both arms run at once: each has its own key, and the last one is looked for afterwards.
      const own = fresh.key()
      await member.msgget(own, IPC_CREAT | IPC_EXCL | 0o600)
      before = await member.try.msgget(own, 0)
      key = own
      return { done: true }
    })
    let after: unknown
    await comparison(async ({ initial }) => {
      after = await (await initial()).try.msgget(key, 0)
      return { done: true }
    })
    expect(before).toBeTypeOf('number')
    expect(after).toBe(ENOENT)
  })

  test('a leased member comes back as good as new', async () => {
    const left: unknown[] = []
    for (let round = 0; round < 2; round += 1)
      await comparison(async ({ outer }) => {
        left.push((await outer.descriptors()).length, (await outer.msgctlInfo('MSG_INFO')).msgpool)
        await outer.open('/proc/self/ns/ipc', 0)
        await outer.msgget(0, 0o600)
        await outer.unshare(CLONE.NEWIPC)
        await outer.msgget(0, 0o600)
        return { done: true }
      })
    expect(new Set(left.filter((_, index) => index % 2 === 0)).size).toBe(1)
    expect(left.filter((_, index) => index % 2 === 1).every((queues) => queues === 0)).toBe(true)
  })
})
