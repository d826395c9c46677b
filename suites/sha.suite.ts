import { area, conformance } from '../fixtures/rules.ts'

const sha = area('sha', 'Attached shared memory and shm_rmid_forced')
export default sha

await conformance(sha)
