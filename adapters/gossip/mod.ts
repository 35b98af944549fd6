/**
 * The available backend: SWIM membership, a replicated registry and direct handoff, over any transport. Both sides of a
 * split go on; after it heals each name is settled to one copy.
 *
 * @module gossip
 */
import { Effect, Layer } from "effect"
import type { Discovery } from "../../src/Discovery.ts"
import type { Node } from "../../src/Node.ts"
import type { Transport } from "../../src/Transport.ts"
import { makeBackend } from "./backend.ts"
import { makeGround } from "./gossiping.ts"
import type { GossipOptions } from "./Options.ts"
import { makeServices, type Services } from "./services.ts"

export type { GossipOptions, Preset } from "./Options.ts"
export type { Services } from "./services.ts"

/**
 * The four services on one node. Closing the scope leaves the cluster: every process is handed over first.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Discovery } from "@sworm/sworm"
 * import * as Gossip from "@sworm/sworm/gossip"
 * import * as WebSocketTransport from "@sworm/sworm/websocket"
 *
 * export const backend = Gossip.layer({ preset: "lan" }).pipe(Layer.provide(
 *   WebSocketTransport.layer({ listen: "127.0.0.1:4100", discovery: Discovery.seeds(["127.0.0.1:4101"]) })
 * ))
 * ```
 */
export const layer = (
  options: GossipOptions = {}
): Layer.Layer<Services, never, Node | Transport | Discovery> =>
  Layer.effectContext(Effect.map(makeBackend(options, makeGround), makeServices))
