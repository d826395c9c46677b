import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { z } from 'zod'
import { type CellResult, RESULTS_SCHEMA, type Results, summarize } from '../harness/results/model.ts'
import { UsageError } from '../harness/usage-error.ts'
import { CELL_LOG } from './cell-log.ts'
import { EvidenceKeeper } from './evidence.ts'
import { cellShape, resultsShape } from './shape.ts'

/**
 * Reads the results of a run: results.json or the directory that has it. Unknown members are kept out, so
 * that a later version of the same schema is readable. A run that died midway is read with the cells it had
 * finished; its other cells are `error` and `run.unfinished` is set. Throws UsageError with one sentence when
 * the file is missing, half-written, not JSON, of another schema, or says of itself that cells are missing.
 */
export function readResults(path: string): Results {
  const file = isDirectory(path) ? join(path, 'results.json') : path
  const results = parseResults(readText(file), file)
  const log = join(dirname(file), CELL_LOG)
  return results.run.unfinished && existsSync(log) ? mergeLog(results, readText(log)) : results
}

/** Reads the text of a results.json; `name` is how messages call it. */
export function parseResults(text: string, name: string): Results {
  const value = parseJson(text, name)
  if (typeof value !== 'object' || value === null || !('schema' in value))
    throw new UsageError(`${name} has no "schema": it is not a results.json of ipcns`)
  checkSchema(value.schema, name)
  const parsed = resultsShape.safeParse(value)
  if (!parsed.success) throw new UsageError(`${name} is damaged: ${firstIssue(parsed.error)}`)
  const { run, summary, cells } = parsed.data
  const ids = new Set<string>()
  for (const cell of cells) {
    if (ids.has(cell.id)) throw new UsageError(`${name} is damaged: the cell ${cell.id} is there twice`)
    ids.add(cell.id)
    if (cell.known && cell.verdict !== 'skip')
      throw new UsageError(
        `${name} is damaged: ${cell.id} is a known deviation, yet its verdict is ${cell.verdict}`,
      )
  }
  const counted = summarize(cells)
  for (const verdict of ['pass', 'fail', 'skip', 'error', 'rules'] as const) {
    if (summary[verdict] !== counted[verdict])
      throw new UsageError(
        `${name} is damaged: its summary counts ${summary[verdict]} ${verdict}, its cells ${counted[verdict]}`,
      )
  }
  return { schema: RESULTS_SCHEMA, run, summary: counted, cells }
}

/** Puts the finished cells of a log over a run that did not end. A last line that was cut off is left out. */
function mergeLog(results: Results, text: string): Results {
  const lines = text.split('\n')
  // Behind the last newline stands nothing, or half a cell.
  lines.pop()
  if (startedOf(lines.shift()) !== results.run.started) return results
  const index = new Map(results.cells.map((cell, place) => [cell.id, place]))
  const cells = [...results.cells]
  const evidence = new EvidenceKeeper()
  for (const line of lines) {
    const cell = parseCell(line)
    if (cell === null) continue
    const place = index.get(cell.id) ?? cells.length
    index.set(cell.id, place)
    cells[place] = evidence.keep(cell, place)
  }
  return { ...results, cells, summary: summarize(cells) }
}

function startedOf(line: string | undefined): unknown {
  const head = parseLine(line)
  return typeof head === 'object' && head !== null && 'started' in head ? head.started : undefined
}

/** Null for a line that is no cell: what cannot be read stays `error` in the plan, so nothing turns green. */
function parseCell(line: string): CellResult | null {
  const parsed = cellShape.safeParse(parseLine(line))
  return parsed.success ? parsed.data : null
}

function parseLine(line: string | undefined): unknown {
  try {
    return JSON.parse(line ?? '')
  } catch {
    return undefined
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (problem) {
    const code = problem instanceof Error && 'code' in problem ? problem.code : undefined
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new UsageError(`there is no ${file}: name the results.json of a run or its directory`)
    if (code === 'EACCES' || code === 'EPERM') throw new UsageError(`cannot read ${file}: permission denied`)
    if (code === 'EISDIR') throw new UsageError(`cannot read ${file}: it is a directory`)
    if (code === 'ERR_STRING_TOO_LONG' || code === 'ERR_FS_FILE_TOO_LARGE')
      throw new UsageError(`cannot read ${file}: it is too large`)
    throw problem
  }
}

function parseJson(text: string, name: string): unknown {
  if (text.trim() === '') throw new UsageError(`${name} is empty`)
  try {
    return JSON.parse(text)
  } catch (problem) {
    const cutOff = text.trimStart().startsWith('{') && !text.trimEnd().endsWith('}')
    if (cutOff) throw new UsageError(`${name} is half-written: it ends after ${text.length} characters`)
    throw new UsageError(`${name} is not JSON: ${problem instanceof Error ? problem.message : problem}`)
  }
}

function checkSchema(schema: unknown, name: string): void {
  if (schema === RESULTS_SCHEMA) return
  const version = typeof schema === 'string' ? /^ipcns-results\/(\d+)$/.exec(schema)?.[1] : undefined
  if (version === undefined)
    throw new UsageError(`${name} has the schema ${JSON.stringify(schema)}; this reads ${RESULTS_SCHEMA}`)
  const age = Number(version) > Number(RESULTS_SCHEMA.split('/')[1]) ? 'a newer' : 'an older'
  throw new UsageError(
    `${name} was written by ${age} ipcns (${schema}); this one reads ${RESULTS_SCHEMA}: use that version`,
  )
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0]
  if (!issue) return 'it does not follow the schema'
  return `${issue.path.map(String).join('.') || 'the whole'}: ${issue.message}`
}
