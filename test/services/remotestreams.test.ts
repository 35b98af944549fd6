// Streams that are read on another node than their process's, and end in the middle of things.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import { cluster, Stage, steer, TIMEOUT_MS, until, within } from "./support.ts"

const Feed = Process.make("Feed", {
  state: Schema.Int,
  protocol: [
    /** Has no element, and no end. */
    Rpc.make("Silence", { success: Schema.Int, stream: true }),
    /** One element; then it interrupts itself. */
    Rpc.make("Interrupted", { success: Schema.Int, stream: true }),
    Rpc.make("Pass", { payload: { door: Schema.String } }),
    Rpc.make("Get", { success: Schema.Int })
  ]
})

interface Feeds {
  readonly "~feeds": never
}

const feedsOf = (stage: Stage) => {
  // passive: what is moved stays there
  const sworm = { placement: steer, redistribution: "passive", processes: [Feed] } as const
  class Service extends Sworm.Service<Feeds>()("Feeds", sworm) {}
  const implementation = Service.toLayer(Feed, {
    init: () => Effect.succeed(1),
    handlers: {
      Silence: () =>
        Stream.fromEffect(
          Effect.acquireUseRelease(stage.note("opened"), () => Effect.never, () => stage.note("closed"))
        ),
      Interrupted: () => Stream.concat(Stream.make(1), Stream.fromEffect(Effect.interrupt)),
      Pass: ({ door }) => stage.pass(door),
      Get: () => Effect.succeed(1)
    }
  })
  return { service: Service, layer: Layer.provide(Service.layer, implementation) }
}

const pair = (stage: Stage) => cluster(feedsOf(stage), ["a", "b"])

/** The holder runs it, and the reader has been told: frames keep their order. */
const opened = <E>(stage: Stage, roundTrip: Effect.Effect<unknown, E>) =>
  Effect.andThen(stage.happened("opened"), Effect.repeat(roundTrip, { times: 5 }))

const isFreed = (stage: Stage): Effect.Effect<boolean> =>
  Effect.sync(() => stage.count("opened") === stage.count("closed"))

describe("a stream that another node reads", () => {
  it.live("its holder dies before its first element: the reader is told", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a, b } = yield* pair(stage)
      yield* a.things.register("feed@b", Feed, {})
      const reader = yield* Effect.forkScoped(
        Effect.flip(Stream.runDrain(a.things.client(Feed, "feed@b").Silence()))
      )
      yield* opened(stage, a.things.client(Feed, "feed@b").Get())
      yield* b.kill
      const { reason } = yield* within("the reader is told", Fiber.join(reader))
      assert.strictEqual(reason, "OutcomeUnknown")
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("its reader stops before the first element: what it holds is freed", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a } = yield* pair(stage)
      yield* a.things.register("feed@b", Feed, {})
      const reader = yield* Effect.forkScoped(Stream.runDrain(a.things.client(Feed, "feed@b").Silence()))
      yield* opened(stage, a.things.client(Feed, "feed@b").Get())
      yield* Fiber.interrupt(reader)
      yield* until("it is freed", isFreed(stage))
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("it interrupts itself: it ends at its reader too, after what came before", () => {
    const test = Effect.gen(function* () {
      const { a } = yield* pair(new Stage())
      yield* a.things.register("feed@b", Feed, {})
      const got: Array<number> = []
      const read = Stream.runForEach(
        a.things.client(Feed, "feed@b").Interrupted(),
        (n) => Effect.sync(() => void got.push(n))
      )
      const error = yield* within("it ends", Effect.flip(read))
      assert.deepInclude(error, { reason: "Stopped", detail: "the stream was interrupted" })
      assert.deepStrictEqual(got, [1])
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("it was asked for, and sent on by a move, before its reader stopped: nothing stays open", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a } = yield* pair(stage)
      yield* a.things.register("feed@a", Feed, {})
      const { Pass, Silence } = a.things.client(Feed, "feed@a", { timeout: "20 seconds" })
      yield* Effect.forkScoped(Pass({ door: "first" }), { startImmediately: true })
      yield* Effect.forkScoped(Pass({ door: "second" }), { startImmediately: true })
      const reader = yield* Effect.forkScoped(Stream.runDrain(Silence()), { startImmediately: true })
      const move = yield* Effect.forkScoped(a.handoff.move("Feeds", "feed@a", "b"), { startImmediately: true })
      yield* stage.open("first")
      assert.strictEqual((yield* Fiber.join(move)).node, "b")
      yield* stage.happened("at second")
      yield* Fiber.interrupt(reader)
      yield* stage.open("second")
      // in turn: the first has been opened before the second, or never will be
      const second = yield* Effect.forkScoped(Stream.runDrain(Silence()))
      yield* stage.happened("opened")
      yield* Fiber.interrupt(second)
      yield* until("it is freed", isFreed(stage))
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
