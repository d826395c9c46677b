import { area, conformance } from '../fixtures/rules.ts'

const not = area('not', 'What an IPC namespace does not isolate')
export default not

await conformance(not)
