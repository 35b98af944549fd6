// What begins again by itself: linked processes, though clocks disagree; a daemon that has lost its name.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { Sworm } from "@sworm/sworm"
import { cluster, Stage, Thing, thingsOf, TIMEOUT_MS, until } from "./support.ts"

describe("processes that are linked", () => {
  it.live("follow each other though one node's clock is two minutes behind", () => {
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(new Stage()), ["a", "b"], { b: { behindMs: 120_000 } })
      for (const name of ["one@a", "two@b"]) yield* a.things.register(name, Thing, { start: 0 })
      yield* a.things.link({ strategy: "one_for_all", names: ["one@a", "two@b"] })
      // first the one whose clock is behind, then after a failure that was stamped by the other
      for (const [crashed, follower] of [["two@b", "one@a"], ["one@a", "two@b"], ["two@b", "one@a"]] as const) {
        const { Add, Get } = a.things.client(Thing, follower)
        yield* Add({ by: 5 })
        yield* Effect.flip(a.things.client(Thing, crashed).Crash({ bytes: 4 }))
        yield* until(`"${follower}" follows`, Effect.map(Get(), (n) => n === 0))
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})

describe("a daemon on each node", () => {
  it.live("whose name was unregistered gets it back, and begins again", () => {
    const stage = new Stage()
    const run = ({ node }: Sworm.Daemon) =>
      Effect.acquireUseRelease(stage.note(`begins on ${node}`), () => Effect.never, () => stage.note(`ends on ${node}`))
    const daemons = Sworm.daemons("watchers", { size: "each node" }, run)
    const test = Effect.gen(function* () {
      const { a, b, nodes } = yield* cluster(thingsOf(new Stage()), ["a", "b"])
      for (const { context } of nodes) {
        yield* Layer.build(Layer.fresh(daemons).pipe(Layer.provide(Layer.succeedContext(context))))
      }
      const whereis = b.registry.whereis("daemons/watchers", "a")
      yield* until("it has its name", Effect.map(whereis, Option.isSome))
      const before = Option.getOrThrow(yield* whereis)
      yield* b.registry.unregister("daemons/watchers", "a")
      const isBack = Effect.map(whereis, (now) => Option.isSome(now) && now.value.epoch > before.epoch)
      yield* until("it has its name again", isBack)
      assert.strictEqual(Option.getOrThrow(yield* a.registry.whereis("daemons/watchers", "a")).node, "a")
      yield* until("it runs again", Effect.sync(() => stage.count("begins on a") === 2))
      assert.deepStrictEqual([stage.count("ends on a"), stage.count("begins on b")], [1, 1])
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
