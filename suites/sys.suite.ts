import { area, conformance } from '../fixtures/rules.ts'
import { absenceRules } from './sys/absence.ts'
import { bindingRules } from './sys/binding.ts'
import { nextIdRules } from './sys/next-id.ts'
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
absenceRules(sys)

await conformance(sys)
