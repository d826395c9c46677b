/** How wide and whether in colour to print to a stream. */
export interface Screen {
  colour: boolean
  width: number
}

/** The narrowest and the widest we print; wider lines are hard to read. */
const [NARROW, WIDE, USUAL] = [40, 120, 80]

/**
 * Colour on a terminal unless NO_COLOR is set to anything or TERM is `dumb`; FORCE_COLOR overrides a missing
 * terminal (not NO_COLOR). Anything that is no terminal is 80 columns wide.
 */
export function screenOf(
  stream: { isTTY?: boolean; columns?: number } = process.stdout,
  env: NodeJS.ProcessEnv = process.env,
): Screen {
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0'
  const terminal = stream.isTTY === true && env.TERM !== 'dumb'
  return {
    colour: !env.NO_COLOR && (terminal || forced),
    width: stream.isTTY ? Math.min(WIDE, Math.max(NARROW, stream.columns ?? USUAL)) : USUAL,
  }
}
