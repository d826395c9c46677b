/** Who may mount the queues of an IPC namespace: MQM-08 and MQM-09, over the orders in which namespaces are made. */
import { joinAs } from '../../fixtures/lifetime.ts'
import { MQUEUE_MAGIC, makePlaces, unshareMounts } from '../../fixtures/mqueue-mounts.ts'
import { NEW_QUEUE } from '../../fixtures/posix-queues.ts'
import {
  type Area,
  type ComparisonWorld,
  cloneBits,
  EPERM,
  type Flag,
  failed,
  type Member,
  makePrivate,
  type Outcome,
  writeMaps,
} from '../../fixtures/rules.ts'

/** How the mounter comes where it mounts. */
interface Sequence {
  /** Flags of one clone for each step; the next step starts from its child. */
  readonly steps: readonly (readonly Flag[])[]
  /** Whether the user namespace of the mounter, or one below which it is, owns its IPC namespace. */
  readonly allowed: boolean
  /** Whether the queues it then sees are those of the first namespace. */
  readonly outside: boolean
  /** Starts in the initial namespaces. */
  readonly initial?: true
}

const allowed = (...steps: Flag[][]): Sequence => ({
  steps,
  allowed: true,
  outside: !steps.flat().includes('NEWIPC'),
})
const refused = (...steps: Flag[][]): Sequence => ({ ...allowed(...steps), allowed: false })

/** CAP_SYS_ADMIN is needed in the user namespace that owns the current IPC namespace (user_namespaces(7)). */
const SEQUENCES: Readonly<Record<string, Sequence>> = {
  NS: allowed(['NEWNS']),
  'IPC+NS': allowed(['NEWIPC', 'NEWNS']),
  'IPC, NS': allowed(['NEWIPC'], ['NEWNS']),
  'NS, IPC': allowed(['NEWNS'], ['NEWIPC']),
  'USER+NS': refused(['NEWUSER', 'NEWNS']),
  'USER, NS': refused(['NEWUSER'], ['NEWNS']),
  'USER+NS+PID': refused(['NEWUSER', 'NEWNS', 'NEWPID']),
  'NS, USER+NS': refused(['NEWNS'], ['NEWUSER', 'NEWNS']),
  'USER+NS+IPC': allowed(['NEWUSER', 'NEWNS', 'NEWIPC']),
  'USER+NS+IPC+PID': allowed(['NEWUSER', 'NEWNS', 'NEWIPC', 'NEWPID']),
  'USER+NS, IPC': allowed(['NEWUSER', 'NEWNS'], ['NEWIPC']),
  'USER+IPC, NS': allowed(['NEWUSER', 'NEWIPC'], ['NEWNS']),
  'USER, NS+IPC': allowed(['NEWUSER'], ['NEWNS', 'NEWIPC']),
  'USER, IPC, NS': allowed(['NEWUSER'], ['NEWIPC'], ['NEWNS']),
  'USER, NS, IPC': allowed(['NEWUSER'], ['NEWNS'], ['NEWIPC']),
  'IPC, USER+NS': refused(['NEWIPC'], ['NEWUSER', 'NEWNS']),
  'IPC+NS, USER+NS': refused(['NEWIPC', 'NEWNS'], ['NEWUSER', 'NEWNS']),
  'USER+IPC, USER+NS': refused(['NEWUSER', 'NEWIPC'], ['NEWUSER', 'NEWNS']),
  'USER, USER+NS': refused(['NEWUSER'], ['NEWUSER', 'NEWNS']),
  'USER+IPC, USER+NS+IPC': allowed(['NEWUSER', 'NEWIPC'], ['NEWUSER', 'NEWNS', 'NEWIPC']),
  'initial: USER+NS': { ...refused(['NEWUSER', 'NEWNS']), initial: true },
  'initial: USER, NS': { ...refused(['NEWUSER'], ['NEWNS']), initial: true },
  'initial: USER+NS+IPC': { ...allowed(['NEWUSER', 'NEWNS', 'NEWIPC']), initial: true },
}

const BY_CLONE = Object.keys(SEQUENCES).map((name) => `${name} by clone`)
const BY_UNSHARE = Object.keys(SEQUENCES).map((name) => `${name} by unshare`)
const JOINED = ['joined: USER+NS+IPC', 'joined: USER+NS', 'joined: IPC of a user namespace below']

export function addRights(mqm: Area): void {
  mqm.comparison('MQM-08', {
    says: 'to mount the queue file system one needs CAP_SYS_ADMIN in the user namespace that owns one’s IPC namespace',
    source: ['user_namespaces(7)', 'fs/super.c: mount_capable', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['POSIX_MQUEUE', 'USER_NS', 'PID_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '3.9',
    bugs: [
      {
        id: 'BUG-11',
        fix: 'revert of "mqueue: switch to on-demand creation of internal mount" (cfb2f6f6e0ba)',
        fixedIn: '4.16-rc7',
        looksLike: { mounted: 0 },
      },
    ],
    variants: [...BY_CLONE, ...BY_UNSHARE, ...JOINED],
    arms: { treatment: 'mqueue', control: 'tmpfs, which needs no more than the mount namespace' },
    async experiment(world) {
      const { mounter, place, name, rightful } = await mounterOf(world)
      const type = world.arm === 'treatment' ? 'mqueue' : 'tmpfs'
      const mounted = await mounter.try.mount(type, place, type)
      return { rightful, mounted, shows: await shows(mounter, place, name) }
    },
    treatment: ({ rightful }) => ({ mounted: rightful ? 0 : EPERM, shows: expectedView(rightful) }),
    control: () => ({ mounted: 0 }),
  })

  mqm.comparison('MQM-09', {
    says: 'fsopen(2) of mqueue is open to everybody; making the file system from it takes the right that mount(2) takes',
    source: ['fsopen(2)', 'fs/fsopen.c: vfs_fsconfig_locked', 'ipc/mqueue.c: mqueue_init_fs_context'],
    needs: ['POSIX_MQUEUE', 'USER_NS', 'PID_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID', 'fsopen'],
    since: '5.2',
    variants: [...BY_CLONE, ...JOINED],
    arms: { treatment: 'mqueue', control: 'tmpfs, which needs no more than the mount namespace' },
    async experiment(world) {
      const { mounter, place, name, rightful } = await mounterOf(world)
      const context = await mounter.try.fsopen(world.arm === 'treatment' ? 'mqueue' : 'tmpfs')
      if (failed(context)) return { rightful, opened: context }
      const created = await mounter.try.fsconfigCreate(context)
      if (failed(created)) return { rightful, opened: 'opened', created, shows: 'nothing' }
      const detached = await mounter.try.fsmount(context)
      const mounted = failed(detached) ? detached : await mounter.try.move_mount(detached, place)
      return { rightful, opened: 'opened', created, mounted, shows: await shows(mounter, place, name) }
    },
    treatment: ({ rightful }) =>
      rightful
        ? { opened: 'opened', created: 0, mounted: 0, shows: expectedView(rightful) }
        : { opened: 'opened', created: EPERM, shows: 'nothing' },
    control: () => ({ opened: 'opened', created: 0, mounted: 0 }),
  })
}

interface Mounter {
  mounter: Member
  /** An empty directory in the mounter's own mount namespace. */
  place: string
  /** A queue of the first IPC namespace. */
  name: string
  /** `false` where the mount must be refused; else whose queues it must show. */
  rightful: false | 'outer' | 'own'
}

/** Brings a member to where the variant says, with a queue left in the first namespace. */
async function mounterOf(world: ComparisonWorld): Promise<Mounter> {
  const { outer, variant, enter, fresh } = world
  const name = fresh.name()
  if (variant.startsWith('joined')) {
    await outer.mq_create(name, NEW_QUEUE)
    const mounter = await joined(world)
    const [place = ''] = await makePlaces(mounter, 'queues')
    return { mounter, place, name, rightful: variant === 'joined: USER+NS' ? false : 'own' }
  }
  const [key = '', way = ''] = variant.split(' by ')
  const sequence = SEQUENCES[key]
  if (!sequence) throw new Error(`unknown variant ${variant}`)
  const first = sequence.initial ? await world.initial() : outer
  await first.mq_create(name, NEW_QUEUE)
  let mounter = first
  for (const flags of sequence.steps)
    mounter =
      way === 'clone'
        ? await enter('mounter', { from: mounter, via: 'clone', flags })
        : await unshareInPlace(mounter === first ? await first.spawn('mounter') : mounter, flags)
  const [place = ''] = await makePlaces(mounter, 'queues')
  return { mounter, place, name, rightful: sequence.allowed && (sequence.outside ? 'outer' : 'own') }
}

/** unshare(2) of these namespaces by one process, step after step. */
async function unshareInPlace(member: Member, flags: readonly Flag[]): Promise<Member> {
  const helper = await member.spawn('map writer')
  await member.unshare(cloneBits(flags))
  if (flags.includes('NEWUSER')) await writeMaps(helper, member)
  if (flags.includes('NEWNS')) await makePrivate(member)
  return flags.includes('NEWPID') ? member.spawn('mounter') : member
}

async function joined({ outer, enter, variant }: ComparisonWorld): Promise<Member> {
  if (variant === 'joined: USER+NS')
    return enter('mounter', { via: 'setns-nsfd', flags: ['NEWUSER', 'NEWNS'] })
  if (variant === 'joined: USER+NS+IPC')
    return enter('mounter', { via: 'setns-nsfd', flags: ['NEWUSER', 'NEWNS', 'NEWIPC'] })
  // Root of the outer user namespace is privileged over all below it.
  const donor = await enter('donor', { via: 'clone', flags: ['NEWUSER', 'NEWIPC'] })
  const mounter = await joinAs('mounter', outer, donor)
  await unshareMounts(mounter)
  return mounter
}

/** Whose queues are at the place: the first namespace's, another's, or none are mounted there. */
async function shows(mounter: Member, place: string, name: string): Promise<Outcome<string>> {
  if ((await mounter.try.statfsType(place)) !== MQUEUE_MAGIC) return 'nothing'
  const names = await mounter.try.readdir(place)
  if (failed(names)) return names
  return names.includes(name.slice(1)) ? 'outer' : 'own'
}

function expectedView(rightful: Mounter['rightful']): string {
  return rightful === false ? 'nothing' : rightful
}
