import { assert, it } from "@effect/vitest"
import { Option } from "effect"
import { Town } from "./simulated.ts"
import { Stage, Thing, thingsOf } from "./support.ts"

it.each([1, 2, 3, 4, 5, 6, 7, 8])("an acknowledged change of metadata outlives its holder (seed %i)", async (seed) => {
  const town = new Town(thingsOf(new Stage(), { redistribution: "passive" }), { seed })
  await town.form("a", "b", "c")
  await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }, { metadata: "first" }))
  await town.pass(5000)
  await town.get("c", (things) => things.setMetadata("one@a", "second"))
  town.world.crash("a")
  await town.until("it runs elsewhere", () => town.running("b", "c").length === 1)
  await town.pass(5000)
  for (const id of ["b", "c"]) {
    assert.strictEqual(Option.getOrThrow(await town.get(id, (things) => things.entry("one@a"))).metadata, "second", id)
  }
})
