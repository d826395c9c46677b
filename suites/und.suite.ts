import { area, conformance } from '../fixtures/rules.ts'
import { addLeavingRules } from './und/leaving.ts'
import { addListRules } from './und/lists.ts'

const und = area('und', 'Undoing semaphore operations')
export default und

addLeavingRules(und)
addListRules(und)

await conformance(und)
