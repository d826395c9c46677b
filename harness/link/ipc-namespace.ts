import type { MadeObject } from '../probe/operations/upkeep.ts'

/** An IPC namespace as the harness knows it, and who looks after what is made in it. */
export interface IpcNamespace {
  /** `initial`, or a name for reading. */
  name: string
  /** Told before an object is made in it (named) or right after (unnamed); the initial namespace only. */
  announce?(object: MadeObject): void
  /** Told that the announced object could not be made. */
  renounce?(object: MadeObject): void
}
