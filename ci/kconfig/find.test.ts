import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findConfig, placesFor, readSource } from './find.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ipcns-kconfig-'))
})
afterEach(() => rmSync(root, { recursive: true }))

function put(path: string, content: string | Buffer): string {
  const whole = join(root, path)
  mkdirSync(dirname(whole), { recursive: true })
  writeFileSync(whole, content)
  return whole
}

const R = '6.1.0-37-amd64'

// Written out, not taken from placesFor, so that a place that goes missing is noticed.
test.each([
  '/proc/config.gz',
  `/boot/config-${R}`,
  `/lib/modules/${R}/config`,
  `/lib/modules/${R}/build/.config`,
  `/usr/lib/modules/${R}/config`,
  `/usr/lib/ostree-boot/config-${R}`,
  `/boot/ostree/fedora-coreos-0123/config-${R}`,
  `/lib/kernel/config-${R}`,
  `/usr/lib/kernel/config-${R}`,
])('finds %s', (place) => {
  const path = put(place, 'CONFIG_A=y\n')
  expect(findConfig(R, { root }).source).toMatchObject({ path, text: 'CONFIG_A=y\n', gzip: false })
})

test('what the kernel says itself comes before files', () => {
  put(`/boot/config-${R}`, 'CONFIG_A=m\n')
  const path = put('/proc/config.gz', gzipSync('CONFIG_A=y\n'))
  const { source, looked } = findConfig(R, { root })
  expect(source).toMatchObject({ path, text: 'CONFIG_A=y\n', gzip: true })
  expect(looked).toEqual(['/proc/config.gz'])
})

test('another release is not taken for this one', () => {
  put('/boot/config-6.1.0-36-amd64', 'CONFIG_A=y\n')
  const { source, looked } = findConfig(R, { root })
  expect(source).toBeNull()
  expect(looked).toEqual(placesFor(R))
})

test('what cannot be read is passed over and told', () => {
  // A directory stands for a file without permission: root may read everything.
  mkdirSync(join(root, `/boot/config-${R}`), { recursive: true })
  const path = put(`/lib/modules/${R}/config`, 'CONFIG_A=y\n')
  const { source, unreadable } = findConfig(R, { root })
  expect(source?.path).toBe(path)
  expect(unreadable).toEqual([{ path: join(root, `/boot/config-${R}`), reason: 'EISDIR' }])
})

test('a dangling link is nothing', () => {
  mkdirSync(join(root, '/boot'))
  symlinkSync('gone', join(root, `/boot/config-${R}`))
  expect(findConfig(R, { root })).toMatchObject({ source: null, unreadable: [] })
})

test("LTP's KCONFIG_PATH comes first and must be there", () => {
  put('/proc/config.gz', gzipSync('CONFIG_A=m\n'))
  const preferred = put('mine', 'CONFIG_A=y\n')
  expect(findConfig(R, { root, preferred }).source?.path).toBe(preferred)
  expect(() => findConfig(R, { root, preferred: join(root, 'gone') })).toThrow('no such file')
})

describe('a named file', () => {
  test('is unpacked by its first bytes, whatever its name; the sha256 is that of the file', () => {
    const bytes = gzipSync('CONFIG_A=y\n')
    const source = readSource(put('config.txt', bytes))
    expect(source).toMatchObject({ text: 'CONFIG_A=y\n', gzip: true })
    expect(source.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
    expect(readSource(put('plain.gz', 'CONFIG_A=y\n'))).toMatchObject({ text: 'CONFIG_A=y\n', gzip: false })
  })

  test.each([
    ['gzip that ends too soon', gzipSync('CONFIG_A=y\n'.repeat(100)).subarray(0, 20), 'damaged'],
    ['gzip with a wrong sum', spoilt(gzipSync('CONFIG_A=y\n')), 'damaged'],
    ['a bomb', gzipSync(Buffer.alloc(70 * 1024 * 1024)), 'damaged'],
    ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), 'unpack it first (xz -dc FILE)'],
    ['a program', Buffer.from('\x7fELF\0\0'), 'it is binary'],
  ])('%s is refused', (_, bytes, message) => {
    const path = put('config', bytes)
    expect(() => readSource(path)).toThrow(message)
    expect(() => readSource(path)).toThrow(expect.objectContaining({ name: 'UsageError' }))
  })

  test('that is none is refused: missing, a directory, a device without end', () => {
    expect(() => readSource(join(root, 'gone'))).toThrow('no such file')
    expect(() => readSource(root)).toThrow('it is a directory')
    expect(() => readSource('/dev/zero')).toThrow('it is no file')
  })

  test('may be a pipe', () => {
    const fifo = join(root, 'pipe')
    execFileSync('mkfifo', [fifo])
    execFileSync('sh', ['-c', `printf 'CONFIG_A=y\\n' > "$1" &`, 'sh', fifo], { stdio: 'ignore' })
    expect(readSource(fifo).text).toBe('CONFIG_A=y\n')
  })
})

function spoilt(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[copy.length - 6] = (copy[copy.length - 6] ?? 0) ^ 0xff
  return copy
}
