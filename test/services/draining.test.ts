// A node is emptied, and stays a member.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Stream } from "effect"
import { Handoff, type Memory, Placement } from "@sworm/sworm"
import { failureOf, sameNames, Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, type ThingsOptions, TIMEOUT_MS } from "./support.ts"

const townOf = (options: ThingsOptions = {}, stage = new Stage()): Town<Things> => new Town(thingsOf(stage, options))

const register = (town: Town<Things>, asked: string, name: string): Promise<unknown> =>
  town.get(asked, (things) => things.register(name, Thing, { start: 1 }))

const drain = (options?: Handoff.DrainOptions) => () =>
  Effect.flatMap(Handoff.Handoff, (handoff) => Stream.runCollect(handoff.drain(options)))

const final = async (
  town: Town<Things>,
  asked: string,
  options?: Handoff.DrainOptions
): Promise<Handoff.DrainProgress> => {
  const told = await town.get(asked, drain(options))
  assert.isTrue(told.slice(0, -1).every(({ isFinal }) => !isFinal))
  const last = told[told.length - 1]!
  assert.isTrue(last.isFinal)
  return last
}

const uncordon = (id: string) => (): Effect.Effect<void, unknown, Memory.Services> =>
  Effect.flatMap(Handoff.Handoff, (handoff) => handoff.uncordon(id))

const counts = ({ failed, left, moved }: Handoff.DrainProgress) => ({ failed, left, moved })

describe("drain", () => {
  for (const [title, asked] of [["of this node", "c"], ["of another node", "a"]] as const) {
    it(`${title} gives every process away with its state, tells so, and it stays empty`, async () => {
      const stage = new Stage()
      const town = townOf({}, stage)
      await town.form("a", "b", "c")
      const names = Array.from({ length: 100 }, (_, i) => `thing-${i}@${"abc"[i % 3]}`)
      for (const name of names) await register(town, "a", name)
      for (const name of names) await town.get("b", (things) => things.client(Thing, name).Add({ by: 2 }))
      assert.strictEqual(town.running("c").length, 33)
      const last = await final(town, asked, { node: "c" })
      assert.deepStrictEqual(last, { node: "c", moved: 33, left: 0, failed: 0, stays: [], isFinal: true })
      assert.deepStrictEqual(town.running("c"), [])
      await town.until("all know", () => town.isAgreed())
      for (const name of names) {
        assert.strictEqual(await town.get("c", (things) => things.client(Thing, name).Get()), 3, name)
      }
      await register(town, "c", "late@c")
      await town.always("it stays empty", () => town.running("c").length === 0, 3000)
      assert.strictEqual(town.status("a", "c"), "alive")
      await town.get("b", uncordon("c"))
      await town.until("it gets its share again", () => town.running("c").length === 34)
    }, TIMEOUT_MS)
  }

  it("of two nodes at once gives nothing of the one to the other", async () => {
    const town = townOf({ placement: Placement.rendezvous })
    await town.form("a", "b", "c", "d")
    for (let i = 0; i < 60; i++) await register(town, "a", `thing-${i}`)
    const both = [town.begin("a", drain({ node: "b" })), town.begin("a", drain({ node: "c" }))]
    for (const one of both) assert.isTrue(Exit.isSuccess(await town.ended(one)))
    assert.deepStrictEqual(town.running("b", "c"), [])
    assert.strictEqual(town.running("a", "d").length, 60)
  }, TIMEOUT_MS)

  it("of the only node ends at once: all stay and run on, with the reason", async () => {
    const town = townOf()
    await town.form("a")
    for (const name of ["one", "two"]) await register(town, "a", name)
    const since = town.nowMs
    const last = await final(town, "a", { deadline: "1 hour" })
    assert.isBelow(town.nowMs - since, 1000)
    assert.deepStrictEqual(counts(last), { failed: 2, left: 2, moved: 0 })
    sameNames(last.stays.map(({ detail, name, sworm }) => `${sworm} ${name}: ${detail}`), [
      "Things one: placement accepts no other node for it",
      "Things two: placement accepts no other node for it"
    ])
    assert.strictEqual(await town.get("a", (things) => things.client(Thing, "one").Get()), 1)
  }, TIMEOUT_MS)

  it("leaves what no other node may have, what has no room there, and what answers that it stays", async () => {
    for (
      const [options, detail] of [
        [{ placement: Placement.pin(() => "b") }, "placement accepts no other node for it"],
        [{ maxChildren: 1 }, '"a" has no room for it'],
        [{ stays: true }, "its process type answered ignore"]
      ] as const
    ) {
      const town = townOf({ ...options, redistribution: "passive" })
      await town.form("a", "b")
      if ("maxChildren" in options) await register(town, "a", "full@a")
      await register(town, "a", "one@b")
      const last = await final(town, "a", { node: "b" })
      assert.deepStrictEqual(counts(last), { failed: 1, left: 1, moved: 0 })
      assert.deepStrictEqual(last.stays, [{ sworm: "Things", name: "one@b", detail }])
      assert.include(town.running("b"), "one@b on b")
    }
  }, TIMEOUT_MS)

  it("ends by its deadline: a process that is busy for longer runs on where it is", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b")
    for (const name of ["one@b", "two@b"]) await register(town, "a", name)
    const passing = town.begin(
      "a",
      (things) => things.client(Thing, "one@b", { timeout: "20 seconds" }).Pass({ door: "door", then: "nothing" })
    )
    await town.until("it is at hand", () => stage.count("at door") === 1)
    const since = town.nowMs
    const told = await town.get("a", drain({ node: "b", deadline: "3 seconds" }))
    assert.isAtMost(town.nowMs - since, 3500)
    assert.isAbove(told.length, 5)
    const last = told[told.length - 1]!
    assert.deepStrictEqual(counts(last), { failed: 0, left: 1, moved: 1 })
    assert.deepStrictEqual(last.stays, [{ sworm: "Things", name: "one@b", detail: "no time was left for it" }])
    Effect.runSync(stage.open("door"))
    assert.isTrue(Exit.isSuccess(await town.ended(passing)))
    assert.strictEqual(await town.get("a", (things) => things.client(Thing, "one@b").Add({ by: 1 })), 2)
    assert.deepStrictEqual(town.running("b"), ["one@b on b"])
  }, TIMEOUT_MS)

  it("waits for what is starting, and moves it then", async () => {
    const stage = new Stage()
    const init = ({ handoff }: { readonly handoff: number | undefined }) =>
      handoff === undefined ? stage.pass("door") : Effect.void
    const town = townOf({ init }, stage)
    await town.form("a", "b")
    const registering = town.begin("a", (things) => things.register("one@b", Thing, { start: 7 }))
    await town.until("it starts", () => stage.count("at door") === 1)
    const draining = town.begin("b", drain())
    await town.pass(1000)
    assert.isUndefined(draining.exit)
    Effect.runSync(stage.open("door"))
    assert.isTrue(Exit.isSuccess(await town.ended(registering)))
    const told = Option.getOrThrow(Exit.getSuccess(await town.ended(draining)))
    assert.deepStrictEqual(counts(told[told.length - 1]!), { failed: 0, left: 0, moved: 1 })
    assert.deepStrictEqual(town.running(), ["one@b on a"])
  }, TIMEOUT_MS)

  it("ends when its node is uncordoned", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b")
    await register(town, "a", "one@b")
    const passing = town.begin(
      "a",
      (things) => things.client(Thing, "one@b", { timeout: "20 seconds" }).Pass({ door: "door", then: "nothing" })
    )
    await town.until("it is at hand", () => stage.count("at door") === 1)
    const draining = town.begin("a", drain({ node: "b", deadline: "1 minute" }))
    await town.pass(500)
    await town.get("a", uncordon("b"))
    await town.until("it has ended", () => draining.exit !== undefined, 1000)
    const told = Option.getOrThrow(Exit.getSuccess(await town.ended(draining)))
    assert.deepStrictEqual(told[told.length - 1]!.stays, [
      { sworm: "Things", name: "one@b", detail: "the node was uncordoned" }
    ])
    Effect.runSync(stage.open("door"))
    await town.ended(passing)
    await town.until("it is where it belongs", () => town.running().join() === "one@b on b")
    await town.always("it never left", () => stage.count("stop Moved") === 0, 1000)
  }, TIMEOUT_MS)

  it("of a node that dies meanwhile fails with Unavailable; so does one of a node that nobody knows", async () => {
    const stage = new Stage()
    const town = townOf({}, stage)
    await town.form("a", "b")
    await register(town, "a", "one@b")
    town.begin("a", (things) => things.client(Thing, "one@b").Pass({ door: "door", then: "nothing" }))
    await town.until("it is at hand", () => stage.count("at door") === 1)
    const draining = town.begin("a", drain({ node: "b" }))
    await town.pass(500)
    town.world.crash("b")
    assert.strictEqual(failureOf(await town.ended(draining)), "Unavailable")
    assert.strictEqual(failureOf(await town.ask("a", drain({ node: "nobody" }))), "Unavailable")
  }, TIMEOUT_MS)

  it("takes along groups, metadata, aliases, leases and links", async () => {
    const town = townOf()
    await town.form("a", "b")
    await town.get("a", (things) =>
      Effect.gen(function* () {
        yield* things.register("one@b", Thing, { start: 1 }, { lease: "10 seconds", metadata: { colour: "red" } })
        yield* things.register("two@b", Thing, { start: 1 })
        yield* things.join("crew", "one@b")
        yield* things.alias("uno", "one@b")
        yield* things.link({ strategy: "one_for_all", names: ["one@b", "two@b"] })
      }))
    assert.deepStrictEqual(counts(await final(town, "a", { node: "b" })), { failed: 0, left: 0, moved: 2 })
    const entry = Option.getOrThrow(await town.get("b", (things) => things.entry("one@b")))
    assert.deepStrictEqual([entry.ref.node, entry.metadata, entry.groups, entry.names], [
      "a",
      { colour: "red" },
      ["crew"],
      ["one@b", "uno"]
    ])
    assert.strictEqual(await town.get("b", (things) => things.client(Thing, "uno").Add({ by: 1 })), 2)
    // linked as before: with one the other begins anew
    await town.get("b", (things) => things.client(Thing, "two@b").Add({ by: 9 }))
    await town.ask("b", (things) => things.client(Thing, "one@b").Crash({ bytes: 1 }))
    await town.until("both run", () => town.running().join() === "one@b on a,two@b on a")
    await town.pass(500)
    assert.strictEqual(await town.get("b", (things) => things.client(Thing, "two@b").Get()), 1)
    // and the lease goes on: renewed it stays, and not renewed it ends
    await town.get("b", (things) => things.renew("one@b"))
    await town.pass(6000)
    assert.strictEqual(town.whereis("b", "one@b"), "a")
    await town.until("its lease ends", () => town.whereis("b", "one@b") === undefined)
    assert.strictEqual(town.whereis("b", "two@b"), "a")
  }, TIMEOUT_MS)
})

it("a node that leaves with 200 processes is given none from then on, and hands each over with its state", async () => {
  const stage = new Stage()
  const afresh: Array<string> = []
  const init = ({ handoff, name }: { readonly handoff: number | undefined; readonly name: string }) =>
    Effect.sync(() => void (handoff === undefined && afresh.push(name)))
  const town = townOf({ init }, stage)
  await town.form("a", "b", "c")
  const names = Array.from({ length: 200 }, (_, i) => `thing-${i}@c`)
  for (const name of names) await register(town, "a", name)
  for (const name of names) await town.get("c", (things) => things.client(Thing, name).Add({ by: 5 }))
  const leaving = town.world.leave("c")!
  await town.until("all see it leave", () => ["a", "b"].every((id) => town.status(id, "c") !== "alive"))
  for (const id of ["a", "b"]) assert.deepStrictEqual(town.candidates(id), ["a", "b"])
  const late = await town.get("b", (things) => things.register("late@c", Thing, { start: 1 }))
  assert.strictEqual(late.node, "a")
  await town.until("it has left", () => leaving.exit !== undefined)
  assert.strictEqual(town.running("a", "b").length, 201)
  sameNames(afresh, [...names, "late@c"])
  for (const name of names) assert.strictEqual(await town.get("b", (things) => things.client(Thing, name).Get()), 6)
}, TIMEOUT_MS)
