// H30: stamps rise whatever the wall clocks do, and one wild clock drags nobody along.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { HybridClock, stampMillis } from "../../src/protocol/stamp.ts"
import { int, list } from "./support.ts"

const wall = 1_800_000_000_000

describe("HybridClock", () => {
  it("follows the wall clock", () => {
    const clock = new HybridClock()
    for (const now of [wall, wall + 1, wall + 1000]) assert.strictEqual(stampMillis(clock.next(now)), now)
  })

  it("rises within a millisecond, and past a thousand stamps of one", () => {
    const clock = new HybridClock()
    let last = 0
    for (let i = 0; i < 5000; i++) {
      const stamp = clock.next(wall)
      assert.isTrue(stamp > last && Number.isSafeInteger(stamp))
      last = stamp
    }
    assert.isTrue(stampMillis(last) - wall < 5, "5,000 stamps lead by less than 5 ms")
  })

  it("[H30] rises when the wall clock steps back, and follows it again when that has caught up", () => {
    const clock = new HybridClock()
    const before = clock.next(wall)
    const after = clock.next(wall - 3_600_000)
    assert.isTrue(after > before)
    assert.strictEqual(stampMillis(after), wall)
    assert.strictEqual(stampMillis(clock.next(wall + 1)), wall + 1)
  })

  it("[H30] exceeds what it has seen, from a clock that is ahead within reason", () => {
    const [fast, slow] = [new HybridClock(), new HybridClock()]
    const seen = fast.next(wall + 30_000)
    slow.observe(seen, wall)
    assert.isTrue(slow.next(wall) > seen)
  })

  it("[H30] isn't set back by an old stamp", () => {
    const clock = new HybridClock()
    const last = clock.next(wall)
    clock.observe(last - 5000, wall)
    assert.isTrue(clock.next(wall) > last)
  })

  it("[H30] refuses a wild stamp: the limit is followed, one past it is not", () => {
    const limit = (wall + 60_000) * 1024
    for (const wild of [limit + 1, (wall + 3_600_000) * 1024, Number.MAX_SAFE_INTEGER, Infinity, NaN]) {
      const clock = new HybridClock()
      clock.observe(wild, wall)
      assert.strictEqual(stampMillis(clock.next(wall)), wall, `${wild}`)
    }
    const clock = new HybridClock()
    clock.observe(limit, wall)
    assert.strictEqual(clock.next(wall), limit + 1)
    const strict = new HybridClock(10)
    strict.observe((wall + 11) * 1024, wall)
    assert.strictEqual(stampMillis(strict.next(wall)), wall)
  })

  it("gives safe integers for two centuries", () => {
    assert.isTrue(Number.isSafeInteger(new HybridClock().next(Date.UTC(2247, 0, 1))))
  })

  it.prop(
    "two clocks that hear of each other: stamps rise on each, and each exceeds what it has heard",
    [list(Schema.Struct({ who: int(0, 1), skew: int(-50_000, 50_000), tell: Schema.Boolean }), 0, 60)],
    ([steps]) => {
      const clocks = [new HybridClock(), new HybridClock()] as const
      const least = [0, 0]
      for (const { skew, tell, who } of steps) {
        const stamp = clocks[who as 0 | 1].next(wall + skew)
        assert.isTrue(stamp > least[who]!)
        least[who] = stamp
        if (!tell) continue
        const other = (1 - who) as 0 | 1
        clocks[other].observe(stamp, wall)
        least[other] = Math.max(least[other]!, stamp)
      }
    }
  )
})
