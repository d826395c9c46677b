/** ENT-11…14, 25, 33: threads, children that share memory, and kernel threads. */
import { namespaceOf, ownNsfd } from '../../fixtures/identity.ts'
import { whetherMade } from '../../fixtures/outcomes.ts'
import {
  type Area,
  CLONE,
  differs,
  EINVAL,
  ESRCH,
  failed,
  type Member,
  PIDFD_THREAD,
  SIGCHLD,
  SIGKILL,
  THREAD_BITS,
} from '../../fixtures/rules.ts'
import { endLeader, withThread } from '../../fixtures/threads.ts'
import {
  APART,
  objectsOfThreads,
  QUEUES_APART,
  QUEUES_TOGETHER,
  queuesOfThreads,
  TOGETHER,
} from './several-threads.ts'

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

/** The two families of objects that the threads of ENT-13 work with. */
const SYSTEM_V = 'System V objects'
const POSIX = 'POSIX queues'

/** The two kinds of pidfd of ENT-25; the younger one is of Linux 6.9. */
const PROCESS_PIDFD = 'a process pidfd'
const THREAD_PIDFD = 'a PIDFD_THREAD pidfd'

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
    says: 'the bits of clone(2) that are about other things, such as CLONE_VM and CLONE_PIDFD, may go with CLONE_NEWIPC and change nothing of it: the child is elsewhere, its creator stays',
    source: ['clone(2)', 'kernel/fork.c: copy_process', 'kernel/nsproxy.c: copy_namespaces'],
    needs: ['PID_NS'],
    variants: Object.keys(OTHER_BITS),
    arms: { treatment: 'with CLONE_NEWIPC', control: 'without it' },
    async experiment({ outer, arm, enter, variant, eventually }) {
      const box = await enter('box', { from: outer, flags: ['NEWPID', 'NEWNS'] })
      await box.mount('proc', '/proc', 'proc')
      const maker = await box.spawn('maker')
      const own = await namespaceOf(maker)
      const bits = (OTHER_BITS[variant] ?? 0) | CLONE.VM | (arm === 'treatment' ? CLONE.NEWIPC : 0)
      const cloned = maker.try.cloneFunction(bits | SIGCHLD, 'pause')
      // A vfork parent sleeps until its child ends; until then others look, and see the number that is new.
      const pid =
        variant === 'VFORK'
          ? await eventually(
              () => newestProcess(box),
              (seen) => seen > maker.pid,
            )
          : await cloned
      const child = failed(pid) ? pid : await namespaceOf(box, 'NEWIPC', `/proc/${pid}`)
      const makers = await namespaceOf(box, 'NEWIPC', `/proc/${maker.pid}`)
      if (variant === 'VFORK' && pid !== maker.pid) await box.kill(Number(pid), SIGKILL)
      const conflict = await maker.trySpawn(
        'newns with fs',
        arm === 'treatment' ? ['NEWNS', 'NEWIPC'] : ['NEWNS'],
        {
          bits: CLONE.FS,
        },
      )
      const after = await namespaceOf(maker)
      return { made: whetherMade(await cloned), own, child, makers, after, conflict: whetherMade(conflict) }
    },
    treatment: ({ own }) => ({
      made: 'made',
      child: differs(own),
      makers: own,
      after: own,
      conflict: EINVAL,
    }),
    control: ({ own }) => ({ made: 'made', child: own, makers: own, after: own, conflict: EINVAL }),
  })

  ent.comparison('ENT-13', {
    says: 'in a process with several threads unshare(CLONE_NEWIPC) and setns move the calling thread only and leave what the threads share besides; each works in its own IPC namespace',
    source: ['unshare(2)', 'setns(2)', 'kernel/fork.c: ksys_unshare', 'ipc/mqueue.c: mq_unlink'],
    needs: ['SYSVIPC'],
    since: '2.6.19',
    variants: [SYSTEM_V, POSIX],
    variantNeeds: { [POSIX]: ['POSIX_MQUEUE', 'CAP_SYS_ADMIN'] },
    arms: { treatment: 'one thread unshares CLONE_NEWIPC', control: 'one thread unshares CLONE_NEWUTS' },
    async experiment(world) {
      return world.variant === POSIX ? await queuesOfThreads(world) : await objectsOfThreads(world)
    },
    treatment: (seen) =>
      'made' in seen ? { ...APART, mine: differs(seen.other), foundByOther: seen.made } : QUEUES_APART,
    control: (seen) =>
      'made' in seen
        ? { ...TOGETHER, mine: seen.other, foundByMain: seen.made, foundByOther: seen.made }
        : QUEUES_TOGETHER,
  })

  ent.comparison('ENT-14', {
    says: '/proc/self/ns/ipc shows the thread-group leader; /proc/thread-self/ns/ipc shows the thread, and so does task/TID; each file is what its link says',
    source: ['proc(5)', 'fs/proc/namespaces.c: proc_ns_get_link'],
    since: '3.17',
    arms: { treatment: 'a thread has unshared', control: 'no thread has' },
    async experiment({ outer, arm }) {
      const leader = await outer.spawn('leader')
      const thread = await withThread(leader, 'thread')
      const before = await namespaceOf(leader)
      if (arm === 'treatment') await thread.unshare(CLONE.NEWIPC)
      // As /proc numbers it, wherever that is from.
      const task = `/proc/${await thread.readlink('/proc/thread-self')}`
      return {
        before,
        self: await namespaceOf(thread),
        threadSelf: await namespaceOf(thread, 'NEWIPC', '/proc/thread-self'),
        task: await namespaceOf(leader, 'NEWIPC', task),
        selfLink: await thread.readlink('/proc/self/ns/ipc'),
        threadSelfLink: await thread.readlink('/proc/thread-self/ns/ipc'),
        taskLink: await leader.readlink(`${task}/ns/ipc`),
        outerTask: await namespaceOf(outer, 'NEWIPC', task),
        outerTaskLink: await outer.readlink(`${task}/ns/ipc`),
      }
    },
    treatment: ({ before, threadSelf }) => ({
      self: before,
      threadSelf: differs(before),
      task: threadSelf,
      selfLink: linkOf(before),
      threadSelfLink: linkOf(threadSelf),
      taskLink: linkOf(threadSelf),
      outerTask: threadSelf,
      outerTaskLink: linkOf(threadSelf),
    }),
    control: ({ before }) => ({
      self: before,
      threadSelf: before,
      task: before,
      selfLink: linkOf(before),
      threadSelfLink: linkOf(before),
      taskLink: linkOf(before),
      outerTask: before,
      outerTaskLink: linkOf(before),
    }),
  })

  ent.comparison('ENT-25', {
    says: 'a PIDFD_THREAD pidfd gives that thread’s IPC namespace, a process pidfd the leader’s while it lives',
    source: ['pidfd_open(2)', 'kernel/nsproxy.c: validate_nsset'],
    needs: ['pidfd setns'],
    since: '5.8',
    variants: [PROCESS_PIDFD, THREAD_PIDFD],
    variantNeeds: { [THREAD_PIDFD]: ['PIDFD_THREAD'] },
    arms: { treatment: 'the leader has exited, a thread lives', control: 'the leader lives' },
    async experiment({ outer, arm, variant, eventually }) {
      const leader = await outer.spawn('leader')
      const thread = await withThread(leader, 'thread')
      await thread.unshare(CLONE.NEWIPC)
      const own = await namespaceOf(thread, 'NEWIPC', '/proc/thread-self')
      const [pid, tid] = [await leader.getpid(), await thread.gettid()]
      const held = await ownNsfd(thread, 'NEWIPC', '/proc/thread-self')
      if (arm === 'treatment') await endLeader(leader, outer, eventually)
      // Neither the leader's nor the thread's at first.
      const joiner = await outer.spawn('joiner', ['NEWIPC'])
      const first = await namespaceOf(joiner)
      const pidfd =
        variant === THREAD_PIDFD ? await joiner.pidfd_open(tid, PIDFD_THREAD) : await joiner.pidfd_open(pid)
      const returned = await joiner.try.setns(pidfd, CLONE.NEWIPC)
      const now = await namespaceOf(joiner)
      await thread.close(held)
      await outer.kill(pid, SIGKILL)
      const home = await namespaceOf(outer)
      const places = { [first]: 'its own', [home]: 'the leader’s', [own]: 'the thread’s' }
      return { returned, now: places[now] ?? now }
    },
    treatment: (_seen, { variant }) =>
      variant === THREAD_PIDFD ? { returned: 0, now: 'the thread’s' } : { returned: ESRCH, now: 'its own' },
    control: (_seen, { variant }) => ({
      returned: 0,
      now: variant === THREAD_PIDFD ? 'the thread’s' : 'the leader’s',
    }),
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

/** What the link of a namespace says (namespaces(7)): its inode number. */
function linkOf(namespace: string): string {
  return `ipc:[${namespace.split(':')[1]}]`
}

/** The highest number of a process in sight; none is used again while there are so few. */
async function newestProcess(member: Member): Promise<number> {
  const names = await member.readdir('/proc')
  return Math.max(...names.map(Number).filter((number) => number > 0))
}
