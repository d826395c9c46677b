import { exit } from '../birth.ts'
import { closeAllBut, ownDescriptors } from '../connection.ts'
import { SystemCallFailure } from '../system.ts'
import { posixQueueOperations } from './mqueue.ts'
import { processOperations, reapEnded } from './processes.ts'
import { messageQueueOperations } from './sysv-msg.ts'
import { semaphoreOperations } from './sysv-sem.ts'
import { detachAll, segmentOperations } from './sysv-shm.ts'

/** An object that a cell made; `key` guards against an identifier that means another object by now. */
export type MadeObject =
  | { kind: 'msg' | 'sem' | 'shm'; id: number; key: number }
  | { kind: 'mq'; name: string }

/** Runs a call whose failure means that there was nothing left to do. */
export function quietly(call: () => unknown): void {
  try {
    call()
  } catch (problem) {
    if (!(problem instanceof SystemCallFailure)) throw problem
  }
}

function remove(object: MadeObject): void {
  if (object.kind === 'mq') {
    posixQueueOperations.mq_unlink(object.name)
  } else if (object.kind === 'msg') {
    if (messageQueueOperations.msgctlStat(object.id).perm.key === object.key)
      messageQueueOperations.msgctlRemove(object.id)
  } else if (object.kind === 'sem') {
    if (semaphoreOperations.semctlStat(object.id).perm.key === object.key)
      semaphoreOperations.semctlRemove(object.id)
  } else if (segmentOperations.shmctlStat(object.id).perm.key === object.key) {
    segmentOperations.shmctlRemove(object.id)
  }
}

/** Removes an object by the key it was to be made with; an unnamed one (IPC_PRIVATE) by its identifier. */
export function removeByKey(object: MadeObject): void {
  if (object.kind === 'mq' || object.key === 0) remove(object)
  else if (object.kind === 'msg')
    messageQueueOperations.msgctlRemove(messageQueueOperations.msgget(object.key, 0))
  else if (object.kind === 'sem')
    semaphoreOperations.semctlRemove(semaphoreOperations.semget(object.key, 0, 0))
  else segmentOperations.shmctlRemove(segmentOperations.shmget(object.key, 0, 0))
}

export const upkeepOperations = {
  /** Removes what cells made here and have not removed themselves. */
  removeObjects: (objects: MadeObject[]): number => {
    for (const object of objects) quietly(() => remove(object))
    return objects.length
  },
  /**
   * Kills children and reaps whatever has ended by now, orphans that came to this process included, without
   * waiting for any. How each ended is kept for a `waitpid` that asks later.
   */
  endChildren: (pids: number[]): number => {
    for (const pid of pids) quietly(() => processOperations.killChild(pid))
    return reapEnded()
  },
  /** Makes the member as good as new for another cell: no descriptor, no attachment, no child left. */
  reset: (): number => {
    detachAll()
    closeAllBut(ownDescriptors())
    return 0
  },
  /** Answers nothing and ends, as a process does that calls exit(3). */
  exitNow: (status = 0): number => exit(status),
  /** Does nothing; its answer says that everything before it is done. */
  ping: (): number => 0,
}
