/**
 * The probe: sits in some set of namespaces, makes one libc call at a time for the harness, answers with
 * the value or the errno's name. Started as `probe.cjs SOCKET TOKEN [rehearse]`, or after execve(2) as
 * `probe.cjs SOCKET fd:N [TOKEN...]` with one worker thread for each further token.
 */

import { openSync, readlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { exit, IsTheChild } from './birth.ts'
import { adopt, connect, listenerAt, readLine, writeLine } from './connection.ts'
import { O_PATH, PR_SET_CHILD_SUBREAPER, SIGHUP, SIGINT, SIGQUIT, SIGTERM } from './constants.ts'
import { isJanitor, sweep } from './janitor.ts'
import { type OperationName, operations } from './operations/index.ts'
import { quietly } from './operations/upkeep.ts'
import { REHEARSAL, REHEARSALS } from './rehearsal.ts'
import { bind, SystemCallFailure } from './system.ts'
import { tether } from './tether.ts'
import { ownText } from './text.ts'

type AnyOperation = (...args: unknown[]) => unknown
const table: Readonly<Record<string, AnyOperation>> = operations as Record<OperationName, AnyOperation>

Error.stackTraceLimit = 0

function answer(line: string): unknown {
  const [name, args, blocks] = JSON.parse(line) as [string, unknown[], true?]
  const operation = Object.hasOwn(table, name) ? table[name] : undefined
  if (!operation) return { broken: `unknown operation ${name}` }
  try {
    if (blocks) writeLine(JSON.stringify({ began: readlinkSync('/proc/thread-self') }))
    return { value: operation(...args) }
  } catch (problem) {
    if (problem instanceof IsTheChild) throw problem
    if (problem instanceof SystemCallFailure) return { errno: problem.message }
    return { broken: problem instanceof Error ? problem.message : String(problem) }
  }
}

function serve(): void {
  for (;;) {
    try {
      const line = readLine()
      if (line === null) return
      writeLine(JSON.stringify(answer(line)))
    } catch (problem) {
      if (!(problem instanceof IsTheChild)) throw problem
    }
  }
}

/** Default dispositions: Node's handlers would keep pid 1 of a pid namespace alive, hanging. */
function defaultSignals(): void {
  const signal = bind<[number, number]>('intptr_t signal(int signal, intptr_t handler)')
  for (const number of [SIGHUP, SIGINT, SIGQUIT, SIGTERM]) signal(number, 0)
}

/** The first probe of a tree: started by the harness or by a tool such as unshare(1). */
function becomeRoot(token: string): void {
  quietly(() => operations.setsid())
  operations.prctl(PR_SET_CHILD_SUBREAPER, 1)
  adopt(connect(token))
}

/** The same process as before execve(2): the call that started it is answered by the new program. */
function becomeAnew(descriptor: number, socketPath: string, threadTokens: string[]): void {
  adopt(descriptor)
  operations.setCloseOnExec(descriptor, true)
  for (const token of threadTokens)
    new Worker(process.argv[1] ?? '', { workerData: { socketPath, token } satisfies ThreadData })
  writeLine(JSON.stringify({ value: 0 }))
}

function rehearse(): void {
  const lines = REHEARSAL.map((request) => JSON.stringify(request))
  for (let round = 0; round < REHEARSALS; round += 1) for (const line of lines) JSON.stringify(answer(line))
}

interface ThreadData {
  socketPath: string
  token: string
}

function begin(): void {
  const { socketPath, token } = isMainThread
    ? { socketPath: process.argv[2] ?? '', token: process.argv[3] ?? '' }
    : (workerData as ThreadData)
  listenerAt(socketPath, openSync(dirname(socketPath), O_PATH))
  if (!isMainThread) {
    adopt(connect(token))
    return
  }
  defaultSignals()
  tether()
  if (token.startsWith('fd:')) becomeAnew(Number(token.slice(3)), socketPath, process.argv.slice(4))
  else {
    if (process.argv[4] === 'rehearse') {
      ownText()
      rehearse()
    }
    becomeRoot(token)
  }
}

let status = 1
try {
  begin()
  serve()
  status = 0
} finally {
  try {
    if (isJanitor()) sweep()
  } finally {
    // Node's own way out would join threads that a clone does not have; a worker just ends its thread.
    if (isMainThread) exit(status)
  }
}
