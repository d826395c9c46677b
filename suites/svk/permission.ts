/** Who may: modes, owners, and capabilities over the owner of the namespace. */
import { giveUp } from '../../fixtures/capabilities.ts'
import { indexOf, SEQUENCE_BIT } from '../../fixtures/identifiers.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import { SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
import { ok } from '../../fixtures/outcomes.ts'
import {
  type Area,
  type Capability,
  EACCES,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
  EPERM,
  failed,
  having,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  mayExceedLimits,
  oneOf,
  SHM_RDONLY,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'

/** What a member may do with an object of the user `owner` that holds a mark; removes it last if it may. */
async function attempts(
  family: SystemVFamily,
  member: Member,
  id: number,
  owner: number,
): Promise<Readonly<Record<string, unknown>>> {
  return {
    stat: ok(await family.stat(member, id)),
    read: ok(await family.read(member, id)),
    write: ok(await family.write(member, id, 7)),
    ...(await otherReads(family, member, id)),
    set: ok(await family.setMode(member, id, 0o600, owner)),
    ...(family.kind === 'shm'
      ? {
          lock: ok(await member.try.shmctlLock(id, 'SHM_LOCK')),
          unlock: ok(await member.try.shmctlLock(id, 'SHM_UNLOCK')),
        }
      : {}),
    remove: ok(await family.remove(member, id)),
  }
}

/** Who waits for a semaphore, and a segment attached for reading alone: each asks for the right by itself. */
async function otherReads(
  family: SystemVFamily,
  member: Member,
  id: number,
): Promise<Readonly<Record<string, unknown>>> {
  if (family.kind === 'sem')
    return {
      GETNCNT: ok(await member.try.semctlGet(id, 0, 'GETNCNT')),
      GETZCNT: ok(await member.try.semctlGet(id, 0, 'GETZCNT')),
    }
  if (family.kind === 'msg') return {}
  const address = await member.try.shmat(id, SHM_RDONLY)
  if (!failed(address)) await member.shmdt(address)
  return { SHM_RDONLY: ok(address) }
}

/** Outcomes of `attempts`: of those that the mode decides, of those that the owner may, of SHM_LOCK and SHM_UNLOCK. */
function outcomes(
  family: SystemVFamily,
  byMode: unknown,
  byOwner: unknown,
  lock: unknown,
): Readonly<Record<string, unknown>> {
  return {
    stat: byMode,
    read: byMode,
    write: byMode,
    ...(family.kind === 'sem' ? { GETNCNT: byMode, GETZCNT: byMode } : {}),
    ...(family.kind === 'shm' ? { SHM_RDONLY: byMode } : {}),
    set: byOwner,
    // Unlocking asks for the same right, but for no room.
    ...(family.kind === 'shm' ? { lock, unlock: lock === LOCKED ? 'ok' : lock } : {}),
    remove: byOwner,
  }
}

/** CAP_IPC_LOCK over the namespace's owner allows it, RLIMIT_MEMLOCK counts all the same. */
const LOCKED = oneOf('ok', ENOMEM)

/** All of it inside a user namespace: the owner of the IPC namespace is not a child of the initial one. */
const DEEPER = 'shm-two user namespaces deep'

/** The capabilities that the calls ask for, one at a time. */
const POWERS: Readonly<Record<string, readonly Capability[]>> = {
  none: [],
  CAP_IPC_OWNER: ['CAP_IPC_OWNER'],
  CAP_SYS_ADMIN: ['CAP_SYS_ADMIN'],
  CAP_IPC_LOCK: ['CAP_IPC_LOCK'],
  all: ['CAP_IPC_OWNER', 'CAP_SYS_ADMIN', 'CAP_IPC_LOCK'],
}

export function addPermissionRules(svk: Area): void {
  svk.comparison('SVK-16', {
    says: 'an object that is forbidden (EACCES), one that belongs to somebody else (EPERM), and one of another IPC namespace or none (EINVAL, ENOENT) are told apart',
    source: [
      'msgctl(2), semctl(2), shmctl(2) ERRORS',
      'msgget(2), semget(2), shmget(2) ERRORS',
      'ipc/util.c: ipcperms, ipcctl_obtain_check, ipc_obtain_object_check',
    ],
    needs: ['SYSVIPC', 'CAP_SETUID'],
    variants: SYSTEM_V_KINDS,
    arms: { treatment: 'another user in another IPC namespace', control: 'another user in the same one' },
    async experiment(world) {
      const { outer, enter, arm, fresh } = world
      const family = systemV(world)
      const key = fresh.key()
      const unused = await family.make(outer, fresh.key())
      await family.remove(outer, unused)
      await outer.burnIdentifiers(family.kind, 5)
      const id = await family.make(outer, key, 41)
      const index = await indexOf(outer, family, id)
      const before = await family.inspect(outer, id)
      const user = arm === 'treatment' ? await enter('user') : await outer.spawn('user')
      await user.becomeUser(fresh.uid())
      const byKey = {
        found: ok(await family.find(user, key)),
        wanted: ok(await family.get(user, key, 0o600)),
        neverMade: ok(await family.find(user, fresh.key())),
      }
      const byIndex = {
        byMode: ok(await family.stat(user, index, 'index')),
        whateverTheMode: ok(await family.stat(user, index, 'index, any mode')),
      }
      const byId = await attempts(family, user, id, 0)
      const byUnusedId = await attempts(family, user, unused, 0)
      // As of an object that is gone and whose index this one has: nor is it its owner’s any more.
      const byOtherSequence = await attempts(family, outer, id ^ SEQUENCE_BIT, 0)
      const made = ok(await family.get(user, key, IPC_CREAT | IPC_EXCL | 0o600))
      const after = await family.inspect(outer, id)
      const content = await family.read(outer, id)
      return { before, byKey, byIndex, byId, byUnusedId, byOtherSequence, made, after, content }
    },
    treatment: ({ before }, world) => ({
      byKey: { found: ENOENT, wanted: ENOENT, neverMade: ENOENT },
      byIndex: { byMode: EINVAL, whateverTheMode: EINVAL },
      byId: outcomes(systemV(world), EINVAL, EINVAL, EINVAL),
      byUnusedId: outcomes(systemV(world), EINVAL, EINVAL, EINVAL),
      byOtherSequence: outcomes(systemV(world), EINVAL, EINVAL, EINVAL),
      made: 'ok',
      after: before,
      content: 41,
    }),
    control: ({ before }, world) => ({
      // Who asks for no permission gets the identifier.
      byKey: { found: 'ok', wanted: EACCES, neverMade: ENOENT },
      byIndex: { byMode: EACCES, whateverTheMode: 'ok' },
      byId: outcomes(systemV(world), EACCES, EPERM, EPERM),
      byUnusedId: outcomes(systemV(world), EINVAL, EINVAL, EINVAL),
      byOtherSequence: outcomes(systemV(world), EINVAL, EINVAL, EINVAL),
      made: EEXIST,
      after: before,
      content: 41,
    }),
  })

  svk.comparison('SVK-17', {
    says: 'capabilities count for a namespace’s objects in the user namespace that owns it: CAP_IPC_OWNER passes the mode, CAP_SYS_ADMIN allows IPC_SET and IPC_RMID, CAP_IPC_LOCK allows SHM_LOCK and SHM_UNLOCK, each nothing else',
    source: [
      'capabilities(7) CAP_IPC_OWNER, CAP_SYS_ADMIN, CAP_IPC_LOCK',
      'user_namespaces(7)',
      'ipc/util.c: ipcperms, ipcctl_obtain_check',
      'ipc/shm.c: shmctl_do_lock',
    ],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SETUID', 'CAP_IPC_OWNER', 'CAP_IPC_LOCK'],
    since: '2.6.39',
    variants: [...SYSTEM_V_KINDS, DEEPER],
    flags: [['NEWIPC', 'NEWUSER']],
    via: SYSTEM_CALL_WAYS,
    arms: {
      treatment: 'capabilities in the user namespace that owns the IPC namespace',
      control: 'the same ones in a user namespace below it',
    },
    async experiment(world) {
      const { enter, arm, variant, flags, fresh } = world
      const family = systemV(world)
      // Root of the initial user namespace has power over all: here root of the outer one has not.
      const outer =
        variant === DEEPER ? await enter('in between', { flags: ['NEWUSER', 'NEWIPC'] }) : world.outer
      const inside = await enter('inside', {
        from: outer,
        flags: flags.filter((flag) => arm === 'treatment' || flag !== 'NEWIPC'),
      })
      const uid = fresh.uid()
      const owner = await inside.spawn('owner')
      await owner.becomeUser(uid)
      const seen: Record<string, unknown> = {}
      for (const [name, capabilities] of Object.entries(POWERS)) {
        const id = await family.make(owner, fresh.key(), 41)
        const prober = await inside.spawn(name)
        await prober.setCapabilities([...capabilities], true)
        seen[name] = await attempts(family, prober, id, uid)
        await prober.exitAndReap()
      }
      // Root of the user namespace above: its capabilities count here too.
      const id = await family.make(owner, fresh.key(), 41)
      const above = await joinAs('above', outer, inside)
      seen.above = await attempts(family, above, id, uid)
      return seen
    },
    treatment: (_, world) => {
      const family = systemV(world)
      return {
        none: outcomes(family, EACCES, EPERM, EPERM),
        CAP_IPC_OWNER: outcomes(family, 'ok', EPERM, EPERM),
        CAP_SYS_ADMIN: outcomes(family, EACCES, 'ok', EPERM),
        CAP_IPC_LOCK: having(outcomes(family, EACCES, EPERM, LOCKED)),
        all: having(outcomes(family, 'ok', 'ok', LOCKED)),
        above: having(outcomes(family, 'ok', 'ok', LOCKED)),
      }
    },
    control: (_, world) => {
      const family = systemV(world)
      const powerless = outcomes(family, EACCES, EPERM, EPERM)
      return {
        none: powerless,
        CAP_IPC_OWNER: powerless,
        CAP_SYS_ADMIN: powerless,
        CAP_IPC_LOCK: powerless,
        all: powerless,
        above: having(outcomes(family, 'ok', 'ok', LOCKED)),
      }
    },
  })

  svk.comparison('SVK-18', {
    says: 'only CAP_SYS_RESOURCE in the initial user namespace makes a queue larger than msgmnb; root of the IPC namespace’s own user namespace may not',
    source: ['msgctl(2) IPC_SET, ERRORS EPERM', 'ipc/msg.c: msgctl_down (capable)'],
    needs: ['SYSVIPC', 'USER_NS'],
    flags: [['NEWIPC', 'NEWUSER']],
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'above msgmnb', control: 'up to msgmnb' },
    async experiment({ outer, enter, arm, fresh }) {
      const inside = await enter('inside')
      const { msgmnb } = await inside.msgctlInfo('IPC_INFO')
      const asked = arm === 'treatment' ? msgmnb + 1 : msgmnb - 1
      const resize = async (member: Member): Promise<{ set: unknown; qbytes: number }> => {
        const id = await member.msgget(fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
        const set = await member.try.msgctlSet(id, { uid: 0, gid: 0, mode: 0o600, qbytes: asked })
        return { set, qbytes: (await member.msgctlStat(id)).qbytes }
      }
      const byRootInside = await resize(inside)
      const powerless = await outer.spawn('powerless')
      await giveUp(powerless, 'CAP_SYS_RESOURCE')
      const byRootWithout = await resize(powerless)
      const byRoot = await resize(outer)
      return {
        asked,
        msgmnb,
        byRootInside,
        byRootWithout,
        byRoot,
        mayExceed: await mayExceedLimits(outer),
      }
    },
    treatment: ({ asked, msgmnb, mayExceed }) => {
      const refused = { set: EPERM, qbytes: msgmnb }
      const granted = { set: 0, qbytes: asked }
      return {
        byRootInside: refused,
        byRootWithout: refused,
        byRoot: mayExceed ? granted : refused,
      }
    },
    control: ({ asked }) => {
      const granted = { set: 0, qbytes: asked }
      return { byRootInside: granted, byRootWithout: granted, byRoot: granted }
    },
  })
}
