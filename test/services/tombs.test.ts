// That a name has ended is remembered until everyone knows, never by age alone; then it is forgotten. [H4] [H25] [H27] [D14]
import { assert, describe, it } from "@effect/vitest"
import { Registry } from "@sworm/sworm"
import { Effect } from "effect"
import { Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (seed: number): Town<Things> =>
  new Town(thingsOf(new Stage(), { redistribution: "passive" }), { seed, settings: { tombAge: "2 seconds" } })

const NOTHING = {
  sections: 0,
  goneSections: 0,
  keys: 0,
  tombs: 0,
  erased: 0,
  buried: 0,
  snapshots: 0,
  snapshotBytes: 0
}

const tables = (town: Town<Things>, id: string): Registry.RegistryTables =>
  town.look(id, Effect.flatMap(Registry.Registry, ({ tables }) => tables), NOTHING)

const tombs = (town: Town<Things>): number => town.world.ready.reduce((sum, { id }) => sum + tables(town, id).tombs, 0)

const ended = async (town: Town<Things>, name: string) => {
  await town.get("b", (things) => things.register(name, Thing, { start: 1 }))
  await town.get("b", (things) => things.unregister(name))
}

describe("the end of a name", () => {
  it("[D14] is forgotten when everyone knows, and all tables are as they were", async () => {
    const town = townOf(1)
    await town.form("a", "b", "c")
    await town.pass(5000)
    const before = ["a", "b", "c"].map((id) => tables(town, id))
    for (let i = 0; i < 50; i++) await ended(town, `name ${i}@${"abc"[i % 3]}`)
    assert.isAtLeast(tombs(town), 50)
    await town.until("all tombs are gone", () => tombs(town) === 0)
    await town.pass(200_000)
    assert.deepStrictEqual(["a", "b", "c"].map((id) => tables(town, id)), before)
  }, TIMEOUT_MS)

  it.each([1, 2, 3])("[H25] is remembered for a member that its writer only hears of (seed %i)", async (seed) => {
    const town = townOf(seed)
    await town.form("a", "b", "c")
    await town.get("b", (things) => things.register("one@a", Thing, { start: 1 }))
    town.world.network.partition(["a"], ["c"])
    await town.get("b", (things) => things.unregister("one@a"))
    await town.always("a keeps it: c has told it nothing", () => tombs(town) > 0, 60_000)
    town.world.network.heal()
    await town.until("c has it too: it is forgotten", () => tombs(town) === 0)
    await town.always("the name stays free", () => town.names("c").length === 0, 5000)
  }, TIMEOUT_MS)

  it.each([1, 2, 3])("[H4] is remembered while a member is away, however long (seed %i)", async (seed) => {
    const town = townOf(seed)
    await town.form("a", "b", "c")
    await town.get("b", (things) => things.register("one@c", Thing, { start: 1 }))
    town.world.network.partition(["a", "b"], ["c"])
    await town.until("it runs here", () => town.running("a", "b").length === 1)
    await town.get("b", (things) => things.unregister("one@c"))
    await town.always("it is remembered", () => tombs(town) > 0, 120_000)
    town.world.network.heal()
    await town.until("c has stopped its own", () => town.running().length === 0 && town.names("c").length === 0)
    await town.until("then it is forgotten", () => tombs(town) === 0)
  }, TIMEOUT_MS)

  it("[H4] outlives the node that wrote it: the registrar copies what the dead one left", async () => {
    const town = townOf(7)
    await town.form("a", "b", "c", "d")
    await town.get("b", (things) => things.register("one@a", Thing, { start: 1 }))
    // d has the claim, and hears nothing from here on
    town.world.network.partition(["a", "b", "c"], ["d"])
    await town.until("d is dead", () => town.status("b", "d") === "dead")
    await town.get("b", (things) => things.unregister("one@a"))
    town.world.crash("a")
    await town.until(
      "a's section is dropped, and d's",
      () => ["b", "c"].every((id) => tables(town, id).goneSections === 0)
    )
    assert.isAbove(tombs(town), 0)
    town.world.network.heal()
    await town.until("they are one", () => town.isTogether(["b", "c", "d"]))
    await town.always("it never runs again", () => town.running().length === 0, 20_000)
  }, TIMEOUT_MS)

  it("[H27] of an adopted process whose node is lost: its registrar writes it, and its section goes", async () => {
    const town = townOf(8)
    await town.form("a", "b", "c")
    void town.begin("a", (things) => Effect.scoped(Effect.andThen(things.adopt("mine"), Effect.never)))
    await town.until("all see it", () => ["b", "c"].every((id) => town.names(id).length === 1))
    town.world.crash("a")
    await town.until("the name is free", () => town.names("b").length === 0 && town.names("c").length === 0)
    await town.until("its section is dropped", () => ["b", "c"].every((id) => tables(town, id).goneSections === 0))
  }, TIMEOUT_MS)
})
