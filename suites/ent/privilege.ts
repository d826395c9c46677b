/** ENT-07…09: who may make an IPC namespace. */
import { giveUp } from '../../fixtures/capabilities.ts'
import { namespaceOf } from '../../fixtures/identity.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import {
  type Area,
  CLONE,
  cloneBits,
  differs,
  EINVAL,
  EPERM,
  type Flag,
  failed,
  type Member,
  NS_GET_USERNS,
  O_RDONLY,
  type Outcome,
} from '../../fixtures/rules.ts'

const CALLS = ['clone', 'clone3', 'unshare'] as const

/** Makes namespaces of these flags by one of the three calls; whether it was allowed. */
async function attempt(
  member: Member,
  call: string,
  flags: readonly Flag[],
  bits = 0,
): Promise<'made' | Outcome<number>> {
  if (call === 'unshare') {
    // unshare changes the caller: try it in a child.
    const child = await member.spawn('caller')
    const returned = await child.try.unshare(bits | cloneBits(flags))
    return returned === 0 ? 'made' : returned
  }
  const child = await member.trySpawn('made', flags, { call: call === 'clone3' ? 'clone3' : 'clone', bits })
  return whetherMade(child)
}

export function privilegeRules(ent: Area): void {
  ent.comparison('ENT-07', {
    says: 'the capability is checked before the conflict of CLONE_NEWIPC with CLONE_SYSVSEM',
    source: ['kernel/nsproxy.c: copy_namespaces'],
    needs: ['CAP_SETUID', 'unprivileged user namespaces', 'clone3'],
    variants: ['clone', 'clone3'],
    arms: {
      treatment: 'an unprivileged caller',
      control: 'root, and a caller that makes its user namespace too',
    },
    async experiment({ outer, arm, variant, fresh }) {
      const caller = await outer.spawn('caller')
      if (arm === 'treatment') {
        await caller.becomeUser(fresh.uid())
        return { alone: await attempt(caller, variant, ['NEWIPC'], CLONE.SYSVSEM), withUser: null }
      }
      const alone = await attempt(caller, variant, ['NEWIPC'], CLONE.SYSVSEM)
      await caller.becomeUser(fresh.uid())
      return { alone, withUser: await attempt(caller, variant, ['NEWUSER', 'NEWIPC'], CLONE.SYSVSEM) }
    },
    treatment: () => ({ alone: EPERM }),
    control: () => ({ alone: EINVAL, withUser: EINVAL }),
  })

  ent.comparison('ENT-08', {
    says: 'making an IPC namespace needs CAP_SYS_ADMIN, and nothing else',
    source: ['clone(2) ERRORS', 'unshare(2) ERRORS', 'kernel/nsproxy.c: unshare_nsproxy_namespaces'],
    needs: ['CAP_SETUID', 'clone3'],
    since: '2.6.19',
    variants: CALLS,
    arms: { treatment: 'without CAP_SYS_ADMIN', control: 'with no other capability' },
    async experiment({ outer, arm, variant, fresh }) {
      if (arm === 'control') {
        const only = await outer.spawn('only CAP_SYS_ADMIN')
        await only.setCapabilities(['CAP_SYS_ADMIN'], true)
        return { made: await attempt(only, variant, ['NEWIPC']), user: null, bare: null, others: null }
      }
      const user = await outer.spawn('unprivileged user')
      await user.becomeUser(fresh.uid())
      const bare = await outer.spawn('root without capabilities')
      await bare.setCapabilities([], true)
      const others = await outer.spawn('root with every other capability')
      await giveUp(others, 'CAP_SYS_ADMIN')
      return {
        made: null,
        user: await attempt(user, variant, ['NEWIPC']),
        bare: await attempt(bare, variant, ['NEWIPC']),
        others: await attempt(others, variant, ['NEWIPC']),
      }
    },
    treatment: () => ({ user: EPERM, bare: EPERM, others: EPERM }),
    control: () => ({ made: 'made' }),
  })

  ent.comparison('ENT-09', {
    says: 'CLONE_NEWUSER with CLONE_NEWIPC needs no privilege: the new user namespace owns the IPC namespace',
    source: ['user_namespaces(7)', 'unshare(2) NOTES', 'kernel/nsproxy.c: create_new_namespaces'],
    needs: ['CAP_SETUID', 'unprivileged user namespaces', 'NS_GET_USERNS', 'clone3'],
    since: '3.8',
    variants: CALLS,
    arms: { treatment: 'both flags', control: 'CLONE_NEWIPC alone' },
    async experiment({ outer, arm, variant, fresh }) {
      const user = await outer.spawn('unprivileged user')
      await user.becomeUser(fresh.uid())
      if (arm === 'control') return { made: await attempt(user, variant, ['NEWIPC']), before: '', now: '' }
      const before = await namespaceOf(user)
      const call = variant === 'clone3' ? 'clone3' : 'clone'
      const inside = await user.trySpawn('inside', variant === 'unshare' ? [] : ['NEWUSER', 'NEWIPC'], {
        call,
      })
      if (failed(inside)) return { made: inside, before, now: '' }
      if (variant === 'unshare') await inside.unshare(CLONE.NEWUSER | CLONE.NEWIPC)
      const owner = await inside.try.ioctl(await inside.open('/proc/self/ns/ipc', O_RDONLY), NS_GET_USERNS)
      const own = (await inside.stat('/proc/self/ns/user')).ino
      return {
        made: 'made',
        before,
        now: await namespaceOf(inside),
        ownedByNewUserNamespace: failed(owner) ? owner : (await inside.fstat(owner)).ino === own,
      }
    },
    treatment: ({ before }) => ({ made: 'made', now: differs(before), ownedByNewUserNamespace: true }),
    control: () => ({ made: EPERM }),
  })
}
