import { area, conformance } from '../fixtures/rules.ts'
import { addOwnership } from './uns/ownership.ts'
import { addPermissions } from './uns/permissions.ts'

const uns = area('uns', 'User namespaces')
export default uns

addOwnership(uns)
addPermissions(uns)

uns.noRule('UNS-07', {
  says: 'who may write the IPC sysctls follows from the user namespaces of writer and IPC namespace',
  reason: 'covered by SYS-13 to SYS-21',
})
uns.noRule('UNS-08', {
  says: 'mounting the queue file system takes a right over the user namespace that owns the IPC namespace',
  reason: 'covered by MQM-08 and MQM-09',
})
uns.noRule('UNS-09', {
  says: 'joining an IPC namespace takes rights in its owner and in the caller’s own user namespace',
  reason: 'covered by ENT-20 and ENT-27 to ENT-29',
})

await conformance(uns)
