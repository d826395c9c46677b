/**
 * What a rule may need, as data: a name on the rule, and in one of the tables below requirements/ what it means,
 * how it is found out by trying and what the skip says. Nothing is decided by `uname -r`.
 */
import { FACILITIES } from './requirements/facilities.ts'
import { IPC } from './requirements/ipc.ts'
import { NAMESPACES } from './requirements/namespaces.ts'
import { PRIVILEGES } from './requirements/privileges.ts'
import { PROCESSES } from './requirements/processes.ts'
import type { Requirement } from './requirements/requirement.ts'

const table = { ...NAMESPACES, ...IPC, ...PRIVILEGES, ...PROCESSES, ...FACILITIES }

/** Name of a requirement. */
export type RequirementName = keyof typeof table

/** A requirement by its name, with the kernel configuration that decides it, where one does. */
export interface Need {
  name: string
  kconfig?: string
}

/** The requirement of that name, as lists and predictions have it. */
export function needOf(name: RequirementName): Need {
  const { kconfig } = REQUIREMENTS[name]
  return kconfig === undefined ? { name } : { name, kconfig }
}

/** All requirements by name. */
export const REQUIREMENTS: Readonly<Record<RequirementName, Requirement>> = table
