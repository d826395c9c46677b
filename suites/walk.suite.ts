import { area, conformance } from '../fixtures/rules.ts'

const walk = area('walk', 'Walkthroughs')
export default walk

await conformance(walk)
