import { expect, test } from 'vitest'
import { findTool, MissingTools, requireTools } from './tools.ts'

test('a program is found on the search path, else where systems keep theirs', () => {
  expect(findTool('sh', '/nowhere:/bin')).toBe('/bin/sh')
  expect(findTool('sh', '')).toMatch(/\/sh$/)
  expect(findTool('ipcns-no-such-program')).toBeUndefined()
})

test('a relative part of the search path is not looked at', () => {
  expect(findTool('package.json', '.:')).toBeUndefined()
})

test('found tools come with their paths', () => {
  expect(requireTools('this', ['make', 'bc'], (name) => `/usr/bin/${name}`)).toEqual({
    make: '/usr/bin/make',
    bc: '/usr/bin/bc',
  })
})

test('all absent tools are named with the package of each, a package once', () => {
  const none = (name: string): string | undefined => (name === 'make' ? '/usr/bin/make' : undefined)
  expect(() => requireTools('building', ['make', 'flex', 'unshare', 'setpriv'], none)).toThrow(
    new MissingTools(
      'building needs flex (Debian package flex), unshare (Debian package util-linux), setpriv (Debian package util-linux): apt-get install flex util-linux',
    ),
  )
})
