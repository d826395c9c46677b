/**
 * Many System V objects at once, for experiments with identifiers and counts. For private IPC namespaces
 * only: the objects have no key, and nobody notes them down for removal.
 */
import { IPC_CREAT, IPC_EXCL } from '../constants.ts'
import { fail, SystemCallFailure } from '../system.ts'
import { messageQueueOperations } from './sysv-msg.ts'
import { semaphoreOperations } from './sysv-sem.ts'
import { segmentOperations } from './sysv-shm.ts'

type Kind = 'msg' | 'sem' | 'shm'

const get: Readonly<Record<Kind, (key: number, flags: number) => number>> = {
  msg: (key, flags) => messageQueueOperations.msgget(key, flags),
  sem: (key, flags) => semaphoreOperations.semget(key, 3, flags),
  shm: (key, flags) => segmentOperations.shmget(key, 4096, flags),
}

const remove: Readonly<Record<Kind, (id: number) => number>> = {
  msg: messageQueueOperations.msgctlRemove,
  sem: semaphoreOperations.semctlRemove,
  shm: segmentOperations.shmctlRemove,
}

export const identifierOperations = {
  /** Makes so many IPC_PRIVATE objects that stay; gives their identifiers in order. */
  makeUnnamed: (kind: Kind, count: number): number[] =>
    Array.from({ length: count }, () => get[kind](0, IPC_CREAT | 0o600)),
  /** Makes an IPC_PRIVATE object and removes it, so many times: uses identifiers up. Gives the last one. */
  burnIdentifiers: (kind: Kind, count: number): number => {
    let id = -1
    for (let made = 0; made < count; made += 1) {
      id = get[kind](0, IPC_CREAT | 0o600)
      remove[kind](id)
    }
    return id
  },
  /**
   * Makes an object with this key and identifier, by making and removing it until it gets the identifier.
   * ERANGE when the namespace is past that identifier, or still before it after `limit` objects.
   */
  makeWithIdentifier: (kind: Kind, key: number, target: number, limit = 30_000): number => {
    for (let made = 0; made < limit; made += 1) {
      const id = get[kind](key, IPC_CREAT | IPC_EXCL | 0o600)
      if (id === target) return id
      remove[kind](id)
      if (id > target) break
    }
    return fail('ERANGE')
  },
  /** *get with these arguments so many times or until it fails: how many succeeded, and the errno's name. */
  makeUntilRefused: (kind: Kind, limit: number): { made: number; refusal: string } => {
    for (let made = 0; made < limit; made += 1) {
      try {
        get[kind](0, IPC_CREAT | 0o600)
      } catch (problem) {
        if (problem instanceof SystemCallFailure) return { made, refusal: problem.message }
        throw problem
      }
    }
    return { made: limit, refusal: '' }
  },
}
