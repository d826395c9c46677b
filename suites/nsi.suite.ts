import { area, conformance } from '../fixtures/rules.ts'

const nsi = area('nsi', 'Namespace ioctls, ids, handles, listing')
export default nsi

await conformance(nsi)
