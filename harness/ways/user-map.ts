import type { Member } from '../link/member.ts'

/** How many ids a privileged run maps one to one into a new user namespace. */
const MAPPED_IDS = 65536

/** The member's pid as the procfs instance that it sees names it; the same for every reader of it. */
export function procPid(member: Member): Promise<string> {
  return member.readlink('/proc/self')
}

/**
 * Writes the uid and gid maps of a user namespace that was just made (user_namespaces(7)): with privilege
 * ids 0…65535 one to one, as far as the creator has them, so that a user is the same inside and outside;
 * without it only the caller, as 0.
 */
export async function writeMaps(creator: Member, inside: Member): Promise<void> {
  const pid = await procPid(inside)
  const uid = await creator.geteuid()
  if (uid === 0) {
    for (const file of ['uid_map', 'gid_map'])
      await creator.writeFile(`/proc/${pid}/${file}`, oneToOne(await creator.readFile(`/proc/self/${file}`)))
    return
  }
  await becomeMappedRoot(inside, uid, await creator.getegid())
}

/** Maps one user and one group of the outside as 0, from inside the new user namespace, which takes no privilege. */
export async function becomeMappedRoot(inside: Member, uid: number, gid: number): Promise<void> {
  // gVisor has no such file, and asks for nothing of it.
  if (await inside.exists('/proc/self/setgroups')) await inside.writeFile('/proc/self/setgroups', 'deny')
  await inside.writeFile('/proc/self/uid_map', `0 ${uid} 1`)
  await inside.writeFile('/proc/self/gid_map', `0 ${gid} 1`)
}

/** Each line of the creator's map as one of a map to the same ids; a line may not span two of the creator's. */
function oneToOne(map: string): string {
  return map
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/ +/).map(Number))
    .filter(([first = 0]) => first < MAPPED_IDS)
    .map(([first = 0, , count = 0]) => `${first} ${first} ${Math.min(count, MAPPED_IDS - first)}`)
    .join('\n')
}
