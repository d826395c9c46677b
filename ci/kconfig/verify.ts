import type { Observation } from './observe.ts'
import { type Lookup, type State, stateText } from './state.ts'

/** Where the configuration and the running kernel say different things. */
export interface Disagreement {
  symbol: string
  /** `finding`: promised and not kept, which fails the check. `note`: more than promised. */
  kind: 'finding' | 'note'
  message: string
}

/**
 * Compares a configuration with what was observed. `y` (or a value) and no such behaviour is a finding; not
 * set, absent or no configuration at all and yet it works is a note. `m` is never a finding: the module may
 * not be loaded, and this loads none.
 */
export function compare(config: Lookup, observations: readonly Observation[]): Disagreement[] {
  return observations.flatMap(({ symbol, works, evidence }): Disagreement[] => {
    const state = config.state(symbol)
    if (works === false && (state.kind === 'y' || state.kind === 'value'))
      return [
        {
          symbol,
          kind: 'finding',
          message: `CONFIG_${symbol} is ${stateText(state)}, but the running kernel does not have it: ${evidence}`,
        },
      ]
    if (works === true && promisesLess(state, config.complete))
      return [
        {
          symbol,
          kind: 'note',
          message: `CONFIG_${symbol} ${said(state)}, but the running kernel has it: ${evidence}`,
        },
      ]
    return []
  })
}

/** A fragment's silence promises nothing either way. */
function promisesLess(state: State, complete: boolean): boolean {
  return state.kind === 'is-not-set' || state.kind === 'no-config' || (state.kind === 'absent' && complete)
}

function said(state: State): string {
  if (state.kind === 'no-config') return 'is in no configuration that could be found'
  return state.kind === 'absent' ? 'is absent' : 'is not set'
}

/** The configuration as behaviour corrects it: what was observed counts, whatever is written. */
export function corrected(config: Lookup, observations: readonly Observation[]): Lookup {
  const works = new Map(observations.map((observation) => [observation.symbol, observation.works]))
  return {
    complete: config.complete,
    state(symbol) {
      const written = config.state(symbol)
      const seen = works.get(symbol) ?? null
      if (seen === false && written.kind !== 'm') return { kind: 'is-not-set' }
      if (seen !== true) return written
      return written.kind === 'm' || written.kind === 'value' ? written : { kind: 'y' }
    },
  }
}
