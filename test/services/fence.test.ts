// PROTOCOL H20: a sworm that needs a quorum never runs a name twice, though a node of it was held up, and nobody knew.
import { assert, it } from "@effect/vitest"
import { Exit } from "effect"
import { Placement } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { Stage, steer, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const held = async (stopWithin: string) => {
  const stage = new Stage()
  const app = thingsOf(stage, { redistribution: "passive", placement: Placement.quorum(2, steer) })
  const town = new Town<Things>(app, { settings: { stopWithin: stopWithin as "10 seconds" } })
  await town.form("a", "b", "c")
  await town.get("c", (things) => things.register("one@a", Thing, { start: 0 }))
  await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, "one@a") === "a"))
  await town.pass(3000)
  town.world.hold("a", true)
  await town.until("a is dead", () => town.status("b", "a") === "dead" && town.status("c", "a") === "dead")
  return { town, stage }
}

it(
  "[H20] held up for longer than a side takes to stop, it does nothing before it has heard of the others",
  async () => {
    const { town } = await held("2 seconds")
    await town.until("it runs again", () => town.running("b", "c").length === 1)
    await town.get("b", (things) => things.client(Thing, "one@a").Add({ by: 1 }))
    town.world.hold("a", false)
    const exit = await town.ask(
      "a",
      (things) => things.client(Thing, "one@a", { timeout: "20 seconds" }).Add({ by: 10 })
    )
    assert.deepStrictEqual(exit, Exit.succeed(11))
    await town.until("one copy", () => town.isTogether() && town.running().length === 1 && town.isAgreed())
    assert.strictEqual(await town.get("c", (things) => things.client(Thing, "one@a").Get()), 11)
  },
  TIMEOUT_MS
)

it("[H20] held up for less than that, it goes on: the others have not begun, though they thought it dead", async () => {
  const { stage, town } = await held("20 seconds")
  await town.pass(2000)
  assert.strictEqual(stage.count("init one@a"), 1)
  town.world.hold("a", false)
  await town.until("one copy", () => town.isTogether() && town.running().length === 1 && town.isAgreed())
  await town.always("it alone", () => stage.count("init one@a") === 1, 5000)
}, TIMEOUT_MS)
