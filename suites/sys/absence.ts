/** SYS-22: where there are no IPC sysctls. */
import type { Area } from '../../fixtures/rules.ts'
import { SYSCTLS } from '../../fixtures/sysctls.ts'

export function absenceRules(sys: Area): void {
  sys.comparison('SYS-22', {
    says: 'a procfs mounted with subset=pid has neither the IPC sysctls nor /proc/sysvipc',
    source: ['proc(5): subset=pid', 'fs/proc/generic.c: proc_lookup'],
    needs: ['PROC_SYSVIPC', 'SYSVIPC_SYSCTL'],
    since: '5.8',
    arms: { treatment: 'mounted with subset=pid', control: 'mounted without' },
    flags: [['NEWIPC', 'NEWNS']],
    async experiment({ enter, arm }) {
      const member = await enter('member')
      const files = ['/proc/sysvipc', '/proc/sys', ...SYSCTLS.map(({ path }) => path)]
      const present = async (): Promise<string[]> => {
        const found: string[] = []
        for (const file of files) if (await member.exists(file)) found.push(file)
        return found
      }
      const before = await present()
      await member.mount('proc', '/proc', 'proc', 0, arm === 'treatment' ? 'subset=pid' : '')
      return { before, present: await present(), self: await member.exists('/proc/self') }
    },
    treatment: () => ({ present: [], self: true }),
    control: ({ before }) => ({ present: before, self: true }),
  })
}
