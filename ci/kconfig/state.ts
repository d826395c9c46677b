/**
 * What a configuration says about one symbol. `is-not-set` is the line `# CONFIG_X is not set` (or `=n` in a
 * fragment); `absent` is no line at all, which in a full configuration means that the kernel does not have
 * the symbol or that its dependencies are not met, and in a fragment that the default decides.
 */
export type State =
  | { kind: 'y' | 'm' | 'is-not-set' | 'absent' | 'no-config' }
  | {
      kind: 'value'
      /** The text after `=`, quotes included. */
      value: string
    }

/** Three-valued, because a fragment does not say what the defaults are. */
export type Truth = 'yes' | 'no' | 'unknown'

/** Anything that expressions can be asked about: a configuration, none, or one corrected by behaviour. */
export interface Lookup {
  /** True for a full configuration: what has no line is off. False: what has no line is unknown. */
  complete: boolean
  /** State of a symbol, named without `CONFIG_`. */
  state(symbol: string): State
}

/** The lookup of a machine without a configuration: nothing is known. */
export const NO_CONFIG: Lookup = { complete: false, state: () => ({ kind: 'no-config' }) }

/** The state as a person reads it: `y`, `m`, `=250`, `is not set`, `absent`, `no config`. */
export function stateText(state: State): string {
  if (state.kind === 'value') return `=${state.value}`
  return state.kind.replaceAll('-', ' ')
}
