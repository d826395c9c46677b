import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import { cpio } from './cpio.ts'
import { fitOffsets } from './host-fit.ts'
import { initScript, keptDirectories } from './init.ts'
import { vmlinuzRelease } from './kernel-file.ts'
import { whyDied } from './machine.ts'
import { dependencies, moduleName } from './modules.ts'
import { exports, quote } from './shell.ts'

describe('the shell', () => {
  test('gives back every word that was quoted', () => {
    const word = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'))
    // One shell for all of them: starting it is what costs.
    const list = ['', "'", "''", '-n', '$x', 'a\nb\n', ...fc.sample(word, 500)]
    const said = execFileSync('sh', ['-c', `printf '%s\\0' ${list.map(quote).join(' ')}`])
    expect(said).toEqual(Buffer.from(list.map((text) => `${text}\0`).join('')))
  })

  test('gets only variables that it can hold', () => {
    expect(exports({ A: "it's", 'B-C': 'x', npm_x: '', D: undefined })).toBe(
      "export A='it'\\''s'\nexport npm_x=''\n",
    )
  })
})

describe('the init of a guest', () => {
  const devices = {
    root: 'hostfs',
    out: '/dev/tty1',
    err: '/dev/tty2',
    status: '/dev/tty3',
    busybox: '/bin/busybox',
  } as const

  test('is a shell script whatever it has to hold', () => {
    const job = {
      command: ['printf', "%s'\n", '$HOME `id`'],
      cwd: "/tmp/a 'b'/c",
      environment: { X: 'a\nb' },
      writable: '/srv/out',
      keep: ['/var/tmp/project/sub'],
    }
    const script = initScript(job, devices)
    expect(() => execFileSync('sh', ['-n'], { input: script })).not.toThrow()
    expect(script).toContain("mount -t hostfs -o ro,'/tmp/a '\\''b'\\''' none")
    expect(script).toContain('mount -t hostfs -o ro,/var/tmp/project none /var/tmp/project')
    expect(script).toContain('writable=/srv/out\n')
  })

  test('brings back what lies under the places that a guest has for itself, and nothing else', () => {
    expect(
      keptDirectories(['/home/x', '/tmp', '/tmp/b/c', '/tmp/a', '/tmp/b', '/var/tmp/q/r', '/tmpfoo']),
    ).toEqual(['/tmp/a', '/tmp/b', '/var/tmp/q'])
  })
})

test('an archive is one that cpio lists', () => {
  const archive = cpio([
    { name: 'bin', mode: 0o040755 },
    { name: 'bin/odd', mode: 0o100644, data: Buffer.from('abcde') },
    { name: 'init', mode: 0o100755, data: Buffer.from('#!x\n') },
  ])
  expect(archive.length % 4).toBe(0)
  expect(archive.subarray(0, 6).toString()).toBe('070701')
  const text = archive.toString('latin1')
  expect(text.indexOf('bin/odd\0')).toBeGreaterThan(0)
  expect(text.slice(text.indexOf('abcde'), text.indexOf('abcde') + 8)).toBe('abcde\0\0\0')
  expect(text).toContain('TRAILER!!!\0')
})

test('a bzImage says its release at the place its header names', () => {
  const image = Buffer.alloc(0x400)
  image.writeUInt16LE(0x100, 0x20e)
  image.write('6.1.0-40-amd64 (debian@x) #1 SMP\0', 0x300, 'latin1')
  expect(vmlinuzRelease(image, 'x')).toBe('6.1.0-40-amd64')
  expect(() => vmlinuzRelease(Buffer.alloc(0x400), 'x')).toThrow(UsageError)
})

test('a module says by itself what it needs', () => {
  expect(dependencies(Buffer.from('\0license=GPL\0depends=netfs,9pnet-x\0name=9p\0', 'latin1'))).toEqual([
    'netfs',
    '9pnet_x',
  ])
  expect(dependencies(Buffer.from('\0license=GPL\0depends=\0', 'latin1'))).toEqual([])
  expect(dependencies(Buffer.from('nothing'))).toEqual([])
  expect(moduleName('kernel/fs/9p/9p-x.ko.xz')).toBe('9p_x')
})

describe('a death', () => {
  test('is told by the panic', () => {
    expect(whyDied('a\r\nb\nKernel panic - not syncing: Attempted to kill init!\nCPU: 0\n...')).toBe(
      'a | b | Kernel panic - not syncing: Attempted to kill init!',
    )
  })
  test('without a panic by the last lines, without a line by that', () => {
    expect(whyDied('1\n2\n3\n4\n5\n\n')).toBe('2 | 3 | 4 | 5')
    expect(whyDied('')).toBe('it said nothing')
  })
})

test('room for registers is only ever made larger, and only where a number stands', () => {
  const old = 'x\n\tDEFINE_LONGS(HOST_FP_SIZE, 2696);\n'
  expect(fitOffsets(old, 11008)).toBe('x\n\tDEFINE_LONGS(HOST_FP_SIZE, 11008);\n')
  expect(fitOffsets(old, 832)).toBe(old)
  expect(fitOffsets('nothing of the kind', 11008)).toBe('nothing of the kind')
})
