/**
 * The one table of what a probe can do. The harness derives its calls from the types of these functions:
 * adding a call is one entry here, in the file of its family.
 */
import { birthOperations } from '../birth.ts'
import { janitorOperations } from '../janitor.ts'
import { descriptorOperations } from './descriptors.ts'
import { fileOperations } from './files.ts'
import { identifierOperations } from './identifiers.ts'
import { posixQueueOperations } from './mqueue.ts'
import { namedSemaphoreOperations } from './named-semaphores.ts'
import { namespaceOperations } from './namespaces.ts'
import { processOperations } from './processes.ts'
import { messageQueueOperations } from './sysv-msg.ts'
import { semaphoreOperations } from './sysv-sem.ts'
import { segmentOperations } from './sysv-shm.ts'
import { upkeepOperations } from './upkeep.ts'

export const operations = {
  ...messageQueueOperations,
  ...semaphoreOperations,
  ...segmentOperations,
  ...namedSemaphoreOperations,
  ...posixQueueOperations,
  ...identifierOperations,
  ...namespaceOperations,
  ...fileOperations,
  ...descriptorOperations,
  ...processOperations,
  ...birthOperations,
  ...upkeepOperations,
  ...janitorOperations,
}

/** The table's type; what crosses the link is JSON. */
export type Operations = typeof operations

/** Name of an operation. */
export type OperationName = keyof Operations
