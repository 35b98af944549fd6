// How nodes come together: alone, in any number, late, through seeds that are wrong; and what each then knows of the rest.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Rpc } from "effect/rpc"
import { Discovery, Process, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { failureOf, sameNames, Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (options: TownOptions = {}, stage = new Stage()): Town<Things> =>
  new Town(thingsOf(stage, { redistribution: "passive" }), options)

const at = VirtualNetwork.addressOf

const idsOf = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `n${10 + i}`)

describe("joining", () => {
  it.each([1, 2, 3, 25])(
    "[P71] %i nodes that start at once become one cluster, each name known to all",
    async (count) => {
      const town = townOf()
      const ids = idsOf(count)
      await town.form(...ids)
      for (const id of ids) await town.get(id, (things) => things.register(`of ${id}`, Thing, { start: 0 }))
      const all = ids.map((id) => `of ${id}`)
      await town.until("all know all", () => ids.every((id) => town.names(id).join() === all.join()))
    },
    TIMEOUT_MS
  )

  it.each([2, 3])("[P67] %i clusters with names of their own become one with all of them", async (count) => {
    const town = townOf()
    const ids = idsOf(count)
    for (const id of ids) town.world.network.partition([id], ids.filter((other) => other !== id))
    town.start(...ids)
    await town.until("each is a cluster", () => ids.every((id) => town.isTogether([id])))
    for (const id of ids) await town.get(id, (things) => things.register(`of ${id}`, Thing, { start: 0 }))
    await town.heal()
    const all = ids.map((id) => `of ${id} on ${id}`)
    await town.until("all know all", () => town.isAgreed() && town.running().join() === all.join())
    sameNames(town.names(ids[0]!), ids.map((id) => `of ${id}`))
  }, TIMEOUT_MS)

  it(
    "[P65] seeds given twice, its own among them, and seeds that are not there yet: it joins whoever comes",
    async () => {
      const seeds = [at("a"), at("a"), at("b"), at("b"), at("nobody")]
      const town = townOf({ discovery: () => Discovery.seeds(seeds) })
      await town.form("a")
      assert.deepStrictEqual(town.statuses("a"), [], "what isn't there is no member")
      await town.form("b")
      await town.get("a", (things) => things.register("one@b", Thing, { start: 0 }))
      assert.strictEqual(town.whereis("a", "one@b"), "b", "a new member is given processes")
      await town.leave("b")
      await town.until("a has it", () => town.running("a").join() === "one@b on a")
      assert.deepStrictEqual(town.candidates("a"), ["a"])
      await town.get("a", (things) => things.register("two@b", Thing, { start: 0 }))
      assert.strictEqual(town.whereis("a", "two@b"), "a", "one that left is given none")
    },
    TIMEOUT_MS
  )

  it("[P65] [P71] of three seeds two are no use: one that refuses, one that never answers", async () => {
    const town = townOf({ discovery: () => Discovery.seeds(["refuses", "mute", "a"].map(at)) })
    await town.form("a", "mute")
    town.world.hold("mute", true)
    await town.until("it is dead", () => town.status("a", "mute") === "dead")
    town.start("b")
    await town.until("b has joined", () => town.syncedOn("a").join() === "a,b" && town.syncedOn("b").join() === "a,b")
    await town.pass(60_000)
    const complaints = town.world.nodes.get("b")!.machine.warnings.filter((line) => line.includes("refuses"))
    assert.strictEqual(complaints.length, 1, "one line of a seed that stays away")
  }, TIMEOUT_MS)

  it("[P66] who comes is a member of everything by itself, who dies is none", async () => {
    const town = townOf()
    await town.form("a", "b")
    await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
    await town.form("c")
    for (const id of ["a", "b", "c"]) assert.deepStrictEqual(town.candidates(id), ["a", "b", "c"])
    await town.until("c knows the name", () => town.whereis("c", "one@a") === "a")
    await town.get("c", (things) => things.register("two@c", Thing, { start: 0 }))
    town.world.crash("c")
    await town.until("c is none", () => ["a", "b"].every((id) => town.candidates(id).join() === "a,b"))
    await town.until("what it had runs", () => town.running("a", "b").length === 2)
  }, TIMEOUT_MS)

  it("[P64] the hosts of a sworm: both, one each while split, both again, and one when the other leaves", async () => {
    const town = townOf()
    await town.form("a", "b")
    const hosts = () => [town.candidates("a").join(), town.candidates("b").join()]
    assert.deepStrictEqual(hosts(), ["a,b", "a,b"])
    await town.part(["a"], ["b"])
    assert.deepStrictEqual(hosts(), ["a", "b"])
    await town.heal()
    assert.deepStrictEqual(hosts(), ["a,b", "a,b"])
    await town.leave("b")
    await town.until("a hosts alone", () => town.candidates("a").join() === "a")
    assert.strictEqual(town.status("a", "b"), "left")
  }, TIMEOUT_MS)
})

// ---- sworms on some of the nodes

const Bit = Process.make("Bit", { protocol: [Rpc.make("Ping")] })

const bitsOf = (id: string) => {
  class Bits extends Sworm.Service<Bits>()(id, { processes: [Bit] }) {}
  const implementation = Bits.toLayer(Bit, { init: () => Effect.void, handlers: { Ping: () => Effect.void } })
  return { service: Bits, layer: Layer.provide(Bits.layer, implementation) }
}

describe("[P68] sworms that overlap on three nodes", () => {
  it("[P68] each node knows who hosts which: through a crash, a new run, a split and a leave", async () => {
    const [x, y] = [bitsOf("X"), bitsOf("Y")]
    const both = { service: x.service, layer: Layer.mergeAll(x.layer, y.layer) }
    const apps: Readonly<Record<string, typeof x>> = {
      a: x,
      b: both,
      c: { ...x, layer: Layer.mergeAll(y.layer, xClient(x)) }
    }
    const town = new Town((id) => apps[id]!)
    town.start("a", "b", "c")
    const known = (ids: ReadonlyArray<string>, hostsOfX: string, hostsOfY: string) =>
      town.until(
        `X on ${hostsOfX}, Y on ${hostsOfY}`,
        () =>
          ids.every((id) =>
            town.candidates(id, "X").join() === hostsOfX && town.candidates(id, "Y").join() === hostsOfY
          )
      )
    await known(["a", "b", "c"], "a,b", "b,c")
    town.world.crash("b")
    await known(["a", "c"], "a", "c")
    town.start("b")
    await known(["a", "b", "c"], "a,b", "b,c")
    await town.part(["a"], ["b", "c"])
    await known(["a"], "a", "")
    await known(["b", "c"], "b", "b,c")
    town.world.network.heal()
    await known(["a", "b", "c"], "a,b", "b,c")
    await town.leave("b")
    await known(["a", "c"], "a", "c")
  }, TIMEOUT_MS)
})

const xClient = ({ service }: ReturnType<typeof bitsOf>) => service.layerClient

// ---- discovery

/** Answers one thing after the other, the last one for ever. */
const inTurn = (...answers: ReadonlyArray<Effect.Effect<ReadonlyArray<string>>>) => {
  let asked = 0
  const discovery: Discovery.Discovery = {
    addresses: Effect.suspend(() => answers[Math.min(asked++, answers.length - 1)]!)
  }
  return { discovery, asked: () => asked }
}

describe("discovery", () => {
  const answers: ReadonlyArray<readonly [string, ReadonlyArray<Effect.Effect<ReadonlyArray<string>>>]> = [
    ["a list", [Effect.succeed([at("a")])]],
    ["nothing at first", [Effect.succeed([]), Effect.succeed([]), Effect.succeed([at("a")])]],
    ["an error at first", [Effect.die(new Error("no such file")), Effect.die("again"), Effect.succeed([at("a")])]],
    ["who is not there, then who is", [Effect.succeed([at("x")]), Effect.succeed([at("x"), at("a")])]],
    ["late", [Effect.as(Effect.sleep("3 seconds"), [at("a")])]]
  ]
  it.each(answers)("[P72] %s: asked until the node has joined", async (_, given) => {
    const { asked, discovery } = inTurn(...given)
    const town = townOf({ discovery: (id) => id === "a" ? Discovery.none : discovery })
    await town.form("a", "b")
    assert.isAtLeast(asked(), given.length)
  }, TIMEOUT_MS)

  it("[P72] none: a node is a cluster by itself, and is asked to be found", async () => {
    const town = townOf({ discovery: (id) => id === "a" ? Discovery.none : Discovery.seeds([at("a")]) })
    await town.form("a")
    await town.get("a", (things) => things.register("one", Thing, { start: 0 }))
    await town.form("b")
    await town.until("b knows it", () => town.whereis("b", "one") === "a")
  }, TIMEOUT_MS)

  it("[P70] an answer that is empty, or fails, later on takes no member away; a new address is dialled", async () => {
    let answer: Effect.Effect<ReadonlyArray<string>> = Effect.succeed([at("a"), at("b")])
    const discovery = { addresses: Effect.suspend(() => answer) }
    const town = townOf({ discovery: (id) => id === "c" ? Discovery.none : discovery })
    await town.form("a", "b")
    for (const next of [Effect.succeed([]), Effect.die(new Error("the cluster's API is away"))]) {
      answer = next
      await town.always("they stay together", () => town.isTogether(["a", "b"]), 30_000)
    }
    assert.isTrue(town.world.nodes.get("a")!.machine.warnings.some((line) => line.includes("Discovery failed")))
    town.start("c")
    await town.until("c is alone", () => town.isTogether(["c"]))
    answer = Effect.succeed([at("a"), at("c")])
    await town.together()
  }, TIMEOUT_MS)

  it("[P70] those that are connected are not dialled again: at rest it costs nothing to be told of them", async () => {
    const framesOf = async (told: ReadonlyArray<string>): Promise<number> => {
      let answer = ["a", "b", "c"].map(at)
      const town = townOf({ discovery: () => ({ addresses: Effect.sync(() => answer) }) })
      await town.form("a", "b", "c")
      answer = [...told]
      const before = town.world.network.delivered()
      await town.pass(60_000)
      return town.world.network.delivered() - before
    }
    const [untold, told] = [await framesOf([]), await framesOf(["a", "b", "c"].map(at))]
    assert.isAtMost(Math.abs(told - untold), untold / 20)
  }, TIMEOUT_MS)
})

describe("a node that is not ready", () => {
  it("[P73] [H13] takes nothing over and is given nothing before it has heard what there is", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b")
    const names = idsOf(50).map((id) => `${id}@c`)
    await town.get("a", (things) => Effect.forEach(names, (name) => things.register(name, Thing, { start: 0 })))
    const before = town.running()
    town.world.network.change({ delay: { minMs: 100, maxMs: 200 } })
    town.start("c")
    const warming = () => town.members("c").some((member) => member.id === "c" && !member.synced)
    await town.until("c is there", () => town.members("c").length > 0)
    let wasWarming = false
    for (const end = town.nowMs + 20_000; town.nowMs < end && !town.isTogether(); await town.pass(10)) {
      if (!warming()) continue
      wasWarming = true
      assert.deepStrictEqual(town.running("c"), [])
      assert.notInclude(town.candidates("a"), "c")
    }
    assert.isTrue(wasWarming)
    await town.always("nobody starts anything anew", () => town.running().join() === before.join(), 5000)
    assert.strictEqual(stage.lines.filter((line) => line.startsWith("init")).length, names.length)
  }, TIMEOUT_MS)

  it("[P73] it is asked to register: it waits until it can, or says that it can't", async () => {
    const town = townOf({ weather: { delay: { minMs: 50, maxMs: 100 } } })
    await town.form("a", "b")
    town.start("c")
    await town.until("c has services", () => town.members("c").length > 0)
    assert.isFalse(town.members("c").find(({ id }) => id === "c")!.synced)
    const early = await town.ask("c", (things) => things.register("early", Thing, { start: 0 }))
    assert.isTrue(Exit.isSuccess(early) || failureOf(early) === "Unavailable", String(early))
    await town.together()
    await town.get("c", (things) => things.whereisOrRegister("early", Thing, { start: 0 }))
    await town.until("one copy, known to all", () => town.isAgreed() && town.running().length === 1)
  }, TIMEOUT_MS)
})
