/**
 * SYS-13, SYS-14, SYS-16 to SYS-21: who may write IPC sysctls. Since 6.9 (and in stable trees, 6.1.104 and
 * others) that is root of the user namespace that owns the IPC namespace; before, root of the initial one.
 * Both conform. Which one a kernel has shows in the owner that stat(2) gives inside an owned namespace.
 */
import { becomeUserWithAllCapabilities, giveUp } from '../../fixtures/capabilities.ts'
import { joinAs } from '../../fixtures/lifetime.ts'
import {
  type Area,
  type ComparisonWorld,
  cloneBits,
  EACCES,
  EPERM,
  type Flag,
  type Member,
  oneOf,
  PR_SET_KEEPCAPS,
} from '../../fixtures/rules.ts'
import {
  ofEach,
  readSysctl,
  SYSCTLS,
  type Sysctl,
  valueOnce,
  withEach,
  writeSysctl,
} from '../../fixtures/sysctls.ts'
import {
  type MapLine,
  mappedRoot,
  overflowIds,
  spawnInUserNamespace,
} from '../../fixtures/user-namespaces.ts'

const GROUPS = ['kernel', 'fs/mqueue'] as const
const GROUP_NEEDS = {
  kernel: ['SYSVIPC_SYSCTL', 'shm_rmid_forced', 'auto_msgmni'],
  'fs/mqueue': ['MQUEUE_SYSCTL'],
} as const

/** The files of one directory that root writes; *_next_id have rules of their own. */
function files(group: string): Sysctl[] {
  return SYSCTLS.filter(({ path, needs }) => path.startsWith(`/proc/sys/${group}/`) && needs !== 'NEXT_ID')
}

/** The outcome of writing each file, by name. */
function writeAll(member: Member, group: string): Promise<Record<string, unknown>> {
  return withEach(files(group), ({ path, telling }) => writeSysctl(member, path, telling[0]))
}

/** What each file reads, by name. */
function readAll(member: Member, group: string): Promise<Record<string, unknown>> {
  return withEach(files(group), ({ path }) => readSysctl(member, path))
}

/** The same outcome for each file. */
const each = (group: string, outcome: unknown) => ofEach(files(group), () => outcome)
/** What each file of a fresh namespace reads, and after `writeAll`. */
const freshValues = (group: string) => ofEach(files(group), ({ fresh }) => fresh)
const tellingValues = (group: string) => ofEach(files(group), (file) => valueOnce(file, 0))

/**
 * Whether the files of both directories belong to root of the owning user namespace (6.9), by the owners that
 * its root sees. Both directories came to it in one release, and so did user and group: a kernel that shows
 * root as owner of anything is held to all of it.
 */
async function showsRoot(inside: Member, note: ComparisonWorld['note']): Promise<boolean> {
  let shown = false
  for (const { path } of GROUPS.flatMap(files))
    if (await inside.exists(path)) {
      const { uid, gid } = await inside.stat(path)
      shown ||= uid === 0 || gid === 0
    }
  note(
    shown
      ? 'root of the owning user namespace writes (6.9)'
      : 'root of the initial user namespace writes (before 6.9)',
  )
  return shown
}

/** The same of a fresh IPC namespace, for who has none at hand. */
async function ownerWrites({ outer, fresh, note }: ComparisonWorld): Promise<boolean> {
  return showsRoot(await mappedRoot(outer, 'probe of ownership', fresh.uid(), ['NEWIPC']), note)
}

/** From outside: who is root there, whatever the maps of the user namespace inside. */
const rootsOutside = {
  seenOutside: ['0:0'],
  otherGroup: ['0:0'],
  usersAlone: ['0:0'],
  groupsAlone: ['0:0'],
}

export function permissionRules(sys: Area): void {
  sys.comparison('SYS-13', {
    says: 'the mode 0644 decides over an IPC sysctl by the effective user and group alone: root writes and needs no capability, nobody else does with any',
    source: ['ipc/ipc_sysctl.c: ipc_permissions', 'fs/proc/proc_sysctl.c: test_perm'],
    needs: ['CAP_SETUID'],
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'another user with every capability', control: 'root without any' },
    async experiment({ enter, arm, variant, fresh }) {
      const member = await enter('member')
      const every = await member.capabilities()
      // The group of the files has no more of the mode than others.
      const colleague = await member.spawn('another user in root’s group')
      // First by the effective user alone: whoever is still root by the real one may come back.
      await colleague.setresuid(0, fresh.uid(), 0)
      const wroteByRealRoot = await writeAll(colleague, variant)
      await colleague.setresuid(0, 0, 0)
      await colleague.becomeUser(fresh.uid(), 0)
      const wroteByGroup = await writeAll(colleague, variant)
      if (arm === 'treatment') {
        await member.prctl(PR_SET_KEEPCAPS, 1)
        await member.becomeUser(fresh.uid())
        await member.setCapabilities(every)
      } else await member.setCapabilities([])
      return {
        every,
        holds: await member.capabilities(),
        modes: await withEach(files(variant), async ({ path }) => (await member.stat(path)).mode & 0o7777),
        reads: await readAll(member, variant),
        wroteByRealRoot,
        wroteByGroup,
        wrote: await writeAll(member, variant),
      }
    },
    treatment: ({ every }, { variant }) => ({
      holds: every,
      modes: each(variant, 0o644),
      reads: freshValues(variant),
      wroteByRealRoot: each(variant, EACCES),
      wroteByGroup: each(variant, EACCES),
      wrote: each(variant, EACCES),
    }),
    control: (_seen, { variant }) => ({
      holds: [],
      modes: each(variant, 0o644),
      reads: freshValues(variant),
      wroteByRealRoot: each(variant, EACCES),
      wroteByGroup: each(variant, EACCES),
      wrote: each(variant, 0),
    }),
  })

  sys.comparison('SYS-14', {
    says: 'IPC sysctls belong to root of the user namespace that owns the IPC namespace; shown as 65534 where unmapped',
    source: ['ipc/ipc_sysctl.c: ipc_set_ownership', 'ipc/mq_sysctl.c: mq_set_ownership'],
    needs: ['USER_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: {
      treatment: 'the IPC namespace is the child user namespace’s own',
      control: 'it is the outer one’s',
    },
    async experiment({ outer, arm, variant, fresh, note }) {
      const uid = fresh.uid()
      const flags: Flag[] = arm === 'treatment' ? ['NEWIPC'] : []
      const inside = await mappedRoot(outer, 'inside', uid, flags)
      const visitor = await joinAs('visitor', outer, inside)
      const owners = async (member: Member): Promise<string[]> => {
        const all = new Set<string>()
        for (const { path } of files(variant)) {
          const status = await member.stat(path)
          all.add(`${status.uid}:${status.gid}`)
        }
        return [...all]
      }
      const unmapped = await overflowIds(outer)
      // User and group go each by its own map, which may be another one, or lack.
      const gid = fresh.uid()
      const outside = async (name: string, users: MapLine[], groups: MapLine[]): Promise<string[]> => {
        const other = await spawnInUserNamespace(outer, name, flags, users, [], groups)
        return owners(await joinAs(`${name}’s visitor`, outer, other))
      }
      const users: MapLine[] = [[0, uid, 1]]
      const groups: MapLine[] = [[0, gid, 1]]
      return {
        uid,
        gid,
        otherGroup: await outside('with another group', users, groups),
        usersAlone: await outside('without gid_map', users, []),
        groupsAlone: await outside('without uid_map', [], groups),
        byOwner: arm === 'treatment' && (await showsRoot(inside, note)),
        unmapped: `${unmapped.uid}:${unmapped.gid}`,
        seenInside: await owners(inside),
        seenOutside: await owners(visitor),
      }
    },
    treatment: ({ uid, gid, byOwner, unmapped }) =>
      byOwner
        ? {
            seenInside: ['0:0'],
            seenOutside: [`${uid}:${uid}`],
            otherGroup: [`${uid}:${gid}`],
            // What is not mapped is root of the initial user namespace, as it looks from here.
            usersAlone: oneOf([`${uid}:0`], [`${uid}:${unmapped.split(':')[1]}`]),
            groupsAlone: oneOf([`0:${gid}`], [`${unmapped.split(':')[0]}:${gid}`]),
          }
        : { seenInside: [unmapped], ...rootsOutside },
    control: ({ unmapped }) => ({ seenInside: [unmapped], ...rootsOutside }),
  })

  sys.comparison('SYS-16', {
    says: 'writing *_next_id takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user namespace that owns the IPC namespace',
    source: ['Documentation/admin-guide/sysctl/kernel.rst: *_next_id', 'ipc/ipc_sysctl.c: ipc_permissions'],
    needs: ['NEXT_ID', 'USER_NS', 'CAP_SETUID', 'CAP_CHECKPOINT_RESTORE'],
    since: '5.16',
    variants: ['msg_next_id', 'sem_next_id', 'shm_next_id'],
    arms: { treatment: 'without the capability there', control: 'with it' },
    async experiment({ outer, enter, arm, variant, fresh, note }) {
      const path = `/proc/sys/kernel/${variant}`
      const atOpen = ((await outer.stat(path)).mode & 0o777) === 0o444
      note(atOpen ? 'checked at open (5.19)' : 'checked later or not at all (before 5.19)')
      const write = (member: Member): Promise<unknown> => writeSysctl(member, path, '300')
      const root = await enter('root')
      const inside = await mappedRoot(outer, 'root inside', fresh.uid(), arm === 'control' ? ['NEWIPC'] : [])
      if (arm === 'treatment') {
        await giveUp(root, 'CAP_CHECKPOINT_RESTORE', 'CAP_SYS_ADMIN')
        return { atOpen, byRoot: await write(root), byRootInside: await write(inside), other: EACCES }
      }
      await root.setCapabilities(['CAP_SYS_ADMIN'])
      const byRoot = await write(root)
      const user = await enter('user')
      await user.prctl(PR_SET_KEEPCAPS, 1)
      await user.becomeUser(fresh.uid())
      await user.setCapabilities(['CAP_CHECKPOINT_RESTORE'])
      return { atOpen, byRoot, byRootInside: await write(inside), other: await write(user) }
    },
    treatment: ({ atOpen }) => ({
      byRoot: atOpen ? EACCES : oneOf(0, EPERM),
      byRootInside: atOpen ? EACCES : oneOf(EACCES, EPERM),
    }),
    control: ({ atOpen }) => ({
      byRoot: 0,
      byRootInside: atOpen ? 0 : oneOf(0, EACCES),
      other: atOpen ? 0 : oneOf(0, EACCES),
    }),
  })

  sys.comparison('SYS-17', {
    says: 'root of a child user namespace cannot write the sysctls of an IPC namespace that is not its own',
    source: ['ipc/ipc_sysctl.c: ipc_permissions', 'ipc/mq_sysctl.c: mq_permissions'],
    needs: ['USER_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'NEWUSER alone', control: 'NEWUSER and NEWIPC' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const owner = await ownerWrites(world)
      const inside = await mappedRoot(outer, 'inside', fresh.uid(), arm === 'control' ? ['NEWIPC'] : [])
      return { owner, wrote: await writeAll(inside, variant), outers: await readAll(outer, variant) }
    },
    treatment: (_seen, { variant }) => ({ wrote: each(variant, EACCES), outers: freshValues(variant) }),
    control: ({ owner }, { variant }) => ({
      wrote: each(variant, owner ? 0 : EACCES),
      outers: freshValues(variant),
    }),
  })

  sys.comparison('SYS-18', {
    says: 'root of a child user namespace writes every sysctl of its own IPC namespace, and none of a UTS namespace that is not its own',
    source: ['ipc/ipc_sysctl.c: ipc_permissions', 'ipc/mq_sysctl.c: mq_permissions'],
    needs: ['USER_NS', 'UTS_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'its IPC sysctls', control: 'kernel.hostname of the outer UTS namespace' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const owner = await ownerWrites(world)
      // NEWIPC does not isolate the host name: a UTS namespace keeps the machine's out of reach.
      const middle = await outer.spawn('middle', ['NEWUTS'])
      const inside = await mappedRoot(middle, 'inside', fresh.uid(), ['NEWIPC'])
      const hostname = '/proc/sys/kernel/hostname'
      if (arm === 'control')
        return {
          owner,
          wrote: { hostname: await writeSysctl(inside, hostname, await inside.readFile(hostname)) },
        }
      const wrote = await writeAll(inside, variant)
      return { owner, wrote, insides: await readAll(inside, variant), outers: await readAll(outer, variant) }
    },
    treatment: ({ owner }, { variant }) => ({
      wrote: each(variant, owner ? 0 : EACCES),
      insides: owner ? tellingValues(variant) : freshValues(variant),
      outers: freshValues(variant),
    }),
    control: () => ({ wrote: { hostname: EACCES } }),
  })

  sys.comparison('SYS-19', {
    says: 'while the owning user namespace has no uid_map its IPC sysctls belong to root of the initial one, who may write them',
    source: ['ipc/ipc_sysctl.c: ipc_set_ownership', 'user_namespaces(7)'],
    needs: ['USER_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'no uid_map', control: 'root inside is another user outside' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const owner = await ownerWrites(world)
      const inside =
        arm === 'treatment'
          ? await outer.spawn('inside', ['NEWUSER', 'NEWIPC'])
          : await mappedRoot(outer, 'inside', fresh.uid(), ['NEWIPC'])
      const { uid } = await inside.stat((files(variant)[0] as Sysctl).path)
      // Whoever made it is still root of the initial user namespace, unmapped or not.
      const visitor = await joinAs('visitor', outer, inside)
      const maker = arm === 'treatment' ? inside : visitor
      const unmapped = (await overflowIds(outer)).uid
      const wrote = await writeAll(maker, variant)
      // Nor does one without uid_map belong to another user who made it.
      const user = await outer.spawn('another user')
      await becomeUserWithAllCapabilities(user, fresh.uid())
      await user.unshare(cloneBits(['NEWUSER', 'NEWIPC']))
      const wroteByMaker = await writeAll(user, variant)
      return { owner, unmapped, uid, wrote, wroteByMaker, made: await readAll(inside, variant) }
    },
    treatment: ({ unmapped }, { variant }) => ({
      uid: unmapped,
      wrote: each(variant, 0),
      wroteByMaker: each(variant, EACCES),
      made: tellingValues(variant),
    }),
    control: ({ owner, unmapped }, { variant }) => ({
      uid: owner ? 0 : unmapped,
      wrote: each(variant, owner ? EACCES : 0),
      wroteByMaker: each(variant, EACCES),
      made: owner ? freshValues(variant) : tellingValues(variant),
    }),
  })

  sys.comparison('SYS-20', {
    says: 'root of the owning user namespace writes its IPC sysctls without any capability, *_next_id excepted',
    source: ['ipc/ipc_sysctl.c: ipc_permissions', 'ipc/mq_sysctl.c: mq_permissions'],
    needs: ['USER_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'all capabilities dropped', control: 'all kept' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const owner = await ownerWrites(world)
      const inside = await mappedRoot(outer, 'inside', fresh.uid(), ['NEWIPC'])
      if (arm === 'treatment') await inside.setCapabilities([], true)
      const { nextId, atOpen } = await writeNextId(inside)
      return { owner, atOpen, nextId, wrote: await writeAll(inside, variant) }
    },
    treatment: ({ owner, atOpen }, { variant }) => ({
      wrote: each(variant, owner ? 0 : EACCES),
      nextId: atOpen ? EACCES : oneOf(0, EACCES, EPERM, 'absent'),
    }),
    control: ({ owner, atOpen }, { variant }) => ({
      wrote: each(variant, owner ? 0 : EACCES),
      nextId: atOpen ? 0 : oneOf(0, EACCES, EPERM, 'absent'),
    }),
  })

  sys.comparison('SYS-21', {
    says: 'root outside that joined an IPC namespace owned by a child user namespace reads its sysctls but only its owner writes them',
    source: ['ipc/ipc_sysctl.c: ipc_permissions', 'ipc/mq_sysctl.c: mq_permissions'],
    needs: ['USER_NS', 'CAP_SETUID'],
    since: '6.9',
    variants: GROUPS,
    variantNeeds: GROUP_NEEDS,
    arms: { treatment: 'as root', control: 'as the user that is root inside' },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const owner = await ownerWrites(world)
      const uid = fresh.uid()
      const inside = await mappedRoot(outer, 'inside', uid, ['NEWIPC'])
      const visitor = await joinAs('visitor', outer, inside)
      const { nextId, atOpen } = await writeNextId(visitor)
      if (arm === 'control') await visitor.setresuid(0, uid, 0)
      const reads = await readAll(visitor, variant)
      return { owner, atOpen, nextId, reads, wrote: await writeAll(visitor, variant) }
    },
    treatment: ({ owner, atOpen }, { variant }) => ({
      reads: freshValues(variant),
      wrote: each(variant, owner ? EACCES : 0),
      nextId: atOpen ? 0 : oneOf(0, EACCES, 'absent'),
    }),
    control: ({ owner }, { variant }) => ({
      reads: freshValues(variant),
      wrote: each(variant, owner ? 0 : EACCES),
    }),
  })
}

/** Writes msg_next_id where the kernel has it; `atOpen` where it decides by capability at open (5.19). */
async function writeNextId(member: Member): Promise<{ nextId: unknown; atOpen: boolean }> {
  const path = '/proc/sys/kernel/msg_next_id'
  if (!(await member.exists(path))) return { nextId: 'absent', atOpen: false }
  const atOpen = ((await member.stat(path)).mode & 0o777) === 0o444
  return { nextId: await writeSysctl(member, path, '300'), atOpen }
}
