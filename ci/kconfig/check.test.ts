import { describe, expect, test } from 'vitest'
import { PROFILES } from '../../harness/rules/profiles.ts'
import { check, type Question } from './check.ts'
import { evaluate, parseExpression } from './expression.ts'
import { fragmentFor } from './fragment.ts'
import { parseConfig } from './parse.ts'
import { configOf } from './samples.ts'
import { NO_CONFIG } from './state.ts'
import { isRequired, SYMBOLS } from './symbols.ts'

const everything = SYMBOLS.map(({ name }) => `CONFIG_${name}=y`)
const but = (...names: string[]) =>
  everything.map((line) => {
    const name = line.slice(7, -2)
    return names.includes(name) ? `# CONFIG_${name} is not set` : line
  })

function ask(
  lines: readonly string[] | null,
  more: Partial<Question> = {},
  kind: 'full' | 'fragment' = 'full',
) {
  const source = { path: 'FILE', text: '', sha256: 'ab', gzip: false }
  return check({
    found: lines && { source, config: configOf(lines, kind) },
    looked: [],
    unreadable: [],
    running: '6.1.140',
    warnings: [],
    profile: 'quick',
    require: [],
    rules: [],
    observations: null,
    ...more,
  })
}

test('the table names each symbol once, with why and where from', () => {
  const names = SYMBOLS.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { why, source } of SYMBOLS) {
    expect(why.length).toBeGreaterThan(10)
    expect(source).toMatch(/Kconfig|\(\d\)|\.c\b/)
  }
  // What the issue names.
  expect(names).toEqual(
    expect.arrayContaining(
      'NAMESPACES SYSVIPC SYSVIPC_SYSCTL SYSVIPC_COMPAT POSIX_MQUEUE POSIX_MQUEUE_SYSCTL IPC_NS USER_NS PID_NS UTS_NS NET_NS CGROUPS PROC_FS PROC_SYSCTL SYSCTL CHECKPOINT_RESTORE FHANDLE NET UNIX SHMEM TMPFS MEMCG'.split(
        ' ',
      ),
    ),
  )
})

describe('verdict', () => {
  test('everything on passes every profile', () => {
    for (const profile of PROFILES) expect(ask(everything, { profile })).toMatchObject({ verdict: 'pass' })
  })

  test('each symbol that a profile requires is missed, and no other', () => {
    for (const profile of PROFILES) {
      for (const symbol of SYMBOLS) {
        const { verdict, because } = ask(but(symbol.name), { profile })
        const wanted = isRequired(symbol, profile)
          ? { verdict: 'fail', because: `missing: CONFIG_${symbol.name}` }
          : { verdict: 'pass', because: 'everything required is present' }
        expect({ verdict, because }).toEqual(wanted)
      }
    }
  })

  test('optional are missed in the profile that needs them only', () => {
    expect(ask(but('USER_NS')).verdict).toBe('pass')
    expect(ask(but('USER_NS'), { profile: 'default' }).verdict).toBe('fail')
    expect(ask(but('FHANDLE'), { profile: 'default' }).verdict).toBe('pass')
    expect(ask(but('FHANDLE'), { profile: 'full' }).verdict).toBe('fail')
  })

  test('what is asked for is required too', () => {
    const require = [parseExpression('MEMCG & !HUGETLBFS')]
    const report = ask(everything, { require })
    expect(report).toMatchObject({ verdict: 'fail', because: 'missing: CONFIG_MEMCG & !CONFIG_HUGETLBFS' })
    expect(report.items.at(-1)).toMatchObject({
      level: 'asked',
      state: null,
      remark: expect.stringContaining('CONFIG_HUGETLBFS is y'),
    })
    expect(ask(but('HUGETLBFS'), { require }).verdict).toBe('pass')
  })

  test('a fragment must say what is required', () => {
    const report = ask(['CONFIG_IPC_NS=y'], {}, 'fragment')
    expect(report.verdict).toBe('fail')
    expect(report.items.find(({ name }) => name === 'CONFIG_SYSVIPC')).toMatchObject({
      present: 'unknown',
      state: { kind: 'absent' },
    })
  })

  test('no configuration is unknown, unless behaviour settles it', () => {
    expect(ask(null)).toMatchObject({ verdict: 'unknown', config: null })
    const works = SYMBOLS.map(({ name }) => ({ symbol: name, works: true, evidence: 'seen' }))
    expect(ask(null, { observations: works })).toMatchObject({ verdict: 'pass' })
    const broken = works.map((one) => (one.symbol === 'IPC_NS' ? { ...one, works: false } : one))
    expect(ask(null, { observations: broken })).toMatchObject({
      verdict: 'fail',
      because: 'missing: CONFIG_IPC_NS',
    })
  })

  test('a feature that behaves otherwise than promised fails even when optional', () => {
    const observations = [{ symbol: 'USER_NS', works: false, evidence: 'unshare --user: EINVAL' }]
    const report = ask(everything, { observations })
    expect(report.verdict).toBe('fail')
    expect(report.because).toBe('the running kernel contradicts the configuration in one place')
    expect(report.items.find(({ name }) => name === 'CONFIG_USER_NS')?.present).toBe('no')
  })

  test('a required symbol that is not set but works is present, with a note', () => {
    const observations = [{ symbol: 'SYSVIPC', works: true, evidence: 'msgget succeeds' }]
    const report = ask(but('SYSVIPC'), { observations })
    expect(report.verdict).toBe('pass')
    expect(report.disagreements).toMatchObject([{ kind: 'note', symbol: 'SYSVIPC' }])
  })
})

test('before a symbol was an option its feature was built in', () => {
  const lines = everything.filter((line) => !line.includes('MULTIUSER'))
  const of = (version: string) => {
    const { config } = parseConfig([`# Linux/x86 ${version} Kernel Configuration`, ...lines].join('\n'))
    const source = { path: 'FILE', text: '', sha256: 'ab', gzip: false }
    return ask(lines, { found: { source, config }, profile: 'full' })
  }
  expect(of('4.0.9').verdict).toBe('pass')
  expect(of('4.0.9').items.find(({ name }) => name === 'CONFIG_MULTIUSER')?.remark).toBe(
    'always built in before 4.1',
  )
  expect(of('4.1.0').verdict).toBe('fail')
})

describe('the fragment to add', () => {
  test('nothing when all is there', () => {
    expect(ask(everything).fragment).toEqual({ required: [], optional: [] })
  })

  test('brings prerequisites first and never a symbol without a prompt', () => {
    const lines = but('POSIX_MQUEUE', 'NET', 'UNIX', 'PROC_SYSCTL', 'SYSCTL', 'SYSVIPC_SYSCTL')
    expect(ask(lines).fragment).toEqual({
      required: ['CONFIG_NET=y', 'CONFIG_POSIX_MQUEUE=y', 'CONFIG_UNIX=y'],
      optional: ['CONFIG_PROC_SYSCTL=y'],
    })
  })

  test('does what is asked for, once', () => {
    const require = ['!HUGETLBFS', 'HZ=100', 'USER_NS & PID_NS'].map(parseExpression)
    expect(ask(but('USER_NS', 'PID_NS'), { require }).fragment).toEqual({
      required: ['# CONFIG_HUGETLBFS is not set', 'CONFIG_HZ=100', 'CONFIG_USER_NS=y', 'CONFIG_PID_NS=y'],
      optional: [],
    })
  })

  test('from nothing it is a valid fragment that names every choice', () => {
    const { required, optional } = fragmentFor('full', [], NO_CONFIG)
    const config = configOf([...required, ...optional], 'fragment')
    for (const { name, derived } of SYMBOLS)
      expect([name, evaluate({ op: 'is-on', symbol: name }, config)]).toEqual([
        name,
        derived ? 'unknown' : 'yes',
      ])
  })
})
