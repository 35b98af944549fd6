import type { Oracle } from "../oracle.ts"
import type { World } from "../simulate.ts"

/** A promise, and when it is looked at; each answers what breaks it. */
export interface Checker {
  readonly name: string
  /** Between the steps: what must never be. */
  readonly during?: (world: World, oracle: Oracle) => void
  /** When nothing is wrong any more: must hold soon, and then for good. */
  readonly quiet?: (world: World, oracle: Oracle) => ReadonlyArray<string>
  /** A long while later, when nothing has happened for minutes. */
  readonly rest?: (world: World, oracle: Oracle) => ReadonlyArray<string>
  /** Once, when all is quiet: the history as a whole. */
  readonly end?: (world: World, oracle: Oracle) => ReadonlyArray<string>
  /** When every node was asked to leave. */
  readonly closed?: (world: World, oracle: Oracle) => ReadonlyArray<string>
}
