/** SYS-15: asking for an identifier, the tool that pins objects of two namespaces apart. */
import {
  type Area,
  EINVAL,
  ENOSPC,
  failed,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  type Outcome,
} from '../../fixtures/rules.ts'
import { readSysctl } from '../../fixtures/sysctls.ts'

interface Family {
  make(member: Member, key: number): Promise<Outcome<number>>
  /** The key of the object with that identifier. */
  keyOf(member: Member, id: number): Promise<unknown>
  remove(member: Member, id: number): Promise<unknown>
}

const NEW = IPC_CREAT | IPC_EXCL | 0o600

const FAMILIES: Readonly<Record<string, Family>> = {
  msg: {
    make: (member, key) => member.try.msgget(key, NEW),
    keyOf: async (member, id) => keyIn(await member.try.msgctlStat(id)),
    remove: (member, id) => member.msgctlRemove(id),
  },
  sem: {
    make: (member, key) => member.try.semget(key, 1, NEW),
    keyOf: async (member, id) => keyIn(await member.try.semctlStat(id)),
    remove: (member, id) => member.semctlRemove(id),
  },
  shm: {
    make: (member, key) => member.try.shmget(key, 4096, NEW),
    keyOf: async (member, id) => keyIn(await member.try.shmctlStat(id)),
    remove: (member, id) => member.shmctlRemove(id),
  },
}

function keyIn(status: Outcome<{ perm: { key: number } }>): unknown {
  return failed(status) ? status : status.perm.key
}

/** Index 7 of the table, with sequence number 5: an identifier is sequence × 32768 + index. */
const ASKED = 5 * 32768 + 7

export function nextIdRules(sys: Area): void {
  sys.comparison('SYS-15', {
    says: '*_next_id names the identifier of the next object of its type and namespace, or the index after it when taken, once',
    source: ['Documentation/admin-guide/sysctl/kernel.rst: *_next_id', 'ipc/util.c: ipc_idr_alloc'],
    needs: ['NEXT_ID'],
    since: '3.9',
    variants: ['msg', 'sem', 'shm'],
    arms: { treatment: 'asked for in another IPC namespace', control: 'asked for in the maker’s own' },
    bugs: [
      {
        id: 'BUG-31',
        fix: 'ipc: limit next_id allocation to the valid ID range (fa0b9b2b7ae3): any user who may write *_next_id can make identifiers collide',
        fixedIn: '6.1.176 and other stable trees of mid-2026',
        looksLike: { pastTheLast: 'an identifier' },
      },
    ],
    async experiment({ outer, stranger, enter, initial, arm, variant, fresh, disposable }) {
      const family = FAMILIES[variant] as Family
      const path = `/proc/sys/kernel/${variant}_next_id`
      const others = Object.keys(FAMILIES).filter((name) => name !== variant)
      const child = await enter('child')
      const maker = outer
      const askers = arm === 'treatment' ? [await stranger(), child] : [maker]
      for (const asker of askers) await asker.writeFile(path, String(ASKED))

      // Objects of the other two types, and those made elsewhere, take nothing.
      for (const name of others) await (FAMILIES[name] as Family).make(maker, fresh.key())
      if (arm === 'control') {
        await family.make(child, fresh.key())
        const anywhere = await initial()
        await family.make(anywhere, fresh.key())
      }
      const askedStill = await Promise.all(askers.map((asker) => readSysctl(asker, path)))
      const key = fresh.key()
      const made = await family.make(maker, key)
      const found = await family.keyOf(maker, ASKED)
      const makersNext = await readSysctl(maker, path)

      // The identifier is given where it was asked for; asked for again it is taken, the next index is not.
      const [asker = maker] = askers
      if (arm === 'treatment') await family.make(asker, key)
      const afterUse = await readSysctl(asker, path)
      await asker.writeFile(path, String(ASKED))
      const whenTaken = await family.make(asker, fresh.key())
      const later = await family.make(asker, fresh.key())
      const atAsker = await family.keyOf(asker, ASKED)
      const pastTheLast = disposable ? await askPastTheLast(asker, family, path, fresh.key) : 'not tried'
      return {
        askedStill,
        gotIt: made === ASKED,
        found: found === key ? 'the object' : found,
        makersNext,
        afterUse,
        whenTaken: typeof whenTaken === 'number' ? whenTaken % 32768 : whenTaken,
        laterGotIt: later === ASKED || later === whenTaken,
        atAsker: atAsker === key ? 'the object' : atAsker,
        pastTheLast,
      }
    },
    treatment: (_seen, { disposable }) => ({
      askedStill: [String(ASKED), String(ASKED)],
      gotIt: false,
      found: EINVAL,
      makersNext: '-1',
      afterUse: '-1',
      whenTaken: 8,
      laterGotIt: false,
      atAsker: 'the object',
      pastTheLast: disposable ? ENOSPC : 'not tried',
    }),
    control: (_seen, { disposable }) => ({
      askedStill: [String(ASKED)],
      gotIt: true,
      found: 'the object',
      makersNext: '-1',
      afterUse: '-1',
      whenTaken: 8,
      laterGotIt: false,
      atAsker: 'the object',
      pastTheLast: disposable ? ENOSPC : 'not tried',
    }),
  })
}

/** The last index asked for twice; a kernel that gives an index beyond it is corrupt from then on. */
async function askPastTheLast(
  member: Member,
  family: Family,
  path: string,
  key: () => number,
): Promise<unknown> {
  if ((await member.readFile('/proc/cmdline')).includes('ipcmni_extend')) return ENOSPC
  await member.writeFile(path, '32767')
  const last = await family.make(member, key())
  await member.writeFile(path, '32767')
  const beyond = await family.make(member, key())
  if (last === 32767) await family.remove(member, last)
  return typeof beyond === 'number' ? 'an identifier' : beyond
}
