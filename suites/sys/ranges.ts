/** SYS-03 to SYS-07: which values the sysctls of an IPC namespace take. */
import { type Area, EINVAL, ERANGE, type Member, type Outcome, oneOf } from '../../fixtures/rules.ts'
import { readSysctl, writeSysctl } from '../../fixtures/sysctls.ts'

const INT_MAX = '2147483647'
const ULONG_MAX = '18446744073709551615'
const ARMS = { treatment: 'values outside the range', control: 'values inside the range' }

interface Written {
  value: string
  outcome: Outcome<0>
  reads: Outcome<string>
}

/** Writes each value and says what came of it. */
async function writeEach(member: Member, path: string, values: readonly string[]): Promise<Written[]> {
  const written: Written[] = []
  for (const value of values) {
    const outcome = await writeSysctl(member, path, value)
    written.push({ value, outcome, reads: await readSysctl(member, path) })
  }
  return written
}

/** The kernel parameter ipcmni_extend raises the bound of the three numbers of objects. */
async function mostObjects(member: Member): Promise<number> {
  const parameters = await member.readFile('/proc/cmdline')
  return parameters.split(/\s/).includes('ipcmni_extend') ? 16777216 : 32768
}

interface Range {
  refused: readonly string[]
  accepted: readonly string[]
  /** Whether a kernel may also say nothing to what it refuses, as long as it keeps the value. */
  maySwallow?: true
}

function rangeRule(
  sys: Area,
  id: string,
  rule: {
    says: string
    source: readonly string[]
    since: string
    directory: 'kernel' | 'fs/mqueue'
    ranges: (mostObjects: number) => Readonly<Record<string, Range>>
  },
): void {
  const { says, source, since, directory, ranges } = rule
  const writtenBefore = '1000'
  sys.comparison(id, {
    says,
    source,
    since,
    needs: [directory === 'kernel' ? 'SYSVIPC_SYSCTL' : 'MQUEUE_SYSCTL'],
    variants: Object.keys(ranges(0)),
    arms: ARMS,
    async experiment({ outer, arm, variant, note }) {
      const path = `/proc/sys/${directory}/${variant}`
      const range = ranges(await mostObjects(outer))[variant] as Range
      await outer.writeFile(path, writtenBefore)
      const values = arm === 'treatment' ? range.refused : range.accepted
      const written = await writeEach(outer, path, values)
      if (range.maySwallow && arm === 'treatment')
        note(
          written.some(({ outcome }) => outcome === 0)
            ? 'swallowed, as before 5.19'
            : 'refused, as since 5.19',
        )
      return { values, refusal: range.maySwallow ? oneOf(EINVAL, 0) : EINVAL, written }
    },
    treatment: ({ values, refusal }) => ({
      written: values.map((value) => ({ value, outcome: refusal, reads: writtenBefore })),
    }),
    control: ({ values }) => ({ written: values.map((value) => ({ value, outcome: 0, reads: value })) }),
  })
}

/** Fewer than four values written to sem after 10 20 30 40; nothing to another namespace, which has its own. */
const LEFT_OUT = {
  fewer: [
    { value: '7919', outcome: 0, reads: '7919 20 30 40' },
    { value: '7927 3 4', outcome: 0, reads: '7927 3 4 40' },
  ],
  others: '11 21 31 41',
  initialsToo: false,
}

export function rangeRules(sys: Area): void {
  rangeRule(sys, 'SYS-03', {
    says: 'msgmax and msgmnb take 0…INT_MAX, msgmni and shmmni 0…32768; anything else is EINVAL and changes nothing',
    source: ['proc_sys_kernel(5)', 'ipc/ipc_sysctl.c: ipc_sysctls'],
    since: '5.1',
    directory: 'kernel',
    ranges: (most) => ({
      msgmax: { refused: ['-1', '2147483648'], accepted: ['0', '1', INT_MAX] },
      msgmnb: { refused: ['-1', '2147483648'], accepted: ['0', '1', INT_MAX] },
      msgmni: { refused: ['-1', String(most + 1)], accepted: ['0', '1', String(most)] },
      shmmni: { refused: ['-1', String(most + 1)], accepted: ['0', '1', String(most)] },
    }),
  })

  rangeRule(sys, 'SYS-04', {
    says: 'shmmax and shmall take any unsigned long, and never a negative number',
    source: [
      'proc_sys_kernel(5)',
      'ipc/ipc_sysctl.c: ipc_sysctls',
      'kernel/sysctl.c: __do_proc_doulongvec_minmax',
    ],
    since: '3.16',
    directory: 'kernel',
    ranges: () => ({
      shmmax: { refused: ['-1'], accepted: ['0', '4096', ULONG_MAX], maySwallow: true },
      shmall: { refused: ['-1'], accepted: ['0', '4096', ULONG_MAX], maySwallow: true },
    }),
  })

  sys.comparison('SYS-05', {
    says: 'a fourth value of sem outside 0…32768 is ERANGE and not taken, yet the first three of that write are; they are unchecked, and those that a write leaves out stay',
    source: ['ipc/ipc_sysctl.c: proc_ipc_sem_dointvec', 'ipc/util.h: sem_check_semmni'],
    needs: ['SYSVIPC_SYSCTL'],
    since: '5.1',
    arms: ARMS,
    async experiment({ outer, stranger, initial, arm }) {
      const path = '/proc/sys/kernel/sem'
      const most = await mostObjects(outer)
      await outer.writeFile(path, '10 20 30 40')
      // Written last, but elsewhere.
      const other = await stranger()
      await other.writeFile(path, '11 21 31 41')
      const values = arm === 'treatment' ? ['1 2 3 -1', `5 6 7 ${most + 1}`] : [`1 2 3 ${most}`, '-1 -1 -1 0']
      const written = await writeEach(outer, path, values)
      await outer.writeFile(path, '10 20 30 40')
      const fewer = await writeEach(outer, path, ['7919', '7927 3 4'])
      const initials = String(await readSysctl(await initial(), path)).split(' ')
      return {
        values,
        written,
        fewer,
        others: await readSysctl(other, path),
        // Whatever the initial one has, nobody chose these.
        initialsToo: ['7919', '7927'].includes(initials[0] as string),
      }
    },
    treatment: ({ values }) => ({
      written: values.map((value) => ({
        value,
        outcome: ERANGE,
        reads: [...value.split(' ').slice(0, 3), '40'].join(' '),
      })),
      ...LEFT_OUT,
    }),
    control: ({ values }) => ({
      written: values.map((value) => ({ value, outcome: 0, reads: value })),
      ...LEFT_OUT,
    }),
  })

  rangeRule(sys, 'SYS-06', {
    says: 'msg_max and msg_default take 1…65536, msgsize_max and msgsize_default 128…16777216, else EINVAL; queues_max takes any int',
    source: ['mq_overview(7)', 'ipc/mq_sysctl.c: mq_sysctls'],
    since: '3.15',
    directory: 'fs/mqueue',
    ranges: () => ({
      msg_max: { refused: ['0', '-1', '65537'], accepted: ['1', '65536'] },
      msg_default: { refused: ['0', '-1', '65537'], accepted: ['1', '65536'] },
      msgsize_max: { refused: ['127', '-1', '16777217'], accepted: ['128', '16777216'] },
      msgsize_default: { refused: ['127', '-1', '16777217'], accepted: ['128', '16777216'] },
      queues_max: { refused: ['2147483648', 'x'], accepted: ['0', '-1', INT_MAX] },
    }),
  })

  sys.comparison('SYS-07', {
    says: 'auto_msgmni reads 0 and ignores the 0 or 1 written to it; anything else is EINVAL',
    source: ['Documentation/admin-guide/sysctl/kernel.rst', 'ipc/ipc_sysctl.c: proc_ipc_auto_msgmni'],
    needs: ['auto_msgmni'],
    since: '3.19',
    arms: ARMS,
    experiment: async ({ outer, arm }) => ({
      written: await writeEach(
        outer,
        '/proc/sys/kernel/auto_msgmni',
        arm === 'treatment' ? ['2', '-1'] : ['0', '1'],
      ),
      msgmni: await readSysctl(outer, '/proc/sys/kernel/msgmni'),
    }),
    treatment: () => ({
      written: ['2', '-1'].map((value) => ({ value, outcome: EINVAL, reads: '0' })),
      msgmni: '32000',
    }),
    control: () => ({
      written: ['0', '1'].map((value) => ({ value, outcome: 0, reads: '0' })),
      msgmni: '32000',
    }),
  })
}
