// [P79] [H19] Flap damping: who is thought dead again and again steps back until it is quiet.
import { assert, describe, it } from "@effect/vitest"
import { Town } from "./simulated.ts"
import { Stage, Thing, thingsOf, TIMEOUT_MS } from "./support.ts"

/** It is held up for longer than the others wait for it, and comes back. */
const flap = async <Self>(town: Town<Self>, id: string, others: ReadonlyArray<string>) => {
  town.world.hold(id, true)
  await town.until(`${id} is dead`, () => others.every((other) => town.status(other, id) === "dead"))
  town.world.hold(id, false)
  await town.until(`${id} is back`, () => others.every((other) => town.status(other, id) === "alive"))
}

describe("[P79] a node that flaps", () => {
  it(
    "[H19] runs nothing after its third death within a minute, and takes part again when it has been quiet",
    async () => {
      const town = new Town(thingsOf(new Stage()), { seed: 3 })
      await town.form("a", "b", "c")
      await town.get("a", (things) => things.register("one@c", Thing, { start: 1 }))
      for (let times = 1; times <= 2; times++) await flap(town, "c", ["a", "b"])
      await town.until("it is on c", () => town.running().join() === "one@c on c")
      assert.include(town.syncedOn("a"), "c")
      await flap(town, "c", ["a", "b"])
      await town.until("c steps back", () => !town.syncedOn("a").includes("c") && !town.syncedOn("b").includes("c"))
      await town.until("its process is elsewhere", () => town.running("a", "b").length === 1)
      await town.always("c stays back", () => !town.syncedOn("a").includes("c"), 20_000)
      await town.until("c takes part again", () => town.syncedOn("a").includes("c") && town.syncedOn("b").includes("c"))
      await town.until("its process is back", () => town.running().join() === "one@c on c")
    },
    TIMEOUT_MS
  )

  it("goes on where nobody else could", async () => {
    const town = new Town(thingsOf(new Stage()), { seed: 4 })
    await town.form("a", "b")
    for (let times = 1; times <= 4; times++) await flap(town, "b", ["a"])
    await town.always("b takes part", () => town.syncedOn("a").includes("b"), 5000)
  }, TIMEOUT_MS)
})
