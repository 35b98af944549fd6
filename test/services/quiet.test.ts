// A cluster with something that it can't do does not shout about it: frames and log lines are counted.
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Logger, Option, Ref, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { Memory, Placement, Process, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

const Pin = Process.make("Pin", {
  state: Schema.Int,
  protocol: [Rpc.make("Add", { success: Schema.Int })]
})
class Pins extends Sworm.Service<Pins>()("Pins", {
  processes: [Pin],
  placement: Placement.labels({ role: "pins" })
}) {}
const PinLayer = Pins.toLayer(Pin, {
  init: () => Effect.succeed(0),
  handlers: { Add: (_, { state }) => Ref.updateAndGet(state, (n) => n + 1) }
})

const start = (network: VirtualNetwork.VirtualNetwork, id: string, seeds: ReadonlyArray<string>, role = "none") =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Pins.layer.pipe(
      Layer.provide(PinLayer),
      Layer.provideMerge(Memory.layerNode({ id, seeds, preset: "local", labels: { role } })),
      Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)),
      Layer.fresh,
      Layer.buildWithScope(scope)
    )
    return { pins: Context.get(context, Pins), stop: Scope.close(scope, yield* Effect.exit(Effect.void)) }
  })

const until = <E>(what: string, condition: Effect.Effect<boolean, E>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.sleep(10)
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

const WINDOW_MS = 2000
/** Nodes that probe, compare, and ask again with growing waits stay far below; a loop without waits does not. */
const FRAMES_PER_SECOND = 300
const LOG_LINES = 20

const NAMES = 50

/** Two nodes that may have no pin, and 50 pins that wait for one that may. */
const waiting = Effect.gen(function* () {
  const network = yield* VirtualNetwork.make()
  const a = yield* start(network, "a", [])
  const b = yield* start(network, "b", ["a"])
  const c = yield* start(network, "c", ["a"], "pins")
  yield* Effect.addFinalizer(() => Effect.all([a.stop, b.stop]))
  const placed = Effect.map(a.pins.whereisOrRegister("pin-0", Pin, {}), ({ node }) => node === "c")
  yield* until("c hosts pins", Effect.orElseSucceed(placed, () => false))
  for (let i = 1; i < NAMES; i++) yield* a.pins.register(`pin-${i}`, Pin, {})
  yield* until("b knows them", Effect.map(b.pins.count(), (count) => count === NAMES))
  yield* c.stop
  for (const { pins } of [a, b]) yield* until("none is held", Effect.map(pins.count(), (count) => count === 0))
  return { network, a, b }
})

/** Frames for each second that passes, for a window. */
const rate = (network: VirtualNetwork.VirtualNetwork) =>
  Effect.gen(function* () {
    const [frames, begun] = [network.delivered(), yield* Clock.currentTimeMillis]
    yield* Effect.sleep(WINDOW_MS)
    return (network.delivered() - frames) / (((yield* Clock.currentTimeMillis) - begun) / 1000)
  })

/** As many log lines as there are while the effect runs. */
const countingLogs = <A, E, R>(effect: (lines: () => number) => Effect.Effect<A, E, R>) => {
  let lines = 0
  const logger = Logger.make(() => {
    lines++
  })
  return Effect.provide(effect(() => lines), Logger.layer([logger]))
}

describe("a name that no node may have", () => {
  it.live(
    "[D28] costs next to nothing while it waits",
    () =>
      countingLogs((lines) =>
        Effect.scoped(Effect.gen(function* () {
          const { a, network } = yield* waiting
          const before = lines()
          assert.isBelow(yield* rate(network), FRAMES_PER_SECOND)
          assert.isBelow(lines() - before, LOG_LINES)
          const d = yield* start(network, "d", ["a"], "pins")
          yield* until("they run again", Effect.map(a.pins.count("d"), (count) => count === NAMES))
          yield* d.stop
        }))
      ),
    60_000
  )

  it.live(
    "[D28] is asked for again with growing waits, by calls and registrations",
    () =>
      countingLogs((lines) =>
        Effect.scoped(Effect.gen(function* () {
          const { a, b, network } = yield* waiting
          const before = lines()
          const asking = yield* Effect.forEach([a, b, a, b], ({ pins }, i) =>
            Effect.forkChild(
              Effect.all([
                Effect.exit(pins.client(Pin, `pin-${i}`, { timeout: "15 seconds" }).Add()),
                Effect.exit(pins.register(`new-${i}`, Pin, {})),
                Effect.exit(pins.setMetadata(`pin-${i}`, i)),
                Effect.exit(pins.whereis(`pin-${i}`, "owner"))
              ], { concurrency: "unbounded" }),
              { startImmediately: true }
            ))
          assert.isBelow(yield* rate(network), FRAMES_PER_SECOND)
          assert.isBelow(lines() - before, LOG_LINES)
          const d = yield* start(network, "d", ["a"], "pins")
          for (const fiber of asking) {
            const [call] = yield* Fiber.join(fiber)
            assert.deepStrictEqual(call, yield* Effect.exit(Effect.succeed(1)), "a call that waited is answered")
          }
          assert.isTrue(Option.isSome(yield* a.pins.whereis("pin-0")))
          yield* d.stop
        }))
      ),
    60_000
  )
})
