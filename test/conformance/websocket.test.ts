// The gossip backend over WebSockets on free ports of this machine.
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { Discovery, Membership } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import type { Conformance } from "@sworm/sworm/testing"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { conformance } from "./suite.ts"

const addressOf = ({ services }: Conformance.BackendNode) =>
  Effect.map(Context.get(services, Membership.Membership).self, ({ address }) => address)

const start: Conformance.Harness["start"] = ({ id, seeds }) =>
  Effect.gen(function* () {
    const addresses = yield* Effect.forEach(seeds, addressOf)
    // a scope of its own, so that a kill can end the transport before the rest knows
    const sockets = yield* Scope.fork(yield* Effect.scope)
    const transport = yield* Layer.buildWithScope(
      Layer.fresh(WebSocketTransport.layer({
        id,
        cluster: "conformance",
        listen: "127.0.0.1:0",
        secret: "a secret of these tests",
        discovery: Discovery.seeds(addresses)
      })),
      sockets
    )
    const gossip = Gossip.layer({ formDelay: seeds.length === 0 ? 0 : "200 millis", shutdownTimeout: "5 seconds" })
    const services = yield* Layer.build(Layer.fresh(gossip).pipe(Layer.provide(Layer.succeedContext(transport))))
    return { id, services, kill: Scope.close(sockets, Exit.void) }
  })

conformance("websocket", Effect.succeed({ start }), { concurrent: true })
