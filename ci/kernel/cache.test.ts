import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { cacheDirectory, contentKey, withLock } from './cache.ts'
import { Lanes } from './lanes.ts'

const scratch = mkdtempSync(join(tmpdir(), 'ipcns-cache-'))
afterAll(() => rmSync(scratch, { recursive: true }))

test.each([
  ['/a', {}, '/a'],
  [undefined, { XDG_CACHE_HOME: '/x', HOME: '/h' }, '/x/ipcns/kernels'],
  [undefined, { XDG_CACHE_HOME: 'relative', HOME: '/h' }, '/h/.cache/ipcns/kernels'],
  [undefined, { XDG_CACHE_HOME: '', HOME: '/h' }, '/h/.cache/ipcns/kernels'],
])('named %s with %j the cache is %s', (named, environment, place) => {
  expect(cacheDirectory(named, environment)).toBe(place)
})

test('a key tells any two lists of parts apart', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
      expect(contentKey(...a) === contentKey(...b)).toBe(JSON.stringify(a) === JSON.stringify(b))
    }),
  )
})

test('a lock lets one in at a time and is gone afterwards', async () => {
  const file = join(scratch, 'one.lock')
  let inside = 0
  let most = 0
  const work = async (): Promise<void> => {
    inside += 1
    most = Math.max(most, inside)
    await new Promise((done) => setImmediate(done))
    inside -= 1
  }
  await Promise.all([1, 2, 3].map(() => withLock(file, work)))
  expect(most).toBe(1)
  expect(() => readFileSync(file)).toThrow()
})

test('the lock of a dead process is taken over', async () => {
  const file = join(scratch, 'dead.lock')
  // Above every pid that Linux gives (PID_MAX_LIMIT, 2^22).
  writeFileSync(file, '4194305')
  expect(await withLock(file, async () => 'in')).toBe('in')
})

test('a failure inside a lock opens it again', async () => {
  const file = join(scratch, 'failing.lock')
  await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await withLock(file, async () => 'in')).toBe('in')
})

test('lanes let no more than their number run, in order, past failures', async () => {
  const lanes = new Lanes(2)
  let running = 0
  let most = 0
  const order: number[] = []
  const work = (number: number) => async (): Promise<number> => {
    running += 1
    most = Math.max(most, running)
    order.push(number)
    await new Promise((done) => setImmediate(done))
    running -= 1
    if (number === 1) throw new Error('no')
    return number
  }
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map((number) => lanes.do(work(number))))
  expect(results.map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
    'fulfilled',
    'fulfilled',
  ])
  expect(most).toBe(2)
  expect(order).toEqual([0, 1, 2, 3, 4])
})
