import { area, conformance } from '../fixtures/rules.ts'
import { addDescriptorRules } from './not/descriptors.ts'
import { addProcessRules } from './not/processes.ts'

const not = area('not', 'What an IPC namespace does not isolate')
export default not

addDescriptorRules(not)
addProcessRules(not)

await conformance(not)
