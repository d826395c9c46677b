/** PRC-05, PRC-06: pids and user ids in the tables are translated for whoever opened them. */
import { SYSTEM_V_KINDS, systemV } from '../../fixtures/objects.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  type Flag,
  failed,
  type Member,
  makePrivate,
  O_RDONLY,
  type Outcome,
} from '../../fixtures/rules.ts'
import { slotBooth } from '../../fixtures/sensors.ts'
import { type Row, readOpenTable, readTable, rowOf, tablePath } from '../../fixtures/sysvipc-table.ts'
import { overflowIds, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'

/** The columns that name the maker (or sender) and whoever used the object last. */
const PIDS = { msg: ['lspid', 'lrpid'], shm: ['cpid', 'lpid'] } as const

export function translationRules(prc: Area): void {
  prc.comparison('PRC-05', {
    says: 'pids in a table are those of the opener’s pid namespace, which it holds while it is open, 0 for who is not in it, whatever procfs it is in',
    source: ['ipc/util.c: sysvipc_proc_open, sysvipc_proc_release', 'ipc/util.c: ipc_seq_pid_ns'],
    needs: ['PROC_SYSVIPC', 'PID_NS', 'USER_NS', 'UCOUNT_SYSCTL'],
    since: '4.17',
    variants: ['msg', 'shm'],
    flags: [['NEWPID', 'NEWNS']],
    bugs: [
      {
        id: 'BUG-13',
        fix: 'ipc: fix IPC_STAT between pid namespaces (98f929b1bd4d, 39a4940eaa18): pids are their process’s own, which mean nobody or somebody else to others',
        fixedIn: '4.17',
        looksLike: { translated: false },
      },
    ],
    arms: { treatment: 'the user has a pid namespace of its own', control: 'both share one' },
    async experiment(world) {
      const { outer, arm, fresh, variant } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const [first, last] = PIDS[variant as 'msg' | 'shm']
      const flags: Flag[] = arm === 'treatment' ? ['NEWPID', 'NEWNS'] : ['NEWNS']
      const [ours, theirs] = await outer.socketpair()
      const early = await outer.open(path, O_RDONLY)
      const inner = await outer.spawn('inner', flags, { keep: [theirs, early] })
      await makePrivate(inner)
      const innerRoot = `/proc/${await inner.readlink('/proc/self')}/root`

      // The outer one makes the object and puts something in, the inner one uses it last.
      const key = fresh.key()
      const id = await family.make(outer, key, 5)
      await family.read(inner, id)
      const pids = (rows: Outcome<Row[]>): unknown => {
        const row = rowOf(rows, key) as Row
        return typeof row === 'object' && !failed(row) ? [row[first], row[last]] : row
      }
      const inners = pids(await readTable(inner, path))
      await inner.sendDescriptor(theirs, await inner.open(path, O_RDONLY))
      const openedInside = await outer.receiveDescriptor(ours)
      const byEarly = pids(await readOpenTable(inner, early))
      await inner.mount('proc', '/proc', 'proc')
      const outers = pids(await readTable(outer, path))
      const usersOwnPid = await inner.getpid()
      // Its children are to be in a new pid namespace; it stays in its own.
      const expecting = await outer.spawn('process that unshared NEWPID')
      await expecting.unshare(CLONE.NEWPID)
      const { whileOpen, afterClose } = await heldPidNamespace(world, path)
      return {
        makersPid: await outer.getpid(),
        usersPid: inner.pid,
        usersOwnPid,
        translated: inner.pid === usersOwnPid || !(Array.isArray(outers) && outers[1] === usersOwnPid),
        outers,
        unshareds: pids(await readTable(expecting, path)),
        inners,
        openedInsideReadOutside: pids(await readOpenTable(outer, openedInside)),
        openedOutsideReadInside: byEarly,
        innersFreshProc: pids(await readTable(inner, path)),
        outersThroughInnersProc: pids(await readTable(outer, `${innerRoot}${path}`)),
        whileOpen,
        afterClose,
      }
    },
    treatment: ({ makersPid, usersPid }) => ({
      usersOwnPid: 1,
      outers: [makersPid, usersPid],
      unshareds: [makersPid, usersPid],
      inners: [0, 1],
      openedInsideReadOutside: [0, 1],
      openedOutsideReadInside: [makersPid, usersPid],
      innersFreshProc: [0, 1],
      outersThroughInnersProc: [makersPid, usersPid],
      whileOpen: 'kept',
      afterClose: 'freed',
    }),
    control: ({ makersPid, usersPid }) => ({
      usersOwnPid: usersPid,
      outers: [makersPid, usersPid],
      unshareds: [makersPid, usersPid],
      inners: [makersPid, usersPid],
      openedInsideReadOutside: [makersPid, usersPid],
      openedOutsideReadInside: [makersPid, usersPid],
      innersFreshProc: [makersPid, usersPid],
      outersThroughInnersProc: [makersPid, usersPid],
      whileOpen: 'kept',
      afterClose: 'freed',
    }),
  })

  prc.comparison('PRC-06', {
    says: 'user and group ids in the tables are mapped for the user namespace of the opener, from the moment of opening',
    source: ['user_namespaces(7)', 'ipc/msg.c: sysvipc_msg_proc_show', 'fs/seq_file.c: seq_open'],
    needs: ['PROC_SYSVIPC', 'USER_NS', 'CAP_SETUID'],
    since: '3.8',
    variants: SYSTEM_V_KINDS,
    arms: { treatment: 'the reader came to another user namespace', control: 'the reader stayed' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const family = systemV(world)
      const path = tablePath(family.kind)
      const [owner, ownersGroup, creator, group] = [fresh.uid(), fresh.uid(), fresh.uid(), fresh.uid()]
      const key = fresh.key()
      const maker = await outer.spawn('maker')
      await maker.becomeUser(creator, group)
      const id = await family.make(maker, key, 5)
      // Given away by root: the four columns have four numbers.
      await family.setMode(outer, id, 0o600, owner, ownersGroup)
      const reader = await outer.spawn('reader')
      const descriptor = await reader.open(path, O_RDONLY)
      const before = ids(rowOf(await readOpenTable(reader, descriptor), key))
      if (arm === 'treatment') await reader.unshare(CLONE.NEWUSER)
      // In this one the owner is root, his group has another number than he, and the creator is nobody.
      const mapped: Member =
        arm === 'treatment'
          ? await spawnInUserNamespace(outer, 'mapped', [], [[0, owner, 1]], [], [[9, ownersGroup, 1]])
          : await outer.spawn('mapped')
      return {
        real: { uid: owner, gid: ownersGroup, cuid: creator, cgid: group },
        unmapped: await overflowIds(outer),
        before,
        byOpen: ids(rowOf(await readOpenTable(reader, descriptor), key)),
        reopened: ids(rowOf(await readTable(reader, path), key)),
        mapped: ids(rowOf(await readTable(mapped, path), key)),
        outers: ids(rowOf(await readTable(outer, path), key)),
      }
    },
    treatment: ({ real, unmapped: { uid, gid } }) => ({
      before: real,
      byOpen: real,
      reopened: { uid, gid, cuid: uid, cgid: gid },
      mapped: { uid: 0, gid: 9, cuid: uid, cgid: gid },
      outers: real,
    }),
    control: ({ real }) => ({ before: real, byOpen: real, reopened: real, mapped: real, outers: real }),
  })
}

/** A table whose opener has ended with his pid namespace: whether that is there while the table is open, and after. */
async function heldPidNamespace(world: ComparisonWorld, path: string) {
  const booth = await slotBooth(world.outer)
  const [ours, theirs] = await booth.keeper.socketpair()
  const opener = await booth.keeper.spawn('opener', ['NEWPID'], { keep: [theirs] })
  await opener.sendDescriptor(theirs, await opener.open(path, O_RDONLY))
  const table = await booth.keeper.receiveDescriptor(ours)
  await opener.exitAndReap()
  const whileOpen = await booth.object()
  await booth.keeper.close(table)
  return { whileOpen, afterClose: await booth.objectEnd(world) }
}

function ids(row: unknown): unknown {
  if (typeof row !== 'object' || row === null || failed(row)) return row
  const { uid, gid, cuid, cgid } = row as Row
  return { uid, gid, cuid, cgid }
}
