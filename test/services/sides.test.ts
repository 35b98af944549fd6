// Which side of a split goes on, and that the two never run a name at once. [H20]
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Placement } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { Stage, steer, Thing, thingsOf, TIMEOUT_MS } from "./support.ts"

const ids = ["a", "b", "c", "d", "e"]
const names = ids.map((id) => `one@${id}`)

const townOf = (placement: Placement.Placement) => new Town(thingsOf(new Stage(), { placement }), { seed: 5 })

/** All five host one name each, then the cluster falls apart. */
const parted = async (placement: Placement.Placement, ...sides: ReadonlyArray<ReadonlyArray<string>>) => {
  const town = townOf(placement)
  // one after the other: a is the oldest
  for (const id of ids) {
    town.start(id)
    await town.until(`${id} is one of them`, () => town.isTogether())
  }
  for (const name of names) await town.get("a", (things) => things.register(name, Thing, { start: 1 }))
  await town.until("each runs one", () => ids.every((id) => town.running(id).length === 1))
  for (const [at, side] of sides.entries()) town.world.network.partition(side, sides.slice(at + 1).flat())
  return town
}

const policies: ReadonlyArray<
  readonly [
    what: string,
    placement: Placement.Placement,
    sides: ReadonlyArray<ReadonlyArray<string>>,
    goesOn: ReadonlyArray<string>
  ]
> = [
  ["quorum(3), 3 and 2", Placement.quorum(3, steer), [["a", "b", "c"], ["d", "e"]], ["a", "b", "c"]],
  ["quorum(3), 2, 2 and 1", Placement.quorum(3, steer), [["a", "b"], ["c", "d"], ["e"]], []],
  ["keepMajority, 2 and 3", Placement.keepMajority(steer), [["a", "b"], ["c", "d", "e"]], ["c", "d", "e"]],
  ["keepMajority, 2, 2 and 1", Placement.keepMajority(steer), [["a", "b"], ["c", "d"], ["e"]], []],
  ["keepOldest, 2 and 3", Placement.keepOldest(steer), [["a", "b"], ["c", "d", "e"]], ["a", "b"]],
  ["keepOldest, the oldest alone", Placement.keepOldest(steer), [["a"], ["b", "c", "d", "e"]], ["b", "c", "d", "e"]],
  ["downAll, 4 and 1", Placement.downAll(steer), [["a", "b", "c", "d"], ["e"]], []]
]

describe("[H20] a split, and", () => {
  it.each(policies)("%s", async (_, placement, sides, goesOn) => {
    const town = await parted(placement, ...sides)
    const never = (): void => {
      for (const name of names) {
        const at = town.running().filter((line) => line.startsWith(`${name} on`))
        assert.isAtMost(at.length, 1, at.join(" and "))
      }
    }
    const wanted = goesOn.length === 0 ? 0 : names.length
    await town.until("the side that goes on has all, the others nothing", () => {
      never()
      return town.running().length === wanted &&
        ids.every((id) => goesOn.includes(id) || town.running(id).length === 0)
    })
    await town.always("it stays so", () => town.running().length === wanted, 10_000)
    town.world.network.heal()
    await town.until("all run, once", () => {
      never()
      return town.running().length === names.length && town.isAgreed()
    })
  }, TIMEOUT_MS)

  it("keepMajority of four: of two equal halves that with the lowest id goes on", () => {
    const all = ["d", "b", "c", "a"].map((id) => ({ id, boot: 1 }))
    const survives = Placement.keepMajority().survives!
    assert.isTrue(survives(new Set(["a", "d"]), all))
    assert.isFalse(survives(new Set(["b", "c"]), all))
  })

  it("no policy says yes to two sides, however a cluster of up to five falls in two", () => {
    for (const placement of [Placement.keepMajority(), Placement.keepOldest(), Placement.downAll()]) {
      for (let count = 1; count <= 5; count++) {
        const all = ids.slice(0, count).map((id, at) => ({ id, boot: 10 - at }))
        for (let bits = 0; bits < 1 << count; bits++) {
          const one = new Set(all.filter((_, at) => (bits & (1 << at)) !== 0).map(({ id }) => id))
          const other = new Set(all.filter(({ id }) => !one.has(id)).map(({ id }) => id))
          const both = placement.survives!(one, all) && placement.survives!(other, all)
          assert.isFalse(both && one.size > 0 && other.size > 0, `${placement.name}: ${[...one]} and ${[...other]}`)
        }
      }
    }
  })

  it("a node that is held up handles no message when it wakes, once the others have gone on", async () => {
    const town = await parted(Placement.quorum(3, steer))
    town.world.hold("e", true)
    await town.until("the others have it", () => town.running("a", "b", "c", "d").length === names.length)
    town.world.hold("e", false)
    const asked = town.begin(
      "e",
      (things) => Effect.exit(things.client(Thing, "one@e", { timeout: 500 }).Add({ by: 1 }))
    )
    await town.until("it is settled", () => town.running().length === names.length && town.isAgreed())
    const exit = await town.ended(asked)
    assert.strictEqual(exit._tag, "Success")
    await town.until("it is home again", () => town.running("e").length === 1)
    // either the copy that went on has counted it, or nobody has
    const value = await town.get("a", (things) => things.client(Thing, "one@e").Get())
    assert.include([1, 2], value)
  }, TIMEOUT_MS)
})
