import { area, conformance } from '../fixtures/rules.ts'
import { memberRules } from './lif/members.ts'
import { ownerRules } from './lif/owners.ts'
import { pinRules } from './lif/pins.ts'
import { hiddenPinRules, noPinRules } from './lif/unlisted.ts'

const lif = area('lif', 'Lifetime')
export default lif

memberRules(lif)
pinRules(lif)
hiddenPinRules(lif)
noPinRules(lif)
ownerRules(lif)

await conformance(lif)
