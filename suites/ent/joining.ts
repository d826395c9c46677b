/** ENT-17…24, 26: joining an IPC namespace that exists. */
import { namespaceOf, nsfdOf, ownNsfd } from '../../fixtures/identity.ts'
import {
  type Area,
  CLONE,
  differs,
  EACCES,
  EBADF,
  EINVAL,
  ENOENT,
  EPERM,
  ESRCH,
  type Flag,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  O_PATH,
  O_RDONLY,
  PIDFD_GET_IPC_NAMESPACE,
  PR_SET_KEEPCAPS,
  procPid,
  SEM_UNDO,
  SIGKILL,
} from '../../fixtures/rules.ts'

/** The descriptor of ENT-20 that names a process and not a namespace. */
const BY_PIDFD = 'by pidfd'
/** Of one user, but the target has capabilities that the joiner has not: no right to trace it either. */
const SAME_USER = 'CAP_SYS_ADMIN alone, of the same user'

/** The target of ENT-21 has every kind of its own that it may. */
const ALL_DIFFER = 'all others differ too'
const OTHER_KINDS: readonly Flag[] = ['NEWPID', 'NEWNET', 'NEWCGROUP', 'NEWNS']
/** Where those would show; unshare(CLONE_NEWPID) and setns(2) change the pid namespace of the children. */
const OTHER_LINKS = ['pid', 'pid_for_children', 'net', 'cgroup', 'mnt', 'user'] as const

/** What the target has of its own, which could be joined alone, and what is asked for with CLONE_NEWIPC. */
const FAILING: Readonly<Record<string, { own: Flag; beside: Flag }>> = {
  'the mount namespace fails': { own: 'NEWIPC', beside: 'NEWNS' },
  'the UTS namespace fails': { own: 'NEWIPC', beside: 'NEWUTS' },
  'the IPC namespace fails': { own: 'NEWPID', beside: 'NEWPID' },
}

export function joiningRules(ent: Area): void {
  ent.comparison('ENT-17', {
    says: 'setns joins by an nsfd when the type is 0 or CLONE_NEWIPC; any other type is EINVAL and joins nothing',
    source: ['setns(2)', 'kernel/nsproxy.c: SYSCALL setns'],
    since: '3.0',
    flags: 'with NEWIPC',
    arms: { treatment: 'type 0 and CLONE_NEWIPC', control: 'other types' },
    async experiment({ outer, arm, enter }) {
      const target = await enter('target')
      const [mine, theirs] = [await namespaceOf(outer), await namespaceOf(target)]
      const types =
        arm === 'treatment'
          ? [0, CLONE.NEWIPC]
          : [CLONE.NEWUTS, CLONE.NEWIPC | CLONE.NEWUTS, CLONE.NEWUSER, CLONE.SYSVSEM]
      const returned: unknown[] = []
      const moved: string[] = []
      for (const type of types) {
        const joiner = await outer.spawn('joiner')
        returned.push(await joiner.try.setns(await nsfdOf(joiner, target), type))
        const now = await namespaceOf(joiner)
        moved.push(now === theirs ? 'joined' : now === mine ? 'stayed' : 'elsewhere')
      }
      return { returned, moved }
    },
    treatment: () => ({ returned: [0, 0], moved: ['joined', 'joined'] }),
    control: () => ({
      returned: [EINVAL, EINVAL, EINVAL, EINVAL],
      moved: ['stayed', 'stayed', 'stayed', 'stayed'],
    }),
  })

  ent.comparison('ENT-18', {
    says: 'setns to the IPC namespace one is in succeeds, and flushes the undo list all the same',
    source: ['kernel/nsproxy.c: commit_nsset'],
    needs: ['SYSVIPC', 'own namespaces'],
    arms: { treatment: 'its own IPC namespace', control: 'its own UTS namespace' },
    async experiment({ outer, arm, fresh }) {
      const set = await outer.semget(fresh.key(), 1, IPC_CREAT | IPC_EXCL | 0o600)
      const joiner = await outer.spawn('joiner')
      await joiner.semop(set, [{ index: 0, change: 7, flags: SEM_UNDO }])
      const before = await namespaceOf(joiner)
      const nsfd = await ownNsfd(joiner, arm === 'treatment' ? 'NEWIPC' : 'NEWUTS')
      const returned = await joiner.try.setns(nsfd, 0)
      return {
        returned,
        same: (await namespaceOf(joiner)) === before,
        value: await outer.try.semctlGet(set, 0),
      }
    },
    treatment: () => ({ returned: 0, same: true, value: 0 }),
    control: () => ({ returned: 0, same: true, value: 7 }),
  })

  ent.comparison('ENT-19', {
    says: 'setns is EBADF for a descriptor that is closed or O_PATH, EINVAL for one that is no namespace',
    source: ['setns(2) ERRORS', 'kernel/nsproxy.c: SYSCALL setns'],
    arms: { treatment: 'such descriptors', control: 'an nsfd opened O_RDONLY' },
    async experiment({ outer, arm }) {
      const joiner = await outer.spawn('joiner')
      if (arm === 'control') {
        const nsfd = await ownNsfd(joiner)
        return { closed: null, path: null, file: null, nsfd: await joiner.try.setns(nsfd, CLONE.NEWIPC) }
      }
      const path = await joiner.open('/proc/self/ns/ipc', O_PATH)
      const file = await joiner.open('/proc/self/status', O_RDONLY)
      return {
        closed: await joiner.try.setns(999, CLONE.NEWIPC),
        path: await joiner.try.setns(path, CLONE.NEWIPC),
        file: await joiner.try.setns(file, CLONE.NEWIPC),
        nsfd: null,
      }
    },
    treatment: () => ({ closed: EBADF, path: EBADF, file: EINVAL }),
    control: () => ({ nsfd: 0 }),
  })

  ent.comparison('ENT-20', {
    says: 'joining an IPC namespace, even one’s own, needs CAP_SYS_ADMIN and nothing else',
    source: ['setns(2) Network, IPC…', 'ipc/namespace.c: ipcns_install'],
    needs: ['CAP_SETUID'],
    since: '3.8',
    variants: ['by nsfd', BY_PIDFD],
    variantNeeds: { [BY_PIDFD]: ['pidfd setns'] },
    arms: { treatment: 'without CAP_SYS_ADMIN', control: 'with no other capability' },
    async experiment({ outer, arm, variant, enter, fresh }) {
      const target = await enter('target')
      const join = async (
        name: string,
        prepare: (member: Member) => Promise<unknown>,
      ): Promise<unknown[]> => {
        const joiner = await outer.spawn(name)
        if (variant === BY_PIDFD) {
          // Who has no more capabilities than the joiner, for it must be one that the joiner may trace.
          const equal = await joiner.spawn('equal', ['NEWIPC'])
          for (const member of [equal, joiner]) await prepare(member)
          const own = await joiner.pidfd_open(await joiner.getpid())
          return [
            await joiner.try.setns(own, CLONE.NEWIPC),
            await joiner.try.setns(await joiner.pidfd_open(equal.pid), CLONE.NEWIPC),
            await joiner.try.setns(own, CLONE.VM),
          ]
        }
        const own = await ownNsfd(joiner)
        const other = await nsfdOf(joiner, target)
        await prepare(joiner)
        return [
          await joiner.try.setns(own, CLONE.NEWIPC),
          await joiner.try.setns(other, CLONE.NEWIPC),
          // The wrong type is noticed first.
          await joiner.try.setns(own, CLONE.NEWUTS),
        ]
      }
      if (arm === 'control')
        return {
          only: await join('only CAP_SYS_ADMIN', (member) => member.setCapabilities(['CAP_SYS_ADMIN'], true)),
          user: null,
          bare: null,
        }
      const user = fresh.uid()
      return {
        user: await join('unprivileged user', (member) => member.becomeUser(user)),
        bare: await join('root without capabilities', (member) => member.setCapabilities([], true)),
        only: null,
      }
    },
    treatment: () => ({ user: [EPERM, EPERM, EINVAL], bare: [EPERM, EPERM, EINVAL] }),
    control: () => ({ only: [0, 0, EINVAL] }),
  })

  ent.comparison('ENT-21', {
    says: 'with a pidfd the type is a mask: only the namespaces named are joined, all of them at once',
    source: ['setns(2) pidfd', 'kernel/nsproxy.c: check_setns_flags'],
    needs: ['pidfd setns', 'UTS_NS'],
    since: '5.8',
    flags: [['NEWIPC', 'NEWUTS']],
    variants: ['these two differ', ALL_DIFFER],
    variantNeeds: { [ALL_DIFFER]: ['PID_NS', 'NET_NS', 'CGROUP_NS'] },
    arms: { treatment: 'masks with CLONE_NEWIPC', control: 'masks without it' },
    async experiment({ outer, arm, flags, variant, enter }) {
      const others = variant === ALL_DIFFER ? OTHER_KINDS : []
      const target = await enter('target', { flags: [...flags, ...others] })
      const join = async (mask: number): Promise<unknown[]> => {
        const joiner = await outer.spawn('joiner')
        // Its children have a pid namespace of their own, which shows in its link from the first child on.
        if (variant === ALL_DIFFER) {
          await joiner.unshare(CLONE.NEWPID)
          await joiner.spawn('first child')
        }
        const links = async () => {
          const seen: unknown[] = []
          for (const name of OTHER_LINKS) seen.push(await joiner.try.readlink(`/proc/self/ns/${name}`))
          return seen
        }
        const before = await links()
        const returned = await joiner.try.setns(await joiner.pidfd_open(target.pid), mask)
        const after = await links()
        const moved = OTHER_LINKS.filter((_name, index) => before[index] !== after[index])
        const joined = async (flag: 'NEWIPC' | 'NEWUTS'): Promise<string> =>
          (await namespaceOf(joiner, flag)) === (await namespaceOf(target, flag)) ? 'joined' : 'stayed'
        return [returned, await joined('NEWIPC'), await joined('NEWUTS'), ...moved]
      }
      return arm === 'treatment'
        ? {
            ipc: await join(CLONE.NEWIPC),
            both: await join(CLONE.NEWIPC | CLONE.NEWUTS),
            uts: null,
            none: null,
            other: null,
            withOther: null,
          }
        : {
            ipc: null,
            both: null,
            uts: await join(CLONE.NEWUTS),
            none: await join(0),
            other: await join(CLONE.VM),
            // A bit that is no namespace’s beside one that is.
            withOther: await join(CLONE.NEWIPC | CLONE.VM),
          }
    },
    treatment: () => ({ ipc: [0, 'joined', 'stayed'], both: [0, 'joined', 'joined'] }),
    control: () => ({
      uts: [0, 'stayed', 'joined'],
      none: [EINVAL, 'stayed', 'stayed'],
      other: [EINVAL, 'stayed', 'stayed'],
      withOther: [EINVAL, 'stayed', 'stayed'],
    }),
  })

  ent.comparison('ENT-22', {
    says: 'a setns by pidfd that fails for one namespace joins none',
    source: ['setns(2) pidfd', 'kernel/nsproxy.c: validate_nsset'],
    needs: ['pidfd setns', 'USER_NS'],
    variants: ['the user namespace fails', ...Object.keys(FAILING)],
    variantNeeds: { 'the UTS namespace fails': ['UTS_NS'], 'the IPC namespace fails': ['PID_NS'] },
    since: '5.8',
    arms: {
      treatment: 'with a namespace that cannot be joined: one’s own user namespace, or one of an outer owner',
      control: 'CLONE_NEWIPC alone',
    },
    async experiment({ outer: runner, arm, variant, enter }) {
      // Whoever is root of a user namespace below joins what that owns, and nothing else.
      const failing = FAILING[variant]
      const outer = failing ? await enter('inside', { flags: ['NEWUSER'] }) : runner
      const own = arm === 'treatment' && failing ? failing.own : 'NEWIPC'
      const target = await enter('target', { from: outer, flags: [own] })
      const joiner = await outer.spawn('joiner')
      const before = await namespaceOf(joiner)
      const mask = CLONE.NEWIPC | (arm === 'treatment' ? CLONE[failing?.beside ?? 'NEWUSER'] : 0)
      const returned = await joiner.try.setns(await joiner.pidfd_open(target.pid), mask)
      return { before, returned, after: await namespaceOf(joiner), target: await namespaceOf(target) }
    },
    treatment: ({ before }, { variant }) => ({
      returned: variant in FAILING ? EPERM : EINVAL,
      after: before,
    }),
    control: ({ target }) => ({ returned: 0, after: target }),
  })

  ent.comparison('ENT-23', {
    says: 'a pidfd of a process that has exited is ESRCH, reaped or not; a zombie’s ns/ipc is ENOENT',
    source: ['setns(2) ERRORS', 'kernel/nsproxy.c: validate_nsset', 'fs/proc/namespaces.c'],
    needs: ['pidfd setns'],
    since: '5.8',
    arms: { treatment: 'the process has exited', control: 'it lives' },
    async experiment({ outer, arm, enter, eventually }) {
      const target = await enter('target')
      const joiner = await outer.spawn('joiner')
      const pidfd = await joiner.pidfd_open(target.pid)
      const directory = `/proc/${await procPid(target)}`
      if (arm === 'treatment') {
        await outer.kill(target.pid, SIGKILL)
        await eventually(
          () => outer.readFile(`${directory}/stat`),
          (stat) => stat.includes(') Z '),
        )
      }
      const unreaped = await joiner.try.setns(pidfd, CLONE.NEWIPC)
      const link = await joiner.try.readlink(`${directory}/ns/ipc`)
      const file = await joiner.try.open(`${directory}/ns/ipc`, O_RDONLY)
      if (arm === 'treatment') await outer.waitpid(target.pid)
      const reaped = await joiner.try.setns(pidfd, CLONE.NEWIPC)
      return { unreaped, link: failed(link) ? link : 'read', file: failed(file) ? file : 'opened', reaped }
    },
    treatment: () => ({ unreaped: ESRCH, link: ENOENT, file: ENOENT, reaped: ESRCH }),
    control: () => ({ unreaped: 0, link: 'read', file: 'opened', reaped: 0 }),
  })

  ent.comparison('ENT-24', {
    says: 'joining by pidfd needs the right to trace the target, which goes by the real user, as well as CAP_SYS_ADMIN',
    source: ['setns(2) ERRORS', 'kernel/nsproxy.c: validate_nsset'],
    needs: ['pidfd setns', 'CAP_SETUID', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'],
    since: '5.8',
    variants: ['neither', 'CAP_SYS_ADMIN alone', 'CAP_SYS_PTRACE alone', SAME_USER],
    arms: { treatment: 'without the one or the other', control: 'with both' },
    async experiment({ outer, arm, variant, enter, fresh }) {
      const target = await enter('target')
      const joiner = await outer.spawn('joiner')
      const before = await namespaceOf(joiner)
      const both = ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'] as const
      if (variant !== SAME_USER) {
        await joiner.prctl(PR_SET_KEEPCAPS, 1)
        await joiner.becomeUser(fresh.uid())
      }
      await joiner.setCapabilities(
        arm === 'control' ? [...both] : both.filter((name) => variant.startsWith(name)),
        // Between processes of one user those count that the joiner could make effective.
        variant === SAME_USER,
      )
      const returned = await joiner.try.setns(await joiner.pidfd_open(target.pid), CLONE.NEWIPC)
      // Who has what the target has, and is another user by one of his ids: root by the real one, or by all others.
      const equal = await outer.spawn('equal', ['NEWIPC'])
      await equal.setCapabilities(['CAP_SYS_ADMIN'], true)
      const halfRoot = await outer.spawn('half root')
      const user = fresh.uid()
      if (arm === 'control') await halfRoot.setresuid(0, user, 0)
      else await halfRoot.setresuid(user, 0, 0)
      await halfRoot.setCapabilities(['CAP_SYS_ADMIN'], true)
      const byOneId = await halfRoot.try.setns(await halfRoot.pidfd_open(equal.pid), CLONE.NEWIPC)
      return { returned, before, after: await namespaceOf(joiner), byOneId }
    },
    treatment: ({ before }) => ({ returned: EPERM, after: before, byOneId: EPERM }),
    control: ({ before }) => ({ returned: 0, after: differs(before), byOneId: 0 }),
  })

  ent.comparison('ENT-26', {
    says: 'PIDFD_GET_IPC_NAMESPACE gives an nsfd of the process’s IPC namespace to whoever may trace it',
    source: ['fs/pidfs.c: pidfd_ioctl'],
    needs: ['PIDFD_GET_IPC_NAMESPACE', 'CAP_SETUID'],
    since: '6.11',
    arms: { treatment: 'a user who may not trace it, and a process that is gone', control: 'root' },
    async experiment({ outer, arm, enter, fresh }) {
      const target = await enter('target')
      const asker = await outer.spawn('asker')
      const pidfd = await asker.pidfd_open(target.pid)
      const theirs = await namespaceOf(target)
      if (arm === 'control') {
        const nsfd = await asker.ioctl(pidfd, PIDFD_GET_IPC_NAMESPACE)
        const { dev, ino } = await asker.fstat(nsfd)
        return { same: `${dev}:${ino}` === theirs, forbidden: null, gone: null }
      }
      const stranger = await outer.spawn('stranger')
      await stranger.becomeUser(fresh.uid())
      const forbidden = await stranger.try.ioctl(
        await stranger.pidfd_open(target.pid),
        PIDFD_GET_IPC_NAMESPACE,
      )
      await target.killAndReap()
      return { same: null, forbidden, gone: await asker.try.ioctl(pidfd, PIDFD_GET_IPC_NAMESPACE) }
    },
    treatment: () => ({ forbidden: EACCES, gone: ESRCH }),
    control: () => ({ same: true }),
  })
}
