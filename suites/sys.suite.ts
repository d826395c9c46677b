import { area, conformance } from '../fixtures/rules.ts'

const sys = area('sys', 'Sysctls')
export default sys

await conformance(sys)
