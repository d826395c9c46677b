import { area, conformance } from '../fixtures/rules.ts'

const pid = area('pid', 'Pid translation')
export default pid

await conformance(pid)
