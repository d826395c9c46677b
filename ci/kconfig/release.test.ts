import { expect, test } from 'vitest'
import { isOlder, type Running, releaseWarning } from './release.ts'

const on = (release: string, version = '', signature = ''): Running => ({ release, version, signature })

test.each([
  ['the same', '6.18.44', on('6.18.44'), '/proc/config.gz'],
  ['with a local version', '6.18.44', on('6.18.44-fc-v769'), 'FILE'],
  ['Fedora', '6.8.5-301.fc40.x86_64', on('6.8.5-301.fc40.x86_64'), 'FILE'],
  ['Debian', '6.1.140', on('6.1.0-37-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)'), 'FILE'],
  ['Ubuntu', '5.15.126', on('5.15.0-89-generic', '', 'Ubuntu 5.15.0-89.99-generic 5.15.126'), 'FILE'],
  ['by name', '5.15.126', on('5.15.0-89-generic'), '/boot/config-5.15.0-89-generic'],
  ['by directory', '5.15.126', on('5.15.0-89-generic'), '/lib/modules/5.15.0-89-generic/config'],
])('no doubt: %s', (_, header, running, path) => {
  expect(releaseWarning(header, running, path, 'full')).toBeNull()
})

test.each([
  ['6.1.14', on('6.1.140'), 'FILE'],
  ['6.1', on('6.1.140'), 'FILE'],
  ['6.1.140', on('6.1.0-37-amd64', 'Debian 6.1.14-1'), 'FILE'],
  ['6.1.140', on('6.1.0-37-amd64'), '/boot/config-6.1.0-36-amd64'],
  ['5.10.3', on('6.1.0-37-amd64'), '/boot/config-6.1.0-37-amd64'],
])('doubt: %s on %j', (header, running, path) => {
  expect(releaseWarning(header, running, path, 'full')).toBe(
    `this is the configuration of ${header}, the running kernel is ${running.release}`,
  )
})

test('a full configuration without a version is doubted, a fragment belongs to no kernel', () => {
  expect(releaseWarning(null, on('6.1.0'), 'FILE', 'full')).toContain('names no kernel version')
  expect(releaseWarning(null, on('6.1.0'), 'FILE', 'fragment')).toBeNull()
})

test.each([
  ['3.17.9', '3.18', true],
  ['3.18', '3.18', false],
  ['3.18.1', '3.18', false],
  ['4.0', '3.18', false],
  ['6.10.0-rc1', '6.9', false],
  ['6.9', '6.10.1', true],
])('%s older than %s: %s', (a, b, wanted) => {
  expect(isOlder(a, b)).toBe(wanted)
})
