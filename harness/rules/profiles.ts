import { UsageError } from '../usage-error.ts'

/** The profiles, the shortest first. */
export const PROFILES = ['quick', 'default', 'full'] as const

/** How much is run. */
export type Profile = (typeof PROFILES)[number]

/** The profile of that name. Throws UsageError for a name that is none. */
export function readProfile(name: string): Profile {
  const profile = PROFILES.find((known) => known === name)
  if (!profile) throw new UsageError(`unknown profile "${name}"; known: ${PROFILES.join(', ')}`)
  return profile
}
