import { CellRecord, type Member } from '../link/member.ts'
import type { Process } from '../link/process.ts'
import type { Flag } from '../probe/constants.ts'
import type { Cell } from '../rules/expand.ts'
import type { Scene } from '../rules/rule.ts'
import { touchesInitial } from '../rules/scenes.ts'
import { enter, remount, type WayIn } from '../ways/way-in.ts'
import type { Trunk } from './trunk.ts'

/** Two processes in the namespaces of a visibility cell, which cell after cell may use. */
export interface PairWorld {
  readonly actor: Process
  readonly observer: Process
  /** How it was made; goes before each cell's own evidence. */
  readonly record: CellRecord
  /** Whether both processes are as a new cell wants them. */
  sound(): boolean
  end(): Promise<void>
}

interface Pair {
  actor: Member
  observer: Member
}

/** Makes the two sides of a scene. Throws HarnessError when a step of it fails. */
export async function makePair(trunk: Trunk, cell: Cell): Promise<PairWorld> {
  const { scene, via, flags } = cell
  const record = new CellRecord()
  const outer = touchesInitial(scene)
    ? await trunk.leaseOutsider(outerRole(scene), record)
    : await trunk.leaseArena(outerRole(scene), record)
  const lease = outer.process
  try {
    const { actor, observer } = await sides(scene, outer, via, flags)
    if (cell.rule.kind === 'visibility' && cell.rule.remount && flags.includes('NEWNS'))
      for (const side of new Set([actor, observer]))
        if (side !== outer) await remount(side, cell.rule.remount)
    // The calls of the way in itself spoil nothing.
    for (const side of [actor, observer]) side.process.spoiled = false
    return {
      actor: actor.process,
      observer: observer.process,
      record,
      sound: () => actor.alive && observer.alive && !actor.process.spoiled && !observer.process.spoiled,
      end: () => trunk.release(lease),
    }
  } catch (problem) {
    await trunk.release(lease)
    throw problem
  }
}

function outerRole(scene: Scene): string {
  switch (scene.direction) {
    case 'parent-to-child':
    case 'nested':
      return 'actor'
    case 'child-to-parent':
    case 'child-to-initial':
      return 'observer'
    case 'sibling-to-sibling':
      return 'parent'
  }
}

async function sides(scene: Scene, outer: Member, via: WayIn, flags: readonly Flag[]): Promise<Pair> {
  switch (scene.direction) {
    case 'parent-to-child':
      return { actor: outer, observer: await enter(outer, 'observer', via, flags) }
    case 'child-to-parent':
    case 'child-to-initial':
      return { actor: await enter(outer, 'actor', via, flags), observer: outer }
    case 'sibling-to-sibling': {
      const actor = await enter(outer, 'actor', via, flags)
      return { actor, observer: await enter(outer, 'observer', via, flags) }
    }
    case 'nested': {
      const middle = await enter(outer, 'middle', 'clone', flags)
      return { actor: outer, observer: await enter(middle, 'observer', via, flags) }
    }
  }
}
