/** What the life of an IPC namespace has to do with its owner, its parents and the initial one. */
import { nsFileOf, nsfdOf } from '../../fixtures/identity.ts'
import { endMembership } from '../../fixtures/leaving.ts'
import { furnish, joinAs, seeTwinDie } from '../../fixtures/lifetime.ts'
import { unshareMounts } from '../../fixtures/mqueue-mounts.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  ENOSPC,
  type Flag,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  type Member,
  MS_BIND,
  NS_GET_USERNS,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  procPid,
  writeMaps,
} from '../../fixtures/rules.ts'
import { watchNamespace } from '../../fixtures/sensors.ts'
import { slotOf } from '../../fixtures/slots.ts'

/** A user namespace in which one further user namespace may exist. */
async function userBooth(outer: Member): Promise<Member> {
  const keeper = await outer.spawn('keeper', ['NEWUSER'])
  await writeMaps(outer, keeper)
  await keeper.writeFile('/proc/sys/user/max_user_namespaces', '1')
  return keeper
}

/**
 * Whether MSG_INFO tells a member of `home` of 100 messages less: after the end of a namespace that held them,
 * or, in the control arm, after they were removed with their queue in `home` itself.
 */
async function fewerMessages(world: ComparisonWorld, home: Member): Promise<boolean> {
  const { outer, arm, fresh, eventually } = world
  const fill = async (member: Member): Promise<number> => {
    const queue = await member.msgget(fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
    await member.msgsndMany(queue, 0, 100)
    return queue
  }
  if (arm === 'control') {
    const queue = await fill(home)
    const before = await messagesIn(home)
    await home.msgctlRemove(queue)
    return (await messagesIn(home)) <= before - 100
  }
  // Others remove messages of the initial namespace too, but not as many between two looks each time.
  return eventually(
    async () => {
      const before = await messagesIn(home)
      const mortal = await outer.spawn('mortal', ['NEWIPC'])
      await fill(mortal)
      const watch = await watchNamespace(outer, mortal)
      await mortal.killAndReap()
      await watch.end(world)
      await watch.watcher.killAndReap()
      return (await messagesIn(home)) <= before - 100
    },
    (fewer) => !fewer,
    1000,
  )
}

async function messagesIn(member: Member): Promise<number> {
  return (await member.msgctlInfo('MSG_INFO')).msgmap
}

const SMALL = { maxmsg: 1, msgsize: 64 }

/** What may happen before the user namespace's last process ends, and keeps nothing of it. */
const JOINED = 'after somebody joined all of it by pidfd'
const NOTIFIED = 'after notifications of its queue'

async function joinAllByPidfd(keeper: Member, target: Member): Promise<void> {
  const visitor = await keeper.spawn('visitor by pidfd')
  const all = CLONE.NEWUSER | CLONE.NEWIPC | CLONE.NEWPID
  await visitor.setns(await visitor.pidfd_open(target.pid), all)
  await visitor.exitAndReap()
}

/** One registration ends by a message, the next is given up; the queue is the keeper’s, and stays. */
async function registerTwice(registrant: Member, keeper: Member, queue: number): Promise<void> {
  await registrant.mq_notify(queue, 0)
  await keeper.mq_send(queue, 'notify')
  await registrant.mq_notify(queue, 0)
  await registrant.mq_notify_remove(queue)
}

/** Adds the rules. */
export function ownerRules(lif: Area): void {
  lif.comparison('LIF-17', {
    says: 'a user namespace lives as long as an IPC namespace that it owns, and no longer for one that was refused, for who joined it by pidfd, or for a registration for notification that has ended',
    source: [
      'namespaces(7) Namespace lifetime',
      'ipc/namespace.c: create_ipc_ns, free_ipc_ns',
      'kernel/ucount.c: inc_ucount',
    ],
    needs: ['USER_NS', 'UCOUNT_SYSCTL', 'NS_GET_USERNS'],
    since: '3.8',
    variants: ['after nothing', JOINED, NOTIFIED],
    variantNeeds: {
      [JOINED]: ['pidfd setns', 'PID_NS'],
      [NOTIFIED]: ['POSIX_MQUEUE', 'mq_notify', 'PID_NS'],
    },
    arms: {
      treatment: 'an nsfd of its IPC namespace is held',
      control: 'an nsfd of an IPC namespace of another owner is held',
    },
    async experiment(world) {
      const { outer, arm, variant, fresh, eventually } = world
      const keeper = await userBooth(outer)
      const queue =
        variant === NOTIFIED
          ? await keeper.mq_create(fresh.name(), O_RDWR | O_CREAT, 0o600, SMALL)
          : undefined
      // A pid namespace of its own, too, which would keep the user namespace in turn.
      const kinds: Flag[] =
        variant === 'after nothing' ? ['NEWUSER', 'NEWIPC'] : ['NEWUSER', 'NEWIPC', 'NEWPID']
      const keep = queue === undefined ? [] : [queue]
      const member = await keeper.spawn('member', kinds, { keep })
      await writeMaps(keeper, member)
      if (variant === JOINED) await joinAllByPidfd(keeper, member)
      if (queue !== undefined) await registerTwice(member, keeper, queue)
      await member.writeFile('/proc/sys/user/max_ipc_namespaces', '0')
      const refused = await member.try.unshare(CLONE.NEWIPC)
      const holder = await outer.spawn('holder')
      const bystander = await keeper.spawn('bystander', ['NEWIPC'])
      const nsfd = await nsfdOf(holder, arm === 'treatment' ? member : bystander)
      const { ino } = await holder.stat(`/proc/${await procPid(member)}/ns/user`)
      const before = await slotOf(keeper, 'NEWUSER')
      await member.killAndReap()
      // A twin whose death shows that there was time enough: the same count in a booth of its own.
      const other = await userBooth(outer)
      const twin = await other.spawn('twin', ['NEWUSER', 'NEWIPC'])
      await twin.killAndReap()
      const twinSlot = await eventually(
        () => slotOf(other, 'NEWUSER'),
        (seen) => seen === 'free',
      )
      if (arm === 'control')
        return {
          refused,
          before,
          twinSlot,
          slot: await eventually(
            () => slotOf(keeper, 'NEWUSER'),
            (seen) => seen === 'free',
          ),
        }
      const slot = await slotOf(keeper, 'NEWUSER')
      const owner = await holder.try.ioctl(nsfd, NS_GET_USERNS)
      const sameOwner = !failed(owner) && (await holder.fstat(owner)).ino === ino
      let entered: unknown = owner
      if (!failed(owner)) {
        const visitor = await holder.spawn('visitor', [], { keep: [owner] })
        entered = await visitor.try.setns(owner, CLONE.NEWUSER)
        await visitor.exitAndReap()
        await holder.close(owner)
      }
      await holder.close(nsfd)
      const released = await eventually(
        () => slotOf(keeper, 'NEWUSER'),
        (seen) => seen === 'free',
      )
      return { refused, before, twinSlot, slot, sameOwner, entered, released }
    },
    treatment: () => ({
      refused: ENOSPC,
      before: 'taken',
      twinSlot: 'free',
      slot: 'taken',
      sameOwner: true,
      entered: 0,
      released: 'free',
    }),
    control: () => ({ refused: ENOSPC, before: 'taken', twinSlot: 'free', slot: 'free' }),
  })

  lif.comparison('LIF-18', {
    says: 'an IPC namespace does not live on because the user namespace that owns it does',
    source: ['namespaces(7) Namespace lifetime', 'ipc/namespace.c: put_ipc_ns'],
    needs: ['POSIX_MQUEUE', 'USER_NS'],
    since: '3.8',
    arms: { treatment: 'only the user namespace has a member', control: 'the IPC namespace has one too' },
    flags: [
      ['NEWIPC', 'NEWUSER'],
      ['NEWIPC', 'NEWNS', 'NEWUSER'],
    ],
    async experiment(world) {
      const { outer, enter, arm } = world
      const member = await enter('member')
      const rest = await member.spawn('rest', [], { outlive: true })
      const watch = await watchNamespace(outer, member)
      const userFile = `/proc/${await procPid(rest)}/ns/user`
      const owner = await outer.stat(userFile)
      if (arm === 'treatment') await rest.unshare(CLONE.NEWIPC)
      await member.killAndReap()
      const twin = await watch.seeTwinDie(world)
      const namespace = arm === 'treatment' ? await watch.end(world) : await watch.look()
      const userLives = (await outer.stat(userFile)).ino === owner.ino
      return { twin, namespace, userLives, works: await rest.try.ping() }
    },
    treatment: () => ({ twin: 'destroyed', namespace: 'destroyed', userLives: true, works: 0 }),
    control: () => ({ twin: 'destroyed', namespace: 'alive', userLives: true, works: 0 }),
  })

  lif.comparison('LIF-19', {
    says: 'an IPC namespace does not hold the one that it was made from: the parent dies while its child lives and works',
    source: ['ipc_namespaces(7)', 'ipc/namespace.c: create_ipc_ns'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    since: '2.6.19',
    arms: { treatment: 'the grandchild made its own', control: 'the grandchild is a member of it' },
    flags: 'with NEWIPC',
    variants: ['by clone', 'by unshare'],
    async experiment(world) {
      const { outer, arm, variant, fresh, flags } = world
      const parent = await outer.spawn('parent', ['NEWIPC'])
      const watch = await watchNamespace(outer, parent)
      const own = flags.filter((flag) => arm === 'treatment' || flag !== 'NEWIPC')
      const child = await parent.spawn('child', variant === 'by clone' ? own : [], { outlive: true })
      if (variant === 'by unshare') await child.unshare(cloneBits(own))
      if (flags.includes('NEWUSER')) await writeMaps(parent, child)
      await parent.killAndReap()
      const twin = await watch.seeTwinDie(world)
      const namespace = arm === 'treatment' ? await watch.end(world) : await watch.look()
      const furniture = await furnish(child, fresh)
      return { twin, namespace, works: await furniture.inspect(child) }
    },
    treatment: () => ({ twin: 'destroyed', namespace: 'destroyed', works: 'intact' }),
    control: () => ({ twin: 'destroyed', namespace: 'alive', works: 'intact' }),
  })

  lif.comparison('LIF-21', {
    says: 'members that leave or die and references that are dropped do not end the initial IPC namespace, and what another one held at its end is not taken from what that one counts',
    source: ['ipc_namespaces(7)', 'ipc/msgutil.c: init_ipc_ns', 'ipc/msg.c: freeque, msg_exit_ns'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    arms: { treatment: 'the initial one', control: 'another one' },
    async experiment(world) {
      const { outer, initial, arm, fresh, eventually } = world
      const home = arm === 'treatment' ? await initial() : await outer.spawn('home', ['NEWIPC'])
      const looker = await outer.spawn('looker')
      const before = await looker.stat(await nsFileOf(home))
      const key = fresh.key()
      const maker = await home.spawn('maker')
      const queue = await maker.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
      await maker.msgsnd(queue, 1, 'still here', 0)
      // Every reference that rules of this area take, taken and dropped.
      const segment = await maker.shmget(fresh.key(), 4096, IPC_CREAT | IPC_EXCL | 0o600)
      await maker.shmat(segment)
      await unshareMounts(maker)
      await maker.mount('pin', '/dev', 'tmpfs')
      await maker.close(await maker.open('/dev/ipc', O_RDWR | O_CREAT))
      await maker.mount('/proc/self/ns/ipc', '/dev/ipc', '', MS_BIND)
      const nsfd = await maker.open('/proc/self/ns/ipc', O_RDONLY)
      await maker.unshare(CLONE.NEWIPC)
      await maker.setns(nsfd, CLONE.NEWIPC)
      await maker.close(nsfd)
      await endMembership(maker, 'setns')
      await maker.killAndReap()
      const fewer = await fewerMessages(world, home)
      if (arm === 'control') await home.killAndReap()
      const twin = await seeTwinDie(world)
      if (arm === 'control') {
        // The number is free for the next one, which is not that one: its queue is not there.
        const next = await outer.spawn('next', ['NEWIPC'])
        const found = await eventually(
          () => next.try.msgget(key, 0),
          (seen) => failed(seen),
        )
        return { fewer, twin, found: failed(found) ? found.errno : 'found' }
      }
      const again = await joinAs('again', looker, home)
      const found = await again.try.msgrcv(queue, 64, 0, IPC_NOWAIT)
      const after = await again.stat('/proc/self/ns/ipc')
      return {
        fewer,
        twin,
        found: failed(found) ? found.errno : found.text,
        sameNamespace: after.ino === before.ino && after.dev === before.dev,
      }
    },
    treatment: () => ({ fewer: false, twin: 'destroyed', found: 'still here', sameNamespace: true }),
    control: () => ({ fewer: true, twin: 'destroyed', found: 'ENOENT' }),
  })
}
