/** NSI-16, 17: lists of IPC namespaces, by the kernel and by lsns(8). */
import { nsfdOf } from '../../fixtures/identity.ts'
import { inInitial } from '../../fixtures/nsfs.ts'
import {
  type Area,
  CLONE,
  failed,
  HarnessError,
  IPC_CREAT,
  IPC_EXCL,
  type Member,
  NS_GET_ID,
  type Outcome,
} from '../../fixtures/rules.ts'

/** Processes that lsns(8) counts in the namespace with this inode; 0 where it does not list it. */
async function processesIn(asker: Member, inode: number): Promise<number> {
  for (let attempts = 20; ; attempts -= 1) {
    const { exit, output } = await asker.run(['lsns', '-t', 'ipc', '-n', '-r', '-o', 'NS,NPROCS'])
    if (exit === 0) return Number(new RegExp(`^${inode} +(\\d+)`, 'm').exec(output)?.[1] ?? 0)
    // It gives up without a word when some process, anybody's, ends while it reads /proc.
    if (attempts === 0) throw new HarnessError(`lsns gave ${exit}: ${output}`)
  }
}

export function listingRules(nsi: Area): void {
  nsi.comparison('NSI-16', {
    says: 'listns lists an IPC namespace while it has users, among those of its type, to those who may see it',
    source: ['kernel/nstree.c: SYSCALL listns, may_list_ns'],
    needs: ['listns', 'NS_GET_ID', 'CAP_SETUID', 'USER_NS'],
    since: '6.19',
    arms: { treatment: 'among IPC namespaces', control: 'among UTS namespaces' },
    async experiment({ outer, arm, eventually, fresh, note }) {
      const type = arm === 'treatment' ? CLONE.NEWIPC : CLONE.NEWUTS
      const member = await outer.spawn('member', ['NEWIPC'])
      const nsfd = await nsfdOf(outer, member)
      const id = await outer.ioctl64(nsfd, NS_GET_ID)
      await outer.close(nsfd)
      const lists = async (asker: Member): Promise<unknown> => {
        const ids: Outcome<string[]> = await asker.try.listns(type)
        return failed(ids) ? ids : ids.includes(id)
      }
      const plain = await outer.spawn('plain user')
      await plain.becomeUser(fresh.uid())
      const inside = await member.spawn('plain member')
      await inside.becomeUser(fresh.uid())
      const seesAll = (await inInitial(outer, 'pid')) && (await inInitial(outer, 'user'))
      const toMember = await lists(member)
      const toPlainMember = await lists(inside)
      const toPlain = await lists(plain)
      const toPrivileged = seesAll ? await lists(outer) : null
      const below = await outer.spawn('root in another pid namespace', ['NEWPID'])
      // BUG-30 and its fix differ here; both kinds of kernel are about.
      if (arm === 'treatment')
        note(`another pid namespace’s root ${(await lists(below)) === true ? 'sees' : 'does not see'} it`)
      await inside.killAndReap()
      await member.killAndReap()
      const afterDeath = await eventually(
        () => lists(outer),
        (seen) => seen === false,
      )
      return { toMember, toPlainMember, toPlain, toPrivileged, seesAll, afterDeath }
    },
    treatment: ({ seesAll }) => ({
      toMember: true,
      toPlainMember: true,
      toPlain: false,
      toPrivileged: seesAll ? true : null,
      afterDeath: false,
    }),
    control: ({ seesAll }) => ({
      toMember: false,
      toPlainMember: false,
      toPlain: false,
      toPrivileged: seesAll ? false : null,
      afterDeath: false,
    }),
  })

  nsi.comparison('NSI-17', {
    says: 'lsns -t ipc counts the processes in an IPC namespace; one that has none is not counted',
    source: ['lsns(8)', 'fs/nsfs.c: ns_get_name', 'fs/proc/namespaces.c'],
    needs: ['lsns(1)', 'SYSVIPC'],
    arms: {
      treatment: 'the children are in the namespace',
      control: 'the children are in ones of their own',
    },
    async experiment({ outer, arm, fresh }) {
      const member = await outer.spawn('member', ['NEWIPC'])
      const { ino } = await member.stat('/proc/self/ns/ipc')
      const children: Member[] = []
      for (const name of ['first', 'second'])
        children.push(await member.spawn(name, arm === 'treatment' ? [] : ['NEWIPC']))
      const before = await processesIn(outer, ino)
      for (const child of children) await child.killAndReap()
      const after = await processesIn(outer, ino)
      // The member leaves; what it has attached keeps the namespace, whose number nobody else gets.
      const segment = await member.shmget(fresh.key(), 4096, IPC_CREAT | IPC_EXCL | 0o600)
      await member.shmat(segment)
      await member.unshare(CLONE.NEWIPC)
      return { before, after, memberless: await processesIn(outer, ino) }
    },
    treatment: () => ({ before: 3, after: 1, memberless: 0 }),
    control: () => ({ before: 1, after: 1, memberless: 0 }),
  })
}
