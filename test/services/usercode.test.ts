// A program's own code may throw anywhere: that is that process's or that call's affair, never the node's.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Memory, Placement, Process, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

const Get = Rpc.make("Get", { success: Schema.Int })
const Thrower = Process.make("Thrower", {
  args: { where: Schema.String },
  state: Schema.Int,
  protocol: [Get, Rpc.make("Throw", { success: Schema.Int })]
})
const thrown = (): never => {
  throw new Error("from the program")
}

const placement = Placement.make(
  "throws-for-some/1",
  (name, candidates) => name === "placement" ? thrown() : Placement.rendezvous.pick(name, candidates)
)

class Throwers extends Sworm.Service<Throwers>()("Throwers", { processes: [Thrower], placement }) {}

const ThrowerLayer = Throwers.toLayer(Thrower, {
  init: ({ args }) => args.where === "init" ? thrown() : Effect.succeed(7),
  handlers: {
    Get: (_, { state }) => Ref.get(state),
    Throw: () => thrown()
  },
  beginHandoff: () => thrown(),
  stop: () => thrown()
})

const node = (id: string, seeds: ReadonlyArray<string> = []) =>
  Throwers.layer.pipe(
    Layer.provide(ThrowerLayer),
    Layer.provideMerge(Memory.layerNode({ id, seeds, preset: "local", shutdownTimeout: "1 second" }))
  )

const withNodes = Effect.gen(function* () {
  const a = yield* Layer.build(node("a"))
  const b = yield* Layer.build(Layer.fresh(node("b", ["a"])))
  return { a, b }
}).pipe(Effect.provide(VirtualNetwork.layer()))

describe("a program whose code throws", () => {
  it.live("in init, a handler or the stop hook: typed errors, and the name is freed", () =>
    Effect.gen(function* () {
      const { a } = yield* withNodes
      const throwers = yield* Throwers.pipe(Effect.provideContext(a))
      const failed = yield* Effect.flip(throwers.register("init", Thrower, { where: "init" }))
      assert.strictEqual(failed._tag, "StartFailed")
      yield* throwers.register("handler", Thrower, { where: "handler" })
      const client = throwers.client(Thrower, "handler")
      const crash = yield* Effect.exit(client.Throw())
      assert.isTrue(Exit.isFailure(crash))
      assert.strictEqual(yield* client.Get(), 7)
      yield* throwers.unregister("handler")
      yield* throwers.register("handler", Thrower, { where: "again" })
    }))

  it.live("in placement: the registration fails, others go on", () =>
    Effect.gen(function* () {
      const { a } = yield* withNodes
      const throwers = yield* Throwers.pipe(Effect.provideContext(a))
      const failed = yield* Effect.flip(throwers.register("placement", Thrower, { where: "" }))
      assert.strictEqual(failed._tag, "Unavailable")
      yield* throwers.register("placed", Thrower, { where: "" })
    }))

  it.live("in beginHandoff: the process stays where it was, with its state", () =>
    Effect.gen(function* () {
      const { a, b } = yield* withNodes
      const throwers = yield* Throwers.pipe(Effect.provideContext(b))
      const ref = yield* throwers.register("stays", Thrower, { where: "" })
      const handoff = yield* Handoff.Handoff.pipe(Effect.provideContext(a))
      const target = ref.node === "a" ? "b" : "a"
      const error = yield* Effect.flip(handoff.move("Throwers", "stays", target))
      assert.strictEqual(error._tag, "HandoffError")
      assert.include(error.message, "from the program")
      assert.strictEqual(yield* throwers.client(Thrower, "stays").Get(), 7)
    }))
})
