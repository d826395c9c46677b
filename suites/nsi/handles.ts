/** NSI-09…12: file handles of IPC namespaces, for name_to_handle_at(2) and open_by_handle_at(2). */
import { fileOf, inInitial, takeFileOf } from '../../fixtures/nsfs.ts'
import {
  type Area,
  CLONE,
  type ComparisonWorld,
  EOVERFLOW,
  FD_NSFS_ROOT,
  type Member,
  NS_GET_ID,
  NSFS_HANDLE_TYPE,
  O_RDONLY,
  oneOf,
} from '../../fixtures/rules.ts'

/** What open_by_handle_at(2) takes of a namespace handle. */
interface Triple {
  id: string
  nsType: number
  inum: number
}

/** The handle of a member's own IPC namespace. */
export async function handleOf(member: Member): Promise<Triple> {
  const nsfd = await member.open('/proc/self/ns/ipc', O_RDONLY)
  const handle = await member.name_to_handle_at(nsfd)
  await member.close(nsfd)
  return handle
}

/** What a handle opens: `DEVICE:INODE`, or the errno. */
async function opened(asker: Member, handle: Triple & { type?: number }, mount = FD_NSFS_ROOT) {
  return takeFileOf(asker, await asker.try.open_by_handle_at(mount, handle))
}

export function handleRules(nsi: Area): void {
  nsi.visibility('NSI-09', {
    says: 'a namespace’s handle has type 0xf1 and 16 bytes: its NS_GET_ID, its type and its inode number',
    source: ['name_to_handle_at(2)', 'fs/nsfs.c: nsfs_encode_fh', 'include/uapi/linux/nsfs.h'],
    needs: ['namespace handles', 'NS_GET_ID'],
    since: '6.18',
    async experiment({ actor, observer }) {
      const look = async (side: Member) => {
        const nsfd = await side.open('/proc/self/ns/ipc', O_RDONLY)
        const handle = await side.try.name_to_handle_at(nsfd)
        const { ino } = await side.fstat(nsfd)
        const id = await side.try.ioctl64(nsfd, NS_GET_ID)
        const short: unknown[] = []
        for (const capacity of [0, 8, 15]) {
          short.push(await side.try.name_to_handle_at(nsfd, capacity))
          short.push(await side.try.handleBytesAskedFor(nsfd, capacity))
        }
        const expected = { bytes: 16, type: NSFS_HANDLE_TYPE, id, nsType: CLONE.NEWIPC, inum: ino }
        return { nsfd, handle, expected, short }
      }
      const [mine, theirs] = [await look(actor), await look(observer)]
      await actor.close(mine.nsfd)
      await observer.close(theirs.nsfd)
      return {
        actor: mine.handle,
        observer: theirs.handle,
        expected: [mine.expected, theirs.expected],
        short: [...mine.short, ...theirs.short],
      }
    },
    shared: ({ expected: [actor] }) => ({ actor, observer: actor, short: TOO_SHORT }),
    isolated: ({ expected: [actor, observer] }) => ({ actor, observer, short: TOO_SHORT }),
  })

  nsi.comparison('NSI-10', {
    says: 'a handle of one’s own namespace opens it again, without any capability, by FD_NSFS_ROOT or any nsfd',
    source: ['open_by_handle_at(2)', 'fs/nsfs.c: nsfs_export_permission', 'include/uapi/linux/fcntl.h'],
    needs: ['namespace handles', 'CAP_SETUID', 'UTS_NS'],
    since: '6.18',
    flags: 'with NEWIPC',
    arms: { treatment: 'through nsfs', control: 'through another file system' },
    async experiment({ arm, enter, fresh }) {
      const member = await enter('member')
      const nsfd = await member.open('/proc/self/ns/ipc', O_RDONLY)
      const own = await fileOf(member, nsfd)
      const plain = await member.spawn('plain user')
      await plain.becomeUser(fresh.uid())
      const powerless = await member.spawn('no capabilities')
      await powerless.setCapabilities([], true)
      const files: string[] = []
      for (const asker of [member, plain, powerless]) {
        const handle = await handleOf(asker)
        const mounts =
          arm === 'treatment'
            ? [
                FD_NSFS_ROOT,
                await asker.open('/proc/self/ns/ipc', O_RDONLY),
                await asker.open('/proc/self/ns/uts', O_RDONLY),
              ]
            : // procfs has no handles at all, so this is refused whatever is mounted where.
              [await asker.open('/proc', O_RDONLY)]
        for (const mount of mounts) files.push(await opened(asker, handle, mount))
      }
      return { own, files, denied: files.every((file) => file === 'ESTALE' || file === 'EPERM') }
    },
    treatment: ({ own }) => ({ files: Array.from({ length: 9 }, () => own), denied: false }),
    control: () => ({ denied: true }),
  })

  nsi.comparison('NSI-11', {
    says: 'a handle whose id, type or inode number is wrong is ESTALE',
    source: ['fs/nsfs.c: nsfs_fh_to_dentry'],
    needs: ['namespace handles'],
    since: '6.18',
    flags: 'with NEWIPC',
    arms: { treatment: 'a part is wrong', control: 'every part is right' },
    async experiment({ arm, enter, note, outer }) {
      const member = await enter('member')
      const nsfd = await member.open('/proc/self/ns/ipc', O_RDONLY)
      const own = await fileOf(member, nsfd)
      const right = await handleOf(member)
      const other = await handleOf(outer)
      if (arm === 'control') {
        return { own, wrong: {}, right: await opened(member, right), bare: null }
      }
      const wrong: Record<string, Triple & { type?: number }> = {
        'another inode number': { ...right, inum: right.inum === 1 ? 2 : 1 },
        'another’s inode number': { ...right, inum: other.inum },
        'another’s id': { ...right, id: other.id },
        'another type of namespace': { ...right, nsType: CLONE.NEWUTS },
        'two types': { ...right, nsType: CLONE.NEWIPC | CLONE.NEWUTS },
        'no inode number': { ...right, inum: 0 },
        'no type': { ...right, nsType: 0 },
        'no id': { ...right, id: '0' },
        'an id that no namespace has': { ...right, id: '9223372036854775807' },
        'another type of handle': { ...right, type: 1 },
      }
      const answers: Record<string, string> = {}
      for (const [name, triple] of Object.entries(wrong)) answers[name] = await opened(member, triple)
      // The id alone: ESTALE while each type has a tree of its own, enough since there is one for all.
      const bare = await opened(member, { ...right, nsType: 0, inum: 0 })
      note(bare === own ? 'the id alone opens the namespace' : 'the id alone does not open the namespace')
      return { own, wrong: answers, right: await opened(member, right), bare }
    },
    treatment: ({ own, wrong }) => ({
      wrong: Object.fromEntries(Object.keys(wrong).map((name) => [name, 'ESTALE'])),
      right: own,
      bare: oneOf('ESTALE', own),
    }),
    control: ({ own }) => ({ right: own }),
  })

  nsi.comparison('NSI-12', {
    says: 'a handle of a namespace that one is not in opens only with CAP_SYS_ADMIN in the initial user and pid namespaces',
    source: ['fs/nsfs.c: nsfs_fh_to_dentry, may_see_all_namespaces', 'CVE-2026-43391'],
    needs: ['namespace handles', 'USER_NS', 'PID_NS', 'CAP_SETUID'],
    since: '6.18',
    variants: ASKERS,
    arms: { treatment: 'a namespace that the asker is not in', control: 'the namespace that it is in' },
    async experiment(world) {
      const { outer, variant, arm } = world
      const { asker, foreign } = await askerAnd(world)
      const target = arm === 'treatment' ? foreign : asker
      const handle = await handleOf(target)
      const file = await fileOf(target, await target.open('/proc/self/ns/ipc', O_RDONLY))
      const found = await opened(asker, handle)
      const sees =
        variant === 'privileged' && (await inInitial(outer, 'pid')) && (await inInitial(outer, 'user'))
      return {
        asker: variant,
        file,
        found,
        opens: found === file ? 'the namespace' : found,
        sees,
        differ: (await namespaceFile(asker)) !== file,
      }
    },
    treatment: ({ sees }) => ({ opens: sees ? 'the namespace' : 'ESTALE', differ: true }),
    control: () => ({ opens: 'the namespace', differ: false }),
    bugs: [
      {
        id: 'BUG-29 (CVE-2026-43391)',
        fix:
          'commit d2324a9317f0 “nsfs: tighten permission checks for handle opening”; until then whoever is ' +
          'root of a user namespace, as in a container, can open and join any namespace that it owns, by a ' +
          'guessed or kept handle, out of a pid namespace that hides its processes',
        fixedIn: '6.18.50, 6.19.9 and 7.0',
        looksLike: {
          asker: oneOf(...ASKERS.filter((asker) => asker !== 'plain user')),
          opens: 'the namespace',
          differ: true,
        },
      },
    ],
    byHand: [
      'uname -r   # 6.18.0 to 6.18.49 and 6.19.0 to 6.19.8 have the bug, unless a distribution has the fix',
    ],
  })
}

/** NSI-12: who asks for a namespace that it is not in. */
const ASKERS = [
  'plain user',
  'root of the owning user namespace',
  'root in another pid namespace',
  'privileged',
] as const

/** What name_to_handle_at(2) says at each capacity below 16, and the bytes it then asks for; for two sides. */
const TOO_SHORT = Array.from({ length: 6 }, () => [EOVERFLOW, 16]).flat()

/** The asker of a variant, and a member of a namespace that it is not in but may be root over. */
async function askerAnd({
  outer,
  variant,
  fresh,
}: ComparisonWorld): Promise<{ asker: Member; foreign: Member }> {
  switch (variant) {
    case 'root of the owning user namespace': {
      const asker = await outer.spawn('root inside', ['NEWUSER', 'NEWIPC'])
      return { asker, foreign: await asker.spawn('foreign', ['NEWIPC']) }
    }
    case 'root in another pid namespace': {
      const asker = await outer.spawn('root in another pid namespace', ['NEWPID'])
      return { asker, foreign: await outer.spawn('foreign', ['NEWIPC']) }
    }
    case 'plain user': {
      const asker = await outer.spawn('plain user')
      await asker.becomeUser(fresh.uid())
      return { asker, foreign: await outer.spawn('foreign', ['NEWIPC']) }
    }
    default:
      return { asker: await outer.spawn('privileged'), foreign: await outer.spawn('foreign', ['NEWIPC']) }
  }
}

async function namespaceFile(member: Member): Promise<string> {
  return takeFileOf(member, await member.open('/proc/self/ns/ipc', O_RDONLY))
}
