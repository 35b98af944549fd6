// Two copies of a name after a split, of which the one that stays is not at hand just then.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Placement } from "@sworm/sworm"
import {
  allAre,
  cluster,
  running,
  Stage,
  type TestNode,
  Thing,
  type ThingsClient,
  thingsOf,
  TIMEOUT_MS,
  until
} from "./support.ts"

const NAMES = Array.from({ length: 6 }, (_, i) => `thing-${i}`)

const statuses = (nodes: ReadonlyArray<TestNode<ThingsClient>>) =>
  Effect.map(
    Effect.forEach(nodes, ({ id, supervisor }) => supervisor.which("Things", id)),
    (all) => all.flat().map(({ status }) => status)
  )

/** Two nodes that both run every name; the state that each had before is 5. */
const split = (stage: Stage, options: Parameters<typeof thingsOf>[1] = {}) =>
  Effect.gen(function* () {
    // passive: what settles stays where it is, so that nothing else changes a claim
    const app = thingsOf(stage, { ...options, redistribution: "passive", placement: Placement.rendezvous })
    const { a, b, network, nodes } = yield* cluster(app, ["a", "b"])
    for (const name of NAMES) {
      yield* a.things.register(name, Thing, { start: 0 })
      yield* a.things.client(Thing, name).Add({ by: 5 })
    }
    network.partition(["a"], ["b"])
    yield* until("each thinks the other dead", allAre(nodes, "dead"))
    yield* until("both run all", Effect.map(running(nodes), (all) => all.length === 2 * NAMES.length))
    const heal = Effect.gen(function* () {
      network.heal()
      yield* until("each sees the other", allAre(nodes, "alive"))
    })
    const settled = Effect.gen(function* () {
      yield* until("one copy of each stays", Effect.map(running(nodes), (all) => all.length === NAMES.length))
      for (const name of NAMES) {
        const agreed = Effect.map(
          Effect.all([a.things.whereis(name), b.things.whereis(name)]),
          ([onA, onB]) => JSON.stringify(onA) === JSON.stringify(onB)
        )
        yield* until("they agree", agreed)
        for (const { things } of nodes) assert.strictEqual(yield* things.client(Thing, name).Get(), 5)
      }
      assert.strictEqual((yield* running(nodes)).length, NAMES.length)
    })
    return { a, b, heal, nodes, settled }
  })

describe("a split that heals", () => {
  it.live("is settled though all copies are passive, and what they remember is kept", () => {
    const test = Effect.gen(function* () {
      const { heal, nodes, settled } = yield* split(new Stage(), { idleTimeout: "50 millis" })
      yield* until("all are passive", Effect.map(statuses(nodes), (all) => all.every((one) => one === "passive")))
      yield* heal
      yield* settled
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("is settled though copies wake and become passive meanwhile", () => {
    const test = Effect.gen(function* () {
      const { a, b, heal, settled } = yield* split(new Stage(), { idleTimeout: "0 millis" })
      const calls = yield* Effect.forEach(
        [a, b],
        ({ things }) =>
          Effect.forkScoped(Effect.forever(Effect.andThen(
            Effect.forEach(NAMES, (name) => Effect.exit(things.client(Thing, name).Get())),
            Effect.sleep(5)
          )))
      )
      yield* heal
      yield* settled
      yield* Fiber.interruptAll(calls)
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)

  it.live("is settled once the handlers at hand on both sides are done", () => {
    const stage = new Stage()
    const test = Effect.gen(function* () {
      const { a, b, heal, nodes, settled } = yield* split(stage)
      const calls = yield* Effect.forEach([a, b], ({ things }) =>
        Effect.forkScoped(
          things.client(Thing, "thing-0", { timeout: "20 seconds" }).Pass({ door: "handler", then: "nothing" })
        ))
      yield* until("both are at work", Effect.sync(() => stage.count("at handler") === 2))
      yield* heal
      yield* until("the others are settled", Effect.map(running(nodes), (all) => all.length === NAMES.length + 1))
      yield* stage.open("handler")
      for (const call of calls) yield* Fiber.join(call)
      yield* settled
    })
    return Effect.scoped(test)
  }, TIMEOUT_MS)
})
