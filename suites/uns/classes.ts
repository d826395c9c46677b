/** Who belongs to which class of an object's mode, by which of his ids, and what each single bit gives: for UNS-03. */
import { type AccessFamily, type Answers, everything } from '../../fixtures/access.ts'
import type { SystemVFamily } from '../../fixtures/objects.ts'
import {
  type ComparisonWorld,
  EACCES,
  type Failure,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
} from '../../fixtures/rules.ts'

/** The people: the object's owner and maker of its group, who tries by the owner's ids, and who else he is. */
export interface People {
  family: AccessFamily
  /** Makes objects of his own. */
  maker: Member
  /** Makes objects of the group that the owner has. */
  colleague: Member
  /** Makes one who tries; he starts as root of his user namespace. */
  trier: () => Promise<Member>
  /** The number that is the owner's, or in the treatment somebody else's, and a third one's. */
  number: number
  third: number
}

/** Modes of objects of the owner: the bits of owner, of group, of others. */
const OWNERS_MODES = [0o466, 0o266, 0o664, 0o662]
/** Of root, with the owner's group. */
const GROUPS_MODES = [0o646, 0o626]

/** Each call that the mode decides, on objects of each mode. */
export async function byBits(
  { family, maker, colleague }: People,
  user: Member,
  { fresh }: ComparisonWorld,
): Promise<Readonly<Record<string, Answers>>> {
  const seen: Record<string, Answers> = {}
  for (const [owner, modes] of [
    [maker, OWNERS_MODES],
    [colleague, GROUPS_MODES],
  ] as const)
    for (const mode of modes) {
      const key = fresh.key()
      const object = await family.make(owner, key, mode)
      seen[mode.toString(8)] = await everything(family, user, object, key, { without: family.controls })
    }
  return seen
}

/** What `byBits` must give one who is the owner, with his group, or nobody to the object: one class alone counts. */
export function answersByBits(family: AccessFamily, who: 'owner' | 'other') {
  const classOf = (mode: number, own: number) => (who === 'other' ? mode & 7 : (mode >> own) & 7)
  const modes = [...OWNERS_MODES.map((mode) => [mode, 6]), ...GROUPS_MODES.map((mode) => [mode, 3])]
  return Object.fromEntries(
    modes.map(([mode = 0, own = 0]) => [mode.toString(8), answersByRight(family, classOf(mode, own))]),
  )
}

function answersByRight(family: AccessFamily, bits: number): Answers {
  const wanted = (call: string) => (family.reads.includes(call) ? 4 : family.writes.includes(call) ? 2 : 6)
  const calls = Object.keys(family.calls).filter((call) => !family.controls.includes(call))
  return Object.fromEntries(calls.map((call) => [call, (wanted(call) & ~bits) === 0 ? 'allowed' : EACCES]))
}

/** Who has the owner's number as one of his ids only: everything there is to try on an object of the owner's. */
export async function byOneId(
  { family, maker, colleague, trier, number, third }: People,
  world: ComparisonWorld,
  { get }: SystemVFamily,
) {
  const without = { without: ['lock'] }
  const tried = async (owner: Member, mode: number, user: Member): Promise<Answers> => {
    const key = world.fresh.key()
    const object = await family.make(owner, key, mode)
    return everything(family, user, object, key, without)
  }
  // One who has no other id than these, and no capability.
  const withIds = async (
    users: { real: number; effective: number },
    groups: { effective?: number; supplementary?: number[] } = {},
  ): Promise<Member> => {
    const user = await trier()
    await user.setgroups(groups.supplementary ?? [])
    await user.setresgid(third, groups.effective ?? third, third)
    await user.setresuid(users.real, users.effective, users.real)
    // No matter to objects of System V; not every system that calls itself Linux has it.
    await user.try.setfsuid(users.real)
    await user.setCapabilities([], true)
    return user
  }
  // The maker of the others, where it is his number, tries what such a one has made.
  const tryMade = async (by: Member, mode: number): Promise<Failure | Answers> => {
    const key = world.fresh.key()
    const object = await get(by, key, IPC_CREAT | IPC_EXCL | mode)
    return failed(object) ? object : everything(family, maker, object, key, without)
  }
  const nobody = { real: third, effective: third }
  const effective = await withIds({ real: third, effective: number })
  const made = await tryMade(effective, 0o600)
  // What is made under it as the maker's group, for that group alone.
  const madeForGroup = await tryMade(await withIds(nobody, { effective: number }), 0o060)
  const real = await withIds({ real: number, effective: third })
  const grouped = await withIds(nobody, { supplementary: [number] })
  return {
    made,
    madeForGroup,
    effective: await tried(maker, 0o600, effective),
    real: await tried(maker, 0o600, real),
    supplementaryGroup: await tried(colleague, 0o060, grouped),
  }
}
