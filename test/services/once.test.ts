// What is once only: a takeover, an end, a start of the cluster, an epoch.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit } from "effect"
import { Node, Placement, Registry } from "@sworm/sworm"
import { Dispatch } from "../../src/Dispatch.ts"
import { Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (options: TownOptions = {}, stage = new Stage()): Town<Things> =>
  new Town(thingsOf(stage, { redistribution: "passive" }), options)

const names = Array.from({ length: 20 }, (_, i) => `n${i}`)

it("[R4] what a lost node had is started by one of the others, not by all", async () => {
  const stage = new Stage()
  const placement = Placement.rendezvous
  const town = new Town<Things>(thingsOf(stage, { redistribution: "passive", placement }))
  await town.form("a", "b", "c", "d")
  await town.get("b", (things) => Effect.forEach(names, (name) => things.register(name, Thing, { start: 0 })))
  await town.until("all know all", () => town.isAgreed())
  const had = names.filter((name) => town.whereis("b", name) === "a")
  assert.isNotEmpty(had)
  town.world.crash("a")
  await town.until("all run again", () => town.running().length === names.length && town.isAgreed())
  await town.pass(3000)
  for (const name of names) assert.strictEqual(stage.count(`init ${name}`), had.includes(name) ? 2 : 1, name)
}, TIMEOUT_MS)

it("[R13] of nodes that start at once one forms the cluster: what all register at once is started once", async () => {
  const stage = new Stage()
  const town = townOf({ weather: { delay: { minMs: 5, maxMs: 20 } } }, stage)
  const ids = ["a", "b", "c", "d"]
  town.start(...ids)
  await town.until("they are there", () => town.world.ready.length === ids.length)
  const asking = names.flatMap((name) =>
    ids.map((id) => town.begin(id, (things) => things.register(name, Thing, { start: 0 })))
  )
  for (const one of asking) await town.ended(one)
  await town.together()
  for (const name of names) assert.strictEqual(stage.count(`init ${name}`), 1, name)
}, TIMEOUT_MS)

it("[R4] what is started again has an epoch of its own from the first, which `init` is told", async () => {
  const epochs: Array<number> = []
  const init = (context: { readonly name: string; readonly epoch?: number }) =>
    Effect.sync(() => void epochs.push(context.epoch!))
  const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive", init }))
  await town.form("a", "b", "c")
  await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }))
  town.world.crash("a")
  await town.until("it runs again", () => town.running().length === 1 && town.isAgreed())
  assert.strictEqual(epochs.length, 2)
  assert.isAbove(epochs[1]!, epochs[0]!)
}, TIMEOUT_MS)

it("[H21] a late copy of a call that was answered long ago is none after a move, nor after two", async () => {
  const town = townOf()
  await town.form("a", "b", "c")
  await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
  for (let n = 0; n < 3; n++) await town.get("c", (things) => things.client(Thing, "one@a").Add({ by: 1 }))
  const node = town.world.nodes.get("c")!
  const { boot } = Context.get(node.services!, Node.Node)
  for (const to of ["b", "a", "b"]) {
    assert.isTrue(Exit.isSuccess(await town.ended(town.moving("one@a", to, "c"))))
    const { calls } = Context.get(town.world.nodes.get(to)!.services!, Dispatch)
    // the first of the three, as "c" numbered it: "c" waits for nothing below the third
    assert.deepStrictEqual(calls.receive(`${boot}/c`, 1, "Things\none@a", Infinity), { _tag: "Settled" })
  }
}, TIMEOUT_MS)

describe("registered in two clusters that find each other", () => {
  /** Clusters of a and c, and of b, each with the name; the copy on "b", which stands second, waits at a door. */
  const apart = async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    for (const id of ["a", "b", "c"]) town.ids.add(id)
    town.world.network.partition(["a", "c"], ["b"])
    town.start("a", "b", "c")
    await town.until("they are two", () => town.candidates("a").length === 2 && town.candidates("b").length === 1)
    await town.get("a", (things) => things.register("other", Thing, { start: 0 }))
    await town.get("a", (things) => things.register("one", Thing, { start: 0 }))
    await town.pass(50)
    await town.get("b", (things) => things.register("one", Thing, { start: 0 }))
    const epochs = [town.epoch("a", "one")!, town.epoch("b", "one")!]
    const passing = town.begin("b", (things) => things.client(Thing, "one").Pass({ door: "the door", then: "nothing" }))
    await town.until("it waits", () => stage.count("at the door") === 1)
    return { town, epochs, passing, open: () => Effect.runSync(stage.open("the door")) }
  }
  const all = ["a", "b", "c"]

  it("[R7] and settled, it is above both copies that there were", async () => {
    const { epochs, open, passing, town } = await apart()
    open()
    await town.ended(passing)
    await town.heal()
    await town.until("one copy", () => town.running().length === 2 && town.isAgreed())
    for (const id of all) assert.isAbove(town.epoch(id, "one")!, Math.max(...epochs))
  }, TIMEOUT_MS)

  it("[R2] [H16] and ended before it is settled, both registrations have ended", async () => {
    const { open, passing, town } = await apart()
    await town.heal()
    await town.pass(500)
    assert.isTrue(Exit.isSuccess(await town.ask("c", (things) => things.unregister("one"))))
    open()
    await town.ended(passing)
    const isGone = () => town.running().join() === "other on a" && all.every((id) => town.names(id).join() === "other")
    await town.until("nobody has it", isGone)
    await town.always("nobody has it any more", isGone, 5000)
  }, TIMEOUT_MS)

  it("[R7] [H16] [R8] and settled, nothing is left of the copy that closed", async () => {
    const { open, passing, town } = await apart()
    open()
    await town.ended(passing)
    await town.heal()
    await town.until("one copy", () => town.running().length === 2 && town.isAgreed())
    const kept = () => town.look("c", Effect.flatMap(Registry.Registry, ({ tables }) => tables), undefined)?.keys
    await town.until("three hosts and two names", () => kept() === 5)
  }, TIMEOUT_MS)
})

it("[R1] who has heard of an end may register anew, though the registrar has not heard of it yet", async () => {
  const town = townOf({ weather: { delay: { minMs: 1, maxMs: 3 } } })
  await town.form("a", "b", "c")
  const name = town.nameAt("b", (n) => `one ${n}@a`)
  await town.get("c", (things) => things.register(name, Thing, { start: 0 }))
  await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, name) === "a"))
  town.world.network.cut("a", "b")
  const ending = town.begin("a", (things) => things.unregister(name))
  await town.until("c has heard of it", () => town.whereis("c", name) === undefined)
  assert.strictEqual(town.whereis("b", name), "a")
  const exit = await town.ask("c", (things) => things.register(name, Thing, { start: 1 }))
  assert.isTrue(Exit.isSuccess(exit), String(exit))
  town.world.network.heal()
  await town.ended(ending)
}, TIMEOUT_MS)
