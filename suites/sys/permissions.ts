import type { Area } from '../../fixtures/rules.ts'
export function permissionRules(_sys: Area): void {}
