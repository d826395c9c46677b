/** What a mounted queue file system shows, and what can be done through it: MQM-01 … MQM-07, MQM-13. */
import {
  makeDefaultsSmall,
  makePlaces,
  mountQueues,
  mountQueuesOrGiveUp,
  unshareMounts,
} from '../../fixtures/mqueue-mounts.ts'
import { foundByName, NEW_QUEUE, parseStatus, takeByName } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  CLONE,
  differs,
  EBUSY,
  ENOENT,
  EPERM,
  type Flag,
  failed,
  having,
  Matcher,
  O_RDWR,
  procPid,
  type VisibilityWorld,
  type WayIn,
} from '../../fixtures/rules.ts'

const SYSTEM_CALLS: readonly WayIn[] = ['clone', 'clone3', 'unshare', 'setns-nsfd', 'setns-pidfd']

export function addView(mqm: Area): void {
  mqm.visibility('MQM-01', {
    says: 'a queue file system shows the queues of the IPC namespace that its mounter was in when he mounted it, for ever',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    ownWorld: true,
    async experiment({ actor, observer, fresh }) {
      const names = { actors: fresh.name(), observers: fresh.name(), later: fresh.name() }
      const queue = await actor.mq_create(names.actors, NEW_QUEUE)
      await actor.mq_send(queue, 'of the actor')
      await observer.mq_create(names.observers, NEW_QUEUE)
      await unshareMounts(observer)
      const [place = ''] = await makePlaces(observer, 'queues')
      const mounted = await mountQueues(observer, place)
      if (failed(mounted)) return { names, mounted }
      const listed = await observer.try.readdir(place)
      const opened = await observer.try.open(`${place}${names.actors}`, O_RDWR)
      const taken = failed(opened) ? opened : await observer.try.mq_receive(opened)
      // The mounter goes elsewhere; what he mounted stays what it is.
      await observer.unshare(CLONE.NEWIPC)
      await observer.mq_create(names.later, NEW_QUEUE)
      const later = await observer.try.readdir(place)
      return { names, mounted, listed, opened: failed(opened) ? opened : 'opened', taken, later }
    },
    shared: ({ names }, world) =>
      mountIsForbidden(world)
        ? { mounted: EPERM }
        : {
            mounted: 0,
            listed: listing([names.actors, names.observers], [names.later]),
            opened: 'opened',
            taken: 'of the actor',
            later: listing([names.actors, names.observers], [names.later]),
          },
    isolated: ({ names }) => ({
      mounted: 0,
      listed: listing([names.observers], [names.actors, names.later]),
      opened: ENOENT,
      taken: ENOENT,
      later: listing([names.observers], [names.actors, names.later]),
    }),
  })

  mqm.visibility('MQM-02', {
    says: 'all mounts made in one IPC namespace are one file system, that of its queues; another namespace’s are another',
    source: ['ipc/mqueue.c: mqueue_get_tree', 'stat(2)'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    ownWorld: true,
    async experiment(world) {
      const { actor, observer, fresh } = world
      const actors = await actor.mq_create(fresh.name(), NEW_QUEUE)
      const name = fresh.name()
      const observers = await observer.mq_create(name, NEW_QUEUE)
      const actorsQueue = (await actor.fstat(actors)).dev
      const queue = await observer.fstat(observers)
      await unshareMounts(observer)
      const [one = '', other = ''] = await makePlaces(observer, 'one', 'other')
      const mounted = await mountQueues(observer, one)
      if (failed(mounted)) return { actorsQueue, mounted }
      const again = await mountQueues(observer, other)
      // A file system is mounted once on one place.
      const twice = await mountQueues(observer, one)
      const file = await observer.try.stat(`${one}${name}`)
      return {
        actorsQueue,
        mounted,
        again,
        twice,
        queue: queue.dev,
        mount: (await observer.stat(one)).dev,
        otherMount: (await observer.stat(other)).dev,
        sameFile: !failed(file) && file.dev === queue.dev && file.ino === queue.ino,
      }
    },
    shared: ({ actorsQueue }, world) =>
      mountIsForbidden(world)
        ? { mounted: EPERM }
        : {
            mounted: 0,
            again: 0,
            twice: EBUSY,
            queue: actorsQueue,
            mount: actorsQueue,
            otherMount: actorsQueue,
            sameFile: true,
          },
    isolated: ({ actorsQueue, queue }) => ({
      mounted: 0,
      again: 0,
      twice: EBUSY,
      queue: differs(actorsQueue),
      mount: queue,
      otherMount: queue,
      sameFile: true,
    }),
  })

  mqm.comparison('MQM-03', {
    says: 'new mount and IPC namespaces, alone or together, leave a queue mount what it was; only a new mount shows the new namespace',
    source: ['mount_namespaces(7)', 'mq_overview(7)', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    flags: MOUNT_FLAG_SETS,
    via: SYSTEM_CALLS,
    arms: { treatment: 'a mount made after entering', control: 'the mount made before' },
    async experiment({ outer, enter, arm, fresh }) {
      const names = { outer: fresh.name(), inner: fresh.name() }
      const [place = '', other = ''] = await makePlaces(outer, 'before', 'after')
      await mountQueuesOrGiveUp(outer, place)
      await outer.mq_create(names.outer, NEW_QUEUE)
      const { dev } = await outer.stat(place)
      const inner = await enter('inner')
      await inner.mq_create(names.inner, NEW_QUEUE)
      if (arm === 'control') {
        return {
          names,
          mounted: 0,
          sameFileSystem: (await inner.stat(place)).dev === dev,
          listed: await inner.try.readdir(place),
          outerLists: await outer.try.readdir(place),
        }
      }
      const mounted = await mountQueues(inner, other)
      return {
        names,
        mounted,
        sameFileSystem: (await inner.stat(other)).dev === dev,
        listed: await inner.try.readdir(other),
        // Without NEWNS a mount is everybody's; with it, it is seen inside only.
        outerLists: await outer.try.readdir(other),
        before: await inner.try.readdir(place),
      }
    },
    treatment: ({ names }, { flags }) => {
      const ownQueues = flags.includes('NEWIPC')
      const before = ownQueues ? [names.outer] : [names.outer, names.inner]
      const after = ownQueues ? [names.inner] : before
      // NEWUSER alone gives no right over mounts (MQM-08 is about the rest).
      if (!mayMount(flags)) return { mounted: EPERM, before: listed(before) }
      return {
        mounted: 0,
        sameFileSystem: !ownQueues,
        listed: listed(after),
        outerLists: listed(flags.includes('NEWNS') ? [] : after),
        before: listed(before),
      }
    },
    control: ({ names }, { flags }) => {
      const both = flags.includes('NEWIPC') ? [names.outer] : [names.outer, names.inner]
      return { sameFileSystem: true, listed: listed(both), outerLists: listed(both) }
    },
  })

  mqm.comparison('MQM-04', {
    says: 'a file created in a queue mount is a queue of the mount’s IPC namespace, with that namespace’s default size',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_create'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'MQUEUE_SYSCTL'],
    since: '2.6.30',
    flags: [['NEWIPC'], ['NEWIPC', 'NEWNS'], ['NEWIPC', 'NEWUSER'], ['NEWIPC', 'NEWUSER', 'NEWNS']],
    arms: { treatment: 'by a process of another IPC namespace', control: 'by one of the mount’s own' },
    async experiment({ outer, arm, flags, enter, fresh }) {
      await makeDefaultsSmall(outer)
      const maxmsg = Number(await outer.readFile('/proc/sys/fs/mqueue/msg_default'))
      const msgsize = Number(await outer.readFile('/proc/sys/fs/mqueue/msgsize_default'))
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueuesOrGiveUp(outer, place)
      const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = await enter('inner', { flags: kind })
      const name = fresh.name()
      const created = await inner.try.open(`${place}${name}`, NEW_QUEUE, 0o640)
      if (failed(created)) return { created, maxmsg, msgsize }
      return {
        created: 'created',
        maxmsg,
        msgsize,
        attributes: await inner.try.mq_getattr(created),
        sent: await inner.try.mq_send(created, 'through the mount'),
        byName: await foundByName(inner, name),
        outerTakes: await takeByName(outer, name),
        unlinked: await inner.try.unlink(`${place}${name}`),
        outerFinds: await foundByName(outer, name),
      }
    },
    treatment: (size) => ({ ...throughTheMount(size), byName: ENOENT }),
    control: (size) => ({ ...throughTheMount(size), byName: 'found' }),
  })

  mqm.comparison('MQM-05', {
    says: 'a process of another IPC namespace reaches queues through their mount: names are isolated, mounts are not',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_file_operations'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    flags: [
      ['NEWIPC', 'NEWNS'],
      ['NEWIPC', 'NEWNS', 'NEWPID'],
      ['NEWIPC', 'NEWNS', 'NEWUSER'],
    ],
    arms: {
      treatment: 'through the mount of before',
      control: 'after a mount of the own namespace hides it',
    },
    async experiment({ outer, arm, enter, fresh }) {
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueuesOrGiveUp(outer, place)
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      await outer.mq_send(queue, 'of the outside')
      const inner = await enter('inner')
      if (arm === 'control') await mountQueuesOrGiveUp(inner, place)
      const path = `${place}${name}`
      const listed = await inner.try.readdir(place)
      const line = await inner.try.readFile(path)
      const size = failed(line) ? line : parseStatus(line).qsize
      const opened = await inner.try.open(path, O_RDWR)
      const received = failed(opened) ? opened : await inner.try.mq_receive(opened)
      const sent = failed(opened) ? opened : await inner.try.mq_send(opened, 'of the inside')
      const outerReceived = failed(opened) ? opened : await outer.try.mq_receive(queue)
      const byName = await foundByName(inner, name)
      const chmod = await inner.try.chmod(path, 0o640)
      const mode = (await outer.fstat(queue)).mode & 0o777
      const unlinked = await inner.try.unlink(path)
      const outerFinds = await foundByName(outer, name)
      return {
        name,
        listed,
        size,
        opened: failed(opened) ? opened : 'opened',
        received,
        sent,
        outerReceived,
        byName,
        chmod,
        mode,
        unlinked,
        outerFinds,
      }
    },
    treatment: ({ name }) => ({
      listed: listed([name]),
      size: 14,
      opened: 'opened',
      received: 'of the outside',
      sent: 0,
      outerReceived: 'of the inside',
      byName: ENOENT,
      chmod: 0,
      mode: 0o640,
      unlinked: 0,
      outerFinds: ENOENT,
    }),
    control: () => ({
      listed: [],
      size: ENOENT,
      opened: ENOENT,
      received: ENOENT,
      sent: ENOENT,
      outerReceived: ENOENT,
      byName: ENOENT,
      chmod: ENOENT,
      mode: 0o600,
      unlinked: ENOENT,
      outerFinds: 'found',
    }),
  })

  mqm.comparison('MQM-06', {
    says: 'a queue mount holds plain queues only: no directory, link, second name or other kind of file can be made in it',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_dir_inode_operations'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    flags: [['NEWIPC'], ['NEWIPC', 'NEWUSER', 'NEWNS']],
    arms: { treatment: 'by a process of another IPC namespace', control: 'by one of the mount’s own' },
    async experiment({ outer, arm, flags, enter, fresh }) {
      await makeDefaultsSmall(outer)
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueuesOrGiveUp(outer, place)
      const name = fresh.name()
      await outer.mq_create(name, NEW_QUEUE)
      const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = await enter('inner', { flags: kind })
      const old = `${place}${name}`
      const other = `${place}${fresh.name()}`
      return {
        byName: await foundByName(inner, name),
        mkdir: await inner.try.mkdir(other),
        rename: await inner.try.rename(old, other),
        link: await inner.try.link(old, other),
        symlink: await inner.try.symlink(old, other),
        mkfifo: await inner.try.mkfifo(other),
        listed: await inner.try.readdir(place),
        chmod: await inner.try.chmod(old, 0o644),
        chown: await inner.try.chown(old, 1, 2),
        status: await inner.try.stat(old),
        unlink: await inner.try.unlink(old),
        after: await inner.try.readdir(place),
        name,
      }
    },
    treatment: ({ name }) => ({ ...onlyQueues(name), byName: ENOENT }),
    control: ({ name }) => ({ ...onlyQueues(name), byName: 'found' }),
  })

  mqm.comparison('MQM-07', {
    says: 'the root of a queue mount is a sticky directory that everybody may create in, and only a queue’s owner may unlink it',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_fill_super', 'inode(7) "The file mode"'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    flags: [
      ['NEWIPC', 'NEWNS'],
      ['NEWIPC', 'NEWNS', 'NEWUSER'],
      ['NEWIPC', 'NEWNS', 'NEWPID'],
    ],
    via: SYSTEM_CALLS,
    arms: { treatment: 'unlinked by another user', control: 'unlinked by the owner' },
    async experiment({ enter, arm, fresh }) {
      const inner = await enter('inner')
      await makeDefaultsSmall(inner)
      const [place = ''] = await makePlaces(inner, 'queues')
      await mountQueuesOrGiveUp(inner, place)
      const root = await inner.stat(place)
      const magic = await inner.statfsType(place)
      const owner = await inner.spawn('owner')
      await owner.becomeUser(fresh.uid())
      const another = await inner.spawn('another user')
      await another.becomeUser(fresh.uid())
      const names = [fresh.name(), fresh.name()] as const
      const created = await owner.try.mq_create(names[0], NEW_QUEUE, 0o666)
      const throughMount = await owner.try.open(`${place}${names[1]}`, NEW_QUEUE, 0o666)
      const remover = arm === 'treatment' ? another : owner
      return {
        root: { mode: root.mode.toString(8), uid: root.uid, gid: root.gid },
        magic,
        created: failed(created) ? created : 'created',
        throughMount: failed(throughMount) ? throughMount : 'created',
        unlinked: await remover.try.unlink(`${place}${names[0]}`),
        mqUnlinked: await remover.try.mq_unlink(names[1]),
        left: await inner.try.readdir(place),
        names,
      }
    },
    treatment: ({ names }) => ({ ...ROOT, unlinked: EPERM, mqUnlinked: EPERM, left: listed(names) }),
    control: () => ({ ...ROOT, unlinked: 0, mqUnlinked: 0, left: [] }),
  })

  mqm.comparison('MQM-13', {
    says: 'below /proc/PID/root a queue mount is that process’s, whatever IPC namespace the reader is in',
    source: ['proc_pid_root(5)', 'mq_overview(7)'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'],
    since: '2.6.30',
    flags: [
      ['NEWIPC', 'NEWNS'],
      ['NEWIPC', 'NEWNS', 'NEWPID'],
      ['NEWIPC', 'NEWNS', 'NEWUTS'],
    ],
    variants: ['read from outside', 'read from inside'],
    arms: { treatment: 'of the other process', control: 'of the reader itself' },
    async experiment({ outer, enter, arm, variant, fresh }) {
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueuesOrGiveUp(outer, place)
      const inner = await enter('inner')
      await mountQueuesOrGiveUp(inner, place)
      const names = { outer: fresh.name(), inner: fresh.name() }
      for (const [member, name] of [
        [outer, names.outer],
        [inner, names.inner],
      ] as const) {
        const queue = await member.mq_create(name, NEW_QUEUE)
        await member.mq_send(queue, `of ${member.name}`)
      }
      const fromOutside = variant === 'read from outside'
      const reader = fromOutside ? outer : inner
      const read = (arm === 'control') === fromOutside ? outer : inner
      const root = `/proc/${await procPid(read)}/root${place}`
      const name = read === outer ? names.outer : names.inner
      const list = await reader.try.readdir(root)
      const line = await reader.try.readFile(`${root}${name}`)
      const opened = await reader.try.open(`${root}${name}`, O_RDWR)
      return {
        name,
        expected: `of ${read.name}`,
        list,
        size: failed(line) ? line : parseStatus(line).qsize,
        received: failed(opened) ? opened : await reader.try.mq_receive(opened),
        own: await reader.try.readdir(place),
        ownName: reader === outer ? names.outer : names.inner,
      }
    },
    treatment: (seen) => belowRoot(seen),
    control: (seen) => belowRoot(seen),
  })
}

/** Flag sets under which a mount is left, kept or hidden. */
const MOUNT_FLAG_SETS: readonly (readonly Flag[])[] = [
  ['NEWIPC', 'NEWNS'],
  ['NEWIPC'],
  ['NEWNS'],
  [],
  ['NEWIPC', 'NEWNS', 'NEWPID'],
  ['NEWNS', 'NEWPID'],
  ['NEWIPC', 'NEWUSER', 'NEWNS'],
  ['NEWUSER', 'NEWNS'],
]

/** A user namespace gives no right to mount the queues of an IPC namespace that is not its own (MQM-08). */
function mayMount(flags: readonly Flag[]): boolean {
  return !flags.includes('NEWUSER') || flags.includes('NEWIPC')
}

/** The same for an observer in a shared IPC namespace: the actor's side owns it. */
function mountIsForbidden({ relation }: VisibilityWorld): boolean {
  return relation.user === 'observer-below' || relation.user === 'apart'
}

/** What a directory of just these queues lists. */
function listed(names: readonly string[]): string[] {
  return names.map((name) => name.slice(1)).sort()
}

/** A directory with these queues and without those; in the initial namespace others may be there too. */
function listing(present: readonly string[], absent: readonly string[]): Matcher {
  const has = (seen: unknown, name: string): boolean => Array.isArray(seen) && seen.includes(name.slice(1))
  return new Matcher(
    `a list with ${listed(present).join(', ')} and without ${listed(absent).join(', ')}`,
    (seen) => present.every((name) => has(seen, name)) && !absent.some((name) => has(seen, name)),
  )
}

function throughTheMount({ maxmsg, msgsize }: { maxmsg: number; msgsize: number }) {
  return {
    created: 'created',
    attributes: { flags: 0, maxmsg, msgsize, curmsgs: 0 },
    sent: 0,
    outerTakes: 'through the mount',
    unlinked: 0,
    outerFinds: ENOENT,
  }
}

function onlyQueues(name: string) {
  return {
    mkdir: EPERM,
    rename: EPERM,
    link: EPERM,
    symlink: EPERM,
    mkfifo: EPERM,
    listed: listed([name]),
    chmod: 0,
    chown: 0,
    status: having({ uid: 1, gid: 2, mode: 0o100644 }),
    unlink: 0,
    after: [],
  }
}

const ROOT = {
  root: { mode: '41777', uid: 0, gid: 0 },
  magic: 0x19800202,
  created: 'created',
  throughMount: 'created',
}

function belowRoot(seen: { name: string; expected: string; ownName: string }) {
  return {
    list: listed([seen.name]),
    size: seen.expected.length,
    received: seen.expected,
    own: listed([seen.ownName]),
  }
}
