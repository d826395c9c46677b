import { area, conformance, EINVAL, ENOENT, IPC_CREAT, IPC_EXCL, IPC_NOWAIT } from '../fixtures/rules.ts'

const svk = area('svk', 'System V objects by key, id and stat')
export default svk

svk.visibility('SVK-01', {
  says: 'a key names a message queue only inside the IPC namespace that made it',
  source: ['ipc_namespaces(7)', 'ipc/util.c: ipcget_public'],
  needs: ['SYSVIPC'],
  since: '2.6.19',
  async experiment({ actor, observer, fresh }) {
    const key = fresh.key()
    const queue = await actor.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    await actor.msgsnd(queue, 1, 'hello', IPC_NOWAIT)
    const found = await observer.try.msgget(key, 0)
    const alive = await actor.try.msgget(key, 0)
    const { qnum } = await actor.msgctlStat(queue)
    return { queue, found, alive, qnum }
  },
  shared: ({ queue }) => ({ found: queue, alive: queue, qnum: 1 }),
  isolated: ({ queue }) => ({ found: ENOENT, alive: queue, qnum: 1 }),
})

svk.visibility('SVK-07', {
  says: 'an identifier of one IPC namespace is EINVAL for IPC_STAT in another',
  source: ['msgctl(2)', 'ipc/util.c: ipc_obtain_object_check'],
  needs: ['SYSVIPC'],
  async experiment({ actor, observer, fresh }) {
    const queue = await actor.msgget(fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
    const seen = await observer.try.msgctlStat(queue)
    return { key: 'perm' in seen ? 'seen' : seen }
  },
  shared: () => ({ key: 'seen' }),
  isolated: () => ({ key: EINVAL }),
})

await conformance(svk)
