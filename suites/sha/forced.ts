/** kernel.shm_rmid_forced: one of each namespace, and what it destroys when. */
import { getForced, makeOrphan, makeSegment, segmentIs, setForced } from '../../fixtures/forced.ts'
import { withInitialSysctl } from '../../fixtures/initial-sysctls.ts'
import { joinIpc } from '../../fixtures/leaving.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  cloneBits,
  EACCES,
  EINVAL,
  type Flag,
  failed,
  type Member,
  oneOf,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'

const FILE = '/proc/sys/kernel/shm_rmid_forced'
const ARMS = { treatment: 'shm_rmid_forced is 1', control: 'it is 0' }

/** Cells run side by side, but there is one initial namespace: one at a time writes its value. */
function inTurn<Value>({ scene }: VisibilityWorld, work: () => Promise<Value>): Promise<Value> {
  const initial = scene.place === 'initial' || scene.direction === 'child-to-initial'
  return initial ? withInitialSysctl('kernel/shm_rmid_forced', work) : work()
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
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.1',
    writesSysctls: true,
    experiment: (world) =>
      inTurn(world, async () => {
        const { actor, observer, relation, fresh } = world
        // The side in the outer user namespace sets it: before 6.9 the other one may not.
        const [setter, other] = relation.user === 'actor-below' ? [observer, actor] : [actor, observer]
        const was = await setter.readFile(FILE)
        const found = await getForced(other)
        if (was !== '0\n') await setter.writeFile(FILE, '0')
        const key = fresh.key()
        const orphan = await makeOrphan(other, key)
        const before = await segmentIs(other, orphan, key)
        const own = fresh.key()
        const ownOrphan = await makeOrphan(setter, own)
        const written = await setter.try.writeFile(FILE, '1')
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
        const back = await setter.try.writeFile(FILE, '0')
        // The other direction of the value: 0 here is not 0 there.
        const wroteThere = await other.try.writeFile(FILE, '1')
        const here = await getForced(setter)
        const unforced = fresh.key()
        const keptOrphan = await makeOrphan(setter, unforced)
        const kept = await segmentIs(setter, keptOrphan, unforced)
        if (!failed(wroteThere)) await other.writeFile(FILE, '0')
        if (was !== '0\n') await setter.writeFile(FILE, was)
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
    says: 'where shm_rmid_forced is 1 a segment is destroyed when its last attachment goes, by shmdt, exit, SIGKILL or exec, from whichever namespace',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/shm.c: shm_may_destroy, __shm_close'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.1',
    arms: ARMS,
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
      }
    },
    treatment: () => ({ oneLeft: 'there', noneLeft: 'gone', neverAttached: 'there' }),
    control: () => ({ oneLeft: 'there', noneLeft: 'there', neverAttached: 'there' }),
  })

  sha.comparison('SHA-11', {
    // That the task is a thread, not a process, is in no manual page.
    says: 'where shm_rmid_forced is 1 an unattached segment is destroyed when the task that made it ends; one that is attached then, when it is detached',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL', 'PID_NS'],
    since: '3.1',
    arms: ARMS,
    flags: [['NEWIPC'], ['NEWIPC', 'NEWPID'], ['NEWIPC', 'NEWUSER']],
    variants: ['exit', 'SIGKILL', 'exit in a pid namespace of its own', 'exit of a thread'],
    async experiment(world) {
      const { outer, enter, arm, variant, fresh, eventually } = world
      const home = await enter('home')
      if (arm === 'treatment') await setForced(outer, home, 1)
      // In pid namespaces of their own both makers are pid 1: pids must not decide.
      const own: Flag[] = variant.includes('pid namespace') ? ['NEWPID'] : []
      const bystander = await home.spawn('bystander', own)
      const maker =
        variant === 'exit of a thread'
          ? ((await bystander.withThreads('maker'))[0] ?? bystander)
          : await home.spawn('maker', own)
      const keys = [fresh.key(), fresh.key(), fresh.key(), fresh.key()] as const
      const unattached = await makeSegment(maker, keys[0])
      const attached = await makeSegment(maker, keys[1])
      const bystanders = await makeSegment(bystander, keys[2])
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
      attached: 'there',
      bystanders: 'there',
      homes: 'there',
      detached: 'gone',
    }),
    control: () => ({
      otherEnded: 'there',
      unattached: 'there',
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
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.1',
    arms: { treatment: '1 is written', control: '0 is written' },
    async experiment({ outer, arm, fresh }) {
      const keys = [fresh.key(), fresh.key(), fresh.key(), fresh.key()] as const
      const home = await outer.spawn('home', ['NEWIPC'])
      const maker = await home.spawn('maker')
      const mine = await makeSegment(home, keys[0])
      const living = await makeSegment(maker, keys[1])
      const orphan = await makeOrphan(home, keys[2])
      const attached = await makeOrphan(home, keys[3])
      const memory = await home.shmat(attached)
      const before = await segmentIs(home, orphan, keys[2])
      await home.writeFile(FILE, arm === 'treatment' ? '1' : '0')
      const seen = {
        before,
        mine: await segmentIs(home, mine, keys[0]),
        living: await segmentIs(home, living, keys[1]),
        orphan: await segmentIs(home, orphan, keys[2]),
        attached: await segmentIs(home, attached, keys[3]),
      }
      await home.shmdt(memory)
      return { ...seen, detached: await segmentIs(home, attached, keys[3]) }
    },
    treatment: () => ({
      before: 'there',
      mine: 'there',
      living: 'there',
      orphan: 'gone',
      attached: 'there',
      detached: 'gone',
    }),
    control: () => ({
      before: 'there',
      mine: 'there',
      living: 'there',
      orphan: 'there',
      attached: 'there',
      detached: 'there',
    }),
  })

  sha.comparison('SHA-13', {
    says: 'shm_rmid_forced takes 0 and 1 only; any other number is EINVAL and changes nothing',
    source: ['proc_sys_kernel(5) shm_rmid_forced', 'ipc/ipc_sysctl.c: proc_dointvec_minmax'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.1',
    arms: { treatment: 'other numbers', control: '0 and 1' },
    async experiment({ outer, arm }) {
      const member = await outer.spawn('member', ['NEWIPC'])
      const results: unknown[] = []
      const values: number[] = []
      for (const from of ['0', '1'])
        for (const number of arm === 'treatment' ? ['2', '-1', '256', '65536'] : ['0', '1']) {
          await member.writeFile(FILE, from)
          results.push(await member.try.writeFile(FILE, number))
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

  leavingRules(sha)
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

function leavingRules(sha: Area): void {
  sha.comparison('SHA-14', {
    says: 'unshare(CLONE_NEWIPC) makes orphans of the caller’s segments: setting shm_rmid_forced there later destroys them though their maker lives',
    source: ['kernel/fork.c: ksys_unshare', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.17',
    arms: { treatment: 'the maker unshared NEWIPC', control: 'the maker unshared the rest of the flags' },
    flags: 'with NEWIPC',
    async experiment({ outer, arm, flags, fresh }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      const keys = [fresh.key(), fresh.key(), fresh.key()] as const
      const maker = await home.spawn('maker')
      const segment = await makeSegment(maker, keys[0])
      const attached = await makeSegment(maker, keys[1])
      const memory = await maker.shmat(attached)
      const homes = await makeSegment(home, keys[2])
      await maker.unshare(cloneBits(flags.filter((flag) => arm === 'treatment' || flag !== 'NEWIPC')))
      const left = await segmentIs(home, segment, keys[0])
      await home.writeFile(FILE, '1')
      const seen = {
        left,
        afterwards: await segmentIs(home, segment, keys[0]),
        attached: await segmentIs(home, attached, keys[1]),
        homes: await segmentIs(home, homes, keys[2]),
      }
      await maker.shmdt(memory)
      return {
        ...seen,
        detached: await segmentIs(home, attached, keys[1]),
        maker: await maker.try.ping(),
      }
    },
    treatment: () => ({
      left: 'there',
      afterwards: 'gone',
      attached: 'there',
      homes: 'there',
      detached: 'gone',
      maker: 0,
    }),
    control: () => ({
      left: 'there',
      afterwards: 'there',
      attached: 'there',
      homes: 'there',
      detached: 'gone',
      maker: 0,
    }),
  })

  sha.comparison('SHA-15', {
    says: 'setns out of an IPC namespace, unlike unshare, makes no orphans: setting shm_rmid_forced there later leaves the segments of the one who left',
    source: ['kernel/nsproxy.c: commit_nsset', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL', 'pidfd setns'],
    since: '3.17',
    arms: { treatment: 'the maker left by setns', control: 'the maker left by unshare' },
    variants: ['setns', 'setns by pidfd'],
    async experiment({ outer, arm, variant, fresh }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      const elsewhere = await outer.spawn('elsewhere', ['NEWIPC'])
      const keys = [fresh.key(), fresh.key()] as const
      // A child of outer, as elsewhere is: a pidfd is opened by its number.
      const maker = await joinAs('maker', outer, home)
      const segment = await makeSegment(maker, keys[0])
      const orphan = await makeOrphan(home, keys[1])
      if (arm === 'treatment') await joinIpc(maker, elsewhere, variant as 'setns' | 'setns by pidfd')
      else await maker.unshare(CLONE.NEWIPC)
      await home.writeFile(FILE, '1')
      const seen = {
        segment: await segmentIs(home, segment, keys[0]),
        orphan: await segmentIs(home, orphan, keys[1]),
        maker: await maker.try.ping(),
      }
      // Back to 0 before the maker ends: without the fix of BUG-12 its end would look in the wrong namespace.
      await home.writeFile(FILE, '0')
      return seen
    },
    treatment: () => ({ segment: 'there', orphan: 'gone', maker: 0 }),
    control: () => ({ segment: 'gone', orphan: 'gone', maker: 0 }),
  })

  sha.comparison('SHA-16', {
    says: 'unshare(CLONE_NEWIPC) where shm_rmid_forced is 1 destroys the caller’s unattached segments at once and attached ones at their last detach, even from the new namespace',
    source: ['kernel/fork.c: ksys_unshare', 'ipc/shm.c: exit_shm, __shm_close'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '3.17',
    arms: ARMS,
    flags: 'with NEWIPC',
    // Safe without the fix of BUG-12 too: no segment of a second namespace is on the task’s list.
    async experiment({ outer, arm, flags, fresh }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      if (arm === 'treatment') await home.writeFile(FILE, '1')
      const keys = [fresh.key(), fresh.key(), fresh.key()] as const
      const maker = await home.spawn('maker')
      const unattached = await makeSegment(maker, keys[0])
      const attached = await makeSegment(maker, keys[1])
      const homes = await makeSegment(home, keys[2])
      const memory = await maker.shmat(attached)
      await maker.writeMemory(memory, 'kept')
      await maker.unshare(cloneBits(flags))
      const seen = {
        unattached: await segmentIs(home, unattached, keys[0]),
        attached: await segmentIs(home, attached, keys[1]),
        content: await maker.try.peek(memory, 16),
        homes: await segmentIs(home, homes, keys[2]),
      }
      const detach = await maker.try.shmdt(memory)
      return { ...seen, detach, detached: await segmentIs(home, attached, keys[1]) }
    },
    treatment: () => ({
      unattached: 'gone',
      attached: 'there',
      content: 'kept',
      homes: 'there',
      detach: 0,
      detached: 'gone',
    }),
    control: () => ({
      unattached: 'there',
      attached: 'there',
      content: 'kept',
      homes: 'there',
      detach: 0,
      detached: 'there',
    }),
  })

  sha.comparison('SHA-17', {
    says: 'a task that made segments in two IPC namespaces has each one destroyed at its end as shm_rmid_forced of the segment’s own namespace says',
    source: ['ipc/shm.c: exit_shm', 'proc_sys_kernel(5) shm_rmid_forced'],
    needs: ['SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '5.16',
    bugs: [
      {
        id: 'BUG-12',
        fix: '85b6d24646e4 (shm: extend forced shm destroy to support objects from several IPC nses)',
        fixedIn: '5.16, 5.15.5, 5.10.82',
        looksLike: { onlyFirst: ['there', 'there'] },
      },
    ],
    arms: ARMS,
    variants: ['exit', 'SIGKILL'],
    async experiment({ outer, arm, variant, fresh, disposable, note }) {
      const run = async (first: 0 | 1, second: 0 | 1): Promise<string[]> => {
        const one = await outer.spawn('one', ['NEWIPC'])
        const two = await outer.spawn('two', ['NEWIPC'])
        await one.writeFile(FILE, String(first))
        await two.writeFile(FILE, String(second))
        const keys = [fresh.key(), fresh.key()] as const
        const maker = await joinAs('maker', outer, one)
        const inOne = await makeSegment(maker, keys[0])
        await joinIpc(maker, two)
        const inTwo = await makeSegment(maker, keys[1])
        if (variant === 'exit') await maker.exitAndReap()
        else await maker.killAndReap()
        return [await segmentIs(one, inOne, keys[0]), await segmentIs(two, inTwo, keys[1])]
      }
      if (arm === 'control') return { neither: await run(0, 0) }
      // Without the fix of BUG-12 this one is harmless, and shows it: the namespace that the task is in at
      // its end decides, and its 0 destroys nothing. With a 1 there it would corrupt the kernel.
      const onlyFirst = await run(1, 0)
      if (onlyFirst[0] !== 'gone' && !disposable) {
        note('stopped before shm_rmid_forced is 1 where the task ends: this kernel may not survive it')
        return { onlyFirst }
      }
      return { onlyFirst, both: await run(1, 1), onlySecond: await run(0, 1) }
    },
    treatment: () => ({
      onlyFirst: ['gone', 'there'],
      both: ['gone', 'gone'],
      onlySecond: ['there', 'gone'],
    }),
    control: () => ({ neither: ['there', 'there'] }),
  })
}
