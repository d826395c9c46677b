import { area, conformance } from '../fixtures/rules.ts'
import { addActors } from './pid/actors.ts'
import { addFields } from './pid/fields.ts'

const pid = area('pid', 'Pid translation')
export default pid

addFields(pid)
addActors(pid)

await conformance(pid)
