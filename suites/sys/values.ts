/** SYS-01, SYS-02: each IPC namespace has values of its own, and a fresh one has the defaults. */
import { setMeanwhile, withInitialSysctl } from '../../fixtures/initial-sysctls.ts'
import { inChildUserNamespace, sideInInitial } from '../../fixtures/places.ts'
import {
  type Area,
  type ComparisonWorld,
  EACCES,
  EPERM,
  oneOf,
  touchesInitial,
  type VisibilityWorld,
} from '../../fixtures/rules.ts'
import {
  ofEach,
  presentSysctls,
  readSysctl,
  SYSCTL_NAMES,
  SYSCTL_NEEDS,
  type Sysctl,
  sysctl,
  valueOnce,
  withEach,
  writeSysctl,
} from '../../fixtures/sysctls.ts'

type Side = 'actor' | 'observer'
type Reading = Record<Side, unknown>
interface Exchange {
  before: Reading
  actorWrote: unknown
  afterActor: Reading
  observerWrote: unknown
  afterObserver: Reading
}

const NOT_WRITTEN = 'not written'

/** The initial namespace is written in a throw-away guest only, and never what its other users would notice. */
function writable(world: VisibilityWorld, side: Side): boolean {
  return !sideInInitial(world, side) || (world.disposable && !sysctl(world.variant).disturbing)
}

/** Writes from each side in turn and reads from both; leaves the initial namespace as it was. */
async function exchange(world: VisibilityWorld): Promise<Exchange> {
  const { actor, observer, variant } = world
  const { path, telling } = sysctl(variant)
  const read = async (): Promise<Reading> => ({
    actor: await readSysctl(actor, path),
    observer: await readSysctl(observer, path),
  })
  const write = async (side: Side, value: string): Promise<unknown> =>
    writable(world, side) ? writeSysctl(world[side], path, value) : NOT_WRITTEN
  const before = await read()
  try {
    const actorWrote = await write('actor', telling[0])
    const afterActor = await read()
    const observerWrote = await write('observer', telling[1])
    return { before, actorWrote, afterActor, observerWrote, afterObserver: await read() }
  } finally {
    for (const side of ['actor', 'observer'] as const)
      if (sideInInitial(world, side)) {
        const changed = (await readSysctl(world[side], path)) !== before[side]
        // Only a leaking kernel changes what was not written; the way it leaked is the way back.
        const other = side === 'actor' ? 'observer' : 'actor'
        const restorer = writable(world, side) ? side : other
        if (changed && writable(world, restorer))
          await writeSysctl(world[restorer], path, String(before[side]))
      }
  }
}

/** Root of a child user namespace is refused over the outer namespace, and elsewhere where it is not root outside. */
function permitted(world: VisibilityWorld, side: Side): unknown {
  if (!writable(world, side)) return NOT_WRITTEN
  const refusable = inChildUserNamespace(world, side) && world.relation.ipc === 'same'
  return refusable ? oneOf(0, EACCES, EPERM) : 0
}

function readingsAfter(seen: Exchange, world: VisibilityWorld): Partial<Record<keyof Exchange, unknown>> {
  const { telling, constant } = sysctl(world.variant)
  const shared = world.relation.ipc === 'same'
  const set = (reading: Reading, side: Side, wrote: unknown, value: string): Reading => {
    if (wrote !== 0 || constant) return reading
    return shared ? { actor: value, observer: value } : { ...reading, [side]: value }
  }
  const before = shared ? { actor: seen.before.actor, observer: seen.before.actor } : seen.before
  const afterActor = set(before, 'actor', seen.actorWrote, telling[0])
  return {
    before: constant ? { actor: '0', observer: '0' } : before,
    actorWrote: permitted(world, 'actor'),
    afterActor,
    observerWrote: permitted(world, 'observer'),
    afterObserver: set(afterActor, 'observer', seen.observerWrote, telling[1]),
  }
}

/** What the creator's namespace reads after its telling value was written. */
const written = (file: Sysctl): string => valueOnce(file, 0)

/** All files at once, of a creator in a user namespace that owns the creator's IPC namespace as well. */
const BELOW = 'all, in a user namespace'

async function belowUserNamespace({ enter, arm }: ComparisonWorld) {
  const creator = await enter('creator', { flags: ['NEWUSER', 'NEWIPC'], via: 'clone' })
  const files = await presentSysctls(creator)
  for (const { path, telling } of files) await creator.writeFile(path, telling[0])
  const child = await creator.spawn('child', arm === 'treatment' ? ['NEWIPC'] : [])
  // One that gets a user namespace by the same call, which then owns its IPC namespace.
  const heir = await creator.spawn('heir', arm === 'treatment' ? ['NEWUSER', 'NEWIPC'] : ['NEWUSER'])
  return {
    files,
    creators: await withEach(files, ({ path }) => readSysctl(creator, path)),
    childs: await withEach(files, ({ path }) => readSysctl(child, path)),
    heirs: await withEach(files, ({ path }) => readSysctl(heir, path)),
  }
}

export function valueRules(sys: Area): void {
  sys.comparison('SYS-01', {
    says: 'a fresh IPC namespace starts from the compile-time defaults, whatever its creator’s and the initial one have',
    source: [
      'ipc_namespaces(7)',
      'ipc/namespace.c: create_ipc_ns',
      'ipc/msg.c: msg_init_ns',
      'ipc/sem.c: sem_init_ns',
      'ipc/shm.c: shm_init_ns',
      'ipc/mqueue.c: mq_init_ns',
    ],
    since: '3.19',
    variants: [...SYSCTL_NAMES, BELOW],
    variantNeeds: { ...SYSCTL_NEEDS, [BELOW]: ['USER_NS'] },
    arms: { treatment: 'a child with an IPC namespace of its own', control: 'a child without' },
    flags: [['NEWIPC'], ['NEWIPC', 'NEWUSER']],
    via: ['clone', 'clone3', 'unshare', 'setns-nsfd'],
    async experiment(world) {
      const { outer, enter, initial, arm, flags, variant, disposable } = world
      if (variant === BELOW) return belowUserNamespace(world)
      const { path, telling } = sysctl(variant)
      const [inCreator, , inInitialOne] = telling
      const theirs = arm === 'control' ? flags.filter((flag) => flag !== 'NEWIPC') : flags
      const first = await initial()
      await outer.writeFile(path, inCreator)
      const make = async () => {
        const child = await enter('child', { flags: theirs })
        // Without a new IPC namespace a new user namespace would only stand in the reader's way.
        const ofInitial = await first.spawn('child of the initial', arm === 'control' ? [] : ['NEWIPC'])
        const initials = await readSysctl(first, path)
        return { child, initials, initialsChilds: await readSysctl(ofInitial, path) }
      }
      const made = disposable ? await setMeanwhile(first, variant, inInitialOne, make) : await make()
      const grandchild = await enter('grandchild', { from: made.child, flags: [], via: 'clone' })
      return {
        creators: await readSysctl(outer, path),
        childs: await readSysctl(made.child, path),
        grandchilds: await readSysctl(grandchild, path),
        initials: made.initials,
        initialsChilds: made.initialsChilds,
      }
    },
    treatment: (seen, { variant }) => {
      if ('files' in seen)
        return {
          creators: ofEach(seen.files, written),
          childs: ofEach(seen.files, ({ fresh }) => fresh),
          heirs: ofEach(seen.files, ({ fresh }) => fresh),
        }
      const { fresh } = sysctl(variant)
      return { creators: written(sysctl(variant)), childs: fresh, grandchilds: fresh, initialsChilds: fresh }
    },
    control: (seen, { variant }) => {
      if ('files' in seen)
        return {
          creators: ofEach(seen.files, written),
          childs: ofEach(seen.files, written),
          heirs: ofEach(seen.files, written),
        }
      return {
        creators: written(sysctl(variant)),
        childs: written(sysctl(variant)),
        grandchilds: written(sysctl(variant)),
        // Another cell may make the object that takes the identifier between the two looks.
        initialsChilds: sysctl(variant).needs === 'NEXT_ID' ? oneOf(seen.initials, '-1') : seen.initials,
      }
    },
  })

  sys.visibility('SYS-02', {
    says: 'an IPC sysctl written in one IPC namespace changes for every process there and for nobody elsewhere',
    source: ['ipc_namespaces(7)', 'ipc/ipc_sysctl.c: setup_ipc_sysctls', 'ipc/mq_sysctl.c: setup_mq_sysctls'],
    since: '2.6.30',
    variants: SYSCTL_NAMES,
    variantNeeds: SYSCTL_NEEDS,
    ownWorld: true,
    experiment: (world) =>
      world.disposable && touchesInitial(world.scene)
        ? withInitialSysctl(world.variant, () => exchange(world))
        : exchange(world),
    shared: readingsAfter,
    isolated: readingsAfter,
  })
}
