import type { Flag } from '../probe/constants.ts'
import type { WayIn } from '../ways/way-in.ts'
import type { Cell } from './expand.ts'
import type { RequirementName } from './requirements.ts'
import { touchesInitial } from './scenes.ts'

const OF_FLAG: Readonly<Record<Flag, RequirementName>> = {
  NEWIPC: 'IPC_NS',
  NEWNS: 'CAP_SYS_ADMIN',
  NEWPID: 'PID_NS',
  NEWUTS: 'UTS_NS',
  NEWUSER: 'USER_NS',
  NEWNET: 'NET_NS',
  NEWCGROUP: 'CGROUP_NS',
}

const OF_WAY: Readonly<Partial<Record<WayIn, RequirementName>>> = {
  clone3: 'clone3',
  'setns-pidfd': 'pidfd setns',
  'unshare(1)': 'unshare(1)',
  'nsenter(1)': 'nsenter(1)',
}

/** Everything a cell needs: its rule's own needs, and those of its place, way in and flags. */
export function needsOf(cell: Cell): RequirementName[] {
  // Where no IPC namespace can be made, seeing an object that is shared says nothing: no cell runs.
  const needs = new Set<RequirementName>(['IPC_NS'])
  const byCommand = cell.via.endsWith('(1)')
  const inInitial = cell.rule.kind === 'visibility' && touchesInitial(cell.scene)
  const unprivileged = inInitial && cell.flags.includes('NEWUSER') && !cell.via.startsWith('setns')
  // Joining takes privilege also where the namespace joined is the own one.
  const joins = cell.via.startsWith('setns') || cell.via === 'nsenter(1)'
  const nothingMade = inInitial && cell.flags.length === 0 && !joins
  // The private namespace that everything else starts from is made without NEWUSER.
  if (!unprivileged && !nothingMade) needs.add('CAP_SYS_ADMIN')
  for (const flag of cell.flags) if (!(unprivileged && flag === 'NEWNS')) needs.add(OF_FLAG[flag])
  const way = OF_WAY[cell.via]
  if (way) needs.add(way)
  if (byCommand) needs.add('the runner’s user namespace')
  // Without a new one nsenter(1) joins the IPC namespace that the runner is in.
  if (cell.via === 'nsenter(1)' && !cell.flags.includes('NEWIPC')) needs.add('own namespaces')
  for (const need of cell.rule.needs ?? []) needs.add(need)
  for (const need of cell.rule.variantNeeds?.[cell.variant] ?? []) needs.add(need)
  if (cell.rule.kind === 'visibility' && inInitial) {
    // Objects are made there too, whose identifiers and contents are compared: many cells do so at once.
    if (cell.rule.soughtFromInitial) needs.add('usual room')
    for (const need of cell.rule.initialNeeds ?? []) needs.add(need)
  }
  return [...needs]
}
