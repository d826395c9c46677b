import { describe, expect, test } from 'vitest'
import type { Results, RunInfo } from '../harness/results/model.ts'
import { mergeResults, type Shard } from './merge.ts'
import { sampleCell, sampleFailure, sampleResults, sampleRun } from './sample.ts'

const cells = {
  ent1: sampleCell({ rule: 'ENT-01' }),
  svk2: sampleCell({ rule: 'SVK-02' }),
  svk10: sampleFailure({ rule: 'SVK-10' }),
  blk1: sampleCell({ rule: 'BLK-01' }),
}

function shard(name: string, own: Results['cells'], over: Partial<RunInfo> = {}): Shard {
  return { name, results: { ...sampleResults(own), run: sampleRun({ shard: name, ...over }) } }
}

const first = shard('1/2', [cells.svk10, cells.blk1], { durationMs: 5, started: '2026-01-02T03:04:06.000Z' })
const second = shard('2/2', [cells.ent1, cells.svk2], { durationMs: 9 })

test('the cells of all shards are there, in the order of one run, whichever shard comes first', () => {
  for (const shards of [
    [first, second],
    [second, first],
  ]) {
    const merged = mergeResults(shards)
    expect(merged.cells.map(({ rule }) => rule)).toEqual(['ENT-01', 'SVK-02', 'SVK-10', 'BLK-01'])
    expect(merged.summary).toMatchObject({ pass: 3, fail: 1, rules: 4 })
    expect(merged.run).toMatchObject({ durationMs: 9, started: '2026-01-02T03:04:05.678Z' })
    expect(merged.run.shard).toBeUndefined()
  }
})

test('a shard that did not finish leaves the whole unfinished', () => {
  expect(mergeResults([first, shard('2/2', [], { unfinished: true })]).run.unfinished).toBe(true)
})

test('what one shard could not do, the run could not', () => {
  const poor = shard('2/2', [], { capabilities: ['CAP_CHOWN'] })
  const rich = shard('1/2', [], { capabilities: ['CAP_CHOWN', 'CAP_SYS_ADMIN'] })
  expect(mergeResults([rich, poor]).run.capabilities).toEqual(['CAP_CHOWN'])
})

describe('refused', () => {
  test.each<[string, Shard[], RegExp]>([
    ['a missing shard', [first], /shard 2\/2 is missing/],
    ['a shard that is there twice', [first, first, second], /both shard 1\/2/],
    ['a shard of another number', [first, shard('2/3', [])], /shard 2 of 3, not of 2/],
    ['a whole run', [{ name: 'whole', results: sampleResults([]) }], /whole is no shard/],
    ['another profile', [first, shard('2/2', [], { profile: 'quick' })], /profile is quick/],
    [
      'another kernel',
      [first, shard('2/2', [], { kernel: { release: '9.9', arch: 'x86_64', config: null } })],
      /kernel is 9\.9/,
    ],
    ['nothing', [], /nothing to merge/],
  ])('%s', (_, shards, message) => {
    expect(() => mergeResults(shards)).toThrow(message)
  })
})
