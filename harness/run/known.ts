import { readFileSync } from 'node:fs'
import { z } from 'zod'
import type { CellResult } from '../results/model.ts'
import { UsageError } from '../usage-error.ts'
import { matches } from './selection.ts'

const entry = z.strictObject({
  /** Rule id or glob: `NSI-12`, `SYS-*`. */
  rule: z.string().min(1),
  /** Glob over cell ids, where only some of a rule's cells are meant. */
  cell: z.string().min(1).optional(),
  /** All that are given must hold. */
  when: z
    .strictObject({ release: z.string().min(1).optional(), arch: z.string().min(1).optional() })
    .optional(),
  /** Where it is tracked: a bug number, a commit, a URL. */
  reference: z.string().min(1),
  /** One sentence for whoever reads the report. */
  reason: z.string().min(1),
  /** Last day (ISO date) on which it is accepted. */
  expires: z.iso.date().optional(),
})

const file = z.strictObject({ schema: z.literal('ipcns-known/1'), deviations: z.array(entry) })

/** One accepted deviation; the file's format is in docs/KNOWN-DEVIATIONS.md. */
export type KnownDeviationEntry = z.infer<typeof entry>

/** The kernel a deviation is held against. */
export interface Where {
  release: string
  arch: string
  /** Today, ISO date. */
  today: string
}

/** Reads a known-deviations file. Throws UsageError with the place of the first mistake. */
export function readKnown(path: string): KnownDeviationEntry[] {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (problem) {
    const why = problem instanceof Error ? problem.message : String(problem)
    throw new UsageError(`cannot read the known deviations in ${path}: ${why}`)
  }
  const parsed = file.safeParse(content)
  if (parsed.success) return parsed.data.deviations
  const [issue] = parsed.error.issues
  throw new UsageError(`${path}: ${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'is malformed'}`)
}

/**
 * Turns a failing cell that the list names into a reported note: verdict `skip`, never `pass`. An entry
 * that is over leaves the failure and says so. Other verdicts stay as they are.
 */
export function applyKnown(
  entries: readonly KnownDeviationEntry[],
  where: Where,
): (cell: CellResult) => CellResult {
  return (cell) => {
    if (cell.verdict !== 'fail') return cell
    const found = entries.find((candidate) => names(candidate, cell, where))
    if (!found) return cell
    if (found.expires !== undefined && found.expires < where.today)
      return {
        ...cell,
        reason: `${cell.reason ?? ''} (accepted as ${found.reference} until ${found.expires}, which is over)`,
      }
    const { reference, reason, expires } = found
    return {
      ...cell,
      verdict: 'skip',
      reason: `known deviation: ${reason} (${reference})`,
      known: { reference, reason, ...(expires === undefined ? {} : { expires }) },
    }
  }
}

function names(candidate: KnownDeviationEntry, cell: CellResult, where: Where): boolean {
  return (
    matches(cell.rule, candidate.rule) &&
    (candidate.cell === undefined || matches(cell.id, candidate.cell)) &&
    (candidate.when?.release === undefined || matches(where.release, candidate.when.release)) &&
    (candidate.when?.arch === undefined || matches(where.arch, candidate.when.arch))
  )
}
