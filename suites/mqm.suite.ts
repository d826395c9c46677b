import { area, conformance } from '../fixtures/rules.ts'
import { addFiles } from './mqm/files.ts'
import { addLifetime } from './mqm/lifetime.ts'
import { addRights } from './mqm/rights.ts'
import { addView } from './mqm/view.ts'

const mqm = area('mqm', 'mqueue mounts')
export default mqm

addView(mqm)
addFiles(mqm)
addRights(mqm)
addLifetime(mqm)

await conformance(mqm)
