import { PR_SET_DUMPABLE, PR_SET_PDEATHSIG, SIGKILL } from './constants.ts'
import { bind } from './system.ts'

const prctl = bind<[number, number]>('int prctl(int option, unsigned long argument)')

let tethered = true

/**
 * Makes this process die with its creator, even while it is blocked in the kernel where end-of-file cannot
 * reach it, and keeps it dumpable, so that its /proc files stay its own. A change of credentials clears
 * both, so it is called after each.
 */
export function tether(): void {
  if (tethered) prctl(PR_SET_PDEATHSIG, SIGKILL)
  prctl(PR_SET_DUMPABLE, 1)
}

/** Lets this process outlive its creator from now on; end-of-file still ends it. */
export function untether(): void {
  tethered = false
  prctl(PR_SET_PDEATHSIG, 0)
}
