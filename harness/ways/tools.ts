import { execa } from 'execa'
import { HarnessError } from '../link/failure.ts'
import { type Member, makeMember } from '../link/member.ts'
import { Process } from '../link/process.ts'
import { type Flag, NS_FILE } from '../probe/constants.ts'
import { LAST_WORDS_MS, probeEnvironment, probeProgram } from './program.ts'

/** Options of unshare(1) and nsenter(1) for each flag. */
function option(tool: 'unshare(1)' | 'nsenter(1)', flag: Flag): string[] {
  const long = { ...NS_FILE, NEWNS: 'mount' }[flag]
  if (tool === 'nsenter(1)') return [`--${long}`]
  if (flag === 'NEWPID') return ['--pid', '--fork', '--kill-child']
  if (flag === 'NEWUSER') return ['--user', '--map-root-user']
  return [`--${long}`]
}

/**
 * Starts a probe through unshare(1) or nsenter(1) from the harness's own namespaces. With nsenter,
 * `target` is the pid of a process that has the namespaces; without any flag it joins the target's IPC
 * namespace, so that the command does the same work in both arms.
 */
export async function startWithTool(
  creator: Member,
  name: string,
  tool: 'unshare(1)' | 'nsenter(1)',
  flags: readonly Flag[],
  target?: string,
): Promise<Member> {
  const { hub } = creator.process
  const link = hub.expect()
  const asked: readonly Flag[] = tool === 'nsenter(1)' && flags.length === 0 ? ['NEWIPC'] : flags
  const words = [
    ...(target === undefined ? [] : ['--target', target]),
    ...asked.flatMap((flag) => option(tool, flag)),
    '--',
    ...probeProgram(hub.socketPath, link.token),
  ]
  const command = tool === 'unshare(1)' ? 'unshare' : 'nsenter'
  const started = execa(command, words, {
    reject: false,
    env: probeEnvironment(),
    extendEnv: false,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    cleanup: true,
  })
  let complaint = ''
  const over = started.then(({ exitCode, signal, stderr, code }) => {
    complaint =
      code === 'ENOENT' ? 'not installed' : `ended with ${exitCode ?? signal}: ${stderr.slice(0, 300)}`
    link.end('died')
  })
  const ipc = flags.includes('NEWIPC') ? { name: `of ${name}` } : creator.process.ipc
  const process = new Process(hub, link, 0, undefined, ipc)
  process.onEnd = () => {
    started.kill('SIGKILL')
  }
  const member = makeMember(name, process, creator.record)
  try {
    await member.ping()
  } catch {
    // What hangs never says why: it has a moment to end by itself.
    const hangs = setTimeout(process.onEnd, LAST_WORDS_MS)
    await over
    clearTimeout(hangs)
    throw new HarnessError(`set-up failed: ${command} ${words.slice(0, 6).join(' ')} … ${complaint}`)
  }
  return member
}
