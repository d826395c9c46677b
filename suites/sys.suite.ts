import { area, conformance } from '../fixtures/rules.ts'
import { bindingRules } from './sys/binding.ts'
import { nextIdRules } from './sys/next-id.ts'
import { ownershipRules } from './sys/ownership.ts'
import { permissionRules } from './sys/permissions.ts'
import { rangeRules } from './sys/ranges.ts'
import { valueRules } from './sys/values.ts'

const sys = area('sys', 'Sysctls')
export default sys

valueRules(sys)
rangeRules(sys)
bindingRules(sys)
permissionRules(sys)
nextIdRules(sys)
ownershipRules(sys)

await conformance(sys)
