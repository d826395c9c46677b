/** ENT-27…30: the user namespace that owns an IPC namespace, and memberless namespaces. */
import { namespaceOf, nsfdOf, ownNsfd } from '../../fixtures/identity.ts'
import { type Area, CLONE, EPERM, IPC_CREAT, IPC_EXCL } from '../../fixtures/rules.ts'

export function ownershipRules(ent: Area): void {
  ent.comparison('ENT-27', {
    says: 'an unprivileged owner enters the user namespace first, then the IPC namespace that it owns',
    source: ['setns(2)', 'user_namespaces(7)', 'ipc/namespace.c: ipcns_install'],
    needs: ['unprivileged user namespaces', 'CAP_SETUID', 'pidfd setns'],
    since: '3.8',
    arms: { treatment: 'the IPC namespace first', control: 'the user namespace first, or both by pidfd' },
    async experiment({ outer, arm, fresh }) {
      const owner = await outer.spawn('owner')
      await owner.becomeUser(fresh.uid())
      const inside = await owner.spawn('inside', ['NEWUSER', 'NEWIPC'])
      const theirs = await namespaceOf(inside)
      const joiner = await owner.spawn('joiner')
      const ipc = await nsfdOf(joiner, inside)
      const user = await nsfdOf(joiner, inside, 'NEWUSER')
      const pidfd = await joiner.pidfd_open(inside.pid)
      if (arm === 'treatment')
        return {
          first: await joiner.try.setns(ipc, CLONE.NEWIPC),
          byPidfd: await joiner.try.setns(pidfd, CLONE.NEWIPC),
          joined: (await namespaceOf(joiner)) === theirs,
          bothByPidfd: null,
        }
      const another = await owner.spawn('another')
      const anotherPidfd = await another.pidfd_open(inside.pid)
      return {
        first: await joiner.try.setns(user, CLONE.NEWUSER),
        byPidfd: await joiner.try.setns(ipc, CLONE.NEWIPC),
        joined: (await namespaceOf(joiner)) === theirs,
        bothByPidfd: await another.try.setns(anotherPidfd, CLONE.NEWUSER | CLONE.NEWIPC),
      }
    },
    treatment: () => ({ first: EPERM, byPidfd: EPERM, joined: false }),
    control: () => ({ first: 0, byPidfd: 0, joined: true, bothByPidfd: 0 }),
  })

  ent.comparison('ENT-28', {
    says: 'root of the outer user namespace, the initial or another, may join an IPC namespace that a child user namespace owns and use it',
    source: ['ipc/namespace.c: ipcns_install', 'user_namespaces(7)'],
    needs: ['SYSVIPC', 'USER_NS'],
    since: '3.8',
    variants: ['outermost', 'in between'],
    flags: [['NEWUSER', 'NEWIPC']],
    arms: { treatment: 'root of the outer user namespace', control: 'root of a sibling user namespace' },
    async experiment({ outer: runner, arm, variant, enter, fresh }) {
      // Root of the initial user namespace has power over all: in between there is one that has not.
      const outer = variant === 'in between' ? await enter('in between', { flags: ['NEWUSER'] }) : runner
      const inside = await enter('inside', { from: outer })
      const key = fresh.key()
      const queue = await inside.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
      const joiner = arm === 'treatment' ? await outer.spawn('joiner') : await outer.spawn('sibling')
      const nsfd = await nsfdOf(joiner, inside)
      if (arm === 'control') await joiner.unshare(CLONE.NEWUSER)
      const returned = await joiner.try.setns(nsfd, CLONE.NEWIPC)
      return {
        returned,
        found: (await joiner.try.msgget(key, 0)) === queue,
        sent: (await joiner.try.msgsnd(queue, 1, 'from outside', 0)) === 0,
        arrived:
          (await inside.try.msgctlStat(queue).then((seen) => ('qnum' in seen ? seen.qnum : seen))) === 1,
      }
    },
    treatment: () => ({ returned: 0, found: true, sent: true, arrived: true }),
    control: () => ({ returned: EPERM, found: false, sent: false, arrived: false }),
  })

  ent.comparison('ENT-29', {
    says: 'root of a user namespace cannot join an IPC namespace that an outer user namespace owns',
    source: ['ipc/namespace.c: ipcns_install', 'user_namespaces(7)'],
    needs: ['USER_NS'],
    since: '3.8',
    flags: [['NEWUSER'], ['NEWUSER', 'NEWIPC']],
    arms: { treatment: 'the outer one', control: 'its own' },
    async experiment({ outer, arm, enter, flags }) {
      const nsfd = await ownNsfd(outer)
      const inside =
        arm === 'treatment'
          ? await outer.spawn('inside', flags, { keep: [nsfd] })
          : await enter('inside', { flags: ['NEWUSER', 'NEWIPC'] })
      const target = arm === 'treatment' ? nsfd : await ownNsfd(inside)
      return { returned: await inside.try.setns(target, CLONE.NEWIPC) }
    },
    treatment: () => ({ returned: EPERM }),
    control: () => ({ returned: 0 }),
  })

  ent.comparison('ENT-30', {
    says: 'unshare(1) and nsenter(1) with --ipc=FILE keep and re-enter an IPC namespace without members',
    source: ['unshare(1) --ipc', 'nsenter(1) --ipc'],
    needs: ['SYSVIPC', 'unshare(1)', 'nsenter(1)', 'ipcs(1)', 'ipcmk(1)'],
    arms: { treatment: 'nsenter into the kept one', control: 'the caller’s own' },
    async experiment({ outer, arm, fresh }) {
      const shell = await outer.spawn('shell')
      const directory = `/tmp${fresh.name()}`
      // A tmpfs over /tmp in the cell's own mount namespace: the file is gone with it.
      await shell.mount('tmpfs', '/tmp', 'tmpfs')
      await shell.mkdir(directory)
      const file = `${directory}/ipc`
      await shell.run(['sh', '-c', `: > ${file}`])
      const made = await shell.run(['unshare', `--ipc=${file}`, 'ipcmk', '--queue'])
      const look = ['ipcs', '-q']
      const { exit, output } = await shell.run(
        arm === 'treatment' ? ['nsenter', `--ipc=${file}`, ...look] : look,
      )
      const rows = output.split('\n').filter((row) => row.startsWith('0x')).length
      return { made: made.exit, looked: exit, rows }
    },
    treatment: () => ({ made: 0, looked: 0, rows: 1 }),
    control: () => ({ made: 0, looked: 0, rows: 0 }),
  })
}
