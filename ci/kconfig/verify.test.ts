import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { thisMachine } from './machine.ts'
import { observe } from './observe.ts'
import { configOf, fakeMachine, WHOLE_PROC } from './samples.ts'
import { NO_CONFIG } from './state.ts'
import { compare, corrected } from './verify.ts'

const saw = (symbol: string, works: boolean | null) => [{ symbol, works, evidence: 'seen' }]
const on = configOf(['CONFIG_A=y'])
const module = configOf(['CONFIG_A=m'])
const off = configOf(['# CONFIG_A is not set'])

describe('compare', () => {
  test('promised and missing is a finding', () => {
    expect(compare(on, saw('A', false))).toEqual([
      {
        symbol: 'A',
        kind: 'finding',
        message: 'CONFIG_A is y, but the running kernel does not have it: seen',
      },
    ])
  })

  test('there and not promised is a note', () => {
    expect(compare(off, saw('A', true))[0]).toMatchObject({
      kind: 'note',
      message: expect.stringContaining('is not set'),
    })
    expect(compare(on, saw('B', true))[0]).toMatchObject({
      kind: 'note',
      message: expect.stringContaining('is absent'),
    })
    expect(compare(NO_CONFIG, saw('A', true))[0]?.kind).toBe('note')
  })

  test('agreement, ignorance, modules and the silence of a fragment are neither', () => {
    expect(compare(on, saw('A', true))).toEqual([])
    expect(compare(off, saw('A', false))).toEqual([])
    expect(compare(on, saw('A', null))).toEqual([])
    expect(compare(module, saw('A', false))).toEqual([])
    expect(compare(configOf(['CONFIG_A=y'], 'fragment'), saw('B', true))).toEqual([])
    expect(compare(NO_CONFIG, saw('A', false))).toEqual([])
  })
})

test('corrected: what was observed counts, the rest stays as written', () => {
  expect(corrected(on, saw('A', false)).state('A')).toEqual({ kind: 'is-not-set' })
  expect(corrected(off, saw('A', true)).state('A')).toEqual({ kind: 'y' })
  expect(corrected(NO_CONFIG, saw('A', true)).state('A')).toEqual({ kind: 'y' })
  expect(corrected(on, saw('A', null)).state('A')).toEqual({ kind: 'y' })
  expect(corrected(module, saw('A', false)).state('A')).toEqual({ kind: 'm' })
  expect(corrected(on, saw('A', true)).state('B')).toEqual({ kind: 'absent' })
})

const works = async (machine: Parameters<typeof observe>[0]) =>
  Object.fromEntries((await observe(machine)).map((one) => [one.symbol, one.works]))
const EINVAL = { status: 1, stderr: 'unshare: unshare failed: Invalid argument' }
const EPERM = { status: 1, stderr: 'unshare: unshare failed: Operation not permitted' }
const ENOSPC = { status: 1, stderr: 'unshare: unshare failed: No space left on device' }
const without = (...paths: string[]) =>
  Object.fromEntries(Object.entries(WHOLE_PROC).filter(([path]) => !paths.includes(path)))

describe('observe', () => {
  test('a Linux with everything, by calls', async () => {
    const all = await works(fakeMachine(WHOLE_PROC, { unshare: { status: 0 } }))
    expect(Object.values(all)).not.toContain(false)
    expect(Object.values(all)).not.toContain(null)
  })

  test('the call is believed more than the file', async () => {
    const some = await works(
      fakeMachine(WHOLE_PROC, { 'unshare --ipc true': EINVAL, unshare: { status: 0 } }),
    )
    expect(some).toMatchObject({ IPC_NS: false, PID_NS: true })
  })

  test('refusal is policy: the file decides', async () => {
    const refused = fakeMachine(without('/proc/self/ns/pid'), { unshare: EPERM })
    expect(await works(refused)).toMatchObject({ IPC_NS: true, USER_NS: true, PID_NS: false })
    expect(refused.ran).toContain('unshare --user --map-root-user --ipc true')
    const full = fakeMachine(WHOLE_PROC, { unshare: ENOSPC })
    expect(await works(full)).toMatchObject({ IPC_NS: true, USER_NS: true })
  })

  test('ENOSYS of msgget is what tells about SYSVIPC, and it is only tried in a private namespace', async () => {
    const none = fakeMachine(WHOLE_PROC, {
      'unshare --ipc sh': {
        status: 1,
        stderr: 'ipcmk: create message queue failed: Function not implemented',
      },
      unshare: { status: 0 },
    })
    expect(await works(none)).toMatchObject({ SYSVIPC: false, IPC_NS: true })
    const unknown = fakeMachine(without('/proc/self/ns/ipc'), {
      'unshare --ipc': EINVAL,
      unshare: { status: 0 },
    })
    expect(await works(unknown)).toMatchObject({ SYSVIPC: true, IPC_NS: false })
    expect(unknown.ran.filter((words) => words.includes('ipcmk'))).toEqual([])
  })

  test.each([
    ['SYSVIPC', '/proc/sysvipc/msg'],
    ['SYSVIPC_SYSCTL', '/proc/sys/kernel/msgmax'],
    ['POSIX_MQUEUE_SYSCTL', '/proc/sys/fs/mqueue/msg_max'],
    ['CHECKPOINT_RESTORE', '/proc/sys/kernel/msg_next_id'],
    ['PROC_SYSCTL', '/proc/sys/kernel/ostype'],
    ['UNIX', '/proc/self/net/unix'],
  ])('%s is told by %s', async (symbol, path) => {
    expect((await works(fakeMachine(WHOLE_PROC)))[symbol]).toBe(true)
    expect((await works(fakeMachine(without(path))))[symbol]).toBe(false)
  })

  test('POSIX_MQUEUE is told by /proc/filesystems', async () => {
    const files = { ...WHOLE_PROC, '/proc/filesystems': 'nodev\tproc\nnodev\tmqueuefoo\n' }
    expect((await works(fakeMachine(files))).POSIX_MQUEUE).toBe(false)
  })

  test('without /proc, or with subset=pid, a missing file says nothing', async () => {
    expect(Object.values(await works(fakeMachine({})))).not.toContain(false)
    const subset = fakeMachine({
      '/proc/self/status': '',
      '/proc/self/mountinfo': '22 1 0:20 / /proc rw - proc proc rw,subset=pid\n',
    })
    expect(await works(subset)).toMatchObject({ SYSVIPC: null, SYSVIPC_SYSCTL: null, POSIX_MQUEUE: null })
  })

  test('madvise is told by marks that only it can make', async () => {
    const files = { ...WHOLE_PROC, '/proc/self/smaps': 'VmFlags: rd io dc\nVmFlags: rd wr mr\n' }
    expect((await works(fakeMachine(files))).ADVISE_SYSCALLS).toBe(null)
  })

  test('what a boot parameter can switch off is never called missing', async () => {
    const files = { ...without('/proc/self/ns/cgroup'), '/proc/cgroups': '#subsys_name\ncpu\t0\t1\t1\n' }
    expect(await works(fakeMachine(files))).toMatchObject({ MEMCG: null, CGROUPS: null })
  })
})

test('this machine: what is observed agrees with the files that stand for it', async () => {
  const seen = await works(thisMachine)
  expect(seen.PROC_FS).toBe(true)
  if (existsSync('/proc/self/ns/ipc')) expect(seen.IPC_NS).toBe(true)
  if (existsSync('/proc/sysvipc/msg')) expect(seen.SYSVIPC).toBe(true)
})

test('this machine: a missing command and a failing one are told apart', async () => {
  expect(await thisMachine.run('ipcns-no-such-command', [])).toMatchObject({ missing: true, stderr: '' })
  expect(await thisMachine.run('sh', ['-c', 'echo no >&2; exit 3'])).toEqual({
    status: 3,
    stderr: 'no',
    missing: false,
  })
})
