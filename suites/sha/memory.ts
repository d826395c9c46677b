/** What attached and locked segments keep, and what else gets at their memory. */
import { becomeUserWithAllCapabilities } from '../../fixtures/capabilities.ts'
import { withInitialSysctl } from '../../fixtures/initial-sysctls.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import { mapFile } from '../../fixtures/mappings.ts'
import { SYSTEM_V_KINDS, type SystemVKind } from '../../fixtures/objects.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EINVAL,
  ENOENT,
  ENOMEM,
  EPERM,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
  type Member,
  O_RDONLY,
  O_RDWR,
  RLIMIT_MEMLOCK,
  SHM_HUGETLB,
} from '../../fixtures/rules.ts'
import { lockPurse, slotBooth, watchNamespace } from '../../fixtures/sensors.ts'
import { intoOwnUserNamespaces, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'

/** The user locks a segment that somebody else made and gave him by IPC_SET. */
const GIVEN = 'IPC_RMID, made by another user'
/** CAP_IPC_LOCK of a user namespace lifts no limit: only that of the initial one does. */
const OWN_ROOT = 'IPC_RMID by root of a user namespace'
/** What each of the users may lock, in bytes. */
const LOCKABLE = 65536
/** A segment that is removed while attached is destroyed when it is detached. */
const LAST_DETACH = 'shmdt after IPC_RMID'
/** The same by somebody who is in another IPC namespace by then. */
const DETACH_ELSEWHERE = 'shmdt from another IPC namespace after IPC_RMID'

/** With no room at all it is not the room that lacks, but the right; and to unlock nothing is needed. */
async function lockAndUnlockWithoutRoom(user: Member): Promise<unknown[]> {
  await user.setrlimit(RLIMIT_MEMLOCK, 0, 0)
  const own = await user.shmget(IPC_PRIVATE, LOCKABLE, IPC_CREAT | 0o600)
  return [await user.try.shmctlLock(own), await user.try.shmctlLock(own, 'SHM_UNLOCK')]
}

/** CAP_IPC_LOCK, where it is that of the initial user namespace, lifts the limit: here as of mlock(2). */
async function lockBeyondTheLimit(root: Member): Promise<{ lifted: boolean; beyond: unknown[] }> {
  await root.setrlimit(RLIMIT_MEMLOCK, 4096, 4096)
  const lifted = (await root.try.mlock(await root.mmapShared(-1, LOCKABLE), LOCKABLE)) === 0
  const capable = await lock(root)
  await root.setCapabilities([], true)
  return { lifted, beyond: [capable, await lock(root)] }
}

/** What is allowed and refused in SHA-18 as long as the segment is locked. */
function whileLocked({ lifted, makersLimit }: { lifted: boolean; makersLimit: boolean }, variant: string) {
  return {
    locked: 0,
    again: ENOMEM,
    elsewhere: ENOMEM,
    otherUser: 0,
    withoutRoom: [EPERM, 0],
    beyond: [lifted ? 0 : ENOMEM, ENOMEM],
    madeUnderNone: variant === OWN_ROOT ? (makersLimit ? ENOMEM : 0) : undefined,
  }
}

/** Adds the rules. */
export function memoryRules(sha: Area): void {
  sha.comparison('SHA-06', {
    // ipc_namespaces(7) says: destroyed when the last process leaves.
    says: 'an attachment keeps the whole IPC namespace of its segment, all other objects included, after the last member left',
    source: ['ipc/shm.c: do_shmat (get_ipc_ns)', 'ipc_namespaces(7)'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'USER_NS', 'PID_NS', 'UCOUNT_SYSCTL'],
    since: '2.6.19',
    arms: { treatment: 'attached by a process that left', control: 'detached by it' },
    variants: SYSTEM_V_KINDS.flatMap((family) => [`${family}, shmdt`, `${family}, exit`]),
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const [family, release] = variant.split(', ') as [SystemVKind, string]
      // Room for the namespace of the segment and the one that the holder goes to.
      const booth = await slotBooth(outer, { ipc: 2 })
      const member = await booth.keeper.spawn('member', ['NEWIPC'])
      await booth.leaveObject(member, family, fresh.key())
      const segment = await member.shmget(fresh.key(), 4096, IPC_CREAT | IPC_EXCL | 0o600)
      const holder = await joinAs('holder', booth.keeper, member)
      const memory = await holder.shmat(segment)
      await holder.writeMemory(memory, 'held')
      await holder.unshare(CLONE.NEWIPC)
      if (arm === 'control') await holder.shmdt(memory)
      const watch = await watchNamespace(outer, member)
      await member.killAndReap()
      const twin = await watch.seeTwinDie(world)
      if (arm === 'control')
        return {
          twin,
          namespace: await watch.end(world),
          object: await booth.objectEnd(world),
          slot: await booth.ipcSlotEnd(world),
        }
      const held = {
        twin,
        // Not by the handle: since 6.19 a namespace without members and nsfds has none.
        namespace: await watch.look('handle'),
        object: await booth.object(),
        slot: await booth.ipcSlot(),
        content: await holder.try.peek(memory, 16),
      }
      if (release === 'shmdt') await holder.shmdt(memory)
      else await holder.exitAndReap()
      return {
        ...held,
        released: await watch.end(world),
        objectReleased: await booth.objectEnd(world),
        slotReleased: await booth.ipcSlotEnd(world),
      }
    },
    treatment: () => ({
      twin: 'destroyed',
      namespace: 'alive',
      object: 'kept',
      slot: 'taken',
      content: 'held',
      released: 'destroyed',
      objectReleased: 'freed',
      slotReleased: 'free',
    }),
    control: () => ({ twin: 'destroyed', namespace: 'destroyed', object: 'freed', slot: 'free' }),
  })

  sha.comparison('SHA-18', {
    says: 'bytes locked by SHM_LOCK count against the user’s RLIMIT_MEMLOCK in every IPC namespace, whatever capabilities he has in a user namespace of his own (CAP_IPC_LOCK of the initial one lifts the limit), and there against the limit under which he made that, and come back to him when the segment is unlocked, by whomever, or destroyed, from wherever it is detached at last, or its namespace dies',
    source: [
      'shmctl(2) SHM_LOCK',
      'getrlimit(2) RLIMIT_MEMLOCK',
      'ipc/shm.c: shmctl_do_lock, shm_destroy',
      'kernel/user_namespace.c: create_user_ns',
    ],
    needs: ['SYSVIPC', 'CAP_SETUID', 'CAP_KILL'],
    arms: { treatment: 'unlocked or destroyed', control: 'still locked' },
    flags: [['NEWIPC'], ['NEWIPC', 'NEWPID'], ['NEWIPC', 'NEWNS']],
    variants: [
      'namespace’s end',
      'IPC_RMID',
      LAST_DETACH,
      DETACH_ELSEWHERE,
      'SHM_UNLOCK',
      'SHM_UNLOCK by another user',
      OWN_ROOT,
      GIVEN,
    ],
    variantNeeds: { [OWN_ROOT]: ['USER_NS'] },
    async experiment(world) {
      const { outer, enter, arm, variant, fresh, eventually } = world
      const uid = fresh.uid()
      const limit = LOCKABLE
      const asUser = async (place: Member, name: string, user: number): Promise<Member> => {
        const child = await place.spawn(name)
        await child.setrlimit(RLIMIT_MEMLOCK, limit, limit)
        await child.becomeUser(user)
        return child
      }
      const asRootOfOwn = async (place: Member, user: number, madeUnder: number): Promise<Member> => {
        const child = await place.spawn('root of a user namespace of the user’s own')
        await child.setrlimit(RLIMIT_MEMLOCK, madeUnder, limit)
        await intoOwnUserNamespaces(child, user, [['NEWUSER', 'NEWIPC']])
        await child.setrlimit(RLIMIT_MEMLOCK, limit, limit)
        return child
      }
      const first = await enter('first')
      const second = await enter('second')
      const inFirst =
        variant === OWN_ROOT
          ? await asRootOfOwn(first, uid, limit)
          : await asUser(first, 'user in first', uid)
      const maker = variant === GIVEN ? first : inFirst
      const mode = variant === DETACH_ELSEWHERE ? 0o666 : 0o600
      const segment = await maker.shmget(IPC_PRIVATE, limit, IPC_CREAT | mode)
      if (variant === GIVEN) await first.shmctlSet(segment, { uid, gid: uid, mode: 0o600 })
      const locked = await inFirst.try.shmctlLock(segment)
      const again = await lock(inFirst)
      const user = await asUser(second, 'user in second', uid)
      const elsewhere = await lock(user)
      const otherUser = await lock(await asUser(second, 'another user', fresh.uid()))
      const withoutRoom = await lockAndUnlockWithoutRoom(
        await asUser(second, 'user without room', fresh.uid()),
      )
      const madeUnderNone =
        variant === OWN_ROOT ? await lock(await asRootOfOwn(first, fresh.uid(), 0)) : undefined
      // What is refused is: only what is granted depends on the kernel's age.
      const makersLimit = madeUnderNone !== 0 || (await makersAreCharged(world))
      if (!makersLimit)
        world.note('locked bytes count against the user alone, not against who made his user namespace')
      const { lifted, beyond } = await lockBeyondTheLimit(await second.spawn('root beyond the limit'))
      let whileAttached: unknown = 'never attached'
      if (arm === 'treatment') {
        if (variant === 'IPC_RMID' || variant === OWN_ROOT || variant === GIVEN)
          await inFirst.shmctlRemove(segment)
        else if (variant === LAST_DETACH) {
          const memory = await inFirst.shmat(segment)
          await inFirst.shmctlRemove(segment)
          whileAttached = await lock(inFirst)
          await inFirst.shmdt(memory)
        } else if (variant === DETACH_ELSEWHERE) {
          // Who leaves needs CAP_SYS_ADMIN for that; whose the charge is stays as it was.
          const leaver = await first.spawn('leaver')
          const memory = await leaver.shmat(segment)
          await inFirst.shmctlRemove(segment)
          await leaver.unshare(CLONE.NEWIPC)
          whileAttached = await lock(inFirst)
          await leaver.shmdt(memory)
        } else if (variant === 'SHM_UNLOCK') {
          // What was unlocked can be locked, and unlocked, again; the bytes come back each time.
          for (const again of ['SHM_UNLOCK', 'SHM_LOCK', 'SHM_UNLOCK'] as const)
            await inFirst.shmctlLock(segment, again)
        } else if (variant === 'SHM_UNLOCK by another user') {
          // Root, too, locks what is locked: it stays the user’s, whose bytes they are.
          await first.try.shmctlLock(segment)
          const owner = { uid: await first.geteuid(), gid: await first.getegid() }
          await inFirst.shmctlSet(segment, { ...owner, mode: 0o600 })
          await first.shmctlLock(segment, 'SHM_UNLOCK')
        } else {
          await inFirst.killAndReap()
          await first.killAndReap()
        }
      } else await seeTwinCharge(world)
      const outside = await asUser(outer, 'user outside', uid)
      const later = await eventually(
        () => lock(outside),
        (seen) => arm === 'control' || !failed(seen),
      )
      return {
        locked,
        again,
        elsewhere,
        otherUser,
        withoutRoom,
        lifted,
        beyond,
        makersLimit,
        madeUnderNone,
        whileAttached,
        later,
      }
    },
    treatment: (seen, { variant }) => ({
      ...whileLocked(seen, variant),
      whileAttached: variant === LAST_DETACH || variant === DETACH_ELSEWHERE ? ENOMEM : 'never attached',
      later: 0,
    }),
    control: (seen, { variant }) => ({ ...whileLocked(seen, variant), later: ENOMEM }),
  })

  sha.comparison('SHA-19', {
    says: 'a segment of huge pages is found, attached and destroyed like any other; its pages go back to the machine’s pool with its namespace',
    source: ['shmget(2) SHM_HUGETLB', 'ipc/shm.c: newseg'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'huge pages'],
    arms: { treatment: 'its IPC namespace dies', control: 'another member is left' },
    // The pool may have one page only.
    experiment: (world) =>
      withInitialSysctl('vm/nr_hugepages', async () => {
        const { outer, enter, arm, fresh } = world
        const key = fresh.key()
        const member = await enter('member')
        const another = arm === 'control' ? await joinAs('another', outer, member) : undefined
        const watch = await watchNamespace(outer, member)
        const bytes = await hugePageBytes(outer)
        const segment = await member.shmget(key, bytes, IPC_CREAT | IPC_EXCL | SHM_HUGETLB | 0o600)
        const memory = await member.try.shmat(segment)
        const poked = failed(memory) ? memory : await member.try.poke(memory, 'huge')
        const byKey = await outer.try.shmget(key, 0, 0)
        const byId = await outer.try.shmctlStat(segment)
        await member.killAndReap()
        if (another) {
          const found = await another.try.shmctlStat(segment)
          const there = await another.try.shmat(segment)
          return {
            poked,
            byKey,
            byId,
            content: failed(there) ? there : await another.try.peek(there, 16),
            namespace: await watch.look(),
            stays: failed(found) ? found : found.perm.key === key,
          }
        }
        const namespace = await watch.end(world)
        // The pool has room again for what was in it.
        const next = await outer.spawn('next', ['NEWIPC'])
        const room = await world.eventually(
          () => next.try.shmget(IPC_PRIVATE, bytes, IPC_CREAT | SHM_HUGETLB | 0o600),
          (seen) => !failed(seen),
        )
        return { poked, byKey, byId, namespace, room: failed(room) ? room : 'room' }
      }),
    treatment: () => ({ poked: 5, byKey: ENOENT, byId: EINVAL, namespace: 'destroyed', room: 'room' }),
    control: () => ({
      poked: 5,
      byKey: ENOENT,
      byId: EINVAL,
      content: 'huge',
      namespace: 'alive',
      stays: true,
    }),
  })

  sha.comparison('SHA-20', {
    says: 'a privileged outsider gets at a segment’s memory through /proc/PID/map_files without joining the namespace or counting as attached, and keeps it after the namespace is dead',
    source: ['proc_pid_map_files(5)', 'fs/proc/base.c: proc_map_files_get_link'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'CAP_SETUID', 'map_files'],
    since: '3.3',
    arms: { treatment: 'with privilege', control: 'a plain user, for his own' },
    flags: 'with NEWIPC',
    async experiment(world) {
      const { outer, enter, arm, fresh } = world
      const member = await enter('member')
      const segment = await member.shmget(fresh.key(), 4096, IPC_CREAT | IPC_EXCL | 0o666)
      const user = await member.spawn('attacher')
      if (arm === 'control') await user.becomeUser(fresh.uid())
      const memory = await user.shmat(segment)
      await user.writeMemory(memory, 'inside')
      const file = await mapFile(user, memory)
      if (arm === 'control') return { opened: await user.try.open(file, O_RDONLY) }
      const watch = await watchNamespace(outer, member)
      const { nattch: before } = await member.shmctlStat(segment)
      const outsider = await outer.spawn('outsider')
      const namespace = await outsider.stat('/proc/self/ns/ipc')
      const opened = await outsider.try.open(file, O_RDWR)
      const window = failed(opened) ? opened : await outsider.try.mmapShared(opened, 4096)
      if (failed(window)) return { opened: window }
      const read = await outsider.try.peek(window, 64)
      await outsider.try.poke(window, 'from outside')
      const seen = {
        opened: 'yes',
        read,
        writtenTo: await user.try.peek(memory, 64),
        attached: (await member.shmctlStat(segment)).nattch - before,
        byId: await outsider.try.shmctlStat(segment),
        stayedOut: (await outsider.stat('/proc/self/ns/ipc')).ino === namespace.ino,
      }
      await user.killAndReap()
      await member.killAndReap()
      const after = await watch.end(world)
      return { ...seen, after, kept: await outsider.try.peek(window, 64) }
    },
    treatment: () => ({
      opened: 'yes',
      read: 'inside',
      writtenTo: 'from outside',
      attached: 0,
      byId: EINVAL,
      stayedOut: true,
      after: 'destroyed',
      kept: 'from outside',
    }),
    control: () => ({ opened: EPERM }),
  })
}

/** Locks a new segment. */
async function lock(member: Member): Promise<unknown> {
  return member.try.shmctlLock(await member.shmget(IPC_PRIVATE, LOCKABLE, IPC_CREAT | 0o600))
}

/**
 * Whether locked bytes count in each user namespace, against who made it, under the limit that he had then:
 * since 5.14. Shown by another user in it, and the maker outside.
 */
async function makersAreCharged({
  outer,
  fresh,
}: Pick<ComparisonWorld, 'outer' | 'fresh'>): Promise<boolean> {
  const [uid, other] = [fresh.uid(), fresh.uid()]
  const maker = await outer.spawn('maker')
  await maker.setrlimit(RLIMIT_MEMLOCK, LOCKABLE, LOCKABLE)
  await becomeUserWithAllCapabilities(maker, uid)
  const map = [
    [0, uid, 1],
    [1, other, 1],
  ] as const
  const within = await spawnInUserNamespace(maker, 'another user within', ['NEWIPC'], map)
  await within.becomeUser(1)
  const locked = await lock(within)
  const outside = await outer.spawn('maker outside')
  await outside.setrlimit(RLIMIT_MEMLOCK, LOCKABLE, LOCKABLE)
  await outside.becomeUser(uid)
  return locked === 0 && (await lock(outside)) === ENOMEM
}

/** A locked segment in a namespace that dies, seen returned: what was to come back by now has come back. */
async function seeTwinCharge(world: Pick<ComparisonWorld, 'outer' | 'fresh' | 'eventually'>): Promise<void> {
  const purse = await lockPurse(world.outer, world.fresh.uid())
  const twin = await world.outer.spawn('twin', ['NEWIPC'])
  await purse.charge(twin)
  await twin.killAndReap()
  await purse.end(world)
}

/** Size of a huge page. */
async function hugePageBytes(member: Member): Promise<number> {
  const text = await member.readFile('/proc/meminfo')
  return Number(/^Hugepagesize: +(\d+)/m.exec(text)?.[1] ?? 2048) * 1024
}
