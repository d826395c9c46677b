import {
  type CellResult,
  RESULTS_SCHEMA,
  type Results,
  type RunInfo,
  summarize,
} from '../harness/results/model.ts'

/** Made-up results for the tests of the reports; nothing of it was measured. */

/** A passing cell with these members put over it. */
export function sampleCell(over: Partial<CellResult> = {}): CellResult {
  const rule = over.rule ?? 'SVK-01'
  const flags = over.flags ?? ['NEWIPC']
  const via = over.via ?? 'clone'
  const direction = over.direction ?? 'parent-to-child'
  const place = over.place ?? 'stranger'
  return {
    id: `${rule}/${place}/${direction}/${via}/${flags.join('+') || 'none'}`,
    rule,
    area: rule.split('-')[0]?.toLowerCase() ?? 'svk',
    title: 'a key names a message queue only inside the IPC namespace that made it',
    source: ['ipc_namespaces(7)', 'ipc/util.c: ipcget_public'],
    arm: flags.includes('NEWIPC') ? 'treatment' : 'control',
    place,
    direction,
    via,
    flags,
    verdict: 'pass',
    expected: flags.includes('NEWIPC') ? 'found fails with ENOENT' : 'found is the id of the queue',
    ms: 1.25,
    file: 'suites/svk.ts',
    line: 14,
    ...over,
  }
}

/** A cell that failed, with its proof. */
export function sampleFailure(over: Partial<CellResult> = {}): CellResult {
  return sampleCell({
    verdict: 'fail',
    reason: 'expected found to fail with ENOENT, got 32769',
    expected: 'found fails with ENOENT',
    observed: 'found = 32769',
    evidence: [
      { who: 'actor', call: 'clone', args: 'CLONE_NEWIPC', result: '4711' },
      { who: 'actor', call: 'msgget', args: '0x1234abcd, IPC_CREAT|IPC_EXCL|0600', result: '32769' },
      { who: 'observer', call: 'msgget', args: '0x1234abcd, 0', result: '32769' },
      { who: 'actor', call: 'msgctl', args: '32769, IPC_STAT', result: '{ qnum: 0 }' },
    ],
    byHand: ['ipcmk --queue', 'unshare --ipc ipcs -q   # the queue must not be listed'],
    ...over,
  })
}

export function sampleRun(over: Partial<RunInfo> = {}): RunInfo {
  return {
    started: '2026-01-02T03:04:05.678Z',
    durationMs: 4321,
    profile: 'default',
    suiteVersion: '1.0.0',
    node: '20.20.2',
    kernel: {
      release: '6.18.44-test',
      arch: 'x86_64',
      config: { source: '/proc/config.gz', sha256: 'ab'.repeat(32) },
    },
    uid: 0,
    capabilities: ['CAP_SYS_ADMIN', 'CAP_IPC_OWNER', 'CAP_SYS_RESOURCE'],
    host: '',
    ...over,
  }
}

export function sampleResults(cells: CellResult[], run: Partial<RunInfo> = {}): Results {
  return { schema: RESULTS_SCHEMA, run: sampleRun(run), summary: summarize(cells), cells }
}

const AREAS = ['ent', 'svk', 'blk', 'und', 'sha', 'mqn', 'mqm', 'lim', 'sys', 'prc', 'lif', 'not', 'uns']
const VIAS = ['clone', 'clone3', 'unshare', 'setns-nsfd', 'setns-pidfd', 'unshare(1)', 'nsenter(1)']
const OTHERS = [[], ['NEWNS'], ['NEWPID'], ['NEWNS', 'NEWPID'], ['NEWUTS'], ['NEWUSER']]

/**
 * About `size` cells over all areas, ways in and flag sets, in plan order. With `broken` two rules fail, one
 * has errors and one a known deviation; some cells are always skipped.
 */
export function sampleSweep(size: number, broken = false, run: Partial<RunInfo> = {}): Results {
  const cells: CellResult[] = []
  const perRule = VIAS.length * OTHERS.length * 2
  const rules = Math.ceil(size / perRule)
  for (let number = 0; number < rules; number += 1) {
    const area = AREAS[number % AREAS.length] ?? 'ent'
    const rule = `${area.toUpperCase()}-${String(1 + Math.floor(number / AREAS.length)).padStart(2, '0')}`
    const title = `statement ${number} about ${area}: what is made in one namespace is not seen in the other`
    for (const via of VIAS) {
      for (const others of OTHERS) {
        for (const flags of [['NEWIPC', ...others], others]) {
          if (cells.length >= size) break
          cells.push(sweepCell({ rule, title, via, flags, file: `suites/${area}.ts` }, broken))
        }
      }
    }
  }
  return sampleResults(cells, run)
}

function sweepCell(over: Partial<CellResult>, broken: boolean): CellResult {
  const { rule, via, flags = [] } = over
  if (broken && rule === 'SVK-01' && flags.includes('NEWIPC') && via !== 'unshare(1)')
    return sampleFailure(over)
  if (broken && rule === 'LIF-01' && flags.includes('NEWPID'))
    return sampleFailure({
      ...over,
      expected: 'the namespace is destroyed within 2 s',
      observed: 'still alive after 2000 ms',
      reason: 'still alive after 2000 ms',
    })
  if (broken && rule === 'MQM-01' && via === 'clone3')
    return sampleCell({ ...over, verdict: 'error', reason: 'the probe died in mount()' })
  if (broken && rule === 'PRC-01' && via === 'clone')
    return sampleCell({
      ...over,
      verdict: 'skip',
      reason: 'known deviation: the tracker has it',
      known: { reference: 'BUG-29', expires: '2027-01-01', reason: 'the tracker has it' },
    })
  if (rule === 'UNS-01' && flags.includes('NEWUSER'))
    return sampleCell({ ...over, verdict: 'skip', reason: 'user namespaces are disabled here' })
  if (rule === 'SYS-01' && via === 'nsenter(1)')
    return sampleCell({ ...over, verdict: 'skip', reason: 'nsenter(1) is not installed' })
  const first = via === 'clone' && flags.length <= 1
  return sampleCell({ ...over, ...(first ? { evidence: sampleFailure().evidence ?? [] } : {}) })
}
