import { area, conformance } from '../fixtures/rules.ts'
import { addIdentifierRules } from './svk/by-identifier.ts'
import { addIndexRules } from './svk/by-index.ts'
import { addKeyRules } from './svk/by-key.ts'
import { addCountRules } from './svk/counts.ts'
import { addNewNamespaceRules } from './svk/new-namespaces.ts'
import { addPermissionRules } from './svk/permission.ts'

const svk = area('svk', 'System V objects by key, id and stat')
export default svk

addKeyRules(svk)
addIdentifierRules(svk)
addIndexRules(svk)
addCountRules(svk)
addNewNamespaceRules(svk)
addPermissionRules(svk)

await conformance(svk)
