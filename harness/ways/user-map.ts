import type { Member } from '../link/member.ts'

/** How many ids a privileged run maps one to one into a new user namespace. */
export const MAPPED_IDS = 65536

/** The member's pid as the procfs instance that it sees names it; the same for every reader of it. */
export function procPid(member: Member): Promise<string> {
  return member.readlink('/proc/self')
}

/**
 * Writes the uid and gid maps of a user namespace that was just made (user_namespaces(7)): with privilege
 * ids 0…65535 one to one, so that a user is the same inside and outside; without it only the caller, as 0.
 */
export async function writeMaps(creator: Member, inside: Member): Promise<void> {
  const pid = await procPid(inside)
  const uid = await creator.geteuid()
  if (uid === 0) {
    await creator.writeFile(`/proc/${pid}/uid_map`, `0 0 ${MAPPED_IDS}`)
    await creator.writeFile(`/proc/${pid}/gid_map`, `0 0 ${MAPPED_IDS}`)
    return
  }
  const gid = await creator.getegid()
  await inside.writeFile('/proc/self/setgroups', 'deny')
  await inside.writeFile('/proc/self/uid_map', `0 ${uid} 1`)
  await inside.writeFile('/proc/self/gid_map', `0 ${gid} 1`)
}
