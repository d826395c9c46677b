/** ENT-11…14, 25, 33: threads, children that share memory, and kernel threads. */
import { namespaceOf, ownNsfd } from '../../fixtures/identity.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import {
  type Area,
  CLONE,
  differs,
  EINVAL,
  ENOENT,
  ESRCH,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  PIDFD_THREAD,
  procPid,
  SIGCHLD,
  SIGKILL,
  THREAD_BITS,
} from '../../fixtures/rules.ts'
import { withThread } from '../../fixtures/threads.ts'

/** Bits of clone(2) that are about anything but namespaces. CLONE_VM goes with each of them. */
const OTHER_BITS: Readonly<Record<string, number>> = {
  VM: CLONE.VM,
  FILES: CLONE.FILES,
  FS: CLONE.FS,
  PARENT: CLONE.PARENT,
  VFORK: CLONE.VFORK,
  PIDFD: CLONE.PIDFD,
  TIDS: CLONE.PARENT_SETTID | CLONE.CHILD_SETTID | CLONE.CHILD_CLEARTID,
  IO: CLONE.IO,
  UNTRACED: CLONE.UNTRACED,
}

export function threadRules(ent: Area): void {
  ent.comparison('ENT-11', {
    says: 'a thread may be born into an IPC namespace of its own, unless CLONE_SYSVSEM is set',
    source: ['kernel/fork.c: copy_process', 'kernel/nsproxy.c: copy_namespaces'],
    needs: ['PID_NS'],
    arms: { treatment: 'CLONE_THREAD with CLONE_NEWIPC', control: 'CLONE_THREAD without' },
    async experiment({ outer, arm, enter }) {
      const box = await enter('box', { from: outer, flags: ['NEWPID', 'NEWNS'] })
      await box.mount('proc', '/proc', 'proc')
      const process = await box.spawn('process')
      const bits = THREAD_BITS | (arm === 'treatment' ? CLONE.NEWIPC : 0)
      const withSysvsem =
        arm === 'treatment'
          ? whetherMade(await process.try.cloneFunction(bits | CLONE.SYSVSEM, 'pause'))
          : 'not asked'
      const tid = await process.try.cloneFunction(bits, 'pause')
      return {
        leader: await namespaceOf(process),
        thread: failed(tid) ? tid : await namespaceOf(process, 'NEWIPC', `/proc/self/task/${tid}`),
        withSysvsem,
      }
    },
    treatment: ({ leader }) => ({ thread: differs(leader), withSysvsem: EINVAL }),
    control: ({ leader }) => ({ thread: leader }),
  })

  ent.comparison('ENT-12', {
    says: 'the bits of clone(2) that are about other things, such as CLONE_VM and CLONE_PIDFD, may go with CLONE_NEWIPC and change nothing of it',
    source: ['clone(2)', 'kernel/fork.c: copy_process', 'kernel/nsproxy.c: copy_namespaces'],
    needs: ['PID_NS'],
    variants: Object.keys(OTHER_BITS),
    arms: { treatment: 'with CLONE_NEWIPC', control: 'without it' },
    async experiment({ outer, arm, enter, variant }) {
      const box = await enter('box', { from: outer, flags: ['NEWPID', 'NEWNS'] })
      await box.mount('proc', '/proc', 'proc')
      const maker = await box.spawn('maker')
      const bits = (OTHER_BITS[variant] ?? 0) | CLONE.VM | (arm === 'treatment' ? CLONE.NEWIPC : 0)
      // A vfork parent sleeps until its child ends, so that child can only be seen to have been accepted.
      const vfork = variant === 'VFORK'
      const pid = await maker.try.cloneFunction(bits | SIGCHLD, vfork ? '_exit' : 'pause')
      const own = await namespaceOf(maker)
      const child = vfork || typeof pid !== 'number' ? own : await namespaceOf(box, 'NEWIPC', `/proc/${pid}`)
      const conflict = await maker.trySpawn(
        'newns with fs',
        arm === 'treatment' ? ['NEWNS', 'NEWIPC'] : ['NEWNS'],
        {
          bits: CLONE.FS,
        },
      )
      return { made: whetherMade(pid), own, child, conflict: whetherMade(conflict) }
    },
    treatment: ({ own }, { variant }) => ({
      made: 'made',
      child: variant === 'VFORK' ? own : differs(own),
      conflict: EINVAL,
    }),
    control: ({ own }) => ({ made: 'made', child: own, conflict: EINVAL }),
  })

  ent.comparison('ENT-13', {
    says: 'in a process with several threads unshare(CLONE_NEWIPC) and setns move the calling thread only, and each thread works in its own IPC namespace',
    source: ['unshare(2)', 'setns(2)', 'kernel/fork.c: ksys_unshare'],
    needs: ['SYSVIPC'],
    since: '2.6.19',
    arms: { treatment: 'one thread unshares CLONE_NEWIPC', control: 'one thread unshares CLONE_NEWUTS' },
    async experiment({ outer, arm, fresh }) {
      const main = await outer.spawn('main thread')
      const thread = await withThread(main, 'other thread')
      const key = fresh.key()
      const queue = await thread.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
      const set = await thread.semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600)
      const segment = await thread.shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0o600)
      const home = await ownNsfd(main, 'NEWIPC', '/proc/thread-self')
      const refused = {
        withUser: await main.try.unshare(CLONE.NEWUSER | CLONE.NEWIPC),
        withThread: await main.try.unshare(CLONE.THREAD | CLONE.NEWIPC),
        withVm: await main.try.unshare(CLONE.VM | CLONE.NEWIPC),
      }
      const returned = await main.try.unshare(arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS)
      // Back and forth.
      const abroad = await ownNsfd(main, 'NEWIPC', '/proc/thread-self')
      await main.setns(home, CLONE.NEWIPC)
      await main.setns(abroad, CLONE.NEWIPC)
      const other = await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')
      const byKey = async (member: Member): Promise<unknown[]> => [
        await member.try.msgget(key, 0),
        await member.try.semget(key, 0, 0),
        await member.try.shmget(key, 0, 0),
      ]
      const seen = await main.try.msgctlStat(queue)
      return {
        ...refused,
        returned,
        other,
        mine: await namespaceOf(main, 'NEWIPC', '/proc/thread-self'),
        stayed: other === (await namespaceOf(outer)),
        seenByMain: 'perm' in seen ? seen.perm.key === key : seen,
        made: [queue, set, segment],
        foundByMain: await byKey(main),
        foundByOther: await byKey(thread),
      }
    },
    treatment: ({ other, made }) => ({
      withUser: EINVAL,
      withThread: EINVAL,
      withVm: EINVAL,
      returned: 0,
      mine: differs(other),
      stayed: true,
      seenByMain: EINVAL,
      foundByMain: [ENOENT, ENOENT, ENOENT],
      foundByOther: made,
    }),
    control: ({ other, made }) => ({
      returned: 0,
      mine: other,
      stayed: true,
      seenByMain: true,
      foundByMain: made,
      foundByOther: made,
    }),
  })

  ent.comparison('ENT-14', {
    says: '/proc/self/ns/ipc shows the thread-group leader; /proc/thread-self/ns/ipc shows the thread',
    source: ['proc(5)', 'fs/proc/namespaces.c: proc_ns_get_link'],
    since: '3.17',
    arms: { treatment: 'a thread has unshared', control: 'no thread has' },
    async experiment({ outer, arm }) {
      const leader = await outer.spawn('leader')
      const thread = await withThread(leader, 'thread')
      const before = await namespaceOf(leader)
      if (arm === 'treatment') await thread.unshare(CLONE.NEWIPC)
      return {
        before,
        self: await namespaceOf(thread),
        threadSelf: await namespaceOf(thread, 'NEWIPC', '/proc/thread-self'),
        task: await namespaceOf(leader, 'NEWIPC', `/proc/self/task/${await thread.gettid()}`),
      }
    },
    treatment: ({ before, threadSelf }) => ({ self: before, threadSelf: differs(before), task: threadSelf }),
    control: ({ before }) => ({ self: before, threadSelf: before, task: before }),
  })

  ent.comparison('ENT-25', {
    says: 'a PIDFD_THREAD pidfd gives that thread’s IPC namespace, a process pidfd the leader’s while it lives',
    source: ['pidfd_open(2)', 'kernel/nsproxy.c: validate_nsset'],
    needs: ['pidfd setns', 'PIDFD_THREAD'],
    since: '6.9',
    arms: { treatment: 'the leader has exited, a thread lives', control: 'the leader lives' },
    async experiment({ outer, arm, eventually }) {
      const leader = await outer.spawn('leader')
      const thread = await withThread(leader, 'thread')
      await thread.unshare(CLONE.NEWIPC)
      const own = await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')
      const [pid, tid] = [await leader.getpid(), await thread.gettid()]
      const status = `/proc/${await procPid(leader)}/stat`
      const held = await ownNsfd(thread, 'NEWIPC', '/proc/thread-self')
      if (arm === 'treatment') {
        // The leader's end is no answer; it is seen as a zombie with a living thread.
        leader.process.call('exitThread', []).catch(() => undefined)
        await eventually(
          () => outer.readFile(status),
          (stat) => stat.includes(') Z '),
        )
      }
      const joiner = await outer.spawn('joiner')
      const byProcess = await joiner.try.setns(await joiner.pidfd_open(pid), CLONE.NEWIPC)
      const byThread = await joiner.try.setns(await joiner.pidfd_open(tid, PIDFD_THREAD), CLONE.NEWIPC)
      const joined = (await namespaceOf(joiner)) === own
      await thread.close(held)
      await outer.kill(pid, SIGKILL)
      return { byProcess, byThread, joined }
    },
    treatment: () => ({ byProcess: ESRCH, byThread: 0, joined: true }),
    control: () => ({ byProcess: 0, byThread: 0, joined: true }),
  })

  ent.comparison('ENT-33', {
    says: 'kernel threads live in the initial IPC namespace, whose inode number is 4026531839',
    source: ['include/uapi/linux/nsfs.h: enum init_ns_ino', 'include/linux/proc_ns.h'],
    needs: ['kernel threads in sight'],
    since: '3.8',
    arms: { treatment: 'a kernel thread', control: 'a member of a new IPC namespace' },
    experiment: async ({ outer, arm }) => ({
      link: await outer.readlink(arm === 'treatment' ? '/proc/2/ns/ipc' : '/proc/self/ns/ipc'),
    }),
    treatment: () => ({ link: 'ipc:[4026531839]' }),
    control: () => ({ link: differs('ipc:[4026531839]') }),
  })
}
