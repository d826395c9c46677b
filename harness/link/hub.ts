import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deferred } from './deferred.ts'
import { HarnessError } from './failure.ts'
import type { IpcNamespace } from './ipc-namespace.ts'

/** What a probe answers to one request. */
export type Answer = { value: unknown } | { errno: string } | { broken: string }

interface Request {
  describe: () => string
  /** Time of performance.now() after which the member counts as hung; Infinity where it may block. */
  deadline: number
  resolve: (answer: Answer) => void
  reject: (problem: Error) => void
  /** Set for a call that may block: told where below /proc the thread is, just before it makes the call. */
  began?: (where: string) => void
}

/** Default limit of one request in milliseconds; far above what a loaded machine needs. */
const REQUEST_LIMIT_MS = 20_000

/** What a link asks of its hub. */
interface LinkOwner {
  requestLimit: number
  pace: number
  /** What the probes wrote to standard error, for the sentence about a death; empty or in parentheses. */
  complaint(): string
}

/**
 * The harness's end of one probe's connection. Requests may be sent without waiting; answers come in order.
 * End-of-file is the probe's death: everything pending is rejected with the call that was under way.
 */
export class Link {
  readonly token: string
  #socket: Socket | undefined
  #waiting: Request[] = []
  #unread = ''
  #ended: string | undefined
  readonly #onEnd: (() => void)[] = []
  readonly #unsent: string[] = []

  readonly #hub: LinkOwner

  constructor(token: string, hub: LinkOwner) {
    this.token = token
    this.#hub = hub
  }

  /** Attaches the connection once the probe has said who it is. */
  attach(socket: Socket, rest: string): void {
    this.#socket = socket
    if (this.#ended !== undefined) {
      socket.destroy()
      return
    }
    for (const line of this.#unsent.splice(0)) socket.write(line)
    socket.on('data', (bytes: string) => this.#read(bytes))
    socket.on('close', () => this.end(`died${this.#hub.complaint()}`))
    if (rest) this.#read(rest)
  }

  /** Whether requests can still be answered. */
  get alive(): boolean {
    return this.#ended === undefined
  }

  /** Calls back once when the link ends. */
  onEnd(callback: () => void): void {
    if (this.#ended !== undefined) callback()
    else this.#onEnd.push(callback)
  }

  /** Sends one request. `limit` is in milliseconds; Infinity for a call that is meant to block. */
  request(
    operation: string,
    args: readonly unknown[],
    describe: () => string,
    limit = this.#hub.requestLimit,
  ): Promise<Answer> {
    const deadline = performance.now() + limit * this.#hub.pace
    return new Promise((resolve, reject) =>
      this.#send([operation, args], { describe, deadline, resolve, reject }),
    )
  }

  /**
   * Sends a request that is meant to block in the kernel. `began` resolves when the probe is about to make
   * the call, with its place below /proc.
   */
  requestBlocking(
    operation: string,
    args: readonly unknown[],
    describe: () => string,
  ): { began: Promise<string>; answer: Promise<Answer> } {
    const began = deferred<string>()
    const answer = deferred<Answer>()
    this.#send([operation, args, true], {
      describe,
      deadline: Number.POSITIVE_INFINITY,
      began: began.resolve,
      resolve: answer.resolve,
      reject: (problem) => {
        began.reject(problem)
        answer.reject(problem)
      },
    })
    return { began: began.promise, answer: answer.promise }
  }

  /** The call that has waited too long, if there is one. */
  overdue(now: number): string | undefined {
    const [first] = this.#waiting
    return first && first.deadline < now ? first.describe() : undefined
  }

  /** Ends the link: closes the connection and rejects what is pending with the reason. */
  end(reason: string): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#socket?.destroy()
    const [first, ...others] = this.#waiting.splice(0)
    first?.reject(new HarnessError(`${first.describe()}: the probe ${reason}`))
    for (const request of others)
      request.reject(new HarnessError(`${request.describe()}: not reached, the probe ${reason}`))
    for (const callback of this.#onEnd.splice(0)) callback()
  }

  #send(words: readonly unknown[], request: Request): void {
    if (this.#ended !== undefined) {
      request.reject(new HarnessError(`${request.describe()}: not sent, the probe ${this.#ended}`))
      return
    }
    this.#waiting.push(request)
    const line = `${JSON.stringify(words)}\n`
    if (this.#socket) this.#socket.write(line)
    else this.#unsent.push(line)
  }

  #read(bytes: string): void {
    this.#unread += bytes
    for (;;) {
      const end = this.#unread.indexOf('\n')
      if (end < 0) return
      const line = this.#unread.slice(0, end)
      this.#unread = this.#unread.slice(end + 1)
      const message = JSON.parse(line) as Answer | { began: string }
      if ('began' in message) {
        this.#waiting[0]?.began?.(message.began)
        continue
      }
      const request = this.#waiting.shift()
      if (!request) {
        this.end(`answered what nobody asked: ${line.slice(0, 80)}`)
        return
      }
      request.resolve(message)
    }
  }
}

/**
 * Listens on a UNIX socket in a directory of its own and gives each probe that connects to the Link that
 * waits for its token.
 */
export class Hub {
  readonly directory: string
  /** The runner's own IPC namespace, whose objects the janitor looks after. */
  readonly initial: IpcNamespace = { name: 'initial' }
  readonly #server: Server
  readonly #links = new Map<string, Link>()
  readonly #sockets = new Set<Socket>()
  readonly #watch: NodeJS.Timeout
  #count = 0
  readonly #secret = randomBytes(6).toString('hex')

  /** How long a probe may take to answer one request, in milliseconds at pace 1. */
  readonly requestLimit: number
  /** How many times slower than usual this machine is; every limit is that much longer. */
  pace = 1
  /** Below 1 once many cells have failed for want of something to happen: the others wait that much shorter. */
  haste = 1
  /** The last of what the probes of this tree wrote to standard error. */
  stderr = ''
  /** Reads a file of procfs, in which the probes have the numbers that they know of themselves. */
  readProc: (path: string) => Promise<string> = async (path) => readFileSync(path, 'latin1')

  private constructor(directory: string, server: Server, requestLimit: number) {
    this.directory = directory
    this.requestLimit = requestLimit
    this.#server = server
    server.on('connection', (socket) => this.#greet(socket))
    this.#watch = setInterval(() => this.#findHung(), 250)
    this.#watch.unref()
  }

  /**
   * Starts listening; the directory is removed by close(). A probe that leaves a request unanswered for
   * `requestLimit` milliseconds counts as hung.
   */
  static open(requestLimit = REQUEST_LIMIT_MS): Promise<Hub> {
    const directory = mkdtempSync(join(tmpdir(), 'ipcns-'))
    // A probe that has become another user must still reach the socket.
    chmodSync(directory, 0o711)
    const server = createServer()
    const hub = new Hub(directory, server, requestLimit)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(hub.socketPath, () => {
        chmodSync(hub.socketPath, 0o777)
        resolve(hub)
      })
    })
  }

  /** How long to wait here, in milliseconds, for what takes that long on the usual machine. */
  patience(milliseconds: number): number {
    return milliseconds * this.pace * this.haste
  }

  /** Where the probes connect. */
  get socketPath(): string {
    return join(this.directory, 'sock')
  }

  /** See LinkOwner. */
  complaint(): string {
    const text = this.stderr.trim()
    return text === '' ? '' : ` (${text.slice(-500)})`
  }

  /** A link with a fresh token, waiting for its probe to connect. */
  expect(): Link {
    this.#count += 1
    const link = new Link(`${this.#secret}-${this.#count}`, this)
    this.#links.set(link.token, link)
    link.onEnd(() => this.#links.delete(link.token))
    return link
  }

  /** Ends every link, stops listening and removes the directory. */
  async close(): Promise<void> {
    clearInterval(this.#watch)
    for (const link of [...this.#links.values()]) link.end('was no longer needed')
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
    rmSync(this.directory, { recursive: true, force: true })
  }

  #greet(socket: Socket): void {
    this.#sockets.add(socket)
    socket.setEncoding('utf8')
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
    let text = ''
    const greet = (bytes: string): void => {
      text += bytes
      const end = text.indexOf('\n')
      if (end < 0) return
      socket.off('data', greet)
      const link = this.#links.get(tokenOf(text.slice(0, end)))
      if (link) link.attach(socket, text.slice(end + 1))
      else socket.destroy()
    }
    socket.on('data', greet)
  }

  #findHung(): void {
    const now = performance.now()
    for (const link of [...this.#links.values()]) {
      const call = link.overdue(now)
      if (call !== undefined) link.end(`did not answer ${call} in time`)
    }
  }
}

function tokenOf(line: string): string {
  try {
    const greeting: unknown = JSON.parse(line)
    return typeof greeting === 'object' && greeting !== null && 'token' in greeting
      ? String(greeting.token)
      : ''
  } catch {
    return ''
  }
}
