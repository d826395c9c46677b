/** What can be done through a mounted queue file system, and by whose mount: MQM-04, MQM-06, MQM-07, MQM-13. */

import { giveUp } from '../../fixtures/capabilities.ts'
import { MQUEUE_MAGIC, makeDefaultsSmall, makePlaces, mountQueues } from '../../fixtures/mqueue-mounts.ts'
import { foundByName, NEW_QUEUE, parseStatus, takeByName } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  type ComparisonWorld,
  differs,
  ENOENT,
  ENOSPC,
  EPERM,
  failed,
  having,
  O_RDWR,
  procPid,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'
import { mappedRoot } from '../../fixtures/user-namespaces.ts'
import { listed } from './listing.ts'

export function addFiles(mqm: Area): void {
  mqm.comparison('MQM-04', {
    says: 'a file created in a queue mount is a queue of the mount’s IPC namespace, with that namespace’s default size and counted against its queues_max',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_create_attr'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'MQUEUE_SYSCTL'],
    since: '2.6.30',
    flags: [['NEWIPC'], ['NEWIPC', 'NEWNS'], ['NEWIPC', 'NEWUSER'], ['NEWIPC', 'NEWUSER', 'NEWNS']],
    arms: { treatment: 'by a process of another IPC namespace', control: 'by one of the mount’s own' },
    async experiment({ outer, arm, flags, enter, fresh }) {
      await makeDefaultsSmall(outer)
      const maxmsg = Number(await outer.readFile('/proc/sys/fs/mqueue/msg_default'))
      const msgsize = Number(await outer.readFile('/proc/sys/fs/mqueue/msgsize_default'))
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueues(outer, place)
      const kind = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = await enter('inner', { flags: kind })
      const name = fresh.name()
      const created = await inner.try.open(`${place}${name}`, NEW_QUEUE, 0o640)
      if (failed(created)) return { created, maxmsg, msgsize, limited: false }
      const seen = {
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
      // Root of a user namespace may not set it on every kernel; that is another rule's.
      const limited = !failed(await outer.try.writeFile('/proc/sys/fs/mqueue/queues_max', '2'))
      // The one that inner has open counts, and CAP_SYS_RESOURCE would lift the limit.
      const powerless = await inner.spawn('child without CAP_SYS_RESOURCE')
      await giveUp(powerless, 'CAP_SYS_RESOURCE')
      const create = async (): Promise<unknown> => {
        const queue = await powerless.try.open(`${place}${fresh.name()}`, NEW_QUEUE)
        return failed(queue) ? queue : 'created'
      }
      return { ...seen, limited, second: await create(), third: await create() }
    },
    treatment: (size) => ({ ...throughTheMount(size), byName: ENOENT }),
    control: (size) => ({ ...throughTheMount(size), byName: 'found' }),
  })

  mqm.comparison('MQM-06', {
    says: 'a queue mount holds plain queues only: no directory, link, second name or other kind of file can be made in it',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_dir_inode_operations'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'CAP_SETUID', 'CAP_CHOWN'],
    flags: [['NEWIPC'], ['NEWIPC', 'NEWUSER', 'NEWNS']],
    arms: { treatment: 'by a process of another IPC namespace', control: 'by one of the mount’s own' },
    async experiment({ outer, arm, flags, enter, fresh }) {
      await makeDefaultsSmall(outer)
      const [place = ''] = await makePlaces(outer, 'queues')
      await mountQueues(outer, place)
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
    says: 'the root of a queue mount is a sticky directory of whoever made the IPC namespace, that everybody may create in, and only a queue’s owner may unlink it',
    source: ['mq_overview(7)', 'ipc/mqueue.c: mqueue_fill_super', 'inode(7) "The file mode"'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    flags: [
      ['NEWIPC', 'NEWNS'],
      ['NEWIPC', 'NEWNS', 'NEWUSER'],
      ['NEWIPC', 'NEWNS', 'NEWPID'],
    ],
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'unlinked by another user', control: 'unlinked by the owner' },
    async experiment(world) {
      const { enter, arm, fresh } = world
      const inner = await enter('inner')
      await makeDefaultsSmall(inner)
      const [place = ''] = await makePlaces(inner, 'queues')
      await mountQueues(inner, place)
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
        anothers: await rootOfAnother(world),
        magic,
        created: failed(created) ? created : 'created',
        throughMount: failed(throughMount) ? throughMount : 'created',
        unlinked: await remover.try.unlink(`${place}${names[0]}`),
        mqUnlinked: await remover.try.mq_unlink(names[1]),
        left: await inner.try.readdir(place),
        names,
      }
    },
    treatment: ({ names, anothers }) => ({
      ...ROOT,
      ...ownedBy(anothers),
      unlinked: EPERM,
      mqUnlinked: EPERM,
      left: listed(names),
    }),
    control: ({ anothers }) => ({ ...ROOT, ...ownedBy(anothers), unlinked: 0, mqUnlinked: 0, left: [] }),
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
      await mountQueues(outer, place)
      const inner = await enter('inner')
      await mountQueues(inner, place)
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

function throughTheMount({
  maxmsg,
  msgsize,
  limited,
}: {
  maxmsg: number
  msgsize: number
  limited: boolean
}) {
  return {
    created: 'created',
    attributes: { flags: 0, maxmsg, msgsize, curmsgs: 0 },
    sent: 0,
    outerTakes: 'through the mount',
    unlinked: 0,
    outerFinds: ENOENT,
    second: 'created',
    third: limited ? ENOSPC : 'created',
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

/**
 * Whose the root directory is where the namespace was made by the root of a user namespace who is another
 * user outside, as he sees it himself: beside that of the machine's own root directory.
 */
async function rootOfAnother({ outer, enter, flags, fresh }: ComparisonWorld) {
  if (!flags.includes('NEWUSER')) return null
  const another = await mappedRoot(outer, 'root who is another user outside', fresh.uid(), [])
  const member = await enter('member of his IPC namespace', {
    from: another,
    flags: flags.filter((flag) => flag !== 'NEWUSER'),
  })
  const [place = ''] = await makePlaces(member, 'queues')
  const machines = await member.stat('/')
  await mountQueues(member, place)
  const { uid, gid } = await member.stat(place)
  return { machines: [machines.uid, machines.gid], queues: [uid, gid] }
}

function ownedBy(anothers: unknown) {
  return anothers === null
    ? { anothers: null }
    : { anothers: { machines: [differs(0), differs(0)], queues: [0, 0] } }
}

const ROOT = {
  root: { mode: '41777', uid: 0, gid: 0 },
  magic: MQUEUE_MAGIC,
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
