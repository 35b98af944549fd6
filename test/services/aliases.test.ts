// Aliases where a process is hard to find: while its node is dead, and where it is one of several.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { cluster, nodeOf, Stage, Thing, thingsOf, TIMEOUT_MS, until } from "./support.ts"

describe("an alias", () => {
  it.live("of a process whose node is dead: calls wait for it, as they do for its name", () => {
    const stage = new Stage()
    let isTakenOver = false
    const init = () => Effect.suspend(() => isTakenOver ? stage.pass("takeover") : Effect.void)
    const test = Effect.gen(function* () {
      const { a, b } = yield* cluster(thingsOf(stage, { init }), ["a", "b"])
      yield* a.things.register("one@b", Thing, { start: 1 })
      const names = ["one@b", "other", "third"]
      for (const alias of names.slice(1)) {
        yield* b.things.alias(alias, "one@b")
        yield* until("a knows it", Effect.map(nodeOf(a, alias), (node) => node === "b"))
      }
      isTakenOver = true
      const calling = Effect.forEach(
        names,
        (name) =>
          Effect.forkScoped(Effect.exit(a.things.client(Thing, name, { timeout: "20 seconds" }).Get()), {
            startImmediately: true
          })
      )
      yield* b.kill
      const soon = yield* calling
      yield* stage.happened("at takeover")
      const late = yield* calling
      yield* stage.open("takeover")
      // under way while b died, a call may have been executed
      for (const fiber of soon) {
        const exit = yield* Fiber.join(fiber)
        if (exit._tag === "Failure") assert.include(String(exit.cause), "OutcomeUnknown")
      }
      for (const fiber of late) assert.deepStrictEqual(yield* Fiber.join(fiber), yield* Effect.exit(Effect.succeed(1)))
      for (const name of names) assert.strictEqual(yield* nodeOf(a, name), "a")
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("names a process in a link", () => {
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(new Stage()), ["a", "b"])
      for (const name of ["one@a", "two@b"]) yield* a.things.register(name, Thing, { start: 0 })
      yield* a.things.alias("first", "one@a")
      yield* a.things.link({ strategy: "one_for_all", names: ["first", "two@b"] })
      for (const [crashed, follower] of [["two@b", "one@a"], ["one@a", "two@b"]] as const) {
        const { Add, Get } = a.things.client(Thing, follower)
        yield* Add({ by: 5 })
        yield* Effect.flip(a.things.client(Thing, crashed).Crash({ bytes: 4 }))
        yield* until("it follows", Effect.map(Get(), (n) => n === 0))
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
