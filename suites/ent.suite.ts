import { area, conformance } from '../fixtures/rules.ts'

const ent = area('ent', 'Identity and entry')
export default ent

await conformance(ent)
