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
})
