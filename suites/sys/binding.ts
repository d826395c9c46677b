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
import { oneLine, readSysctl, SYSCTL_NEEDS, sysctl, writeSysctl } from '../../fixtures/sysctls.ts'

/** One file of each kind: an int, an unsigned long, an array, and one of a directory of its own. */
const FILES = ['msgmax', 'shmall', 'sem', 'queues_max'] as const
/** What the file refuses after its third telling value was written, and how. */
const REFUSED: Readonly<Record<string, { text: string; refusal: unknown }>> = {
  msgmax: { text: '-1', refusal: EINVAL },
  // Swallowed whole before 5.19.
  shmall: { text: '-1', refusal: oneOf(EINVAL, '-1'.length) },
  // The fourth is above every kernel’s bound. The other three are taken all the same, so they are those of before.
  sem: { text: '32003 1024000003 503 16777217', refusal: ERANGE },
  queues_max: { text: '2147483648', refusal: EINVAL },
  shm_rmid_forced: { text: '2', refusal: EINVAL },
}
/** The file whose writing does more than change a value. */
const FORCED = 'shm_rmid_forced'
const CHILDS = { treatment: 'the other has an IPC namespace of its own', control: 'both share one' }

/** Whether a sysctl belongs to the namespace it was opened in (since 5.19), or to its user. */
async function bindsAtOpen(world: ComparisonWorld, path: string): Promise<boolean> {
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

export function bindingRules(sys: Area): void {
  sys.comparison('SYS-08', {
    says: 'a path of an IPC sysctl leads to the file of whoever opens it, through every procfs instance and every /proc/PID/root',
    source: ['ipc/ipc_sysctl.c: set_lookup', 'fs/proc/proc_sysctl.c: proc_sys_lookup'],
    variants: FILES,
    variantNeeds: SYSCTL_NEEDS,
    arms: CHILDS,
    flags: [['NEWIPC', 'NEWNS']],
    async experiment({ outer, enter, arm, variant, flags }) {
      const { path, telling } = sysctl(variant)
      const inner = await enter('inner', {
        flags: arm === 'control' ? flags.filter((flag) => flag !== 'NEWIPC') : flags,
      })
      const theirs = `/proc/${await inner.readlink('/proc/self')}/root${path}`
      const ours = `/proc/${await outer.readlink('/proc/self')}/root${path}`
      await outer.writeFile(path, telling[0])
      if (arm === 'treatment') await inner.writeFile(path, telling[1])
      const throughTheirRoot = await readSysctl(outer, theirs)
      const throughOurRoot = await readSysctl(inner, ours)
      await inner.mount('proc', '/proc', 'proc')
      return {
        throughTheirRoot,
        throughOurRoot,
        throughTheirFreshProc: await readSysctl(outer, theirs),
        throughOwnFreshProc: await readSysctl(inner, path),
      }
    },
    treatment: (_seen, { variant: name }) => ({
      throughTheirRoot: sysctl(name).telling[0],
      throughOurRoot: sysctl(name).telling[1],
      throughTheirFreshProc: sysctl(name).telling[0],
      throughOwnFreshProc: sysctl(name).telling[1],
    }),
    control: (_seen, { variant: name }) => ({
      throughTheirRoot: sysctl(name).telling[0],
      throughOurRoot: sysctl(name).telling[0],
      throughTheirFreshProc: sysctl(name).telling[0],
      throughOwnFreshProc: sysctl(name).telling[0],
    }),
  })

  sys.comparison('SYS-09', {
    says: 'an open IPC sysctl reads, checks and writes the namespace it was opened in, also after its holder has left that',
    source: [
      'ipc/ipc_sysctl.c: setup_ipc_sysctls, proc_ipc_sem_dointvec, proc_ipc_dointvec_minmax_orphans',
      'ipc/mq_sysctl.c: setup_mq_sysctls',
    ],
    since: '5.19',
    variants: [...FILES, FORCED],
    variantNeeds: SYSCTL_NEEDS,
    arms: { treatment: 'the holder left its IPC namespace', control: 'the holder stayed' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      // The third value of shm_rmid_forced is 1, which takes orphans away.
      const { path, telling } = sysctl(variant)
      const [, before, written] = telling
      const binds = await bindsAtOpen(world, path)
      const holder = await outer.spawn('holder')
      await outer.writeFile(path, before)
      const descriptor = await holder.open(path, O_RDWR)
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const read = await readFrom(holder, descriptor)
      const write = async (text: string): Promise<unknown> => {
        await holder.lseek(descriptor, 0)
        return holder.try.write(descriptor, text)
      }
      const keys = { left: fresh.key(), holders: fresh.key() }
      const orphans =
        variant === FORCED
          ? { left: await makeOrphan(outer, keys.left), holders: await makeOrphan(holder, keys.holders) }
          : undefined
      const wrote = await write(written)
      const invalid = await write(REFUSED[variant]?.text ?? '')
      return {
        binds,
        read,
        wrote,
        invalid,
        // Looked for first: reading the file takes orphans away as well.
        leftOrphan: orphans && (await segmentIs(outer, orphans.left, keys.left)),
        holdersOrphan: orphans && (await segmentIs(holder, orphans.holders, keys.holders)),
        leftReads: await readSysctl(outer, path),
        holderReads: await readSysctl(holder, path),
      }
    },
    treatment({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      const [, before, written] = telling
      const orphan = (state: string) => (name === FORCED ? state : undefined)
      const { refusal } = REFUSED[name] ?? {}
      return binds
        ? {
            read: before,
            wrote: succeeds,
            invalid: refusal,
            leftReads: written,
            holderReads: fresh,
            leftOrphan: orphan('gone'),
            holdersOrphan: orphan('there'),
          }
        : {
            read: fresh,
            wrote: succeeds,
            invalid: refusal,
            leftReads: before,
            holderReads: written,
            leftOrphan: orphan('there'),
            holdersOrphan: orphan('gone'),
          }
    },
    control: (_seen, { variant: name }) => {
      const [, before, written] = sysctl(name).telling
      const gone = name === FORCED ? 'gone' : undefined
      return {
        read: before,
        wrote: succeeds,
        invalid: REFUSED[name]?.refusal,
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
    variants: [...FILES, 'msg_next_id'],
    variantNeeds: SYSCTL_NEEDS,
    arms: { treatment: 'opened again from another IPC namespace', control: 'opened again from the same' },
    flags: [['NEWIPC', 'NEWNS']],
    async experiment(world) {
      const { outer, enter, arm, variant } = world
      const { path, telling } = sysctl(variant)
      const binds = await bindsAtOpen(world, path)
      // A mount namespace that leaves with its member; any file serves to be mounted over.
      const holder = await enter('holder', { flags: ['NEWNS'] })
      await outer.writeFile(path, telling[0])
      const descriptor = await holder.open(path, O_PATH)
      await holder.mount(path, '/proc/filesystems', '', MS_BIND)
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const byDescriptor = await readSysctl(holder, `/proc/self/fd/${descriptor}`)
      const byMount = await readSysctl(holder, '/proc/filesystems')
      const byPath = await readSysctl(holder, path)
      return {
        binds,
        byDescriptor,
        byMount,
        byPath,
        wroteByDescriptor: await writeSysctl(holder, `/proc/self/fd/${descriptor}`, telling[1]),
        leftReads: await readSysctl(outer, path),
        wroteByMount: await writeSysctl(holder, '/proc/filesystems', telling[2]),
        leftReadsThen: await readSysctl(outer, path),
        byPathThen: await readSysctl(holder, path),
      }
    },
    treatment({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      const [before, byDescriptor, byMount] = telling
      const again = binds ? before : fresh
      return {
        byDescriptor: again,
        byMount: again,
        byPath: fresh,
        wroteByDescriptor: 0,
        leftReads: binds ? byDescriptor : before,
        wroteByMount: 0,
        leftReadsThen: binds ? byMount : before,
        byPathThen: binds ? fresh : byMount,
      }
    },
    control: (_seen, { variant: name }) => {
      const [before, byDescriptor, byMount] = sysctl(name).telling
      return {
        byDescriptor: before,
        byMount: before,
        byPath: before,
        wroteByDescriptor: 0,
        leftReads: byDescriptor,
        wroteByMount: 0,
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
      const binds = await bindsAtOpen(world, sysctl('queues_max').path)
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
        kernel: await through(kernel, 'msgmax'),
        mqueue: await through(mqueue, 'queues_max'),
        listing: await holder.try.readdir(`/proc/self/fd/${mqueue}`),
      }
    },
    treatment: ({ binds }) => ({ kernel: '8192', mqueue: binds ? '77' : '256', listing: MQUEUE_FILES }),
    control: () => ({ kernel: '7001', mqueue: '77', listing: MQUEUE_FILES }),
  })

  sys.comparison('SYS-12', {
    says: 'an open IPC sysctl does not keep its namespace alive: once that is gone, read, write and fstat are ENOENT',
    source: ['ipc/namespace.c: free_ipc_ns', 'fs/proc/proc_sysctl.c: unregister_sysctl_table'],
    since: '5.19',
    variants: FILES,
    variantNeeds: SYSCTL_NEEDS,
    arms: { treatment: 'the namespace’s last member is gone', control: 'its last member lives' },
    async experiment(world) {
      const { outer, arm, variant } = world
      const { path, telling } = sysctl(variant)
      const binds = await bindsAtOpen(world, path)
      const [ours, theirs] = await outer.socketpair()
      const member = await outer.spawn('member', ['NEWIPC'], { keep: [theirs] })
      await member.writeFile(path, telling[1])
      await member.sendDescriptor(theirs, await member.open(path, O_RDWR))
      const descriptor = await outer.receiveDescriptor(ours)
      const whileAlive = await readFrom(outer, descriptor)
      if (arm === 'treatment') await member.exitAndReap()
      const read = await world.eventually(
        () => readFrom(outer, descriptor),
        (seen) => arm === 'control' || !binds || seen === ENOENT,
      )
      const status = await outer.try.fstat(descriptor)
      await outer.lseek(descriptor, 0)
      const wrote = await outer.try.write(descriptor, telling[2])
      return { binds, whileAlive, read, status, wrote, outers: await readSysctl(outer, path) }
    },
    treatment({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      return binds
        ? { whileAlive: telling[1], read: ENOENT, status: ENOENT, wrote: ENOENT, outers: fresh }
        : { whileAlive: fresh, read: fresh, status: succeeds, wrote: succeeds, outers: telling[2] }
    },
    control({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      return binds
        ? {
            whileAlive: telling[1],
            read: telling[1],
            status: succeeds,
            wrote: succeeds,
            outers: fresh,
          }
        : { whileAlive: fresh, read: fresh, status: succeeds, wrote: succeeds, outers: telling[2] }
    },
  })
}

const MQUEUE_FILES = ['msg_default', 'msg_max', 'msgsize_default', 'msgsize_max', 'queues_max']
