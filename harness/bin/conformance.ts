import { areas } from '../../suites/all.ts'
import { testCells } from '../run/conformance.ts'

/** Makes the tests of one area in the test file that calls it; for the bundled suites. */
export async function conform(name: string): Promise<void> {
  const area = areas.find((candidate) => candidate.name === name)
  if (!area) throw new Error(`no area is called ${name}`)
  await testCells(area)
}
