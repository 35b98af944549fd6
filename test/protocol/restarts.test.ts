// Each process has its own budget of restarts, and it is given up at the right crash.
import { assert, describe, it } from "@effect/vitest"
import { type RestartLimit, RestartWindow } from "../../src/protocol/restarts.ts"
import { int, list } from "./support.ts"

const limit: RestartLimit = { max: 3, withinMs: 5000 }

const run = (times: ReadonlyArray<number>, by = limit): ReadonlyArray<boolean> => {
  const window = new RestartWindow()
  return times.map((time) => window.allow(time, by))
}

describe("RestartWindow", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<number>, ReadonlyArray<boolean>, RestartLimit]> = [
    ["three at once are allowed, the fourth is not", [0, 0, 0, 0], [true, true, true, false], limit],
    ["the fourth within the window is not", [0, 1000, 2000, 4999], [true, true, true, false], limit],
    ["the window ends after its length", [0, 1000, 2000, 5000], [true, true, true, true], limit],
    ["a slow, steady crasher goes on for ever", [0, 2000, 4000, 6000, 8000, 10_000], Array(6).fill(true), limit],
    ["old restarts leave one by one", [0, 100, 4900, 5050, 5060], [true, true, true, true, false], limit],
    ["none is allowed at all", [0, 9999], [false, false], { max: 0, withinMs: 1000 }],
    ["one is allowed", [0, 1, 1000], [true, false, true], { max: 1, withinMs: 1000 }]
  ]
  it.each(cases)("%s", (_, times, expected, by) => assert.deepStrictEqual(run(times, by), expected))

  it("counts a refused crash as none", () => {
    assert.deepStrictEqual(run([0, 0, 0, 4000, 5001]), [true, true, true, false, true])
  })

  it("is each process's own", () => {
    const [one, other] = [new RestartWindow(), new RestartWindow()]
    for (let i = 0; i < 4; i++) one.allow(0, limit)
    assert.isTrue(other.allow(0, limit))
  })

  it.prop(
    "never allows more than `max` within any window, and refuses only when there were so many",
    [list(int(0, 40), 0, 40), int(1, 4), int(1, 100)],
    ([gaps, max, withinMs]) => {
      const window = new RestartWindow()
      const allowed: Array<number> = []
      let now = 0
      for (const gap of gaps) {
        now += gap
        const recent = allowed.filter((time) => time > now - withinMs).length
        assert.strictEqual(window.allow(now, { max, withinMs }), recent < max)
        if (recent < max) allowed.push(now)
      }
    }
  )

  describe("isFresh", () => {
    /** After crashes at these times. */
    const after = (...times: ReadonlyArray<number>): RestartWindow => {
      const window = new RestartWindow()
      for (const time of times) window.allow(time, limit)
      return window
    }

    it("one that never crashed is; one that has just crashed isn't", () => {
      assert.isTrue(after().isFresh(0, limit))
      assert.isFalse(after(100).isFresh(100, limit))
    })

    it("is again when a window's length has passed since the last crash, to the millisecond", () => {
      assert.isFalse(after(0, 1000).isFresh(5999, limit))
      assert.isTrue(after(0, 1000).isFresh(6000, limit))
    })

    it("is in the order in which a crash is handled: asked before the crash is noted", () => {
      const window = after(0)
      assert.isTrue(window.isFresh(7000, limit))
      assert.isTrue(window.allow(7000, limit))
      assert.isFalse(window.isFresh(7001, limit))
    })

    it("asking changes nothing, and a window without a length is always fresh", () => {
      const window = after(0, 0, 0)
      for (let i = 0; i < 5; i++) assert.isTrue(window.isFresh(9000, limit))
      assert.isFalse(window.allow(0, limit))
      assert.isTrue(window.isFresh(0, { max: 3, withinMs: 0 }))
    })

    it.prop(
      "is fresh exactly when the next crash would be the only one in its window",
      [list(int(0, 60), 0, 30), int(0, 200), int(1, 100)],
      ([gaps, wait, withinMs]) => {
        const by: RestartLimit = { max: 1000, withinMs }
        const window = new RestartWindow()
        let now = 0
        for (const gap of gaps) window.allow(now += gap, by)
        const recent = gaps.length > 0 && now > now + wait - withinMs
        assert.strictEqual(window.isFresh(now + wait, by), !recent)
      }
    )
  })
})
