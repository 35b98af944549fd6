// What a process may do to itself, and in which order it ends.
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Memory, Process, Sworm } from "@sworm/sworm"

const Probe = Process.make("Probe", {
  state: Schema.Int,
  protocol: [
    Rpc.make("Get", { success: Schema.Int }),
    Rpc.make("Add", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("CallSelf", { success: Schema.String }),
    Rpc.make("ForkToSelf", { success: Schema.Int }),
    Rpc.make("Hold")
  ]
})
class Probes extends Sworm.Service<Probes>()("Probes", { processes: [Probe] }) {}

/** What happened, in order; and a gate that says when `Hold` has begun. */
const order: Array<string> = []
const holding = Deferred.makeUnsafe<void>()

const ProbeLayer = Probes.toLayer(Probe, {
  init: () => Effect.as(Effect.addFinalizer(() => Effect.sync(() => void order.push("the process's scope"))), 0),
  handlers: {
    Get: (_, { state }) => Ref.get(state),
    Add: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by),
    CallSelf: (_, { name }) =>
      Effect.gen(function* () {
        const call = (yield* Probes).client(Probe, name).Get()
        return yield* Effect.match(call, { onFailure: ({ reason }): string => reason, onSuccess: () => "answered" })
      }),
    ForkToSelf: (_, { name, state }) =>
      Effect.gen(function* () {
        // runs after this handler: the message waits for it like any other
        yield* Effect.forkScoped((yield* Probes).client(Probe, name).Add({ by: 10 }))
        return yield* Ref.updateAndGet(state, (n) => n + 1)
      }),
    Hold: () =>
      Effect.andThen(Deferred.succeed(holding, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void order.push("the handler")))
      )
  },
  stop: (reason) => Effect.sync(() => void order.push(`stop: ${reason}`))
})

const App = Probes.layer.pipe(Layer.provide(ProbeLayer), Layer.provide(Memory.layer))

describe("a process", () => {
  it.live("that calls itself is told so; what it forks may call it", () =>
    Effect.gen(function* () {
      const probes = yield* Probes
      yield* probes.register("self", Probe, {})
      const self = probes.client(Probe, "self")
      assert.strictEqual(yield* self.CallSelf(), "Reentrant")
      assert.strictEqual(yield* self.ForkToSelf(), 1)
      while ((yield* self.Get()) !== 11) yield* Effect.sleep(1)
    }).pipe(Effect.provide(App)))

  it.live("that is unregistered ends inside out: the handler at hand, the stop hook, its scope", () =>
    Effect.gen(function* () {
      const probes = yield* Probes
      yield* probes.register("held", Probe, {})
      const held = yield* Effect.forkChild(Effect.exit(probes.client(Probe, "held").Hold()))
      yield* Deferred.await(holding)
      order.length = 0
      yield* probes.unregister("held")
      assert.deepStrictEqual(order, ["the handler", "stop: Unregistered", "the process's scope"])
      const exit = yield* Fiber.join(held)
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.propertyVal(error, "reason", "OutcomeUnknown")
    }).pipe(Effect.provide(App)))
})
