/**
 * The ways into a set of namespaces. Each makes, from a member that already lives, another member that is
 * in new namespaces of the given flags, by the call the way is named after.
 */
import { HarnessError } from '../link/failure.ts'
import type { Member } from '../link/member.ts'
import { cloneBits, type Flag, MS_PRIVATE, MS_REC, NS_FILE, O_RDONLY } from '../probe/constants.ts'
import { startWithTool } from './tools.ts'
import { procPid, writeMaps } from './user-map.ts'

/** The ways in that are system calls of a living member. */
export const SYSTEM_CALL_WAYS = ['clone', 'clone3', 'unshare', 'setns-nsfd', 'setns-pidfd'] as const

/** The ways in that are commands of util-linux; they start from the runner's own namespaces. */
export const COMMAND_WAYS = ['unshare(1)', 'nsenter(1)'] as const

/** Name of a way in. */
export type WayIn = (typeof SYSTEM_CALL_WAYS)[number] | (typeof COMMAND_WAYS)[number]

/**
 * Makes a member in new namespaces. `creator` stays where it is. With NEWPID the member is inside the new
 * pid namespace, which costs unshare and setns one more fork. With NEWNS mount propagation is private.
 * With setns the namespaces are those of a donor made by clone; without NEWIPC its IPC namespace, the
 * creator's own, is joined all the same, so that the call is there in both arms.
 * Throws HarnessError when a call of it fails.
 */
export async function enter(
  creator: Member,
  name: string,
  via: WayIn,
  flags: readonly Flag[],
): Promise<Member> {
  switch (via) {
    case 'clone':
    case 'clone3':
      return byClone(creator, name, via, flags)
    case 'unshare':
      return byUnshare(creator, name, flags)
    case 'setns-nsfd':
    case 'setns-pidfd':
      return bySetns(creator, name, via, flags)
    case 'unshare(1)':
    case 'nsenter(1)':
      return byCommand(creator, name, via, flags)
  }
}

async function byClone(
  creator: Member,
  name: string,
  call: 'clone' | 'clone3',
  flags: readonly Flag[],
): Promise<Member> {
  const member = await creator.spawn(name, flags, { call })
  await settle(creator, member, flags)
  return member
}

async function byUnshare(creator: Member, name: string, flags: readonly Flag[]): Promise<Member> {
  const pidToo = flags.includes('NEWPID')
  const first = await creator.spawn(pidToo ? `${name}'s parent` : name)
  await first.unshare(cloneBits(flags))
  await settle(creator, first, flags)
  return pidToo ? first.spawn(name) : first
}

async function bySetns(
  creator: Member,
  name: string,
  via: 'setns-nsfd' | 'setns-pidfd',
  flags: readonly Flag[],
): Promise<Member> {
  const donor = await byClone(creator, `${name}'s donor`, 'clone', flags)
  const pidToo = flags.includes('NEWPID')
  const first = await creator.spawn(pidToo ? `${name}'s parent` : name)
  // Without NEWIPC the donor's IPC namespace belongs to the outer user namespace: join it before the
  // user namespace, from inside which that is EPERM (ENT-29).
  const ipcFirst = flags.includes('NEWUSER') && !flags.includes('NEWIPC')
  const join = via === 'setns-nsfd' ? joinByNsfd : joinByPidfd
  if (ipcFirst || flags.length === 0) await join(first, donor, ['NEWIPC'])
  if (flags.length > 0)
    await join(first, donor, ipcFirst || flags.includes('NEWIPC') ? flags : [...flags, 'NEWIPC'])
  first.process.ipc = donor.process.ipc
  return pidToo ? first.spawn(name) : first
}

/** The user namespace first, whose owner the others need; the mount namespace last, it changes /proc. */
const JOIN_ORDER: readonly Flag[] = ['NEWUSER', 'NEWIPC', 'NEWUTS', 'NEWNET', 'NEWCGROUP', 'NEWPID', 'NEWNS']

async function joinByNsfd(member: Member, donor: Member, flags: readonly Flag[]): Promise<void> {
  const pid = await procPid(donor)
  const files: { flag: Flag; descriptor: number }[] = []
  for (const flag of JOIN_ORDER.filter((candidate) => flags.includes(candidate)))
    files.push({ flag, descriptor: await member.open(`/proc/${pid}/ns/${NS_FILE[flag]}`, O_RDONLY) })
  for (const { flag, descriptor } of files) {
    await member.setns(descriptor, cloneBits([flag]))
    await member.close(descriptor)
  }
}

async function joinByPidfd(member: Member, donor: Member, flags: readonly Flag[]): Promise<void> {
  const pidfd = await member.pidfd_open(donor.pid)
  await member.setns(pidfd, cloneBits(flags))
  await member.close(pidfd)
}

async function byCommand(
  creator: Member,
  name: string,
  via: 'unshare(1)' | 'nsenter(1)',
  flags: readonly Flag[],
): Promise<Member> {
  if (creator.process.ipc.name !== 'initial')
    throw new HarnessError(`${via} starts from the initial namespaces, not from ${creator.process.ipc.name}`)
  if (via === 'unshare(1)') return startWithTool(creator, name, via, flags)
  const donor = await byClone(creator, `${name}'s donor`, 'clone', flags)
  return startWithTool(creator, name, via, flags, await procPid(donor))
}

async function settle(creator: Member, member: Member, flags: readonly Flag[]): Promise<void> {
  if (flags.includes('NEWUSER')) await writeMaps(creator, member)
  if (flags.includes('NEWNS')) await makePrivate(member)
}

/** Makes every mount that the member sees private, so that nothing it mounts is seen outside. */
export async function makePrivate(member: Member): Promise<void> {
  await member.mount('', '/', '', MS_REC | MS_PRIVATE)
}

/** Mounts a fresh procfs and mqueue, for a member in a mount namespace of its own. */
export async function remount(member: Member, what: readonly ('proc' | 'mqueue')[]): Promise<void> {
  for (const type of what) {
    const target = type === 'proc' ? '/proc' : '/dev/mqueue'
    await member.mount(type, target, type)
  }
}
