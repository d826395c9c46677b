/** Holds on an IPC namespace that namespaces(7) does not list, and what is none. */
import { nsfdOf } from '../../fixtures/identity.ts'
import { inspectThrough, joinAs } from '../../fixtures/lifetime.ts'
import { SYSTEM_V_KINDS, type SystemVKind } from '../../fixtures/objects.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  IPC_CREAT,
  IPC_PRIVATE,
  type Member,
  MNT_DETACH,
  makePrivate,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  procPid,
  SEM_UNDO,
} from '../../fixtures/rules.ts'
import { slotBooth, watchNamespace } from '../../fixtures/sensors.ts'
import { DEEDS } from './deeds.ts'
import { empty, HELD, NOT_HELD, setStage } from './stage.ts'

/** A hold on a namespace that the manual page does not name; taken by `holder`, a member that then leaves. */
type HiddenPin = 'attached segment' | '/proc/sysvipc file' | 'fsopen context'

/** Takes the pin; gives how to let it go. */
async function takePin(pin: HiddenPin, holder: Member): Promise<() => Promise<unknown>> {
  switch (pin) {
    case 'attached segment': {
      const segment = await holder.shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0o600)
      const memory = await holder.shmat(segment)
      return () => holder.shmdt(memory)
    }
    case '/proc/sysvipc file': {
      const file = await holder.open('/proc/sysvipc/msg', O_RDONLY)
      return () => holder.close(file)
    }
    case 'fsopen context': {
      const context = await holder.fsopen('mqueue')
      return () => holder.close(context)
    }
  }
}

const HIDDEN_PINS: readonly HiddenPin[] = ['attached segment', '/proc/sysvipc file', 'fsopen context']

/** Adds the rules about what holds a namespace though namespaces(7) does not say so. */
export function hiddenPinRules(lif: Area): void {
  lif.comparison('LIF-15', {
    // namespaces(7) names none of these three.
    says: 'an attached segment, an open /proc/sysvipc file and an mqueue context of fsopen keep the namespace with all its objects after the last member left',
    source: ['ipc/shm.c: do_shmat', 'ipc/util.c: sysvipc_proc_open', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['SYSVIPC', 'PROC_SYSVIPC', 'POSIX_MQUEUE', 'fsopen', 'USER_NS', 'PID_NS', 'UCOUNT_SYSCTL'],
    arms: { treatment: 'held by a process that left', control: 'let go by it' },
    variants: HIDDEN_PINS.flatMap((pin) => SYSTEM_V_KINDS.map((family) => `${pin}, ${family}`)),
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const [pin, family] = variant.split(', ') as [HiddenPin, SystemVKind]
      // Room for the namespace under test and the one that the holder goes to.
      const booth = await slotBooth(outer, { ipc: 2 })
      const member = await booth.keeper.spawn('member', ['NEWIPC'])
      await booth.leaveObject(member, family, fresh.key())
      const holder = await joinAs('holder', booth.keeper, member)
      await holder.unshare(CLONE.NEWNS)
      const letGo = await takePin(pin, holder)
      await holder.unshare(CLONE.NEWIPC)
      if (arm === 'control') await letGo()
      const watch = await watchNamespace(outer, member)
      await member.killAndReap()
      const twin = await seeTwinDieWithObject(world, family)
      if (arm === 'control')
        return { twin, slot: await booth.ipcSlotEnd(world), object: await booth.objectEnd(world) }
      // Not by the handle: since 6.19 a namespace that only these hold has none.
      const namespace = await watch.look('handle')
      const slot = await booth.ipcSlot()
      const object = await booth.object()
      await letGo()
      return {
        twin,
        namespace,
        slot,
        object,
        objectReleased: await booth.objectEnd(world),
        slotReleased: await booth.ipcSlotEnd(world),
        released: await watch.end(world),
      }
    },
    treatment: () => ({
      twin: 'freed',
      namespace: 'alive',
      slot: 'taken',
      object: 'kept',
      objectReleased: 'freed',
      slotReleased: 'free',
      released: 'destroyed',
    }),
    control: () => ({ twin: 'freed', slot: 'free', object: 'freed' }),
  })
}

/** Like `seeTwinDie`, with an object in it that must be freed, seen by the sensor that the rule uses. */
async function seeTwinDieWithObject(world: ComparisonWorld, family: SystemVKind): Promise<string> {
  const booth = await slotBooth(world.outer)
  const twin = await booth.keeper.spawn('twin', ['NEWIPC'])
  await booth.leaveObject(twin, family, world.fresh.key())
  const before = await booth.object()
  await twin.killAndReap()
  const after = await booth.objectEnd(world)
  return before === 'kept' && (await booth.ipcSlotEnd(world)) === 'free' ? after : `${before} before`
}

/** Something of a namespace that a process may keep after it left, and that does not hold the namespace. */
type NoPin =
  | 'queue descriptor'
  | 'mqueue mount'
  | 'mqueue directory'
  | 'sysctl descriptor'
  | 'pidfd'
  | '/proc/PID directory'
  | 'undo list'
  | 'finished /proc/sysvipc file'

const NO_PINS: readonly NoPin[] = [
  'queue descriptor',
  'mqueue mount',
  'mqueue directory',
  'sysctl descriptor',
  'pidfd',
  '/proc/PID directory',
  'undo list',
  'finished /proc/sysvipc file',
]

/** `holder` is a member in a mount namespace of its own; it leaves afterwards. */
async function takeNoPin(what: NoPin, holder: Member, member: Member): Promise<void> {
  switch (what) {
    case 'queue descriptor': {
      const queue = await holder.mq_create('/held', O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK)
      await holder.mq_send(queue, 'kept')
      return
    }
    case 'mqueue mount':
      await holder.mount('mqueue', '/dev', 'mqueue')
      return
    case 'mqueue directory':
      await holder.mount('mqueue', '/dev', 'mqueue')
      await holder.open('/dev', O_RDONLY)
      await holder.umount('/dev', MNT_DETACH)
      return
    case 'sysctl descriptor':
      for (const file of ['kernel/msgmax', 'kernel/sem', 'fs/mqueue/queues_max'])
        await holder.open(`/proc/sys/${file}`, O_RDONLY)
      return
    case 'pidfd':
      await holder.pidfd_open(member.pid)
      return
    case '/proc/PID directory':
      await holder.open(`/proc/${await procPid(member)}`, O_RDONLY)
      return
    case 'undo list': {
      const set = await holder.semget(IPC_PRIVATE, 1, IPC_CREAT | 0o600)
      await holder.semop(set, [{ index: 0, change: 1, flags: SEM_UNDO }])
      return
    }
    case 'finished /proc/sysvipc file': {
      const file = await holder.open('/proc/sysvipc/shm', O_RDONLY)
      await holder.read(file)
      await holder.close(file)
    }
  }
}

/** Adds the rules about what does not hold one though it might seem to. */
export function noPinRules(lif: Area): void {
  lif.comparison('LIF-16', {
    // namespaces(7) claims that an mqueue mount keeps the namespace alive: it does not (MQM-10).
    says: 'a queue descriptor, an mqueue mount, a sysctl descriptor, a pidfd, a /proc directory and the undo list of one who left do not keep the namespace, nor does any call made in it, granted or refused',
    source: ['ipc/mqueue.c: mqueue_get_inode', 'ipc/namespace.c: put_ipc_ns', 'ipc/sem.c: exit_sem'],
    needs: ['SYSVIPC', 'PROC_SYSVIPC', 'SYSVIPC_SYSCTL', 'MQUEUE_SYSCTL', 'POSIX_MQUEUE', 'pidfd'],
    arms: { treatment: 'nothing else is held', control: 'an nsfd is held as well' },
    variants: [...NO_PINS, ...Object.keys(DEEDS)],
    variantNeeds: { 'calls about namespaces': ['USER_NS'] },
    async experiment(world) {
      const { outer, arm, variant } = world
      const stage = await setStage(world)
      const { member, watch, furniture } = stage
      const holder = await outer.spawn('holder', ['NEWNS'])
      await makePrivate(holder)
      const nsfd = await nsfdOf(holder, member)
      await holder.setns(nsfd, CLONE.NEWIPC)
      if (DEEDS[variant]) await DEEDS[variant](holder, world)
      else await takeNoPin(variant as NoPin, holder, member)
      await holder.unshare(CLONE.NEWIPC)
      if (arm === 'treatment') await holder.close(nsfd)
      const twin = await empty(world, stage)
      if (arm === 'treatment') return { twin, held: await watch.end(world) }
      const held = await watch.look()
      const objects = await inspectThrough(holder, nsfd, furniture)
      await holder.close(nsfd)
      return { twin, held, objects, released: await watch.end(world) }
    },
    treatment: () => NOT_HELD,
    control: () => HELD,
  })
}
