/** What the running kernel says of itself. */
export interface Running {
  /** uname -r: `6.1.0-37-amd64`. */
  release: string
  /** uname -v, in which Debian puts the true version: `#1 SMP … Debian 6.1.140-1 (2025-05-22)`. */
  version: string
  /** /proc/version_signature, in which Ubuntu does: `Ubuntu 5.15.0-89.99-generic 5.15.126`; else empty. */
  signature: string
}

/**
 * Why the configuration does not look like that of the running kernel, as one sentence; null when it does.
 * Distributions rename releases (Debian's `6.1.0-37-amd64` is 6.1.140), so three places count as a match: the
 * release itself, uname -v, and Ubuntu's signature; and what lies under the release's own name is only
 * doubted when even major and minor differ.
 */
export function releaseWarning(
  header: string | null,
  running: Running,
  path: string,
  kind: 'full' | 'fragment',
): string | null {
  if (header === null)
    return kind === 'fragment'
      ? null
      : `the header names no kernel version, so it may not be that of the running ${running.release}`
  if (startsWithVersion(running.release, header)) return null
  const words = `${running.version} ${running.signature}`.split(/[\s()]+/)
  if (words.some((word) => startsWithVersion(word, header))) return null
  const named = path
    .split('/')
    .some((part) => part === running.release || part === `config-${running.release}`)
  if (named && series(header) === series(running.release)) return null
  return `this is the configuration of ${header}, the running kernel is ${running.release}`
}

/** `6.1.140` begins `6.1.140-1` and `6.1.140`, not `6.1.1401`. */
function startsWithVersion(text: string, version: string): boolean {
  return text === version || (text.startsWith(version) && !/[\d.]/.test(text.charAt(version.length)))
}

function series(version: string): string {
  return version.split(/[.-]/).slice(0, 2).join('.')
}

/** Whether kernel version `a` is older than `b`, by the numbers before the first other character. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [numbers(a), numbers(b)]
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

function numbers(version: string): number[] {
  return (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number)
}
