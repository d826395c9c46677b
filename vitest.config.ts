import { defineConfig } from 'vitest/config'
import { everything } from './harness/run/selection.ts'

// `npm test` does not read this file: `ipcns run` gives vitest its settings itself (harness/run/run.ts), so
// that a read-only checkout works. This is for the project's own tests and for looking at a rule in vitest:
// `npx vitest run --project conformance suites/svk.suite.ts`.
export default defineConfig({
  cacheDir: 'node_modules/.vite',
  test: {
    projects: [
      {
        test: {
          name: 'self',
          include: ['{harness,fixtures,suites,reports,ci}/**/*.test.ts'],
          pool: 'forks',
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['suites/*.suite.ts'],
          pool: 'forks',
          isolate: false,
          testTimeout: 0,
          hookTimeout: 120_000,
          provide: { selection: everything('quick') },
        },
      },
    ],
  },
})
