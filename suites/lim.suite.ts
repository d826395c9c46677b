import { area, conformance } from '../fixtures/rules.ts'
import { callLimitRules } from './lim/calls.ts'
import { ipcNamespaceCountRules } from './lim/namespaces.ts'
import { queueByteRules } from './lim/queue-bytes.ts'
import { queueLimitRules } from './lim/queues.ts'
import { totalLimitRules } from './lim/totals.ts'

const lim = area('lim', 'Limits, rlimits, ucounts')
export default lim

callLimitRules(lim)
totalLimitRules(lim)
queueLimitRules(lim)
queueByteRules(lim)
ipcNamespaceCountRules(lim)

await conformance(lim)
