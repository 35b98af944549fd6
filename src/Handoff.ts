/** Moves a process, with its state and its waiting messages, to another node. */
import { Context, type Effect, type Stream } from "effect"
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
  /** Gives every process of this node to the others, and stays empty. Answers how many went with their state. */
  readonly drain: Effect.Effect<number>
}

export const Handoff: Context.Service<Handoff, Handoff> = Context.Service<Handoff>("sworm/Handoff")
