import { describe, expect, test } from 'vitest'
import { areas } from '../../suites/all.ts'
import { expand } from './expand.ts'
import { PROFILES } from './profiles.ts'
import { SCENES, touchesInitial } from './scenes.ts'

const rules = areas.flatMap((area) => area.rules)

describe.each(PROFILES)('the %s profile', (profile) => {
  const cells = rules.flatMap((rule) => expand(rule, profile, false))

  test('gives every cell an id of its own', () => {
    expect(new Set(cells.map(({ id }) => id)).size).toBe(cells.length)
  })

  test('runs both arms of every rule and variant', () => {
    const arms = new Map<string, Set<string>>()
    for (const { rule, variant, arm } of cells) {
      const name = `${rule.id}:${variant}`
      arms.set(name, (arms.get(name) ?? new Set()).add(arm))
    }
    expect([...arms].filter(([, seen]) => seen.size < 2).map(([name]) => name)).toEqual([])
    expect(new Set(cells.map(({ rule }) => rule.id)).size).toBe(rules.length)
  })

  // The quick profile shows both arms from a few places only.
  test.skipIf(profile === 'quick')('puts the object in every place, seen from every direction', () => {
    for (const rule of rules) {
      if (rule.kind !== 'visibility' || rule.scenes) continue
      const seen = new Set(
        cells.filter((cell) => cell.rule === rule).map(({ scene }) => `${scene.place}/${scene.direction}`),
      )
      const wanted = SCENES.filter((scene) => !rule.writesSysctls || !touchesInitial(scene))
      if (rule.via) continue
      expect([...seen].sort(), rule.id).toEqual(
        wanted.map(({ place, direction }) => `${place}/${direction}`).sort(),
      )
    }
  })

  test('never writes sysctls of the initial namespace unless the machine is disposable', () => {
    const risky = cells.filter(
      ({ rule, scene }) => rule.kind === 'visibility' && rule.writesSysctls && touchesInitial(scene),
    )
    expect(risky).toEqual([])
  })
})
