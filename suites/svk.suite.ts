import { area, conformance } from '../fixtures/rules.ts'
import { addIdentifierRules } from './svk/by-identifier.ts'
import { addKeyRules } from './svk/by-key.ts'
import { addPermissionRules } from './svk/permission.ts'
import { addTableRules } from './svk/tables.ts'

const svk = area('svk', 'System V objects by key, id and stat')
export default svk

addKeyRules(svk)
addIdentifierRules(svk)
addTableRules(svk)
addPermissionRules(svk)

await conformance(svk)
