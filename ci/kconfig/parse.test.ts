import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseConfig } from './parse.ts'
import { samplePath } from './samples.ts'
import type { State } from './state.ts'

const sample = (name: string) => parseConfig(readFileSync(samplePath(name), 'utf8'))

describe('a full configuration', () => {
  const { config, problems } = sample('full.config')

  test('has no problems, its header version and every state', () => {
    expect(problems).toEqual([])
    expect(config).toMatchObject({ kind: 'full', complete: true, version: '6.1.140' })
    expect(config.state('IPC_NS')).toEqual({ kind: 'y' })
    expect(config.state('PACKET')).toEqual({ kind: 'm' })
    expect(config.state('HZ')).toEqual({ kind: 'value', value: '250' })
    expect(config.state('LOCALVERSION')).toEqual({ kind: 'value', value: '""' })
    expect(config.state('EMBEDDED')).toEqual({ kind: 'is-not-set' })
    expect(config.state('NEVER_HEARD_OF')).toEqual({ kind: 'absent' })
  })

  test('knows the line of each symbol', () => {
    expect(config.settings.get('SYSVIPC')?.line).toBe(8)
    expect(config.settings.get('EMBEDDED')?.line).toBe(30)
  })
})

test.each([
  ['# Linux/x86 6.18.44 Kernel Configuration', '6.18.44'],
  ['# User Mode Linux/x86_64 6.1.192 Kernel Configuration', '6.1.192'],
  ['# Linux/arm64 6.8.5-301.fc40.aarch64 Kernel Configuration', '6.8.5-301.fc40.aarch64'],
  ['# Linux kernel version: 2.6.32', '2.6.32'],
])('the header %j names %s', (header, version) => {
  expect(parseConfig(`#\n${header}\n#\nCONFIG_A=y\n`).config).toMatchObject({ kind: 'full', version })
})

test('a configuration without a header is full when it names its compiler, as its like do', () => {
  const { config } = parseConfig('CONFIG_CC_VERSION_TEXT="gcc"\nCONFIG_A=y\n')
  expect(config).toMatchObject({ kind: 'full', version: null })
})

test('in a fragment n is "is not set"', () => {
  const { config, problems } = sample('fragment.config')
  expect(problems).toEqual([])
  expect(config).toMatchObject({ kind: 'fragment', complete: false, version: null })
  expect(config.state('CHECKPOINT_RESTORE')).toEqual({ kind: 'is-not-set' })
  expect(config.state('POSIX_MQUEUE')).toEqual({ kind: 'is-not-set' })
})

test('repeated lines are named, with whether they contradict', () => {
  expect(sample('duplicate.config').problems).toEqual([
    { line: 4, message: 'CONFIG_IPC_NS is set again to something else (first on line 2)' },
    { line: 5, message: 'CONFIG_PID_NS is set again (first on line 3)' },
  ])
})

test('every broken line is named and nothing else', () => {
  const { problems } = sample('broken.config')
  expect(problems.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 9, 10])
  expect(problems[1]?.message).toContain('" CONFIG_USER_NS=y"')
  expect(problems[2]?.message).toBe('CONFIG_POSIX_MQUEUE has no value')
  expect(problems[3]?.message).toContain('impossible value "yes"')
  expect(problems[4]?.message).toContain('only nearly')
})

test.each([
  '# CONFIG_A is not  set',
  '#  CONFIG_A is not set',
  '# CONFIG_A not set',
  ' # CONFIG_A is not set',
])('%j is no comment to pass over', (line) => {
  expect(parseConfig(line).problems).toHaveLength(1)
})

test('line ends of DOS and spaces at the end of a line do no harm, as in the kernel', () => {
  const { config, problems } = parseConfig('CONFIG_A=y\r\n# CONFIG_B is not set \r\n')
  expect(problems).toEqual([])
  expect(config.state('A')).toEqual({ kind: 'y' })
  expect(config.state('B')).toEqual({ kind: 'is-not-set' })
})

const symbol = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,12}$/)
const state: fc.Arbitrary<State> = fc.oneof(
  fc.constantFrom<State>({ kind: 'y' }, { kind: 'm' }, { kind: 'is-not-set' }),
  fc.integer().map((number): State => ({ kind: 'value', value: String(number) })),
  fc.nat().map((number): State => ({ kind: 'value', value: `0x${number.toString(16)}` })),
  fc
    .stringMatching(/^[ -~]{0,20}$/)
    .map((text): State => ({ kind: 'value', value: `"${text.replace(/["\\]/g, '\\$&')}"` })),
)

function lineOf(name: string, { kind, ...rest }: State): string {
  if ('value' in rest) return `CONFIG_${name}=${rest.value}`
  return kind === 'is-not-set' ? `# CONFIG_${name} is not set` : `CONFIG_${name}=${kind}`
}

const settings = fc.uniqueArray(fc.tuple(symbol, state), { selector: ([name]) => name, maxLength: 30 })

test('property: what is written is what is read, each on its line', () => {
  fc.assert(
    fc.property(settings, (wanted) => {
      const { config, problems } = parseConfig(wanted.map(([name, is]) => lineOf(name, is)).join('\n'))
      expect(problems).toEqual([])
      expect([...config.settings]).toEqual(
        wanted.map(([name, is], index) => [name, { state: is, line: index + 1 }]),
      )
    }),
  )
})

test('property: a line repeated anywhere is named with both numbers', () => {
  fc.assert(
    fc.property(settings, fc.nat(), fc.nat(), (wanted, which, where) => {
      fc.pre(wanted.length > 0)
      const lines = wanted.map(([name, is]) => lineOf(name, is))
      const first = which % lines.length
      const again = first + 1 + (where % (lines.length - first))
      lines.splice(again, 0, lines[first] ?? '')
      const { problems } = parseConfig(lines.join('\n'))
      expect(problems).toEqual([
        { line: again + 1, message: expect.stringContaining(`(first on line ${first + 1})`) },
      ])
    }),
  )
})

test('property: no text whatever makes it throw, and each problem is on a line of the text', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\n', 'CONFIG_A', '=', '# ', ' is not set', 'y', '"'),
  )
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('')
      const last = text.split('\n').length
      for (const { line } of parseConfig(text).problems) {
        expect(line).toBeGreaterThanOrEqual(1)
        expect(line).toBeLessThanOrEqual(last)
      }
    }),
  )
})
