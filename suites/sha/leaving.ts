/** shm_rmid_forced and segments whose maker leaves the namespace, or has some in two. */
import { FORCED_ARMS, FORCED_FILE, makeOrphan, makeSegment, segmentIs } from '../../fixtures/forced.ts'
import { type Ending, endMembership, joinIpc } from '../../fixtures/leaving.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import { type Area, CLONE, cloneBits, type Flag } from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'

/** The variant where makers leave by CLONE_NEWIPC with one more flag each. */
const BESIDE = 'makers with one more flag each'
/** The variant where one thread of a process leaves, and the other stays. */
const THREAD = 'one thread of a process'
/** The variant where one call joins a UTS namespace as well. */
const AND_UTS = 'setns by pidfd with CLONE_NEWUTS'
const FLAGS_BESIDE = ['NEWNS', 'NEWPID', 'NEWUTS', 'NEWUSER', 'NEWNET', 'NEWCGROUP'] as const

/** The same of the segment of every such maker. */
const eachBeside = (state: string) => Object.fromEntries(FLAGS_BESIDE.map((flag) => [flag, state]))

/** Adds the rules. */
export function leavingRules(sha: Area): void {
  sha.comparison('SHA-14', {
    says: 'unshare(CLONE_NEWIPC) makes orphans of the caller’s segments: setting shm_rmid_forced there later destroys them though their maker lives',
    source: ['kernel/fork.c: ksys_unshare', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.17',
    arms: { treatment: 'the maker unshared NEWIPC', control: 'the maker unshared the rest of the flags' },
    flags: 'with NEWIPC',
    variants: ['one maker', BESIDE, THREAD],
    variantNeeds: { [BESIDE]: ['PID_NS', 'UTS_NS', 'USER_NS', 'NET_NS', 'CGROUP_NS'] },
    async experiment({ outer, arm, flags, fresh, variant }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      if (variant === BESIDE) {
        const segments = await Promise.all(
          FLAGS_BESIDE.map(async (flag) => {
            const maker = await home.spawn('maker')
            const key = fresh.key()
            const segment = await makeSegment(maker, key)
            await maker.unshare(cloneBits(arm === 'treatment' ? ['NEWIPC', flag] : [flag]))
            return { flag, key, segment }
          }),
        )
        await home.writeFile(FORCED_FILE, '1')
        const seen: Record<string, string> = {}
        for (const { flag, key, segment } of segments) seen[flag] = await segmentIs(home, segment, key)
        return seen
      }
      if (variant === THREAD) {
        const leader = await home.spawn('leader')
        const thread = await withThread(leader, 'thread')
        const keys = [fresh.key(), fresh.key()] as const
        const leaders = await makeSegment(leader, keys[0])
        const threads = await makeSegment(thread, keys[1])
        await thread.unshare(arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS)
        await home.writeFile(FORCED_FILE, '1')
        return {
          leaders: await segmentIs(home, leaders, keys[0]),
          threads: await segmentIs(home, threads, keys[1]),
        }
      }
      const keys = [fresh.key(), fresh.key(), fresh.key()] as const
      const maker = await home.spawn('maker')
      // Leaving the sets that it shared undoings with, as NEWIPC does too, is no matter of its segments.
      const undoer = await home.spawn('who unshared SYSVSEM alone')
      const undoersKey = fresh.key()
      const undoers = await makeSegment(undoer, undoersKey)
      await undoer.unshare(CLONE.SYSVSEM)
      const segment = await makeSegment(maker, keys[0])
      const attached = await makeSegment(maker, keys[1])
      const memory = await maker.shmat(attached)
      const homes = await makeSegment(home, keys[2])
      await maker.unshare(cloneBits(flags.filter((flag) => arm === 'treatment' || flag !== 'NEWIPC')))
      const left = await segmentIs(home, segment, keys[0])
      await home.writeFile(FORCED_FILE, '1')
      const seen = {
        left,
        afterwards: await segmentIs(home, segment, keys[0]),
        attached: await segmentIs(home, attached, keys[1]),
        homes: await segmentIs(home, homes, keys[2]),
        undoers: await segmentIs(home, undoers, undoersKey),
      }
      await maker.shmdt(memory)
      return {
        ...seen,
        detached: await segmentIs(home, attached, keys[1]),
        maker: await maker.try.ping(),
      }
    },
    treatment: (_, { variant }) =>
      variant === BESIDE
        ? eachBeside('gone')
        : variant === THREAD
          ? { leaders: 'there', threads: 'gone' }
          : {
              left: 'there',
              afterwards: 'gone',
              attached: 'there',
              homes: 'there',
              undoers: 'there',
              detached: 'gone',
              maker: 0,
            },
    control: (_, { variant }) =>
      variant === BESIDE
        ? eachBeside('there')
        : variant === THREAD
          ? { leaders: 'there', threads: 'there' }
          : {
              left: 'there',
              afterwards: 'there',
              attached: 'there',
              homes: 'there',
              undoers: 'there',
              detached: 'gone',
              maker: 0,
            },
  })

  sha.comparison('SHA-15', {
    says: 'setns out of an IPC namespace, unlike unshare, makes no orphans: setting shm_rmid_forced there later leaves the segments of the one who left',
    source: ['kernel/nsproxy.c: commit_nsset', 'ipc/shm.c: exit_shm'],
    needs: ['SYSVIPC', 'shm_rmid_forced', 'pidfd setns'],
    since: '3.17',
    arms: { treatment: 'the maker left by setns', control: 'the maker left by unshare' },
    variants: ['setns', 'setns by pidfd', AND_UTS],
    variantNeeds: { [AND_UTS]: ['UTS_NS'] },
    async experiment({ outer, arm, variant, fresh }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      const flags: Flag[] = variant === AND_UTS ? ['NEWIPC', 'NEWUTS'] : ['NEWIPC']
      const elsewhere = await outer.spawn('elsewhere', flags)
      const keys = [fresh.key(), fresh.key()] as const
      // A child of outer, as elsewhere is: a pidfd is opened by its number.
      const maker = await joinAs('maker', outer, home)
      const segment = await makeSegment(maker, keys[0])
      const orphan = await makeOrphan(home, keys[1])
      if (arm === 'control') await maker.unshare(cloneBits(flags))
      else if (variant === 'setns') await joinIpc(maker, elsewhere)
      else await maker.setns(await maker.pidfd_open(elsewhere.pid), cloneBits(flags))
      await home.writeFile(FORCED_FILE, '1')
      const seen = {
        segment: await segmentIs(home, segment, keys[0]),
        orphan: await segmentIs(home, orphan, keys[1]),
        maker: await maker.try.ping(),
      }
      // Back to 0 before the maker ends: without the fix of BUG-12 its end would look in the wrong namespace.
      await home.writeFile(FORCED_FILE, '0')
      return seen
    },
    treatment: () => ({ segment: 'there', orphan: 'gone', maker: 0 }),
    control: () => ({ segment: 'gone', orphan: 'gone', maker: 0 }),
  })

  sha.comparison('SHA-16', {
    says: 'unshare(CLONE_NEWIPC) where shm_rmid_forced is 1 destroys the caller’s unattached segments at once and attached ones at their last detach, even from the new namespace',
    source: ['kernel/fork.c: ksys_unshare', 'ipc/shm.c: exit_shm, __shm_close'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '3.17',
    arms: FORCED_ARMS,
    flags: 'with NEWIPC',
    // Safe without the fix of BUG-12 too: no segment of a second namespace is on the task’s list.
    async experiment({ outer, arm, flags, fresh }) {
      const home = await outer.spawn('home', ['NEWIPC'])
      if (arm === 'treatment') await home.writeFile(FORCED_FILE, '1')
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
    says: 'a task that made segments in two IPC namespaces has each one destroyed at its end, or when it unshares NEWIPC, as shm_rmid_forced of the segment’s own namespace says',
    source: ['ipc/shm.c: exit_shm', 'kernel/fork.c: ksys_unshare', 'proc_sys_kernel(5) shm_rmid_forced'],
    needs: ['SYSVIPC', 'shm_rmid_forced'],
    since: '5.16',
    bugs: [
      {
        id: 'BUG-12',
        fix: '85b6d24646e4 (shm: extend forced shm destroy to support objects from several IPC nses)',
        fixedIn: '5.16, 5.15.5, 5.10.82',
        looksLike: { onlyFirst: ['there', 'there'] },
      },
    ],
    arms: FORCED_ARMS,
    variants: ['exit', 'SIGKILL', 'unshare'],
    async experiment({ outer, arm, variant, fresh, disposable, note }) {
      // Those of each namespace, run by run: a segment’s are counted where it is, wherever its maker ends.
      const pages: number[] = []
      const run = async (first: 0 | 1, second: 0 | 1): Promise<string[]> => {
        const one = await outer.spawn('one', ['NEWIPC'])
        const two = await outer.spawn('two', ['NEWIPC'])
        await one.writeFile(FORCED_FILE, String(first))
        await two.writeFile(FORCED_FILE, String(second))
        const keys = [fresh.key(), fresh.key()] as const
        const maker = await joinAs('maker', outer, one)
        const inOne = await makeSegment(maker, keys[0])
        await joinIpc(maker, two)
        const inTwo = await makeSegment(maker, keys[1])
        await endMembership(maker, variant as Ending)
        pages.push((await one.shmctlUsage()).tot, (await two.shmctlUsage()).tot)
        return [await segmentIs(one, inOne, keys[0]), await segmentIs(two, inTwo, keys[1])]
      }
      if (arm === 'control') return { neither: await run(0, 0), pages }
      // Without the fix of BUG-12 this one is harmless, and shows it: the namespace that the task is in at
      // its end decides, and its 0 destroys nothing. With a 1 there it would corrupt the kernel.
      const onlyFirst = await run(1, 0)
      if (onlyFirst[0] !== 'gone' && !disposable) {
        note('stopped before shm_rmid_forced is 1 where the task ends: this kernel may not survive it')
        return { onlyFirst }
      }
      return { onlyFirst, both: await run(1, 1), onlySecond: await run(0, 1), pages }
    },
    treatment: () => ({
      onlyFirst: ['gone', 'there'],
      both: ['gone', 'gone'],
      onlySecond: ['there', 'gone'],
      pages: [0, 1, 0, 0, 1, 0],
    }),
    control: () => ({ neither: ['there', 'there'], pages: [1, 1] }),
  })
}
