/** SYS-15: asking for an identifier, the tool that pins objects of two namespaces apart. */
import { SYSTEM_V, SYSTEM_V_KINDS, type SystemVFamily, systemV } from '../../fixtures/objects.ts'
import {
  type Area,
  EINVAL,
  ENOSPC,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  IPC_PRIVATE,
  type Member,
} from '../../fixtures/rules.ts'
import { readSysctl, writeSysctl } from '../../fixtures/sysctls.ts'

const NEW = IPC_CREAT | IPC_EXCL | 0o600

/** The key of the object with that identifier, or the errno. */
async function keyOf(family: SystemVFamily, member: Member, id: number): Promise<unknown> {
  const status = await family.stat(member, id)
  return failed(status) ? status : status.perm.key
}

/** Index 7 of the table, with sequence number 5: an identifier is sequence × 32768 + index. */
const ASKED = 5 * 32768 + 7
/** Asked for next, for an object without a key. */
const ASKED_PRIVATE = 6 * 32768 + 20
/** With the highest bit that an identifier has. */
const ASKED_HIGHEST = (1 << 30) + 7 * 32768 + 30
/** Asked for while a limit forbids any object. */
const ASKED_REFUSED = 7 * 32768 + 40

/** The file whose last number is how many objects a namespace may have. */
const LIMITS: Readonly<Record<SystemVFamily['kind'], string>> = {
  msg: '/proc/sys/kernel/msgmni',
  sem: '/proc/sys/kernel/sem',
  shm: '/proc/sys/kernel/shmmni',
}

const NOT_TRIED = 'not tried'

export function nextIdRules(sys: Area): void {
  sys.comparison('SYS-15', {
    says: '*_next_id names the identifier of the next object of its type and namespace, or the index after it when taken, once; one that is refused is none',
    source: ['Documentation/admin-guide/sysctl/kernel.rst: *_next_id', 'ipc/util.c: ipc_idr_alloc'],
    needs: ['NEXT_ID'],
    since: '3.9',
    variants: SYSTEM_V_KINDS,
    arms: { treatment: 'asked for in another IPC namespace', control: 'asked for in the maker’s own' },
    bugs: [
      {
        id: 'BUG-31',
        fix: 'ipc: limit next_id allocation to the valid ID range (fa0b9b2b7ae3): any user who may write *_next_id can make identifiers collide',
        fixedIn: '6.1.176 and other stable trees of mid-2026',
        looksLike: { pastTheLast: 'an identifier' },
      },
    ],
    async experiment(world) {
      const { outer, stranger, enter, initial, arm, variant, fresh, disposable } = world
      const family = systemV(world)
      const path = `/proc/sys/kernel/${variant}_next_id`
      const child = await enter('child')
      const maker = outer
      const askers = arm === 'treatment' ? [await stranger(), child] : [maker]
      for (const asker of askers) await asker.writeFile(path, String(ASKED))

      // Objects of the other two types, and those made elsewhere, take nothing.
      for (const kind of SYSTEM_V_KINDS) if (kind !== variant) await SYSTEM_V[kind].make(maker, fresh.key())
      if (arm === 'control') {
        await family.get(child, fresh.key(), NEW)
        const anywhere = await initial()
        await family.get(anywhere, fresh.key(), NEW)
      }
      const askedStill = await Promise.all(askers.map((asker) => readSysctl(asker, path)))
      const key = fresh.key()
      const made = await family.get(maker, key, NEW)
      const found = await keyOf(family, maker, ASKED)
      const makersNext = await readSysctl(maker, path)

      // The identifier is given where it was asked for; asked for again it is taken, the next index is not.
      const [asker = maker] = askers
      if (arm === 'treatment') await family.get(asker, key, NEW)
      const afterUse = await readSysctl(asker, path)
      await asker.writeFile(path, String(ASKED))
      const whenTaken = await family.get(asker, fresh.key(), NEW)
      const afterTaken = await readSysctl(asker, path)
      const later = await family.get(asker, fresh.key(), NEW)
      const atAsker = await keyOf(family, asker, ASKED)
      await asker.writeFile(path, String(ASKED_PRIVATE))
      const madePrivate = await family.get(maker, IPC_PRIVATE, NEW)
      const afterPrivate = await readSysctl(asker, path)
      await asker.writeFile(path, String(ASKED_HIGHEST))
      const highest = await family.get(maker, fresh.key(), NEW)
      const afterHighest = await readSysctl(asker, path)
      const refusal = await askAndBeRefused(maker, family, path, asker, fresh.key)
      const zero = await askForZero(maker, family, path, arm === 'control' ? 'own' : asker, fresh.key)
      const pastTheLast = disposable ? await askPastTheLast(asker, family, path, fresh.key) : 'not tried'
      return {
        askedStill,
        gotIt: made === ASKED,
        found: found === key ? 'the object' : found,
        makersNext,
        afterUse,
        whenTaken: typeof whenTaken === 'number' ? whenTaken % 32768 : whenTaken,
        afterTaken,
        laterGotIt: later === ASKED || later === whenTaken,
        atAsker: atAsker === key ? 'the object' : atAsker,
        privateGotIt: madePrivate === ASKED_PRIVATE,
        afterPrivate,
        highestGotIt: highest === ASKED_HIGHEST,
        afterHighest,
        ...refusal,
        ...zero,
        pastTheLast,
      }
    },
    treatment: ({ refused }, { disposable }) => ({
      ...keptFor(refused, false),
      askedStill: [String(ASKED), String(ASKED)],
      gotIt: false,
      found: EINVAL,
      makersNext: '-1',
      afterUse: '-1',
      whenTaken: 8,
      afterTaken: '-1',
      laterGotIt: false,
      atAsker: 'the object',
      privateGotIt: false,
      afterPrivate: String(ASKED_PRIVATE),
      highestGotIt: false,
      afterHighest: String(ASKED_HIGHEST),
      gotZero: false,
      afterZero: '0',
      pastTheLast: disposable ? ENOSPC : 'not tried',
    }),
    control: ({ refused }, { disposable }) => ({
      ...keptFor(refused, true),
      askedStill: [String(ASKED)],
      gotIt: true,
      found: 'the object',
      makersNext: '-1',
      afterUse: '-1',
      whenTaken: 8,
      afterTaken: '-1',
      laterGotIt: false,
      atAsker: 'the object',
      privateGotIt: true,
      afterPrivate: '-1',
      highestGotIt: true,
      afterHighest: '-1',
      gotZero: true,
      afterZero: '-1',
      pastTheLast: disposable ? ENOSPC : 'not tried',
    }),
  })
}

/** A creation that a limit refuses uses up nothing: what was asked for is given to the next one. */
async function askAndBeRefused(
  maker: Member,
  family: SystemVFamily,
  path: string,
  asker: Member,
  key: () => number,
): Promise<{ refused: unknown; afterRefusal: unknown; gotAfterRefusal: unknown }> {
  const limit = LIMITS[family.kind]
  const before = String(await readSysctl(maker, limit))
  // Root of a user namespace may write the limits of its IPC namespaces since Linux 6.9 only (SYS-13).
  if (failed(await writeSysctl(maker, limit, before.replace(/\d+$/, '0'))))
    return { refused: NOT_TRIED, afterRefusal: NOT_TRIED, gotAfterRefusal: NOT_TRIED }
  await asker.writeFile(path, String(ASKED_REFUSED))
  const refused = await family.get(maker, key(), NEW)
  const afterRefusal = await readSysctl(asker, path)
  await maker.writeFile(limit, before)
  const made = await family.get(maker, key(), NEW)
  return { refused, afterRefusal, gotAfterRefusal: made === ASKED_REFUSED }
}

function keptFor(refused: unknown, got: boolean) {
  return refused === NOT_TRIED
    ? { refused, afterRefusal: NOT_TRIED, gotAfterRefusal: NOT_TRIED }
    : { refused: ENOSPC, afterRefusal: String(ASKED_REFUSED), gotAfterRefusal: got }
}

/** Identifier 0 is one that can be asked for, where the next one in turn is another. */
async function askForZero(
  maker: Member,
  family: SystemVFamily,
  path: string,
  elsewhere: Member | 'own',
  key: () => number,
): Promise<{ gotZero: boolean; afterZero: unknown }> {
  const young = await maker.spawn('young', ['NEWIPC'])
  await young.burnIdentifiers(family.kind, 1)
  const asker = elsewhere === 'own' ? young : elsewhere
  await asker.writeFile(path, '0')
  const id = await family.get(young, key(), NEW)
  return { gotZero: id === 0, afterZero: await readSysctl(asker, path) }
}

/** The last index asked for twice; a kernel that gives an index beyond it is corrupt from then on. */
async function askPastTheLast(
  member: Member,
  family: SystemVFamily,
  path: string,
  key: () => number,
): Promise<unknown> {
  if ((await member.readFile('/proc/cmdline')).includes('ipcmni_extend')) return ENOSPC
  await member.writeFile(path, '32767')
  const last = await family.get(member, key(), NEW)
  await member.writeFile(path, '32767')
  const beyond = await family.get(member, key(), NEW)
  if (last === 32767) await family.remove(member, last)
  return typeof beyond === 'number' ? 'an identifier' : beyond
}
