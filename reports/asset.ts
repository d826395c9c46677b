import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The text of a file below reports/, `html/page.eta`. The code runs both from reports/ (tests) and from
 * dist/ (the bundled command), so the room is looked for upwards from wherever this stands.
 */
export function asset(name: string): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const path = join(directory, 'reports', name)
    if (existsSync(path)) return readFileSync(path, 'utf8')
    if (dirname(directory) === directory) throw new Error(`reports/${name} is missing from the installation`)
  }
}
