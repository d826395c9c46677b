import { z } from 'zod'
import { type CellResult, type RunInfo, VERDICTS } from '../harness/results/model.ts'

/** What a results.json must look like to be read; members it does not know are left out. */

const text = z.string()
const texts = z.array(text)
const natural = z.number().int().nonnegative()

const step = z.object({ who: text, call: text, args: text, result: text })

const known = z.object({
  reference: text,
  expires: text.exactOptional(),
  reason: text.exactOptional(),
})

/** One cell. */
export const cellShape: z.ZodType<CellResult> = z.object({
  id: text.min(1),
  rule: text.min(1),
  area: text,
  title: text,
  source: texts,
  arm: z.enum(['treatment', 'control']),
  place: z.enum(['stranger', 'parent', 'initial']),
  direction: text,
  via: text,
  flags: texts,
  verdict: z.enum(VERDICTS as ['pass', 'fail', 'skip', 'error']),
  reason: text.exactOptional(),
  expected: text.exactOptional(),
  observed: text.exactOptional(),
  evidence: z.array(step).exactOptional(),
  byHand: texts.exactOptional(),
  known: known.exactOptional(),
  requires: texts.exactOptional(),
  armSays: z.string().exactOptional(),
  note: text.exactOptional(),
  ms: z.number(),
  file: text,
  line: z.number(),
})

const runShape: z.ZodType<RunInfo> = z.object({
  started: text,
  durationMs: z.number(),
  profile: text,
  suiteVersion: text,
  node: text,
  kernel: z.object({
    release: text,
    arch: text,
    config: z.object({ source: text, sha256: text }).nullable(),
  }),
  uid: z.number(),
  capabilities: texts,
  host: text,
  shard: text.exactOptional(),
  unfinished: z.boolean().exactOptional(),
})

/** The whole file; the schema's name has been looked at before. */
export const resultsShape = z.object({
  run: runShape,
  summary: z.object({ pass: natural, fail: natural, skip: natural, error: natural, rules: natural }),
  cells: z.array(cellShape),
})
