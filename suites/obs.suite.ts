import { area, conformance } from '../fixtures/rules.ts'

const obs = area('obs', 'Destruction seen from outside')
export default obs

await conformance(obs)
