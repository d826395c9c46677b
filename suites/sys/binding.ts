/**
 * SYS-08 to SYS-12: which namespace an opened sysctl belongs to. Since 5.19 (and in stable trees) a file
 * belongs to the namespace it was opened in; before, to whoever uses it. Both are told apart without any of
 * the rules' own experiments: since then each namespace has inodes of its own for these files.
 */
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  ENOENT,
  type Member,
  MS_BIND,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  succeeds,
} from '../../fixtures/rules.ts'
import { oneLine, readSysctl, SYSCTL_NEEDS, sysctl } from '../../fixtures/sysctls.ts'

/** One file of each kind: an int, an unsigned long, an array, and one of a directory of its own. */
const FILES = ['msgmax', 'shmall', 'sem', 'queues_max'] as const
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
    says: 'an open IPC sysctl reads and writes the namespace it was opened in, also after its holder has left that',
    source: ['ipc/ipc_sysctl.c: setup_ipc_sysctls', 'ipc/mq_sysctl.c: setup_mq_sysctls'],
    since: '5.19',
    variants: FILES,
    variantNeeds: SYSCTL_NEEDS,
    arms: { treatment: 'the holder left its IPC namespace', control: 'the holder stayed' },
    async experiment(world) {
      const { outer, arm, variant } = world
      const { path, telling } = sysctl(variant)
      const binds = await bindsAtOpen(world, path)
      const holder = await outer.spawn('holder')
      await outer.writeFile(path, telling[0])
      const descriptor = await holder.open(path, O_RDWR)
      if (arm === 'treatment') await holder.unshare(CLONE.NEWIPC)
      const read = await readFrom(holder, descriptor)
      await holder.lseek(descriptor, 0)
      const wrote = await holder.try.write(descriptor, telling[1])
      return {
        binds,
        read,
        wrote,
        leftReads: await readSysctl(outer, path),
        holderReads: await readSysctl(holder, path),
      }
    },
    treatment({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      return binds
        ? { read: telling[0], wrote: succeeds, leftReads: telling[1], holderReads: fresh }
        : { read: fresh, wrote: succeeds, leftReads: telling[0], holderReads: telling[1] }
    },
    control: (_seen, { variant: name }) => {
      const { telling } = sysctl(name)
      return { read: telling[0], wrote: succeeds, leftReads: telling[1], holderReads: telling[1] }
    },
  })

  sys.comparison('SYS-10', {
    says: 'opening a sysctl again through an O_PATH descriptor or a bind mount made in one namespace gives that namespace’s file',
    source: ['fs/proc/proc_sysctl.c: proc_sys_compare', 'fs/proc/proc_sysctl.c: proc_sys_open'],
    since: '5.19',
    variants: FILES,
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
      return {
        binds,
        byDescriptor: await readSysctl(holder, `/proc/self/fd/${descriptor}`),
        byMount: await readSysctl(holder, '/proc/filesystems'),
        byPath: await readSysctl(holder, path),
      }
    },
    treatment({ binds }, { variant: name }) {
      const { telling, fresh } = sysctl(name)
      const again = binds ? telling[0] : fresh
      return { byDescriptor: again, byMount: again, byPath: fresh }
    },
    control: (_seen, { variant: name }) => {
      const [value] = sysctl(name).telling
      return { byDescriptor: value, byMount: value, byPath: value }
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
