#!/usr/bin/env node
// The installed command. Plain JavaScript on purpose: it must give a clear sentence on a Node too old to
// read anything newer, and it makes the bundle again when a source has changed since.
const major = Number(process.versions.node.split('.')[0])
if (major < 20) {
  process.stderr.write(`ipcns: Node ${process.versions.node} is too old; it needs Node 20 or newer\n`)
  process.exit(2)
}
const { build, bundles, exist, isStale } = await import('../build.mjs')
try {
  if (isStale()) await build()
} catch (problem) {
  const why = problem instanceof Error ? problem.message : String(problem)
  // In a guest or a read-only checkout an older bundle is better than none.
  if (exist() && /read-only file system|permission denied/i.test(why))
    process.stderr.write(
      `ipcns: using the bundle that is there; cannot make it anew: ${why.split('\n')[0]}\n`,
    )
  else {
    process.stderr.write(
      `ipcns: cannot make ${bundles.command}: ${why}\nRun "npm ci" in the project once, as a user who may write there\n`,
    )
    process.exit(2)
  }
}
const { main } = await import(bundles.command)
process.exitCode = await main(process.argv.slice(2))
