// [H23] When a split heals, a side sets out to take over what it hears of before it hears that its node lives: those who
// keep its state promise to take none below that epoch. The copy that lives rises above it; or it is being moved.
import { assert, describe, it } from "@effect/vitest"
import { add, get, isSafe, register, townOf, Twice } from "./ledgers.ts"
import { TIMEOUT_MS } from "./support.ts"

const NAMES = Array.from({ length: 40 }, (_, at) => `n${at}`)
/** With some of these a copy hears of the promise while it is moved, with others while it is kept by too few. */
const SEEDS = [4, 5, 6, 11, 12, 14]

describe("[H23] what one side of a split has registered", { timeout: TIMEOUT_MS }, () => {
  it.each(SEEDS)("goes on once, and is kept, when the sides meet (seed %i)", async (seed) => {
    const town = await townOf(["a", "b", "c", "d", "e"], { seed, weather: { delay: { minMs: 0.2, maxMs: 20 } } })
    await town.part(["a", "b", "c"], ["d", "e"])
    for (const name of NAMES) {
      await town.get("a", register(Twice, name))
      await town.get("a", add(Twice, name, "first"))
    }
    await town.heal()
    // until each has moved to where it belongs
    await town.pass(10_000)
    await town.until("all is well", () => NAMES.every((name) => isSafe(town, name, 2)), 10_000)
    for (const name of NAMES) assert.deepStrictEqual(await town.get("e", get(Twice, name)), ["first"], name)
  })
})
