/** Where a node finds its first peers. Answers are hints: an empty one never removes a member. */
import { Context, Effect, Layer } from "effect"

export interface Discovery {
  /** Addresses to dial, asked at start and every few seconds after; must not fail and not wait long. */
  readonly addresses: Effect.Effect<ReadonlyArray<string>>
}

export const Discovery: Context.Service<Discovery, Discovery> = Context.Service<Discovery>("sworm/Discovery")

/** A fixed list of `host:port`. Its own address may be in it, so that all nodes can share one list. */
export const seeds = (addresses: ReadonlyArray<string>): Discovery => ({ addresses: Effect.succeed(addresses) })

/** No peers to find: the node forms a cluster by itself and waits to be found. */
export const none: Discovery = seeds([])

export const layer = (discovery: Discovery): Layer.Layer<Discovery> => Layer.succeed(Discovery)(discovery)
