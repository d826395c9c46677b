import { area, conformance } from '../fixtures/rules.ts'

const lim = area('lim', 'Limits, rlimits, ucounts')
export default lim

await conformance(lim)
