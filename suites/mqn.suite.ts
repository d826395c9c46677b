import { area, conformance } from '../fixtures/rules.ts'

const mqn = area('mqn', 'POSIX queues by name, descriptor, notification')
export default mqn

await conformance(mqn)
