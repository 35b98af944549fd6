/** When processes move, with their state and their waiting messages: one by one, a whole node, or not at all. */
import { Context, type Duration, type Effect, type Stream } from "effect"
import type { HandoffError, NotRegistered, ProcessRef, Unavailable } from "./SwormError.ts"

/** What a process type answers when one of its processes is to be moved. */
export type HandoffAnswer<State> =
  /** Go on over there from this state. */
  | { readonly _tag: "Resume"; readonly state: State }
  /** Start over there from the args. */
  | { readonly _tag: "Restart" }
  /** Stay here, whatever placement wants. */
  | { readonly _tag: "Ignore" }

export const resume = <State>(state: State): HandoffAnswer<State> => ({ _tag: "Resume", state })

export const restart: HandoffAnswer<never> = { _tag: "Restart" }

export const ignore: HandoffAnswer<never> = { _tag: "Ignore" }

/** A finished move, told on the node that gave the process away. */
export interface Move {
  readonly sworm: string
  readonly name: string
  readonly from: string
  readonly to: string
  readonly epoch: number
  /** `false` when the process started from its args over there. */
  readonly withState: boolean
}

export interface DrainOptions {
  /** The node to empty. Default: this one. */
  readonly node?: string | undefined
  /** What has not gone by then stays where it is. At most 24 hours. Default: that node's `shutdownTimeout`. */
  readonly deadline?: Duration.Input | undefined
}

/** A process that a drain has not moved, and why. */
export interface Stay {
  readonly sworm: string
  readonly name: string
  readonly detail: string
}

/** How far a drain is. */
export interface DrainProgress {
  /** The node that is emptied. */
  readonly node: string
  /** Processes that have gone since it began. */
  readonly moved: number
  /** Processes that are still there. */
  readonly left: number
  /** Those of them that were tried and did not go, or that no other node can have. */
  readonly failed: number
  /** The same, with the reason for each; once it is final, all that are left. The first 100. */
  readonly stays: ReadonlyArray<Stay>
  /** It has ended; nothing follows. */
  readonly isFinal: boolean
}

/**
 * Moves, and what holds them back. Where a node can be named, it is asked from any other; without one it is this node. A
 * node that does not answer fails with `Unavailable`.
 */
export interface Handoff {
  /**
   * Moves a process to a node. Whatever fails, one live copy with its state remains: here, or there. Works from any
   * node; ends within the handoff timeout.
   */
  readonly move: (
    sworm: string,
    name: string,
    node: string
  ) => Effect.Effect<ProcessRef, NotRegistered | HandoffError | Unavailable>
  /** Moves from now on, those that leave this node. A subscriber that falls 4,096 moves behind misses the oldest. */
  readonly moves: Stream.Stream<Move>
  /**
   * A cordoned node keeps what it has, and is given no new names and no moves. It stays a member in all else; every node
   * hears of it within moments, and `Membership` tells. Names for which placement accepts no other node are still
   * started there: better than nowhere. A cordon ends with `uncordon`, or with the node's run.
   */
  readonly cordon: (node?: string) => Effect.Effect<void, Unavailable>
  /** Ends a cordon, and a drain: the node gets its share again. */
  readonly uncordon: (node?: string) => Effect.Effect<void, Unavailable>
  /**
   * Cordons a node and gives its processes to others that are not cordoned, `concurrentMoves` at a time; the node stays
   * a member, empty. Tells how far it is, several times a second while it goes on. The last element is final: nothing is
   * left, the rest can go nowhere, the node was uncordoned, or the deadline is over. What is left runs on where it is.
   * Once begun it goes on, also if nobody listens any more; one that is under way is joined, with its own deadline.
   *
   * @example
   * ```ts
   * import { Effect, Stream } from "effect"
   * import { Handoff } from "@sworm/sworm"
   *
   * // before a machine is shut down: answers what could not go
   * export const empty = (node: string) =>
   *   Effect.gen(function* () {
   *     const handoff = yield* Handoff.Handoff
   *     const last = yield* Stream.runLast(handoff.drain({ node, deadline: "30 seconds" }))
   *     return last._tag === "Some" ? last.value.stays : []
   *   })
   * ```
   */
  readonly drain: (options?: DrainOptions) => Stream.Stream<DrainProgress, Unavailable>
  /**
   * A node whose redistribution is paused gives nothing away because placement wants it elsewhere; others may still give
   * to it. Leaving, `move` and `drain` go on. Ends with `resume`, or with the node's run.
   */
  readonly pause: (node?: string) => Effect.Effect<void, Unavailable>
  /** Ends a pause: what placement wants elsewhere by now goes there. */
  readonly resume: (node?: string) => Effect.Effect<void, Unavailable>
}

export const Handoff: Context.Service<Handoff, Handoff> = Context.Service<Handoff>("sworm/Handoff")
