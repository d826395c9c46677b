import type { Area } from '../../fixtures/rules.ts'
export function ipcNamespaceCountRules(_lim: Area): void {}
