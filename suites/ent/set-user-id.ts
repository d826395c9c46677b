/** ENT-16: execve(2) of a program that gives its caller another user's rights. */
import { namespaceOf } from '../../fixtures/identity.ts'
import { makePlaces } from '../../fixtures/mqueue-mounts.ts'
import { CLONE, type ComparisonWorld, HarnessError, type Member, pathOf } from '../../fixtures/rules.ts'

/** An ordinary user runs a set-user-id readlink(1) of root, which says where it is itself. */
export async function execAsAnother({ outer, arm, enter, fresh, note }: ComparisonWorld) {
  const box = await enter('box', { from: outer, flags: ['NEWPID', 'NEWNS'] })
  await box.mount('proc', '/proc', 'proc')
  const program = await setUserIdCopy(box, 'readlink')
  const caller = await box.spawn('caller')
  if (arm === 'treatment') await caller.unshare(CLONE.NEWIPC)
  await caller.becomeUser(fresh.uid())
  // Where no program may change the user (no_new_privs) it is one as any other.
  const asRoot = await caller.run([program, '/proc/1/ns/ipc'])
  if (asRoot.exit !== 0) note('a set-user-id program does not become root here')
  const seen = await caller.run([program, '/proc/self/ns/ipc'])
  const after = await namespaceOf(caller)
  return {
    outer: await namespaceOf(outer),
    after,
    // The link as namespaces(7) has it.
    kept: seen.output.includes(`ipc:[${after.split(':')[1]}]`),
  }
}

/** A copy of an installed program that is root's and set-user-id; the member is in a private mount namespace. */
async function setUserIdCopy(member: Member, command: string): Promise<string> {
  const [place = ''] = await makePlaces(member, 'programs')
  // Others must get there, whatever the runner's umask.
  await member.chmod(place, 0o755)
  const original = await pathOf(member, command)
  if (original === undefined) throw new HarnessError(`${command} is not installed`)
  // The name stays: busybox goes by it.
  const copy = `${place}/${command}`
  const copied = await member.run(['cp', original, copy])
  if (copied.exit !== 0) throw new HarnessError(`cp ${original}: ${copied.output}`)
  await member.chmod(copy, 0o4755)
  return copy
}
