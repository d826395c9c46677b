import { area, conformance } from '../fixtures/rules.ts'

const prc = area('prc', 'procfs views')
export default prc

await conformance(prc)
