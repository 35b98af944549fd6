// A call that comes back to the process that once waited for it, and has given up meanwhile.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm, type SwormError } from "@sworm/sworm"
import { cluster, Stage, steer, TIMEOUT_MS } from "./support.ts"

const Node = Process.make("Node", {
  state: Schema.Int,
  protocol: [
    /** Calls `Back` of another, and gives up waiting. */
    Rpc.make("Outer", { payload: { other: Schema.String }, success: Schema.String }),
    /** Waits at a door though nobody waits for it any more; then calls `Add` of the first. */
    Rpc.make("Back", { payload: { to: Schema.String } }),
    Rpc.make("Add", { success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int }),
    /** Waits at a door. */
    Rpc.make("Hold"),
    /** Waits for another that does. */
    Rpc.make("HoldOn", { payload: { other: Schema.String } })
  ]
})

interface Chain {
  readonly "~chain": never
}

const chainOf = (stage: Stage, options: Process.ProcessOptions) => {
  // passive: what is moved stays there
  const sworm = { ...options, placement: steer, redistribution: "passive", processes: [Node] } as const
  class Service extends Sworm.Service<Chain>()("Chain", sworm) {}
  const client = (name: string, timeout: "100 millis" | "20 seconds") =>
    Effect.map(Service, (chain) => chain.client(Node, name, { timeout }))
  const implementation = Service.toLayer(Node, {
    // a copy that a move makes waits
    init: ({ handoff }) => Effect.as(handoff === undefined ? Effect.void : stage.pass("init"), 0),
    handlers: {
      Outer: ({ other }, { name }) =>
        Effect.gen(function* () {
          const back = yield* Effect.flip((yield* client(other, "100 millis")).Back({ to: name })).pipe(Effect.orDie)
          return back.reason
        }),
      Back: ({ to }) =>
        Effect.uninterruptible(Effect.gen(function* () {
          const first = yield* client(to, "20 seconds")
          yield* stage.pass("back")
          yield* stage.note("calls back")
          const exit = yield* Effect.exit(first.Add())
          yield* stage.note(exit._tag === "Success" ? `answered ${exit.value}` : `failed: ${String(exit.cause)}`)
        })),
      Add: (_, { node, state }) => Effect.andThen(stage.note(`adds on ${node}`), Ref.updateAndGet(state, (n) => n + 1)),
      Get: (_, { state }) => Ref.get(state),
      Hold: () => stage.pass("hold"),
      HoldOn: ({ other }) => Effect.flatMap(client(other, "20 seconds"), ({ Hold }) => Effect.orDie(Hold()))
    }
  })
  return { service: Service, layer: Layer.provide(Service.layer, implementation) }
}

/** Of first@a and second@b: the first has given up waiting for the second, which is about to call it. */
const abandoned = (stage: Stage, options: Process.ProcessOptions) =>
  Effect.gen(function* () {
    const { a, b } = yield* cluster(chainOf(stage, options), ["a", "b"])
    for (const name of ["first@a", "second@b", "other@a", "third@b"]) yield* a.things.register(name, Node, {})
    assert.strictEqual(yield* a.things.client(Node, "first@a").Outer({ other: "second@b" }), "Timeout")
    yield* stage.happened("at back")
    /** Calls back; frames keep their order, so that the call has arrived when this ends. */
    const callBack = Effect.gen(function* () {
      yield* stage.open("back")
      yield* stage.happened("calls back")
      for (let i = 0; i < 10; i++) yield* b.things.client(Node, "other@a").Get()
    })
    return { a, b, callBack }
  })

type First = Process.Client<typeof Node["protocol"][number], SwormError.CallError>

/** While another handler of the first runs, which has nothing to do with the chain. */
const besideAnother = (options: Process.ProcessOptions, hold: (first: First) => Effect.Effect<void, unknown>) =>
  Effect.gen(function* () {
    const stage = new Stage()
    const { a, callBack } = yield* abandoned(stage, options)
    const held = yield* Effect.forkScoped(hold(a.things.client(Node, "first@a", { timeout: "20 seconds" })))
    yield* stage.happened("at hold")
    yield* callBack
    assert.strictEqual(stage.count("adds on a"), 0, "one handler at a time")
    yield* stage.open("hold")
    yield* Fiber.join(held)
    yield* stage.happened("answered 1")
    // for the moves at the end
    yield* stage.open("init")
    assert.strictEqual(yield* a.things.client(Node, "first@a").Get(), 1)
  }).pipe(Effect.scoped)

describe("a call from a chain that was given up", () => {
  for (const reentrant of [true, false]) {
    const what = reentrant ? "is not run beside the handler at hand" : "is not refused as reentrant"

    it.live(`${what}: it is no circle`, () => besideAnother({ reentrant }, (first) => first.Hold()), TIMEOUT_MS)

    it.live(
      `${what}, though that waits for another call`,
      () => besideAnother({ reentrant }, (first) => first.HoldOn({ other: "third@b" })),
      TIMEOUT_MS
    )
  }

  it.live("is not run on a copy that is frozen: what it does is not lost with it", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a, b, callBack } = yield* abandoned(stage, { reentrant: true })
      const move = yield* Effect.forkScoped(a.handoff.move("Chain", "first@a", "b"))
      yield* stage.happened("at init")
      yield* callBack
      assert.strictEqual(stage.count("adds on a"), 0, "its state is on its way")
      yield* stage.open("init")
      assert.strictEqual((yield* Fiber.join(move)).node, "b")
      yield* stage.happened("answered 1")
      assert.strictEqual(stage.count("adds on b"), 1)
      assert.strictEqual(yield* b.things.client(Node, "first@a").Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
