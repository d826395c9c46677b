/** What keeps an IPC namespace without members, and what does not. */
import { constants } from 'node:fs'
import { nsFileOf, nsfdOf } from '../../fixtures/identity.ts'
import { inspectThrough, joinAs } from '../../fixtures/lifetime.ts'
import {
  type Area,
  CLONE,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  MNT_DETACH,
  MS_BIND,
  makePrivate,
  O_CREAT,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  POLLIN,
  SIGKILL,
} from '../../fixtures/rules.ts'
import { ofEach, readSysctl, SYSCTLS, withEach } from '../../fixtures/sysctls.ts'
import { empty, HELD, NOT_HELD, setStage } from './stage.ts'

const BORN_WITH_PIDFD = 'born with the process, reaped'
const SYSCTLS_SET = 'sysctls'

/** Adds the rules. */
export function pinRules(lif: Area): void {
  lif.comparison('LIF-09', {
    says: 'an open file descriptor of /proc/PID/ns/ipc keeps a memberless IPC namespace and its objects until it is closed',
    source: ['namespaces(7) Namespace lifetime', 'fs/nsfs.c: ns_get_path'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'pidfd'],
    since: '3.0',
    arms: { treatment: 'a descriptor of the namespace', control: 'a descriptor of the process' },
    flags: 'with NEWIPC',
    variants: [
      'opened from outside',
      'opened by the member',
      'opened from the initial namespace',
      'duplicate of a closed one',
    ],
    async experiment(world) {
      const { outer, arm, variant } = world
      const stage = await setStage(world)
      const { member, holder, watch, furniture } = stage
      let keeper =
        variant === 'opened from the initial namespace'
          ? await (await world.initial()).spawn('opener')
          : holder
      let held: number
      if (arm === 'control') held = await holder.pidfd_open(member.pid)
      else if (variant === 'opened by the member') {
        keeper = await joinAs('opener', outer, member)
        held = await keeper.open('/proc/self/ns/ipc', O_RDONLY)
        await keeper.unshare(CLONE.NEWIPC)
      } else held = await nsfdOf(keeper, member)
      if (variant === 'duplicate of a closed one') {
        const first = held
        held = await keeper.dup(first)
        await keeper.close(first)
      }
      const twin = await empty(world, stage)
      if (arm === 'control') return { twin, held: await watch.end(world) }
      const lives = await watch.look()
      const objects = await inspectThrough(keeper, held, furniture)
      await keeper.close(held)
      return { twin, held: lives, objects, released: await watch.end(world) }
    },
    treatment: () => HELD,
    control: () => NOT_HELD,
  })

  lif.comparison('LIF-10', {
    says: 'an O_PATH descriptor that followed the link keeps the namespace; one of the link itself or of the ns directory does not',
    source: ['namespaces(7) Namespace lifetime', 'open(2) O_PATH', 'fs/proc/namespaces.c: proc_ns_get_link'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    since: '3.19',
    arms: { treatment: 'the namespace’s own inode', control: 'an inode of procfs' },
    variants: ['the link', 'the ns directory', 'the process directory'],
    async experiment(world) {
      const { arm, variant } = world
      const stage = await setStage(world)
      const { member, holder, watch, furniture } = stage
      const file = await nsFileOf(member)
      const path =
        variant === 'the link'
          ? file
          : variant === 'the ns directory'
            ? file.replace(/\/ipc$/, '')
            : file.replace(/\/ns\/ipc$/, '')
      const descriptor =
        arm === 'treatment'
          ? await holder.open(file, O_PATH)
          : await holder.open(path, variant === 'the link' ? O_PATH | constants.O_NOFOLLOW : O_RDONLY)
      const twin = await empty(world, stage)
      if (arm === 'control') return { twin, held: await watch.end(world) }
      const held = await watch.look()
      // setns does not take an O_PATH descriptor; what it refers to can be opened.
      const nsfd = await holder.try.open(`/proc/self/fd/${descriptor}`, O_RDONLY)
      const objects = failed(nsfd) ? nsfd.errno : await inspectThrough(holder, nsfd, furniture)
      if (!failed(nsfd)) await holder.close(nsfd)
      const again = await watch.look()
      await holder.close(descriptor)
      return { twin, held, objects, again, released: await watch.end(world) }
    },
    treatment: () => ({ ...HELD, again: 'alive' }),
    control: () => NOT_HELD,
  })

  lif.comparison('LIF-11', {
    says: 'a pidfd, of pidfd_open or of clone, does not keep the IPC namespace of its process, dead or reaped',
    source: ['pidfd_open(2)', 'clone(2) CLONE_PIDFD', 'namespaces(7) Namespace lifetime'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'pidfd'],
    since: '5.3',
    arms: { treatment: 'a pidfd is held', control: 'an nsfd is held as well' },
    flags: 'with NEWIPC',
    variants: ['reaped', 'zombie', BORN_WITH_PIDFD],
    async experiment(world) {
      const { outer, arm, variant, flags } = world
      const born = variant === BORN_WITH_PIDFD
      // The holder makes this member: without the flags after which a maker has more to do for its child.
      const plain = flags.filter((flag) => flag !== 'NEWUSER' && flag !== 'NEWNS')
      const stage = await setStage(
        world,
        born ? (holder) => holder.spawn('member', plain, { bits: CLONE.PIDFD }) : undefined,
      )
      const { member, holder, watch, furniture } = stage
      const pidfd = born ? await holder.pidfdOfClone() : await holder.pidfd_open(member.pid)
      const ended = await holder.poll(pidfd, POLLIN, 0)
      const nsfd = arm === 'control' ? await nsfdOf(holder, member) : undefined
      if (variant === 'zombie') await outer.kill(member.pid, SIGKILL)
      else await member.killAndReap()
      // That it is held, and a pidfd of this process, it shows by the death.
      const ends = [ended, (await holder.poll(pidfd, POLLIN, 5000)) & POLLIN]
      if (nsfd === undefined) return { ends, held: await watch.end(world) }
      const twin = await watch.seeTwinDie(world)
      const held = await watch.look()
      return { ends, twin, held, objects: await inspectThrough(holder, nsfd, furniture) }
    },
    treatment: () => ({ ends: [0, POLLIN], held: 'destroyed' }),
    control: () => ({ ends: [0, POLLIN], twin: 'destroyed', held: 'alive', objects: 'intact' }),
  })

  lif.comparison('LIF-12', {
    says: 'a bind mount of the ns file keeps the IPC namespace until it is unmounted or its mount namespace dies',
    source: ['namespaces(7) Namespace lifetime', 'fs/nsfs.c'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    since: '3.8',
    arms: { treatment: 'bind-mounted', control: 'not mounted' },
    flags: 'with NEWIPC',
    variants: ['umount', 'lazy umount', 'end of the mount namespace'],
    async experiment(world) {
      const { outer, arm, variant } = world
      const stage = await setStage(world)
      const { member, watch, furniture } = stage
      const mounter = await outer.spawn('mounter', ['NEWNS'])
      await makePrivate(mounter)
      await mounter.mount('pin', '/dev', 'tmpfs')
      await mounter.close(await mounter.open('/dev/ipc', O_RDWR | O_CREAT))
      if (arm === 'treatment') await mounter.mount(await nsFileOf(member), '/dev/ipc', '', MS_BIND)
      const twin = await empty(world, stage)
      if (arm === 'control') return { twin, held: await watch.end(world) }
      const held = await watch.look()
      const nsfd = await mounter.try.open('/dev/ipc', O_RDONLY)
      const objects = failed(nsfd) ? nsfd.errno : await inspectThrough(mounter, nsfd, furniture)
      if (!failed(nsfd)) await mounter.close(nsfd)
      if (variant === 'end of the mount namespace') await mounter.killAndReap()
      else await mounter.umount('/dev/ipc', variant === 'umount' ? 0 : MNT_DETACH)
      return { twin, held, objects, released: await watch.end(world) }
    },
    treatment: () => HELD,
    control: () => NOT_HELD,
  })

  lif.comparison('LIF-13', {
    says: 'a descriptor of the namespace on its way in a UNIX socket keeps it; the receiver may enter and finds the objects',
    source: ['unix(7) SCM_RIGHTS', 'namespaces(7) Namespace lifetime'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'abstract sockets'],
    since: '3.0',
    arms: { treatment: 'in flight', control: 'the sockets were closed' },
    flags: 'with NEWIPC',
    async experiment(world) {
      const { arm } = world
      const stage = await setStage(world)
      const { member, holder, watch, furniture } = stage
      const [here, there] = await holder.socketpair()
      const nsfd = await nsfdOf(holder, member)
      await holder.sendDescriptor(here, nsfd)
      await holder.close(nsfd)
      await holder.close(here)
      if (arm === 'control') await holder.close(there)
      const twin = await empty(world, stage)
      if (arm === 'control') return { twin, held: await watch.end(world) }
      const held = await watch.look()
      const received = await holder.receiveDescriptor(there)
      const objects = await inspectThrough(holder, received, furniture)
      await holder.close(received)
      return { twin, held, objects, released: await watch.end(world) }
    },
    treatment: () => HELD,
    control: () => NOT_HELD,
  })

  lif.comparison('LIF-14', {
    says: 'an IPC namespace without members can be entered again, is as it was left, and works: new objects, new members',
    source: ['namespaces(7) Namespace lifetime', 'setns(2)'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    since: '3.0',
    arms: { treatment: 'entered while it was held', control: 'let go before anybody entered' },
    flags: 'with NEWIPC',
    variants: ['objects', SYSCTLS_SET],
    variantNeeds: { [SYSCTLS_SET]: ['SYSVIPC_SYSCTL', 'MQUEUE_SYSCTL', 'writable sysctls'] },
    async experiment(world) {
      const { outer, arm, fresh, variant } = world
      const stage = await setStage(world)
      const { member, holder, watch, furniture } = stage
      if (variant === SYSCTLS_SET) await setSysctls(await joinAs('administrator', outer, member))
      const key = fresh.key()
      const large = await member.shmget(key, LARGE, IPC_CREAT | IPC_EXCL | 0o600)
      const memory = await member.shmat(large)
      for (let offset = 0; offset < LARGE; offset += LARGE / 8)
        await member.writeMemory(memory + offset, `at ${offset}`)
      const nsfd = await nsfdOf(holder, member)
      const { ino } = await holder.fstat(nsfd)
      const twin = await empty(world, stage)
      if (arm === 'control') {
        await holder.close(nsfd)
        return { twin, namespace: await watch.end(world) }
      }
      const settler = await holder.spawn('settler', [], { keep: [nsfd] })
      const entered = await settler.try.setns(nsfd, CLONE.NEWIPC)
      await settler.close(nsfd)
      await holder.close(nsfd)
      const sysctls =
        variant === SYSCTLS_SET
          ? await withEach(TELLING_SYSCTLS, ({ path }) => readSysctl(settler, path))
          : {}
      const objects = await furniture.inspect(settler)
      const found = await settler.try.shmget(key, 0, 0)
      const there = failed(found) ? found : await settler.try.shmat(found)
      const contents: unknown[] = []
      for (let offset = 0; offset < LARGE && !failed(there); offset += LARGE / 8)
        contents.push((await settler.try.peek(there + offset, 32)) === `at ${offset}`)
      const child = await settler.spawn('settler’s child')
      const made = await settler.try.msgget(fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
      const sent = failed(made) ? made : await child.try.msgsnd(made, 1, 'new', 0)
      const sameNamespace = (await settler.stat('/proc/self/ns/ipc')).ino === ino
      const namespace = await watch.look()
      await child.killAndReap()
      await settler.killAndReap()
      return {
        twin,
        entered,
        sysctls,
        objects,
        sameId: found === large,
        contents: contents.length === 8 && contents.every(Boolean),
        sent,
        sameNamespace,
        namespace,
        emptied: await watch.end(world),
      }
    },
    treatment: (_, { variant }) => ({
      twin: 'destroyed',
      entered: 0,
      sysctls: variant === SYSCTLS_SET ? ofEach(TELLING_SYSCTLS, ({ telling: [value] }) => value) : {},
      objects: 'intact',
      sameId: true,
      contents: true,
      sent: 0,
      sameNamespace: true,
      namespace: 'alive',
      emptied: 'destroyed',
    }),
    control: () => ({ twin: 'destroyed', namespace: 'destroyed' }),
  })
}

/** Every limit: not what the experiment itself changes or is changed by, and nothing that is constant. */
const TELLING_SYSCTLS = SYSCTLS.filter(
  ({ needs, constant }) => !constant && (needs === 'SYSVIPC_SYSCTL' || needs === 'MQUEUE_SYSCTL'),
)

/** Gives each a value that no new namespace has, as a member, and goes. */
async function setSysctls(administrator: Member): Promise<void> {
  for (const { path, telling } of TELLING_SYSCTLS) await administrator.writeFile(path, telling[0])
  await administrator.killAndReap()
}

const LARGE = 8 * 1024 * 1024
