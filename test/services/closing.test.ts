// Processes that end: what is waited for, for how long, and what begins after it.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { cluster, nodeOf, Stage, Thing, thingsOf, TIMEOUT_MS, until, within } from "./support.ts"

describe("a process that closes", () => {
  it.live("with an infinite limit it doesn't hold a leaving node beyond its own", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a, b } = yield* cluster(thingsOf(stage, { stop: () => Effect.never }), ["a", "b"])
      yield* a.things.register("one@b", Thing, { start: 1 }, { shutdownTimeout: "infinite" })
      yield* within("b has left", b.stop)
      assert.isTrue(stage.lines.some((line) => line.startsWith("stop ")))
      yield* until("it runs on a", Effect.map(nodeOf(a, "one@b"), (node) => node === "a"))
      assert.strictEqual(yield* a.things.client(Thing, "one@b").Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("with an infinite limit it doesn't hold the last node either", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(stage, { stop: () => Effect.never }), ["a"])
      yield* a.things.register("one@a", Thing, { start: 1 }, { shutdownTimeout: "infinite" })
      yield* within("a has left", a.stop)
      assert.strictEqual(stage.count("stop Shutdown"), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("unregistered while it lets go after a crash: the next of its name begins when that is done", () => {
    const stage = new Stage()
    const stop = (reason: string) => reason === "Crashed" ? stage.pass("closing") : Effect.void
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(stage, { stop, shutdownTimeout: "20 seconds" }), ["a"])
      yield* a.things.register("one@a", Thing, { start: 1 })
      yield* Effect.flip(a.things.client(Thing, "one@a").Crash({ bytes: 4 }))
      yield* stage.happened("at closing")
      const again = yield* Effect.forkScoped(
        Effect.andThen(a.things.unregister("one@a"), a.things.register("one@a", Thing, { start: 2 }))
      )
      yield* until("its name is given up", Effect.map(a.things.whereis("one@a"), Option.isNone))
      assert.strictEqual(stage.count("init one@a"), 1)
      yield* stage.open("closing")
      yield* Fiber.join(again)
      assert.strictEqual(stage.count("init one@a"), 2)
      assert.isBelow(stage.lines.indexOf("stopped Crashed"), stage.lines.lastIndexOf("init one@a"))
      assert.strictEqual(yield* a.things.client(Thing, "one@a").Get(), 2)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("asked to stop by a handler that crashes then: it is restarted, and goes on", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(stage), ["a", "b"])
      for (const name of ["one@a", "two@b"]) {
        yield* a.things.register(name, Thing, { start: 1 }, { restart: "transient" })
        const error = yield* Effect.flip(a.things.client(Thing, name).StopAndCrash())
        assert.strictEqual(error.reason, "Crashed")
        // each message that is handled would be the last
        for (let n = 2; n < 5; n++) assert.strictEqual(yield* a.things.client(Thing, name).Add({ by: 1 }), n)
        assert.isTrue(Option.isSome(yield* a.things.whereis(name)))
        assert.strictEqual(stage.count("stop Ended"), 0)
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("what can't start elsewhere can be unregistered at once", () => {
    const stage = new Stage()
    let mayStart = true
    const init = () => Effect.suspend(() => mayStart ? Effect.void : Effect.die("not here"))
    const test = Effect.gen(function* () {
      const { a, b } = yield* cluster(thingsOf(stage, { init }), ["a", "b"])
      yield* a.things.register("one@b", Thing, { start: 1 })
      mayStart = false
      yield* b.kill
      // tried again and again, with waits that grow
      const tries = Effect.sync(() => stage.count("init one@b"))
      yield* until("it was tried", Effect.map(tries, (count) => count > 3))
      const before = yield* tries
      yield* a.things.unregister("one@b")
      assert.isAtMost((yield* tries) - before, 1, "in the middle of a wait")
      assert.isTrue(Option.isNone(yield* a.things.whereis("one@b")))
      mayStart = true
      yield* a.things.register("one@b", Thing, { start: 2 })
      assert.strictEqual(yield* a.things.client(Thing, "one@b").Get(), 2)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
