/**
 * One node of the example: `node.ts --listen HOST:PORT [--join HOST:PORT,…] [--id ID] [--secret SECRET]`.
 *
 * Says on stdout, a JSON line each, when it is ready, what it has given away and what its snapshots come to. Leaves on
 * SIGTERM and SIGINT, handing its processes over first; with `--lifeline` also when its stdin ends, so that it never
 * outlives who started it.
 */
import { Effect, Exit, Layer, Metric, Stream } from "effect"
import process from "node:process"
import { parseArgs } from "node:util"
import { Discovery, Handoff, Membership } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { AirportLayer, Flights, RouteLayer } from "./flights.ts"

const { values: flags } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:4100" },
    join: { type: "string", default: "" },
    id: { type: "string" },
    secret: { type: "string" },
    lifeline: { type: "boolean", default: false }
  }
})

// on a busy machine handing everything over takes longer than the default 10 seconds
const backend = Gossip.layer({ shutdownTimeout: "25 seconds" }).pipe(Layer.provideMerge(WebSocketTransport.layer({
  id: flags.id,
  listen: flags.listen,
  secret: flags.secret ?? process.env["SWORM_SECRET"],
  discovery: Discovery.seeds(flags.join.split(",").filter((address) => address !== ""))
})))

const say = (line: unknown): Effect.Effect<void> =>
  Effect.sync(() => void process.stdout.write(JSON.stringify(line) + "\n"))

// below the sworm, so that it still listens while the sworm hands its processes over
const Reporter = Layer.effectDiscard(Effect.gen(function* () {
  const handoff = yield* Handoff.Handoff
  yield* Effect.forkScoped(Stream.runForEach(handoff.moves, ({ withState }) => say({ moved: 1, withState })))
}))

/** How much is sent to keep states elsewhere; one that is killed has not told of its last moments. */
const SnapshotReporter = Layer.effectDiscard(Effect.gen(function* () {
  let told = 0
  const look = Effect.gen(function* () {
    const metrics = yield* Metric.snapshot
    const countOf = (id: string): number => {
      const metric = metrics.find((metric) => metric.id === id)
      return metric?.type === "Counter" ? Number(metric.state.count) : 0
    }
    const snapshots = countOf("sworm_snapshots_sent")
    if (snapshots === told) return
    told = snapshots
    yield* say({ snapshots, snapshotBytes: countOf("sworm_snapshots_sent_bytes") })
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep("200 millis"))))
}))

const App = Flights.layer.pipe(
  Layer.provide([AirportLayer, RouteLayer]),
  Layer.provideMerge(Reporter),
  Layer.provideMerge(SnapshotReporter),
  Layer.provideMerge(backend)
)

const main = Effect.gen(function* () {
  const membership = yield* Membership.Membership
  yield* membership.awaitSynced
  const { address, id } = yield* membership.self
  yield* say({ ready: true, id, address })
  yield* Effect.never
})

const fiber = Effect.runFork(Effect.scoped(main).pipe(Effect.provide(App)))
const leave = (): void => fiber.interruptUnsafe()
process.on("SIGTERM", leave)
process.on("SIGINT", leave)
if (flags.lifeline) process.stdin.on("end", leave).on("error", leave).resume()
fiber.addObserver((exit) => {
  const failed = Exit.isFailure(exit) && Exit.hasFails(exit)
  if (failed) process.stderr.write(`${exit.cause}\n`)
  process.exit(failed ? 1 : 0)
})
