import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { UsageError } from '../../harness/usage-error.ts'
import { DEFAULT_TIMEOUT, readBootWords } from './boot-command.ts'

const scratch = mkdtempSync(join(tmpdir(), 'ipcns-boot-'))
const file = join(scratch, 'file')
writeFileSync(file, '')
afterAll(() => rmSync(scratch, { recursive: true }))

describe('the words after boot', () => {
  test('are a kernel, options and a command that keeps its own options', () => {
    const words = [
      'k',
      '--timeout',
      '2.5',
      '--memory=512',
      '--writable',
      scratch,
      '--cache',
      '/c',
      '--',
      'ls',
      '--help',
      '--',
    ]
    expect(readBootWords(words)).toEqual({
      kernel: 'k',
      timeout: 2.5,
      memory: 512,
      writable: scratch,
      cache: '/c',
      command: ['ls', '--help', '--'],
    })
  })

  test('have defaults', () => {
    expect(readBootWords(['--cache', '/c', 'k', '--', 'true'])).toEqual({
      kernel: 'k',
      timeout: DEFAULT_TIMEOUT,
      cache: '/c',
      command: ['true'],
    })
  })

  test.each([
    [[], /wants a kernel/],
    [['--', 'true'], /wants a kernel/],
    [['k'], /wants a command/],
    [['k', '--'], /wants a command/],
    [['k', 'ls', '--', 'true'], /one kernel/],
    [['k', '--timeout', '0', '--', 'true'], /greater than 0/],
    [['k', '--timeout', 'soon', '--', 'true'], /greater than 0/],
    [['k', '--memory', '16', '--', 'true'], /64 or more/],
    [['k', '--memory', '100.5', '--', 'true'], /64 or more/],
    [['k', '--writable', '/no/such', '--', 'true'], /no such directory/],
    [['k', '--writable', file, '--', 'true'], /no directory/],
    [['k', '--writable', '/', '--', 'true'], /everything/],
    [['k', '--timeout', '--', 'true'], /--timeout wants a value/],
    [['k', '--timeout', '--memory', '--', 'true'], /--timeout wants a value/],
    [['k', '--shout', '--', 'true'], /Unknown option '--shout'/],
  ])('%j are refused in one sentence', (words, sentence) => {
    expect(() => readBootWords(words)).toThrow(UsageError)
    expect(() => readBootWords(words)).toThrow(sentence)
  })
})
