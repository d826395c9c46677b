import { RESULTS_SCHEMA, type Results, summarize } from '../harness/results/model.ts'

/**
 * results.json in pieces: the head, then one cell a line, so that 100,000 cells need no more memory than
 * one and `grep SVK-01 results.json` works. The summary is always counted from the cells.
 */
export function* renderResultsJson(results: Results): Generator<string> {
  yield `{"schema":${JSON.stringify(RESULTS_SCHEMA)},\n`
  yield `"run":${JSON.stringify(results.run)},\n`
  yield `"summary":${JSON.stringify(summarize(results.cells))},\n"cells":[`
  let separator = '\n'
  for (const cell of results.cells) {
    yield separator + JSON.stringify(cell)
    separator = ',\n'
  }
  yield '\n]}\n'
}
