import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'
import { projectTop } from './ways/program.ts'

/** What each room may import from, besides itself; harness/bin and tests may import from anywhere. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  suites: ['fixtures', 'harness'],
  fixtures: ['harness'],
  harness: [],
  'harness/probe': [],
  'harness/results': [],
  'harness/link': ['harness/probe', 'harness/results'],
  'harness/ways': ['harness/link', 'harness/probe'],
  'harness/rules': [
    'harness/ways',
    'harness/link',
    'harness/probe',
    'harness/results',
    'harness/usage-error.ts',
  ],
  'harness/run': [
    'harness/rules',
    'harness/ways',
    'harness/link',
    'harness/probe',
    'harness/results',
    'harness/usage-error.ts',
  ],
  reports: [
    'harness/results',
    'harness/cli/command.ts',
    'harness/cli/options.ts',
    'harness/usage-error.ts',
    'harness/ways/program.ts',
  ],
  ci: ['harness', 'reports', 'package.json'],
}

function sources(room: string): string[] {
  return readdirSync(join(projectTop(), room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(room, name))
    .filter((name) => !name.startsWith('harness/bin/'))
}

test.each(Object.entries(MAY_IMPORT))('%s imports only from the rooms below it', (room, allowed) => {
  const wrong = sources(room).flatMap((file) => {
    const text = readFileSync(join(projectTop(), file), 'utf8')
    return [...text.matchAll(/from '(\.[^']+)'|import\('(\.[^']+)'\)/g)]
      .map((found) => normalize(join(dirname(file), found[1] ?? found[2] ?? '')))
      .filter((target) => !target.startsWith(`${room}/`))
      .filter((target) => !allowed.some((place) => target === place || target.startsWith(`${place}/`)))
      .map((target) => `${file} imports ${target}`)
  })
  expect(wrong).toEqual([])
})
