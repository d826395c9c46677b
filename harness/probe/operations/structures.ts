/** Reading and writing the C structures that several operations share (64-bit, little-endian). */

/** struct ipc64_perm (include/uapi/asm-generic/ipcbuf.h). */
export interface Permissions {
  key: number
  uid: number
  gid: number
  cuid: number
  cgid: number
  /** Permission bits, and SHM_DEST and SHM_LOCKED for a segment. */
  mode: number
  seq: number
}

/** Reads the ipc_perm that each of the three System V status structures begins with. */
export function readPermissions(status: Buffer): Permissions {
  return {
    key: status.readInt32LE(0),
    uid: status.readUInt32LE(4),
    gid: status.readUInt32LE(8),
    cuid: status.readUInt32LE(12),
    cgid: status.readUInt32LE(16),
    mode: status.readUInt32LE(20) & 0xffff,
    seq: status.readUInt16LE(24),
  }
}

/** Writes what IPC_SET reads of an ipc_perm. */
export function writePermissions(status: Buffer, set: { uid: number; gid: number; mode: number }): void {
  status.writeUInt32LE(set.uid >>> 0, 4)
  status.writeUInt32LE(set.gid >>> 0, 8)
  status.writeUInt32LE(set.mode, 20)
}

/** An unsigned long as a number; values above 2^53 lose their last digits. */
export function unsigned(memory: Buffer, offset: number): number {
  return Number(memory.readBigUInt64LE(offset))
}

/** A text as C sees it, NUL at its end; one byte a character. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1')
}

/** A struct timespec of so many milliseconds. */
export function timespec(milliseconds: number): Buffer {
  const time = Buffer.alloc(16)
  time.writeBigInt64LE(BigInt(Math.floor(milliseconds / 1000)), 0)
  time.writeBigInt64LE(BigInt(Math.round((milliseconds % 1000) * 1e6)), 8)
  return time
}
