// A node that is cordoned keeps what it has, and is given nothing more.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import { Handoff, Placement } from "@sworm/sworm"
import { failureOf, type NodeSettings, Town } from "./simulated.ts"
import { Stage, steer, Thing, type Things, thingsOf, type ThingsOptions, TIMEOUT_MS } from "./support.ts"

const townOf = (options: ThingsOptions = {}, settings: (id: string) => NodeSettings = () => ({})): Town<Things> =>
  new Town(thingsOf(new Stage(), options), { settings })

const register = (town: Town<Things>, asked: string, name: string): Promise<string> =>
  town.get(asked, (things) => Effect.map(things.register(name, Thing, { start: 1 }), ({ node }) => node))

const isCordoned = (town: Town<Things>, id: string): ReadonlyArray<boolean> =>
  town.world.ready.map((node) => town.members(node.id).some((member) => member.id === id && member.cordoned))

const cordon = async (town: Town<Things>, asked: string, id?: string): Promise<void> => {
  await town.get(asked, () => Effect.flatMap(Handoff.Handoff, (handoff) => handoff.cordon(id)))
  await town.until("all know that it is cordoned", () => isCordoned(town, id ?? asked).every((known) => known))
}

const uncordon = async (town: Town<Things>, asked: string, id?: string): Promise<void> => {
  await town.get(asked, () => Effect.flatMap(Handoff.Handoff, (handoff) => handoff.uncordon(id)))
  await town.until("all know that it is not", () => !isCordoned(town, id ?? asked).includes(true))
}

describe("a cordoned node", () => {
  it("keeps what it has and is given nothing, until it is uncordoned: then it gets its share", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    assert.strictEqual(await register(town, "a", "one@b"), "b")
    await cordon(town, "a", "b")
    assert.strictEqual(await register(town, "b", "two@b"), "a")
    assert.strictEqual(await register(town, "c", "three@b"), "a")
    const now = ["one@b on b", "three@b on a", "two@b on a"].join()
    await town.always("each stays where it is", () => town.running().join() === now, 3000)
    for (const id of ["a", "b", "c"]) assert.deepStrictEqual(town.candidates(id), ["a", "c"])
    await uncordon(town, "c", "b")
    await town.until("its share is there", () => town.running().join() === "one@b on b,three@b on b,two@b on b")
    await town.together()
  }, TIMEOUT_MS)

  it("is a node like others in all else: it registers, is called, moves away what is asked for", async () => {
    const town = townOf({ redistribution: "passive" })
    await town.form("a", "b")
    await register(town, "b", "one@b")
    await cordon(town, "b")
    assert.strictEqual(await town.get("a", (things) => things.client(Thing, "one@b").Add({ by: 2 })), 3)
    assert.strictEqual(await register(town, "b", "two@a"), "a")
    assert.isTrue(Exit.isSuccess(await town.ended(town.moving("one@b", "a", "a"))))
    assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@b").Get()), 3)
    assert.strictEqual(failureOf(await town.ended(town.moving("one@b", "b", "b")) as never), "HandoffError")
    assert.deepStrictEqual(town.running(), ["one@b on a", "two@a on a"])
  }, TIMEOUT_MS)

  it("is not where the names of a lost node start", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await register(town, "a", "one@c")
    await cordon(town, "c", "a")
    await town.until("b knows it", () => town.whereis("b", "one@c") === "c")
    town.world.crash("c")
    await town.until("it runs again", () => town.running("a", "b").length === 1)
    assert.deepStrictEqual(town.running("a", "b"), ["one@c on b"])
  }, TIMEOUT_MS)

  it("is better than none: where all are cordoned, names start there all the same", async () => {
    const town = townOf()
    await town.form("a", "b")
    await cordon(town, "a", "b")
    await cordon(town, "a")
    assert.strictEqual(await register(town, "a", "one@b"), "b")
    await town.until("a knows it", () => town.whereis("a", "one@b") === "b")
    town.world.crash("b")
    await town.until("it runs again", () => town.running("a").join() === "one@b on a")
  }, TIMEOUT_MS)

  it("takes over, with its state, from the last open node that leaves", async () => {
    const town = townOf()
    await town.form("a", "b")
    await register(town, "a", "one@a")
    await town.get("a", (things) => things.client(Thing, "one@a").Add({ by: 4 }))
    await cordon(town, "b")
    await town.leave("a")
    await town.until("it is there", () => town.running("b").join() === "one@a on b")
    assert.strictEqual(await town.get("b", (things) => things.client(Thing, "one@a").Get()), 5)
  }, TIMEOUT_MS)

  it("starts names that placement accepts nowhere else", async () => {
    const town = townOf({ placement: Placement.pin((name) => name.split("@")[1]) })
    await town.form("a", "b")
    await cordon(town, "a", "b")
    assert.strictEqual(await register(town, "a", "one@b"), "b")
  }, TIMEOUT_MS)

  it("counts for its sworm's quorum", async () => {
    const town = townOf({ placement: Placement.quorum(3, steer) })
    await town.form("a", "b", "c")
    await cordon(town, "a", "b")
    await cordon(town, "a", "c")
    assert.strictEqual(await register(town, "b", "one@c"), "a")
  }, TIMEOUT_MS)

  it("is given nothing by a sticky placement, and gives nothing away because it has too much", async () => {
    const town = townOf({ placement: Placement.leastLoaded, redistribution: "active" })
    await town.form("a")
    for (let i = 0; i < 6; i++) await register(town, "a", `thing-${i}`)
    await cordon(town, "a")
    town.start("b")
    await town.until("b hosts it", () => town.candidates("a").join() === "b" && town.candidates("b").join() === "b")
    await town.always("they stay", () => town.running("a").length === 6, 3000)
    for (let i = 6; i < 20; i++) assert.strictEqual(await register(town, "a", `thing-${i}`), "b")
  }, TIMEOUT_MS)

  it("is said to be one by explain and plan", async () => {
    const town = townOf()
    await town.form("a", "b")
    await register(town, "a", "one@a")
    await cordon(town, "b", "a")
    await town.until("b knows it", () => town.whereis("b", "one@a") === "a")
    for (const id of ["a", "b"]) {
      const told = await town.get(id, (things) => things.explain("one@a"))
      assert.include(told.why, "cordoned")
      assert.isUndefined(told.pendingMove)
    }
    const stays = Option.getOrThrow(await town.get("b", (things) => things.plan({})))
    assert.deepStrictEqual(stays.moves, [])
    const goes = Option.getOrThrow(await town.get("b", (things) => things.plan({ without: ["a"] })))
    assert.deepStrictEqual(goes.moves, [{ name: "one@a", from: "a", to: "b" }])
    const none = Option.getOrThrow(await town.get("b", (things) => things.plan({ without: ["a", "b"] })))
    assert.deepStrictEqual(none.homeless, ["one@a"])
    // by this placement it belongs on b; that all are cordoned moves it no more than that it was
    await cordon(town, "b")
    const placement = Placement.pin(() => "b")
    assert.deepStrictEqual(Option.getOrThrow(await town.get("b", (things) => things.plan({ placement }))).moves, [])
  }, TIMEOUT_MS)

  it("is one until its run ends, also when it was thought dead meanwhile", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await cordon(town, "a", "b")
    await town.part(["b"], ["a", "c"])
    town.world.network.heal()
    await town.until("they are one again", () => ["a", "b", "c"].every((id) => town.syncedOn(id).join() === "a,b,c"))
    assert.deepStrictEqual(isCordoned(town, "b"), [true, true, true])
    town.world.crash("b")
    town.start("b")
    await town.together()
    assert.deepStrictEqual(isCordoned(town, "b"), [false, false, false])
  }, TIMEOUT_MS)

  it("that is out of reach fails with Unavailable, and so does one that nobody knows", async () => {
    const town = townOf()
    await town.form("a", "b")
    town.world.network.cut("a", "b")
    for (const id of ["b", "nobody"]) {
      const exit = await town.ask("a", () => Effect.flatMap(Handoff.Handoff, (handoff) => handoff.cordon(id)))
      assert.strictEqual(failureOf(exit), "Unavailable")
    }
  }, TIMEOUT_MS)
})

it("a node that starts cordoned warms up with nothing to do; uncordoned, it gets its share", async () => {
  const town = townOf({}, (id) => ({ cordoned: id === "c" }))
  await town.form("a", "b")
  for (let i = 0; i < 12; i++) await register(town, "a", `thing-${i}@c`)
  town.start("c")
  await town.until("it is synced", () => ["a", "b", "c"].every((id) => town.syncedOn(id).join() === "a,b,c"))
  assert.deepStrictEqual(isCordoned(town, "c"), [true, true, true])
  await town.always("it has nothing", () => town.running("c").length === 0, 3000)
  assert.strictEqual(await register(town, "c", "more@c"), "a")
  // warm: its own program says so
  await uncordon(town, "c")
  await town.until("its share is there", () => town.running("c").length === 13)
}, TIMEOUT_MS)
