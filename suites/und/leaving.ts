/** What leaving an IPC namespace does to the undo list. */

import { nsfdOf } from '../../fixtures/identity.ts'
import { ok } from '../../fixtures/outcomes.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import {
  type Area,
  type Blocked,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  EBADF,
  EINVAL,
  ENOSPC,
  EPERM,
  type Flag,
  failed,
  type Member,
  writeMaps,
} from '../../fixtures/rules.ts'
import {
  ALL_OPERATED,
  ALL_UNDONE,
  makeSet,
  makeSets,
  OPERATED,
  operate,
  operateAll,
  UNDONE,
  valuesOf,
  valuesOfAll,
} from '../../fixtures/undo.ts'

const SEMOP = 'semop(2) SEM_UNDO'

/** Three sets in the outer namespace, and a child that has something to undo on each. */
async function undoer(world: ComparisonWorld): Promise<{ member: Member; sets: number[] }> {
  const sets = await makeSets(world.outer, world.fresh.key)
  const member = await world.outer.spawn('undoer')
  await operateAll(member, sets)
  return { member, sets }
}

/**
 * The sets after a member left, in the treatment arm, or should not have, and again after its end: nothing may be
 * left then that the end could apply once more, or too late. And what came of somebody who waits for one of them.
 */
async function leftBehind(
  { outer, arm }: ComparisonWorld,
  member: Member,
  sets: readonly number[],
  waiting: Blocked<number>,
) {
  const after = await valuesOfAll(outer, sets)
  const woken = arm === 'treatment' ? await waiting.within(PATIENCE_MS) : waiting.state()
  await member.exitAndReap()
  return {
    after,
    woken,
    atLast: await valuesOfAll(outer, sets),
    wokenAtLast: await waiting.within(PATIENCE_MS),
  }
}

/** The sets after all was undone and a waiter took what the third got back. */
const UNDONE_AND_TAKEN = [...ALL_UNDONE.slice(0, 2), [10, 0, 0]]

/** The variant where the IPC namespaces left and joined belong to two user namespaces. */
const OF_A_USER_NAMESPACE = 'child of another owner'

export function addLeavingRules(und: Area): void {
  und.comparison('UND-01', {
    says: 'unshare(CLONE_NEWIPC) applies the caller’s undo list to the sets of the namespace it leaves, to all of them, at once and just as exit would: who waits for one is woken',
    source: ['unshare(2) CLONE_SYSVSEM', SEMOP, 'kernel/fork.c: ksys_unshare', 'ipc/sem.c: exit_sem'],
    needs: ['SYSVIPC'],
    since: '2.6.26',
    variants: ['NEWUTS', 'NEWNS', 'NEWNET', 'NEWCGROUP', 'NEWUSER', 'NEWPID', 'FS', 'FILES', 'alone'],
    variantNeeds: {
      NEWUTS: ['UTS_NS'],
      NEWNET: ['NET_NS'],
      NEWCGROUP: ['CGROUP_NS'],
      NEWUSER: ['USER_NS'],
      NEWPID: ['PID_NS'],
    },
    arms: { treatment: 'unshare with CLONE_NEWIPC', control: 'unshare without it' },
    async experiment(world) {
      const { member, sets } = await undoer(world)
      const { arm, variant, outer } = world
      // Waits for what the undoer has taken; in UND-02 for the end of what it has in use.
      const waiter = await outer.spawn('waiter')
      const waiting = await waiter.block.semop(sets[2]!, [{ index: 1, change: -1 }])
      const before = await valuesOfAll(outer, sets)
      const beside = variant === 'alone' ? 0 : CLONE[variant as keyof typeof CLONE]
      await member.unshare(beside | (arm === 'treatment' ? CLONE.NEWIPC : 0))
      return { before, ...(await leftBehind(world, member, sets, waiting)) }
    },
    treatment: () => ({
      before: ALL_OPERATED,
      after: UNDONE_AND_TAKEN,
      woken: 0,
      atLast: UNDONE_AND_TAKEN,
      wokenAtLast: 0,
    }),
    control: () => ({
      before: ALL_OPERATED,
      after: ALL_OPERATED,
      woken: 'blocked',
      atLast: UNDONE_AND_TAKEN,
      wokenAtLast: 0,
    }),
  })

  und.comparison('UND-02', {
    says: 'setns to another IPC namespace applies the caller’s undo list to all sets of the namespace it leaves, and wakes who waits for one',
    source: ['setns(2)', SEMOP, 'kernel/nsproxy.c: commit_nsset'],
    needs: ['SYSVIPC', 'UTS_NS'],
    since: '3.0',
    variants: ['stranger', 'initial', 'child', OF_A_USER_NAMESPACE],
    variantNeeds: { [OF_A_USER_NAMESPACE]: ['USER_NS'] },
    arms: { treatment: 'setns to an IPC namespace', control: 'setns to a UTS namespace' },
    async experiment(world) {
      const { outer, enter, initial, stranger, arm, variant } = world
      const { member, sets } = await undoer(world)
      const target =
        arm === 'control'
          ? await outer.spawn('other', ['NEWUTS'])
          : variant === 'stranger'
            ? await stranger()
            : variant === 'initial'
              ? await initial()
              : await enter('child', { flags: variant === 'child' ? ['NEWIPC'] : ['NEWUSER', 'NEWIPC'] })
      const flag = arm === 'treatment' ? 'NEWIPC' : 'NEWUTS'
      const nsfd = await nsfdOf(member, target, flag)
      const waiter = await outer.spawn('waiter')
      const waiting = await waiter.block.semop(sets[2]!, [{ index: 2, change: 0 }])
      const before = await valuesOfAll(outer, sets)
      await member.setns(nsfd, CLONE[flag])
      return { before, ...(await leftBehind(world, member, sets, waiting)) }
    },
    treatment: () => ({
      before: ALL_OPERATED,
      after: ALL_UNDONE,
      woken: 0,
      atLast: ALL_UNDONE,
      wokenAtLast: 0,
    }),
    control: () => ({
      before: ALL_OPERATED,
      after: ALL_OPERATED,
      woken: 'blocked',
      atLast: ALL_UNDONE,
      wokenAtLast: 0,
    }),
  })

  und.comparison('UND-03', {
    says: 'setns to the very IPC namespace one is in applies the undo list as well',
    source: ['kernel/nsproxy.c: commit_nsset (exit_sem whenever CLONE_NEWIPC is among the flags)'],
    needs: ['SYSVIPC', 'UTS_NS'],
    since: '3.0',
    variants: ['its own nsfd', 'another member’s', 'type 0'],
    arms: { treatment: 'setns to its own IPC namespace', control: 'setns to its own UTS namespace' },
    async experiment(world) {
      const { outer, arm, variant } = world
      const { member, sets } = await undoer(world)
      const flag = arm === 'treatment' ? 'NEWIPC' : 'NEWUTS'
      const nsfd = await nsfdOf(member, variant === 'another member’s' ? outer : member, flag)
      const before = await valuesOfAll(outer, sets)
      await member.setns(nsfd, variant === 'type 0' ? 0 : CLONE[flag])
      const after = await valuesOfAll(outer, sets)
      // It is still in the namespace of the set.
      return { before, after, toItself: await valuesOfAll(member, sets) }
    },
    treatment: () => ({ before: ALL_OPERATED, after: ALL_UNDONE, toItself: ALL_UNDONE }),
    control: () => ({ before: ALL_OPERATED, after: ALL_OPERATED, toItself: ALL_OPERATED }),
  })

  und.comparison('UND-04', {
    says: 'a setns, unshare or clone that fails leaves the undo list as it was',
    source: [
      'setns(2), unshare(2), clone(2) ERRORS',
      'kernel/nsproxy.c: SYSCALL setns',
      'kernel/fork.c: ksys_unshare, copy_process',
    ],
    needs: ['SYSVIPC', 'UTS_NS'],
    variants: Object.keys(REFUSALS),
    variantNeeds: Object.fromEntries(
      Object.entries(REFUSALS).map(([name, { needs }]) => [name, needs ?? []]),
    ),
    arms: { treatment: 'a call that fails', control: 'the same one without the obstacle' },
    async experiment(world) {
      const { outer, arm, variant } = world
      const refusal = REFUSALS[variant]!
      const id = await makeSet(outer, world.fresh.key())
      const member = await outer.spawn('undoer', refusal.flags ?? [])
      if (refusal.flags) await writeMaps(outer, member)
      await operate(member, id)
      const before = await valuesOf(outer, id)
      const called = ok(await refusal.call(member, world, arm === 'treatment'))
      const after = await valuesOf(outer, id)
      await member.exitAndReap()
      return { before, called, after, atLast: await valuesOf(outer, id) }
    },
    treatment: (_, { variant }) => ({
      before: [...OPERATED],
      called: REFUSALS[variant]!.errno,
      after: [...OPERATED],
      atLast: [...UNDONE],
    }),
    control: () => ({ before: [...OPERATED], called: 'ok', after: [...UNDONE], atLast: [...UNDONE] }),
  })

  und.comparison('UND-05', {
    says: 'setns with a pidfd applies the undo list only when CLONE_NEWIPC is among the flags',
    source: ['setns(2) pidfd', 'kernel/nsproxy.c: commit_nsset'],
    needs: ['SYSVIPC', 'pidfd setns', 'UTS_NS'],
    since: '5.8',
    variants: ['NEWUTS', 'NEWNS', 'NEWNET', 'NEWUTS+NEWNS', 'NEWUSER', 'NEWPID'],
    variantNeeds: {
      NEWNET: ['NET_NS'],
      NEWUSER: ['USER_NS', 'setns of user namespaces'],
      NEWPID: ['PID_NS', 'setns of pid namespaces'],
    },
    arms: { treatment: 'without CLONE_NEWIPC', control: 'with CLONE_NEWIPC too' },
    async experiment(world) {
      const { outer, enter, arm, variant } = world
      const { member, sets } = await undoer(world)
      const flags = variant.split('+') as Flag[]
      const donor = await enter('donor', { via: 'clone', flags: ['NEWIPC', ...flags] })
      const pidfd = await member.pidfd_open(donor.pid)
      const before = await valuesOfAll(outer, sets)
      await member.setns(pidfd, cloneBits(arm === 'treatment' ? flags : ['NEWIPC', ...flags]))
      const after = await valuesOfAll(outer, sets)
      await member.exitAndReap()
      return { before, after, atLast: await valuesOfAll(outer, sets) }
    },
    treatment: () => ({ before: ALL_OPERATED, after: ALL_OPERATED, atLast: ALL_UNDONE }),
    control: () => ({ before: ALL_OPERATED, after: ALL_UNDONE, atLast: ALL_UNDONE }),
  })
}

/** A call that fails in one arm and succeeds in the other. */
interface Refusal {
  errno: unknown
  needs?: readonly ('UCOUNT_SYSCTL' | 'USER_NS' | 'pidfd setns' | 'UTS_NS' | 'NET_NS')[]
  /** Namespaces that the undoer is born into. */
  flags?: readonly Flag[]
  call(member: Member, world: ComparisonWorld, obstructed: boolean): Promise<unknown>
}

/** clone(2) into a new IPC namespace. Where it succeeds its maker stays: then it leaves by unshare. */
async function cloneAndLeave(member: Member, bits = 0): Promise<unknown> {
  const child = await member.trySpawn('child', ['NEWIPC'], { bits })
  return failed(child) ? child : member.try.unshare(CLONE.NEWIPC)
}

/** Ways in which a call that would leave the namespace may fail. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  'setns of the wrong type': {
    errno: EINVAL,
    call: async (member, { outer }, obstructed) =>
      member.try.setns(await nsfdOf(member, outer), obstructed ? CLONE.NEWUTS : CLONE.NEWIPC),
  },
  'setns of no descriptor': {
    errno: EBADF,
    call: async (member, { outer }, obstructed) => {
      const nsfd = await nsfdOf(member, outer)
      return member.try.setns(obstructed ? 999 : nsfd, CLONE.NEWIPC)
    },
  },
  'setns without privilege': {
    errno: EPERM,
    call: async (member, { stranger }, obstructed) => {
      const nsfd = await nsfdOf(member, await stranger())
      if (obstructed) await member.setCapabilities([], true)
      return member.try.setns(nsfd, CLONE.NEWIPC)
    },
  },
  'pidfd setns that fails in part': {
    errno: EINVAL,
    needs: ['pidfd setns', 'USER_NS'],
    call: async (member, { enter }, obstructed) => {
      const donor = await enter('donor', { via: 'clone', flags: ['NEWIPC'] })
      const pidfd = await member.pidfd_open(donor.pid)
      // One's own user namespace cannot be joined.
      return member.try.setns(pidfd, CLONE.NEWIPC | (obstructed ? CLONE.NEWUSER : 0))
    },
  },
  'pidfd setns that fails after the IPC namespace was found good': {
    errno: EPERM,
    needs: ['pidfd setns', 'USER_NS', 'NET_NS'],
    flags: ['NEWUSER'],
    call: async (member, _, obstructed) => {
      // Its IPC namespace belongs to the undoer's user namespace, its network namespace to the outer one.
      const donor = await member.spawn('donor', ['NEWIPC'])
      const pidfd = await member.pidfd_open(donor.pid)
      return member.try.setns(pidfd, CLONE.NEWIPC | (obstructed ? CLONE.NEWNET : 0))
    },
  },
  'unshare without privilege': {
    errno: EPERM,
    call: async (member, _, obstructed) => {
      if (obstructed) await member.setCapabilities([], true)
      return member.try.unshare(CLONE.NEWIPC)
    },
  },
  'unshare of unknown flags': {
    errno: EINVAL,
    call: (member, _, obstructed) => member.try.unshare(CLONE.NEWIPC | (obstructed ? 0x1 : 0)),
  },
  'unshare beyond max_ipc_namespaces': {
    errno: ENOSPC,
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    flags: ['NEWUSER'],
    call: async (member, _, obstructed) => {
      await member.writeFile('/proc/sys/user/max_ipc_namespaces', obstructed ? '0' : '1')
      return member.try.unshare(CLONE.NEWIPC)
    },
  },
  'unshare beyond max_uts_namespaces': {
    errno: ENOSPC,
    needs: ['UCOUNT_SYSCTL', 'USER_NS', 'UTS_NS'],
    flags: ['NEWUSER'],
    call: async (member, _, obstructed) => {
      await member.writeFile('/proc/sys/user/max_uts_namespaces', obstructed ? '0' : '1')
      return member.try.unshare(CLONE.NEWIPC | CLONE.NEWUTS)
    },
  },
  'clone without privilege': {
    errno: EPERM,
    call: async (member, _, obstructed) => {
      if (obstructed) await member.setCapabilities([], true)
      return cloneAndLeave(member)
    },
  },
  'clone that shares the list across namespaces': {
    errno: EINVAL,
    call: (member, _, obstructed) => cloneAndLeave(member, obstructed ? CLONE.SYSVSEM : 0),
  },
  'clone beyond max_ipc_namespaces': {
    errno: ENOSPC,
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    flags: ['NEWUSER'],
    call: async (member, _, obstructed) => {
      // One for the child, and one to leave for.
      await member.writeFile('/proc/sys/user/max_ipc_namespaces', obstructed ? '0' : '2')
      return cloneAndLeave(member)
    },
  },
}
