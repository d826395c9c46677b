import { existsSync } from 'node:fs'

/** Where it is missing, Node complains of that on standard error. */
const hugePages = existsSync('/sys/kernel/mm/transparent_hugepage/enabled')

/** Node with one thread, for every probe: a clone has only the one that called. */
export const SINGLE_THREADED: readonly string[] = ['--single-threaded', '--v8-pool-size=0']

/**
 * For a probe that many others are cloned from. Everything is compiled, with room for what calls teach, before
 * the first clone: else each clone does it for itself. The program's text goes to huge pages where the kernel
 * has them, which a clone shares without faults.
 */
export const PROLIFIC: readonly string[] = [
  ...SINGLE_THREADED,
  '--no-lazy',
  '--no-lazy-feedback-allocation',
  ...(hugePages ? ['--use-largepages=silent'] : []),
]
