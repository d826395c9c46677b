/**
 * SYS-08 to SYS-12: which namespace an opened sysctl belongs to. Since 5.19 (and in stable trees) a file
 * belongs to the namespace it was opened in; before, to whoever uses it. Both are told apart without any of
 * the rules' own experiments: since then each namespace has inodes of its own for these files.
 */
import { makeOrphan, segmentIs } from '../../fixtures/forced.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EINVAL,
  ENOENT,
  ERANGE,
  type Member,
  MS_BIND,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  oneOf,
  succeeds,
} from '../../fixtures/rules.ts'
import {
  ofEach,
  oneLine,
  presentSysctls,
  readSysctl,
  SYSCTL_GROUP_NEEDS,
  SYSCTL_GROUPS,
  type Sysctl,
  sysctl,
  sysctlsOf,
  valueOnce,
  withEach,
  writeSysctl,
} from '../../fixtures/sysctls.ts'
import { withThread } from '../../fixtures/threads.ts'

/** What a file refuses after its third telling value was written, and how. */
function refusedBy({ name }: Sysctl): { text: string; refusal: unknown } {
  switch (name) {
    // Swallowed whole before 5.19.
    case 'shmmax':
    case 'shmall':
      return { text: '-1', refusal: oneOf(EINVAL, '-1'.length) }
    // The fourth is above every kernel’s bound. The other three are taken all the same, so they are those of before.
    case 'sem':
      return { text: '32003 1024000003 503 16777217', refusal: ERANGE }
    case 'auto_msgmni':
    case 'shm_rmid_forced':
      return { text: '2', refusal: EINVAL }
    case 'queues_max':
      return { text: '2147483648', refusal: EINVAL }
    default:
      return { text: '-1', refusal: EINVAL }
  }
}
/** The file whose writing does more than change a value. */
const FORCED = 'shm_rmid_forced'
/** All files at once, of a thread whose process is elsewhere. */
const THREAD = 'all, of a thread'
const CHILDS = { treatment: 'the other has an IPC namespace of its own', control: 'both share one' }

/** Whether a sysctl belongs to the namespace it was opened in (since 5.19), or to its user. */
async function bindsAtOpen(world: ComparisonWorld, { path }: Sysctl): Promise<boolean> {
  const other = await world.stranger()
  // Held open together: an inode that nobody holds may be made again.
  const [here, there] = [await world.outer.open(path, O_RDONLY), await other.open(path, O_RDONLY)]
  const binds = (await world.outer.fstat(here)).ino !== (await other.fstat(there)).ino
  await world.outer.close(here)
  await other.close(there)
  world.note(
    binds
      ? 'a sysctl belongs to the namespace it was opened in (5.19)'
      : 'an open sysctl follows its user (before 5.19)',
  )
  return binds
}

async function readFrom(member: Member, descriptor: number): Promise<unknown> {
  await member.lseek(descriptor, 0)
  const text = await member.try.read(descriptor)
  return typeof text === 'string' ? oneLine(text) : text
}

/** What a thread reads after its process's first one wrote, and both after the thread wrote too. */
async function threadAndProcess({ outer, arm }: ComparisonWorld) {
  const process = await outer.spawn('process')
  const thread = await withThread(process, 'thread')
  if (arm === 'treatment') await thread.unshare(CLONE.NEWIPC)
  const files = await presentSysctls(process)
  const read = (member: Member) => withEach(files, ({ path }) => readSysctl(member, path))
  for (const { path, telling } of files) await process.writeFile(path, telling[0])
  const beforeItWrote = await read(thread)
  for (const { path, telling } of files) await thread.writeFile(path, telling[1])
  return { files, beforeItWrote, ofItsProcess: await read(process), byOwnPath: await read(thread) }
}

export function bindingRules(sys: Area): void {
  sys.comparison('SYS-08', {
    says: 'a path of an IPC sysctl leads to the file of whoever opens it, through every procfs instance and every /proc/PID/root; a thread opens its own',
    source: ['ipc/ipc_sysctl.c, ipc/mq_sysctl.c: set_lookup', 'fs/proc/proc_sysctl.c: proc_sys_lookup'],
    variants: [...SYSCTL_GROUPS, THREAD],
    variantNeeds: SYSCTL_GROUP_NEEDS,
    arms: CHILDS,
    flags: [['NEWIPC', 'NEWNS']],
    async experiment(world) {
      const { outer, enter, arm, variant, flags } = world
      if (variant === THREAD) return threadAndProcess(world)
      const files = await sysctlsOf(variant, outer)
      const inner = await enter('inner', {
        flags: arm === 'control' ? flags.filter((flag) => flag !== 'NEWIPC') : flags,
      })
      const theirs = `/proc/${await inner.readlink('/proc/self')}/root`
      const ours = `/proc/${await outer.readlink('/proc/self')}/root`
      for (const { path, telling } of files) {
        await outer.writeFile(path, telling[0])
        if (arm === 'treatment') await inner.writeFile(path, telling[1])
      }
      const throughTheirRoot = await withEach(files, ({ path }) => readSysctl(outer, `${theirs}${path}`))
      const throughOurRoot = await withEach(files, ({ path }) => readSysctl(inner, `${ours}${path}`))
      const byOwnPath = await withEach(files, ({ path }) => readSysctl(inner, path))
      await inner.mount('proc', '/proc', 'proc')
      return {
        files,
        byOwnPath,
        throughTheirRoot,
        throughOurRoot,
        throughTheirFreshProc: await withEach(files, ({ path }) => readSysctl(outer, `${theirs}${path}`)),
        throughOwnFreshProc: await withEach(files, ({ path }) => readSysctl(inner, path)),
      }
    },
    treatment(seen) {
      const outers = ofEach(seen.files, (file) => valueOnce(file, 0))
      const inners = ofEach(seen.files, (file) => valueOnce(file, 1))
      if ('ofItsProcess' in seen)
        return {
          beforeItWrote: ofEach(seen.files, ({ fresh }) => fresh),
          ofItsProcess: outers,
          byOwnPath: inners,
        }
      return {
        byOwnPath: inners,
        throughTheirRoot: outers,
        throughOurRoot: inners,
        throughTheirFreshProc: outers,
        throughOwnFreshProc: inners,
      }
    },
    control(seen) {
      const both = ofEach(seen.files, (file) => valueOnce(file, 0))
      if ('ofItsProcess' in seen) {
        const threads = ofEach(seen.files, (file) => valueOnce(file, 1))
        return { beforeItWrote: both, ofItsProcess: threads, byOwnPath: threads }
      }
      return {
        byOwnPath: both,
        throughTheirRoot: both,
        throughOurRoot: both,
        throughTheirFreshProc: both,
        throughOwnFreshProc: both,
      }
    },
  })

  sys.comparison('SYS-09', {
    says: 'an open IPC sysctl reads, checks and writes the namespace it was opened in, also after its holder has left that',
    source: [
      'ipc/ipc_sysctl.c: setup_ipc_sysctls, proc_ipc_sem_dointvec, proc_ipc_dointvec_minmax_orphans',
      'ipc/mq_sysctl.c: setup_mq_sysctls',
    ],
    since: '5.19',
    variants: SYSCTL_GROUPS,
    variantNeeds: SYSCTL_GROUP_NEEDS,
    arms: { treatment: 'the holder left its IPC namespace', control: 'the holder stayed' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const files = await sysctlsOf(variant, outer)
      const binds = await bindsAtOpen(world, files[0] as Sysctl)
      const holder = await outer.spawn('holder')
      for (const { path, telling } of files) await outer.writeFile(path, telling[1])
      const opened = await withEach(files, ({ path }) => holder.open(path, O_RDWR))
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const read = await withEach(files, ({ name }) => readFrom(holder, opened[name] as number))
      const write = async ({ name }: Sysctl, text: string): Promise<unknown> => {
        await holder.lseek(opened[name] as number, 0)
        return holder.try.write(opened[name] as number, text)
      }
      const keys = { left: fresh.key(), holders: fresh.key() }
      const orphans =
        variant === FORCED
          ? { left: await makeOrphan(outer, keys.left), holders: await makeOrphan(holder, keys.holders) }
          : undefined
      // The third value of shm_rmid_forced is 1, which takes orphans away.
      const wrote = await withEach(files, (file) => write(file, file.telling[2]))
      const invalid = await withEach(files, (file) => write(file, refusedBy(file).text))
      return {
        files,
        binds,
        read,
        wrote,
        invalid,
        // Looked for first: reading the file takes orphans away as well.
        leftOrphan: orphans && (await segmentIs(outer, orphans.left, keys.left)),
        holdersOrphan: orphans && (await segmentIs(holder, orphans.holders, keys.holders)),
        leftReads: await withEach(files, ({ path }) => readSysctl(outer, path)),
        holderReads: await withEach(files, ({ path }) => readSysctl(holder, path)),
      }
    },
    treatment({ binds, files }, { variant }) {
      const before = ofEach(files, (file) => valueOnce(file, 1))
      const written = ofEach(files, (file) => valueOnce(file, 2))
      const untouched = ofEach(files, ({ fresh }) => fresh)
      const orphan = (state: string) => (variant === FORCED ? state : undefined)
      return {
        read: binds ? before : untouched,
        wrote: ofEach(files, () => succeeds),
        invalid: ofEach(files, (file) => refusedBy(file).refusal),
        leftReads: binds ? written : before,
        holderReads: binds ? untouched : written,
        leftOrphan: orphan(binds ? 'gone' : 'there'),
        holdersOrphan: orphan(binds ? 'there' : 'gone'),
      }
    },
    control({ files }, { variant }) {
      const written = ofEach(files, (file) => valueOnce(file, 2))
      const gone = variant === FORCED ? 'gone' : undefined
      return {
        read: ofEach(files, (file) => valueOnce(file, 1)),
        wrote: ofEach(files, () => succeeds),
        invalid: ofEach(files, (file) => refusedBy(file).refusal),
        leftReads: written,
        holderReads: written,
        leftOrphan: gone,
        holdersOrphan: gone,
      }
    },
  })

  sys.comparison('SYS-10', {
    says: 'a sysctl opened again through an O_PATH descriptor or a bind mount of one namespace is that namespace’s file, to read and to write',
    source: [
      'fs/proc/proc_sysctl.c: proc_sys_compare',
      'fs/proc/proc_sysctl.c: proc_sys_open',
      'ipc/ipc_sysctl.c: ipc_permissions',
    ],
    since: '5.19',
    variants: SYSCTL_GROUPS,
    variantNeeds: SYSCTL_GROUP_NEEDS,
    arms: { treatment: 'opened again from another IPC namespace', control: 'opened again from the same' },
    flags: [['NEWIPC', 'NEWNS']],
    async experiment(world) {
      const { outer, enter, arm, variant } = world
      const files = await sysctlsOf(variant, outer)
      const binds = await bindsAtOpen(world, files[0] as Sysctl)
      // A mount namespace that leaves with its member; any file serves to be mounted over, again and again.
      const holder = await enter('holder', { flags: ['NEWNS'] })
      const place = '/proc/filesystems'
      const opened: Record<string, string> = {}
      for (const { name, path, telling } of files) {
        await outer.writeFile(path, telling[0])
        opened[name] = `/proc/self/fd/${await holder.open(path, O_PATH)}`
        await holder.mount(path, place, '', MS_BIND)
      }
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const byDescriptor = await withEach(files, ({ name }) => readSysctl(holder, opened[name] as string))
      const byPath = await withEach(files, ({ path }) => readSysctl(holder, path))
      const wroteByDescriptor = await withEach(files, ({ name, telling }) =>
        writeSysctl(holder, opened[name] as string, telling[1]),
      )
      const leftReads = await withEach(files, ({ path }) => readSysctl(outer, path))
      // The last one mounted is the one to be seen, until it is taken off.
      const lastFirst = files.toReversed()
      const byMount: Record<string, unknown> = {}
      const wroteByMount = await withEach(lastFirst, async ({ name, telling }) => {
        byMount[name] = await readSysctl(holder, place)
        const wrote = await writeSysctl(holder, place, telling[2])
        await holder.umount(place)
        return wrote
      })
      return {
        files,
        binds,
        byDescriptor,
        byPath,
        wroteByDescriptor,
        leftReads,
        byMount,
        wroteByMount,
        leftReadsThen: await withEach(files, ({ path }) => readSysctl(outer, path)),
        byPathThen: await withEach(files, ({ path }) => readSysctl(holder, path)),
      }
    },
    treatment({ binds, files }) {
      const before = ofEach(files, (file) => valueOnce(file, 0))
      const byDescriptor = ofEach(files, (file) => valueOnce(file, 1))
      const byMount = ofEach(files, (file) => valueOnce(file, 2))
      const untouched = ofEach(files, ({ fresh }) => fresh)
      const done = ofEach(files, () => 0)
      return {
        byDescriptor: binds ? before : untouched,
        byPath: untouched,
        wroteByDescriptor: done,
        leftReads: binds ? byDescriptor : before,
        byMount: byDescriptor,
        wroteByMount: done,
        leftReadsThen: binds ? byMount : before,
        byPathThen: binds ? untouched : byMount,
      }
    },
    control({ files }) {
      const before = ofEach(files, (file) => valueOnce(file, 0))
      const byDescriptor = ofEach(files, (file) => valueOnce(file, 1))
      const byMount = ofEach(files, (file) => valueOnce(file, 2))
      const done = ofEach(files, () => 0)
      return {
        byDescriptor: before,
        byPath: before,
        wroteByDescriptor: done,
        leftReads: byDescriptor,
        byMount: byDescriptor,
        wroteByMount: done,
        leftReadsThen: byMount,
        byPathThen: byMount,
      }
    },
  })

  sys.comparison('SYS-11', {
    says: 'below a directory opened earlier, /proc/sys/kernel gives the opener’s file, /proc/sys/fs/mqueue that of the directory’s namespace',
    source: ['fs/proc/proc_sysctl.c: proc_sys_lookup', 'fs/proc/proc_sysctl.c: sysctl_follow_link'],
    needs: ['SYSVIPC_SYSCTL', 'MQUEUE_SYSCTL'],
    since: '5.19',
    arms: { treatment: 'the holder left its IPC namespace', control: 'the holder stayed' },
    async experiment(world) {
      const { outer, arm } = world
      const binds = await bindsAtOpen(world, sysctl('queues_max'))
      // Both directories came to it in one release: a kernel that binds the files of one is held to the other.
      const alike = (await bindsAtOpen(world, sysctl('msgmax'))) === binds
      await outer.writeFile('/proc/sys/kernel/msgmax', '7001')
      await outer.writeFile('/proc/sys/fs/mqueue/queues_max', '77')
      const holder = await outer.spawn('holder')
      const kernel = await holder.open('/proc/sys/kernel', O_RDONLY)
      const mqueue = await holder.open('/proc/sys/fs/mqueue', O_RDONLY)
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const through = async (directory: number, name: string): Promise<unknown> => {
        const descriptor = await holder.try.openat(directory, name, O_RDONLY)
        return typeof descriptor === 'number' ? readFrom(holder, descriptor) : descriptor
      }
      return {
        binds,
        alike,
        kernel: await through(kernel, 'msgmax'),
        mqueue: await through(mqueue, 'queues_max'),
        listing: await holder.try.readdir(`/proc/self/fd/${mqueue}`),
      }
    },
    treatment: ({ binds }) => ({
      alike: true,
      kernel: '8192',
      mqueue: binds ? '77' : '256',
      listing: MQUEUE_FILES,
    }),
    control: () => ({ alike: true, kernel: '7001', mqueue: '77', listing: MQUEUE_FILES }),
  })

  sys.comparison('SYS-12', {
    says: 'an open IPC sysctl does not keep its namespace alive: once that is gone, read, write and fstat are ENOENT',
    source: ['ipc/namespace.c: free_ipc_ns', 'fs/proc/proc_sysctl.c: unregister_sysctl_table'],
    since: '5.19',
    variants: SYSCTL_GROUPS,
    variantNeeds: SYSCTL_GROUP_NEEDS,
    arms: { treatment: 'the namespace’s last member is gone', control: 'its last member lives' },
    async experiment(world) {
      const { outer, arm, variant } = world
      const files = await sysctlsOf(variant, outer)
      const binds = await bindsAtOpen(world, files[0] as Sysctl)
      const [ours, theirs] = await outer.socketpair()
      const member = await outer.spawn('member', ['NEWIPC'], { keep: [theirs] })
      const received = await withEach(files, async ({ path, telling }) => {
        await member.writeFile(path, telling[1])
        await member.sendDescriptor(theirs, await member.open(path, O_RDWR))
        return outer.receiveDescriptor(ours)
      })
      const readAll = () => withEach(files, ({ name }) => readFrom(outer, received[name] as number))
      const whileAlive = await readAll()
      if (arm === 'treatment') await member.exitAndReap()
      const read = await world.eventually(
        readAll,
        (seen) => arm === 'control' || !binds || Object.values(seen).every((value) => value === ENOENT),
      )
      const status = await withEach(files, ({ name }) => outer.try.fstat(received[name] as number))
      const wrote = await withEach(files, async ({ name, telling }) => {
        await outer.lseek(received[name] as number, 0)
        return outer.try.write(received[name] as number, telling[2])
      })
      const outers = await withEach(files, ({ path }) => readSysctl(outer, path))
      return { files, binds, whileAlive, read, status, wrote, outers }
    },
    treatment({ binds, files }) {
      const untouched = ofEach(files, ({ fresh }) => fresh)
      const gone = ofEach(files, () => ENOENT)
      return binds
        ? {
            whileAlive: ofEach(files, (file) => valueOnce(file, 1)),
            read: gone,
            status: gone,
            wrote: gone,
            outers: untouched,
          }
        : followingItsUser(files)
    },
    control({ binds, files }) {
      const theirs = ofEach(files, (file) => valueOnce(file, 1))
      const done = ofEach(files, () => succeeds)
      return binds
        ? {
            whileAlive: theirs,
            read: theirs,
            status: done,
            wrote: done,
            outers: ofEach(files, ({ fresh }) => fresh),
          }
        : followingItsUser(files)
    },
  })
}

/** Before 5.19 the death of the namespace that a file was opened in is nothing to it. */
function followingItsUser(files: readonly Sysctl[]) {
  const untouched = ofEach(files, ({ fresh }) => fresh)
  const done = ofEach(files, () => succeeds)
  return {
    whileAlive: untouched,
    read: untouched,
    status: done,
    wrote: done,
    outers: ofEach(files, (file) => valueOnce(file, 2)),
  }
}

const MQUEUE_FILES = ['msg_default', 'msg_max', 'msgsize_default', 'msgsize_max', 'queues_max']
