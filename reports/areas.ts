/** What the areas of the catalogue are called, in its order. */
const TITLES: Readonly<Record<string, string>> = {
  ent: 'identity and entry',
  svk: 'System V keys and ids',
  blk: 'blocked operations',
  und: 'SEM_UNDO',
  sha: 'attached shared memory',
  mqn: 'POSIX queues',
  mqm: 'mqueue mounts',
  lim: 'limits',
  sys: 'sysctls',
  prc: 'procfs views',
  nsi: 'namespace ioctls, handles',
  lif: 'lifetime',
  obs: 'observing destruction',
  not: 'what is not isolated',
  uns: 'user namespaces',
  pid: 'pid translation',
  bug: 'known kernel bugs',
  walk: 'walkthroughs',
}

const ORDER = Object.keys(TITLES)

/** The title of an area; an unknown area is its own title. */
export function areaTitle(area: string): string {
  return (Object.hasOwn(TITLES, area) ? TITLES[area] : undefined) ?? area
}

/** The areas of these cells, each once: the catalogue's order, then unknown ones by name. */
export function areasOf(cells: readonly { area: string }[]): string[] {
  const place = (area: string): number => (ORDER.includes(area) ? ORDER.indexOf(area) : ORDER.length)
  return [...new Set(cells.map((cell) => cell.area))].sort(
    (a, b) => place(a) - place(b) || (a < b ? -1 : Number(a > b)),
  )
}
