import { area, conformance } from '../fixtures/rules.ts'

const und = area('und', 'SEM_UNDO')
export default und

await conformance(und)
