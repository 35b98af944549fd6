// What a process asks for, or lets go of, while it is being moved.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option } from "effect"
import {
  cluster,
  nodeOf,
  Stage,
  type TestNode,
  Thing,
  type ThingsClient,
  thingsOf,
  TIMEOUT_MS,
  until
} from "./support.ts"

const isMoving = ({ id, supervisor }: TestNode<ThingsClient>): Effect.Effect<boolean> =>
  Effect.map(supervisor.which("Things", id), (children) => children[0]?.status === "moving")

/** A move of one@a to b, frozen with a handler at hand that waits at a door before it does what is asked. */
const freezing = (stage: Stage, then: "timer" | "stop") =>
  Effect.gen(function* () {
    // passive: where it was moved to it stays
    const { a, b } = yield* cluster(thingsOf(stage, { redistribution: "passive" }), ["a", "b"])
    yield* a.things.register("one@a", Thing, { start: 0 })
    const call = yield* Effect.forkScoped(
      a.things.client(Thing, "one@a", { timeout: "20 seconds" }).Pass({ door: "handler", then })
    )
    yield* stage.happened("at handler")
    const move = yield* Effect.forkScoped(Effect.exit(a.handoff.move("Things", "one@a", "b")))
    yield* until("it freezes", isMoving(a))
    yield* stage.open("handler")
    yield* Fiber.join(call)
    return { a, b, moved: yield* Fiber.join(move) }
  })

describe("a process that is moved", () => {
  it.live("a timer that is set while its process freezes moves along", () => {
    const test = Effect.gen(function* () {
      const { a, moved } = yield* freezing(new Stage(), "timer")
      assert.isTrue(Exit.isSuccess(moved), String(moved))
      yield* until("the timer fires", Effect.map(a.things.client(Thing, "one@a").Get(), (n) => n === 100))
      assert.strictEqual(yield* nodeOf(a, "one@a"), "b")
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("a stop that is asked for while its process freezes ends it", () => {
    const test = Effect.gen(function* () {
      const { a, b, moved } = yield* freezing(new Stage(), "stop")
      assert.isTrue(Exit.isFailure(moved), String(moved))
      for (const { things } of [a, b]) {
        yield* until("its name is free", Effect.map(things.whereis("one@a"), Option.isNone))
      }
      const again = yield* a.things.register("one@a", Thing, { start: 7 })
      assert.strictEqual(again.node, "a")
      assert.strictEqual(yield* b.things.client(Thing, "one@a").Get(), 7)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("passive, with its closing under way: it begins elsewhere when that is done", () => {
    const stage = new Stage()
    const app = thingsOf(stage, {
      redistribution: "passive",
      idleTimeout: "50 millis",
      shutdownTimeout: "20 seconds",
      // only the first closing waits
      stop: () => stage.count("at closing") === 0 ? stage.pass("closing") : Effect.void
    })
    const test = Effect.gen(function* () {
      const { a, b } = yield* cluster(app, ["a", "b"], { a: { handoffTimeout: "20 seconds" } })
      yield* a.things.register("other@a", Thing, { start: 0 }, { idleTimeout: "1 hour" })
      yield* a.things.register("one@a", Thing, { start: 5 })
      yield* stage.happened("at closing")
      const move = yield* Effect.forkScoped(b.handoff.move("Things", "one@a", "b"))
      const call = yield* Effect.forkScoped(
        b.things.client(Thing, "one@a", { timeout: "20 seconds" }).Add({ by: 1 }).pipe(
          Effect.tap(stage.note("answered"))
        )
      )
      yield* until("it is prepared elsewhere", isMoving(b))
      // frames keep their order: what was committed by now would be answered
      for (let i = 0; i < 10; i++) yield* b.things.client(Thing, "other@a").Get()
      assert.deepStrictEqual([stage.count("stopped Idle"), stage.count("answered")], [0, 0])
      yield* stage.open("closing")
      assert.strictEqual((yield* Fiber.join(move)).node, "b")
      assert.strictEqual(yield* Fiber.join(call), 6)
      assert.isBelow(stage.lines.indexOf("stopped Idle"), stage.lines.indexOf("answered"))
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("one that was registered with `handoff: false` starts anew where it goes", () => {
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(new Stage(), { redistribution: "passive" }), ["a", "b"])
      for (const [name, handoff] of [["kept@a", true], ["anew@a", false]] as const) {
        yield* a.things.register(name, Thing, { start: 1 }, { handoff })
        yield* a.things.client(Thing, name).Add({ by: 2 })
        yield* a.handoff.move("Things", name, "b")
      }
      assert.strictEqual(yield* a.things.client(Thing, "kept@a").Get(), 3)
      assert.strictEqual(yield* a.things.client(Thing, "anew@a").Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("what was registered by hand takes no messages, and says so at once", () => {
    const test = Effect.gen(function* () {
      const { a, b } = yield* cluster(thingsOf(new Stage()), ["a", "b"])
      yield* a.things.adopt("by hand")
      for (const { things } of [a, b]) {
        yield* until("it is known", Effect.map(things.whereis("by hand"), Option.isSome))
        const error = yield* Effect.flip(things.client(Thing, "by hand", { timeout: "1 hour" }).Get())
        assert.strictEqual(error.reason, "NotRegistered", error.message)
        assert.isFalse(yield* things.cast(Thing, "by hand", "Add", { by: 1 }))
        assert.strictEqual((yield* things.countChildren).get("a"), undefined)
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
