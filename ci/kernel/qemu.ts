import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { UsageError } from '../../harness/usage-error.ts'
import { contentKey, fileDigest } from './cache.ts'
import { cpio } from './cpio.ts'
import type { GuestJob } from './init.ts'
import { initScript } from './init.ts'
import type { KernelFile } from './kernel-file.ts'
import type { Machine } from './machine.ts'
import { loadModules } from './modules.ts'
import { requireTools } from './tools.ts'
import { asset } from './top.ts'

/** What a stock kernel must load before it can see this machine's files and answer. */
const MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_console']

/**
 * A stock distribution kernel as a machine that QEMU emulates without hardware help: this machine's files by
 * 9p, read-only, under a file system in the guest's memory.
 */
export async function qemuMachine(
  kernel: Extract<KernelFile, { kind: 'stock' }>,
  job: GuestJob,
  memory: number,
  cache: string,
): Promise<Machine> {
  const tools = requireTools('booting a stock kernel', ['qemu-system-x86_64', 'busybox', 'ip', 'perl'])
  const initramfs = await makeInitramfs(kernel, tools.busybox, cache)
  const init = initScript(job, {
    root: '9p',
    out: '/dev/vport0p1',
    err: '/dev/vport0p2',
    status: '/dev/vport0p3',
    busybox: tools.busybox,
  })
  const command = [
    tools['qemu-system-x86_64'],
    // cx16=off: with it 6.12 panicked in 9 of 75 boots under emulation, without it in none of 60.
    ...[
      '-M',
      'pc',
      '-accel',
      'tcg',
      '-cpu',
      'max,cx16=off',
      '-m',
      String(memory),
      '-nodefaults',
      '-no-user-config',
    ],
    ...['-display', 'none', '-no-reboot', '-kernel', kernel.vmlinuz, '-initrd', initramfs],
    ...['-append', 'console=ttyS0 quiet panic=-1', '-serial', 'file:/sys/log'],
    ...['-device', 'virtio-serial-pci,max_ports=4'],
    ...port(1, '/sys/out'),
    ...port(2, '/sys/err'),
    ...port(3, '/sys/status'),
    ...share('host', '/', 'readonly=on,'),
    ...(job.writable === undefined ? [] : share('writable', job.writable, '')),
  ]
  const writable = job.writable === undefined ? {} : { writable: job.writable }
  return { command, init, memory, channels: 'fifo', ...writable }
}

function port(number: number, path: string): string[] {
  const id = `port${number}`
  return ['-chardev', `file,id=${id},path=${path}`, '-device', `virtserialport,chardev=${id},nr=${number}`]
}

function share(tag: string, path: string, more: string): string[] {
  return ['-virtfs', `local,path=${path},mount_tag=${tag},security_model=none,${more}multidevs=remap`]
}

async function makeInitramfs(
  kernel: Extract<KernelFile, { kind: 'stock' }>,
  busybox: string,
  cache: string,
): Promise<string> {
  if (!kernel.modules)
    throw new UsageError(
      `the modules of kernel ${kernel.release} are not beside ${kernel.vmlinuz} nor in /lib/modules`,
    )
  const script = readFileSync(asset('guest/initramfs.sh'))
  const key = contentKey(
    kernel.modules,
    await fileDigest(kernel.vmlinuz),
    await fileDigest(busybox),
    script.toString(),
  )
  const file = join(cache, 'initramfs', `${key}.gz`)
  if (existsSync(file)) return file
  const modules = await loadModules(kernel.modules, kernel.release, MODULES)
  const order = `${modules.map(({ name }) => `${name}.ko`).join('\n')}\n`
  const archive = cpio([
    { name: 'bin', mode: 0o040755 },
    { name: 'modules', mode: 0o040755 },
    { name: 'init', mode: 0o100755, data: script },
    { name: 'bin/busybox', mode: 0o100755, data: readFileSync(busybox) },
    { name: 'modules/order', mode: 0o100644, data: Buffer.from(order) },
    ...modules.map(({ name, data }) => ({ name: `modules/${name}.ko`, mode: 0o100644, data })),
  ])
  await mkdir(join(cache, 'initramfs'), { recursive: true })
  // Two boots may make it at the same time: each its own file, the last one stays.
  const fresh = `${file}.${process.pid}`
  await writeFile(fresh, gzipSync(archive, { level: 6 }))
  await rename(fresh, file)
  return file
}
