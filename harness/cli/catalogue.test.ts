import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { areas } from '../../suites/all.ts'
import { projectTop } from '../ways/program.ts'
import { renderCatalogue } from './catalogue.ts'
import { listing } from './listing.ts'

const all = listing(areas)

/** Rows of the catalogue, by area; the walkthroughs come besides. */
const ROWS: Readonly<Record<string, number>> = {
  ENT: 33,
  SVK: 23,
  BLK: 5,
  UND: 9,
  SHA: 20,
  MQN: 19,
  MQM: 13,
  LIM: 20,
  SYS: 22,
  PRC: 14,
  NSI: 17,
  LIF: 21,
  OBS: 10,
  NOT: 13,
  UNS: 11,
  PID: 8,
}

describe('the catalogue', () => {
  test('is checked in as the rules are; run "npm run catalogue" after a change', () => {
    const titles = new Map(areas.map(({ name, title }) => [name, title]))
    expect(readFileSync(join(projectTop(), 'docs/RULES.md'), 'utf8')).toBe(renderCatalogue(all, titles))
  })

  test('has every row, as a rule or with the reason why not', () => {
    const ids = new Set([...all.rules, ...all.unruled].map(({ id }) => id))
    const wanted = Object.entries(ROWS).flatMap(([area, rows]) =>
      Array.from({ length: rows }, (_, row) => `${area}-${String(row + 1).padStart(2, '0')}`),
    )
    expect(wanted.filter((id) => !ids.has(id))).toEqual([])
    expect(wanted).toHaveLength(258)
  })

  test('names a source, a file and a line for every rule', () => {
    for (const rule of areas.flatMap((area) => area.rules)) {
      expect(rule.source.length, rule.id).toBeGreaterThan(0)
      expect(rule.file, rule.id).toMatch(/^suites\/.+\.ts$/)
      expect(rule.line, rule.id).toBeGreaterThan(0)
    }
  })
})
