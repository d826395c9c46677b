import type { Machine, Ran } from './machine.ts'

/** What the running kernel does about one symbol, whatever its configuration says. */
export interface Observation {
  /** Without `CONFIG_`. */
  symbol: string
  /** Null when it cannot be told. */
  works: boolean | null
  /** What was seen, one clause. */
  evidence: string
}

/** Namespace symbols, their file in /proc/self/ns and the option of unshare(1). */
const NAMESPACES: readonly [symbol: string, file: string, option: string][] = [
  ['IPC_NS', 'ipc', '--ipc'],
  ['USER_NS', 'user', '--user'],
  ['PID_NS', 'pid', '--pid'],
  ['UTS_NS', 'uts', '--uts'],
  ['NET_NS', 'net', '--net'],
  ['CGROUPS', 'cgroup', '--cgroup'],
]

/**
 * Asks the running kernel, without root where it lets us: system calls by way of unshare(1) and ipcmk(1) in
 * a namespace of their own, and files that exist only with the symbol. A refusal (EPERM, ENOSPC) is policy
 * and tells nothing about the configuration; ENOSYS and EINVAL do.
 */
export async function observe(machine: Machine): Promise<Observation[]> {
  const proc = procView(machine)
  const namespaces = await Promise.all(
    NAMESPACES.map(async ([symbol, file, option]) => namespace(symbol, file, option, machine, proc)),
  )
  const seen: Observation[] = [
    { symbol: 'PROC_FS', works: proc.works, evidence: proc.evidence },
    anyNamespace(namespaces),
    ...namespaces,
    await sysvipc(machine, proc, namespaces.find(({ symbol }) => symbol === 'IPC_NS')?.works === true),
    mqueue(machine),
    proc.file('SYSVIPC_SYSCTL', '/proc/sys/kernel/msgmax'),
    proc.file('POSIX_MQUEUE_SYSCTL', '/proc/sys/fs/mqueue/msg_max'),
    proc.file('PROC_SYSCTL', '/proc/sys/kernel/ostype'),
    onlyPositive(proc.file('SYSCTL', '/proc/sys/kernel/ostype')),
    checkpointRestore(machine, proc),
    proc.file('NET', '/proc/self/net/dev'),
    proc.file('UNIX', '/proc/self/net/unix'),
    memcg(machine),
    madvise(machine),
  ]
  for (const symbol of ['FUTEX', 'EPOLL', 'EVENTFD', 'BINFMT_ELF'])
    seen.push({ symbol, works: true, evidence: 'Node.js runs' })
  return seen
}

interface ProcView {
  works: boolean | null
  evidence: string
  /** Judges a symbol by a file of /proc. */
  file(symbol: string, path: string): Observation
}

/** With `subset=pid`, or without /proc mounted, a missing file says nothing. */
function procView(machine: Machine): ProcView {
  const mounted = machine.exists('/proc/self/status') === true
  const registered = machine.read('/proc/filesystems')
  const subset =
    machine.read('/proc/self/mountinfo')?.split('\n').some(hidesFiles) === true && registered === null
  const evidence = !mounted
    ? '/proc is not mounted'
    : subset
      ? '/proc is mounted with subset=pid'
      : '/proc/self/status exists'
  return {
    works: mounted ? true : null,
    evidence,
    file(symbol, path) {
      const works = machine.exists(path)
      if (works === true) return { symbol, works, evidence: `${path} exists` }
      if (!mounted || (subset && !path.startsWith('/proc/self/'))) return { symbol, works: null, evidence }
      return {
        symbol,
        works,
        evidence: works === null ? `${path} may not be looked at` : `${path} does not exist`,
      }
    },
  }
}

function hidesFiles(mount: string): boolean {
  const [, , , , point] = mount.split(' ')
  return point === '/proc' && / - proc .*\bsubset=pid\b/.test(mount)
}

async function namespace(
  symbol: string,
  file: string,
  option: string,
  machine: Machine,
  proc: ProcView,
): Promise<Observation> {
  const call = `unshare ${option}`
  let ran = await machine.run('unshare', [option, 'true'])
  // Without privilege a user namespace in the same call gives it.
  if (isRefused(ran) && option !== '--user')
    ran = await machine.run('unshare', ['--user', '--map-root-user', option, 'true'])
  if (ran.status === 0) return { symbol, works: true, evidence: `${call} succeeds` }
  if (ran.stderr.includes('Invalid argument')) return { symbol, works: false, evidence: `${call}: EINVAL` }
  if (ran.stderr.includes('not implemented')) return { symbol, works: false, evidence: `${call}: ENOSYS` }
  // The cgroup namespace is newer than CGROUPS, so its file is no proof of absence.
  const byFile = proc.file(symbol, `/proc/self/ns/${file}`)
  return symbol === 'CGROUPS' ? onlyPositive(byFile) : byFile
}

function isRefused(ran: Ran): boolean {
  return ran.stderr.includes('not permitted') || ran.stderr.includes('Permission denied')
}

function anyNamespace(namespaces: readonly Observation[]): Observation {
  const one = namespaces.find(({ symbol, works }) => works && symbol !== 'CGROUPS')
  return {
    symbol: 'NAMESPACES',
    works: one ? true : null,
    evidence: one?.evidence ?? 'no namespace was seen',
  }
}

/**
 * Makes a queue and removes it by its own id: the namespace around it should do that, but whether namespaces
 * isolate here is what is not yet known.
 */
// biome-ignore lint/suspicious/noTemplateCurlyInString: the braces are for sh
const QUEUE = ['sh', '-c', 'made=$(ipcmk --queue) && ipcrm --queue-id "${made##* }"'] as const

/** The call itself decides; it is made in a private namespace only. */
async function sysvipc(machine: Machine, proc: ProcView, isPrivate: boolean): Promise<Observation> {
  const symbol = 'SYSVIPC'
  if (isPrivate) {
    let ran = await machine.run('unshare', ['--ipc', ...QUEUE])
    if (isRefused(ran)) ran = await machine.run('unshare', ['--user', '--map-root-user', '--ipc', ...QUEUE])
    if (ran.status === 0) return { symbol, works: true, evidence: 'msgget by ipcmk succeeds' }
    if (ran.stderr.includes('not implemented'))
      return { symbol, works: false, evidence: 'msgget by ipcmk: ENOSYS' }
  }
  return proc.file(symbol, '/proc/sysvipc/msg')
}

/** The file system is registered when the kernel starts, never by a module. */
function mqueue(machine: Machine): Observation {
  const symbol = 'POSIX_MQUEUE'
  const known = machine.read('/proc/filesystems')
  if (known === null) return { symbol, works: null, evidence: '/proc/filesystems cannot be read' }
  const works = /\bmqueue$/m.test(known)
  return { symbol, works, evidence: `/proc/filesystems ${works ? 'lists' : 'does not list'} mqueue` }
}

/** `msg_next_id` stands beside msgmax only with it; without System V sysctls `ns_last_pid` can still prove it. */
function checkpointRestore(machine: Machine, proc: ProcView): Observation {
  const symbol = 'CHECKPOINT_RESTORE'
  if (machine.exists('/proc/sys/kernel/msgmax') === true)
    return proc.file(symbol, '/proc/sys/kernel/msg_next_id')
  return onlyPositive(proc.file(symbol, '/proc/sys/kernel/ns_last_pid'))
}

/** cgroup_disable=memory is no matter of the configuration, so absence proves nothing. */
function memcg(machine: Machine): Observation {
  const symbol = 'MEMCG'
  if (/^memory\t/m.test(machine.read('/proc/cgroups') ?? ''))
    return { symbol, works: true, evidence: '/proc/cgroups lists memory' }
  if (/\bmemory\b/.test(machine.read('/sys/fs/cgroup/cgroup.controllers') ?? ''))
    return { symbol, works: true, evidence: 'cgroup.controllers lists memory' }
  return { symbol, works: null, evidence: 'no memory controller was seen' }
}

/** V8 marks its heap MADV_DONTFORK, which smaps shows as `dc`; device memory (`io`) has that by itself. */
function madvise(machine: Machine): Observation {
  const flags = machine.read('/proc/self/smaps')?.match(/^VmFlags:.*$/gm) ?? []
  const marked = flags.some((line) => /\bdc\b/.test(line) && !/\bio\b/.test(line))
  return {
    symbol: 'ADVISE_SYSCALLS',
    works: marked ? true : null,
    evidence: marked ? 'madvise by Node.js has marked memory' : 'no memory marked by madvise was seen',
  }
}

function onlyPositive(observation: Observation): Observation {
  return observation.works === false ? { ...observation, works: null } : observation
}
