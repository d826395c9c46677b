/** What a directory of just these queues lists. */
export function listed(names: readonly string[]): string[] {
  return names.map((name) => name.slice(1)).sort()
}
