import type { KconfigReport } from './check.ts'

/** A file for the kernel's scripts/kconfig/merge_config.sh: the required lines, then the optional ones. */
export function renderFragment({ fragment }: KconfigReport): string {
  const { required, optional } = fragment
  const parts = [
    ...(required.length > 0 ? ['# ipcns: required', ...required] : []),
    ...(optional.length > 0 ? ['# ipcns: optional, so that no rule is skipped', ...optional] : []),
  ]
  return parts.length > 0 ? `${parts.join('\n')}\n` : '# ipcns: nothing to add\n'
}
