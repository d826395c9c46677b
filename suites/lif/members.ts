/** When members go: the last one's end is the namespace's end, whichever way it goes, and no earlier one's. */
import { type Ending, endMembership, joinIpc, WITH_NEWUSER } from '../../fixtures/leaving.ts'
import {
  EVIDENCE_NEEDS,
  EVIDENCES,
  type Evidence,
  furnish,
  inhabit,
  inspectThrough,
  joinAs,
  proofBy,
} from '../../fixtures/lifetime.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  type Flag,
  IPC_CREAT,
  type Member,
  O_RDONLY,
  PTRACE_SEIZE,
  procPid,
  SIGCONT,
  SIGKILL,
  SIGSTOP,
  SIGTERM,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'
import { type NamespaceWatch, watchNamespace } from '../../fixtures/sensors.ts'
import { withThread } from '../../fixtures/threads.ts'

const AS_INIT = 'exited as init of a pid namespace'
const FROM_INITIAL = 'namespace, made from the initial one'
const BY_SIGTERM = 'namespace, by SIGTERM'
const WITH_OTHERS = 'namespace, at one moment with four others'

/** State letter of /proc/PID/stat: S sleeping, T stopped, t traced, Z zombie. */
async function stateOf(looker: Member, pid: string): Promise<string> {
  const stat = await looker.readFile(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).charAt(0)
}

/** exit(2) without anybody reaping it. */
async function exitUnreaped(member: Member): Promise<void> {
  await member.process.call('exitNow', [0]).catch(() => undefined)
}

/** Adds the rules. */
export function memberRules(lif: Area): void {
  const endings: { id: string; ending: Ending; how: string; more: string[] }[] = [
    { id: 'LIF-01', ending: 'exit', how: 'exits', more: [] },
    { id: 'LIF-02', ending: 'SIGKILL', how: 'is killed', more: [WITH_OTHERS, BY_SIGTERM] },
  ]
  for (const { id, ending, how, more } of endings)
    lif.comparison(id, {
      says: `when the last member ${how}, the IPC namespace and the objects of every family in it are destroyed`,
      source: ['ipc_namespaces(7)', 'ipc/namespace.c: put_ipc_ns, free_ipc_ns'],
      needs: EVIDENCE_NEEDS,
      since: '2.6.19',
      arms: { treatment: 'no member is left', control: 'another member is left' },
      flags: 'with NEWIPC',
      via: SYSTEM_CALL_WAYS,
      variants: [...EVIDENCES, FROM_INITIAL, ...more],
      async experiment(world) {
        const fromInitial = world.variant === FROM_INITIAL
        const [evidence] = world.variant.split(', ')
        const proof = await proofBy(world, evidence as Evidence)
        const home = fromInitial ? await world.initial() : proof.home
        // No signal but SIGKILL ends pid 1 of a pid namespace.
        const bySigterm = world.variant === BY_SIGTERM
        const flags = bySigterm ? proof.flags.filter((flag) => flag !== 'NEWPID') : proof.flags
        const members = await inhabit(world, home, flags)
        if (world.arm === 'control') await joinAs('another', home, members[0])
        await proof.begin(members.at(-1) ?? members[0])
        const others = world.variant === WITH_OTHERS ? await fourOthers(world) : NO_OTHERS
        const before = await proof.look()
        // Not one after another: the kernel frees in one go what died since it last did.
        const othersEnd = others.end()
        for (const member of members.reverse())
          if (bySigterm) await member.killAndReap(SIGTERM)
          else await endMembership(member, ending)
        await othersEnd
        return {
          before,
          after: world.arm === 'treatment' ? await proof.end() : await proof.look(),
          others: await others.look(),
        }
      },
      treatment: ({ others }) => ({
        before: 'alive',
        after: 'destroyed',
        others: others.map(() => 'destroyed'),
      }),
      control: ({ others }) => ({ before: 'alive', after: 'alive', others: others.map(() => 'destroyed') }),
    })

  const leaving: readonly Ending[] = ['unshare', WITH_NEWUSER, 'setns', 'setns by pidfd']
  lif.comparison('LIF-03', {
    says: 'when the last member leaves by unshare or setns and lives on elsewhere, the IPC namespace and its objects are destroyed',
    source: ['ipc_namespaces(7)', 'namespaces(7)', 'kernel/nsproxy.c: switch_task_namespaces'],
    needs: [...EVIDENCE_NEEDS, 'pidfd setns'],
    since: '2.6.19',
    arms: { treatment: 'the last one leaves', control: 'another stays' },
    variants: leaving.flatMap((how) => EVIDENCES.map((evidence) => `${how}, ${evidence}`)),
    variantNeeds: Object.fromEntries(
      EVIDENCES.map((evidence) => [`${WITH_NEWUSER}, ${evidence}`, ['USER_NS'] as const]),
    ),
    async experiment(world) {
      const [how, evidence] = world.variant.split(', ') as [Ending, Evidence]
      const proof = await proofBy(world, evidence, 1)
      const member = await proof.home.spawn('member', ['NEWIPC'])
      if (world.arm === 'control') await joinAs('another', proof.home, member)
      await proof.begin(member)
      const before = await proof.look()
      await endMembership(member, how)
      const after = world.arm === 'treatment' ? await proof.end() : await proof.look()
      return { before, after, lives: await member.try.ping() }
    },
    treatment: () => ({ before: 'alive', after: 'destroyed', lives: 0 }),
    control: () => ({ before: 'alive', after: 'alive', lives: 0 }),
  })

  lif.comparison('LIF-04', {
    says: 'a zombie is no member: its IPC namespace is destroyed before anybody reaps it',
    source: ['ipc_namespaces(7)', 'kernel/exit.c: do_exit, exit_task_namespaces'],
    needs: ['POSIX_MQUEUE'],
    arms: { treatment: 'the only member is a zombie', control: 'it sleeps' },
    flags: 'with NEWIPC',
    variants: ['exited', 'killed', AS_INIT],
    variantNeeds: { [AS_INIT]: ['PID_NS'] },
    async experiment(world) {
      const { outer, enter, arm, variant, flags } = world
      const member = await enter('member', variant === AS_INIT ? { flags: [...flags, 'NEWPID'] } : {})
      const pid = await procPid(member)
      const watch = await watchNamespace(outer, member)
      if (arm === 'treatment') {
        if (variant === 'killed') await outer.kill(member.pid, SIGKILL)
        else await exitUnreaped(member)
      }
      const wanted = arm === 'treatment' ? 'Z' : 'S'
      const is = await world.eventually(
        () => stateOf(outer, pid),
        (seen) => seen === wanted,
      )
      const twin = await watch.seeTwinDie(world)
      const namespace = arm === 'treatment' ? await watch.end(world) : await watch.look()
      return { is, twin, namespace, still: await stateOf(outer, pid) }
    },
    treatment: () => ({ is: 'Z', twin: 'destroyed', namespace: 'destroyed', still: 'Z' }),
    control: () => ({ is: 'S', twin: 'destroyed', namespace: 'alive', still: 'S' }),
  })

  lif.comparison('LIF-05', {
    says: 'a stopped, a traced and an orphaned process are members: the IPC namespace lives as long as they do',
    source: ['ipc_namespaces(7)', 'kernel/nsproxy.c: exit_task_namespaces'],
    needs: ['POSIX_MQUEUE', 'CAP_SYS_PTRACE'],
    arms: { treatment: 'it lives in that state', control: 'it dies in that state' },
    variants: ['stopped', 'traced', 'orphaned'],
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const parent = await outer.spawn('parent')
      const member = await parent.spawn('member', ['NEWIPC'], { outlive: true })
      const pid = await procPid(member)
      const watch = await watchNamespace(outer, member)
      const furniture = await furnish(member, fresh)
      const tracer = await outer.spawn('tracer')
      switch (variant) {
        case 'stopped':
          await parent.kill(member.pid, SIGSTOP)
          break
        case 'traced':
          await tracer.ptrace(PTRACE_SEIZE, member.pid)
          await tracer.ptrace(PTRACE_INTERRUPT, member.pid)
          break
        default:
          await parent.exitAndReap()
      }
      const wanted = { stopped: 'T', traced: 't', orphaned: 'S' }[variant]
      const is = await world.eventually(
        () => stateOf(outer, pid),
        (seen) => seen === wanted,
      )
      if (arm === 'control') await outer.kill(member.pid, SIGKILL)
      const twin = await watch.seeTwinDie(world)
      const namespace = arm === 'control' ? await watch.end(world) : await watch.look()
      if (arm === 'control') return { is, twin, namespace, objects: 'gone', afterDeath: namespace }
      const nsfd = await tracer.open(`/proc/${pid}/ns/ipc`, O_RDONLY)
      const objects = await inspectThrough(tracer, nsfd, furniture)
      await tracer.close(nsfd)
      if (variant === 'stopped') await parent.kill(member.pid, SIGCONT)
      await outer.kill(member.pid, SIGKILL)
      return { is, twin, namespace, objects, afterDeath: await watch.end(world) }
    },
    treatment: (_seen, { variant }) => ({
      is: { stopped: 'T', traced: 't', orphaned: 'S' }[variant],
      twin: 'destroyed',
      namespace: 'alive',
      objects: 'intact',
      afterDeath: 'destroyed',
    }),
    control: () => ({ twin: 'destroyed', namespace: 'destroyed' }),
  })

  lif.comparison('LIF-06', {
    says: 'one remaining thread keeps the IPC namespace and its objects after the rest of its process moved away',
    source: ['namespaces(7)', 'unshare(2)', 'kernel/nsproxy.c: switch_task_namespaces'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    arms: { treatment: 'one thread stays', control: 'all threads leave' },
    variants: ['main thread leaves', 'other thread leaves'],
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const main = await outer.spawn('main thread')
      const other = await withThread(main, 'other thread')
      // A program with threads has some that are no members of the experiment: they stay in the outer one.
      const [leaver, stayer] = variant === 'main thread leaves' ? [main, other] : [other, main]
      await leaver.unshare(CLONE.NEWIPC)
      await joinIpc(stayer, leaver)
      const watch = await watchNamespace(outer, leaver)
      const furniture = await furnishByJoining(outer, leaver, fresh)
      await leaver.unshare(CLONE.NEWIPC)
      if (arm === 'control') await stayer.unshare(CLONE.NEWIPC)
      const twin = await watch.seeTwinDie(world)
      const namespace = arm === 'control' ? await watch.end(world) : await watch.look()
      const intact = (await furniture.inspect(stayer)) === 'intact'
      // exit(2) of the one thread answers nothing; the main one must live on for it.
      if (variant === 'main thread leaves') other.process.call('exitThread', []).catch(() => undefined)
      else await main.unshare(CLONE.NEWIPC)
      return { twin, namespace, intact, afterwards: await watch.end(world), lives: await main.try.ping() }
    },
    treatment: () => ({
      twin: 'destroyed',
      namespace: 'alive',
      intact: true,
      afterwards: 'destroyed',
      lives: 0,
    }),
    control: () => ({
      twin: 'destroyed',
      namespace: 'destroyed',
      intact: false,
      afterwards: 'destroyed',
      lives: 0,
    }),
  })

  lif.comparison('LIF-07', {
    says: 'the death of a pid namespace’s init kills all members of an IPC namespace made with it, and so destroys that and its objects',
    source: ['pid_namespaces(7)', 'kernel/pid_namespace.c: zap_pid_ns_processes'],
    needs: EVIDENCE_NEEDS,
    since: '2.6.24',
    arms: { treatment: 'a pid namespace of their own', control: 'the outer pid namespace' },
    flags: [['NEWIPC', 'NEWPID']],
    variants: EVIDENCES,
    async experiment(world) {
      const { arm } = world
      const proof = await proofBy(world, world.variant as Evidence)
      const flags: Flag[] = arm === 'treatment' ? ['NEWIPC', 'NEWPID'] : ['NEWIPC']
      const init = await proof.home.spawn('init', flags)
      const daemons = [
        await init.spawn('first daemon', [], { outlive: true }),
        await init.spawn('second daemon', [], { outlive: true }),
      ]
      // In the control arm another pid namespace lives as long, so that the same count of them is there.
      if (arm === 'control') await proof.home.spawn('init of another pid namespace', ['NEWPID'])
      await proof.begin(init)
      const before = await proof.look()
      await init.killAndReap()
      const after = arm === 'treatment' ? await proof.end() : await proof.look()
      const daemon = daemons[0]?.process.alive
      return { before, after, daemon }
    },
    treatment: () => ({ before: 'alive', after: 'destroyed' }),
    control: () => ({ before: 'alive', after: 'alive', daemon: true }),
  })

  lif.comparison('LIF-08', {
    says: 'an IPC namespace made apart from a pid namespace outlives it, with the objects that the dead made and their pids',
    source: ['ipc_namespaces(7)', 'pid_namespaces(7)', 'ipc/util.c: ipc_update_pid'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE', 'PID_NS'],
    since: '4.17',
    arms: { treatment: 'made before the pid namespace', control: 'made together with it' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const together = arm === 'control'
      const member = together ? outer : await outer.spawn('member', ['NEWIPC'])
      const init = await member.spawn('init', together ? ['NEWIPC', 'NEWPID'] : ['NEWPID'])
      const watch = await watchNamespace(outer, init)
      const furniture = await furnish(init, fresh)
      const key = fresh.key()
      const segment = await init.shmget(key, 4096, IPC_CREAT | 0o600)
      const queue = await init.msgget(key, IPC_CREAT | 0o600)
      await init.msgsnd(queue, 1, 'from the dead', 0)
      const set = await init.semget(key, 1, IPC_CREAT | 0o600)
      await init.semctlSetValue(set, 0, 9)
      await init.killAndReap()
      const twin = await watch.seeTwinDie(world)
      if (together) return { twin, namespace: await watch.end(world) }
      const found = await member.try.shmctlStat(segment)
      const messages = await member.try.msgctlStat(queue)
      return {
        twin,
        namespace: await watch.look(),
        objects: await furniture.inspect(member),
        byKey: (await member.try.shmget(key, 0, 0)) === segment,
        cpid: 'cpid' in found && found.cpid === init.pid,
        lspid: 'lspid' in messages && messages.lspid === init.pid,
        sempid: (await member.try.semctlGet(set, 0, 'GETPID')) === init.pid,
      }
    },
    treatment: () => ({
      twin: 'destroyed',
      namespace: 'alive',
      objects: 'intact',
      byKey: true,
      cpid: true,
      lspid: true,
      sempid: true,
    }),
    control: () => ({ twin: 'destroyed', namespace: 'destroyed' }),
  })

  lif.comparison('LIF-20', {
    says: 'the order in which members go does not matter: the objects stay until the last one has gone',
    source: ['ipc_namespaces(7)', 'ipc/namespace.c: put_ipc_ns'],
    needs: ['SYSVIPC', 'POSIX_MQUEUE'],
    arms: { treatment: 'one of four is left', control: 'none is left' },
    flags: 'with NEWIPC',
    variants: ['the first', 'its child', 'its grandchild', 'one that joined'],
    async experiment(world) {
      const { outer, enter, arm, variant, fresh, flags } = world
      const first = await enter('the first')
      const child = await first.spawn('its child', [], { outlive: true })
      const grandchild = await child.spawn('its grandchild', [], { outlive: true })
      const joined = await joinAs('one that joined', outer, first)
      const watch = await watchNamespace(outer, first)
      const furniture = await furnish(first, fresh)
      // Pid 1 of a pid namespace takes the others of it along.
      const last = flags.includes('NEWPID') && variant.startsWith('its') ? 'one that joined' : variant
      const ways: Ending[] = ['SIGKILL', 'unshare', 'exit', 'setns']
      for (const [turn, member] of [grandchild, child, joined, first].entries())
        if (member.name !== last) await leave(member, ways[turn] ?? 'exit')
      const remaining = [first, child, grandchild, joined].find((member) => member.name === last) ?? first
      const twin = await watch.seeTwinDie(world)
      const namespace = await watch.look()
      const objects = await furniture.inspect(remaining)
      if (arm === 'treatment') return { twin, namespace, objects }
      await leave(remaining, 'unshare')
      return { twin, namespace: await watch.end(world), objects }
    },
    treatment: () => ({ twin: 'destroyed', namespace: 'alive', objects: 'intact' }),
    control: () => ({ twin: 'destroyed', namespace: 'destroyed', objects: 'intact' }),
  })
}

/** IPC namespaces that end by their members' death. */
interface Others {
  /** Kills every member at once. */
  end(): Promise<unknown>
  /** How each is in the end: `'destroyed'`, or what is seen after five seconds. */
  look(): Promise<string[]>
}

const NO_OTHERS: Others = { end: async () => undefined, look: async () => [] }

async function fourOthers(world: ComparisonWorld): Promise<Others> {
  // Its death kills them all in one go.
  const init = await world.outer.spawn('init of the others', ['NEWPID'])
  const watches: NamespaceWatch[] = []
  for (const name of ['one', 'another', 'a third', 'a fourth'])
    watches.push(await watchNamespace(world.outer, await init.spawn(name, ['NEWIPC'])))
  return {
    end: () => init.killAndReap(),
    async look() {
      const seen: string[] = []
      for (const watch of watches) seen.push(await watch.end(world))
      return seen
    },
  }
}

const PTRACE_INTERRUPT = 0x4207

/** Ends a membership; an exit here need not be reaped, its creator may be gone. */
async function leave(member: Member, how: Ending): Promise<void> {
  if (how === 'exit' || how === 'SIGKILL') return exitUnreaped(member)
  await endMembership(member, how)
}

/** Furniture made by a process that joins: a program with threads cannot be cloned as a probe is. */
async function furnishByJoining(
  outer: Member,
  inside: Member,
  fresh: Parameters<typeof furnish>[1],
): ReturnType<typeof furnish> {
  const joiner = await joinAs('furnisher', outer, inside)
  const furniture = await furnish(joiner, fresh)
  await joiner.exitAndReap()
  return furniture
}
