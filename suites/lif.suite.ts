import { area, conformance } from '../fixtures/rules.ts'

const lif = area('lif', 'Lifetime')
export default lif

await conformance(lif)
