// A sworm that needs two nodes, while there is one: what begins, ends or is asked for just then.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option } from "effect"
import { Placement } from "@sworm/sworm"
import { allAre, cluster, nodeOf, running, Stage, steer, Thing, thingsOf, TIMEOUT_MS, until } from "./support.ts"

const placement = Placement.quorum(2, steer)

describe("a quorum", () => {
  it.live("that returns while a process closes: one copy runs, and all know where", () => {
    const stage = new Stage()
    const stop = () => stage.count("at closing") === 0 ? stage.pass("closing") : Effect.void
    const test = Effect.gen(function* () {
      const app = thingsOf(stage, { placement, stop, shutdownTimeout: "20 seconds" })
      const { a, b, network, nodes } = yield* cluster(app, ["a", "b"])
      yield* a.things.register("one@a", Thing, { start: 1 })
      network.partition(["a"], ["b"])
      yield* stage.happened("at closing")
      yield* until("each thinks the other dead", allAre(nodes, "dead"))
      network.heal()
      yield* until("each sees the other", allAre(nodes, "alive"))
      yield* stage.open("closing")
      yield* until("it runs again", Effect.map(running(nodes), (all) => all.join() === "one@a on a"))
      for (const node of nodes) {
        yield* until(`"${node.id}" knows where`, Effect.map(nodeOf(node, "one@a"), (at) => at === "a"))
        assert.strictEqual(yield* node.things.client(Thing, "one@a").Get(), 1)
      }
      const agreed = Effect.map(
        Effect.all([a.things.whereis("one@a"), b.things.whereis("one@a")]),
        ([onA, onB]) => JSON.stringify(onA) === JSON.stringify(onB)
      )
      yield* until("they agree", agreed)
      assert.deepStrictEqual(yield* running(nodes), ["one@a on a"])
      assert.isBelow(stage.lines.indexOf("stopped Shutdown"), stage.lines.lastIndexOf("init one@a"))
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("that is lost while a process starts: it doesn't serve", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a, add, b } = yield* cluster(thingsOf(stage, { placement, init: () => stage.pass("init") }), ["a", "b"])
      const start = yield* Effect.forkScoped(Effect.exit(a.things.register("one@a", Thing, { start: 1 })))
      yield* stage.happened("at init")
      yield* b.kill
      yield* until("b is dead", Effect.map(a.statusOf("b"), (status) => status === "dead"))
      yield* stage.open("init")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(start)))
      assert.deepStrictEqual(yield* running([a]), [])
      const call = yield* Effect.exit(a.things.client(Thing, "one@a", { timeout: "100 millis" }).Get())
      assert.isTrue(Exit.isFailure(call))
      assert.strictEqual(stage.count("stopped Shutdown"), 1)
      yield* add("c")
      const again = a.things.whereisOrRegister("one@a", Thing, { start: 2 })
      yield* until("it starts", Effect.map(Effect.exit(again), Exit.isSuccess))
      assert.strictEqual(yield* a.things.client(Thing, "one@a", { timeout: "20 seconds" }).Get(), 2)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("that is lost frees no name, and no alias", () => {
    const test = Effect.gen(function* () {
      const { a, add, b } = yield* cluster(thingsOf(new Stage(), { placement }), ["a", "b"])
      yield* a.things.register("one@a", Thing, { start: 1 })
      yield* a.things.alias("other", "one@a")
      yield* b.stop
      yield* until("it has ended", Effect.map(running([a]), (all) => all.length === 0))
      for (const name of ["one@a", "other"]) {
        const error = yield* Effect.flip(Effect.scoped(a.things.adopt(name)))
        assert.strictEqual(error._tag, "NameTaken", name)
      }
      yield* Effect.scoped(a.things.adopt("free"))
      yield* add("c")
      assert.strictEqual(yield* a.things.client(Thing, "other", { timeout: "20 seconds" }).Get(), 1)
      assert.strictEqual(Option.getOrThrow(yield* a.things.whereis("other")).name, "one@a")
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
