import { area, conformance } from '../fixtures/rules.ts'
import { linkRules } from './prc/links.ts'
import { openedTableRules } from './prc/opened.ts'
import { tableRules } from './prc/tables.ts'
import { translationRules } from './prc/translation.ts'

const prc = area('prc', 'procfs views')
export default prc

tableRules(prc)
openedTableRules(prc)
translationRules(prc)
linkRules(prc)

await conformance(prc)
