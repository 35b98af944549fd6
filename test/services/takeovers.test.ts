// Nodes with room for few processes, and names that many want at once.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { Placement, SwormError } from "@sworm/sworm"
import { cluster, nodeOf, running, Stage, Thing, thingsOf, TIMEOUT_MS, until } from "./support.ts"

describe("a full node", () => {
  it.live("is not asked again and again: what it has no room for goes on where it is", () => {
    const stage = new Stage()
    const homeless = ["one@b", "two@b", "three@b"]
    const test = Effect.gen(function* () {
      const { a, add } = yield* cluster(thingsOf(stage), ["a"])
      for (const name of [...homeless, "mark@c", "mark@d", "mark@e"]) {
        yield* a.things.register(name, Thing, { start: 1 })
      }
      yield* add("b", thingsOf(stage, { maxChildren: 1 }))
      const waiting = Effect.map(
        a.things.registered,
        (refs) => refs.filter(({ name, node }) => homeless.includes(name) && node === "a")
      )
      yield* until("b has one", Effect.map(waiting, (refs) => refs.length === 2))
      /** Every node that joins is a reason to look at all processes; the one before is over then. */
      const rounds = (ids: ReadonlyArray<string>) =>
        Effect.forEach(ids, (id) =>
          Effect.gen(function* () {
            yield* add(id)
            yield* until(`"${id}" has its own`, Effect.map(nodeOf(a, `mark@${id}`), (node) => node === id))
          }), { discard: true })
      yield* rounds(["c"])
      const before = yield* waiting
      yield* rounds(["d", "e"])
      assert.deepStrictEqual(yield* waiting, before, "neither frozen nor begun anew: their epochs are the same")
      for (const { name } of before) assert.strictEqual(yield* a.things.client(Thing, name).Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("isn't given what a lost node had: a sticky placement finds one with room", () => {
    const stage = new Stage()
    const placement = Placement.leastLoaded
    const names = Array.from({ length: 12 }, (_, i) => `thing-${i}`)
    const test = Effect.gen(function* () {
      const { a: b, add, b: c, together } = yield* cluster(thingsOf(stage, { placement }), ["b", "c"])
      // the home of some of the names, by hashing
      const a = yield* add("a", thingsOf(stage, { placement, maxChildren: 1 }))
      yield* together
      for (const name of names) {
        const exit = Effect.exit(b.things.register(name, Thing, { start: 1 }))
        yield* until("it is registered", Effect.map(exit, Exit.isSuccess))
      }
      assert.isNotEmpty(yield* running([c]))
      yield* c.kill
      const all = Effect.map(running([a, b]), (copies) => copies.map((copy) => copy.split(" ")[0]).join())
      yield* until("all run again", Effect.map(all, (copies) => copies === [...names].sort().join()))
      assert.isAtMost((yield* running([a])).length, 1)
      for (const name of names) assert.strictEqual(yield* b.things.client(Thing, name).Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})

describe("ensure", () => {
  it.live("runs a handler once that fails because another name is nobody's", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a } = yield* cluster(thingsOf(stage), ["a", "b"])
      for (const [times, name] of ["one@a", "two@b"].entries()) {
        const error = yield* Effect.flip(a.things.ensure(Thing, name, { start: 0 }).Ask({ other: "nobody" }))
        assert.instanceOf(error, SwormError.CallError)
        assert.deepInclude(error, { name: "nobody", reason: "NotRegistered" })
        assert.strictEqual(stage.count("asked"), times + 1)
        assert.isTrue(Option.isSome(yield* a.things.whereis(name)))
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
