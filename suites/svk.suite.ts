import { area, conformance } from '../fixtures/rules.ts'
import { addKeyRules } from './svk/keys.ts'

const svk = area('svk', 'System V objects by key, id and stat')
export default svk

addKeyRules(svk)

await conformance(svk)
