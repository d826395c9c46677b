/**
 * LIM-15 to LIM-20: the number of IPC namespaces (user.max_ipc_namespaces), always that of a fresh user
 * namespace; the initial one's is never written.
 */
import { becomeUserWithAllCapabilities } from '../../fixtures/capabilities.ts'
import { nsfdOf } from '../../fixtures/identity.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  EACCES,
  ENOSPC,
  type Flag,
  failed,
  type Member,
  NS_FILE,
  O_RDONLY,
  type Outcome,
} from '../../fixtures/rules.ts'

const FILE = '/proc/sys/user/max_ipc_namespaces'

/** Root of a fresh user namespace that may have so many IPC namespaces of its own making. */
async function limitedRoot(
  { enter }: ComparisonWorld,
  name: string,
  limit: number,
  from?: Member,
): Promise<Member> {
  const root = await enter(name, { flags: ['NEWUSER'], ...(from ? { from } : {}) })
  await root.writeFile(FILE, String(limit))
  return root
}

/** A new IPC namespace by one of the three calls; the member that lives in it, or the errno. */
async function another(
  root: Member,
  by: 'clone' | 'clone3' | 'unshare',
  name: string,
): Promise<Outcome<Member>> {
  if (by !== 'unshare') return root.trySpawn(name, ['NEWIPC'], { call: by })
  const member = await root.spawn(name)
  const outcome = await member.try.unshare(CLONE.NEWIPC)
  return failed(outcome) ? outcome : member
}

const isMade = (seen: unknown): boolean => seen === 'made'

/** One call that makes an IPC namespace and gives it up at once. */
async function tryOne(root: Member): Promise<unknown> {
  const member = await root.trySpawn('trial', ['NEWIPC'])
  if (!failed(member)) await member.exitAndReap()
  return whetherMade(member)
}

/** Kinds of namespaces that the kernel makes after the IPC namespace of the same call. */
const LATER: readonly Flag[] = ['NEWPID', 'NEWCGROUP', 'NEWNET']

/**
 * Calls that make an IPC namespace and are refused afterwards, so that it is given up again: for want of a
 * slot for a namespace of another kind, and for a pid that is in use. More than the slots that there are.
 */
async function refuseLate(root: Member, runner: Member): Promise<void> {
  for (const kind of LATER) {
    await root.try.writeFile(`/proc/sys/user/max_${NS_FILE[kind]}_namespaces`, '0')
    await runner.try.unshare(cloneBits(['NEWIPC', kind]))
    await runner.try.cloneAndExit(cloneBits(['NEWIPC', kind]))
  }
  for (let time = 0; time < 4; time += 1) await runner.try.cloneWithPid(CLONE.NEWIPC, await runner.getpid())
}

export function ipcNamespaceCountRules(lim: Area): void {
  lim.comparison('LIM-15', {
    says: 'user.max_ipc_namespaces bounds the IPC namespaces that a user makes in a user namespace: one more is ENOSPC; the effective user is counted, and joining is not',
    source: ['namespaces(7)', 'ipc/namespace.c: inc_ipc_namespaces'],
    needs: ['UCOUNT_SYSCTL', 'USER_NS', 'CAP_SETUID'],
    since: '4.9',
    variants: ['clone', 'unshare'],
    arms: { treatment: 'the limit is reached', control: 'the limit is one higher' },
    async experiment(world) {
      const { arm, variant, eventually, fresh } = world
      const by = variant as 'clone' | 'unshare'
      const root = await limitedRoot(world, 'root', arm === 'treatment' ? 2 : 3)
      const user = await root.spawn('user')
      const one = await another(root, by, 'one')
      const two = await another(root, by, 'two')
      const third = await another(root, by, 'third')

      // Joining one that exists makes none.
      const joiner = await root.spawn('joiner')
      let joined: unknown = 'none to join'
      if (!failed(one)) {
        const nsfd = await nsfdOf(joiner, one)
        joined = await joiner.try.setns(nsfd, CLONE.NEWIPC)
        await joiner.close(nsfd)
      }
      // Another user of the same user namespace has an account of their own.
      await becomeUserWithAllCapabilities(user, fresh.uid())
      const byOther = await user.try.unshare(CLONE.NEWIPC)
      // Whose real user alone is another has the account of the effective one, which is used up.
      const halfway = await root.spawn('root with another real user')
      await halfway.setresuid(fresh.uid(), 0, 0)
      const byRealOther = await halfway.try.unshare(CLONE.NEWIPC)

      const fourth = await another(root, by, 'fourth')
      if (!failed(two)) await two.exitAndReap()
      const afterDeath = await eventually(() => tryOne(root), isMade)
      await root.writeFile(FILE, '5')
      const raised = await eventually(() => tryOne(root), isMade)
      return {
        one: whetherMade(one),
        two: whetherMade(two),
        third: whetherMade(third),
        joined,
        byOther,
        byRealOther,
        fourth: whetherMade(fourth),
        afterDeath,
        raised,
      }
    },
    treatment: () => ({
      one: 'made',
      two: 'made',
      third: ENOSPC,
      joined: 0,
      byOther: 0,
      byRealOther: ENOSPC,
      fourth: ENOSPC,
      afterDeath: 'made',
      raised: 'made',
    }),
    control: () => ({
      one: 'made',
      two: 'made',
      third: 'made',
      joined: 0,
      byOther: 0,
      byRealOther: ENOSPC,
      fourth: ENOSPC,
      afterDeath: 'made',
      raised: 'made',
    }),
  })

  lim.comparison('LIM-16', {
    says: 'max_ipc_namespaces of every ancestor is enforced: a further user namespace does not escape it; what was refused or has ended counts in none of them',
    source: ['namespaces(7)', 'kernel/ucount.c: inc_ucount, dec_ucount'],
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    since: '4.9',
    variants: ['parent', 'grandparent'],
    arms: { treatment: 'the ancestor may have none', control: 'the ancestor may have one' },
    async experiment(world) {
      const { arm, enter, variant, eventually } = world
      const ancestor = await limitedRoot(world, 'ancestor', arm === 'treatment' ? 0 : 1)
      const between =
        variant === 'parent' ? ancestor : await enter('parent', { from: ancestor, flags: ['NEWUSER'] })
      const nested = await enter('nested', { from: between, flags: ['NEWUSER'] })
      const own = (await nested.readFile(FILE)).trim()
      const first = await nested.trySpawn('first', ['NEWIPC'])
      // Both in one call: the user namespace is made first, the IPC namespace counts in it and above.
      const both = await between.trySpawn('both', ['NEWUSER', 'NEWIPC'])

      // The one that ends leaves the ancestor's slot free for another.
      if (!failed(first)) await first.exitAndReap()
      const second = await (failed(first) ? tryOne(nested) : eventually(() => tryOne(nested), isMade))
      // Nothing is counted below the ancestor either: there is room for one where one is allowed.
      await nested.writeFile(FILE, '1')
      if (between !== ancestor) await between.writeFile(FILE, '1')
      await ancestor.writeFile(FILE, '1')
      const allowed = await eventually(() => tryOne(nested), isMade)
      return { own, first: whetherMade(first), both: whetherMade(both), second, allowed }
    },
    treatment: () => ({
      own: '2147483647',
      first: ENOSPC,
      both: ENOSPC,
      second: ENOSPC,
      allowed: 'made',
    }),
    control: () => ({
      own: '2147483647',
      first: 'made',
      both: ENOSPC,
      second: 'made',
      allowed: 'made',
    }),
  })

  lim.comparison('LIM-17', {
    says: 'a new user namespace starts with max_ipc_namespaces of 2147483647, whatever its parent’s is',
    source: ['namespaces(7)', 'kernel/user_namespace.c: create_user_ns'],
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    since: '4.9',
    arms: { treatment: 'a new user namespace', control: 'a child in the same' },
    async experiment(world) {
      const parent = await limitedRoot(world, 'parent', 5)
      const child = await world.enter('child', {
        from: parent,
        flags: world.arm === 'treatment' ? ['NEWUSER'] : [],
      })
      return { reads: (await child.readFile(FILE)).trim() }
    },
    treatment: () => ({ reads: '2147483647' }),
    control: () => ({ reads: '5' }),
  })

  lim.comparison('LIM-18', {
    says: 'the slot of an IPC namespace that was left, or whose maker was refused another namespace in the same call, is used again, 60 times in a row (5.8 to 6.2: after a moment)',
    source: [
      'ipc/namespace.c: create_ipc_ns, free_ipc',
      'kernel/nsproxy.c: create_new_namespaces',
      'kernel/fork.c: copy_process',
    ],
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    since: '4.9',
    arms: { treatment: 'limit 3, each left for the next', control: 'limit 3, three held' },
    async experiment(world) {
      const { arm, eventually, note } = world
      const root = await limitedRoot(world, 'root', 3)
      const runner = await root.spawn('runner')
      if (arm === 'control') {
        for (const name of ['one', 'two', 'three']) await root.spawn(name, ['NEWIPC'])
        const outcomes = [whetherMade(await runner.try.unshare(CLONE.NEWIPC))]
        await refuseLate(root, runner)
        return { outcomes, afterRefusals: whetherMade(await runner.try.unshare(CLONE.NEWIPC)) }
      }
      let refused = 0
      const once = async (): Promise<Outcome<number>> => {
        const outcome = await runner.try.unshare(CLONE.NEWIPC)
        if (failed(outcome)) refused += 1
        return outcome
      }
      const moved = async (): Promise<unknown> =>
        whetherMade(await eventually(once, (seen) => seen !== ENOSPC))
      const outcomes = new Set<unknown>()
      for (let round = 0; round < 60; round += 1) outcomes.add(await moved())
      note(refused === 0 ? 'never refused (6.3)' : 'refused until the dead are freed (5.8 to 6.2)')
      await refuseLate(root, runner)
      return { outcomes: [...outcomes], afterRefusals: await moved() }
    },
    treatment: () => ({ outcomes: ['made'], afterRefusals: 'made' }),
    control: () => ({ outcomes: [ENOSPC], afterRefusals: ENOSPC }),
  })

  lim.comparison('LIM-19', {
    says: 'the files below /proc/sys/user are those of the opener’s user namespace, also after he has left that; who writes them needs CAP_SYS_RESOURCE there',
    source: ['namespaces(7)', 'kernel/ucount.c: set_lookup, set_permissions'],
    needs: ['UCOUNT_SYSCTL', 'USER_NS'],
    since: '4.9',
    arms: { treatment: 'the writer is in a child user namespace', control: 'the writer is in the same' },
    async experiment(world) {
      const { enter, arm } = world
      const reader = await limitedRoot(world, 'reader', 5)
      const writer = await enter('writer', {
        from: reader,
        flags: arm === 'treatment' ? ['NEWUSER', 'NEWIPC'] : ['NEWIPC'],
      })
      const leaver = await reader.spawn('leaver')
      const opened = await leaver.open(FILE, O_RDONLY)
      if (arm === 'treatment') await leaver.unshare(CLONE.NEWUSER)
      const wrote = await writer.try.writeFile(FILE, '7')
      const theirs = `/proc/${await writer.readlink('/proc/self')}/root${FILE}`
      const leaverReads = text(await leaver.try.read(opened))
      // Also of the user who made the user namespace.
      const powerless = await writer.spawn('without CAP_SYS_RESOURCE')
      const every = await powerless.capabilities()
      await powerless.setCapabilities(every.filter((name) => name !== 'CAP_SYS_RESOURCE'))
      const refused = await powerless.try.writeFile(FILE, '9')
      await powerless.setCapabilities(['CAP_SYS_RESOURCE'])
      const granted = await powerless.try.writeFile(FILE, '7')
      return {
        wrote: failed(wrote) ? wrote : 0,
        leaverReads,
        withoutCapability: failed(refused) ? refused : 0,
        withCapability: failed(granted) ? granted : 0,
        writerReads: (await writer.readFile(FILE)).trim(),
        readerReads: (await reader.readFile(FILE)).trim(),
        throughTheWritersRoot: text(await reader.try.readFile(theirs)),
      }
    },
    treatment: () => ({
      wrote: 0,
      leaverReads: '5',
      withoutCapability: EACCES,
      withCapability: 0,
      writerReads: '7',
      readerReads: '5',
      throughTheWritersRoot: '5',
    }),
    control: () => ({
      wrote: 0,
      leaverReads: '7',
      withoutCapability: EACCES,
      withCapability: 0,
      writerReads: '7',
      readerReads: '7',
      throughTheWritersRoot: '7',
    }),
  })

  lim.noRule('LIM-20', {
    says: 'the memory of IPC objects is charged to the memory cgroup of whoever made or touched them, not to the namespace',
    reason:
      'it is no property of an IPC namespace, and to see it a run would have to make cgroups in the machine’s own hierarchy',
  })
}

function text(outcome: Outcome<string>): unknown {
  return failed(outcome) ? outcome : outcome.trim()
}
