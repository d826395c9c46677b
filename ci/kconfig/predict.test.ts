import { expect, test } from 'vitest'
import { predict, type RuleNeeds } from './predict.ts'
import { configOf } from './samples.ts'
import { NO_CONFIG } from './state.ts'

const sysv: RuleNeeds = {
  id: 'SVK-01',
  title: 'a key names a queue inside its namespace only',
  needs: [
    { name: 'IPC_NS', kconfig: 'CONFIG_IPC_NS' },
    { name: 'SYSVIPC', kconfig: 'CONFIG_SYSVIPC' },
    { name: 'CAP_SYS_ADMIN' },
  ],
}
const either: RuleNeeds = {
  id: 'ENT-01',
  title: 'clone makes a namespace',
  needs: [{ name: 'some IPC', kconfig: 'CONFIG_SYSVIPC | CONFIG_POSIX_MQUEUE' }],
}
const free: RuleNeeds = { id: 'NOT-13', title: 'needs nothing', needs: [] }

test('what a full configuration has runs; what it lacks is skipped with its name and the reason', () => {
  const config = configOf(['CONFIG_IPC_NS=y', '# CONFIG_SYSVIPC is not set', 'CONFIG_POSIX_MQUEUE=y'])
  expect(predict([sysv, either, free], config)).toEqual([
    {
      id: 'SVK-01',
      title: sysv.title,
      outcome: 'skip',
      unmet: ['SYSVIPC'],
      undecided: ['CAP_SYS_ADMIN'],
      reason: 'needs SYSVIPC: CONFIG_SYSVIPC is not set',
    },
    { id: 'ENT-01', title: either.title, outcome: 'run', unmet: [], undecided: [], reason: '' },
    { id: 'NOT-13', title: free.title, outcome: 'run', unmet: [], undecided: [], reason: '' },
  ])
})

test('absent in a full configuration is skipped, with the states an expression rests on', () => {
  expect(
    predict([sysv, either], configOf(['CONFIG_IPC_NS=y'])).map(({ outcome, reason }) => [outcome, reason]),
  ).toEqual([
    ['skip', 'needs SYSVIPC: CONFIG_SYSVIPC is absent'],
    [
      'skip',
      'needs some IPC: CONFIG_SYSVIPC | CONFIG_POSIX_MQUEUE (CONFIG_SYSVIPC is absent, CONFIG_POSIX_MQUEUE is absent)',
    ],
  ])
})

test('a fragment leaves open what it does not say, but one "no" is enough to skip', () => {
  expect(predict([sysv], configOf(['CONFIG_IPC_NS=y'], 'fragment'))[0]).toMatchObject({
    outcome: 'unknown',
    unmet: ['SYSVIPC'],
  })
  expect(predict([sysv], configOf(['CONFIG_IPC_NS=n'], 'fragment'))[0]).toMatchObject({
    outcome: 'skip',
    unmet: ['IPC_NS'],
  })
})

test('without a configuration only what needs nothing is certain', () => {
  expect(predict([sysv, free], NO_CONFIG).map(({ outcome }) => outcome)).toEqual(['unknown', 'run'])
})

test('a malformed requirement is named', () => {
  expect(() => predict([{ ...free, needs: [{ name: 'X', kconfig: 'A &' }] }], NO_CONFIG)).toThrow('"A &"')
})

test('a rule runs as soon as one kind of its cells can, and else says what the nearest lacks', () => {
  const need = (...names: string[]) => names.map((name) => ({ name, kconfig: `CONFIG_${name}` }))
  const rule: RuleNeeds = {
    ...free,
    needs: need('SYSVIPC'),
    cells: [need('IPC_NS', 'PID_NS'), need('IPC_NS'), []],
  }
  const ipc = { ...rule, cells: rule.cells?.slice(0, 2) ?? [] }
  const config = configOf(['CONFIG_SYSVIPC=y', '# CONFIG_IPC_NS is not set'])
  expect(predict([rule], config)[0]).toMatchObject({ outcome: 'run', reason: '' })
  expect(predict([ipc], config)[0]).toMatchObject({ outcome: 'skip', unmet: ['IPC_NS'] })
  expect(predict([rule], configOf(['CONFIG_IPC_NS=y']))[0]).toMatchObject({
    outcome: 'skip',
    unmet: ['SYSVIPC'],
  })
  expect(predict([{ ...rule, cells: [] }], config)[0]).toMatchObject({
    outcome: 'skip',
    reason: 'no cell of it is in this run',
  })
})
