// Prints one line for each rule of a results.json: its name and LAVA's word for the worst of its cells.
// Plain JavaScript, because it runs on the device beside nothing but Node.
import { readFileSync } from 'node:fs'

/** LAVA's word for each verdict, from the worst to the best; a rule is only skipped when all of it is. */
const WORDS = [
  ['error', 'unknown'],
  ['fail', 'fail'],
  ['pass', 'pass'],
  ['skip', 'skip'],
]
// What the kernel does wrong weighs more than what the suite could not do.
const WEIGHT = ['fail', 'error', 'pass', 'skip']

const [file] = process.argv.slice(2)
if (!file) {
  process.stderr.write('usage: cases.mjs results.json\n')
  process.exit(2)
}
const { cells } = JSON.parse(readFileSync(file, 'utf8'))
const verdicts = new Map()
for (const { rule, verdict } of cells) {
  const before = verdicts.get(rule)
  if (before === undefined || WEIGHT.indexOf(verdict) < WEIGHT.indexOf(before)) verdicts.set(rule, verdict)
}
const words = new Map(WORDS)
// LAVA takes no white space in names.
for (const [rule, verdict] of verdicts)
  process.stdout.write(`${rule.replace(/[^\w-]/g, '_')} ${words.get(verdict) ?? 'unknown'}\n`)
