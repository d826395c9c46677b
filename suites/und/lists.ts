/** Whose the undo list is: threads and children that share it, a program that goes on with it. */
import { twoOfOneIdentifier } from '../../fixtures/identifiers.ts'
import { joinIpc } from '../../fixtures/leaving.ts'
import { SYSTEM_V } from '../../fixtures/objects.ts'
import { PATIENCE_MS } from '../../fixtures/patience.ts'
import type { Elsewhere } from '../../fixtures/places.ts'
import { type Area, CLONE, type Flag, type Member, SEM_UNDO, SIGCHLD, SIGHUP } from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'
import { giveTwice, makeSet, OPERATED, operate, takeAndGive, UNDONE, valuesOf } from '../../fixtures/undo.ts'

/** The variant where the first of a pid namespace becomes another program, and exits. */
const INIT = 'execve and exit of an init'
/** The variant where the process is killed while it waits for a child that has its memory, but not its list. */
const VFORK = 'clone with CLONE_VFORK'
/** The variant where another process completes the operation, and is gone before this one. */
const WAITED = 'an operation that had to wait'
/** The variant where the parent has had a list before it has the child. */
const LATER_CHILD = 'the child of one with a list leaves'
/** The variant where the child has all namespaces of its own that it may. */
const ABROAD = 'a child in other namespaces leaves'
/** The variant where the process has further threads, and the one that leaves has a list of its own. */
const ONE_THREAD = 'one of several threads'
/** The child joins an IPC namespace that there is already. */
const BY_SETNS = 'the child leaves by setns'
/** The child stays where it is and gives up the list alone. */
const LIST_ALONE = 'the child unshares CLONE_SYSVSEM'

export function addListRules(und: Area): void {
  und.comparison('UND-06', {
    says: 'an undo list that is shared (CLONE_SYSVSEM, threads) is applied only when its last sharer leaves, gives it up or exits, also if the one who did the operation has left long ago',
    source: ['clone(2) CLONE_SYSVSEM', 'unshare(2) CLONE_SYSVSEM', 'ipc/sem.c: copy_semundo, exit_sem'],
    needs: ['SYSVIPC'],
    since: '2.6.26',
    variants: [
      'the parent leaves',
      'the child leaves',
      LATER_CHILD,
      BY_SETNS,
      LIST_ALONE,
      'the child exits',
      ABROAD,
      'a thread leaves',
    ],
    variantNeeds: { [ABROAD]: ['USER_NS', 'PID_NS', 'UTS_NS'] },
    arms: { treatment: 'one of two sharers goes', control: 'the only holder goes' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const id = await makeSet(outer, fresh.key())
      const process = await outer.spawn('process')
      let goes = process
      let stays = process
      // Up and down: nothing to undo, but there is a list.
      if (variant === LATER_CHILD)
        for (const change of [1, -1]) await process.semop(id, [{ index: 0, change, flags: SEM_UNDO }])
      if (variant !== 'a thread leaves') {
        const bits = arm === 'treatment' ? CLONE.SYSVSEM : 0
        // A list can be shared across any namespaces but IPC namespaces.
        const flags: Flag[] = variant === ABROAD ? ['NEWUSER', 'NEWPID', 'NEWNS', 'NEWUTS'] : []
        const child = await process.spawn('child', flags, { bits })
        goes = variant === 'the parent leaves' ? process : child
        stays = variant === 'the parent leaves' ? child : process
      } else if (arm === 'treatment') {
        // All threads of a process share one list.
        goes = await withThread(process, 'thread')
      } else {
        goes = await outer.spawn('single')
      }
      await operate(goes, id)
      const before = await valuesOf(outer, id)
      if (variant === 'the child exits') await goes.exitAndReap()
      else if (variant === BY_SETNS) await joinIpc(goes, await world.stranger())
      else await goes.unshare(variant === LIST_ALONE ? CLONE.SYSVSEM : CLONE.NEWIPC)
      const oneGone = await valuesOf(outer, id)
      // The one who stays can undo as before.
      await stays.semop(id, [{ index: 2, change: 1, flags: SEM_UNDO }])
      const meanwhile = await valuesOf(outer, id)
      await stays.killAndReap()
      return { before, oneGone, meanwhile, atLast: await valuesOf(outer, id) }
    },
    treatment: () => ({
      before: [...OPERATED],
      oneGone: [...OPERATED],
      meanwhile: [15, 7, 13],
      atLast: [...UNDONE],
    }),
    control: () => ({
      before: [...OPERATED],
      oneGone: [...UNDONE],
      meanwhile: [10, 10, 13],
      atLast: [...UNDONE],
    }),
  })

  und.comparison('UND-07', {
    says: 'who has entered another IPC namespace starts with an empty undo list: a set of the same identifier there gets back what was done to it there, and nothing else; setting that one’s values clears nothing of the list',
    source: ['ipc/sem.c: find_alloc_undo, exit_sem', 'unshare(2) CLONE_SYSVSEM'],
    needs: ['SYSVIPC'],
    since: '2.6.26',
    variants: ['stranger', 'child', 'parent', 'initial', 'from-initial', 'unshare'],
    arms: { treatment: 'goes on in another namespace', control: 'stays' },
    async experiment(world) {
      const { arm, variant } = world
      const where = (variant === 'unshare' ? 'stranger' : variant) as Elsewhere
      const { here, there, key, hereId, thereId } = await twoOfOneIdentifier(world, where, SYSTEM_V.sem)
      await here.semctlSetAll(hereId, [10, 10, 10])
      await there.semctlSetAll(thereId, [100, 100, 100])
      const undoer = await here.spawn('undoer')
      await operate(undoer, hereId)
      // SETVAL and SETALL make every process forget what it had to undo there, in their own namespace only.
      await undoer.semop(hereId, [{ index: 2, change: 4, flags: SEM_UNDO }])
      await here.semctlSetValue(hereId, 2, OPERATED[2])
      await there.semctlSetValue(thereId, 0, 101)
      await there.semctlSetAll(thereId, [100, 100, 100])
      const before = [await valuesOf(here, hereId), await valuesOf(there, thereId)]
      let abroad = there
      if (arm === 'treatment' && variant === 'unshare') {
        await undoer.unshare(CLONE.NEWIPC)
        await SYSTEM_V.sem.make(undoer, key)
        abroad = await undoer.spawn('reader', [], { outlive: true })
        await abroad.semctlSetAll(thereId, [100, 100, 100])
      } else if (arm === 'treatment') {
        await joinIpc(undoer, there)
      }
      const entered = [await valuesOf(here, hereId), await valuesOf(abroad, thereId)]
      await undoer.semop(arm === 'treatment' ? thereId : hereId, [
        { index: 0, change: 1, flags: SEM_UNDO },
        { index: 1, change: -1, flags: SEM_UNDO },
      ])
      const operated = [await valuesOf(here, hereId), await valuesOf(abroad, thereId)]
      await undoer.exitAndReap()
      return {
        before,
        entered,
        operated,
        atLast: [await valuesOf(here, hereId), await valuesOf(abroad, thereId)],
      }
    },
    treatment: () => ({
      before: [[...OPERATED], [100, 100, 100]],
      entered: [[...UNDONE], [100, 100, 100]],
      operated: [[...UNDONE], [101, 99, 100]],
      atLast: [[...UNDONE], [100, 100, 100]],
    }),
    control: () => ({
      before: [[...OPERATED], [100, 100, 100]],
      entered: [[...OPERATED], [100, 100, 100]],
      operated: [
        [16, 6, 12],
        [100, 100, 100],
      ],
      atLast: [[...UNDONE], [100, 100, 100]],
    }),
  })

  und.comparison('UND-08', {
    says: 'the undo list is applied when the process ends, by exit, by a signal or with its pid namespace, whose init has one as everybody; it has operations that had to wait as well as others, and outlives execve, also that of a process with threads, and a forked child has none of it, nor one by CLONE_VFORK, which the process waits for',
    source: ['semop(2) SEM_UNDO', 'ipc/sem.c: exit_sem, copy_semundo'],
    needs: ['SYSVIPC'],
    variants: [
      'SIGKILL',
      'another signal',
      'exit',
      'execve',
      'fork',
      'clone with CLONE_NEWIPC',
      'clone with CLONE_NEWPID',
      VFORK,
      WAITED,
      'end of the pid namespace',
      INIT,
    ],
    variantNeeds: {
      'clone with CLONE_NEWPID': ['PID_NS'],
      'end of the pid namespace': ['PID_NS'],
      [INIT]: ['PID_NS'],
      [VFORK]: ['PID_NS'],
    },
    arms: { treatment: 'operations with SEM_UNDO', control: 'operations without' },
    async experiment({ outer, arm, variant, fresh, eventually }) {
      const id = await makeSet(outer, fresh.key())
      // Whose death kills the process too, where it is the init of its pid namespace.
      const inOwn = variant === 'end of the pid namespace' || variant === VFORK
      const parent = inOwn ? await outer.spawn('init', ['NEWPID']) : outer
      const process = await parent.spawn('process', variant === INIT ? ['NEWPID'] : [])
      const flag = arm === 'treatment' ? SEM_UNDO : 0
      if (variant === WAITED) await operateAfterWaiting(outer, process, id, flag)
      else await operate(process, id, flag)
      const before = await valuesOf(outer, id)
      if (variant === 'execve') {
        // First by its only thread; the program that it becomes has two.
        await process.withThreads('thread')
        await process.withThreads()
      }
      if (variant === INIT) await process.execProbe()
      // Of the others nothing has to be waited for.
      let childLives = variant !== VFORK
      if (variant === VFORK) {
        // No answer comes: the process sleeps until its child ends, and is killed before. The child has the next
        // number of that pid namespace.
        process.process
          .call('cloneFunction', [CLONE.VFORK | CLONE.VM | SIGCHLD, 'pause'])
          .catch(() => undefined)
        childLives = await eventually(
          async () => (await parent.try.kill(process.pid + 1, 0)) === 0,
          (seen) => seen,
        )
      } else if (variant === 'fork' || variant.startsWith('clone')) {
        const flag = variant.split('CLONE_')[1] as Flag | undefined
        const child = await process.spawn('child', flag ? [flag] : [])
        await child.exitAndReap()
        // One that holds the list too would keep it from being applied at the end of the process.
        await process.spawn('child that lives on', flag ? [flag] : [], { outlive: true })
      }
      const meanwhile = await valuesOf(outer, id)
      // It is as good as dead when the call returns: the SIGKILL that follows finds it dying.
      if (variant === 'another signal') await outer.kill(process.pid, SIGHUP)
      if (variant === 'exit' || variant === INIT) await process.exitAndReap()
      else await (variant === 'end of the pid namespace' ? parent : process).killAndReap()
      return { before, childLives, meanwhile, atLast: await valuesOf(outer, id) }
    },
    treatment: () => ({
      before: [...OPERATED],
      childLives: true,
      meanwhile: [...OPERATED],
      atLast: [...UNDONE],
    }),
    control: () => ({
      before: [...OPERATED],
      childLives: true,
      meanwhile: [...OPERATED],
      atLast: [...OPERATED],
    }),
  })

  und.comparison('UND-09', {
    says: 'unshare(CLONE_SYSVSEM) alone applies the undo list, also that of one thread among others, needs no privilege, and leaves the IPC namespace as it is',
    source: ['unshare(2) CLONE_SYSVSEM', 'kernel/fork.c: ksys_unshare'],
    needs: ['SYSVIPC'],
    since: '2.6.26',
    variants: ['with capabilities', 'without capabilities', ONE_THREAD],
    arms: { treatment: 'CLONE_SYSVSEM', control: 'CLONE_FILES' },
    async experiment({ outer, arm, variant, fresh }) {
      const key = fresh.key()
      const id = await makeSet(outer, key)
      const process = await outer.spawn('process')
      if (variant === 'without capabilities') await process.setCapabilities([], true)
      if (variant === ONE_THREAD) {
        await process.withThreads('thread')
        // From the list that all threads share: the next operation begins one of its own.
        await process.unshare(CLONE.SYSVSEM)
      }
      await operate(process, id)
      const before = await valuesOf(outer, id)
      const namespace = await process.stat('/proc/self/ns/ipc')
      const unshared = await process.try.unshare(arm === 'treatment' ? CLONE.SYSVSEM : CLONE.FILES)
      const after = await valuesOf(outer, id)
      const now = await process.stat('/proc/self/ns/ipc')
      const found = await process.try.semget(key, 0, 0)
      return { before, unshared, after, stays: now.ino === namespace.ino, sameSet: found === id }
    },
    treatment: () => ({
      before: [...OPERATED],
      unshared: 0,
      after: [...UNDONE],
      stays: true,
      sameSet: true,
    }),
    control: () => ({
      before: [...OPERATED],
      unshared: 0,
      after: [...OPERATED],
      stays: true,
      sameSet: true,
    }),
  })
}

/** Does what `operate` does; but nothing can be taken until somebody else has put it there, who ends then. */
async function operateAfterWaiting(outer: Member, process: Member, id: number, flag: number): Promise<void> {
  const [, toTake = 0] = await outer.semctlGetAll(id, 3)
  await outer.semctlSetValue(id, 1, 0)
  await giveTwice(process, id, flag)
  const waiting = await process.block.semop(id, [...takeAndGive(flag)])
  const feeder = await outer.spawn('feeder')
  await feeder.semop(id, [{ index: 1, change: toTake }])
  await waiting.within(PATIENCE_MS)
  await feeder.exitAndReap()
}
