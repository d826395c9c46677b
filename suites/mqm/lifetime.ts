/** Mounts and the life of the IPC namespace they show: MQM-10 … MQM-12. */
import {
  livesBehind,
  makeDefaultsSmall,
  makePlaces,
  mountQueues,
  unshareMounts,
} from '../../fixtures/mqueue-mounts.ts'
import { SYSTEM_V_KINDS, type SystemVKind } from '../../fixtures/objects.ts'
import { foundByName, NEW_QUEUE, parseStatus } from '../../fixtures/posix-queues.ts'
import { type Area, CLONE, EACCES, ENOENT, failed, MS_BIND, O_CREAT, O_RDWR } from '../../fixtures/rules.ts'
import { slotBooth, watchNamespace } from '../../fixtures/sensors.ts'

export function addLifetime(mqm: Area): void {
  mqm.comparison('MQM-10', {
    says: 'a queue mount does not keep its IPC namespace alive: slot and System V objects go with the last member',
    source: [
      'namespaces(7) "Namespace lifetime" (which says otherwise)',
      'ipc/mqueue.c: mq_clear_sbinfo',
      'ipc/namespace.c: put_ipc_ns',
    ],
    needs: ['POSIX_MQUEUE', 'SYSVIPC', 'USER_NS', 'PID_NS', 'CAP_SYS_ADMIN', 'UCOUNT_SYSCTL'],
    since: '2.6.30',
    variants: SYSTEM_V_KINDS,
    arms: { treatment: 'a queue mount is left', control: 'a bind mount of the namespace is left' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const family = variant as SystemVKind
      const booth = await slotBooth(outer)
      const twin = await slotBooth(outer)
      for (const { keeper } of [booth, twin]) await unshareMounts(keeper)
      const [place = ''] = await makePlaces(booth.keeper, 'queues')
      const member = await booth.keeper.spawn('last member', ['NEWIPC'])
      const unheld = await twin.keeper.spawn('twin', ['NEWIPC'])
      await mountQueues(member, place)
      if (arm === 'control') {
        await booth.keeper.close(await booth.keeper.open(`${place}-pin`, O_RDWR | O_CREAT))
        await member.mount('/proc/self/ns/ipc', `${place}-pin`, '', MS_BIND)
      }
      await booth.leaveObject(member, family, fresh.key())
      await twin.leaveObject(unheld, family, fresh.key())
      const before = [await booth.ipcSlot(), await booth.object()]
      await member.killAndReap()
      await unheld.killAndReap()
      // The twin's end, seen by the same sensors, is the time after which a kept namespace is a kept one.
      const twinsEnd = [await twin.ipcSlotEnd(world), await twin.objectEnd(world)]
      const after =
        arm === 'treatment'
          ? [await booth.ipcSlotEnd(world), await booth.objectEnd(world)]
          : [await booth.ipcSlot(), await booth.object()]
      return { before, twinsEnd, after, behind: await livesBehind(booth.keeper, place) }
    },
    treatment: () => ({
      before: ['taken', 'kept'],
      twinsEnd: ['free', 'freed'],
      after: ['free', 'freed'],
      behind: EACCES,
    }),
    control: () => ({
      before: ['taken', 'kept'],
      twinsEnd: ['free', 'freed'],
      after: ['taken', 'kept'],
      behind: 'alive',
    }),
  })

  mqm.comparison('MQM-11', {
    says: 'through a mount whose IPC namespace is destroyed its queues are still listed, used and unlinked, but none can be made',
    source: ['ipc/mqueue.c: mqueue_create_attr'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'],
    since: '2.6.30',
    arms: { treatment: 'after the namespace is destroyed', control: 'while it has a member' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const [place = ''] = await makePlaces(outer, 'queues')
      const member = await outer.spawn('last member')
      await member.unshare(CLONE.NEWIPC)
      await makeDefaultsSmall(member)
      await mountQueues(member, place)
      const name = fresh.name()
      const queue = await member.mq_create(name, NEW_QUEUE, 0o600, { maxmsg: 2, msgsize: 64 })
      await member.mq_send(queue, 'kept')
      if (arm === 'treatment') {
        await member.killAndReap()
        await world.eventually(() => livesBehind(outer, place), failed)
      }
      const path = `${place}${name}`
      const line = await outer.try.readFile(path)
      const opened = await outer.try.open(path, O_RDWR)
      const other = fresh.name()
      const createdAs = async (flags: number) => {
        const created = await outer.try.open(`${place}${other}`, flags)
        return failed(created) ? created : 'created'
      }
      return {
        name,
        listed: await outer.try.readdir(place),
        size: failed(line) ? line : parseStatus(line).qsize,
        received: failed(opened) ? opened : await outer.try.mq_receive(opened),
        sent: failed(opened) ? opened : await outer.try.mq_send(opened, 'new'),
        receivedAgain: failed(opened) ? opened : await outer.try.mq_receive(opened),
        chmod: await outer.try.chmod(path, 0o644),
        created: await createdAs(O_RDWR | O_CREAT),
        // What was not made there was not made anywhere else either.
        elsewhere: await foundByName(outer, other),
        unlinked: await outer.try.unlink(path),
        left: await outer.try.readdir(place),
        other,
      }
    },
    treatment: ({ name }) => ({ ...usable(name), created: EACCES, left: [] }),
    control: ({ name, other }) => ({ ...usable(name), created: 'created', left: [other.slice(1)] }),
  })

  mqm.comparison('MQM-12', {
    says: 'an fsopen(2) context of mqueue that is not closed keeps its IPC namespace alive, a finished mount does not',
    source: ['fsopen(2)', 'ipc/mqueue.c: mqueue_init_fs_context, mqueue_fs_context_free'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN', 'fsopen'],
    since: '5.2',
    variants: ['not yet created', 'created'],
    arms: { treatment: 'the context is held', control: 'only the mount made from it is' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const holder = await outer.spawn('holder')
      await holder.unshare(CLONE.NEWIPC)
      const name = fresh.name()
      await holder.mq_create(name, NEW_QUEUE)
      const watch = await watchNamespace(outer, holder)
      const twin = await outer.spawn('twin')
      await twin.unshare(CLONE.NEWIPC)
      const watchTwin = await watchNamespace(outer, twin)
      const context = await holder.fsopen('mqueue')
      if (variant === 'created' || arm === 'control') await holder.fsconfigCreate(context)
      if (arm === 'control') {
        await holder.fsmount(context)
        await holder.close(context)
      }
      // Since Linux 6.19 a namespace that only such a context holds has no file handle: leave that sensor out.
      const before = await watch.look()
      await holder.unshare(CLONE.NEWIPC)
      await twin.unshare(CLONE.NEWIPC)
      const unheld = await watchTwin.end(world, 'handle')
      const after = arm === 'treatment' ? await watch.look('handle') : await watch.end(world)
      if (arm === 'control') return { before, unheld, after }
      // The context still makes a mount of that namespace, and gives the namespace up when it is closed.
      const created = variant === 'created' ? 0 : await holder.try.fsconfigCreate(context)
      const mount = await holder.try.fsmount(context)
      const listed = failed(mount) ? mount : await holder.try.readdir(`/proc/self/fd/${mount}`)
      await holder.close(context)
      return { name, before, unheld, after, created, listed, closed: await watch.end(world) }
    },
    treatment: ({ name = '' }) => ({
      before: 'alive',
      unheld: 'destroyed',
      after: 'alive',
      created: 0,
      listed: [name.slice(1)],
      closed: 'destroyed',
    }),
    control: () => ({ before: 'alive', unheld: 'destroyed', after: 'destroyed' }),
  })
}

function usable(name: string) {
  return {
    listed: [name.slice(1)],
    size: 4,
    received: 'kept',
    sent: 0,
    receivedAgain: 'new',
    chmod: 0,
    elsewhere: ENOENT,
    unlinked: 0,
  }
}
