/** Objects by their index in the table of the namespace. */
import { indicesOf, makePinned } from '../../fixtures/identifiers.ts'
import { LASTING, SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
import { sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  EACCES,
  EINVAL,
  failed,
  type Member,
  oneOf,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'

/** Whose object an index leads to: the identifier if it is ours, `another`, or the errno. */
async function byIndex(
  family: SystemVFamily,
  member: Member,
  { key, index }: { key: number; index: number },
  by: 'index' | 'index, any mode',
): Promise<unknown> {
  const seen = await family.stat(member, index, by)
  return failed(seen) ? seen : seen.perm.key === key ? seen.returned : 'another'
}

/**
 * What an index leads the maker to, the indices having gone round and the sequence number on: until then an
 * identifier is its index. `'its identifier'`, or what came instead.
 */
async function laterByIndex(
  world: VisibilityWorld,
  family: SystemVFamily,
  by: 'index' | 'index, any mode',
): Promise<unknown> {
  const { actor, fresh } = world
  if (!sideInInitial(world, 'actor')) await actor.burnIdentifiers(family.kind, 70)
  const key = fresh.key()
  const id = await family.make(actor, key)
  const seen: unknown[] = []
  for (const index of indicesOf(id)) seen.push(await byIndex(family, actor, { key, index }, by))
  await family.remove(actor, id)
  return seen.includes(id) ? 'its identifier' : seen
}

/** Nothing at that index; in the initial namespace there may be another program's object of any mode. */
function nothingThere(world: VisibilityWorld): unknown {
  return sideInInitial(world, 'observer') ? oneOf(EINVAL, 'another', EACCES) : EINVAL
}

export function addIndexRules(svk: Area): void {
  svk.visibility('SVK-09', {
    says: 'MSG_STAT, SEM_STAT and SHM_STAT look an index up in the table of the caller’s own IPC namespace only',
    source: ['msgctl(2) MSG_STAT', 'semctl(2) SEM_STAT', 'shmctl(2) SHM_STAT', 'ipc/msg.c: msgctl_stat'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const pinned = await makePinned(world, family, 41, 'harmless')
      const { id } = pinned
      const before = await family.inspect(actor, id)
      const own = await byIndex(family, actor, pinned, 'index')
      const seen = await byIndex(family, observer, pinned, 'index')
      const after = await family.inspect(actor, id)
      await family.remove(actor, id)
      const removed = await byIndex(family, observer, pinned, 'index')
      const later = await laterByIndex(world, family, 'index')
      return { id, before, own, seen, after, removed, later }
    },
    shared: ({ id, before }, world) => ({
      own: id,
      seen: id,
      after: before,
      removed: nothingThere(world),
      later: 'its identifier',
    }),
    isolated: ({ id, before }, world) => ({
      own: id,
      seen: nothingThere(world),
      after: before,
      later: 'its identifier',
    }),
  })

  svk.visibility('SVK-10', {
    says: 'MSG_STAT_ANY, SEM_STAT_ANY and SHM_STAT_ANY need no read permission, but look in the caller’s own IPC namespace only',
    source: ['msgctl(2) MSG_STAT_ANY', 'semctl(2) SEM_STAT_ANY', 'shmctl(2) SHM_STAT_ANY'],
    needs: ['SYSVIPC', 'own namespaces'],
    since: '4.17',
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    aboutFlags: ['NEWUSER'],
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const pinned = await makePinned(world, family, 41, 'harmless')
      const { id } = pinned
      await family.setMode(actor, id, 0)
      const own = await byIndex(family, actor, pinned, 'index, any mode')
      const seen = await byIndex(family, observer, pinned, 'index, any mode')
      const seenByMode = await byIndex(family, observer, pinned, 'index')
      await family.remove(actor, id)
      const powerful = (await observer.capabilities()).includes('CAP_IPC_OWNER')
      const later = await laterByIndex(world, family, 'index, any mode')
      return { id, own, seen, seenByMode, powerful, later }
    },
    shared: ({ id, powerful }, { relation }) => ({
      own: id,
      seen: id,
      // The mode says no to everybody; only a capability over the namespace's owner helps.
      seenByMode: powerful && ['same', 'actor-below'].includes(relation.user) ? id : EACCES,
      later: 'its identifier',
    }),
    isolated: ({ id }, world) => ({
      own: id,
      seen: nothingThere(world),
      seenByMode: nothingThere(world),
      later: 'its identifier',
    }),
  })
}
