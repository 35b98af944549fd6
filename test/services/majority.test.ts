// A quorum is counted against the number it was given, never against who happens to be seen.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Placement } from "@sworm/sworm"
import { failureOf, Town, type TownOptions } from "./simulated.ts"
import { Stage, steer, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (quorum: number, options: TownOptions = {}, stage = new Stage()): Town<Things> =>
  new Town(thingsOf(stage, { placement: Placement.quorum(quorum, steer) }), options)

const names = ["one@a", "two@b", "three@c", "four@d", "five@e"]

const fill = async (town: Town<Things>): Promise<void> => {
  await town.get("a", (things) => Effect.forEach(names, (name) => things.register(name, Thing, { start: 1 })))
}

describe("a quorum of three of five", () => {
  it("[D3] nodes die one by one, and are forgotten: two don't become a majority of those that are left", async () => {
    const town = townOf(3, { settings: { forgetAfter: "5 seconds" } })
    await town.form("a", "b", "c", "d", "e")
    await fill(town)
    for (const [id, left] of [["e", 5], ["d", 5], ["c", 0]] as const) {
      town.world.crash(id)
      await town.until(
        "it is forgotten",
        () => town.status("a", id) === undefined && town.status("b", id) === undefined
      )
      await town.until(`${left} run`, () => town.running().length === left)
    }
    await town.always("two run nothing", () => town.running().length === 0, 20_000)
    assert.strictEqual(
      failureOf(await town.ask("a", (things) => things.register("six", Thing, { start: 0 }))),
      "Unavailable"
    )
    await town.form("c")
    await town.until("three run all", () => town.running().length === 5)
  }, TIMEOUT_MS)

  it("[D3] split in two, two and one, nobody runs anything; with one more on a side, that side does", async () => {
    const town = townOf(3)
    const ids = ["a", "b", "c", "d", "e"]
    await town.form(...ids)
    await fill(town)
    const [one, other, last] = [["a", "b"], ["c", "d"], ["e"]]
    for (const [x, y] of [[one, other], [one, last], [other, last]] as const) town.world.network.partition(x!, y!)
    await town.until("all have stopped", () => town.running().length === 0)
    for (const a of ["c", "d"]) town.world.network.heal(a, "e")
    await town.until("three run all", () => town.running("c", "d", "e").length === 5)
    await town.always("the two run nothing", () => town.running("a", "b").length === 0, 5000)
    await town.heal()
    await town.until("all run once", () => town.running().length === 5 && town.isAgreed())
  }, TIMEOUT_MS)

  it(
    "[T5] nodes that start one after the other don't stop each other: all begins when the third is there",
    async () => {
      const stage = new Stage()
      const town = townOf(3, {}, stage)
      await town.form("a")
      await town.pass(10_000)
      await town.form("b")
      await town.pass(10_000)
      assert.strictEqual(
        failureOf(await town.ask("b", (things) => things.register("one@a", Thing, { start: 0 }))),
        "Unavailable"
      )
      await town.form("c")
      await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }))
      await town.form("d")
      await town.form("e")
      await town.always("it runs", () => town.running().join() === "one@a on a", 5000)
      assert.deepStrictEqual(stage.lines, ["init one@a"])
    },
    TIMEOUT_MS
  )

  it("[T6] a quorum that was lost once can be lost again, and come back again", async () => {
    const stage = new Stage()
    const town = townOf(2, {}, stage)
    await town.form("a", "b")
    await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
    for (let round = 1; round <= 3; round++) {
      await town.part(["a"], ["b"])
      await town.until("it has stopped", () => town.running().length === 0)
      await town.until("and closed", () => stage.lines.filter((line) => line.startsWith("stopped ")).length === round)
      await town.heal()
      await town.until("it runs again", () => town.running().length === 1 && town.isAgreed())
      assert.strictEqual(stage.count("init one@a"), round + 1)
    }
  }, TIMEOUT_MS)
})
