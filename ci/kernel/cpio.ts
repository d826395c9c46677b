/** One entry of an archive. */
export interface CpioEntry {
  /** Path without a leading slash. */
  name: string
  /** Mode with the file type, 0o100755. */
  mode: number
  data?: Uint8Array
}

/**
 * An archive in the "new ASCII" format that kernels unpack as their first file system
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Equal entries make equal bytes.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts = [...entries, { name: 'TRAILER!!!', mode: 0 }].flatMap((entry, index) =>
    record(entry, index + 1),
  )
  return Buffer.concat(parts)
}

function record({ name, mode, data = new Uint8Array() }: CpioEntry, inode: number): Uint8Array[] {
  const links = mode === 0 ? 1 : (mode & 0o170000) === 0o040000 ? 2 : 1
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length + 1, 0]
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`
  return [padded(Buffer.from(header, 'latin1')), padded(data)]
}

/** Names and contents each start at a multiple of four bytes. */
function padded(bytes: Uint8Array): Uint8Array {
  const rest = (4 - (bytes.length % 4)) % 4
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(rest)])
}
