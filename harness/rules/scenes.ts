import type { Flag } from '../probe/constants.ts'
import type { Kinship, Relation, Scene } from './rule.ts'

/** Every scene of a visibility rule, the plainest first. */
export const SCENES: readonly Scene[] = [
  { direction: 'parent-to-child', place: 'parent' },
  { direction: 'parent-to-child', place: 'initial' },
  { direction: 'child-to-parent', place: 'stranger' },
  { direction: 'child-to-initial', place: 'stranger' },
  { direction: 'sibling-to-sibling', place: 'stranger' },
  { direction: 'nested', place: 'stranger' },
  { direction: 'nested', place: 'initial' },
]

/** Whether a side of the scene sits in the initial IPC namespace (in the control arm both do). */
export function touchesInitial(scene: Scene): boolean {
  return scene.place === 'initial' || scene.direction === 'child-to-initial'
}

/** How the two sides of a scene relate, kind by kind, when the new members are made with these flags. */
export function relationOf(scene: Scene, flags: readonly Flag[]): Relation {
  const kin: Kinship = {
    'parent-to-child': 'observer-below',
    nested: 'observer-below',
    'child-to-parent': 'actor-below',
    'child-to-initial': 'actor-below',
    'sibling-to-sibling': 'apart',
  }[scene.direction] as Kinship
  const of = (flag: Flag): Kinship => (flags.includes(flag) ? kin : 'same')
  return {
    ipc: flags.includes('NEWIPC') ? 'different' : 'same',
    user: of('NEWUSER'),
    pid: of('NEWPID'),
    mount: of('NEWNS'),
    uts: of('NEWUTS'),
    net: of('NEWNET'),
  }
}
