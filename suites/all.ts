/** Every area of the catalogue, in its order. */
import type { Area } from '../harness/rules/rule.ts'
import svk from './svk.suite.ts'

export const areas: readonly Area[] = [svk]
