/** kernel.shm_rmid_forced: one of each namespace, and what it destroys when. */
import {
  BYTES,
  FORCED_ARMS,
  FORCED_FILE,
  getForced,
  makeOrphan,
  makeSegment,
  segmentIs,
  setForced,
} from '../../fixtures/forced.ts'
import { withInitialSysctl } from '../../fixtures/initial-sysctls.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EACCES,
  EINVAL,
  type Flag,
  failed,
  having,
  IPC_PRIVATE,
  type Member,
  oneOf,
  touchesInitial,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'

/** Cells run side by side, but there is one initial namespace: one at a time writes its value. */
function inTurn<Value>({ scene }: VisibilityWorld, work: () => Promise<Value>): Promise<Value> {
  return touchesInitial(scene) ? withInitialSysctl('shm_rmid_forced', work) : work()
}

/** Adds the rules. */
export function forcedRules(sha: Area): void {
  sha.visibility('SHA-09', {
    says: 'shm_rmid_forced belongs to one IPC namespace and starts at 0: set in one, it is not set in another nor in a new one, and destroys nothing there',
    source: [
      'ipc_namespaces(7)',
      'proc_sys_kernel(5) shm_rmid_forced',
      'ipc/ipc_sysctl.c',
      'ipc/shm.c: shm_destroy_orphaned',
    ],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.1',
    aboutFlags: ['NEWUSER'],
    writesSysctls: true,
    experiment: (world) =>
      inTurn(world, async () => {
        const { actor, observer, relation, fresh } = world
        // The side in the outer user namespace sets it: before 6.9 the other one may not.
        const [setter, other] = relation.user === 'actor-below' ? [observer, actor] : [actor, observer]
        const was = await setter.readFile(FORCED_FILE)
        const found = await getForced(other)
        if (was !== '0\n') await setter.writeFile(FORCED_FILE, '0')
        const key = fresh.key()
        const orphan = await makeOrphan(other, key)
        const before = await segmentIs(other, orphan, key)
        const own = fresh.key()
        const ownOrphan = await makeOrphan(setter, own)
        const written = await setter.try.writeFile(FORCED_FILE, '1')
        const set = await getForced(setter)
        // A new namespace starts at 0, made by either call from where it is 1.
        const cloned = await setter.spawn('cloned', ['NEWIPC'])
        const unshared = await setter.spawn('unshared')
        const inherited = await getForced(unshared)
        await unshared.unshare(CLONE.NEWIPC)
        const newborn = [await getForced(cloned), await getForced(unshared)]
        const elsewhere = await getForced(other)
        const after = await segmentIs(other, orphan, key)
        const ownAfter = await segmentIs(setter, ownOrphan, own)
        const later = fresh.key()
        const laterOrphan = await makeOrphan(other, later)
        const laterIs = await segmentIs(other, laterOrphan, later)
        const back = await setter.try.writeFile(FORCED_FILE, '0')
        // The other direction of the value: 0 here is not 0 there.
        const wroteThere = await other.try.writeFile(FORCED_FILE, '1')
        const here = await getForced(setter)
        const unforced = fresh.key()
        const keptOrphan = await makeOrphan(setter, unforced)
        const kept = await segmentIs(setter, keptOrphan, unforced)
        if (!failed(wroteThere)) await other.writeFile(FORCED_FILE, '0')
        if (was !== '0\n') await setter.writeFile(FORCED_FILE, was)
        if (failed(written))
          world.note('root of a user namespace may not set shm_rmid_forced of its own (before 6.9)')
        return {
          written,
          found,
          before,
          set,
          inherited,
          newborn,
          elsewhere,
          after,
          ownAfter,
          laterIs,
          back,
          wroteThere,
          here,
          kept,
        }
      }),
    shared: ({ written, wroteThere }, { relation }) =>
      // Both sides in user namespaces that do not own this one: neither may write.
      failed(written) && relation.user === 'apart'
        ? { before: 'there', set: 0, elsewhere: 0, after: 'there', ownAfter: 'there', laterIs: 'there' }
        : {
            written: 1,
            before: 'there',
            set: 1,
            inherited: 1,
            newborn: [0, 0],
            elsewhere: 1,
            after: 'gone',
            ownAfter: 'gone',
            laterIs: 'gone',
            back: 1,
            // From a user namespace of one's own it depends on the ids that are mapped into it.
            wroteThere: relation.user === 'same' ? 1 : oneOf(1, EACCES),
            here: failed(wroteThere) ? 0 : 1,
            kept: failed(wroteThere) ? 'there' : 'gone',
          },
    isolated: ({ written }, { relation, scene }) => {
      const otherIsInitial = scene.direction === 'child-to-initial' && relation.user === 'same'
      const found = otherIsInitial ? {} : { found: 0 }
      return failed(written) && relation.user === 'apart'
        ? { ...found, before: 'there', set: 0, elsewhere: 0, after: 'there', laterIs: 'there', kept: 'there' }
        : {
            ...found,
            written: 1,
            before: 'there',
            set: 1,
            inherited: 1,
            newborn: [0, 0],
            elsewhere: 0,
            after: 'there',
            ownAfter: 'gone',
            laterIs: 'there',
            back: 1,
            wroteThere: relation.user === 'same' ? 1 : oneOf(1, EACCES),
            here: 0,
            kept: 'there',
          }
    },
  })

  sha.comparison('SHA-10', {
    says: 'where shm_rmid_forced is 1 a segment is destroyed when its last attachment goes, by shmdt, exit, SIGKILL or exec, from whichever namespace; exec, where the task lives on, destroys none that it made',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/shm.c: shm_may_destroy, __shm_close'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.1',
    arms: FORCED_ARMS,
    flags: [['NEWIPC'], ['NEWIPC', 'NEWPID'], ['NEWIPC', 'NEWUSER']],
    variants: ['shmdt', 'exit', 'SIGKILL', 'exec', 'shmdt elsewhere', 'exit elsewhere'],
    async experiment(world) {
      const { outer, enter, arm, variant, fresh } = world
      const home = await enter('home')
      if (arm === 'treatment') await setForced(outer, home, 1)
      const key = fresh.key()
      const segment = await makeSegment(home, key)
      const first = await home.spawn('first')
      const memory = await first.shmat(segment)
      const second = await home.spawn('second')
      const other = await second.shmat(segment)
      const own = fresh.key()
      const made = await makeSegment(second, own)
      await first.shmdt(memory)
      const oneLeft = await segmentIs(home, segment, key)
      const unattached = fresh.key()
      const neverAttached = await makeSegment(home, unattached)
      if (variant.endsWith('elsewhere')) {
        await second.unshare(CLONE.NEWIPC)
        // The value where the detaching process is must not decide.
        if (arm === 'control') await setForced(outer, second, 1)
      }
      switch (variant.split(' ')[0]) {
        case 'shmdt':
          await second.shmdt(other)
          break
        case 'exit':
          await second.exitAndReap()
          break
        case 'SIGKILL':
          await second.killAndReap()
          break
        default:
          await second.execProbe()
      }
      return {
        oneLeft,
        noneLeft: await segmentIs(home, segment, key),
        neverAttached: await segmentIs(home, neverAttached, unattached),
        made: await segmentIs(home, made, own),
      }
    },
    treatment: (_, { variant }) => ({
      oneLeft: 'there',
      noneLeft: 'gone',
      neverAttached: 'there',
      // Never attached either: those go with the task, or when it leaves by unshare.
      made: variant === 'shmdt' || variant === 'exec' ? 'there' : 'gone',
    }),
    control: () => ({ oneLeft: 'there', noneLeft: 'there', neverAttached: 'there', made: 'there' }),
  })

  sha.comparison('SHA-11', {
    // That the task is a thread, not a process, is in no manual page.
    says: 'where shm_rmid_forced is 1 an unattached segment is destroyed when the task that made it ends, and not by its execve; one that is attached then, when it is detached',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'shm_rmid_forced', 'PID_NS'],
    since: '3.1',
    arms: FORCED_ARMS,
    flags: [['NEWIPC'], ['NEWIPC', 'NEWPID'], ['NEWIPC', 'NEWUSER']],
    variants: ['exit', 'SIGKILL', 'exit in a pid namespace of its own', 'exit of a thread'],
    async experiment(world) {
      const { outer, enter, arm, variant, fresh, eventually } = world
      const home = await enter('home')
      if (arm === 'treatment') await setForced(outer, home, 1)
      // In pid namespaces of their own both makers are pid 1: pids must not decide.
      const own: Flag[] = variant.includes('pid namespace') ? ['NEWPID'] : []
      const bystander = await home.spawn('bystander', own)
      const keys = [fresh.key(), fresh.key(), fresh.key(), fresh.key()] as const
      // Before the process becomes another program, where it needs threads: execve ends no task.
      const bystanders = await makeSegment(bystander, keys[2])
      const maker =
        variant === 'exit of a thread' ? await withThread(bystander, 'maker') : await home.spawn('maker', own)
      const unattached = await makeSegment(maker, keys[0])
      const attached = await makeSegment(maker, keys[1])
      const withoutKey = await makeSegment(maker, IPC_PRIVATE)
      const homes = await makeSegment(home, keys[3])
      const memory = await home.shmat(attached)
      const other = await home.spawn('other')
      await other.exitAndReap()
      const otherEnded = await segmentIs(home, unattached, keys[0])
      if (variant === 'exit of a thread') await endThread(maker, eventually)
      else if (variant === 'SIGKILL') await maker.killAndReap()
      else await maker.exitAndReap()
      const seen = {
        otherEnded,
        unattached: await segmentIs(home, unattached, keys[0]),
        withoutKey: await home.try.shmctlStat(withoutKey),
        attached: await segmentIs(home, attached, keys[1]),
        bystanders: await segmentIs(home, bystanders, keys[2]),
        homes: await segmentIs(home, homes, keys[3]),
      }
      await home.shmdt(memory)
      return { ...seen, detached: await segmentIs(home, attached, keys[1]) }
    },
    treatment: () => ({
      otherEnded: 'there',
      unattached: 'gone',
      withoutKey: EINVAL,
      attached: 'there',
      bystanders: 'there',
      homes: 'there',
      detached: 'gone',
    }),
    control: () => ({
      otherEnded: 'there',
      unattached: 'there',
      withoutKey: having({ segsz: BYTES }),
      attached: 'there',
      bystanders: 'there',
      homes: 'there',
      detached: 'there',
    }),
  })

  sha.comparison('SHA-12', {
    // proc_sys_kernel(5) claims that all unattached segments go.
    says: 'writing 1 to shm_rmid_forced destroys the unattached segments whose maker is gone, and no others',
    source: ['ipc/shm.c: shm_try_destroy_orphaned', 'proc_sys_kernel(5) shm_rmid_forced'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.1',
    arms: { treatment: '1 is written', control: '0 is written' },
    async experiment({ outer, arm, fresh, note }) {
      const keys = [fresh.key(), fresh.key(), fresh.key(), fresh.key()] as const
      const home = await outer.spawn('home', ['NEWIPC'])
      const maker = await home.spawn('maker')
      const mine = await makeSegment(home, keys[0])
      const living = await makeSegment(maker, keys[1])
      const orphan = await makeOrphan(home, keys[2])
      const attached = await makeOrphan(home, keys[3])
      const memory = await home.shmat(attached)
      // That it has no key, or that somebody once attached it, makes no difference.
      const withoutKey = await makeOrphan(home, IPC_PRIVATE)
      const usedKey = fresh.key()
      const used = await makeOrphan(home, usedKey)
      await home.shmdt(await home.shmat(used))
      // Nor does it that it is locked into memory, where RLIMIT_MEMLOCK has room for that.
      const lockedKey = fresh.key()
      const locked = await makeOrphan(home, lockedKey)
      if (failed(await home.try.shmctlLock(locked))) note('no segment may be locked into memory')
      const lockedBefore = await segmentIs(home, locked, lockedKey)
      const before = await segmentIs(home, orphan, keys[2])
      const usedBefore = await segmentIs(home, used, usedKey)
      await home.writeFile(FORCED_FILE, arm === 'treatment' ? '1' : '0')
      const seen = {
        before,
        usedBefore,
        lockedBefore,
        mine: await segmentIs(home, mine, keys[0]),
        living: await segmentIs(home, living, keys[1]),
        used: await segmentIs(home, used, usedKey),
        locked: await segmentIs(home, locked, lockedKey),
        orphan: await segmentIs(home, orphan, keys[2]),
        withoutKey: await home.try.shmctlStat(withoutKey),
        attached: await segmentIs(home, attached, keys[3]),
      }
      await home.shmdt(memory)
      return { ...seen, detached: await segmentIs(home, attached, keys[3]) }
    },
    treatment: () => ({
      before: 'there',
      mine: 'there',
      living: 'there',
      usedBefore: 'there',
      used: 'gone',
      lockedBefore: 'there',
      locked: 'gone',
      orphan: 'gone',
      withoutKey: EINVAL,
      attached: 'there',
      detached: 'gone',
    }),
    control: () => ({
      before: 'there',
      mine: 'there',
      living: 'there',
      usedBefore: 'there',
      used: 'there',
      lockedBefore: 'there',
      locked: 'there',
      orphan: 'there',
      withoutKey: having({ segsz: BYTES }),
      attached: 'there',
      detached: 'there',
    }),
  })

  sha.comparison('SHA-13', {
    says: 'shm_rmid_forced takes 0 and 1 only; any other number is EINVAL and changes nothing',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/ipc_sysctl.c: proc_dointvec_minmax'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.1',
    arms: { treatment: 'other numbers', control: '0 and 1' },
    async experiment({ outer, arm }) {
      const member = await outer.spawn('member', ['NEWIPC'])
      const results: unknown[] = []
      const values: number[] = []
      for (const from of ['0', '1'])
        for (const number of arm === 'treatment' ? ['2', '-1', '256', '65536'] : ['0', '1']) {
          await member.writeFile(FORCED_FILE, from)
          results.push(await member.try.writeFile(FORCED_FILE, number))
          values.push(await getForced(member))
        }
      return { results, values }
    },
    treatment: () => ({
      results: Array.from({ length: 8 }, () => EINVAL),
      values: [0, 0, 0, 0, 1, 1, 1, 1],
    }),
    control: () => ({ results: [1, 1, 1, 1], values: [0, 1, 0, 1] }),
  })
}

/** Ends one thread by exit(2), which answers nothing, and waits until it is gone. */
async function endThread(thread: Member, eventually: ComparisonWorld['eventually']): Promise<void> {
  const task = `/proc/${await thread.readlink('/proc/thread-self')}`
  const main = thread.process.creator
  thread.process.call('exitThread', []).catch(() => undefined)
  await eventually(
    async () => main?.must('exists', [task]),
    (exists) => exists === false,
  )
}
