/** What a backend gives so that the cases can run on it, and what a case is. */
import type { Context, Effect, Scope } from "effect"
import type { Dispatch } from "../../Dispatch.ts"
import type { Handoff } from "../../Handoff.ts"
import type { Membership } from "../../Membership.ts"
import type { Registry } from "../../Registry.ts"
import type { Supervisor } from "../../Supervisor.ts"

/** The services that every backend provides on a node. */
export type BackendServices = Membership | Registry | Supervisor | Handoff | Dispatch

/** One running node of the backend under test. */
export interface BackendNode {
  readonly id: string
  readonly services: Context.Context<BackendServices>
  /**
   * The node is gone without a word: nothing that it sends or writes from now on reaches anybody. Must not wait for the
   * others to notice. Missing where a backend can't: say so in `missing`.
   */
  readonly kill?: Effect.Effect<void> | undefined
}

export interface StartOptions {
  readonly id: string
  /** Nodes of the cluster that run already; the first one has none. */
  readonly seeds: ReadonlyArray<BackendNode>
}

/**
 * What a case may need beyond the services. `kill`: nodes can be killed. `reliable`: every frame between two living
 * nodes arrives, so that what a case times is what the services do; without it a frame may be sent again, later.
 */
export type Capability = "kill" | "reliable"

/** Makes the nodes of one cluster. Each case gets a harness of its own. */
export interface Harness {
  /** Starts a node. Closing the scope is a graceful leave. */
  readonly start: (options: StartOptions) => Effect.Effect<BackendNode, unknown, Scope.Scope>
  /** What this backend can't do, and why: cases that need it are skipped for that reason. */
  readonly missing?: Missing | undefined
}

export type Missing = { readonly [C in Capability]?: string }

export interface ConformanceCase {
  /** What holds, as a sentence; unique in the suite. */
  readonly name: string
  /** A theme, for runners that group. */
  readonly group: string
  /** Takes many seconds: for a nightly run. */
  readonly slow: boolean
  readonly needs: ReadonlyArray<Capability>
  /** Fails, or dies, when the backend doesn't keep what `name` says. Ends within a minute. */
  readonly effect: (harness: Harness) => Effect.Effect<void, unknown, Scope.Scope>
}

/** Why a case can't run on a backend, or `undefined` when it can. */
export const skipReason = (one: ConformanceCase, missing: Missing = {}): string | undefined => {
  for (const capability of one.needs) {
    const reason = missing[capability]
    if (reason !== undefined) return reason
  }
  return undefined
}
