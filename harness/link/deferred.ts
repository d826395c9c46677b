/** A promise that is settled from outside. Nobody waiting for it is no unhandled rejection. */
export interface Deferred<Value> {
  readonly promise: Promise<Value>
  resolve(value: Value): void
  reject(problem: Error): void
}

/** Makes one. */
export function deferred<Value>(): Deferred<Value> {
  let resolve: (value: Value) => void = () => undefined
  let reject: (problem: Error) => void = () => undefined
  const promise = new Promise<Value>((settle, refuse) => {
    resolve = settle
    reject = refuse
  })
  promise.catch(() => undefined)
  return { promise, resolve, reject }
}
