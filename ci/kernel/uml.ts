import type { GuestJob } from './init.ts'
import { initScript } from './init.ts'
import type { Machine } from './machine.ts'
import { requireTools } from './tools.ts'

/** A user-mode Linux program as a machine, all on one processor: this machine's own files, read-only, are its root. */
export function umlMachine(program: string, job: GuestJob, memory: number, processor: number): Machine {
  const tools = requireTools('booting user-mode Linux', ['busybox', 'ip', 'stty', 'perl', 'taskset'])
  const init = initScript(job, {
    root: 'hostfs',
    out: '/dev/tty1',
    err: '/dev/tty2',
    status: '/dev/tty3',
    busybox: tools.busybox,
  })
  const command = [
    ...[tools.taskset, '--cpu-list', String(processor)],
    ...[program, 'rootfstype=hostfs', 'rootflags=/', 'ro', `mem=${memory}M`, 'init=/sys/init'],
    // Console 0 says what the kernel says; 1 to 3 carry the command. Descriptors are the enclosure's.
    ...['con=null', 'ssl=null', 'con0=null,fd:4', 'con1=null,fd:5', 'con2=null,fd:6', 'con3=null,fd:3'],
    // A panic ends the program instead of starting it again.
    ...['quiet', 'panic=-1', 'noreboot', 'umid=guest', 'uml_dir=/sys/umid/'],
  ]
  return { command, init, memory, channels: 'descriptors', ...writable(job) }
}

function writable(job: GuestJob): { writable?: string } {
  return job.writable === undefined ? {} : { writable: job.writable }
}
