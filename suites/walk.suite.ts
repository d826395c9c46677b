/**
 * Five experiments that people learn IPC namespaces from, with the calls and the tools that they use, each
 * with the half that shows the opposite.
 */

import { namespaceOf } from '../fixtures/identity.ts'
import { whetherMade } from '../fixtures/outcomes.ts'
import { PATIENCE_MS } from '../fixtures/patience.ts'
import {
  area,
  conformance,
  containing,
  differs,
  EINVAL,
  EPERM,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_PRIVATE,
  type Member,
  MS_REC,
  MS_SLAVE,
  SIGUSR1,
  without,
} from '../fixtures/rules.ts'

const walk = area('walk', 'Walkthroughs')
export default walk

/** Rows of objects in the output of ipcs(1): each begins with the key. */
function rows(output: string): number {
  return output.split('\n').filter((row) => row.startsWith('0x')).length
}

/** The key that ipcs(1) prints. */
function shownKey(key: number): string {
  return `0x${(key >>> 0).toString(16).padStart(8, '0')}`
}

/** A command that must work; gives what it printed. */
async function run(member: Member, ...words: string[]): Promise<string> {
  const { exit, output } = await member.run(words)
  if (exit !== 0) throw new Error(`${words.join(' ')} ended with ${exit}: ${output}`)
  return output
}

walk.comparison('WALK-1', {
  says: 'a child of clone(CLONE_NEWIPC) makes a queue, sends to it and removes it, and its parent sees none of it',
  source: ['clone(2)', 'msgget(2)', 'msgop(2)', 'msgctl(2)'],
  needs: ['SYSVIPC'],
  arms: { treatment: 'clone(CLONE_NEWIPC | SIGCHLD)', control: 'clone(SIGCHLD)' },
  byHand: ['unshare --ipc sh -c "ipcmk --queue; ipcs -q"', 'ipcs -q'],
  async experiment({ outer, arm }) {
    const child = await outer.spawn('child', arm === 'treatment' ? ['NEWIPC'] : [])
    const queue = await child.msgget(IPC_PRIVATE, 0o600)
    await child.msgsnd(queue, 1, 'from the child', IPC_NOWAIT)
    const seen = await outer.try.msgctlStat(queue)
    const received = await outer.try.msgrcv(queue, 64, 0, IPC_NOWAIT)
    const removed = await child.try.msgctlRemove(queue)
    return {
      messages: failed(seen) ? seen : seen.qnum,
      received: failed(received) ? received : received.text,
      removed,
      afterwards: failed(await outer.try.msgctlStat(queue)),
    }
  },
  treatment: () => ({ messages: EINVAL, received: EINVAL, removed: 0, afterwards: true }),
  control: () => ({ messages: 1, received: 'from the child', removed: 0, afterwards: true }),
})

walk.comparison('WALK-2', {
  says: 'in a shell of "unshare --ipc" ipcs is empty, what ipcmk makes stays inside, and only ns/ipc is new',
  source: ['unshare(1)', 'ipcs(1)', 'ipcmk(1)', 'namespaces(7)'],
  needs: ['SYSVIPC', 'unshare(1)', 'ipcs(1)', 'ipcmk(1)'],
  variants: ['queues', 'semaphores', 'shmems'],
  arms: { treatment: 'unshare --ipc', control: 'unshare --uts' },
  byHand: ['ipcmk --queue', 'unshare --ipc ipcs', 'unshare --ipc ipcmk --queue', 'ipcs'],
  async experiment({ outer, arm, variant }) {
    const option = { queues: '-q', semaphores: '-s', shmems: '-m' }[variant] ?? '-q'
    const make = { queues: 'ipcmk -Q', semaphores: 'ipcmk -S 1', shmems: 'ipcmk -M 4096' }[variant] ?? ''
    const shell = await outer.spawn('shell')
    const unshare = ['unshare', arm === 'treatment' ? '--ipc' : '--uts', 'sh', '-c']
    const links = 'for file in /proc/self/ns/*; do echo $file $(readlink $file); done'
    await run(shell, 'sh', '-c', make)
    const inside = rows(await run(shell, ...unshare, `ipcs ${option}`))
    const madeInside = rows(await run(shell, ...unshare, `${make} >/dev/null && ipcs ${option}`))
    const outside = rows(await run(shell, 'ipcs', option))
    const mine = (await run(shell, 'sh', '-c', links)).split('\n')
    const theirs = (await run(shell, ...unshare, links)).split('\n')
    const changed = theirs.filter((line) => !mine.includes(line)).map((line) => line.split(' ')[0])
    return { inside, madeInside, outside, changed }
  },
  treatment: () => ({ inside: 0, madeInside: 1, outside: 1, changed: ['/proc/self/ns/ipc'] }),
  control: () => ({ inside: 1, madeInside: 2, outside: 2, changed: ['/proc/self/ns/uts'] }),
})

/** ftok(3): a key from a file and a project number. */
async function ftok(member: Member, path: string, project: number): Promise<number> {
  const { dev, ino } = await member.stat(path)
  return ((project & 0xff) << 24) | ((dev & 0xff) << 16) | (ino & 0xffff)
}

walk.comparison('WALK-3', {
  says: 'with new mount, IPC and pid namespaces a queue keyed by ftok stays inside; POSIX shared memory follows the mounts',
  source: ['clone(2)', 'ftok(3)', 'shm_overview(7)', 'sem_overview(7)', 'mount_namespaces(7)'],
  needs: ['SYSVIPC', 'PID_NS', 'ipcs(1)', 'ipcmk(1)', 'unshare(1)', '/dev/shm'],
  arms: { treatment: 'with CLONE_NEWIPC', control: 'CLONE_NEWNS | CLONE_NEWPID alone' },
  byHand: ['unshare -m -i -p --fork sh -c "mount -t proc proc /proc; ipcmk -Q; ipcs -q"', 'ipcs -q'],
  async experiment({ outer, arm }) {
    // Nothing of this is seen on the machine: the cell has a /dev/shm of its own.
    await outer.mount('tmpfs', '/dev/shm', 'tmpfs')
    const isolated = arm === 'treatment'
    const child = await outer.spawn('child', isolated ? ['NEWNS', 'NEWIPC', 'NEWPID'] : ['NEWNS', 'NEWPID'])
    await child.mount('', '/', '', MS_REC | MS_SLAVE)
    await child.mount('proc', '/proc', 'proc')
    const key = await ftok(child, '/', 0x42)
    await child.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    const inside = await run(child, 'ipcs', '-q')
    const outside = await run(outer, 'ipcs', '-q')
    const flags = isolated ? ['-m', '-i', '-p'] : ['-m', '-p']
    const before = rows(outside)
    const byTool = await run(
      outer,
      'unshare',
      ...flags,
      '--fork',
      'sh',
      '-c',
      'ipcmk -Q >/dev/null && ipcs -q',
    )
    const leaked = rows(await run(outer, 'ipcs', '-q')) - before
    // A shared memory object and a named semaphore are files of /dev/shm.
    await run(child, 'sh', '-c', 'echo object > /dev/shm/object; echo semaphore > /dev/shm/sem.name')
    const shared = (await outer.exists('/dev/shm/object')) && (await outer.exists('/dev/shm/sem.name'))
    await child.mount('tmpfs', '/dev/shm', 'tmpfs')
    await run(child, 'sh', '-c', 'echo hidden > /dev/shm/hidden')
    return {
      key: shownKey(key),
      inside,
      outside,
      byTool: rows(byTool) - (isolated ? 0 : before),
      leaked,
      shared,
      hidden: !(await outer.exists('/dev/shm/hidden')),
    }
  },
  treatment: ({ key }) => ({
    inside: containing(key),
    outside: without(key),
    byTool: 1,
    leaked: 0,
    shared: true,
    hidden: true,
  }),
  control: ({ key }) => ({
    inside: containing(key),
    outside: containing(key),
    byTool: 1,
    leaked: 1,
    shared: true,
    hidden: true,
  }),
})

walk.comparison('WALK-4', {
  says: 'ipcs shows the parent’s queue after clone(CLONE_NEWUTS), not after clone(CLONE_NEWUTS|CLONE_NEWIPC); nsenter joins',
  source: ['clone(2)', 'ipcs(1)', 'nsenter(1)'],
  needs: ['SYSVIPC', 'UTS_NS', 'ipcs(1)', 'nsenter(1)'],
  arms: { treatment: 'clone(CLONE_NEWUTS | CLONE_NEWIPC)', control: 'clone(CLONE_NEWUTS)' },
  byHand: ['ipcmk -Q', 'unshare -u -i ipcs -q', 'unshare -u ipcs -q', 'nsenter -t PID -u -i ipcs -q'],
  async experiment({ outer, arm, fresh }) {
    const [outerKey, innerKey] = [fresh.key(), fresh.key()]
    await outer.msgget(outerKey, IPC_CREAT | IPC_EXCL | 0o600)
    const child = await outer.spawn('child', arm === 'treatment' ? ['NEWUTS', 'NEWIPC'] : ['NEWUTS'])
    await child.msgget(innerKey, IPC_CREAT | IPC_EXCL | 0o600)
    const shownInside = await run(child, 'ipcs', '-q')
    const shownOutside = await run(outer, 'ipcs', '-q')
    const target = await child.readlink('/proc/self')
    const shownByNsenter = await run(outer, 'nsenter', '-t', target, '-u', '-i', 'ipcs', '-q')
    const shows = (output: string, key: number): boolean => output.includes(shownKey(key))
    return {
      insideShowsOuter: shows(shownInside, outerKey),
      insideShowsOwn: shows(shownInside, innerKey),
      outsideShowsInner: shows(shownOutside, innerKey),
      nsenterShowsInner: shows(shownByNsenter, innerKey),
      nsenterSeesTheSame: rows(shownByNsenter) === rows(shownInside),
    }
  },
  treatment: () => ({
    insideShowsOuter: false,
    insideShowsOwn: true,
    outsideShowsInner: false,
    nsenterShowsInner: true,
    nsenterSeesTheSame: true,
  }),
  control: () => ({
    insideShowsOuter: true,
    insideShowsOwn: true,
    outsideShowsInner: true,
    nsenterShowsInner: true,
    nsenterSeesTheSame: true,
  }),
})

walk.comparison('WALK-5', {
  says: 'across clone(CLONE_NEWUTS|CLONE_NEWIPC) pipes, sockets, signals, files and inherited memory still work',
  source: ['clone(2)', 'ipc_namespaces(7)', 'pipe(7)', 'unix(7)'],
  needs: ['SYSVIPC', 'UTS_NS', 'CAP_SETUID'],
  arms: { treatment: 'CLONE_NEWUTS | CLONE_NEWIPC', control: 'CLONE_NEWUTS' },
  async experiment({ outer, arm, fresh }) {
    const parent = await outer.spawn('parent')
    const key = fresh.key()
    await parent.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    const [reader, writer] = await parent.pipe()
    const [one, other] = await parent.socketpair()
    const file = await parent.memfd_create('file')
    const memory = await parent.mmapShared(-1, 4096)
    await parent.blockSignals([SIGUSR1])
    const flags = arm === 'treatment' ? (['NEWUTS', 'NEWIPC'] as const) : (['NEWUTS'] as const)
    const child = await parent.spawn('child', flags, { keep: [reader, other, file] })
    // The child waits until its parent closes the pipe: no sleep keeps the two in step.
    const step = await child.block.read(reader)
    await parent.close(writer)
    const inStep = await step.within(PATIENCE_MS)
    await child.kill(await child.getppid(), SIGUSR1)
    await child.write(other, 'socket')
    await child.write(file, 'file')
    await child.writeMemory(memory, 'memory')
    await parent.lseek(file, 0)
    const user = await outer.spawn('unprivileged user')
    await user.becomeUser(fresh.uid())
    const refused = await user.trySpawn('child', flags)
    return {
      mine: await namespaceOf(parent),
      theirs: await namespaceOf(child),
      found: typeof (await child.try.msgget(key, 0)),
      inStep,
      signal: (await parent.sigtimedwait([SIGUSR1], 5000)).signal,
      socket: await parent.read(one),
      file: await parent.read(file),
      memory: await parent.readMemory(memory, 64),
      refused: whetherMade(refused),
    }
  },
  treatment: ({ mine }) => ({
    theirs: differs(mine),
    found: 'object',
    inStep: '',
    signal: SIGUSR1,
    socket: 'socket',
    file: 'file',
    memory: 'memory',
    refused: EPERM,
  }),
  control: ({ mine }) => ({
    theirs: mine,
    found: 'number',
    inStep: '',
    signal: SIGUSR1,
    socket: 'socket',
    file: 'file',
    memory: 'memory',
    refused: EPERM,
  }),
})

await conformance(walk)
