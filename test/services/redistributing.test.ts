// When redistribution moves processes: how soon, how fast, which ones, and not at all while it is paused.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Handoff, Membership, Placement } from "@sworm/sworm"
import { failureOf, type NodeSettings, Town } from "./simulated.ts"
import { Stage, steer, Thing, type Things, thingsOf, type ThingsOptions, TIMEOUT_MS } from "./support.ts"

const townOf = (settings: NodeSettings = {}, options: ThingsOptions = {}): Town<Things> =>
  new Town(thingsOf(new Stage(), options), { settings })

const register = async (town: Town<Things>, asked: string, names: ReadonlyArray<string>): Promise<void> => {
  for (const name of names) await town.get(asked, (things) => things.register(name, Thing, { start: 1 }))
}

const numbered = (count: number, node: string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `thing-${i}@${node}`)

const handoff = (town: Town<Things>, asked: string, what: "cordon" | "pause" | "resume", node?: string) =>
  town.get(asked, () => Effect.flatMap(Handoff.Handoff, (service) => service[what](node)))

describe("[D17] movesPerSecond", () => {
  it("is how many a node begins in a second, and all go in the end", async () => {
    const town = townOf({ movesPerSecond: 10 })
    await town.form("a")
    await register(town, "a", numbered(40, "b"))
    await town.form("b")
    const since = town.nowMs
    const seconds = (): number => (town.nowMs - since) / 1000
    await town.until("all are there", () => {
      assert.isAtMost(town.running("b").length, 10 * seconds() + 10)
      return town.running("b").length === 40
    })
    assert.isAtLeast(seconds(), 2.5)
    assert.isAtMost(seconds(), 6)
  }, TIMEOUT_MS)

  it("does not go on when something changes meanwhile: what was to go stays", async () => {
    const town = townOf({ movesPerSecond: 1 })
    await town.form("a")
    await register(town, "a", numbered(20, "b"))
    await town.form("b")
    await town.until("some are there", () => town.running("b").length >= 2)
    await handoff(town, "b", "cordon")
    await town.until("a knows it", () => town.candidates("a").join() === "a")
    await town.pass(1000)
    const there = town.running("b").length
    await town.always("no more go", () => town.running("b").length === there, 10_000)
  }, TIMEOUT_MS)

  it("begins anew when something changes meanwhile, no faster", async () => {
    const town = townOf({ movesPerSecond: 1 })
    await town.form("a")
    await register(town, "a", numbered(20, "b"))
    await town.form("b")
    await town.until("some are there", () => town.running("b").length >= 2)
    town.start("c")
    await town.pass(3000)
    assert.isAtMost(town.running("b").length, 8)
    await town.until("all are there", () => town.running("b").length === 20)
  }, TIMEOUT_MS)

  it("holds up neither a drain nor a leave", async () => {
    const town = townOf({ movesPerSecond: 1 })
    await town.form("a", "b")
    await register(town, "a", numbered(30, "b"))
    const since = town.nowMs
    await town.leave("b")
    assert.isBelow(town.nowMs - since, 3000)
    assert.strictEqual(town.running("a").length, 30)
  }, TIMEOUT_MS)

  it("does not hold up the end of what has lost its quorum, and nor does redistributeAfter", async () => {
    const town = townOf({ movesPerSecond: 0.01, redistributeAfter: "20 seconds" }, {
      placement: Placement.quorum(2, steer)
    })
    await town.form("a", "b", "c")
    await register(town, "a", numbered(5, "d"))
    await town.form("d")
    await town.until("one has gone", () => town.running("d").length === 1)
    assert.strictEqual(town.running("a").length, 4)
    await town.part(["a"], ["b", "c", "d"])
    await town.until("nothing runs there", () => town.running("a").length === 0, 5000)
  }, TIMEOUT_MS)
})

it("minResidence: what has just come is not moved on, and goes when it has been there for so long", async () => {
  const town = townOf({ minResidence: "8 seconds" })
  await town.form("a")
  await register(town, "a", ["old@b"])
  await town.pass(7000)
  await register(town, "a", ["new@b"])
  const since = town.nowMs
  await town.form("b")
  await town.until("the old one has gone", () => town.running("b").join() === "old@b on b")
  assert.isBelow(town.nowMs - since, 7000)
  await town.until("the new one has gone", () => town.running("b").length === 2)
  assert.isAtLeast(town.nowMs - since, 7500)
  // whoever leaves does not wait for it
  await town.leave("b")
  assert.strictEqual(town.running("a").length, 2)
}, TIMEOUT_MS)

it("redistributeAfter: a node that comes and goes within it has pulled nothing to it", async () => {
  const town = townOf({ redistributeAfter: "5 seconds" })
  await town.form("a")
  await register(town, "a", numbered(5, "b"))
  await town.form("b")
  await town.always("all stay for now", () => town.running("a").length === 5, 3000)
  town.world.crash("b")
  await town.until("it is gone", () => town.status("a", "b") === "dead")
  await town.always("none was moved", () => town.running("a").length === 5, 10_000)
  const since = town.nowMs
  await town.form("b")
  await town.until("all have gone there", () => town.running("b").length === 5)
  assert.isAtLeast(town.nowMs - since, 4900)
}, TIMEOUT_MS)

it("pause and resume, here and from another node: nothing is given away between them", async () => {
  for (const [asked, node] of [["a", undefined], ["c", "a"]] as const) {
    const town = townOf()
    await town.form("a", "c")
    await register(town, "a", [...numbered(5, "b"), "other@c"])
    await handoff(town, asked, "pause", node)
    await town.form("b")
    await town.always("all stay", () => town.running("a").length === 5, 3000)
    // only what is moved because placement wants it is held back
    const moved = await town.ended(town.moving("thing-0@b", "b", "c"))
    assert.isTrue(Exit.isSuccess(moved))
    await handoff(town, asked, "resume", node)
    await town.until("all have gone there", () => town.running("b").length === 5)
  }
}, TIMEOUT_MS)

describe("labels that change", () => {
  const setLabels = (town: Town<Things>, asked: string, labels: Readonly<Record<string, string>>) =>
    town.ask(asked, () => Effect.flatMap(Membership.Membership, (membership) => membership.setLabels(labels)))

  it("are told to every node, and processes move where they belong by then", async () => {
    const town = townOf({ labels: { role: "worker", zone: "x" } }, { placement: Placement.labels({ role: "worker" }) })
    await town.form("a", "b", "c")
    await register(town, "a", numbered(30, "any"))
    assert.isNotEmpty(town.running("c"))
    assert.isTrue(Exit.isSuccess(await setLabels(town, "c", { role: "idle" })))
    await town.until(
      "all know",
      () =>
        ["a", "b", "c"].every((id) =>
          town.members(id).some((member) => member.id === "c" && JSON.stringify(member.labels) === `{"role":"idle"}`)
        )
    )
    await town.until("it has none", () => town.running("a", "b").length === 30 && town.running("c").length === 0)
    assert.isTrue(Exit.isSuccess(await setLabels(town, "c", { role: "worker" })))
    await town.until("it has its share", () => town.running("c").length > 0 && town.running().length === 30)
  }, TIMEOUT_MS)

  it("of a weight alone move a share", async () => {
    const town = townOf({}, { placement: Placement.weighted() })
    await town.form("a", "b")
    await register(town, "a", numbered(30, "any"))
    await setLabels(town, "b", { weight: "0" })
    await town.until("it has none", () => town.running("a").length === 30)
  }, TIMEOUT_MS)

  it("are refused when they are not texts, too many or too long", async () => {
    const town = townOf()
    await town.form("a")
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`label-${i}`, "x"]))
    for (const labels of [{ weight: 1 } as never, many, { long: "x".repeat(5000) }]) {
      assert.strictEqual(failureOf(await setLabels(town, "a", labels)), "InvalidInput")
    }
    assert.deepStrictEqual(town.members("a")[0]!.labels, {})
  }, TIMEOUT_MS)
})
