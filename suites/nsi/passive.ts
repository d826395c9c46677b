/** NSI-13…15: what a handle opens when the namespace has no members. */
import { nsfdOf } from '../../fixtures/identity.ts'
import { fileOf, takeFileOf } from '../../fixtures/nsfs.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  FD_NSFS_ROOT,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  O_RDONLY,
  oneOf,
} from '../../fixtures/rules.ts'
import { handleOf } from './handles.ts'

type Pin = 'an attached segment' | 'an open /proc/sysvipc file'

const PINS: readonly Pin[] = ['an attached segment', 'an open /proc/sysvipc file']

/** What a handle opens now; closed at once, for an nsfd is a pin itself. */
async function look(asker: Member, handle: Awaited<ReturnType<typeof handleOf>>): Promise<string> {
  return takeFileOf(asker, await asker.try.open_by_handle_at(FD_NSFS_ROOT, handle))
}

/** A namespace without members, with a segment in it that something outside still pins. */
async function pinned(world: ComparisonWorld, pin: Pin | 'nothing') {
  const { outer, fresh } = world
  const key = fresh.key()
  const text = `in ${key}`
  const holder = await outer.spawn('holder', ['NEWIPC'])
  const segment = await holder.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600)
  const memory = await holder.shmat(segment)
  await holder.writeMemory(memory, text)
  const handle = await handleOf(holder)
  const file = await takeFileOf(holder, await holder.open('/proc/self/ns/ipc', O_RDONLY))
  if (pin !== 'an attached segment') await holder.shmdt(memory)
  const table = pin === 'an open /proc/sysvipc file' ? await holder.open('/proc/sysvipc/shm', O_RDONLY) : -1
  await holder.unshare(CLONE.NEWIPC)
  return {
    holder,
    handle,
    file,
    key,
    segment,
    text,
    /** Whether the pin still shows what was left inside. */
    async lives(): Promise<unknown> {
      if (pin === 'an attached segment') {
        const peeked = await holder.try.peek(memory, text.length)
        return failed(peeked) ? peeked : peeked === text
      }
      if (pin === 'nothing') return null
      await holder.lseek(table, 0)
      const rows = await holder.try.read(table)
      return failed(rows) ? rows : new RegExp(`^ *${key} +${segment} `, 'm').test(rows)
    },
  }
}

export function passiveRules(nsi: Area): void {
  nsi.comparison('NSI-13', {
    says: 'a handle is ESTALE as soon as the last member is reaped, before anything of the namespace is freed',
    source: ['ipc/namespace.c: put_ipc_ns', 'fs/nsfs.c: nsfs_fh_to_dentry'],
    needs: ['namespace handles', 'handles of foreign namespaces', 'SYSVIPC'],
    since: '6.18',
    arms: { treatment: 'the last member is gone', control: 'one of two members is gone' },
    async experiment({ outer, arm, fresh }) {
      const member = await outer.spawn('member', ['NEWIPC'])
      const sibling =
        arm === 'control' ? await member.spawn('other member', [], { outlive: true }) : undefined
      const segment = await member.shmget(fresh.key(), 1 << 26, IPC_CREAT | IPC_EXCL | 0o600)
      await member.shmat(segment)
      const handle = await handleOf(member)
      const file = await takeFileOf(member, await member.open('/proc/self/ns/ipc', O_RDONLY))
      const before = await look(outer, handle)
      await member.killAndReap()
      // Once, at once: no waiting.
      const after = await look(outer, handle)
      return { file, before, after, alive: sibling ? failed(await sibling.try.shmctlStat(segment)) : null }
    },
    treatment: ({ file }) => ({ before: file, after: 'ESTALE' }),
    control: ({ file }) => ({ before: file, after: file, alive: false }),
  })

  nsi.comparison('NSI-14', {
    says: 'a handle of a namespace that only a pin keeps alive opens it (before 6.19) with all that is in it, or is ESTALE',
    source: ['fs/nsfs.c: nsfs_fh_to_dentry', 'kernel/nscommon.c: __ns_ref_active_get'],
    needs: ['namespace handles', 'handles of foreign namespaces', 'SYSVIPC', 'PROC_SYSVIPC'],
    since: '6.18',
    variants: PINS,
    arms: { treatment: 'pinned, without a member', control: 'not pinned, without a member' },
    async experiment(world) {
      const { outer, arm, variant, note } = world
      const left = await pinned(world, arm === 'treatment' ? (variant as Pin) : 'nothing')
      const { handle, file, key } = left
      const nsfd = await outer.try.open_by_handle_at(FD_NSFS_ROOT, handle)
      const opened = await fileOf(outer, nsfd)
      let inside: unknown = null
      if (!failed(nsfd)) {
        const visitor = await outer.spawn('visitor', [], { keep: [nsfd] })
        const entered = await visitor.try.setns(nsfd, CLONE.NEWIPC)
        inside = failed(entered) ? entered : await visitor.try.shmget(key, 0, 0)
        await visitor.exitAndReap()
        await outer.close(nsfd)
      }
      if (arm === 'treatment')
        note(
          failed(nsfd)
            ? 'a handle needs an active user of the namespace'
            : 'a handle opens what is only pinned',
        )
      return { file, opened, inside, segment: left.segment, lives: await left.lives() }
    },
    treatment: ({ file, opened, segment }) => ({
      opened: oneOf(file, 'ESTALE'),
      inside: opened === file ? segment : null,
      lives: true,
    }),
    control: () => ({ opened: 'ESTALE', inside: null }),
  })

  nsi.comparison('NSI-15', {
    says: 'from 6.19 a handle needs an active user of the namespace: a member, an nsfd; a pin alone reads ESTALE',
    source: ['kernel/nscommon.c: __ns_ref_active_get', 'fs/nsfs.c: nsfs_fh_to_dentry'],
    needs: ['namespace handles', 'handles of foreign namespaces', 'SYSVIPC', 'PROC_SYSVIPC'],
    since: '6.18',
    variants: PINS,
    arms: { treatment: 'the active user comes and goes', control: 'an active user stays' },
    async experiment(world) {
      const { outer, arm, variant, note } = world
      const left = await pinned(world, variant as Pin)
      const { handle, file } = left
      const again = await look(outer, handle)
      if (arm === 'treatment') {
        note(again === file ? 'a pin is enough' : 'a pin is not enough: active users count')
        // The same answer every time, and the objects are there all the same.
        return { file, again, later: await look(outer, handle), held: null, lives: await left.lives() }
      }
      // This time with an nsfd that is held from the time of the member on.
      const member = await outer.spawn('member', ['NEWIPC'])
      const memberHandle = await handleOf(member)
      const nsfd = await nsfdOf(outer, member)
      const own = await fileOf(outer, nsfd)
      await member.killAndReap()
      const held = (await look(outer, memberHandle)) === own
      await outer.close(nsfd)
      const later = await look(outer, memberHandle)
      return { file, again, later, held, lives: await left.lives() }
    },
    treatment: ({ file, again }) => ({ again: oneOf(file, 'ESTALE'), later: again, lives: true }),
    control: () => ({ held: true, later: 'ESTALE', lives: true }),
  })
}
