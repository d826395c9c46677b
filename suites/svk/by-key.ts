/** Objects by their key. */
import { makeTwins } from '../../fixtures/identifiers.ts'
import { EMPTY, LASTING, SYSTEM_V, SYSTEM_V_KINDS, systemV } from '../../fixtures/objects.ts'
import {
  type Area,
  CLONE,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMSG,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  O_RDONLY,
  succeeds,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'
import { CALLS, refusedAll } from './calls.ts'

/** The variants in which one thread of a process travels. */
const BY_THREAD = '-a thread'

export function addKeyRules(svk: Area): void {
  for (const [id, kind] of [
    ['SVK-01', 'msg'],
    ['SVK-02', 'sem'],
    ['SVK-03', 'shm'],
  ] as const) {
    const family = SYSTEM_V[kind]
    svk.visibility(id, {
      says: `a key, be it positive or negative, names a ${family.noun} only inside the IPC namespace that made it`,
      source: ['ipc_namespaces(7)', `${kind}get(2) ERRORS`, 'ipc/util.c: ipcget_public'],
      needs: kind === 'shm' ? ['SYSVIPC', 'lasting segments'] : ['SYSVIPC'],
      since: '2.6.19',
      byHand: [`ipcmk -${{ msg: 'Q', sem: 'S 1', shm: 'M 4096' }[kind]}`, 'unshare --ipc ipcs'],
      soughtFromInitial: true,
      async experiment({ actor, observer, fresh }) {
        const key = fresh.key()
        const id = await family.make(actor, key, 41)
        const before = await family.inspect(actor, id)
        const found = await family.find(observer, key)
        const foundWithMode = await family.get(observer, key, 0o600)
        // A size that the existing object cannot satisfy: an errno of its own where there is one.
        const tooLarge =
          kind === 'sem'
            ? await observer.try.semget(key, 100, 0)
            : kind === 'shm'
              ? await observer.try.shmget(key, 1 << 20, 0)
              : undefined
        const neverMade = await family.find(observer, fresh.key())
        const alive = await family.find(actor, key)
        const after = await family.inspect(actor, id)
        const content = await family.read(actor, id)
        const negativeKey = fresh.negativeKey()
        const negativeId = await family.make(actor, negativeKey)
        const foundByNegative = await family.find(observer, negativeKey)
        await family.remove(actor, negativeId)
        // Who has had an object and has none again must not look elsewhere either.
        const own = await family.make(observer, fresh.key())
        await family.remove(observer, own)
        const foundThen = await family.find(observer, key)
        await family.remove(actor, id)
        const removed = await family.find(observer, key)
        return {
          id,
          before,
          found,
          foundWithMode,
          tooLarge,
          neverMade,
          alive,
          after,
          content,
          negativeId,
          foundByNegative,
          foundThen,
          removed,
        }
      },
      shared: ({ id, before, negativeId }) => ({
        found: id,
        foundWithMode: id,
        tooLarge: kind === 'msg' ? undefined : EINVAL,
        neverMade: ENOENT,
        alive: id,
        after: before,
        content: 41,
        foundByNegative: negativeId,
        foundThen: id,
        removed: ENOENT,
      }),
      isolated: ({ id, before }) => ({
        found: ENOENT,
        foundWithMode: ENOENT,
        tooLarge: kind === 'msg' ? undefined : ENOENT,
        neverMade: ENOENT,
        alive: id,
        after: before,
        content: 41,
        foundByNegative: ENOENT,
        foundThen: ENOENT,
        removed: ENOENT,
      }),
    })
  }

  svk.visibility('SVK-04', {
    says: 'a key in use in one IPC namespace is free in another: creation there succeeds, also with IPC_EXCL, and makes an unrelated object',
    source: [
      'ipc_namespaces(7)',
      'msgget(2), semget(2), shmget(2) ERRORS EEXIST',
      'ipc/util.c: ipcget_public',
    ],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    soughtFromInitial: true,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const family = systemV(world)
      const [key, other] = [fresh.key(), fresh.negativeKey()]
      const id = await family.make(actor, key, 41)
      const otherId = await family.make(actor, other, 42)
      const before = [await family.inspect(actor, id), await family.inspect(actor, otherId)]
      const exclusive = await family.get(observer, key, IPC_CREAT | IPC_EXCL | 0o600)
      const opened = await family.get(observer, other, IPC_CREAT | 0o600)
      const again = await family.get(observer, other, IPC_CREAT | IPC_EXCL | 0o600)
      const ofExclusive = failed(exclusive) ? exclusive : await family.read(observer, exclusive)
      // Into the new objects, where there are any: the actor's must not get it.
      if (!failed(exclusive)) await family.write(observer, exclusive, 43)
      const after = [await family.inspect(actor, id), await family.inspect(actor, otherId)]
      const ofOpened = failed(opened) ? opened : await family.read(observer, opened)
      const content = await family.read(actor, id)
      if (!failed(exclusive)) await family.remove(observer, exclusive)
      if (!failed(opened)) await family.remove(observer, opened)
      const survivor = await family.find(actor, key)
      const otherSurvivor = await family.find(actor, other)
      await family.remove(actor, id)
      if (!failed(otherSurvivor)) await family.remove(actor, otherId)
      return {
        id,
        otherId,
        before,
        exclusive,
        opened,
        again,
        ofExclusive,
        after,
        ofOpened,
        content,
        survivor,
        otherSurvivor,
      }
    },
    shared: ({ id, otherId }) => ({
      exclusive: EEXIST,
      opened: otherId,
      again: EEXIST,
      ofOpened: 42,
      content: 41,
      survivor: id,
      otherSurvivor: ENOENT,
    }),
    isolated: ({ id, otherId, before }, world) => ({
      exclusive: succeeds,
      opened: succeeds,
      again: EEXIST,
      ofExclusive: EMPTY[systemV(world).kind],
      after: before,
      ofOpened: EMPTY[systemV(world).kind],
      content: 41,
      survivor: id,
      otherSurvivor: otherId,
    }),
  })

  svk.visibility('SVK-05', {
    says: 'one key names different objects in two IPC namespaces, even where their identifiers are equal: what is put into one is not found in the other',
    source: ['ipc_namespaces(7)', 'ipc/util.c: ipcget_public'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    ownWorld: true,
    async experiment(world) {
      const { actor, observer } = world
      const family = systemV(world)
      const twins = await makeTwins(world, family)
      const byActor = await family.find(actor, twins.key)
      const byObserver = await family.get(observer, twins.key, IPC_CREAT | 0o600)
      await family.write(actor, twins.id, 111)
      const observed = failed(byObserver) ? byObserver : await family.read(observer, byObserver)
      const written = failed(byObserver) ? byObserver : await family.write(observer, byObserver, 222)
      const actorReads = await family.read(actor, twins.id)
      const observerReads = failed(byObserver) ? byObserver : await family.read(observer, byObserver)
      return { ...twins, byActor, byObserver, observed, written, actorReads, observerReads }
    },
    shared: ({ id }, world) => ({
      byActor: id,
      byObserver: id,
      observed: 111,
      written: 0,
      actorReads: 222,
      // The queue's one message is taken by now.
      observerReads: systemV(world).kind === 'msg' ? ENOMSG : 222,
    }),
    isolated: ({ id, observerId }, world) => ({
      byActor: id,
      byObserver: observerId,
      observed: EMPTY[systemV(world).kind],
      written: 0,
      actorReads: 111,
      observerReads: 222,
    }),
  })

  svk.visibility('SVK-19', {
    says: 'a System V object lasts after its creator has exited, for the members of its IPC namespace and for them only',
    source: ['sysvipc(7)', 'ipc_namespaces(7)'],
    needs: ['SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    variantNeeds: LASTING,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const family = systemV(world)
      const key = fresh.key()
      const maker = await actor.spawn('maker')
      const id = await family.make(maker, key, 41)
      await maker.exitAndReap()
      const alive = await family.find(actor, key)
      const status = await family.stat(actor, id)
      const found = await family.find(observer, key)
      const content = await family.read(actor, id)
      await family.remove(actor, id)
      return { id, alive, keyOfIt: failed(status) ? status : status.perm.key === key, found, content }
    },
    shared: ({ id }) => ({ alive: id, keyOfIt: true, found: id, content: 41 }),
    isolated: ({ id }) => ({ alive: id, keyOfIt: true, found: ENOENT, content: 41 }),
  })

  svk.comparison('SVK-21', {
    says: 'who leaves an IPC namespace, by unshare or by setns, loses its objects, and who comes back by setns finds the very same ones; so does one thread of a process whose others stay',
    source: ['setns(2)', 'ipc_namespaces(7)'],
    needs: ['SYSVIPC'],
    since: '3.0',
    variants: [...SYSTEM_V_KINDS, ...SYSTEM_V_KINDS.map((kind) => `${kind}${BY_THREAD}`)],
    arms: { treatment: 'leaves and comes back', control: 'leaves and stays away' },
    async experiment({ outer, arm, fresh, variant }) {
      const family = systemV({ variant })
      const { use } = CALLS[family.kind]
      const key = fresh.key()
      const id = await family.make(outer, key, 41)
      const before = await family.inspect(outer, id)
      const process = await outer.spawn('traveller')
      const traveller = variant.endsWith(BY_THREAD) ? await withThread(process, 'travelling thread') : process
      const home = await traveller.open('/proc/self/ns/ipc', O_RDONLY)
      const atFirst = await family.find(traveller, key)
      await traveller.unshare(CLONE.NEWIPC)
      const awayByKey = await family.find(traveller, key)
      const awayById = await family.stat(traveller, id)
      const awayCalls = await use(traveller, id)
      const awayRemoves = await family.remove(traveller, id)
      // An object of the same key abroad must not be what is found at home.
      await traveller.makeUnnamed(family.kind, 3)
      const abroad = await family.make(traveller, key)
      const usedAbroad = await family.write(traveller, abroad, 99)
      // Somebody stays abroad, with an object for the traveller to try at last.
      const resident = await traveller.spawn('resident')
      const left = await family.make(resident, fresh.key(), 41)
      const leftBefore = await family.inspect(resident, left)
      if (arm === 'treatment') await traveller.setns(home, CLONE.NEWIPC)
      const thenByKey = await family.find(traveller, key)
      const after = await family.inspect(traveller, id)
      const content = await family.read(traveller, arm === 'treatment' ? id : abroad)
      const thenById = await family.stat(traveller, left)
      const thenCalls = await use(traveller, left)
      const thenRemoves = await family.remove(traveller, left)
      return {
        ...{
          id,
          before,
          atFirst,
          awayByKey,
          awayById,
          awayCalls,
          awayRemoves,
          abroad,
          usedAbroad,
          thenByKey,
          after,
        },
        ...{ content, thenById, thenCalls, thenRemoves },
        ...{ leftBefore, leftAfter: await family.inspect(resident, left) },
      }
    },
    treatment: ({ id, before, leftBefore }, { variant }) => ({
      atFirst: id,
      awayByKey: ENOENT,
      awayById: EINVAL,
      awayCalls: refusedAll(systemV({ variant }).kind),
      awayRemoves: EINVAL,
      usedAbroad: 0,
      thenByKey: id,
      after: before,
      content: 41,
      thenById: EINVAL,
      thenCalls: refusedAll(systemV({ variant }).kind),
      thenRemoves: EINVAL,
      leftAfter: leftBefore,
    }),
    control: ({ id, abroad }, { variant }) => ({
      atFirst: id,
      awayByKey: ENOENT,
      awayById: EINVAL,
      awayCalls: refusedAll(systemV({ variant }).kind),
      awayRemoves: EINVAL,
      usedAbroad: 0,
      thenByKey: abroad,
      content: 99,
      thenById: succeeds,
      thenCalls: CALLS[systemV({ variant }).kind].succeed,
      thenRemoves: 0,
      leftAfter: EINVAL,
    }),
  })
}
