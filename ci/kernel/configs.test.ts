import { expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import { configNames, wantedConfig } from './configs.ts'
import { unmet } from './fragment.ts'

test('the configurations of the matrix are there, the whole one first', () => {
  expect(configNames()).toEqual([
    'full',
    'no-checkpoint-restore',
    'no-ipc-ns',
    'no-pid-ns',
    'no-posix-mqueue',
    'no-posix-mqueue-sysctl',
    'no-proc-sysctl',
    'no-sysvipc',
    'no-sysvipc-sysctl',
    'no-user-ns',
  ])
})

test('each is the whole one but for the symbol it is named after', () => {
  const full = wantedConfig('full')
  for (const name of configNames().slice(1)) {
    const symbol = name.slice('no-'.length).toUpperCase().replaceAll('-', '_')
    const off = unmet(wantedConfig(name).whole, full.whole).map((wish) => `${wish.symbol}=${wish.wanted}`)
    // The *_SYSCTL symbols follow others: the whole one does not name them.
    const switched = full.whole.has(symbol) ? [`${symbol}=n`] : []
    expect(off, name).toEqual(symbol === 'PROC_SYSCTL' ? [...switched, 'SYSCTL=n'] : switched)
    expect(wantedConfig(name).binding.get(symbol), name).toBe('n')
  }
})

test('settings go over the configuration and into its name', () => {
  const wanted = wantedConfig('no-ipc-ns', ['CONFIG_IPC_NS=y', 'NET=n'])
  expect(wanted.name).toBe('no-ipc-ns CONFIG_IPC_NS=y NET=n')
  expect(wanted.binding.get('IPC_NS')).toBe('y')
  expect(wanted.whole.get('NET')).toBe('n')
  expect(wanted.binding.get('HOSTFS')).toBeUndefined()
  expect(wanted.whole.get('HOSTFS')).toBe('y')
})

test('an unknown one is told with the known ones', () => {
  expect(() => wantedConfig('none-such')).toThrow(UsageError)
  expect(() => wantedConfig('none-such')).toThrow(/no configuration "none-such".*full, no-checkpoint-restore/)
})
