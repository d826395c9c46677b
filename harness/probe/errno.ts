import { constants } from 'node:os'

/** Names that Node's table lacks; Linux's numbers for all architectures but alpha, mips, parisc and sparc. */
const missing: Readonly<Record<string, number>> = {
  ENOTBLK: 15,
  EUSERS: 87,
  ENOMEDIUM: 123,
  ENOKEY: 126,
  EKEYEXPIRED: 127,
  EKEYREVOKED: 128,
  EKEYREJECTED: 129,
  EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131,
}

/** Two names of one number: the one the manual pages use wins. */
const preferred = new Set(['EAGAIN', 'EOPNOTSUPP', 'EDEADLK'])

const names = new Map<number, string>()
for (const [name, number] of [...Object.entries(constants.errno), ...Object.entries(missing)])
  if (!names.has(number) || preferred.has(name)) names.set(number, name)

/** The name of an errno; `ERRNO_524` for a number that has none, so that no failure is ever nameless. */
export function errnoName(number: number): string {
  return names.get(number) ?? `ERRNO_${number}`
}
