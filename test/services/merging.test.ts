// Names on both sides of a split, or of two clusters that become one: what is left, and who is told.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Registry, Sworm } from "@sworm/sworm"
import { sameNames, Town } from "./simulated.ts"
import { Stage, steer, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

type ThingsTown = Town<Things>

const townOf = (stage: Stage, seed = 1): ThingsTown =>
  new Town(thingsOf(stage, { redistribution: "passive" }), { seed })

const once = (town: ThingsTown, names: ReadonlyArray<string>) => (): boolean =>
  town.running().map((copy) => copy.split(" on ")[0]).join() === [...names].sort().join() && town.isAgreed()

const valueOf = (town: ThingsTown, name: string, asked = "a"): Promise<number> =>
  town.get(asked, (things) => things.client(Thing, name).Get())

const numbered = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `n${i}`)

/** Two clusters of a node each, of which neither knows that there is another. */
const apart = async (stage: Stage, seed = 1): Promise<ThingsTown> => {
  const town = townOf(stage, seed)
  town.world.network.partition(["a"], ["b"])
  town.start("a", "b")
  await town.until("each is a cluster", () => town.isTogether(["a"]) && town.isTogether(["b"]))
  return town
}

describe("two clusters that each have the name", () => {
  it(
    "[P51] [P52] [P57] become one: the copy with the shorter life is gone from its node, the other goes on",
    async () => {
      const stage = new Stage()
      const town = await apart(stage)
      await town.get("a", (things) => things.register("one", Thing, { start: 7 }))
      await town.get("b", (things) => things.register("one", Thing, { start: 1 }))
      await town.heal()
      await town.until("one copy is left", once(town, ["one"]))
      await town.until("the other has closed", () => stage.count("stopped Superseded") === 1)
      assert.strictEqual(await valueOf(town, "one"), 7, "the state with the longer life")
      assert.strictEqual(await valueOf(town, "one", "b"), 7)
    },
    TIMEOUT_MS
  )

  it("[P53] lose nothing else: other names of both sides go on as they were, at their epochs", async () => {
    const stage = new Stage()
    const town = await apart(stage)
    for (const id of ["a", "b"]) {
      for (const name of ["shared", `only ${id}`]) {
        await town.get(id, (things) => things.register(name, Thing, { start: 0 }))
      }
    }
    const before = ["a", "b"].map((id) => town.epoch(id, `only ${id}`))
    await town.heal()
    await town.until("one copy of each is left", once(town, ["only a", "only b", "shared"]))
    assert.deepStrictEqual(["a", "b"].map((id) => town.epoch("a", `only ${id}`)), before)
    assert.deepStrictEqual([town.whereis("b", "only a"), town.whereis("a", "only b")], ["a", "b"])
    await town.until("the loser has closed", () => stage.count("stopped Superseded") === 1)
    assert.strictEqual(stage.lines.filter((line) => line.startsWith("stop ")).length, 1, "and no other")
  }, TIMEOUT_MS)

  it(
    "[P54] [P55] both wanted it to be there: one child is, and lives; its node leaves, and it lives on the other",
    async () => {
      const town = await apart(new Stage())
      const want = (id: string) => town.get(id, (things) => things.whereisOrRegister("one", Thing, { start: 3 }))
      await Promise.all(["a", "b"].map(want))
      await town.heal()
      await town.until("one is left", once(town, ["one"]))
      await town.part(["a"], ["b"])
      await Promise.all(["a", "b"].map(want))
      sameNames(town.running(), ["one on a", "one on b"])
      await town.heal()
      await town.until("one is left", once(town, ["one"]))
      const holder = town.whereis("a", "one")!
      const other = holder === "a" ? "b" : "a"
      assert.strictEqual(await valueOf(town, "one", other), 3)
      await town.leave(holder)
      await town.until("it runs on the other", () => town.running().join() === `one on ${other}`)
      assert.strictEqual(await valueOf(town, "one", other), 3)
    },
    TIMEOUT_MS
  )
})

describe("a split", () => {
  it("[P56] four nodes with 1,000 names, two and two: each side has all, and 1,000 are left", async () => {
    const stage = new Stage()
    const town = townOf(stage)
    await town.form("a", "b", "c", "d")
    const ids = ["a", "b", "c", "d"]
    const names = numbered(1000).map((name, i) => `${name}@${ids[i % 4]}`)
    await town.get("a", (things) =>
      Effect.forEach(names, (name) => things.register(name, Thing, { start: 1 }), {
        concurrency: 100,
        discard: true
      }))
    await town.part(["a", "b"], ["c", "d"])
    for (const side of [["a", "b"], ["c", "d"]]) {
      await town.until("this side has all", () => town.running(...side).length === 1000)
      sameNames(town.running(...side).map((copy) => copy.split(" on ")[0]!), names)
    }
    await town.heal()
    await town.until("one copy of each", once(town, names))
    await town.always("it stays so", once(town, names), 200)
  }, TIMEOUT_MS)

  it(
    "[P58] registered on both sides, or taken over on one: all nodes agree on which stays, above both epochs",
    async () => {
      const stage = new Stage()
      const town = townOf(stage)
      await town.form("a", "b", "c")
      await town.get("a", (things) => things.register("split@a", Thing, { start: 5 }))
      await town.part(["a"], ["b", "c"])
      await town.until("it was taken over", () => town.running("b", "c").length === 1)
      for (const id of ["a", "b"]) await town.get(id, (things) => things.register("both", Thing, { start: 1 }))
      const highest = (name: string): number => Math.max(town.epoch("a", name)!, town.epoch("b", name)!)
      const before = { "split@a": highest("split@a"), both: highest("both") }
      await town.heal()
      await town.untilLasting("one copy of each", once(town, ["both", "split@a"]))
      for (const name of ["split@a", "both"] as const) {
        const [holder] = town.running().filter((copy) => copy.startsWith(name)).map((copy) => copy.split(" on ")[1])
        for (const id of ["a", "b", "c"]) {
          assert.strictEqual(town.whereis(id, name), holder)
          assert.isAbove(town.epoch(id, name)!, before[name])
        }
      }
      assert.strictEqual(
        await valueOf(town, "split@a", "c"),
        5,
        "with the state of the copy that was never interrupted"
      )
      const begun = (): number => stage.lines.filter((line) => line.startsWith("init ")).length
      const ended = (): number => stage.lines.filter((line) => line.startsWith("stopped ")).length
      await town.until("the runtime has ended all others", () => begun() - ended() === 2)
      assert.isAtLeast(stage.count("stopped Superseded"), 2)
    },
    TIMEOUT_MS
  )

  it("[P69] what was registered by hand: each side keeps its own only, and together they have all again", async () => {
    const town = townOf(new Stage())
    await town.form("a", "b", "c")
    for (const id of ["a", "b", "c"]) {
      void town.begin(id, (things) => Effect.scoped(Effect.andThen(things.adopt(`of ${id}`), Effect.never)))
    }
    const all = ["of a", "of b", "of c"]
    const has = (id: string, names: ReadonlyArray<string>) => (): boolean => town.names(id).join() === names.join()
    for (const id of ["a", "b", "c"]) await town.until("all are known", has(id, all))
    await town.part(["a"], ["b", "c"])
    // what b and c can't reach may run on: it isn't theirs to find, nor to take over
    assert.deepStrictEqual(["b", "c"].map((id) => town.whereis(id, "of a")), [undefined, undefined])
    sameNames(town.names("a"), ["of a"])
    sameNames(town.names("b"), ["of b", "of c"])
    await town.heal()
    const ended = () => ["a", "b", "c"].every((id) => town.isAgreed() && town.names(id).length <= 3)
    await town.until("they agree", ended)
  }, TIMEOUT_MS)
})

describe("[H28] groups and metadata", () => {
  it("[H28] a join from another node is the holder's: it is kept by whoever takes the process over", async () => {
    const town = townOf(new Stage())
    await town.form("a", "b", "c")
    await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }, { metadata: "first" }))
    await town.get("b", (things) => things.join("red", "one@a"))
    await town.get("c", (things) => things.join("blue", "one@a"))
    await town.get("c", (things) => things.setMetadata("one@a", "second"))
    const described = (id: string): unknown =>
      town.look(
        id,
        Effect.flatMap(
          Registry.Registry,
          (registry) => Effect.map(registry.entry("Things", "one@a"), Option.getOrThrow)
        ),
        undefined
      )?.metadata
    await town.until("b and c know", () => described("b") === "second" && described("c") === "second")
    town.world.crash("a")
    await town.until("it runs elsewhere", () => town.running("b", "c").length === 1)
    for (const id of ["b", "c"]) {
      await town.until("with all that was said of it", () => town.isAgreed())
      const entry = await town.get(id, (things) => things.entry("one@a"))
      const { groups, metadata } = Option.getOrThrow(entry)
      assert.deepStrictEqual([[...groups].sort(), metadata], [["blue", "red"], "second"])
    }
  }, TIMEOUT_MS)

  it("[H28] joined and described on both sides of a split: the groups of both, the winner's metadata", async () => {
    const town = townOf(new Stage())
    await town.form("a", "b")
    await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
    await town.part(["a"], ["b"])
    await town.until("b runs it too", () => town.running("b").length === 1)
    for (const id of ["a", "b"]) {
      await town.get(id, (things) => things.join(`of ${id}`, "one@a"))
      await town.get(id, (things) => things.setMetadata("one@a", id))
    }
    await town.heal()
    await town.until("one is left", once(town, ["one@a"]))
    for (const id of ["a", "b"]) {
      const { groups, metadata, ref } = Option.getOrThrow(await town.get(id, (things) => things.entry("one@a")))
      assert.deepStrictEqual([[...groups].sort(), metadata], [["of a", "of b"], ref.node])
      sameNames((await town.get(id, (things) => things.members("of a"))).map(({ name }) => name), ["one@a"])
    }
  }, TIMEOUT_MS)
})

// ---- how states are merged

const Ledger = Process.make("Ledger", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Get", { success: Schema.Int }), Rpc.make("Add", { payload: { by: Schema.Int } })]
})

const ledgersOf = (resolveConflict: (mine: number, theirs: number) => number, told: Array<string>) => {
  class Ledgers extends Sworm.Service<Ledgers>()("Ledgers", {
    processes: [Ledger],
    placement: steer,
    redistribution: "passive"
  }) {}
  const implementation = Ledgers.toLayer(Ledger, {
    init: ({ args }) => Effect.succeed(args.start),
    resolveConflict,
    stop: (reason) => Effect.sync(() => void told.push(reason)),
    handlers: {
      Get: (_, { state }) => Ref.get(state),
      Add: ({ by }, { state }) => Ref.update(state, (n) => n + by)
    }
  })
  return { service: Ledgers, layer: Layer.provide(Ledgers.layer, implementation) }
}

describe("[P59] [D7] resolveConflict", () => {
  /** What a has in the end, and what b has, which began anew. */
  const LONGER = 110
  const SHORTER = 1
  type Merge = (mine: number, theirs: number) => number
  const cases: ReadonlyArray<readonly [what: string, resolve: Merge, expected: Merge]> = [
    ["keeps its own", (mine) => mine, (winners) => winners],
    ["keeps the other's", (_, theirs) => theirs, (_, losers) => losers],
    ["keeps what it makes of both", (mine, theirs) => mine + theirs, () => LONGER + SHORTER],
    ["throws: the state with the longer life stays, and the name with it", () => {
      throw new Error("boom")
    }, () => LONGER]
  ]
  it.each(cases)("[P59] [D7] %s; the runtime ends the other copy", async (_, resolve, expected) => {
    const told: Array<string> = []
    const town = new Town(ledgersOf(resolve, told))
    await town.form("a", "b")
    await town.get("a", (ledgers) => ledgers.register("one@a", Ledger, { start: 10 }))
    await town.part(["a"], ["b"])
    await town.until("b runs it too", () => town.running("b").length === 1)
    await town.get("a", (ledgers) => ledgers.client(Ledger, "one@a").Add({ by: 100 }))
    await town.get("b", (ledgers) => ledgers.client(Ledger, "one@a").Add({ by: -9 }))
    await town.heal()
    await town.until("one is left", () => town.running().length === 1 && town.isAgreed())
    const value = town.whereis("a", "one@a") === "a" ? expected(LONGER, SHORTER) : expected(SHORTER, LONGER)
    for (const id of ["a", "b"]) {
      assert.strictEqual(await town.get(id, (ledgers) => ledgers.client(Ledger, "one@a").Get()), value)
    }
    await town.until("the other has closed", () => told.join() === "Superseded")
  }, TIMEOUT_MS)
})

describe("[H18] a split that heals badly", () => {
  it.each([0, 1, 2, 3, 5, 8, 13, 21, 200])(
    "[H18] the winner dies %i ms after it: one copy is left, and calls are answered",
    async (afterMs) => {
      const town = townOf(new Stage(), 11 + afterMs)
      await town.form("a", "b", "c")
      await town.get("a", (things) => things.register("one@a", Thing, { start: 5 }))
      await town.part(["a"], ["b", "c"])
      await town.until("b runs it too", () => town.running("b").length === 1)
      town.world.network.heal()
      await town.until("they are about to settle", () => town.status("a", "b") === "alive")
      await town.pass(afterMs)
      town.world.crash("b")
      await town.untilLasting("one copy is left", once(town, ["one@a"]))
      for (const id of ["a", "c"]) {
        const exit = await town.ask(id, (things) => things.client(Thing, "one@a", { timeout: "20 seconds" }).Get())
        assert.deepStrictEqual(exit, Exit.succeed(5), "the state, or what it starts from")
      }
    },
    TIMEOUT_MS
  )
})
