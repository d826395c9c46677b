import { area, conformance } from '../fixtures/rules.ts'
import { addDescriptors } from './mqn/descriptors.ts'
import { addMessages } from './mqn/messages.ts'
import { addNames } from './mqn/names.ts'
import { addNotification } from './mqn/notification.ts'

const mqn = area('mqn', 'POSIX queues by name, descriptor, notification')
export default mqn

addNames(mqn)
addDescriptors(mqn)
addMessages(mqn)
addNotification(mqn)

await conformance(mqn)
