// Numbers and sizes at their limits: what can't be told to other nodes is refused, and nothing stops for it.
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import {
  cluster,
  nodeOf,
  Stage,
  type TestNode,
  Thing,
  type ThingsClient,
  thingsOf,
  TIMEOUT_MS,
  until,
  within
} from "./support.ts"

const pair = Effect.suspend(() => cluster(thingsOf(new Stage()), ["a", "b"]))

/** What a node registers, the other still learns. */
const replicates = (from: TestNode<ThingsClient>, to: TestNode<ThingsClient>, name: string) =>
  Effect.gen(function* () {
    yield* within(`"${from.id}" registers`, from.things.register(name, Thing, { start: 3 }))
    yield* until(`"${to.id}" learns of it`, Effect.map(nodeOf(to, name), (node) => node !== undefined))
    assert.strictEqual(yield* to.things.client(Thing, name).Get(), 3)
  })

const crash = (node: TestNode<ThingsClient>, name: string, bytes = 4) =>
  Effect.flip(node.things.client(Thing, name).Crash({ bytes }))

describe("numbers in the options of a registration", () => {
  it.live("Infinity is no limit, on whatever node", () => {
    const test = Effect.gen(function* () {
      const { a, b } = yield* pair
      const restartLimit = { max: Infinity, within: "1 hour" } as const
      for (const name of ["one@a", "two@b"]) {
        const options = { restartLimit, mailboxCapacity: Infinity }
        yield* within("it registers", a.things.register(name, Thing, { start: 1 }, options))
        // more often than the default allows
        for (let i = 0; i < 6; i++) {
          yield* crash(a, name)
          assert.strictEqual(yield* a.things.client(Thing, name).Get(), 1)
        }
      }
      yield* replicates(a, b, "three@a")
      // what another node takes over it takes over with its options
      yield* b.kill
      yield* until("it is taken over", Effect.map(nodeOf(a, "two@b"), (node) => node === "a"))
      for (let i = 0; i < 6; i++) {
        yield* crash(a, "two@b")
        assert.strictEqual(yield* a.things.client(Thing, "two@b").Get(), 1)
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  const bad = [
    { restartLimit: { max: NaN, within: "1 second" } },
    { restartLimit: { max: -1, within: "1 second" } },
    { restartLimit: { max: 2.5, within: "1 second" } },
    { mailboxCapacity: NaN },
    { mailboxCapacity: -1 },
    { mailboxCapacity: 0.5 },
    { lease: Duration.infinity },
    { lease: 0 }
  ] as const

  it.live("those that are none are InvalidInput, and nothing is registered", () => {
    const test = Effect.gen(function* () {
      const { a, b } = yield* pair
      for (const name of ["one@a", "two@b"]) {
        for (const options of bad) {
          const error = yield* within(
            "it is refused",
            Effect.flip(a.things.register(name, Thing, { start: 1 }, options))
          )
          assert.strictEqual(error._tag, "InvalidInput", `${JSON.stringify(options)}: ${error.message}`)
        }
        assert.isTrue(Option.isNone(yield* a.things.whereis(name)))
      }
      for (const lease of [Duration.infinity, 0]) {
        const error = yield* within("it is refused", Effect.flip(Effect.scoped(a.things.adopt("three", { lease }))))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      yield* replicates(a, b, "four@a")
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("a call with an infinite timeout is answered", () => {
    const test = Effect.gen(function* () {
      const { a } = yield* pair
      for (const name of ["one@a", "two@b"]) {
        yield* a.things.register(name, Thing, { start: 1 })
        const call = a.things.client(Thing, name, { timeout: Duration.infinity }).Get()
        assert.strictEqual(yield* within("it is answered", call), 1)
      }
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})

describe("sizes that no frame has room for", () => {
  it.live("a timer's payload is refused, and its node still tells what it registers", () => {
    const test = Effect.gen(function* () {
      const { a, b } = yield* pair
      yield* a.things.register("one@a", Thing, { start: 1 })
      const error = yield* Effect.flip(a.things.client(Thing, "one@a").Remember({ bytes: 1_500_000 }))
      assert.strictEqual(error.reason, "Crashed")
      assert.include(error.detail, "timer")
      yield* replicates(a, b, "two@a")
      assert.strictEqual(yield* b.things.client(Thing, "one@a").Get(), 1)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("the text of a last crash is cut, and all nodes learn who was given up", () => {
    const test = Effect.gen(function* () {
      const { a, b } = yield* pair
      yield* a.things.register("one@a", Thing, { start: 1 }, { restartLimit: { max: 0, within: "1 hour" } })
      yield* within("the call ends", crash(a, "one@a", 2_000_000))
      for (const { things } of [a, b]) {
        yield* until("it is listed", Effect.map(things.givenUp, (all) => all.length === 1))
        const [givenUp] = yield* things.givenUp
        assert.include(givenUp?.detail, "xxxx")
      }
      yield* replicates(a, b, "two@a")
      assert.isTrue(Option.isNone(yield* b.things.whereis("one@a")))
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
