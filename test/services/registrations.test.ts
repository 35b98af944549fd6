// Registrations that come late, or to a node that is not, or no longer, the one to ask.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Placement } from "@sworm/sworm"
import { failureOf, Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (options: TownOptions = {}, stage = new Stage(), placement?: Placement.Placement): Town<Things> =>
  new Town(thingsOf(stage, { redistribution: "passive", ...(placement === undefined ? {} : { placement }) }), options)

describe("[H12] a registration that is asked for again", () => {
  it("[H12] after it was ended, by a caller that was cut off meanwhile: Unregistered, and not made anew", async () => {
    const stage = new Stage()
    const town = new Town<Things>(
      thingsOf(stage, { redistribution: "passive", init: () => stage.pass("the door") }),
      { weather: { delay: { minMs: 1, maxMs: 3 } } }
    )
    await town.form("a", "b", "c")
    const name = town.nameAt("b", (n) => `one ${n}@a`)
    const asking = town.begin("c", (things) => things.register(name, Thing, { start: 0 }))
    await town.until("it is being started", () => stage.count(`init ${name}`) === 1)
    town.world.network.partition(["c"], ["a", "b"])
    await town.pass(100)
    Effect.runSync(stage.open("the door"))
    await town.until("it runs", () => town.running("a").length === 1 && town.whereis("b", name) === "a")
    await town.get("b", (things) => things.unregister(name))
    await town.until("they think c dead", () => town.status("a", "c") === "dead" && town.status("b", "c") === "dead")
    await town.heal()
    const exit = await town.ended(asking)
    assert.strictEqual(failureOf(exit), "Unregistered")
    await town.always("it stays ended", () => town.running().length === 0, 3000)
    assert.strictEqual(stage.count(`init ${name}`), 1)
  }, TIMEOUT_MS)
})

const seeds = [1, 2, 3, 4, 5, 6]

describe("[H15] a registrar that is no longer the one to ask", () => {
  it.each(seeds)("[H15] asked by a node that has not heard of the new one: nothing starts (seed %i)", async (seed) => {
    const stage = new Stage()
    const placement = Placement.make(
      "by caller",
      (_, candidates, context) => candidates.find(({ id }) => id === (context?.caller === "c" ? "b" : "a"))
    )
    const app = thingsOf(stage, { redistribution: "passive", placement, init: () => stage.pass("the door") })
    const town = new Town<Things>(app, { seed })
    await town.form("a", "b", "c")
    // c hears nothing any more, and is heard
    for (const id of ["a", "b", "d"]) town.world.network.cut(id, "c")
    town.start("d")
    await town.until("d takes part", () => ["a", "b", "d"].every((id) => town.candidates(id).includes("d")))
    const names = Array.from({ length: 200 }, (_, i) => `n${i}`)
      .filter((name) => town.registrar("c", name) === "b" && town.registrar("a", name) === "d")
      .slice(0, 10)
    assert.isNotEmpty(names)
    const register = (id: string) =>
      names.map((name) => town.begin(id, (things) => things.register(name, Thing, { start: 0 })))
    const first = register("a")
    await town.until("they are being started", () => names.every((name) => stage.count(`init ${name}`) === 1))
    const second = register("c")
    await town.pass(200)
    for (const name of names) assert.strictEqual(stage.count(`init ${name}`), 1, name)
    town.world.network.heal()
    Effect.runSync(stage.open("the door"))
    for (const [i, name] of names.entries()) {
      const pair = [await town.ended(first[i]!), await town.ended(second[i]!)]
      assert.strictEqual(pair.filter(Exit.isSuccess).length, 1, name)
      assert.strictEqual(stage.count(`init ${name}`), 1, name)
    }
  }, TIMEOUT_MS)
})

describe("[H14] a registrar that has not seen yet what it had registered", () => {
  it.each([2, 10, 26, 27, 28, 36])(
    "[H14] frames are lost: of those that ask one after the other one succeeds (seed %i)",
    async (seed) => {
      const stage = new Stage()
      // far too short for anybody to be thought dead
      const town = townOf({ seed, settings: { preset: "wan" } }, stage, Placement.leastLoaded)
      await town.form("a", "b", "c")
      town.world.network.change({ delay: { minMs: 1, maxMs: 60 }, loss: 0.25, reordering: 0.3 })
      const names = Array.from({ length: 100 }, (_, i) => `n${i}`)
      const asking = []
      for (const name of names) {
        const ask = (id: string) => town.begin(id, (things) => things.register(name, Thing, { start: 0 }))
        asking.push([ask("a"), ask("b"), ask("c"), ask("a"), ask("b"), ask("c")])
        await town.pass(20)
      }
      town.world.network.change({ delay: { minMs: 1, maxMs: 5 } })
      for (const [i, name] of names.entries()) {
        const exits = []
        for (const one of asking[i]!) exits.push(await town.ended(one))
        assert.isAtMost(exits.filter(Exit.isSuccess).length, 1, name)
        assert.isAtMost(stage.count(`init ${name}`), 1, name)
      }
    },
    TIMEOUT_MS
  )
})
