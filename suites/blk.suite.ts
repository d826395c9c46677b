import { area, conformance, EIDRM, EINVAL, IPC_CREAT, IPC_EXCL } from '../fixtures/rules.ts'

const blk = area('blk', 'Blocked operations')
export default blk

blk.comparison('BLK-02', {
  says: 'removing a queue wakes its blocked receiver with EIDRM; removing an equal id elsewhere does not',
  source: ['msgop(2) ERRORS', 'ipc/msg.c: freeque'],
  needs: ['SYSVIPC'],
  arms: { treatment: 'removed in another namespace', control: 'removed in the receiver’s own' },
  async experiment({ outer, enter, stranger, arm, fresh }) {
    const key = fresh.key()
    const queue = await outer.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    const receiver = await outer.spawn('receiver')
    const waiting = await receiver.block.msgrcv(queue, 64, 0, 0)
    const elsewhere = await stranger()
    const twin = await elsewhere.msgget(key, IPC_CREAT | IPC_EXCL | 0o600)
    const remover = arm === 'control' ? outer : elsewhere
    const removed = await remover.try.msgctlRemove(queue)
    await enter('bystander')
    return { sameId: twin === queue, removed, woken: await waiting.within(arm === 'control' ? 5000 : 50) }
  },
  treatment: () => ({ sameId: true, removed: 0, woken: 'blocked' }),
  control: () => ({ sameId: true, removed: 0, woken: EIDRM }),
})

blk.comparison('BLK-04', {
  says: 'threads',
  source: ['unshare(2)'],
  needs: ['SYSVIPC'],
  arms: { treatment: 'sibling left', control: 'did not' },
  async experiment({ outer, arm, fresh }) {
    const process = await outer.spawn('main')
    const [thread] = await process.withThreads('thread')
    const queue = await process.msgget(fresh.key(), IPC_CREAT | IPC_EXCL | 0o600)
    const waiting = await thread!.block.msgrcv(queue, 64, 0, 0)
    if (arm === 'treatment') await process.unshare(0x08000000)
    return {
      send: await process.try.msgsnd(queue, 1, 'x', 0),
      woken: await waiting.within(arm === 'control' ? 5000 : 50),
    }
  },
  treatment: () => ({ send: EINVAL, woken: 'blocked' }),
  control: () => ({ send: 0, woken: { type: 1, text: 'x' } }),
})

await conformance(blk)
