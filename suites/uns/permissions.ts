/** What a user namespace gives and takes over IPC objects: UNS-02, UNS-03, UNS-05. */

import { ACCESS, type AccessFamily, type Answers, everything } from '../../fixtures/access.ts'
import { giveUp } from '../../fixtures/capabilities.ts'
import { SYSTEM_V, type SystemVKind } from '../../fixtures/objects.ts'
import {
  type Area,
  type ComparisonWorld,
  EACCES,
  EPERM,
  type Member,
  SYSTEM_CALL_WAYS,
} from '../../fixtures/rules.ts'
import { intoUnmappedNamespace, spawnInUserNamespace } from '../../fixtures/user-namespaces.ts'
import { answersByBits, byBits, byOneId, type People } from './classes.ts'

const FAMILIES = Object.keys(ACCESS)
/** The namespace's owner is a user namespace inside another one. */
const NESTED = ', two user namespaces deep'
const IN_INITIAL = '0600 in the initial namespace'

function kindOf({ variant }: ComparisonWorld): SystemVKind {
  return variant.split(' ')[0] as SystemVKind
}

function familyOf(world: ComparisonWorld): AccessFamily {
  const family = ACCESS[kindOf(world)]
  if (!family) throw new Error(`unknown variant ${world.variant}`)
  return family
}

/** Whether the owner may lock a segment depends on RLIMIT_MEMLOCK, too. */
const WITHOUT_LOCK = { without: ['lock'] }
/** CAP_IPC_LOCK gives the right to both, whatever else is missing. */
const WITHOUT_BOTH = { without: ['lock', 'unlock'] }
const NOTHING = { access: false, control: false }
const EVERYTHING = { access: true, control: true }

/** The user, the owner and everybody else are shown as one and the same overflow id to the user. */
const UNMAPPED = ' unmapped'

/** Without a map there is no number to give to IPC_SET as the owner's. */
function notAsked({ variant }: ComparisonWorld): { without: string[] } {
  return variant.endsWith(UNMAPPED) ? { without: ['lock', 'set'] } : WITHOUT_LOCK
}

export function addPermissions(uns: Area): void {
  uns.comparison('UNS-02', {
    says: 'root of a new user namespace has no power over the IPC namespace that he was born in',
    source: ['user_namespaces(7)', 'ipc/util.c: ipcperms, ipcctl_obtain_check'],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID', 'CAP_IPC_OWNER', 'CAP_IPC_LOCK'],
    since: '3.8',
    variants: FAMILIES.flatMap((name) => ['0600', '0000', IN_INITIAL].map((mode) => `${name} ${mode}`)),
    // Root of a container has no power over the initial namespace to begin with.
    variantNeeds: Object.fromEntries(
      FAMILIES.map((name) => [
        `${name} ${IN_INITIAL}`,
        name === 'shm' ? ['own namespaces', 'lasting segments'] : ['own namespaces'],
      ]),
    ),
    flags: [['NEWUSER'], ['NEWUSER', 'NEWPID']],
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'root of a new user namespace', control: 'root outside it' },
    async experiment(world) {
      const { outer, enter, arm, variant, flags, fresh } = world
      const family = familyOf(world)
      const from = variant.endsWith(IN_INITIAL) ? await world.initial() : outer
      const mode = variant.includes('0000') ? 0 : 0o600
      const owner = await from.spawn('owner')
      await owner.becomeUser(fresh.uid())
      const key = fresh.key()
      const object = await family.make(owner, key, mode)
      const root = await enter('root', {
        from,
        flags: arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWUSER'),
      })
      const own = await family.make(root, fresh.key(), 0o600)
      const answers = await everything(family, root, object, key)
      return { answers, own: await family.calls.remove?.(root, own, 0) }
    },
    treatment: (_seen, world) => ({ answers: answersBy(familyOf(world), NOTHING), own: 'allowed' }),
    control: (_seen, world) => ({ answers: answersBy(familyOf(world), EVERYTHING), own: 'allowed' }),
  })

  uns.comparison('UNS-03', {
    says: 'an object’s owner, creator, group and mode hold across user namespaces: who is the same outside the maps is the same, and two whom no map names are not',
    source: ['user_namespaces(7)', 'ipc/util.c: ipcperms, ipcctl_obtain_check'],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '3.8',
    variants: FAMILIES.flatMap((name) => [`${name} outside`, `${name} inside`, `${name}${UNMAPPED}`]),
    arms: {
      treatment: 'another user and group, of the owner’s numbers',
      control: 'the owner and his group, under other numbers',
    },
    async experiment(world) {
      const { outer, arm, variant, fresh } = world
      const family = familyOf(world)
      const [owner, other] = [fresh.uid(), fresh.uid()]
      // Inside, the owner is 7, and the owner's number outside is another user's.
      const map = [
        [0, 0, 1],
        [7, owner, 1],
        [owner, other, 1],
      ] as const
      const unmapped = variant.endsWith(UNMAPPED)
      const inner = await spawnInUserNamespace(outer, 'inner', [], map)
      const objectIsOutside = !variant.endsWith('inside')
      const maker = await (objectIsOutside ? outer : inner).spawn('owner')
      await plainUser(maker, objectIsOutside ? owner : 7)
      const user = await (objectIsOutside && !unmapped ? inner : outer).spawn('user')
      if (unmapped) await intoUnmappedNamespace(user, arm === 'control' ? owner : other)
      else if (objectIsOutside) await plainUser(user, arm === 'control' ? 7 : owner)
      else await plainUser(user, arm === 'control' ? owner : 7)
      const key = fresh.key()
      const object = await family.make(maker, key, 0o600)
      // Root’s, for the owner’s group alone.
      const colleague = await (objectIsOutside ? outer : inner).spawn('colleague')
      await colleague.becomeUser(0, objectIsOutside ? owner : 7)
      const groupsKey = fresh.key()
      const groups = await family.make(colleague, groupsKey, 0o060)
      // Given away to root: its maker is the creator, and nothing else, to it.
      const givenKey = fresh.key()
      const given = await family.make(maker, givenKey, 0o600)
      const { setMode } = SYSTEM_V[kindOf(world)]
      const gave = await setMode(maker, given, 0o600, 0)
      // The other way round: root's, who gives it to the owner, or to the owner's group, alone.
      const root = await (objectIsOutside ? outer : inner).spawn('root')
      const number = objectIsOutside ? owner : 7
      const [receivedKey, sharedKey] = [fresh.key(), fresh.key()]
      const received = await family.make(root, receivedKey, 0o600)
      const gaveOwner = await setMode(root, received, 0o600, number)
      const shared = await family.make(root, sharedKey, 0o600)
      const gaveGroup = await setMode(root, shared, 0o060, 0, number)
      const without = notAsked(world)
      // Whose group it was when it was made keeps its right when it is given another one.
      const formerKey = fresh.key()
      const former = await family.make(colleague, formerKey, 0o060)
      const gaveAnotherGroup = await setMode(colleague, former, 0o060, 0, 0)
      const [ownersNumber, anothersNumber] = objectIsOutside ? [7, owner] : [owner, 7]
      const people: People = {
        family,
        maker,
        colleague,
        trier: () => (objectIsOutside ? inner : outer).spawn('trier'),
        number: arm === 'control' ? ownersNumber : anothersNumber,
        third: objectIsOutside ? owner : other,
      }
      return {
        bits: await byBits(people, user, world),
        ids: await byOneId(people, world, SYSTEM_V[kindOf(world)]),
        gaveAnotherGroup,
        asCreatorsGroup: await everything(family, user, former, formerKey, without),
        asOwner: await everything(family, user, object, key, without),
        asGroup: await everything(family, user, groups, groupsKey, without),
        gave,
        asCreator: await everything(family, user, given, givenKey, without),
        gaveOwner,
        asNewOwner: await everything(family, user, received, receivedKey, without),
        gaveGroup,
        asNewGroup: await everything(family, user, shared, sharedKey, without),
      }
    },
    treatment: (_seen, world) => ({
      bits: answersByBits(familyOf(world), 'other'),
      ids: {
        effective: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
        real: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
        supplementaryGroup: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
        made: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
        madeForGroup: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
      },
      gaveAnotherGroup: 0,
      asCreatorsGroup: answersBy(familyOf(world), NOTHING, notAsked(world)),
      asOwner: answersBy(familyOf(world), NOTHING, notAsked(world)),
      asGroup: answersBy(familyOf(world), NOTHING, notAsked(world)),
      gave: 0,
      asCreator: answersBy(familyOf(world), NOTHING, notAsked(world)),
      gaveOwner: 0,
      asNewOwner: answersBy(familyOf(world), NOTHING, notAsked(world)),
      gaveGroup: 0,
      asNewGroup: answersBy(familyOf(world), NOTHING, notAsked(world)),
    }),
    control: (_seen, world) => ({
      bits: answersByBits(familyOf(world), 'owner'),
      ids: {
        effective: answersBy(familyOf(world), EVERYTHING, WITHOUT_LOCK),
        real: answersBy(familyOf(world), NOTHING, WITHOUT_LOCK),
        supplementaryGroup: answersBy(familyOf(world), { access: true, control: false }, WITHOUT_LOCK),
        made: answersBy(familyOf(world), EVERYTHING, WITHOUT_LOCK),
        madeForGroup: answersBy(familyOf(world), { access: true, control: false }, WITHOUT_LOCK),
      },
      gaveAnotherGroup: 0,
      asCreatorsGroup: answersBy(familyOf(world), { access: true, control: false }, notAsked(world)),
      asOwner: answersBy(familyOf(world), EVERYTHING, notAsked(world)),
      asGroup: answersBy(familyOf(world), { access: true, control: false }, notAsked(world)),
      gave: 0,
      asCreator: answersBy(familyOf(world), EVERYTHING, notAsked(world)),
      gaveOwner: 0,
      asNewOwner: answersBy(familyOf(world), EVERYTHING, notAsked(world)),
      gaveGroup: 0,
      asNewGroup: answersBy(familyOf(world), { access: true, control: false }, notAsked(world)),
    }),
  })

  uns.comparison('UNS-05', {
    says: 'root of the user namespace that owns an IPC namespace passes modes by CAP_IPC_OWNER and owners by CAP_SYS_ADMIN',
    source: ['capabilities(7)', 'ipc/util.c: ipcperms, ipcctl_obtain_check'],
    needs: ['SYSVIPC', 'USER_NS', 'CAP_SYS_ADMIN', 'CAP_SETUID'],
    since: '3.8',
    variants: FAMILIES.flatMap((name) =>
      [
        'all capabilities',
        'all but CAP_SYS_ADMIN',
        'all but CAP_IPC_OWNER',
        'all but these two',
        'none, but owner',
        `all capabilities${NESTED}`,
      ].map((rights) => `${name} with ${rights}`),
    ),
    flags: [['NEWUSER', 'NEWIPC']],
    via: SYSTEM_CALL_WAYS,
    arms: { treatment: 'in an IPC namespace it owns', control: 'in one it does not own' },
    async experiment(world) {
      const { enter, arm, variant, flags, fresh } = world
      const family = familyOf(world)
      const own = arm === 'treatment' ? flags : flags.filter((flag) => flag !== 'NEWIPC')
      const inner = variant.endsWith(NESTED)
        ? await enter('inner', {
            from: await enter('middle', { flags: ['NEWUSER'] }),
            // From inside a user namespace nobody joins one beside it.
            via: 'clone',
            flags: own,
          })
        : await enter('inner', { flags: own })
      const maker = await inner.spawn('maker')
      if (!variant.endsWith('but owner')) await plainUser(maker, fresh.uid())
      const key = fresh.key()
      const object = await family.make(maker, key, 0)
      const user = await inner.spawn('user')
      if (variant.endsWith('but owner')) await user.setCapabilities([], true)
      if (/but (CAP_SYS_ADMIN|these two)/.test(variant)) await giveUp(user, 'CAP_SYS_ADMIN')
      if (/but (CAP_IPC_OWNER|these two)/.test(variant)) await giveUp(user, 'CAP_IPC_OWNER')
      return { answers: await everything(family, user, object, key, WITHOUT_BOTH) }
    },
    treatment: (_seen, world) => ({
      answers: answersBy(
        familyOf(world),
        {
          access: /all capabilities|but CAP_SYS_ADMIN/.test(world.variant),
          control: /all capabilities|but CAP_IPC_OWNER|but owner/.test(world.variant),
        },
        WITHOUT_BOTH,
      ),
    }),
    control: (_seen, world) => ({
      answers: answersBy(
        familyOf(world),
        { access: false, control: world.variant.endsWith('but owner') },
        WITHOUT_BOTH,
      ),
    }),
  })
}

/** An ordinary user: a change of user inside a user namespace may leave capabilities. */
async function plainUser(member: Member, uid: number): Promise<void> {
  await member.becomeUser(uid)
  await member.setCapabilities([], true)
}

/** What `everything` must give one who may, or may not, do what the mode decides and what the owner may. */
function answersBy(
  family: AccessFamily,
  may: { access: boolean; control: boolean },
  { without = [] }: { without?: readonly string[] } = {},
): Answers {
  const answer = (call: string) =>
    family.controls.includes(call) ? (may.control ? 'allowed' : EPERM) : may.access ? 'allowed' : EACCES
  const calls = Object.keys(family.calls).filter((call) => !without.includes(call))
  return Object.fromEntries(calls.map((call) => [call, answer(call)]))
}
