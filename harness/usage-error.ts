/** Bad input from the user: its message is one clear sentence, printed without a stack, exit status 2. */
export class UsageError extends Error {
  override name = 'UsageError'
}
