/** What a mounted queue file system shows, and for how long: MQM-01, MQM-02, MQM-03 and MQM-05. */
import { makePlaces, mountQueues, unshareMounts } from '../../fixtures/mqueue-mounts.ts'
import { foundByName, NEW_QUEUE, parseStatus } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  CLONE,
  differs,
  EBUSY,
  ENOENT,
  EPERM,
  type Flag,
  failed,
  Matcher,
  O_RDWR,
  SYSTEM_CALL_WAYS,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { listed } from './listing.ts'

export function addView(mqm: Area): void {
  mqm.visibility('MQM-01', {
    says: 'a queue file system shows the queues of the IPC namespace that its mounter was in when he mounted it, for ever',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    // Mounting takes power over the namespace.
    initialNeeds: ['own namespaces'],
    since: '2.6.30',
    ownWorld: true,
    async experiment({ actor, observer, fresh }) {
      const names = { actors: fresh.name(), observers: fresh.name(), later: fresh.name() }
      const queue = await actor.mq_create(names.actors, NEW_QUEUE)
      await actor.mq_send(queue, 'of the actor')
      await observer.mq_create(names.observers, NEW_QUEUE)
      await unshareMounts(observer)
      const [place = ''] = await makePlaces(observer, 'queues')
      const mounted = await observer.try.mount('mqueue', place, 'mqueue')
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
    // Mounting takes power over the namespace.
    initialNeeds: ['own namespaces'],
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
      const mounted = await observer.try.mount('mqueue', one, 'mqueue')
      if (failed(mounted)) return { actorsQueue, mounted }
      const again = await observer.try.mount('mqueue', other, 'mqueue')
      // A file system is mounted once on one place.
      const twice = await observer.try.mount('mqueue', one, 'mqueue')
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
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'a mount made after entering', control: 'the mount made before' },
    async experiment({ outer, enter, arm, fresh }) {
      const names = { outer: fresh.name(), inner: fresh.name() }
      const [place = '', other = ''] = await makePlaces(outer, 'before', 'after')
      await mountQueues(outer, place)
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
      const mounted = await inner.try.mount('mqueue', other, 'mqueue')
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
      await mountQueues(outer, place)
      const name = fresh.name()
      const queue = await outer.mq_create(name, NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      await outer.mq_send(queue, 'of the outside')
      const inner = await enter('inner')
      if (arm === 'control') await mountQueues(inner, place)
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

/** A directory with these queues and without those; in the initial namespace others may be there too. */
function listing(present: readonly string[], absent: readonly string[]): Matcher {
  const has = (seen: unknown, name: string): boolean => Array.isArray(seen) && seen.includes(name.slice(1))
  return new Matcher(
    `a list with ${listed(present).join(', ')} and without ${listed(absent).join(', ')}`,
    (seen) => present.every((name) => has(seen, name)) && !absent.some((name) => has(seen, name)),
  )
}
