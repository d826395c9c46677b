import { expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import { configNames, wantedConfig } from './configs.ts'

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
  const { whole } = wantedConfig('full')
  for (const name of configNames().slice(1)) {
    const symbol = name.slice('no-'.length).toUpperCase().replaceAll('-', '_')
    const wanted = wantedConfig(name)
    expect([...wanted.particular], name).toEqual([[symbol, 'n']])
    expect(wanted.whole.size - whole.size, name).toBe(whole.has(symbol) ? 0 : 1)
  }
})

test('settings go over the configuration and into its name', () => {
  const wanted = wantedConfig('no-ipc-ns', ['CONFIG_IPC_NS=y', 'NET=n'])
  expect(wanted.name).toBe('no-ipc-ns CONFIG_IPC_NS=y NET=n')
  expect([...wanted.particular]).toEqual([
    ['IPC_NS', 'y'],
    ['NET', 'n'],
  ])
})

test('an unknown one is told with the known ones', () => {
  expect(() => wantedConfig('none-such')).toThrow(UsageError)
  expect(() => wantedConfig('none-such')).toThrow(/no configuration "none-such".*full, no-checkpoint-restore/)
})
