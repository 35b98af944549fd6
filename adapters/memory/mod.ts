/**
 * The gossip backend over a network inside the program: for one program alone, for tests, and for several nodes in one
 * process. Frames go through the real codec.
 */
import { Layer } from "effect"
import * as Discovery from "../../src/Discovery.ts"
import * as Node from "../../src/Node.ts"
import type { InvalidInput } from "../../src/SwormError.ts"
import * as VirtualNetwork from "../../src/testing/VirtualNetwork.ts"
import * as Gossip from "../gossip/mod.ts"

export interface MemoryOptions extends Node.NodeOptions, Gossip.GossipOptions {
  /** Ids of nodes on the same network to join through. Default none: the first node forms the cluster. */
  readonly seeds?: ReadonlyArray<string> | undefined
}

/** What a node provides: the backend, and who it is. */
export type Services = Gossip.Services | Node.Node

/** One node on a virtual network that several share. */
export const layerNode = (
  options: MemoryOptions = {}
): Layer.Layer<Services, InvalidInput, VirtualNetwork.VirtualNetwork> => {
  const seeds = Discovery.seeds((options.seeds ?? []).map(VirtualNetwork.addressOf))
  return Gossip.layer(options).pipe(
    Layer.provide([VirtualNetwork.layerTransport, Discovery.layer(seeds)]),
    Layer.provideMerge(Node.layer(options))
  )
}

/**
 * A node with a network of its own: a cluster of one, nothing to install or to configure.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Memory, Membership } from "@sworm/sworm"
 *
 * const program = Effect.gen(function*() {
 *   const membership = yield* Membership.Membership
 *   yield* membership.awaitSynced
 *   return (yield* membership.members).length
 * })
 *
 * console.log(await Effect.runPromise(Effect.provide(program, Memory.layer)))
 * // prints: 1
 * ```
 */
export const layer: Layer.Layer<Services> = Layer.suspend(() =>
  layerNode({ id: "memory", formDelay: 0 }).pipe(Layer.provide(VirtualNetwork.layer()), Layer.orDie)
)
