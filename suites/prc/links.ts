/** PRC-11 to PRC-14: the link /proc/PID/ns/ipc. */
import { constants } from 'node:fs'
import {
  type Area,
  EACCES,
  EINVAL,
  ELOOP,
  ENOENT,
  EPERM,
  failed,
  type Member,
  NS_FILE,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  type Outcome,
  oneOf,
  procPid,
  SIGKILL,
} from '../../fixtures/rules.ts'
import { endLeader, withThread } from '../../fixtures/threads.ts'

const S_IFLNK = 0o120000
const S_IFREG = 0o100000
const READ_ONLY = 0o444

const opened = (outcome: Outcome<number>): unknown => (failed(outcome) ? outcome : 'opened')

/** What a process may do with the ns file of another: read the link, follow it, open it. */
async function access(member: Member, path: string): Promise<unknown[]> {
  const link = await member.try.readlink(path)
  const status = await member.try.stat(path)
  const descriptor = await member.try.open(path, O_RDONLY)
  if (!failed(descriptor)) await member.close(descriptor)
  return [failed(link) ? link : 'read', failed(status) ? status : 'followed', opened(descriptor)]
}

export function linkRules(prc: Area): void {
  prc.comparison('PRC-11', {
    says: '/proc/PID/ns lists ipc, a link that reads ipc:[INODE] and leads to a file of mode 0444 with that inode',
    source: [
      'namespaces(7)',
      'fs/proc/namespaces.c: proc_ns_readlink, proc_ns_dir_readdir',
      'fs/nsfs.c: ns_get_name',
    ],
    needs: ['UTS_NS'],
    since: '3.8',
    arms: { treatment: 'ns/ipc', control: 'ns/uts' },
    async experiment({ outer, enter, arm }) {
      const file = arm === 'treatment' ? 'ipc' : 'uts'
      const inner = await enter('inner', { flags: [arm === 'treatment' ? 'NEWIPC' : 'NEWUTS'] })
      const same = await enter('same', { flags: [] })
      const pathOf = async (member: Member): Promise<string> =>
        `/proc/${await member.readlink('/proc/self')}/ns/${file}`
      // Of every kind of namespace that has a file here.
      const unlisted = async (directory: string): Promise<string[]> => {
        const listed = await outer.readdir(directory)
        const present: string[] = []
        for (const name of Object.values(NS_FILE))
          if (await outer.exists(`${directory}/${name}`)) present.push(name)
        return present.filter((name) => !listed.includes(name))
      }
      const view = async (path: string) => {
        const [text, link, target] = [
          await outer.readlink(path),
          await outer.lstat(path),
          await outer.stat(path),
        ]
        return {
          namesInode: text === `${file}:[${target.ino}]`,
          isLink: (link.mode & 0o170000) === S_IFLNK,
          size: link.size,
          target: target.mode & 0o177777,
          unlisted: await unlisted(path.replace(`/${file}`, '')),
        }
      }
      const texts = {
        outer: await outer.readlink(await pathOf(outer)),
        self: await outer.readlink(`/proc/self/ns/${file}`),
        thread: await outer.readlink(`/proc/thread-self/ns/${file}`),
        same: await outer.readlink(await pathOf(same)),
        inner: await outer.readlink(await pathOf(inner)),
        inners: await inner.readlink(`/proc/self/ns/${file}`),
      }
      // A descriptor of it names the namespace that was opened, whoever reads the name and from where.
      const held = await outer.open(await pathOf(inner), O_RDONLY)
      const heldName = await outer.readlink(`/proc/self/fd/${held}`)
      await outer.close(held)
      return {
        views: [await view(await pathOf(outer)), await view(await pathOf(inner))],
        everyPath: texts.self === texts.outer && texts.thread === texts.outer,
        sameNamespace: texts.same === texts.outer,
        otherNamespace: texts.inner === texts.outer,
        ownView: texts.inners === texts.inner,
        descriptorIs: heldName === texts.inner ? 'the opened one' : heldName,
      }
    },
    treatment: () => LINK,
    control: () => LINK,
  })

  prc.comparison('PRC-12', {
    says: 'to read or follow the link of a process one must be allowed to read that process (EACCES), by the filesystem ids, not the real ones, and of one user by the capabilities; a zombie has none (ENOENT), nor has a dead leader whose threads live on',
    source: ['namespaces(7)', 'ptrace(2)', 'fs/proc/namespaces.c: proc_ns_get_link'],
    needs: ['CAP_SETUID', 'CAP_SYS_PTRACE', 'processes in sight'],
    since: '4.5',
    bugs: [
      {
        id: 'BUG-34 (5.10.y alone)',
        fix:
          'what mainline has and its backport to 5.10.y lost, the line “error = -EACCES” behind ' +
          'down_read_killable in fs/proc/namespaces.c; until then everybody gets an empty link and the ' +
          'status of the directory in place of a refusal, though no namespace',
        fixedIn: 'every other line; not in 5.10.262',
        looksLike: { byUser: ['read', 'followed', EACCES] },
      },
    ],
    arms: { treatment: 'a process of root, and a zombie', control: 'a process of the same user, alive' },
    async experiment({ outer, enter, arm, fresh, eventually }) {
      const uid = fresh.uid()
      const user = await enter('user')
      await user.becomeUser(uid)
      const target = await enter('target')
      if (arm === 'control') await target.becomeUser(uid)
      // Being in the target’s IPC namespace gives no right to look at it.
      const neighbour = await target.spawn('user in the same IPC namespace')
      if (arm === 'treatment') await neighbour.becomeUser(uid)
      const path = `/proc/${await target.readlink('/proc/self')}/ns/ipc`
      const byUser = await access(user, path)
      const byNeighbour = await access(neighbour, path)
      // Really root, but a user to the file system.
      const acting = await outer.spawn('root with the user’s filesystem ids')
      await acting.setresgid(0, uid, uid)
      await acting.setresuid(0, uid, uid)
      const byActing = await access(acting, path)
      const byRoot = await access(outer, path)
      // Of one user with the target: one with fewer capabilities than that may not read it either.
      const weak = await outer.spawn('root without capabilities')
      await weak.setCapabilities([], true)
      const equal = await enter('its equal')
      if (arm === 'control') await equal.setCapabilities([], true)
      const byWeak = await access(weak, `/proc/${await procPid(equal)}/ns/ipc`)
      const leader = await outer.spawn('leader')
      await withThread(leader, 'thread that lives on')
      const leadersPath = `/proc/${await procPid(leader)}/ns/ipc`
      if (arm === 'treatment') await endLeader(leader, outer, eventually)
      const ofLeader = await access(outer, leadersPath)
      await outer.kill(leader.pid, SIGKILL)
      const seen = { byUser, byNeighbour, byActing, byRoot, byWeak, ofLeader }
      if (arm === 'control') return { ...seen, ownLink: await access(user, '/proc/self/ns/ipc') }
      // Killed and not yet waited for.
      await outer.kill(target.pid, SIGKILL)
      await eventually(
        () => outer.readFile(path.replace('/ns/ipc', '/stat')),
        (stat) => stat.includes(') Z '),
      )
      const ofZombie = await access(outer, path)
      await outer.waitpid(target.pid)
      return { ...seen, ofZombie, ofNobody: await access(outer, path) }
    },
    treatment: () => ({
      byUser: [EACCES, EACCES, EACCES],
      byNeighbour: [EACCES, EACCES, EACCES],
      byActing: [EACCES, EACCES, EACCES],
      byRoot: ['read', 'followed', 'opened'],
      byWeak: [EACCES, EACCES, EACCES],
      ofLeader: [ENOENT, ENOENT, ENOENT],
      ofZombie: [ENOENT, ENOENT, ENOENT],
      ofNobody: [ENOENT, ENOENT, ENOENT],
    }),
    control: () => ({
      byUser: ['read', 'followed', 'opened'],
      byNeighbour: ['read', 'followed', 'opened'],
      byActing: ['read', 'followed', 'opened'],
      byRoot: ['read', 'followed', 'opened'],
      byWeak: ['read', 'followed', 'opened'],
      ofLeader: ['read', 'followed', 'opened'],
      ownLink: ['read', 'followed', 'opened'],
    }),
  })

  prc.comparison('PRC-13', {
    says: 'every procfs instance shows the same device and inode for one IPC namespace; all types of namespaces are on one device',
    source: ['namespaces(7)', 'fs/nsfs.c: nsfs_init'],
    needs: ['UTS_NS'],
    since: '3.19',
    flags: [['NEWIPC', 'NEWNS']],
    arms: { treatment: 'another IPC namespace', control: 'the same IPC namespace' },
    async experiment({ outer, enter, arm }) {
      const member = await enter('member', { flags: arm === 'treatment' ? ['NEWIPC', 'NEWNS'] : ['NEWNS'] })
      const identity = async (who: Member, file = 'ipc') => {
        const { dev, ino } = await who.stat(`/proc/self/ns/${file}`)
        return { dev, ino }
      }
      const [held, outers] = [await outer.open('/proc/self/ns/ipc', O_RDONLY), await identity(outer)]
      const before = await identity(member)
      await member.mount('proc', '/proc', 'proc')
      const after = await identity(member)
      const byDescriptor = await outer.fstat(held)
      const devices = new Set<number>()
      for (const file of ['ipc', 'uts', 'mnt']) devices.add((await identity(member, file)).dev)
      return {
        instances: before.dev === after.dev && before.ino === after.ino,
        descriptor: byDescriptor.dev === outers.dev && byDescriptor.ino === outers.ino,
        devices: devices.size,
        sameAsOuter: outers.dev === after.dev && outers.ino === after.ino,
      }
    },
    treatment: () => ({ instances: true, descriptor: true, devices: 1, sameAsOuter: false }),
    control: () => ({ instances: true, descriptor: true, devices: 1, sameAsOuter: true }),
  })

  prc.comparison('PRC-14', {
    says: 'the file behind the link opens for reading only, through the link only, and reads nothing',
    source: ['namespaces(7)', 'fs/nsfs.c: ns_file_operations'],
    since: '3.19',
    arms: { treatment: 'opened otherwise', control: 'opened for reading' },
    async experiment({ outer, arm }) {
      const path = '/proc/self/ns/ipc'
      if (arm === 'control') {
        const descriptor = await outer.try.open(path, O_RDONLY)
        return {
          opened: opened(descriptor),
          read: failed(descriptor) ? descriptor : await outer.try.read(descriptor, 16),
        }
      }
      return {
        writeOnly: opened(await outer.try.open(path, O_WRONLY)),
        readWrite: opened(await outer.try.open(path, O_RDWR)),
        noFollow: opened(await outer.try.open(path, O_RDONLY | constants.O_NOFOLLOW)),
      }
    },
    // Which of the two errnos is not documented; EPERM since nsfs inodes are immutable.
    treatment: () => ({
      writeOnly: oneOf(EPERM, EACCES),
      readWrite: oneOf(EPERM, EACCES),
      noFollow: ELOOP,
    }),
    control: () => ({ opened: 'opened', read: EINVAL }),
  })
}

const LINK = {
  views: [
    { namesInode: true, isLink: true, size: 0, target: S_IFREG | READ_ONLY, unlisted: [] },
    { namesInode: true, isLink: true, size: 0, target: S_IFREG | READ_ONLY, unlisted: [] },
  ],
  everyPath: true,
  sameNamespace: true,
  otherNamespace: false,
  ownView: true,
  descriptorIs: 'the opened one',
}
