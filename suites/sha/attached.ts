/** Attached segments and the borders of IPC namespaces: memory, identifiers, counts. */

import { ATTEMPTS } from '../../fixtures/identifiers.ts'
import { DEPARTURES, type Departure, depart } from '../../fixtures/leaving.ts'
import { mappingAt } from '../../fixtures/mappings.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  type Area,
  type ComparisonWorld,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  type Flag,
  failed,
  having,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  oneOf,
  procPid,
  SHM_DEST,
  SHM_RDONLY,
} from '../../fixtures/rules.ts'
import { readTable, tablePath } from '../../fixtures/sysvipc-table.ts'

const BYTES = 4096
/** A multiple of every page size. */
const PIECE = 65536

/** The flags of the cell in the treatment arm; the same without NEWIPC in the control arm. */
function armFlags({ arm, flags }: ComparisonWorld): Flag[] {
  return flags.filter((flag) => arm === 'treatment' || flag !== 'NEWIPC')
}

/** Where the segment is: a private namespace, or the initial one. */
async function homeOf(world: ComparisonWorld): Promise<Member> {
  return inInitial(world) ? world.initial() : world.outer
}

function inInitial({ variant }: ComparisonWorld): boolean {
  return variant.includes('initial')
}

/** Other programs have segments in the initial namespace. */
const NOT_COUNTED = 'not counted'

/** How the cell's variant takes a process away. */
function departureOf({ variant }: ComparisonWorld): Departure {
  return variant.split(',')[0] as Departure
}

const IN_BOTH_PLACES = DEPARTURES.flatMap((how) => [how, `${how}, from the initial namespace`])
/** Without the clone, whose creator stays with its own attachment. */
const LEAVING_IN_BOTH_PLACES = IN_BOTH_PLACES.filter((variant) => !variant.startsWith('clone'))

/** Pages of all segments of the member's IPC namespace. */
async function pages(member: Member): Promise<number> {
  return (await member.shmctlUsage()).tot
}

/** Where the kernel has no /proc/sysvipc. */
const NO_TABLE = 'no table'

/** The segment's row in its namespace's table, for one that has no key any more. */
async function rowOfId(member: Member, segment: number): Promise<unknown> {
  if (!(await member.exists(tablePath('shm')))) return NO_TABLE
  const rows = await readTable(member, tablePath('shm'))
  return failed(rows) ? rows : (rows.find((row) => row.shmid === segment) ?? 'absent')
}

/** Adds the rules. */
export function attachedRules(sha: Area): void {
  sha.comparison('SHA-01', {
    says: 'an attached segment stays attached on the way into another IPC namespace: its memory stays readable, writable and shared',
    source: ['shmop(2)', 'unshare(2)', 'ipc/shm.c: exit_shm (leaves mappings alone)'],
    needs: ['SYSVIPC', 'pidfd setns'],
    since: '2.6.19',
    arms: { treatment: 'to another IPC namespace', control: 'within the same' },
    flags: 'with NEWIPC',
    variants: IN_BOTH_PLACES,
    async experiment(world) {
      const home = await homeOf(world)
      const segment = await home.shmget(world.fresh.key(), BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const here = await home.shmat(segment)
      await home.writeMemory(here, 'before')
      const partner = await home.spawn('partner')
      const there = await partner.shmat(segment)
      const moved = await depart(home, partner, departureOf(world), armFlags(world))
      const before = await moved.try.peek(there, 64)
      await home.writeMemory(here, 'from home')
      const fromHome = await moved.try.peek(there, 64)
      const poked = await moved.try.poke(there, 'from away')
      const fromAway = await home.readMemory(here, 64)
      const child = await moved.spawn('child')
      const inherited = await child.try.peek(there, 64)
      const detached = await moved.try.shmdt(there)
      const again = await moved.try.shmat(segment)
      return {
        before,
        fromHome,
        poked,
        fromAway,
        inherited,
        detached,
        again: failed(again) ? again : 'attached',
      }
    },
    treatment: () => ({ ...SHARED_MEMORY, again: EINVAL }),
    control: () => ({ ...SHARED_MEMORY, again: 'attached' }),
  })

  sha.comparison('SHA-02', {
    says: 'away from its namespace the identifier of an attached segment is unknown and unlisted, but /proc/PID/maps still shows key and identifier',
    source: ['proc_pid_maps(5)', 'ipc/shm.c: newseg'],
    needs: ['SYSVIPC', 'PROC_SYSVIPC', 'pidfd setns'],
    since: '2.6.19',
    arms: { treatment: 'in another IPC namespace', control: 'in its own' },
    flags: 'with NEWIPC',
    variants: IN_BOTH_PLACES,
    async experiment(world) {
      const home = await homeOf(world)
      // Past the first round of indices, where identifier and index are one. Not in the initial namespace,
      // which is others' too; there it is just not the first: 0 could not be told from no number.
      if (!inInitial(world)) await home.burnIdentifiers('shm', ATTEMPTS)
      for (let burnt = 0; burnt < 3; burnt += 1) await home.shmget(0, BYTES, IPC_CREAT | 0o600)
      const key = world.fresh.key()
      const segment = await home.shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const partner = await home.spawn('partner')
      const there = await partner.shmat(segment)
      const moved = await depart(home, partner, departureOf(world), armFlags(world))
      const status = await moved.try.shmctlStat(segment)
      const attach = await moved.try.shmat(segment)
      const rows = (await moved.readFile('/proc/sysvipc/shm')).split('\n')
      const listed = rows.some((row) => Number(row.trim().split(/\s+/)[0]) === key)
      const [, , , , inode = '', path = ''] = await mappingAt(moved, there)
      return {
        status: failed(status) ? status : status.perm.key === key,
        attach: failed(attach) ? attach : 'attached',
        listed,
        keyInMaps: path === `/SYSV${key.toString(16).padStart(8, '0')}`,
        idInMaps: Number(inode) === segment,
      }
    },
    treatment: () => ({ status: EINVAL, attach: EINVAL, listed: false, keyInMaps: true, idInMaps: true }),
    control: () => ({ status: true, attach: 'attached', listed: true, keyInMaps: true, idInMaps: true }),
  })

  sha.comparison('SHA-03', {
    says: 'a segment’s attach count follows its attachments in every namespace: fork raises it and notes the pid; SIGKILL, exit, exec and shmdt lower it and note pid and time',
    source: ['shmctl(2) IPC_STAT', 'shmop(2)', 'ipc/shm.c: __shm_open, __shm_close'],
    needs: ['SYSVIPC', 'pidfd setns'],
    arms: { treatment: 'attached in another IPC namespace', control: 'attached in its own' },
    flags: [['NEWIPC'], ['NEWIPC', 'NEWPID'], ['NEWIPC', 'NEWUSER']],
    variants: LEAVING_IN_BOTH_PLACES,
    async experiment(world) {
      const home = await homeOf(world)
      const segment = await home.shmget(world.fresh.key(), BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      // One attachment stays at home: where shm_rmid_forced is set the segment must outlive the others.
      const keeper = await home.spawn('keeper')
      await keeper.shmat(segment)
      // For an address that is in use.
      const own = await home.shmget(world.fresh.key(), BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const status = async (): Promise<{ nattch: unknown; lpid: string; dtime: number }> => {
        const seen = await home.try.shmctlStat(segment)
        return failed(seen)
          ? { nattch: seen, lpid: seen.errno, dtime: 0 }
          : { ...seen, lpid: String(seen.lpid) }
      }
      const holder = await home.spawn('holder')
      const memory = await holder.shmat(segment)
      const other = await home.spawn('other')
      // Only to read: what is noted at its end is the same.
      await other.shmat(segment, SHM_RDONLY)
      await depart(home, holder, departureOf(world), armFlags(world))
      await depart(home, other, departureOf(world), armFlags(world))
      // An attachment that is refused, after the count was raised for it, lowers the count again.
      const refused = await home.try.shmat(segment, 0, await home.shmat(own))
      const left = await status()
      // A segment of the namespace that they are in now: nobody attaches it.
      const bystander = await makeBystander(holder, segment, world)
      const first = await holder.spawn('child')
      const second = await first.spawn('its child')
      const third = await second.spawn('and its child')
      const [pid, firstPid, secondPid, thirdPid] = await Promise.all(
        [holder, first, second, third].map(procPid),
      )
      const forked = await status()
      const { nattch: attachedByChildren } = await holder.shmctlStat(bystander)
      await third.killAndReap()
      const killed = await status()
      await second.exitAndReap()
      const exited = await status()
      const childDetaches = await first.try.shmdt(memory)
      const childDetached = await status()
      // Starting a program takes long, so not every time; and after unshare(CLONE_NEWPID) it may have no
      // threads, which a program of Node needs.
      const otherPid = await procPid(other)
      const executes = world.variant === 'unshare' && !world.flags.includes('NEWPID')
      if (executes) await other.execProbe()
      else await other.exitAndReap()
      const executed = await status()
      const detaches = await holder.try.shmdt(memory)
      const detached = await status()
      return {
        refused,
        left: left.nattch,
        noDetachYet: left.dtime,
        forked: forked.nattch,
        forkNoted: forked.lpid === secondPid,
        killed: killed.nattch,
        killedNoted: killed.lpid === thirdPid && killed.dtime > 0,
        exited: exited.nattch,
        exitedNoted: exited.lpid === secondPid,
        childDetaches,
        childDetached: childDetached.nattch,
        childNoted: childDetached.lpid === firstPid,
        executed: executed.nattch,
        executedNoted: executed.lpid === otherPid,
        detaches,
        detached: detached.nattch,
        detachedNoted: detached.lpid === pid,
        bystander: [attachedByChildren, (await holder.shmctlStat(bystander)).nattch],
      }
    },
    treatment: () => COUNTS,
    control: () => COUNTS,
  })

  sha.comparison('SHA-04', {
    says: 'shmdt works from every IPC namespace: the memory goes, the attach count falls, a second one is EINVAL; an attachment in pieces counts once for each and goes as a whole, and one that was moved still counts',
    source: ['shmop(2)', 'munmap(2)', 'mremap(2)', 'ipc/shm.c: ksys_shmdt, shm_open'],
    needs: ['SYSVIPC', 'pidfd setns'],
    arms: { treatment: 'from another IPC namespace', control: 'from its own' },
    flags: 'with NEWIPC',
    variants: IN_BOTH_PLACES,
    async experiment(world) {
      const home = await homeOf(world)
      const segment = await home.shmget(world.fresh.key(), 3 * PIECE, IPC_CREAT | IPC_EXCL | 0o600)
      await home.shmat(segment)
      const partner = await home.spawn('partner')
      const [memory, split, remapped] = [
        await partner.shmat(segment),
        await partner.shmat(segment),
        await partner.shmat(segment),
      ]
      const moved = await depart(home, partner, departureOf(world), armFlags(world))
      const { nattch: before } = await home.shmctlStat(segment)
      const first = await moved.try.shmdt(memory)
      const second = await moved.try.shmdt(memory)
      const peek = await moved.try.peek(memory, 16)
      const lowered = async () => {
        const status = await home.try.shmctlStat(segment)
        return failed(status) ? status : before - status.nattch
      }
      const detached = await lowered()
      // One piece at its beginning and one at its end are left.
      const hole = await moved.try.munmap(split + PIECE, PIECE)
      const inPieces = await lowered()
      const pieces = await moved.try.shmdt(split)
      const left = [await moved.try.peek(split, 16), await moved.try.peek(split + 2 * PIECE, 16)]
      const piecesDetached = await lowered()
      const place = await moved.mmapShared(-1, 3 * PIECE)
      const movedTo = await moved.try.mremap(remapped, 3 * PIECE, place)
      const remapCounted = await lowered()
      const movedDetached = await moved.try.shmdt(place)
      return {
        first,
        second,
        peek,
        lowered: detached,
        hole,
        inPieces,
        pieces,
        left,
        piecesDetached,
        moved: movedTo === place,
        remapCounted,
        movedDetached,
        allDetached: await lowered(),
      }
    },
    treatment: () => DETACHED,
    control: () => DETACHED,
  })

  sha.comparison('SHA-05', {
    says: 'a segment removed while only processes of other namespaces have it attached loses its key and stays, marked SHM_DEST, until the last of them detaches, new attachments counted; its pages count in its own namespace all the time, and /proc/sysvipc/shm lists it there',
    source: ['shmctl(2) IPC_RMID', 'shmctl(2) SHM_INFO', 'ipc/shm.c: do_shm_rmid, shm_destroy'],
    needs: ['SYSVIPC', 'pidfd setns'],
    arms: { treatment: 'attached in another IPC namespace', control: 'attached nowhere' },
    flags: 'with NEWIPC',
    variants: LEAVING_IN_BOTH_PLACES,
    async experiment(world) {
      const { arm, fresh, flags } = world
      const home = await homeOf(world)
      const key = fresh.key()
      const segment = await home.shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      // A second one, whose key has its highest bit set; the control does not remove it before it looks.
      const negative = fresh.negativeKey()
      const second = await home.shmget(negative, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      if (arm === 'control') {
        const removed = await home.try.shmctlRemove(segment)
        const status = await home.try.shmctlStat(segment)
        const byNegativeKey = await home.try.shmget(negative, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
        await home.shmctlRemove(second)
        return {
          removed,
          status,
          byKey: await home.try.shmget(key, 0, 0),
          byNegativeKey,
        }
      }
      const holder = await home.spawn('holder')
      const memory = await holder.shmat(segment)
      const secondMemory = await holder.shmat(second)
      await depart(home, holder, departureOf(world), flags)
      await home.shmctlRemove(second)
      const byNegativeKey = await home.try.shmget(negative, 0, 0)
      await holder.shmdt(secondMemory)
      const child = await holder.spawn('child')
      const removed = await home.try.shmctlRemove(segment)
      const status = await home.try.shmctlStat(segment)
      const byKey = await home.try.shmget(key, 0, 0)
      const listed = await rowOfId(home, segment)
      // A child born and an attachment made (shmctl(2) NOTES) after the removal.
      const late = await holder.spawn('child born later')
      const homes = await home.try.shmat(segment)
      const lateAttached = await home.try.shmctlStat(segment)
      if (!failed(homes)) await home.shmdt(homes)
      await late.exitAndReap()
      await child.try.poke(memory, 'still shared')
      const content = await holder.try.peek(memory, 64)
      const successor = await home.try.shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      await child.exitAndReap()
      const oneLeft = await home.try.shmctlStat(segment)
      // IPC_SET of what is marked changes its mode and leaves the mark.
      const owner = { uid: await home.geteuid(), gid: await home.getegid() }
      const changed = await home.try.shmctlSet(segment, { ...owner, mode: 0o640 })
      const afterSet = await home.try.shmctlStat(segment)
      const pagesBefore = await pages(home)
      const detached = await holder.try.shmdt(memory)
      return {
        removed,
        status: failed(status)
          ? status
          : {
              key: status.perm.key,
              marked: (status.perm.mode & SHM_DEST) !== 0,
              nattch: status.nattch,
            },
        byKey,
        byNegativeKey,
        listed,
        lateAttached: failed(lateAttached) ? lateAttached : lateAttached.nattch,
        content,
        another: !failed(successor) && successor !== segment,
        oneLeft: failed(oneLeft) ? oneLeft : oneLeft.nattch,
        changed,
        afterSet: failed(afterSet) ? afterSet : afterSet.perm.mode & (SHM_DEST | 0o777),
        detached,
        noneLeft: await home.try.shmctlStat(segment),
        freedAtHome: inInitial(world) ? NOT_COUNTED : pagesBefore - (await pages(home)),
        countedAway: await pages(holder),
      }
    },
    treatment: (_seen, world) => ({
      removed: 0,
      status: { key: 0, marked: true, nattch: 2 },
      byKey: ENOENT,
      byNegativeKey: ENOENT,
      listed: oneOf(having({ key: 0, nattch: 2 }), NO_TABLE),
      lateAttached: 4,
      content: 'still shared',
      another: true,
      oneLeft: 1,
      changed: 0,
      afterSet: SHM_DEST | 0o640,
      detached: 0,
      noneLeft: EINVAL,
      freedAtHome: inInitial(world) ? NOT_COUNTED : 1,
      countedAway: 0,
    }),
    control: () => ({ removed: 0, status: EINVAL, byKey: ENOENT, byNegativeKey: EEXIST }),
  })

  sha.comparison('SHA-07', {
    says: 'after leaving, the same key and the same identifier mean other memory than the attachment that was brought along',
    source: ['ipc_namespaces(7)', 'ipc/shm.c: do_shmat'],
    needs: ['SYSVIPC', 'pidfd setns'],
    since: '2.6.19',
    arms: { treatment: 'in another IPC namespace', control: 'in the same' },
    flags: 'with NEWIPC',
    variants: DEPARTURES,
    async experiment(world) {
      const { outer, fresh } = world
      const key = fresh.key()
      const segment = await outer.shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const partner = await outer.spawn('partner')
      const brought = await partner.shmat(segment)
      await partner.writeMemory(brought, 'OUT')
      const moved = await depart(outer, partner, departureOf(world), armFlags(world))
      const twin = await moved.shmget(key, BYTES, IPC_CREAT | 0o600)
      const memory = await moved.try.shmat(twin)
      if (failed(memory)) return { sameId: twin === segment, found: memory }
      const found = await moved.try.peek(memory, 16)
      await moved.try.poke(memory, 'IN')
      return { sameId: twin === segment, found, brought: await moved.try.peek(brought, 16) }
    },
    treatment: () => ({ sameId: true, found: '', brought: 'OUT' }),
    control: () => ({ sameId: true, found: 'OUT', brought: 'IN' }),
  })

  sha.comparison('SHA-08', {
    says: 'a futex in a shared segment works across IPC namespaces, in both directions',
    source: ['futex(2)', 'kernel/futex/core.c: get_futex_key'],
    needs: ['SYSVIPC', 'pidfd setns'],
    arms: { treatment: 'both in one segment', control: 'each in its own' },
    flags: 'with NEWIPC',
    variants: DEPARTURES,
    async experiment(world) {
      const { outer, arm, fresh, flags } = world
      const patience = arm === 'treatment' ? PATIENCE_MS : 50
      const segment = await outer.shmget(fresh.key(), BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const other = await outer.shmget(fresh.key(), BYTES, IPC_CREAT | IPC_EXCL | 0o600)
      const here = await outer.shmat(segment)
      const local = await outer.spawn('local')
      const away = async (name: string): Promise<{ member: Member; there: number }> => {
        const leaver = await outer.spawn(name)
        const there = await leaver.shmat(arm === 'treatment' ? segment : other)
        return { member: await depart(outer, leaver, departureOf(world), flags), there }
      }
      const waiter = await away('waiter')
      const waiting = await waiter.member.block.futexWait(waiter.there, 0, 20_000)
      const wokenAway = await outer.try.futexWake(here, 1)
      const returnedAway = await waiting.within(patience)
      const waker = await away('waker')
      const waitingHere = await local.block.futexWait(here, 0, 20_000)
      const wokenHere = await waker.member.try.futexWake(waker.there, 1)
      return { wokenAway, returnedAway, wokenHere, returnedHere: await waitingHere.within(patience) }
    },
    treatment: () => ({ wokenAway: 1, returnedAway: 0, wokenHere: 1, returnedHere: 0 }),
    // What the waker wakes there is the first waiter, who is still asleep on that word.
    control: () => ({ wokenAway: 0, returnedAway: 'blocked', wokenHere: 1, returnedHere: 'blocked' }),
  })
}

const SHARED_MEMORY = {
  before: 'before',
  fromHome: 'from home',
  poked: 'from away\0'.length,
  fromAway: 'from away',
  inherited: 'from away',
  detached: 0,
}

/** How far the count has fallen: by one attachment, by one in two pieces, by one that was moved. */
const DETACHED = {
  first: 0,
  second: EINVAL,
  peek: EFAULT,
  lowered: 1,
  hole: 0,
  inPieces: 0,
  pieces: 0,
  left: [EFAULT, EFAULT],
  piecesDetached: 2,
  moved: true,
  remapCounted: 2,
  movedDetached: 0,
  allDetached: 3,
}

/** One attachment at home, those of holder and other, and those of three descendants. */
const COUNTS = {
  refused: EINVAL,
  left: 3,
  noDetachYet: 0,
  forked: 6,
  forkNoted: true,
  killed: 5,
  killedNoted: true,
  exited: 4,
  exitedNoted: true,
  childDetaches: 0,
  childDetached: 3,
  childNoted: true,
  executed: 2,
  executedNoted: true,
  detaches: 0,
  detached: 1,
  detachedNoted: true,
  bystander: [0, 0],
}

/** A segment of the member's present namespace; in a young one it has the identifier of the segment of its old one. */
async function makeBystander(
  member: Member,
  segment: number,
  { arm, fresh }: ComparisonWorld,
): Promise<number> {
  const key = fresh.key()
  if (arm === 'treatment') {
    const equal = await member.try.makeWithIdentifier('shm', key, segment, 8)
    if (!failed(equal)) return equal
  }
  return member.shmget(key, BYTES, IPC_CREAT | IPC_EXCL | 0o600)
}
