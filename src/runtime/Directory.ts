/** Where names are: what calls and casts ask of a backend. */
import type { Effect } from "effect"
import type { SectionId } from "../protocol/ids.ts"

/** Where a name is, as the backend knows it. */
export interface Location {
  /** The name that it was registered under, where it was asked for by another one. */
  readonly name: string
  readonly section: SectionId
  readonly epoch: number
  /** Same as before: the process that was called lives on, and with it what it remembers of calls. */
  readonly continuity: number
  /** Registered by hand: there is nobody to call. */
  readonly isAdopted: boolean
}

/** What dispatch asks of the backend. */
export interface Directory {
  /** What this node knows, by name or alias; no message. */
  readonly find: (sworm: string, name: string) => Location | undefined
  /**
   * Looks further where `find` knows nothing: `"moving"` when the name is registered, or may be, but nobody can be
   * called for it just now; `undefined` only when it is not registered.
   */
  readonly locate: (sworm: string, name: string) => Effect.Effect<Location | "moving" | undefined>
  /** Done at the next change of the name. */
  readonly changed: (sworm: string, name: string) => Effect.Effect<void>
}
