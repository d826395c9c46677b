import { area, conformance } from '../fixtures/rules.ts'

const mqm = area('mqm', 'mqueue mounts')
export default mqm

await conformance(mqm)
