/** ENT-01…06, 10, 15, 16, 31, 32: making an IPC namespace and keeping it. */

import { setForced } from '../../fixtures/forced.ts'
import { namespaceOf, nsfdOf } from '../../fixtures/identity.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  differs,
  EINVAL,
  ENOSPC,
  type Failure,
  type Flag,
  failed,
  having,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  NS_GET_PARENT,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  oneOf,
  SEM_UNDO,
  SIGCHLD,
  THREAD_BITS,
} from '../../fixtures/rules.ts'
import { watchNamespace } from '../../fixtures/sensors.ts'
import { slotOf } from '../../fixtures/slots.ts'
import { withThread } from '../../fixtures/threads.ts'
import { becomeMappedRoot } from '../../harness/ways/user-map.ts'
import { execAsAnother } from './set-user-id.ts'

const DEEP = '300 deep'
const SET_USER_ID = 'a set-user-id program'
/** The new user namespace is made first, and with it credentials that a failure throws away. */
const WITH_NEWUSER = 'with CLONE_NEWUSER'
/** The mount namespace is the first that is made, and the last that is given back. */
const WITH_NEWNS = 'with CLONE_NEWNS'
/** The flag of the undo list is named, and not only meant by CLONE_NEWIPC. */
const WITH_SYSVSEM = 'with CLONE_NEWUTS and CLONE_SYSVSEM'

/** The same flags without NEWIPC; NEWUTS where nothing is left, so that the call still makes something. */
function withoutNewipc(flags: readonly Flag[]): Flag[] {
  const rest = flags.filter((flag) => flag !== 'NEWIPC')
  return rest.length === 0 ? ['NEWUTS'] : rest
}

export function creationRules(ent: Area): void {
  ent.visibility('ENT-01', {
    says: 'a member made with CLONE_NEWIPC is in an IPC namespace of its own, its creator stays in its own',
    source: ['clone(2) CLONE_NEWIPC', 'kernel/nsproxy.c: copy_namespaces'],
    since: '2.6.19',
    aboutFlags: 'all',
    async experiment({ actor, observer }) {
      const before = await namespaceOf(actor)
      const other = await namespaceOf(observer)
      const link = await observer.readlink('/proc/self/ns/ipc')
      return {
        before,
        other,
        named: link === `ipc:[${other.split(':')[1]}]`,
        after: await namespaceOf(actor),
      }
    },
    shared: ({ before }) => ({ other: before, named: true, after: before }),
    isolated: ({ before }) => ({ other: differs(before), named: true, after: before }),
  })

  ent.visibility('ENT-02', {
    says: 'without CLONE_NEWIPC the IPC namespace is shared whatever other namespaces are new',
    source: ['clone(2)', 'kernel/nsproxy.c: create_new_namespaces'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    since: '2.6.19',
    aboutFlags: 'all',
    async experiment({ actor, observer, fresh }) {
      const [key, name] = [fresh.key(), fresh.name()]
      const queue = await actor.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
      const set = await actor.semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600)
      const segment = await actor.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600)
      await actor.close(await actor.mq_create(name, O_CREAT | O_EXCL | O_RDWR))
      const posix = await observer.try.mq_open(name, O_RDWR)
      if (typeof posix === 'number') await observer.close(posix)
      return {
        msg: (await observer.try.msgget(key, 0)) === queue,
        sem: (await observer.try.semget(key, 0, 0)) === set,
        shm: (await observer.try.shmget(key, 0, 0)) === segment,
        mq: typeof posix === 'number',
      }
    },
    shared: () => ({ msg: true, sem: true, shm: true, mq: true }),
    isolated: () => ({ msg: false, sem: false, shm: false, mq: false }),
  })

  ent.comparison('ENT-03', {
    says: 'unshare(CLONE_NEWIPC) moves the caller at once and nobody else',
    source: ['unshare(2)', 'kernel/fork.c: ksys_unshare'],
    since: '2.6.19',
    flags: 'with NEWIPC',
    arms: { treatment: 'unshare with CLONE_NEWIPC', control: 'unshare of the other flags' },
    async experiment({ outer, arm, flags }) {
      const caller = await outer.spawn('caller')
      const before = await namespaceOf(caller)
      const returned = await caller.try.unshare(cloneBits(arm === 'treatment' ? flags : withoutNewipc(flags)))
      return { before, returned, after: await namespaceOf(caller), parent: await namespaceOf(outer) }
    },
    treatment: ({ before }) => ({ returned: 0, after: differs(before), parent: before }),
    control: ({ before }) => ({ returned: 0, after: before, parent: before }),
  })

  ent.comparison('ENT-04', {
    says: 'clone3 takes CLONE_NEWIPC with the meaning and the errors of clone, beside CLONE_CLEAR_SIGHAND, which clone has not, too',
    source: ['clone(2) clone3()', 'kernel/fork.c: kernel_clone'],
    needs: ['clone3'],
    since: '5.3',
    flags: 'with NEWIPC',
    arms: { treatment: 'clone3 with CLONE_NEWIPC', control: 'clone3 of the other flags' },
    async experiment({ outer, arm, flags, enter }) {
      const asked = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const child = await enter('child', { via: 'clone3', flags: asked })
      const sysvsem = await outer.trySpawn('sysvsem', asked, { call: 'clone3', bits: CLONE.SYSVSEM })
      // With a flag that clone has no room for, beside CLONE_NEWIPC alone.
      const clearing = await outer.trySpawn('clearing', arm === 'treatment' ? ['NEWIPC'] : [], {
        call: 'clone3',
        clearSighand: true,
      })
      return {
        mine: await namespaceOf(outer),
        child: await namespaceOf(child),
        clearing: failed(clearing) ? clearing : await namespaceOf(clearing),
        withSysvsem: whetherMade(sysvsem),
      }
    },
    // CLONE_CLEAR_SIGHAND is younger than clone3, of Linux 5.5.
    treatment: ({ mine }) => ({
      child: differs(mine),
      clearing: oneOf(differs(mine), EINVAL),
      withSysvsem: EINVAL,
    }),
    control: ({ mine }) => ({ child: mine, clearing: oneOf(mine, EINVAL), withSysvsem: 'made' }),
  })

  ent.comparison('ENT-05', {
    says: 'CLONE_NEWIPC with CLONE_SYSVSEM is EINVAL: an undo list cannot span two IPC namespaces',
    source: ['clone(2) ERRORS', 'kernel/nsproxy.c: copy_namespaces'],
    since: '2.6.26',
    variants: ['clone', 'clone3'],
    needs: ['clone3'],
    flags: 'with NEWIPC',
    arms: { treatment: 'both flags in one call', control: 'each flag in a call of its own' },
    async experiment({ outer, arm, flags, variant }) {
      const call = variant === 'clone3' ? 'clone3' : 'clone'
      const bits = CLONE.SYSVSEM
      // With each of the bits that are about neither.
      const withOthers: unknown[] = []
      const maker = await outer.spawn('maker')
      for (const other of [CLONE.VFORK, CLONE.FILES, CLONE.IO, CLONE.UNTRACED]) {
        const newipc = arm === 'treatment' ? cloneBits(flags) : 0
        const pid = await maker.try.cloneAndExit(newipc | bits | other, call)
        if (!failed(pid)) await maker.waitpid(pid)
        withOthers.push(whetherMade(pid))
      }
      if (arm === 'treatment') {
        const both = whetherMade(await outer.trySpawn('both', flags, { call, bits }))
        return { withOthers, both, newipc: null, sysvsem: null }
      }
      return {
        withOthers,
        both: null,
        newipc: whetherMade(await outer.trySpawn('newipc', flags, { call })),
        sysvsem: whetherMade(await outer.trySpawn('sysvsem', [], { call, bits })),
      }
    },
    treatment: () => ({ withOthers: [EINVAL, EINVAL, EINVAL, EINVAL], both: EINVAL }),
    control: () => ({ withOthers: ['made', 'made', 'made', 'made'], newipc: 'made', sysvsem: 'made' }),
  })

  ent.comparison('ENT-06', {
    says: 'unshare(CLONE_NEWIPC) implies CLONE_SYSVSEM, and naming both is allowed',
    source: ['unshare(2) CLONE_NEWIPC', 'kernel/fork.c: ksys_unshare'],
    needs: ['SYSVIPC'],
    since: '2.6.26',
    variants: ['implied', 'named'],
    arms: { treatment: 'unshare(CLONE_NEWIPC)', control: 'unshare(CLONE_NEWUTS)' },
    async experiment({ outer, arm, variant, fresh }) {
      const set = await outer.semget(fresh.key(), 1, IPC_CREAT | IPC_EXCL | 0o600)
      const caller = await outer.spawn('caller')
      await caller.semop(set, [{ index: 0, change: 5, flags: SEM_UNDO }])
      const bits =
        arm === 'treatment' ? CLONE.NEWIPC | (variant === 'named' ? CLONE.SYSVSEM : 0) : CLONE.NEWUTS
      const returned = await caller.try.unshare(bits)
      return { returned, value: await outer.try.semctlGet(set, 0) }
    },
    treatment: () => ({ returned: 0, value: 0 }),
    control: () => ({ returned: 0, value: 5 }),
  })

  ent.comparison('ENT-10', {
    says: 'an unshare of several namespaces that fails changes nothing, not the other one, not the undo list, not who made a segment, and keeps nothing: there is room for the other one, also after a clone',
    source: ['unshare(2)', 'kernel/fork.c: ksys_unshare', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL', 'USER_NS', 'UCOUNT_SYSCTL', 'CAP_SETUID'],
    since: '4.9',
    flags: [['NEWUSER', 'NEWIPC']],
    variants: ['with CLONE_NEWUTS', WITH_NEWUSER, WITH_NEWNS, WITH_SYSVSEM],
    arms: { treatment: 'max_ipc_namespaces is reached', control: 'one more is allowed' },
    async experiment({ outer, enter, arm, variant, fresh, eventually }) {
      const other = variant === WITH_NEWUSER ? 'NEWUSER' : variant === WITH_NEWNS ? 'NEWNS' : 'NEWUTS'
      const inside = await enter('inside', { from: outer })
      await inside.writeFile('/proc/sys/user/max_ipc_namespaces', arm === 'treatment' ? '1' : '2')
      // Room for one of the other kind, which a refused call must give back.
      const kind = { NEWUSER: 'user', NEWNS: 'mnt', NEWUTS: 'uts' }[other]
      await inside.writeFile(`/proc/sys/user/max_${kind}_namespaces`, '1')
      const set = await inside.semget(fresh.key(), 1, IPC_CREAT | IPC_EXCL | 0o600)
      const caller = await inside.spawn('caller')
      await caller.semop(set, [{ index: 0, change: 3, flags: SEM_UNDO }])
      const segment = await caller.shmget(fresh.key(), 4096, IPC_CREAT | IPC_EXCL | 0o600)
      const before = { ipc: await namespaceOf(caller), other: await namespaceOf(caller, other) }
      const named = variant === WITH_SYSVSEM ? CLONE.SYSVSEM : 0
      const returned = await caller.try.unshare(CLONE[other] | CLONE.NEWIPC | named)
      // Takes away every segment whose maker has left (proc_sys_kernel(5)), and only those.
      await setForced(outer, inside, 1)
      const left = await inside.try.shmctlStat(segment)
      const byClone = whetherMade(
        arm === 'treatment' ? await inside.trySpawn('refused', [other, 'NEWIPC']) : ENOSPC,
      )
      const look = () => slotOf(inside, other)
      const room = arm === 'treatment' ? await eventually(look, (seen) => seen === 'free') : await look()
      return {
        returned,
        byClone,
        room,
        sameIpc: (await namespaceOf(caller)) === before.ipc,
        sameOther: (await namespaceOf(caller, other)) === before.other,
        value: await inside.try.semctlGet(set, 0),
        segment: failed(left) ? left : 'there',
      }
    },
    treatment: () => ({
      returned: ENOSPC,
      byClone: ENOSPC,
      room: 'free',
      sameIpc: true,
      sameOther: true,
      value: 3,
      segment: 'there',
    }),
    control: () => ({
      returned: 0,
      room: 'taken',
      sameIpc: false,
      sameOther: false,
      value: 0,
      segment: EINVAL,
    }),
  })

  ent.comparison('ENT-15', {
    says: 'IPC namespaces do not nest: each unshare makes another, without limit of depth and without parent, however deep the user namespace is',
    source: ['ipc/namespace.c: create_ipc_ns', 'NS_GET_PARENT(2const)'],
    needs: ['NS_GET_USERNS', 'USER_NS'],
    since: '2.6.19',
    variants: ['each looked at', DEEP],
    // For watching namespaces end.
    variantNeeds: { [DEEP]: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'] },
    arms: { treatment: 'IPC namespaces', control: 'user namespaces, which have a parent' },
    async experiment(world) {
      const { outer, arm, variant, enter } = world
      if (variant === DEEP)
        return { depth: arm === 'treatment' ? await ipcDepth(world) : await userDepth(outer) }
      if (arm === 'control') {
        const inside = await enter('inside', { flags: ['NEWUSER'] })
        const nsfd = await nsfdOf(outer, inside, 'NEWUSER')
        return {
          refused: [],
          inUserNamespaces: [],
          moved: 0,
          parent: typeof (await outer.try.ioctl(nsfd, NS_GET_PARENT)),
        }
      }
      const caller = await outer.spawn('caller')
      const refused: string[] = []
      let moved = 0
      for (let depth = 0; depth < 100; depth += 1) {
        const before = await namespaceOf(caller)
        const returned = await caller.try.unshare(CLONE.NEWIPC)
        if (returned !== 0) refused.push(String(returned))
        // Only the next one is sure to have another inode: those left before are dead, and theirs may come again.
        if ((await namespaceOf(caller)) !== before) moved += 1
      }
      const nsfd = await caller.open('/proc/self/ns/ipc', O_RDONLY)
      const parent = await caller.try.ioctl(nsfd, NS_GET_PARENT)
      const inUserNamespaces: unknown[] = []
      let inside = outer
      for (let level = 1; level <= 5; level += 1) {
        inside = await enter(`user namespace ${level}`, { from: inside, via: 'clone', flags: ['NEWUSER'] })
        inUserNamespaces.push(await (await inside.spawn('caller')).try.unshare(CLONE.NEWIPC))
      }
      return { refused, inUserNamespaces, moved, parent }
    },
    treatment: (_seen, { variant }) =>
      variant === DEEP
        ? { depth: { reached: 300, refused: 'no' } }
        : { refused: [], inUserNamespaces: [0, 0, 0, 0, 0], moved: 100, parent: EINVAL },
    control: (_seen, { variant }) =>
      // user_namespaces(7): 32 nested levels at most.
      variant === DEEP ? { depth: having({ refused: ENOSPC }) } : { parent: 'number' },
  })

  ent.comparison('ENT-16', {
    says: 'fork and execve, of a set-user-id program too, keep the IPC namespace of the thread that calls them, and so do a new thread and a child in other new namespaces',
    source: ['namespaces(7)', 'clone(2)', 'execve(2)', 'kernel/nsproxy.c: copy_namespaces'],
    needs: ['SYSVIPC', 'PID_NS'],
    since: '2.6.19',
    variants: ['the only thread', 'another thread than the leader', SET_USER_ID],
    variantNeeds: { [SET_USER_ID]: ['CAP_SETUID', 'readlink(1)'] },
    arms: { treatment: 'after unshare(CLONE_NEWIPC)', control: 'without it' },
    async experiment(world) {
      const { outer, arm, variant, enter, fresh } = world
      if (variant === SET_USER_ID) return await execAsAnother(world)
      // A thread without a probe ends with its pid namespace.
      const box = await enter('box', { from: outer, flags: ['NEWPID', 'NEWNS'] })
      await box.mount('proc', '/proc', 'proc')
      const key = fresh.key()
      const queue = await outer.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
      const program = await box.spawn('program')
      const caller = variant === 'the only thread' ? program : await withThread(program, 'thread')
      if (arm === 'treatment') await caller.unshare(CLONE.NEWIPC)
      const before = await namespaceOf(caller, 'NEWIPC', '/proc/thread-self')
      const child = await caller.cloneFunction(CLONE.VM | SIGCHLD, 'pause')
      const mounts = await caller.cloneFunction(CLONE.VM | CLONE.NEWNS | SIGCHLD, 'pause')
      const thread = await caller.cloneFunction(THREAD_BITS, 'pause')
      const childs = await namespaceOf(box, 'NEWIPC', `/proc/${child}`)
      const elsewhere = await namespaceOf(box, 'NEWIPC', `/proc/${mounts}`)
      const threads = await namespaceOf(caller, 'NEWIPC', `/proc/self/task/${thread}`)
      await caller.execProbe()
      const after = await namespaceOf(caller)
      const forked = await caller.spawn('forked')
      return {
        outer: await namespaceOf(outer),
        childKept: childs === before,
        withNewnsKept: elsewhere === before,
        threadKept: threads === before,
        kept: after === before && (await namespaceOf(forked)) === before,
        after,
        found: (await caller.try.msgget(key, 0)) === queue,
      }
    },
    treatment: (seen) => ({ ...keptAlong(seen, { found: false }), after: differs(seen.outer) }),
    control: (seen) => ({ ...keptAlong(seen, { found: true }), after: seen.outer }),
  })

  ent.noRule('ENT-31', {
    says: 'without CONFIG_IPC_NS, CLONE_NEWIPC is EINVAL and /proc/PID/ns/ipc is absent',
    reason:
      'needs a kernel built without CONFIG_IPC_NS, where every rule is skipped for that reason; "ipcns kernel matrix" boots one and checks just that',
  })
  ent.noRule('ENT-32', {
    says: 'with SYSVIPC or POSIX_MQUEUE missing, the other family is still isolated',
    reason:
      'needs kernels built without one of them, where the other family’s rules are what says it; "ipcns kernel matrix" boots both',
  })
}

/** Unshares again and again; what was left is seen destroyed now and then, so that few wait for it at a time. */
async function ipcDepth(world: ComparisonWorld): Promise<Depth> {
  const caller = await world.outer.spawn('caller')
  const watch = await watchNamespace(world.outer, caller)
  for (let reached = 0; reached < 300; reached += 1) {
    const returned = await caller.try.unshare(CLONE.NEWIPC)
    if (failed(returned)) return { reached, refused: returned }
    if (reached % 50 === 49) await watch.seeTwinDie(world)
  }
  return { reached: 300, refused: 'no' }
}

/** The same with user namespaces, in each of which the caller is root. */
async function userDepth(outer: Member): Promise<Depth> {
  const caller = await outer.spawn('caller')
  let [uid, gid] = [await caller.geteuid(), await caller.getegid()]
  for (let reached = 0; reached < 300; reached += 1) {
    const returned = await caller.try.unshare(CLONE.NEWUSER)
    if (failed(returned)) return { reached, refused: returned }
    await becomeMappedRoot(caller, uid, gid)
    uid = 0
    gid = 0
  }
  return { reached: 300, refused: 'no' }
}

/** How many namespaces came one from another, and the errno that ended it. */
interface Depth {
  reached: number
  refused: 'no' | Failure
}

/** What ran, and every child and thread where the experiment makes them and looks for a queue, too. */
function keptAlong(seen: object, queue: { found: boolean }): Readonly<Record<string, boolean>> {
  if (!('found' in seen)) return { kept: true }
  return { kept: true, childKept: true, withNewnsKept: true, threadKept: true, ...queue }
}
