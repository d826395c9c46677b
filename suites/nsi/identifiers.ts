/** NSI-06…08: inode numbers and identifiers of IPC namespaces. */
import { namespaceOf, nsfdOf } from '../../fixtures/identity.ts'
import { askAll, fileOf, inInitial, viewsOf } from '../../fixtures/nsfs.ts'
import {
  type Area,
  atLeast,
  type ComparisonWorld,
  differs,
  failed,
  type Member,
  NS_GET_ID,
  O_RDONLY,
  oneOf,
} from '../../fixtures/rules.ts'

/** How many namespaces are made one after another. */
const ROUNDS = 8

const STILL_HELD = 'still held'
const AGAIN = 'came again'
/** A kernel that gives no number twice need not give those of IPC namespaces twice. */
const NO_NUMBERS_AGAIN = 'numbers of no kind of namespace come again here'

/**
 * Whether a number of a namespace that has ended comes again, with ever more namespaces if need be. All kinds of
 * namespaces have their numbers from one store: where those of UTS namespaces come again, one that does not was
 * never given back.
 */
async function whetherAgain(
  outer: Member,
  files: readonly string[],
  eventually: ComparisonWorld['eventually'],
): Promise<string> {
  const repeats = async (flag: 'NEWIPC' | 'NEWUTS', seen: Set<string>, rounds: number): Promise<boolean> => {
    for (let round = 0; round < rounds; round++) {
      const member = await outer.trySpawn('another member', [flag])
      if (failed(member)) return false
      const file = await namespaceOf(member, flag)
      await member.killAndReap()
      if (seen.has(file)) return true
      seen.add(file)
    }
    return false
  }
  if (new Set(files).size < files.length) return AGAIN
  const seen = new Set(files)
  const again = await eventually(
    () => repeats('NEWIPC', seen, 1),
    (came) => came,
  )
  if (again) return AGAIN
  const others = await repeats('NEWUTS', new Set(), ROUNDS)
  return others ? 'those of UTS namespaces come again, these do not' : NO_NUMBERS_AGAIN
}

/** The 64-bit identifier that NS_GET_ID gives for a member's own IPC namespace. */
async function idOf(member: Member): Promise<unknown> {
  const nsfd = await member.open('/proc/self/ns/ipc', O_RDONLY)
  const id = await member.try.ioctl64(nsfd, NS_GET_ID)
  await member.close(nsfd)
  return failed(id) ? id.errno : id
}

export function identifierRules(nsi: Area): void {
  nsi.visibility('NSI-06', {
    says: 'device and inode, while held, and NS_GET_ID tell IPC namespaces apart, whoever asks',
    source: [
      'namespaces(7) The /proc/pid/ns/ directory',
      'include/uapi/linux/nsfs.h NS_GET_ID',
      'kernel/nstree.c: __ns_tree_gen_id',
    ],
    variants: ['device and inode', 'NS_GET_ID'],
    variantNeeds: { NS_GET_ID: ['NS_GET_ID'] },
    async experiment(world) {
      // All descriptors stay open until every answer is there: an inode number identifies only what is held.
      const { views, close } = await viewsOf(world)
      const ask = (): Promise<Record<string, unknown>> =>
        askAll(views, async ({ asker, nsfd }) =>
          world.variant === 'NS_GET_ID' ? asker.try.ioctl64(nsfd, NS_GET_ID) : fileOf(asker, nsfd),
        )
      const first = await ask()
      const second = await ask()
      await close()
      const { actor, observer } = first
      const across = Object.fromEntries(Object.entries(first).filter(([name]) => name.includes(' of ')))
      const expected = Object.fromEntries(
        Object.keys(across).map((name) => [name, name.endsWith('of actor') ? actor : observer]),
      )
      return { actor, observer, again: second, first, across, expected, number: Number(actor) }
    },
    shared: ({ actor, first, expected }, { variant }) => ({
      observer: actor,
      again: first,
      across: expected,
      ...(variant === 'NS_GET_ID' ? { number: atLeast(1) } : {}),
    }),
    isolated: ({ actor, first, expected }, { variant }) => ({
      observer: differs(actor),
      again: first,
      across: expected,
      ...(variant === 'NS_GET_ID' ? { number: atLeast(1) } : {}),
    }),
  })

  nsi.comparison('NSI-07', {
    says: 'identifiers are unique but need not grow; from 6.19 they do, and the initial IPC namespace has id 1',
    source: ['kernel/nstree.c: __ns_tree_gen_id', 'include/linux/ns/ns_common_types.h: enum init_ns_id'],
    needs: ['NS_GET_ID'],
    since: '6.18',
    arms: { treatment: 'namespaces made one after another', control: 'one namespace asked again and again' },
    async experiment(world) {
      const { outer, arm, note } = world
      const initial = await world.initial()
      const first = await idOf(initial)
      const ids: string[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const member = arm === 'treatment' ? await outer.spawn('member', ['NEWIPC']) : outer
        ids.push(String(await idOf(member)))
      }
      if (arm === 'treatment') {
        const grows = ids.every(
          (id, index) => index === 0 || Number.isNaN(Number(id)) || BigInt(id) > BigInt(ids[index - 1] ?? 0),
        )
        const which = (await inInitial(initial, 'ipc')) ? `, the initial IPC namespace has ${first}` : ''
        note(`identifiers ${grows ? 'grew' : 'did not grow'} from one namespace to the next${which}`)
      }
      return {
        all: ids.every((id) => /^[1-9]\d*$/.test(id)),
        different: new Set(ids).size,
        initials: ids.includes(String(first)),
        first,
        firstAgain: await idOf(await initial.spawn('another member')),
      }
    },
    treatment: ({ first }) => ({ all: true, different: ROUNDS, initials: false, firstAgain: first }),
    control: ({ first }) => ({ all: true, different: 1, initials: false, firstAgain: first }),
  })

  nsi.comparison('NSI-08', {
    says: 'an inode number is not given again while its namespace is held, but afterwards as those of other kinds of namespaces are, and an identifier never',
    source: ['fs/proc/generic.c: proc_alloc_inum, proc_free_inum', 'kernel/nstree.c: __ns_tree_gen_id'],
    flags: 'with NEWIPC',
    arms: { treatment: 'an nsfd holds each of them', control: 'nothing holds any of them' },
    async experiment({ outer, arm, enter, note, eventually }) {
      const files: string[] = []
      const ids: string[] = []
      const held: number[] = []
      const kept: boolean[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const member = round === 0 ? await enter('member') : await outer.spawn('member', ['NEWIPC'])
        const nsfd = await nsfdOf(outer, member)
        files.push(await fileOf(outer, nsfd))
        const id = await outer.try.ioctl64(nsfd, NS_GET_ID)
        if (!failed(id)) ids.push(id)
        await member.killAndReap()
        if (arm === 'treatment') held.push(nsfd)
        else await outer.close(nsfd)
      }
      for (const [index, nsfd] of held.entries()) {
        const id = await outer.try.ioctl64(nsfd, NS_GET_ID)
        const sameId = failed(id) ? ids.length === 0 : id === ids[index]
        kept.push((await fileOf(outer, nsfd)) === files[index] && sameId)
        await outer.close(nsfd)
      }
      const numbers = new Set(files).size
      // How soon a number comes again depends on what else the machine does, so this is no verdict.
      if (arm === 'control')
        note(
          `inode numbers ${numbers < ROUNDS ? 'came again' : 'did not come again'} within ${ROUNDS} namespaces`,
        )
      const again = arm === 'control' ? await whetherAgain(outer, files, eventually) : STILL_HELD
      return { numbers, repeatedIds: ids.length - new Set(ids).size, kept, again }
    },
    treatment: () => ({
      numbers: ROUNDS,
      repeatedIds: 0,
      kept: Array.from({ length: ROUNDS }, () => true),
      again: STILL_HELD,
    }),
    control: () => ({ numbers: atLeast(1), repeatedIds: 0, kept: [], again: oneOf(AGAIN, NO_NUMBERS_AGAIN) }),
  })
}
