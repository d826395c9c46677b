/** NSI-01…05: what the ioctls of ioctl_nsfs(2) say of an IPC namespace. */
import { nsfdOf } from '../../fixtures/identity.ts'
import { askAll, everywhere, fileOf, inInitial, takeFileOf, type View, viewsOf } from '../../fixtures/nsfs.ts'
import {
  type Area,
  CLONE,
  EBADF,
  EINVAL,
  ENOTTY,
  EPERM,
  failed,
  having,
  type Member,
  NS_GET_MNTNS_ID,
  NS_GET_NSTYPE,
  NS_GET_OWNER_UID,
  NS_GET_PARENT,
  NS_GET_PID_FROM_PIDNS,
  NS_GET_PID_IN_PIDNS,
  NS_GET_TGID_FROM_PIDNS,
  NS_GET_TGID_IN_PIDNS,
  NS_GET_USERNS,
  O_PATH,
  O_RDONLY,
  oneOf,
  succeeds,
  touchesInitial,
  type VisibilityWorld,
  writeMaps,
} from '../../fixtures/rules.ts'

/** Numbers of the ioctl type of nsfs that no kernel has given a meaning. */
const UNKNOWN_REQUESTS = [0xb700, 0xb77f, 0xb7ff]

/** Asks once as the side itself and once as a user without privilege in the same namespaces. */
async function askAsPlainUser<Answer>(
  side: Member,
  uid: number,
  ask: (asker: Member, nsfd: number) => Promise<Answer>,
): Promise<Answer> {
  const plain = await side.spawn('plain user')
  await plain.becomeUser(uid)
  const answer = await ask(plain, await plain.open('/proc/self/ns/ipc', O_RDONLY))
  await plain.exitAndReap()
  return answer
}

/** In which cell a plain user is asked too: the plainest of each place, to keep the others cheap. */
function asksPlainUser({ scene, relation }: VisibilityWorld): boolean {
  return scene.direction === 'parent-to-child' && relation.user === 'same'
}

/** The owner as a side sees it: its file, whether the descriptor closes on exec, and what it is. */
async function ownerOf(asker: Member, nsfd: number): Promise<unknown> {
  const owner = await asker.try.ioctl(nsfd, NS_GET_USERNS)
  if (failed(owner)) return owner
  const closes = await asker.closesOnExec(owner)
  const type = await asker.try.ioctl(owner, NS_GET_NSTYPE)
  const file = await takeFileOf(asker, owner)
  return `${file}, ${closes ? 'closes on exec' : 'stays open on exec'}, ${type === CLONE.NEWUSER ? 'user' : type}`
}

/** What `ownerOf` gives for the user namespace that a member is in. */
async function ownUser(member: Member): Promise<string> {
  const { dev, ino } = await member.stat('/proc/self/ns/user')
  return `${dev}:${ino}, closes on exec, user`
}

export function ioctlRules(nsi: Area): void {
  nsi.visibility('NSI-01', {
    says: 'NS_GET_NSTYPE of an IPC namespace is CLONE_NEWIPC, whoever asks and whichever namespace it is',
    source: ['ioctl_nsfs(2) NS_GET_NSTYPE', 'fs/nsfs.c: ns_ioctl'],
    needs: ['NS_GET_USERNS', 'CAP_SETUID', 'UTS_NS'],
    since: '4.11',
    async experiment(world) {
      const { views, close } = await viewsOf(world)
      const type = (asker: Member, nsfd: number) => asker.try.ioctl(nsfd, NS_GET_NSTYPE)
      const answers: Record<string, unknown> = await askAll(views, ({ asker, nsfd }) => type(asker, nsfd))
      if (asksPlainUser(world))
        answers['plain user'] = await askAsPlainUser(world.observer, world.fresh.uid(), type)
      await close()
      const other = await world.observer.open('/proc/self/ns/uts', O_RDONLY)
      const uts = await world.observer.try.ioctl(other, NS_GET_NSTYPE)
      await world.observer.close(other)
      return { views: Object.keys(answers), answers, uts }
    },
    shared: ({ views }) => ({ answers: having(everywhere(views, CLONE.NEWIPC)), uts: CLONE.NEWUTS }),
    isolated: ({ views }) => ({ answers: having(everywhere(views, CLONE.NEWIPC)), uts: CLONE.NEWUTS }),
  })

  nsi.visibility('NSI-02', {
    says: 'NS_GET_USERNS gives a descriptor of the user namespace that made the IPC namespace, closed on exec',
    source: ['ioctl_nsfs(2) NS_GET_USERNS', 'kernel/user_namespace.c: ns_get_owner'],
    needs: ['NS_GET_USERNS', 'USER_NS', 'CAP_SETUID'],
    since: '4.9',
    async experiment(world) {
      const { actor, observer, scene } = world
      const { views, close } = await viewsOf(world)
      const users: Record<string, string> = { actor: await ownUser(actor), observer: await ownUser(observer) }
      const answers: Record<string, unknown> = await askAll(views, ({ asker, nsfd }) => ownerOf(asker, nsfd))
      const sides = views.map(({ name, asker, target }) => ({
        name,
        asker: asker.name,
        target: target.name,
      }))
      if (asksPlainUser(world)) {
        answers['plain user'] = await askAsPlainUser(observer, world.fresh.uid(), ownerOf)
        sides.push({ name: 'plain user', asker: 'observer', target: 'observer' })
      }
      await close()
      // Run inside a user namespace, the runner may share the IPC namespace of an outer one.
      const top = scene.direction.startsWith('child') ? observer : actor
      const hidden = touchesInitial(scene) && !(await inInitial(top, 'user'))
      return { sides, users, answers, hidden }
    },
    shared: (seen, world) => predictOwners(seen, world),
    isolated: (seen, world) => predictOwners(seen, world),
  })

  nsi.comparison('NSI-03', {
    says: 'NS_GET_USERNS is EPERM where the owner is not the asker’s user namespace or one below it',
    source: [
      'ioctl_nsfs(2) NS_GET_USERNS ERRORS',
      'user_namespaces(7)',
      'kernel/user_namespace.c: ns_get_owner',
    ],
    needs: ['NS_GET_USERNS', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '4.9',
    arms: { treatment: 'the owner is outside the asker’s scope', control: 'it is within' },
    async experiment(world) {
      const { outer, arm, fresh } = world
      const initial = await world.initial()
      const asked = (name: string, asker: Member, nsfd: number): Promise<[string, unknown]> =>
        ownerOf(asker, nsfd).then((answer) => [name, answer])
      const own = async (name: string, asker: Member): Promise<[string, unknown]> =>
        asked(name, asker, await asker.open('/proc/self/ns/ipc', O_RDONLY))
      /** A namespace owned by a user namespace below `outer`. */
      const owner = await outer.spawn('owner', ['NEWUSER', 'NEWIPC'])
      await writeMaps(outer, owner)
      const nsfd = await nsfdOf(outer, owner)
      if (arm === 'treatment') {
        const later = await outer.spawn('NEWIPC, then NEWUSER', ['NEWIPC'])
        await later.unshare(CLONE.NEWUSER)
        const unshared = await outer.spawn('unshare NEWUSER')
        await unshared.unshare(CLONE.NEWUSER)
        // The owner is one above each of these; then two and three, each made by who is mapped where he is.
        const below = await outer.spawn('one below', ['NEWUSER'])
        await writeMaps(outer, below)
        const twoBelow = await below.spawn('two below', ['NEWUSER'])
        await writeMaps(below, twoBelow)
        const threeBelow = await twoBelow.spawn('three below', ['NEWUSER'])
        return {
          answers: Object.fromEntries([
            await own('NEWUSER', await outer.spawn('NEWUSER', ['NEWUSER'])),
            await own('unshare NEWUSER', unshared),
            await own('NEWUSER from the initial IPC namespace', await initial.spawn('below', ['NEWUSER'])),
            await own('NEWIPC, then NEWUSER', later),
            await own('NEWUSER twice', twoBelow),
            await own('NEWUSER three times', threeBelow),
            await own('below the owner', await owner.spawn('below the owner', ['NEWUSER'])),
            await asked('sibling', await outer.spawn('sibling', ['NEWUSER'], { keep: [nsfd] }), nsfd),
          ]),
          expected: {},
        }
      }
      const together = await outer.spawn('NEWUSER+NEWIPC', ['NEWUSER', 'NEWIPC'])
      const both = await outer.spawn('unshare NEWUSER+NEWIPC')
      await both.unshare(CLONE.NEWUSER | CLONE.NEWIPC)
      const later = await outer.spawn('NEWUSER, then NEWIPC', ['NEWUSER'])
      await later.unshare(CLONE.NEWIPC)
      const plain = await outer.spawn('plain user')
      await plain.becomeUser(fresh.uid())
      const powerless = await outer.spawn('no capabilities', [], { keep: [nsfd] })
      await powerless.setCapabilities([], true)
      const theirs = await ownUser(owner)
      const expected: Record<string, unknown> = {
        'NEWUSER+NEWIPC': await ownUser(together),
        'unshare NEWUSER+NEWIPC': await ownUser(both),
        'NEWUSER, then NEWIPC': await ownUser(later),
        'no new namespace': await ownUser(outer),
        'plain user': await ownUser(outer),
        'from above': theirs,
        'from above without capabilities': theirs,
        'in the initial IPC namespace': (await inInitial(initial, 'user'))
          ? await ownUser(initial)
          : oneOf(await ownUser(initial), EPERM),
      }
      return {
        answers: Object.fromEntries([
          await own('NEWUSER+NEWIPC', together),
          await own('unshare NEWUSER+NEWIPC', both),
          await own('NEWUSER, then NEWIPC', later),
          await own('no new namespace', outer),
          await own('plain user', plain),
          await asked('from above', outer, nsfd),
          await asked('from above without capabilities', powerless, nsfd),
          await own('in the initial IPC namespace', initial),
        ]),
        expected,
      }
    },
    treatment: ({ answers }) => ({ answers: having(everywhere(Object.keys(answers), EPERM)) }),
    control: ({ expected }) => ({ answers: having(expected) }),
  })

  nsi.visibility('NSI-04', {
    says: 'NS_GET_PARENT of an IPC namespace is EINVAL: IPC namespaces have no parents',
    source: ['ioctl_nsfs(2) NS_GET_PARENT', 'fs/nsfs.c: ns_ioctl'],
    needs: ['NS_GET_USERNS', 'USER_NS', 'CAP_SETUID'],
    since: '4.9',
    async experiment(world) {
      const { views, close } = await viewsOf(world)
      const parent = (asker: Member, nsfd: number) => asker.try.ioctl(nsfd, NS_GET_PARENT)
      const answers: Record<string, unknown> = await askAll(views, ({ asker, nsfd }) => parent(asker, nsfd))
      if (asksPlainUser(world))
        answers['plain user'] = await askAsPlainUser(world.observer, world.fresh.uid(), parent)
      await close()
      return { views: Object.keys(answers), answers, ...(await askForUserParent(world)) }
    },
    shared: ({ views, actors }) => ({ answers: having(everywhere(views, EINVAL)), parentOfUser: actors }),
    isolated: ({ views, actors }) => ({ answers: having(everywhere(views, EINVAL)), parentOfUser: actors }),
  })

  nsi.visibility('NSI-05', {
    says: 'ioctls of other kinds of namespaces are EINVAL, unknown ones ENOTTY, and a descriptor opened O_PATH has none',
    source: ['ioctl_nsfs(2)', 'fs/nsfs.c: ns_ioctl'],
    needs: ['NS_GET_USERNS', 'USER_NS', 'PID_NS'],
    since: '4.11',
    async experiment(world) {
      const { observer, note } = world
      const { views, close } = await viewsOf(world)
      const answers = await askAll(views, foreignRequests)
      await close()
      // What the kernel knows at all, by asking the namespaces that these are for.
      const user = await observer.open('/proc/self/ns/user', O_RDONLY)
      const mount = await observer.open('/proc/self/ns/mnt', O_RDONLY)
      const pid = await observer.open('/proc/self/ns/pid', O_RDONLY)
      const path = await observer.open('/proc/self/ns/ipc', O_PATH)
      const knows = {
        mount: (await observer.try.ioctl64(mount, NS_GET_MNTNS_ID)) !== ENOTTY,
        pid: (await observer.try.ioctl(pid, NS_GET_PID_FROM_PIDNS, 1)) !== ENOTTY,
      }
      if (!knows.mount) note('the kernel has no NS_GET_MNTNS_ID')
      if (!knows.pid) note('the kernel has no ioctls that translate pids')
      const owner = await observer.try.ioctl64(user, NS_GET_OWNER_UID)
      const byPath = await observer.try.ioctl(path, NS_GET_NSTYPE)
      for (const descriptor of [user, mount, pid, path]) await observer.close(descriptor)
      return { views: Object.keys(answers), answers, knows, owner, byPath }
    },
    shared: (seen) => predictForeign(seen),
    isolated: (seen) => predictForeign(seen),
  })
}

/** The same call does answer: the parent of a user namespace that the actor makes is the actor's own. */
async function askForUserParent(world: VisibilityWorld): Promise<{ actors: unknown; parentOfUser: unknown }> {
  const { actor } = world
  if (!asksPlainUser(world)) return { actors: null, parentOfUser: null }
  const child = await actor.spawn('child', ['NEWUSER'])
  const below = await nsfdOf(actor, child, 'NEWUSER')
  const above = await actor.open('/proc/self/ns/user', O_RDONLY)
  const actors = await fileOf(actor, above)
  const parentOfUser = await takeFileOf(actor, await actor.try.ioctl(below, NS_GET_PARENT))
  for (const descriptor of [below, above]) await actor.close(descriptor)
  await child.exitAndReap()
  return { actors, parentOfUser }
}

/** NSI-02: the owner is the user namespace of whoever made the IPC namespace. */
function predictOwners(
  seen: {
    sides: { name: string; asker: string; target: string }[]
    users: Record<string, string>
    hidden: boolean
  },
  { relation, scene }: VisibilityWorld,
): { answers: unknown } {
  const made = scene.direction.startsWith('child') ? ['actor'] : ['observer']
  if (scene.direction === 'sibling-to-sibling') made.push('actor')
  const expected = seen.sides.map(({ name, asker, target }): [string, unknown] => {
    // In a new user namespace but still in the old IPC namespace, whose owner is outside (NSI-03).
    if (asker === target && made.includes(asker) && relation.ipc === 'same' && relation.user !== 'same')
      return [name, EPERM]
    const owner = seen.users[relation.ipc === 'same' ? asker : target]
    const ofNewNamespace = relation.ipc === 'different' && made.includes(target)
    return [name, seen.hidden && !ofNewNamespace ? oneOf(owner, EPERM) : owner]
  })
  return { answers: having(Object.fromEntries(expected)) }
}

/** Every ioctl that is not for IPC namespaces, in one line. */
async function foreignRequests({ asker, nsfd }: View): Promise<Record<string, unknown>> {
  const unknown: unknown[] = []
  for (const request of UNKNOWN_REQUESTS) unknown.push(await asker.try.ioctl(nsfd, request))
  const translations = [
    NS_GET_PID_FROM_PIDNS,
    NS_GET_TGID_FROM_PIDNS,
    NS_GET_PID_IN_PIDNS,
    NS_GET_TGID_IN_PIDNS,
  ]
  const pids: unknown[] = []
  for (const request of translations) pids.push(await asker.try.ioctl(nsfd, request, 1))
  return {
    ownerUid: await asker.try.ioctl64(nsfd, NS_GET_OWNER_UID),
    mountId: await asker.try.ioctl64(nsfd, NS_GET_MNTNS_ID),
    pids,
    unknown,
  }
}

function predictForeign(seen: { views: string[]; knows: { mount: boolean; pid: boolean } }): {
  answers: unknown
  owner: unknown
  byPath: unknown
} {
  const answer = {
    ownerUid: EINVAL,
    mountId: seen.knows.mount ? EINVAL : ENOTTY,
    pids: Array.from({ length: 4 }, () => (seen.knows.pid ? EINVAL : ENOTTY)),
    unknown: UNKNOWN_REQUESTS.map(() => ENOTTY),
  }
  return { answers: having(everywhere(seen.views, answer)), owner: succeeds, byPath: EBADF }
}
