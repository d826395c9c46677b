import { area, conformance } from '../fixtures/rules.ts'
import { handleRules } from './nsi/handles.ts'
import { identifierRules } from './nsi/identifiers.ts'
import { ioctlRules } from './nsi/ioctls.ts'
import { listingRules } from './nsi/listing.ts'
import { passiveRules } from './nsi/passive.ts'

const nsi = area('nsi', 'Namespace ioctls, ids, handles, listing')
export default nsi

ioctlRules(nsi)
identifierRules(nsi)
handleRules(nsi)
passiveRules(nsi)
listingRules(nsi)

await conformance(nsi)
