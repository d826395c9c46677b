import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's top level: this module runs from its own file under test and from dist/ when bundled. */
export const top = ((): string => {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(directory, 'package.json')) && directory !== '/') directory = dirname(directory)
  return directory
})()

/** The path of a file of this command that is data and not bundled: configurations and guest scripts. */
export function asset(name: string): string {
  return join(top, 'ci/kernel', name)
}
