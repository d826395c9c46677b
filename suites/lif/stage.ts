/** The stage of the rules about pins: a furnished namespace whose members go, and somebody outside. */
import { furnish } from '../../fixtures/lifetime.ts'
import type { ComparisonWorld, Member } from '../../fixtures/rules.ts'
import { type NamespaceWatch, watchNamespace } from '../../fixtures/sensors.ts'

/** A furnished namespace with one member, watched, and a process outside that may hold something of it. */
export interface Stage {
  member: Member
  holder: Member
  watch: NamespaceWatch
  furniture: Awaited<ReturnType<typeof furnish>>
}

/** Sets it, with the member entered in the way and flags of the cell, or made by the holder. */
export async function setStage(
  { outer, enter, fresh }: ComparisonWorld,
  makeMember: (holder: Member) => Promise<Member> = () => enter('member'),
): Promise<Stage> {
  const holder = await outer.spawn('holder')
  const member = await makeMember(holder)
  const watch = await watchNamespace(outer, member)
  const furniture = await furnish(member, fresh)
  return { member, holder, watch, furniture }
}

/** The member dies; then a namespace that nothing holds is seen to die. */
export async function empty(world: ComparisonWorld, { member, watch }: Stage): Promise<string> {
  await member.killAndReap()
  return watch.seeTwinDie(world)
}

/** What is predicted where the namespace was held, entered again, and let go. */
export const HELD = { twin: 'destroyed', held: 'alive', objects: 'intact', released: 'destroyed' }
/** And where nothing held it. */
export const NOT_HELD = { twin: 'destroyed', held: 'destroyed' }
