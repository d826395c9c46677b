import { expect, test } from 'vitest'
import { parseOffer, pickMirrors, sourceList } from './apt.ts'

const mirrors = {
  main: 'https://mirror.example/debian/',
  security: 'https://mirror.example/debian-security/',
}

test('the mirrors are those of the machine, others left alone', () => {
  const addresses = ['https://other.example/node/', mirrors.main, mirrors.main, mirrors.security, '']
  expect(pickMirrors(addresses)).toEqual(mirrors)
  expect(pickMirrors(['http://mirror.example/debian'])).toEqual({ main: 'http://mirror.example/debian' })
  expect(() => pickMirrors(['https://mirror.example/ubuntu/'])).toThrow(/no Debian mirror/)
})

test('a stable suite comes with its security updates, a rolling one alone', () => {
  expect(sourceList('trixie', mirrors)).toBe(
    `deb ${mirrors.main} trixie main\ndeb ${mirrors.security} trixie-security main\n`,
  )
  expect(sourceList('sid', mirrors)).toBe(`deb ${mirrors.main} sid main\n`)
  expect(sourceList('trixie-backports', mirrors)).toBe(`deb ${mirrors.main} trixie-backports main\n`)
  expect(sourceList('bullseye-security', mirrors)).toBe(`deb ${mirrors.security} bullseye-security main\n`)
  expect(sourceList('trixie', { main: mirrors.main })).toBe(`deb ${mirrors.main} trixie main\n`)
})

test('an offer is read from what apt-cache shows', () => {
  const text =
    'Package: linux-source\nVersion: 6.12.9-1\nDepends: linux-source-6.12 (>= 6), a | b:any\nSHA256: 0ab1\n'
  expect(parseOffer(text)).toEqual({
    name: 'linux-source',
    version: '6.12.9-1',
    sha256: '0ab1',
    depends: ['linux-source-6.12', 'a', 'b'],
  })
  expect(parseOffer('')).toBeUndefined()
})
