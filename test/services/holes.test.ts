// Histories that break the obvious design of a replicated registry, each on whole nodes in simulated time.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Placement } from "@sworm/sworm"
import { failureOf, Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (options: TownOptions = {}, stage = new Stage()): Town<Things> =>
  new Town(thingsOf(stage, { redistribution: "passive" }), options)

const seeds = [1, 2, 3, 4, 5, 6] as const
const FAR = { delay: { minMs: 1, maxMs: 40 } }

const valueOf = (town: Town<Things>, asked: string, name: string) =>
  town.ask(asked, (things) => things.client(Thing, name, { timeout: "20 seconds" }).Get())

describe("acknowledged means kept", () => {
  it.each(seeds)(
    "[H1] registered, acknowledged, and the holder dies in that moment: it runs again (seed %i)",
    async (seed) => {
      const town = townOf({ seed, weather: FAR })
      await town.form("a", "b", "c")
      // serialised by its holder, or by another; asked for by it, or by another: whoever asks counts as the second
      const own = town.nameAt("a", (n) => `own ${n}@a`)
      const others = town.nameAt("b", (n) => `others ${n}@a`)
      await town.get("b", (things) => things.register("early@a", Thing, { start: 4 }))
      const names = ["early@a", own, others]
      const [last, asked] = seed % 3 === 0 ? [others, "c"] : [own, seed % 3 === 1 ? "a" : "c"]
      for (const name of [own, others]) {
        if (name !== last) await town.get("c", (things) => things.register(name, Thing, { start: 4 }))
      }
      await town.get(asked, (things) => things.register(last, Thing, { start: 4 }))
      town.world.crash("a")
      await town.until("all run again", () => town.running("b", "c").length === 3 && town.isAgreed())
      for (const name of names) {
        assert.deepStrictEqual(await valueOf(town, "c", name), Exit.succeed(4))
      }
    },
    TIMEOUT_MS
  )

  it.each(seeds)(
    "[H2] unregistered, acknowledged, and the writer dies in that moment: it never runs again (seed %i)",
    async (seed) => {
      const town = townOf({ seed, weather: FAR })
      await town.form("a", "b", "c")
      await town.get("b", (things) => things.register("one@a", Thing, { start: 4 }))
      await town.until("all know it", () => ["a", "b", "c"].every((id) => town.whereis(id, "one@a") === "a"))
      await town.get(seed % 2 === 0 ? "a" : "b", (things) => things.unregister("one@a"))
      town.world.crash("a")
      await town.until("a is dead", () => town.status("b", "a") === "dead" && town.status("c", "a") === "dead")
      await town.until("nobody has it", () => town.running().length === 0 && town.isAgreed())
      await town.always("nobody has it any more", () => town.running().length === 0, 10_000)
      const epoch = (await town.get("c", (things) => things.register("one@a", Thing, { start: 1 }))).epoch
      assert.isAbove(epoch, 0, "the name is free")
    },
    TIMEOUT_MS
  )

  it.each(seeds)(
    "[H12] frames lost and doubled: nobody is told that its own registration has taken the name (seed %i)",
    async (seed) => {
      const stage = new Stage()
      const town = townOf({ seed }, stage)
      await town.form("a", "b", "c")
      const names = ["one@a", "two@b", "three@c", "four@a", "five@b", "six@c"]
      town.world.network.change({ delay: { minMs: 1, maxMs: 20 }, loss: 0.2, duplication: 0.2, reordering: 0.2 })
      const registered: Array<string> = []
      for (const name of names) {
        const exit = await town.ask("a", (things) => things.register(name, Thing, { start: 0 }))
        assert.notStrictEqual(failureOf(exit), "NameTaken", name)
        if (Exit.isSuccess(exit)) registered.push(name)
      }
      assert.isNotEmpty(registered)
      const ended: Array<string> = []
      for (const name of registered) {
        if (Exit.isSuccess(await town.ask("b", (things) => things.unregister(name)))) ended.push(name)
      }
      town.world.network.change({ delay: { minMs: 0.2, maxMs: 2 } })
      const isAnyBack = () => town.running().some((copy) => ended.includes(copy.split(" on ")[0]!))
      await town.until("they are one again", () => town.isTogether() && town.isAgreed())
      await town.always("a late copy of a register starts nothing anew", () => !isAnyBack(), 10_000)
    },
    TIMEOUT_MS
  )
})

describe("[H12] a registrar that dies", () => {
  it.each([2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28])(
    "[H12] %i ms after it was asked: whoever asked has the name, or knows that it can't be had, and not by another",
    async (afterMs) => {
      const town = townOf({ seed: afterMs, weather: { delay: { minMs: 3, maxMs: 5 } } })
      await town.form("a", "b", "c")
      const name = town.nameAt("b", (n) => `one ${n}@a`)
      const asking = town.begin("c", (things) => things.register(name, Thing, { start: 3 }))
      await town.pass(afterMs)
      town.world.crash("b")
      const exit = await town.ended(asking)
      assert.include([undefined, "Unavailable"], failureOf(exit))
      if (Exit.isFailure(exit)) return
      assert.strictEqual(town.whereis("c", name), "a")
      await town.always("it runs once", () => town.running("a", "c").length === 1, 3000)
    },
    TIMEOUT_MS
  )
})

describe("[H10] a copy that was given away", () => {
  it.each([50, 100, 200, 400, 800])(
    "[H10] %i ms later both its nodes die, and the rest had heard of one only: it runs again",
    async (afterMs) => {
      const town = townOf({ seed: afterMs, settings: { syncInterval: "1 hour" } })
      await town.form("a", "b", "c")
      await town.get("c", (things) => things.register("one@a", Thing, { start: 5 }))
      await town.until("b knows it", () => town.whereis("b", "one@a") === "a")
      town.world.network.cut("b", "c")
      const moving = town.moving("one@a", "b", "a")
      await town.until("it has moved", () => town.running().join() === "one@a on b")
      assert.isTrue(Exit.isSuccess(await town.ended(moving)))
      await town.pass(afterMs)
      town.world.crash("a")
      town.world.crash("b")
      await town.until("c runs it", () => town.running("c").length === 1)
      assert.deepStrictEqual(await valueOf(town, "c", "one@a"), Exit.succeed(5))
    },
    TIMEOUT_MS
  )
})

describe("epochs", () => {
  it("[H5] rise through unregistering, a lost node, and a new start of the whole cluster", async () => {
    const town = townOf()
    await town.form("a", "b")
    const register = async () => (await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }))).epoch
    const epochs = [await register()]
    await town.get("a", (things) => things.unregister("one@a"))
    epochs.push(await register())
    town.world.crash("a")
    await town.until("b has it", () => town.running("b").length === 1)
    epochs.push(town.epoch("b", "one@a")!)
    town.world.crash("b")
    await town.pass(100)
    await town.form("a", "b")
    epochs.push(await register())
    assert.deepStrictEqual(epochs, [...new Set(epochs)].sort((x, y) => x - y))
  }, TIMEOUT_MS)

  it(
    "[H8] a node dies and is back under its id before anybody missed it: one copy, above the old one's epoch",
    async () => {
      const town = townOf()
      await town.form("a", "b", "c")
      await town.get("b", (things) => things.register("one@a", Thing, { start: 2 }))
      const before = town.epoch("b", "one@a")!
      const boot = town.members("b").find(({ id }) => id === "a")!.boot
      town.world.crash("a")
      await town.form("a")
      assert.isAbove(town.members("b").find(({ id }) => id === "a")!.boot, boot)
      await town.until("one copy", () => town.running().length === 1 && town.isAgreed())
      assert.isAbove(town.epoch("c", "one@a")!, before)
      assert.deepStrictEqual(await valueOf(town, "c", "one@a"), Exit.succeed(2))
      // it is nobody else's to take over again
      await town.always("one copy", () => town.running().length === 1, 5000)
    },
    TIMEOUT_MS
  )
})

describe("a node that was only thought dead", () => {
  it("[H6] [H9] keeps its processes' state, and what it registers is known to all again", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b", "c")
    await town.get("b", (things) => things.register("one@a", Thing, { start: 0 }))
    await town.get("b", (things) => things.client(Thing, "one@a").Add({ by: 41 }))
    town.world.hold("a", true)
    await town.until("another copy began anew", () => town.running("b", "c").length === 1)
    await town.get("b", (things) => things.client(Thing, "one@a").Add({ by: 1 }))
    town.world.hold("a", false)
    await town.until("one copy is left", () => town.isTogether() && town.running().length === 1 && town.isAgreed())
    assert.deepStrictEqual(await valueOf(town, "c", "one@a"), Exit.succeed(41), "no empty copy has taken its place")
    await town.get("a", (things) => things.register("two@a", Thing, { start: 0 }))
    for (const id of ["b", "c"]) await town.until("it is heard", () => town.whereis(id, "two@a") === "a")
  }, TIMEOUT_MS)

  it("[H13] takes nothing over from one that died meanwhile before it has heard who did", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b", "c")
    const names = Array.from({ length: 20 }, (_, i) => `n${i}@b`)
    await town.get("b", (things) => Effect.forEach(names, (name) => things.register(name, Thing, { start: 0 })))
    await town.until("all know all", () => town.isAgreed())
    const begun = () => stage.lines.filter((line) => line.startsWith("init")).length
    town.world.hold("a", true)
    await town.until("a is dead", () => town.status("b", "a") === "dead" && town.status("c", "a") === "dead")
    town.world.crash("b")
    await town.until("c has all", () => town.running("c").length === names.length)
    // at home at a, as soon as it takes part again
    town.world.hold("a", false)
    await town.until("they are one again", () => town.isTogether() && town.isAgreed())
    await town.pass(3000)
    assert.strictEqual(begun(), 2 * names.length)
  }, TIMEOUT_MS)
})

describe("[H13] a node that has heard half of it", () => {
  it.each([1, 2])(
    "[H13] of the dead, and not yet of who took over from them: it starts nothing (seed %i)",
    async (seed) => {
      const stage = new Stage()
      const town = townOf({ seed, weather: { delay: { minMs: 5, maxMs: 30 } } }, stage)
      await town.form("z", "a")
      await town.form("b")
      const names = Array.from({ length: 150 }, (_, i) => `n${i}@z`)
      const big = { metadata: "x".repeat(5000) }
      await town.get(
        "z",
        (things) =>
          Effect.forEach(names, (name) => things.register(name, Thing, { start: 0 }, big), {
            concurrency: 50,
            discard: true
          })
      )
      await town.until("all know all", () => town.isAgreed())
      town.world.crash("z")
      await town.until("all run again", () => town.running("a", "b").length === names.length && town.isAgreed())
      // it would be at home here
      const begun = stage.lines.length
      town.start("0")
      await town.until("it is one of them", () => town.isTogether())
      await town.pass(2000)
      assert.deepStrictEqual(stage.lines.slice(begun), [])
    },
    TIMEOUT_MS
  )
})

describe("[H7] a move whose frames are lost", () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15])(
    "[H7] cut off %i ms after it began: one copy is left, with its state",
    async (afterMs) => {
      const stage = new Stage()
      const weather = { delay: { minMs: 1, maxMs: 3 } }
      const town = townOf({ seed: 1 + afterMs, settings: { handoffTimeout: "2 seconds" }, weather }, stage)
      await town.form("a", "b", "c")
      await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }))
      await town.get("c", (things) => things.client(Thing, "one@a").Add({ by: 7 }))
      const moving = town.moving("one@a", "b", "a")
      await town.pass(afterMs)
      town.world.network.partition(["a"], ["b"])
      // longer than a move may take
      await town.always("not two serve", () => town.running().length <= 1, 4000)
      town.world.network.heal("a", "b")
      await town.until("it has ended, and never two serve", () => {
        assert.isAtMost(town.running().length, 1)
        return moving.exit !== undefined
      })
      await town.until("one copy", () => town.isTogether() && town.running().length === 1 && town.isAgreed())
      await town.always("one copy, for good", () => town.running().length === 1, 3000)
      for (const id of ["a", "b", "c"]) assert.deepStrictEqual(await valueOf(town, id, "one@a"), Exit.succeed(7))
    },
    TIMEOUT_MS
  )
})

describe("[H15] registrations while nodes come and go", () => {
  it.each(seeds)(
    "[H15] of those that register a name at once one succeeds, the others are told of it (seed %i)",
    async (seed) => {
      const town = townOf({ seed, weather: { delay: { minMs: 1, maxMs: 15 } } })
      await town.form("a", "b", "c")
      const names = Array.from({ length: 12 }, (_, i) => `n${i}@${["a", "b"][i % 2]}`)
      // a registrar comes, and one goes, in the middle of it
      town.start("d", "e")
      const asking = []
      for (const [i, name] of names.entries()) {
        for (const id of ["a", "b"]) asking.push(town.begin(id, (things) => things.register(name, Thing, { start: 0 })))
        await town.pass(40)
        if (i === 6) void town.world.leave("c")
      }
      const exits = []
      for (const running of asking) exits.push(await town.ended(running))
      for (const [i, name] of names.entries()) {
        const pair = exits.slice(2 * i, 2 * i + 2)
        const failures = pair.filter(Exit.isFailure).map(failureOf)
        assert.isAtMost(pair.filter(Exit.isSuccess).length, 1, name)
        for (const failure of failures) assert.include(["NameTaken", "Unavailable"], failure)
      }
      await town.until("each runs once", () => {
        const copies = town.running().map((copy) => copy.split(" on ")[0])
        return town.isAgreed() && copies.length === new Set(copies).size
      })
    },
    TIMEOUT_MS
  )

  it.each([1, 2, 3])(
    "[H15] what one registrar is starting still, a new one doesn't start besides (seed %i)",
    async (seed) => {
      const stage = new Stage()
      const app = thingsOf(stage, {
        redistribution: "passive",
        placement: Placement.rendezvous,
        init: () => stage.pass("the door")
      })
      const town = new Town<Things>(app, { seed })
      await town.form("a", "b")
      const names = Array.from({ length: 24 }, (_, i) => `n${i}`)
      const register = (id: string) =>
        names.map((name) => town.begin(id, (things) => things.register(name, Thing, { start: 0 })))
      town.start("c", "d")
      const first = register("a")
      await town.until(
        "b has heard of both",
        () => town.candidates("b").length === 4 && town.syncedOn("b").length === 4
      )
      const second = register("b")
      await town.pass(500)
      // whatever was begun is done in the same moment
      Effect.runSync(stage.open("the door"))
      for (const [i, name] of names.entries()) {
        const pair = [await town.ended(first[i]!), await town.ended(second[i]!)]
        assert.strictEqual(pair.filter(Exit.isSuccess).length, 1, name)
        assert.strictEqual(stage.count(`init ${name}`), 1)
      }
    },
    TIMEOUT_MS
  )
})

describe("[H26] a process that ends for good", () => {
  type Ending = readonly [
    what: string,
    restart: "transient" | "temporary",
    end: (town: Town<Things>) => Promise<unknown>
  ]
  const call = (town: Town<Things>, tag: "stop" | "crash") =>
    town.ask("a", (things) => {
      const thing = things.client(Thing, "one@a")
      return tag === "stop" ? thing.Pass({ door: "open", then: "stop" }) : Effect.asVoid(thing.Crash({ bytes: 1 }))
    })
  const endings: ReadonlyArray<Ending> = [
    ["it stops by itself", "transient", (town) => call(town, "stop")],
    ["a temporary one crashes", "temporary", (town) => call(town, "crash")],
    ["it crashes too often", "transient", async (town) => {
      for (let i = 0; i < 4; i++) await call(town, "crash")
    }]
  ]
  const settle = async (restart: "transient" | "temporary") => {
    const stage = new Stage()
    await Effect.runPromise(stage.open("open"))
    const town = townOf({}, stage)
    await town.form("a", "b", "c")
    await town.get("a", (things) => things.register("one@a", Thing, { start: 0 }, { restart }))
    await town.until("all know it", () => ["b", "c"].every((id) => town.whereis(id, "one@a") === "a"))
    return town
  }
  const isGone = (town: Town<Things>) => (): boolean => town.running().length === 0 && town.names("b").length === 0

  it.each(endings)("[H26] %s, and its node dies: no other starts it again", async (_, restart, end) => {
    const town = await settle(restart)
    await end(town)
    await town.until("it has ended, as all know", () => ["a", "b", "c"].every((id) => town.names(id).length === 0))
    town.world.crash("a")
    await town.until("a is dead", () => town.status("b", "a") === "dead" && town.status("c", "a") === "dead")
    await town.always("it stays ended", isGone(town), 5000)
  }, TIMEOUT_MS)

  it.each(endings)(
    "[H26] %s, on one side of a split: the copy that the other side has started ends too",
    async (_, restart, end) => {
      const town = await settle(restart)
      await town.part(["a"], ["b", "c"])
      await town.until("it runs on the other side", () => town.running("b", "c").length === 1)
      await end(town)
      await town.until("it has ended here", () => town.running("a").length === 0)
      await town.heal()
      await town.until("it has ended there", () => isGone(town)() && town.isAgreed())
      await town.always("it stays ended", isGone(town), 5000)
    },
    TIMEOUT_MS
  )
})
