import { area, conformance } from '../fixtures/rules.ts'

const uns = area('uns', 'User namespaces')
export default uns

await conformance(uns)
