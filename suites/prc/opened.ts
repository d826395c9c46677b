/** PRC-02, PRC-03, PRC-04, PRC-08: a table belongs to the IPC namespace that its opener was in. */
import { joinAs } from '../../fixtures/lifetime.ts'
import { SYSTEM_V_KINDS, systemV } from '../../fixtures/objects.ts'
import { type Area, CLONE, having, O_PATH, O_RDONLY } from '../../fixtures/rules.ts'
import { watchNamespace } from '../../fixtures/sensors.ts'
import {
  expectedRow,
  namesOf,
  readOpenTable,
  readTable,
  rowOf,
  tablePath,
} from '../../fixtures/sysvipc-table.ts'
import { withThread } from '../../fixtures/threads.ts'

/** The variant in which it is one thread of a process that leaves. */
const BY_THREAD = '-a thread'

const LEFT = { treatment: 'the reader left its IPC namespace', control: 'the reader stayed' }

export function openedTableRules(prc: Area): void {
  prc.comparison('PRC-02', {
    says: 'an open table goes on listing the IPC namespace it was opened in, to whoever reads it',
    source: ['ipc/util.c: sysvipc_proc_open', 'ipc/util.c: sysvipc_proc_start'],
    needs: ['PROC_SYSVIPC'],
    // All three files are opened by one function, and a thread costs a program's start.
    variants: [...SYSTEM_V_KINDS, `sem${BY_THREAD}`],
    arms: LEFT,
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const keys = { before: fresh.key(), since: fresh.key(), readers: fresh.key(), heirs: fresh.key() }
      await family.make(outer, keys.before, 5)
      const process = await outer.spawn('reader')
      // Where a thread leaves, its process stays.
      const reader = variant.endsWith(BY_THREAD) ? await withThread(process, 'reading thread') : process
      const descriptor = await reader.open(path, O_RDONLY)
      // One reader leaves with the open table, another is born elsewhere with it.
      if (arm === 'treatment') await reader.unshare(CLONE.NEWIPC)
      const heir = await reader.spawn('heir', arm === 'treatment' ? ['NEWIPC'] : [], { keep: [descriptor] })
      await family.make(outer, keys.since, 5)
      await family.make(reader, keys.readers, 5)
      await family.make(heir, keys.heirs, 5)
      return {
        byOpen: namesOf(await readOpenTable(reader, descriptor), keys),
        byOpenInHeir: namesOf(await readOpenTable(heir, descriptor), keys),
        reopened: namesOf(await readTable(reader, path), keys),
        reopenedThroughDescriptor: namesOf(await readTable(reader, `/proc/self/fd/${descriptor}`), keys),
        reopenedByHeir: namesOf(await readTable(heir, `/proc/self/fd/${descriptor}`), keys),
        outers: namesOf(await readTable(outer, path), keys),
      }
    },
    treatment: () => ({
      byOpen: ['before', 'since'],
      byOpenInHeir: ['before', 'since'],
      reopened: ['readers'],
      reopenedThroughDescriptor: ['readers'],
      reopenedByHeir: ['heirs'],
      outers: ['before', 'since'],
    }),
    control: () => {
      const all = ['before', 'heirs', 'readers', 'since']
      return {
        byOpen: all,
        byOpenInHeir: all,
        reopened: all,
        reopenedThroughDescriptor: all,
        reopenedByHeir: all,
        outers: all,
      }
    },
  })

  prc.comparison('PRC-03', {
    says: 'an open table keeps its IPC namespace alive, objects and all (namespaces(7) does not name it)',
    source: ['ipc/util.c: sysvipc_proc_open', 'ipc/util.c: sysvipc_proc_release'],
    needs: ['PROC_SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    arms: { treatment: 'a table is open', control: 'the table was closed' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const family = systemV(world)
      const [ours, theirs] = await outer.socketpair()
      const member = await outer.spawn('last member', ['NEWIPC'], { keep: [theirs] })
      const key = fresh.key()
      const row = await expectedRow(member, family.kind, await family.make(member, key, 5))
      await member.sendDescriptor(theirs, await member.open(tablePath(family.kind), O_RDONLY))
      const table = await outer.receiveDescriptor(ours)
      // Closed before it was read to its end.
      await member.sendDescriptor(theirs, await member.open(tablePath(family.kind), O_RDONLY))
      const halfRead = await outer.receiveDescriptor(ours)
      await outer.read(halfRead, 10)
      await outer.close(halfRead)
      const watch = await watchNamespace(outer, member)
      const twin = await outer.spawn('twin', ['NEWIPC'])
      const twinWatch = await watchNamespace(outer, twin)
      if (arm === 'control') await outer.close(table)
      await member.exitAndReap()
      await twin.exitAndReap()
      // The twin, which nothing holds, must be seen dead before the other is called alive.
      const twinEnds = await twinWatch.end(world)
      if (arm === 'control') return { row, twinEnds, namespace: await watch.end(world) }
      const namespace = await watch.look('handle')
      const listed = rowOf(await readOpenTable(outer, table), key)
      await outer.close(table)
      return { row, twinEnds, namespace, listed, afterClose: await watch.end(world) }
    },
    treatment: ({ row }) => ({
      twinEnds: 'destroyed',
      namespace: 'alive',
      listed: having(row),
      afterClose: 'destroyed',
    }),
    control: () => ({ twinEnds: 'destroyed', namespace: 'destroyed' }),
  })

  prc.comparison('PRC-04', {
    says: 'the tables below another process’s /proc/PID/root/proc/sysvipc are the reader’s own, whatever procfs is mounted there',
    source: ['ipc/util.c: sysvipc_proc_open', 'proc_pid_root(5)'],
    needs: ['PROC_SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    flags: [['NEWIPC', 'NEWNS']],
    arms: { treatment: 'the process has an IPC namespace of its own', control: 'it shares the reader’s' },
    async experiment(world) {
      const { outer, enter, arm, fresh } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const inner = await enter('inner', { flags: arm === 'treatment' ? ['NEWIPC', 'NEWNS'] : ['NEWNS'] })
      const keys = { outers: fresh.key(), inners: fresh.key() }
      await family.make(outer, keys.outers, 5)
      await family.make(inner, keys.inners, 6)
      const theirs = `/proc/${await inner.readlink('/proc/self')}/root${path}`
      const ours = `/proc/${await outer.readlink('/proc/self')}/root${path}`
      const throughTheirRoot = namesOf(await readTable(outer, theirs), keys)
      const throughOurRoot = namesOf(await readTable(inner, ours), keys)
      const visitor = await joinAs('visitor', outer, inner)
      await inner.mount('proc', '/proc', 'proc')
      const throughTheirFreshProc = namesOf(await readTable(outer, theirs), keys)
      return {
        throughTheirRoot,
        throughOurRoot,
        throughTheirFreshProc,
        visitors: namesOf(await readTable(visitor, path), keys),
      }
    },
    treatment: () => ({
      throughTheirRoot: ['outers'],
      throughOurRoot: ['inners'],
      throughTheirFreshProc: ['outers'],
      visitors: ['inners'],
    }),
    control: () => {
      const both = ['inners', 'outers']
      return {
        throughTheirRoot: both,
        throughOurRoot: both,
        throughTheirFreshProc: both,
        visitors: both,
      }
    },
  })

  prc.comparison('PRC-08', {
    says: 'a table opened below a /proc/sysvipc directory or O_PATH descriptor from elsewhere is that of the opener’s namespace now',
    source: ['ipc/util.c: sysvipc_proc_open'],
    needs: ['PROC_SYSVIPC'],
    variants: SYSTEM_V_KINDS,
    arms: LEFT,
    async experiment(world) {
      const { outer, arm, fresh } = world
      const family = systemV(world)
      const keys = { outers: fresh.key(), readers: fresh.key() }
      await family.make(outer, keys.outers, 5)
      const reader = await outer.spawn('reader')
      const directory = await reader.open('/proc/sysvipc', O_RDONLY)
      const file = await reader.open(tablePath(family.kind), O_PATH)
      if (arm === 'treatment') await reader.unshare(CLONE.NEWIPC)
      const empty = namesOf(await readTable(reader, `/proc/self/fd/${directory}/${family.kind}`), keys)
      await family.make(reader, keys.readers, 5)
      const opened = await reader.openat(directory, family.kind, O_RDONLY)
      return {
        empty,
        belowDirectory: namesOf(await readOpenTable(reader, opened), keys),
        byPathDescriptor: namesOf(await readTable(reader, `/proc/self/fd/${file}`), keys),
      }
    },
    treatment: () => ({ empty: [], belowDirectory: ['readers'], byPathDescriptor: ['readers'] }),
    control: () => ({
      empty: ['outers'],
      belowDirectory: ['outers', 'readers'],
      byPathDescriptor: ['outers', 'readers'],
    }),
  })
}
