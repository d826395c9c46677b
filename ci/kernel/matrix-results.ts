import type { CellResult, Results, RunInfo } from '../../harness/results/model.ts'
import { RESULTS_SCHEMA, summarize } from '../../harness/results/model.ts'
import type { Disagreement, Guest, GuestResults, Matrix } from './matrix-model.ts'

/**
 * A whole matrix as one run, so that every report can show it: each guest's areas under the guest's name,
 * its disagreements with kconfig as failing cells, and a guest that did not run as an erring one.
 */
export function matrixResults(guests: readonly GuestResults[], matrix: Matrix): Results {
  const first = guests.find(({ results }) => results !== null)?.results?.run
  const cells = guests.flatMap(({ guest, results }) => [
    ...(results?.cells ?? []).map((cell) => underGuest(cell, guest)),
    ...(guest.disagreements ?? []).map((disagreement) => disagreeing(guest, disagreement)),
    ...(guest.state === 'ran' ? [] : [notRun(guest)]),
  ])
  return { schema: RESULTS_SCHEMA, run: runOf(matrix, first), summary: summarize(cells), cells }
}

function underGuest(cell: CellResult, guest: Guest): CellResult {
  return { ...cell, id: `${guest.id}/${cell.id}`, area: areaOf(guest, cell.area) }
}

/** Reports cut names at dots, and a slash ends nothing well either. */
function areaOf(guest: Guest, area: string): string {
  return `${guest.id.replaceAll(/[^\w-]+/g, '-')}-${area}`
}

function runOf(matrix: Matrix, first: RunInfo | undefined): RunInfo {
  return {
    started: matrix.started,
    durationMs: matrix.seconds * 1000,
    profile: matrix.profile,
    suiteVersion: first?.suiteVersion ?? '',
    node: first?.node ?? process.versions.node,
    kernel: { release: 'matrix', arch: first?.kernel.arch ?? process.arch, config: null },
    uid: first?.uid ?? 0,
    capabilities: first?.capabilities ?? [],
    host: '',
  }
}

function disagreeing(guest: Guest, { rule, predicted, seen }: Disagreement): CellResult {
  return {
    ...ownCell(guest, `kconfig/${rule}/${seen}`, rule, 'kconfig predicts what the suite says'),
    verdict: 'fail',
    reason: 'the configuration let something else be expected',
    expected: predicted,
    observed: seen,
  }
}

function notRun(guest: Guest): CellResult {
  const verdict = guest.state === 'left-out' ? 'skip' : 'error'
  return {
    ...ownCell(guest, 'guest', 'GUEST', 'the suite runs in this guest'),
    verdict,
    reason: guest.reason,
  }
}

function ownCell(guest: Guest, id: string, rule: string, title: string): Omit<CellResult, 'verdict'> {
  return {
    id: `${guest.id}/${id}`,
    rule,
    area: areaOf(guest, 'kconfig'),
    title,
    source: [],
    arm: 'treatment',
    place: 'stranger',
    direction: 'none',
    via: 'boot',
    flags: [],
    ms: guest.seconds * 1000,
    file: 'ci/kernel/matrix.ts',
    line: 1,
  }
}
