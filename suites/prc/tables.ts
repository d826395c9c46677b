/** PRC-01, PRC-07, PRC-09, PRC-10: what the tables below /proc/sysvipc list. */
import { LASTING, SYSTEM_V_KINDS, systemV } from '../../fixtures/objects.ts'
import { sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  atLeast,
  having,
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
  O_RDONLY,
} from '../../fixtures/rules.ts'
import {
  expectedRow,
  namesOf,
  parseTable,
  readTable,
  rowOf,
  tablePath,
} from '../../fixtures/sysvipc-table.ts'

/** Objects at indices that lie far apart, as after a checkpoint was restored. */
const FAR_APART: readonly string[] = SYSTEM_V_KINDS.map((kind) => `${kind}-far apart`)

const UNJUDGED = 'others live there'

export function tableRules(prc: Area): void {
  prc.visibility('PRC-01', {
    says: '/proc/sysvipc/msg, sem and shm list the objects of the opener’s IPC namespace, all of them and no others',
    source: ['ipc_namespaces(7)', 'proc_sysvipc(5)', 'ipc/util.c: sysvipc_proc_open'],
    needs: ['PROC_SYSVIPC'],
    since: '2.6.19',
    variantNeeds: LASTING,
    variants: SYSTEM_V_KINDS,
    ownWorld: true,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const keys = { actors: fresh.key(), observers: fresh.key() }
      const all = async (side: 'actor' | 'observer'): Promise<unknown> =>
        sideInInitial(world, side) ? UNJUDGED : namesOf(await readTable(world[side], path), keys)
      const actors = await family.make(actor, keys.actors, 7, 0o640)
      const actorsRow = await expectedRow(actor, family.kind, actors)
      // Looked at while the observer's namespace is empty, and again when it is not.
      const first = rowOf(await readTable(observer, path), keys.actors)
      const firstAll = await all('observer')
      const observers = await family.make(observer, keys.observers, 9, 0o604)
      const observersRow = await expectedRow(observer, family.kind, observers)
      const atObserver = await readTable(observer, path)
      const atActor = await readTable(actor, path)
      return {
        actorsRow,
        observersRow,
        first,
        firstAll,
        actorsAtObserver: rowOf(atObserver, keys.actors),
        observersAtObserver: rowOf(atObserver, keys.observers),
        actorsAtActor: rowOf(atActor, keys.actors),
        observersAtActor: rowOf(atActor, keys.observers),
        allAtObserver: await all('observer'),
        allAtActor: await all('actor'),
      }
    },
    shared: ({ actorsRow, observersRow }, world) => {
      const both = sideInInitial(world, 'actor') ? UNJUDGED : ['actors', 'observers']
      return {
        first: having(actorsRow),
        firstAll: sideInInitial(world, 'observer') ? UNJUDGED : ['actors'],
        actorsAtObserver: having(actorsRow),
        observersAtObserver: having(observersRow),
        actorsAtActor: having(actorsRow),
        observersAtActor: having(observersRow),
        allAtObserver: both,
        allAtActor: both,
      }
    },
    isolated: ({ actorsRow, observersRow }, world) => ({
      first: 'absent',
      firstAll: sideInInitial(world, 'observer') ? UNJUDGED : [],
      actorsAtObserver: 'absent',
      observersAtObserver: having(observersRow),
      actorsAtActor: having(actorsRow),
      observersAtActor: 'absent',
      allAtObserver: sideInInitial(world, 'observer') ? UNJUDGED : ['observers'],
      allAtActor: sideInInitial(world, 'actor') ? UNJUDGED : ['actors'],
    }),
  })

  prc.comparison('PRC-07', {
    says: 'objects of any mode are listed to everybody in the IPC namespace, and to nobody outside',
    source: ['proc_sysvipc(5)', 'ipc/util.c: sysvipc_proc_show'],
    needs: ['PROC_SYSVIPC', 'CAP_SETUID', 'CAP_IPC_OWNER'],
    variants: SYSTEM_V_KINDS,
    arms: {
      treatment: 'another user in another IPC namespace',
      control: 'another user in the same',
    },
    async experiment(world) {
      const { outer, enter, arm, fresh } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const user = await enter('user', { flags: arm === 'treatment' ? ['NEWIPC'] : [] })
      await user.becomeUser(fresh.uid())
      const key = fresh.key()
      const object = await family.make(outer, key, 3, 0)
      // One that no key leads to is listed as well.
      const keyless = await family.make(outer, IPC_PRIVATE, 3, 0)
      return {
        row: await expectedRow(outer, family.kind, object),
        keylessRow: await expectedRow(outer, family.kind, keyless),
        mode: (await user.stat(path)).mode & 0o7777,
        listed: rowOf(await readTable(user, path), key),
        toOwner: rowOf(await readTable(outer, path), key),
        keylessListed: rowOf(await readTable(user, path), IPC_PRIVATE),
        keylessToOwner: rowOf(await readTable(outer, path), IPC_PRIVATE),
      }
    },
    treatment: ({ row, keylessRow }) => ({
      mode: 0o444,
      listed: 'absent',
      toOwner: having(row),
      keylessListed: 'absent',
      keylessToOwner: having(keylessRow),
    }),
    control: ({ row, keylessRow }) => ({
      mode: 0o444,
      listed: having(row),
      toOwner: having(row),
      keylessListed: having(keylessRow),
      keylessToOwner: having(keylessRow),
    }),
  })

  prc.comparison('PRC-09', {
    says: 'the rss and swap columns and SHM_INFO count the memory of one IPC namespace’s segments only',
    source: ['ipc/shm.c: sysvipc_shm_proc_show', 'ipc/shm.c: shm_get_stat'],
    needs: ['PROC_SYSVIPC'],
    since: '2.6.37',
    arms: { treatment: 'segment of another IPC namespace', control: 'segment of the same' },
    async experiment({ outer, enter, arm, fresh }) {
      const bytes = 1 << 20
      const maker = await enter('maker', { flags: arm === 'treatment' ? ['NEWIPC'] : [] })
      const segment = await maker.shmget(fresh.key(), bytes, IPC_CREAT | IPC_EXCL | 0o600)
      const address = await maker.shmat(segment)
      await maker.touchMemory(address, bytes)
      const usage = async (member: typeof outer) => {
        const { usedIds, tot, rss, swp } = await member.shmctlUsage()
        const rows = parseTable(await member.readFile(tablePath('shm')))
        const resident = rows.reduce((sum, row) => sum + (row.rss ?? 0) + (row.swap ?? 0), 0)
        return { usedIds, total: tot, pages: rss + swp, resident }
      }
      return { bytes, makers: await usage(maker), outers: await usage(outer) }
    },
    treatment: ({ bytes }) => ({
      makers: having({ usedIds: 1, total: atLeast(1), pages: atLeast(1), resident: atLeast(bytes) }),
      outers: { usedIds: 0, total: 0, pages: 0, resident: 0 },
    }),
    control: ({ bytes }) => ({
      makers: having({ usedIds: 1, total: atLeast(1), pages: atLeast(1), resident: atLeast(bytes) }),
      outers: having({ usedIds: 1, total: atLeast(1), pages: atLeast(1), resident: atLeast(bytes) }),
    }),
  })

  prc.comparison('PRC-10', {
    says: 'reads of any size list each object exactly once',
    source: ['ipc/util.c: sysvipc_find_ipc', 'ipc/util.c: sysvipc_proc_next'],
    needs: ['PROC_SYSVIPC'],
    variants: [...SYSTEM_V_KINDS, ...FAR_APART],
    variantNeeds: Object.fromEntries(FAR_APART.map((variant) => [variant, ['NEXT_ID']])),
    bugs: [
      {
        id: 'BUG-15',
        fix: 'ipc/util.c: sysvipc_find_ipc() incorrectly updates position index: small reads skip or repeat rows',
        fixedIn: '5.7 (5.6.14)',
        looksLike: { whole: 'each once' },
      },
    ],
    arms: { treatment: 'read in small pieces', control: 'read at once' },
    async experiment(world) {
      const { outer, fresh, arm, variant } = world
      const family = systemV(world)
      const objects: { key: number; id: number }[] = []
      for (let count = 0; count < 40; count += 1) {
        const key = fresh.key()
        // Up to the highest index that a namespace has without asking for more.
        if (FAR_APART.includes(variant))
          await outer.writeFile(`/proc/sys/kernel/${family.kind}_next_id`, String(800 * (count + 1)))
        objects.push({ key, id: await family.make(outer, key) })
      }
      // With holes in the table of identifiers.
      const removed = objects.filter((_object, index) => index % 3 === 1)
      for (const { id } of removed) await family.remove(outer, id)
      const expected = objects.filter((object) => !removed.includes(object)).map(({ key }) => key)
      const listed = async (bytes: number): Promise<unknown> => {
        const descriptor = await outer.open(tablePath(family.kind), O_RDONLY)
        const text = await outer.readPieces(descriptor, bytes)
        await outer.close(descriptor)
        const keys = parseTable(text).map(({ key }) => key)
        return sameKeys(keys, expected) ? 'each once' : keys
      }
      const whole = await listed(1 << 16)
      // The row where a reader goes on may be removed between two reads; the rows behind it are listed all the same.
      const [next, last] = [objects.slice(0, 20), objects.slice(20).filter((each) => !removed.includes(each))]
      const removeNext = async (): Promise<void> => {
        for (const each of next) if (!removed.includes(each)) await family.remove(outer, each.id)
      }
      const behindRemoved = async (): Promise<unknown> => {
        if (arm === 'control') await removeNext()
        const descriptor = await outer.open(tablePath(family.kind), O_RDONLY)
        const begin = await outer.read(descriptor, 300)
        if (arm === 'treatment') await removeNext()
        const text = begin + (await outer.readPieces(descriptor, 300))
        await outer.close(descriptor)
        const keys = parseTable(text).map(({ key }) => key)
        const rest = keys.filter((key) => last.some((each) => each.key === key))
        return sameKeys(
          rest,
          last.map(({ key }) => key),
        )
          ? 'each once'
          : keys
      }
      if (arm === 'control') return { whole, behindRemoved: await behindRemoved() }
      const pieces = [await listed(1), await listed(7), await listed(100), await listed(4096)]
      return { whole, pieces, behindRemoved: await behindRemoved() }
    },
    treatment: () => ({
      whole: 'each once',
      pieces: ['each once', 'each once', 'each once', 'each once'],
      behindRemoved: 'each once',
    }),
    control: () => ({ whole: 'each once', behindRemoved: 'each once' }),
  })
}

function sameKeys(seen: readonly (number | undefined)[], expected: readonly number[]): boolean {
  return [...seen].sort().join() === [...expected].sort().join()
}
