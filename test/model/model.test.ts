// The rules of claims, takeover, moves, settling and registration hold in a small world of three nodes and one name; and
// each of them is needed: without it something goes wrong. `[H…]` names the hole that a test closes. Node looks at most
// histories; Deno and Bun at fewer, to see that the model itself runs alike there.
import { assert, describe, it } from "@effect/vitest"
import { catches, superfluous } from "./catches.ts"
import { breadthFirst, replay, shrink, type Violation, walk } from "./explore.ts"
import { exploreQuorum, quorumRules } from "./quorum.ts"
import type { World } from "./state.ts"
import { allRules, naive, type Switch, switches, without } from "./switches.ts"
import { breadths, strainNames, worldOf } from "./worlds.ts"

const TIMEOUT_MS = 120_000
const isNode = !("Deno" in globalThis) && !("Bun" in globalThis)
const WALKS = isNode ? 150 : 25
/** Less deep by so many steps. */
const SHALLOWER = isNode ? 0 : 1
/** Far more than any of the catches below takes: those start at a seed that catches at once, until the model changes. */
const MAX_WALKS = 2000

const told = (world: World, violation: Violation | undefined): string => {
  if (violation === undefined) return ""
  const { history, what } = shrink(world, violation)
  return [what, ...history].join("\n  ")
}

describe("all rules together", () => {
  it.each(strainNames)(
    `walks at random find nothing wrong (${WALKS} for each): %s`,
    { timeout: TIMEOUT_MS },
    (name) => {
      const world = worldOf(name, allRules)
      const { checks, violation } = walk(world, 1, (walks) => walks >= WALKS)
      assert.strictEqual(told(world, violation), "")
      assert.isAbove(checks, WALKS)
    }
  )

  for (const [name, { depth, world }] of Object.entries(breadths)) {
    const steps = depth - SHALLOWER
    it(`every history of up to ${steps} steps is fine: ${name}`, { timeout: TIMEOUT_MS }, () => {
      const found = breadthFirst(world(allRules), steps)
      assert.strictEqual(told(world(allRules), found.violation), "")
      assert.strictEqual(found.depth, steps)
    })
  }
})

describe("a rule taken away is missed", () => {
  for (const name of Object.keys(switches) as Array<Switch>) {
    const found = catches[name]
    if (found === undefined) continue
    const [strain, seed] = found
    it(`without ${name}, in ${strain} from walk ${seed} on: ${switches[name]}`, { timeout: TIMEOUT_MS }, () => {
      const { violation } = walk(worldOf(strain, without(name)), seed, (walks) => walks >= MAX_WALKS)
      assert.notStrictEqual(violation, undefined)
    })
  }

  it("or others make it superfluous", () => {
    const missed = Object.keys(switches).filter((name) => !(name in catches))
    assert.deepStrictEqual(missed, [...superfluous])
  })

  it.each(strainNames)("the obvious design fails at once: %s", (name) => {
    const { violation, walks } = walk(worldOf(name, naive), 1, (walks) => walks >= 100)
    assert.notStrictEqual(violation, undefined)
    assert.isBelow(walks, 100)
  })
})

describe("[H20] with a quorum, and clocks that agree about how long", () => {
  it("two never run at once, in any history with up to three starts", { timeout: TIMEOUT_MS }, () => {
    const { states, twice } = exploreQuorum(quorumRules)
    assert.strictEqual(twice?.join("\n  ") ?? "", "")
    assert.isAbove(states, 10_000)
  })

  it.each(Object.keys(quorumRules))("two do without: %s", { timeout: TIMEOUT_MS }, (name) => {
    assert.notStrictEqual(exploreQuorum({ ...quorumRules, [name]: false }).twice, undefined)
  })
})

describe("the search", () => {
  it("finds the same by the same seed, and leaves out of a history what does not matter", () => {
    const world = worldOf("claims", without("lift"))
    const [one, other] = [walk(world, 1, () => false), walk(world, 1, () => false)]
    assert.deepStrictEqual(one.violation, other.violation)
    const shortest = shrink(world, one.violation!)
    assert.isBelow(shortest.history.length, one.violation!.history.length)
    for (const [at] of shortest.history.entries()) {
      const found = replay(world, shortest.history.toSpliced(at, 1))
      assert.notStrictEqual(found?.split(":")[0], shortest.what.split(":")[0])
    }
  })
})
