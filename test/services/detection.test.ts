// Who is thought dead, how soon, and who comes back: whole nodes, with the default timings, in simulated time.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Discovery, Membership } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { sameNames, Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (options: TownOptions = {}, stage = new Stage()): Town<Things> =>
  new Town(thingsOf(stage, { redistribution: "passive" }), options)

const begun = (stage: Stage): number => stage.lines.filter((line) => line.startsWith("init")).length

const fill = async (town: Town<Things>, asked: string, names: ReadonlyArray<string>): Promise<void> => {
  await town.get(
    asked,
    (things) =>
      Effect.forEach(names, (name) => things.register(name, Thing, { start: 1 }), { concurrency: 50, discard: true })
  )
}

const on = (node: string, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `n${10 + i}@${node}`)

describe("a node that is lost", () => {
  const detection: ReadonlyArray<readonly [string, (town: Town<Things>) => void]> = [
    ["it crashes: its port refuses", (town) => town.world.crash("c")],
    ["it hangs", (town) => town.world.hold("c", true)],
    ["its cable is cut", (town) => town.world.network.partition(["c"], ["a", "b", "d"])]
  ]
  it.each(detection)("[D24] %s: dead to all within 5 s, all it had runs again within 2 s more", async (_, lose) => {
    const town = townOf()
    await town.form("a", "b", "c", "d")
    await fill(town, "a", on("c", 100))
    lose(town)
    const rest = ["a", "b", "d"]
    await town.until("it is dead", () => rest.every((id) => town.status(id, "c") === "dead"), 5000)
    await town.until("all runs again", () => town.running(...rest).length === 100, 2000)
    for (const id of rest) await town.until("as all know", () => town.whereis(id, "n10@c") !== "c", 1000)
  }, TIMEOUT_MS)

  it("[D24] one after the other, all but one: the last has everything", async () => {
    const town = townOf()
    await town.form("a", "b", "c", "d")
    for (const id of ["a", "b", "c", "d"]) await fill(town, "a", on(id, 20))
    for (const [i, id] of ["b", "c", "d"].entries()) {
      town.world.crash(id)
      const left = ["a", "b", "c", "d"].filter((other) => !["b", "c", "d"].slice(0, i + 1).includes(other))
      await town.until("the rest have all", () => town.running(...left).length === 80, 7000)
    }
  }, TIMEOUT_MS)
})

describe("a node that was cut off", () => {
  it.each([[["a"], ["b"]], [["a", "b"], ["c", "d"]], [["a"], ["b", "c", "d"]]])(
    "[P80] [D19] [T2] %j and %j, for longer than they remember: they find each other again, and are one",
    async (one, other) => {
      const town = townOf({ settings: { forgetAfter: "30 seconds" } })
      await town.form(...one, ...other)
      for (const id of [...one, ...other]) await fill(town, id, on(id, 3))
      await town.part(one, other)
      await town.pass(90_000)
      assert.deepStrictEqual(town.members("a").length, one.length, "the others are forgotten")
      town.world.network.heal()
      await town.together(20_000)
      await town.until("each name runs once", () => {
        const names = town.running().map((copy) => copy.split(" on ")[0])
        return town.isAgreed() && names.length === new Set(names).size
      })
      sameNames(town.names("a"), [...one, ...other].flatMap((id) => on(id, 3)))
    },
    TIMEOUT_MS
  )

  it("[P80] [D19] [T2] its seeds have forgotten it too: it is enough that one side still looks", async () => {
    const addresses = { a: [], b: [VirtualNetwork.addressOf("a")] } as Record<string, ReadonlyArray<string>>
    const town = townOf({
      settings: { forgetAfter: "10 seconds" },
      discovery: (id) => Discovery.seeds(addresses[id]!)
    })
    await town.form("a", "b")
    await town.part(["a"], ["b"])
    await town.until("a has forgotten b", () => town.status("a", "b") === undefined, 120_000)
    town.world.network.heal()
    await town.together(20_000)
  }, TIMEOUT_MS)

  it("[P80] healing again and again: nodes that come and go are taken in each time, and no name is lost", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await fill(town, "a", [...on("a", 3), ...on("b", 3), ...on("c", 3)])
    for (const [one, other] of [[["a"], ["b", "c"]], [["b"], ["a", "c"]], [["c"], ["a", "b"]]] as const) {
      await town.part(one, other)
      await town.heal()
      await town.until("nine, once each", () => town.running().length === 9 && town.isAgreed())
    }
  }, TIMEOUT_MS)
})

describe("a node that has left", () => {
  it("[D20] [P81] is not dialled, does not come back from old news, and is welcome under a new boot", async () => {
    const town = townOf({ discovery: () => Discovery.seeds([VirtualNetwork.addressOf("a")]) })
    await town.form("a", "b", "c")
    await fill(town, "a", on("c", 3))
    await town.leave("c")
    await town.until("all know", () => ["a", "b"].every((id) => town.status(id, "c") === "left"))
    assert.strictEqual(town.running("a", "b").length, 3, "handed over before it went")
    const stays = () => ["a", "b"].every((id) => town.status(id, "c") === "left" && town.candidates(id).length === 2)
    await town.always("it stays away", stays, 60_000)
    assert.deepStrictEqual(
      ["a", "b"].map((id) => town.world.nodes.get(id)!.machine.warnings.filter((line) => line.includes(`:c"`)).length),
      [0, 0],
      "nobody looks for it"
    )
    await town.form("c")
    assert.strictEqual(town.status("a", "c"), "alive")
  }, TIMEOUT_MS)

  it("[D20] [P81] one that was away while another left hears of that, and tells nobody otherwise", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    town.world.hold("b", true)
    await town.until("b is dead", () => town.status("a", "b") === "dead" && town.status("c", "b") === "dead")
    await town.leave("c")
    assert.strictEqual(town.status("a", "c"), "left")
    town.world.hold("b", false)
    await town.until("b is back", () => town.status("a", "b") === "alive")
    await town.until("b knows", () => town.status("b", "c") === "left", 20_000)
    await town.always("c is gone", () => town.status("a", "c") === "left", 20_000)
  }, TIMEOUT_MS)

  it("[P81] alone, twice, or while another leaves too: leaving ends, and what can be kept is kept", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await fill(town, "a", [...on("a", 5), ...on("b", 5), ...on("c", 5)])
    const leaving = ["b", "c"].map((id) => {
      town.begin(id, () => Effect.flatMap(Membership.Membership, ({ leave }) => Effect.andThen(leave, leave)))
      return town.world.leave(id)!
    })
    await town.until(
      "both have left",
      () => leaving.every(({ exit }) => exit !== undefined && Exit.isSuccess(exit)),
      15_000
    )
    await town.until("a has all", () => town.running("a").length === 15)
    await town.leave("a")
  }, TIMEOUT_MS)
})

describe("a node that is slow", () => {
  it("[D22] is held up for a second now and then: it blames nobody, nobody thinks it dead, nothing moves", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b", "c", "d")
    await fill(town, "a", [...on("a", 5), ...on("b", 5), ...on("c", 5)])
    for (let round = 0; round < 20; round++) {
      town.world.hold("b", true)
      await town.pass(1000)
      town.world.hold("b", false)
      await town.pass(700)
      for (const id of ["a", "b", "c", "d"]) {
        assert.isFalse(town.statuses(id).some((status) => status.endsWith("dead")), `${round}: ${town.statuses(id)}`)
      }
    }
    assert.strictEqual(begun(stage), 15)
    await town.together()
  }, TIMEOUT_MS)

  it("[D22] frames are lost, late and out of order: nobody is thought dead, nothing moves", async () => {
    const stage = new Stage()
    const town = townOf({ seed: 3 }, stage)
    await town.form("a", "b", "c", "d")
    await fill(town, "a", [...on("a", 5), ...on("b", 5), ...on("c", 5)])
    town.world.network.change({ delay: { minMs: 1, maxMs: 100 }, loss: 0.05, reordering: 0.1, duplication: 0.1 })
    for (let second = 0; second < 60; second++) {
      await town.pass(1000)
      for (const id of ["a", "b", "c", "d"]) assert.notInclude(town.statuses(id).join(), "dead")
    }
    assert.strictEqual(begun(stage), 15)
  }, TIMEOUT_MS)
})

describe("links that are broken", () => {
  const cuts: ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, string]>]> = [
    ["one way", [["a", "b"]]],
    ["both ways", [["a", "b"], ["b", "a"]]],
    ["two pairs", [["a", "b"], ["b", "a"], ["c", "d"], ["d", "c"]]],
    ["two of them one way", [["a", "b"], ["c", "d"]]]
  ]
  it.each(cuts)(
    "[D23] [H19] between some of the nodes, %s: nobody is thought dead whom others see, no name has two copies",
    async (
      _,
      pairs
    ) => {
      const stage = new Stage()
      const town = townOf({}, stage)
      const ids = ["a", "b", "c", "d"]
      await town.form(...ids)
      for (const id of ids) await fill(town, id, on(id, 5))
      for (const [from, to] of pairs) town.world.network.cut(from, to)
      for (let second = 0; second < 60; second++) {
        await town.pass(1000)
        for (const id of ids) assert.notInclude(town.statuses(id).join(), "dead")
      }
      assert.strictEqual(begun(stage), 20, "nothing was taken over")
      await town.heal()
      await town.until("all as before", () => town.isAgreed() && town.running().length === 20)
    },
    TIMEOUT_MS
  )

  it.each([1, 5, 6, 7])(
    "[D23] [H19] a node comes back: those who never lost sight of each other restart nothing (seed %i)",
    async (seed) => {
      const stage = new Stage()
      const app = thingsOf(stage, { redistribution: "passive" })
      // it hosts nothing, so that whatever begins, begins without need
      const town = new Town<Things>((id) => id === "c" ? { ...app, layer: app.service.layerClient } : app, { seed })
      town.start("a", "b", "c")
      await town.until("a and b are one", () => ["a", "b"].every((id) => town.candidates(id).join() === "a,b"))
      await fill(town, "a", on("a", 20))
      await town.until("c knows", () => town.names("c").length === 20)
      await town.part(["c"], ["a", "b"])
      town.world.network.heal()
      await town.pass(10_000)
      assert.strictEqual(town.status("a", "c"), "alive")
      assert.strictEqual(begun(stage), 20)
    },
    TIMEOUT_MS
  )
})
