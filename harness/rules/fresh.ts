import { randomInt } from 'node:crypto'

/** Gives out keys, names and users that nothing else uses, on this run or on any at the same time. */
export interface Fresh {
  /** A System V key. */
  key(): number
  /** A System V key with its highest bit set, a negative number as key_t is signed. */
  negativeKey(): number
  /** A queue name, with its slash; good as a file name too, without it. */
  name(): string
  /** A user nobody else runs as (20000…59999, inside the mapped range): limits count by user. */
  uid(): number
}

/** Makes a source; each has its own random range, so that runs side by side do not meet. */
export function makeFresh(): Fresh {
  const prefix = randomInt(1, 0x7fff) << 16
  const label = randomInt(0x10000000, 0x7fffffff).toString(36)
  const firstUser = randomInt(0, 40000)
  let keys = 0
  let names = 0
  let users = 0
  const key = (): number => {
    keys += 1
    return prefix | (keys & 0xffff)
  }
  return {
    key,
    negativeKey: () => key() | (1 << 31),
    name: () => {
      names += 1
      return `/ipcns-${label}-${names}`
    },
    uid: () => {
      users += 1
      return 20000 + ((firstUser + users) % 40000)
    },
  }
}
