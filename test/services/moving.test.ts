// What moves along with a process besides its state: messages that wait, answers that were given (PROTOCOL R6, H21).
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { Placement } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (stage = new Stage()): Town<Things> => new Town(thingsOf(stage, { redistribution: "passive" }))

it("[R6] casts that wait when it moves are handled where it goes, once each and in their order", async () => {
  const stage = new Stage()
  const town = townOf(stage)
  await town.form("a", "b")
  await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
  const passing = town.begin("b", (things) => things.client(Thing, "one@a").Pass({ door: "door", then: "nothing" }))
  await town.until("it waits", () => stage.count("at door") === 1)
  for (let i = 0; i < 5; i++) await town.get("a", (things) => things.cast(Thing, "one@a", "Add", { by: 1 }))
  const moving = town.moving("one@a", "b", "a")
  await town.pass(100)
  Effect.runSync(stage.open("door"))
  assert.isTrue(Exit.isSuccess(await town.ended(moving)))
  await town.ended(passing)
  await town.until("it is there", () => town.running().join() === "one@a on b")
  assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@a").Get()), 5)
}, TIMEOUT_MS)

it("[R6] [H21] what was answered before it moved is answered again where it went, not done again", async () => {
  const town = townOf()
  await town.form("a", "b", "c")
  await town.get("c", (things) => things.register("one@a", Thing, { start: 0 }))
  await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, "one@a") === "a"))
  town.world.network.cut("a", "c")
  const calling = town.begin("c", (things) => things.client(Thing, "one@a", { timeout: "20 seconds" }).Add({ by: 7 }))
  await town.pass(700)
  const moving = town.moving("one@a", "b", "a")
  assert.isTrue(Exit.isSuccess(await town.ended(moving)))
  town.world.network.heal()
  assert.deepStrictEqual(await town.ended(calling), Exit.succeed(7))
  assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@a").Get()), 7)
}, TIMEOUT_MS)

it("[H21] that it isn't there any more is said of a call sent twice: the first may have been executed", async () => {
  const stage = new Stage()
  const placement = Placement.make(
    "by caller",
    (_, candidates, context) => candidates.find(({ id }) => id === (context?.caller === "b" ? "b" : "a"))
  )
  const town = new Town<Things>(thingsOf(stage, { redistribution: "passive", placement }))
  await town.form("a", "b", "c")
  await town.get("a", (things) => things.register("one", Thing, { start: 0 }))
  await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, "one") === "a"))
  town.world.network.cut("a", "c")
  const calling = town.begin("c", (things) => things.client(Thing, "one", { timeout: "20 seconds" }).Add({ by: 7 }))
  await town.pass(700)
  await town.get("b", (things) => things.unregister("one"))
  await town.get("b", (things) => things.register("one", Thing, { start: 0 }))
  await town.until("it is another one", () => town.running().join() === "one on b" && town.whereis("c", "one") === "b")
  town.world.network.heal()
  const error = Option.getOrThrow(Exit.findErrorOption(await town.ended(calling)))
  assert.strictEqual((error as { readonly reason?: string }).reason, "OutcomeUnknown")
  assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one").Get()), 0)
}, TIMEOUT_MS)

it("asked for on a node that then leaves, a move ends for whoever waits there", async () => {
  const stage = new Stage()
  const init = ({ handoff }: { readonly handoff: number | undefined }) =>
    handoff === undefined ? Effect.void : stage.pass("init")
  const town = new Town<Things>(thingsOf(stage, { redistribution: "passive", init }))
  await town.form("a", "b", "c")
  await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
  await town.until("c knows it", () => town.whereis("c", "one@a") === "a")
  const moving = town.moving("one@a", "b", "c")
  await town.until("it is on its way", () => stage.count("at init") === 1)
  await town.leave("c")
  const error = Option.getOrThrow(Exit.findErrorOption(await town.ended(moving)))
  assert.strictEqual((error as { readonly _tag: string })._tag, "Unavailable")
  Effect.runSync(stage.open("init"))
  await town.until("it goes on without them", () => town.running().join() === "one@a on b")
}, TIMEOUT_MS)

it("[R6] a move that takes longer than handoffTimeout fails, and its process goes on where it is", async () => {
  const stage = new Stage()
  const init = ({ handoff }: { readonly handoff: number | undefined }) =>
    handoff === undefined ? Effect.void : stage.pass("init")
  const app = thingsOf(stage, { redistribution: "passive", init })
  const town = new Town<Things>(app, { settings: { handoffTimeout: "1 second" } })
  await town.form("a", "b")
  await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
  await town.get("a", (things) => things.client(Thing, "one@a").Add({ by: 7 }))
  const since = town.nowMs
  const error = Option.getOrThrow(Exit.findErrorOption(await town.ended(town.moving("one@a", "b", "a"))))
  assert.strictEqual((error as { readonly _tag: string })._tag, "HandoffError")
  assert.closeTo(town.nowMs - since, 1000, 100)
  assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@a").Get()), 7)
  Effect.runSync(stage.open("init"))
  await town.untilLasting(
    "one copy runs, where it was",
    () => town.running().join() === "one@a on a" && town.isAgreed()
  )
  assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@a").Get()), 7)
}, TIMEOUT_MS)
