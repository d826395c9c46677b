import { area, conformance } from '../fixtures/rules.ts'
import { creationRules } from './ent/creation.ts'
import { joiningRules } from './ent/joining.ts'
import { ownershipRules } from './ent/ownership.ts'
import { privilegeRules } from './ent/privilege.ts'
import { threadRules } from './ent/threads.ts'

const ent = area('ent', 'Identity and entry')
export default ent

creationRules(ent)
privilegeRules(ent)
threadRules(ent)
joiningRules(ent)
ownershipRules(ent)

await conformance(ent)
