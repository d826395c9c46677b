import { area, conformance } from '../fixtures/rules.ts'
import { attachedRules } from './sha/attached.ts'
import { forcedRules } from './sha/forced.ts'
import { leavingRules } from './sha/leaving.ts'
import { memoryRules } from './sha/memory.ts'

const sha = area('sha', 'Attached shared memory and shm_rmid_forced')
export default sha

attachedRules(sha)
memoryRules(sha)
forcedRules(sha)
leavingRules(sha)

await conformance(sha)
