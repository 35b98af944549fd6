// PROTOCOL R11: a node comes back that was away for longer than anybody remembers.
import { it } from "@effect/vitest"
import { Placement } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

it("[R11] [H24] it drops what it knew of others: what has ended meanwhile is not started from it", async () => {
  // never at a: there it waits for the others, in what a knows of them
  const placement = Placement.make(
    "c or b",
    (_, all) => all.find(({ id }) => id === "c") ?? all.find(({ id }) => id === "b")
  )
  const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive", placement }), {
    settings: { onReturn: "stop", forgetAfter: "5 seconds", tombAge: "1 second" }
  })
  const there = ["b", "d"]
  await town.form("a", "b", "c", "d")
  await town.get("b", (things) => things.register("one", Thing, { start: 0 }))
  await town.until("all know it", () => ["a", "b", "d"].every((id) => town.names(id).length === 1))
  await town.part(["a"], ["b", "c", "d"])
  town.world.crash("c")
  await town.until("one of the others runs it", () => town.running(...there).length === 1)
  await town.get("b", (things) => things.unregister("one"))
  await town.until("they have forgotten both", () => there.every((id) => town.members(id).length === 2))
  await town.pass(10_000)
  town.world.network.heal()
  const isGone = () => town.running().length === 0 && town.world.ready.every(({ id }) => town.names(id).length === 0)
  await town.until("all are one, without it", () => town.isTogether() && isGone())
  await town.always("it stays ended", isGone, 10_000)
}, TIMEOUT_MS)
