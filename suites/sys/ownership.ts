import type { Area } from '../../fixtures/rules.ts'
export function ownershipRules(_sys: Area): void {}
