/** What one requirement is, and what several of them do. */
import { failed } from '../../link/failure.ts'
import type { Member } from '../../link/member.ts'
import type { Flag } from '../../probe/constants.ts'
import { makePrivate } from '../../ways/way-in.ts'

/** One requirement. */
export interface Requirement {
  /** The constant reason of the skip. */
  reason: string
  /** Expression over kernel configuration symbols that decides it, where one does. */
  kconfig?: string
  /** What must come on top of the configuration, where that alone does not bring it: a release, a set-up. */
  besides?: string
  /** Tries it with a throw-away child of the root in the runner's own namespaces. */
  met(child: Member): Promise<boolean>
}

/** Whether a call gave a value and no errno. */
export const works = (outcome: unknown): boolean => !failed(outcome)

/** A file that must be there. */
export function file(path: string, kconfig?: string): Requirement {
  return { reason: `${path} is absent`, ...(kconfig ? { kconfig } : {}), met: (child) => child.exists(path) }
}

/** Whether the work succeeds in new namespaces of these kinds, of a throw-away process; not where none can be had. */
export async function inTrial(
  child: Member,
  flags: readonly Flag[],
  work: (trial: Member) => Promise<boolean>,
): Promise<boolean> {
  const trial = await child.trySpawn('trial', flags)
  if (failed(trial)) return false
  if (flags.includes('NEWNS')) await makePrivate(trial)
  return work(trial)
}

/** Some user other than root. */
export const ANOTHER_USER = 40_000

/** Whether a resource limit leaves room for so many bytes; -1 is RLIM_INFINITY. */
export function enough(limit: number, bytes: number): boolean {
  return limit === -1 || limit >= bytes
}
