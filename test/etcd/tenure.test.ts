// For how long a node may go on without etcd: by clocks that it is given, with a margin.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Tenure } from "../../adapters/etcd/ground/Tenure.ts"
import { randomOf } from "../model/explore.ts"

const TTL_SECONDS = 5
/** What the margin leaves of it. */
const HELD_MS = 4000

const WALL_MS = 1_700_000_000_000

const start = () => {
  const clock = { steadyMs: 1000, wallMs: WALL_MS }
  const tenure = new Tenure(() => clock.steadyMs, () => clock.wallMs)
  const pass = (ms: number): void => {
    clock.steadyMs += ms
    clock.wallMs += ms
  }
  return { clock, pass, tenure }
}

describe("a tenure", () => {
  it("is not held before it was granted", () => {
    const { tenure } = start()
    assert.isFalse(tenure.holds())
    assert.strictEqual(tenure.leftMs, 0)
  })

  it("is held for four fifths of the lease's time, and then no longer", () => {
    const { pass, tenure } = start()
    tenure.renewed(tenure.now(), TTL_SECONDS)
    assert.strictEqual(tenure.leftMs, HELD_MS)
    pass(HELD_MS - 1)
    assert.isTrue(tenure.holds())
    assert.strictEqual(tenure.leftMs, 1)
    pass(1)
    assert.isFalse(tenure.holds())
    assert.strictEqual(tenure.leftMs, 0)
    pass(3_600_000)
    assert.isFalse(tenure.holds())
  })

  it("begins when the renewal was asked for, however late the answer comes", () => {
    const { pass, tenure } = start()
    const asked = tenure.now()
    pass(3000)
    tenure.renewed(asked, TTL_SECONDS)
    assert.strictEqual(tenure.leftMs, HELD_MS - 3000)
    const again = tenure.now()
    pass(HELD_MS)
    tenure.renewed(again, TTL_SECONDS)
    assert.isFalse(tenure.holds(), "an answer that comes too late gives nothing")
  })

  it("each renewal begins it anew; what was ended stays so until the next", () => {
    const { pass, tenure } = start()
    for (let times = 0; times < 10; times++) {
      tenure.renewed(tenure.now(), TTL_SECONDS)
      pass(HELD_MS - 1)
      assert.isTrue(tenure.holds())
    }
    tenure.end()
    assert.isFalse(tenure.holds())
    assert.strictEqual(tenure.leftMs, 0)
    tenure.renewed(tenure.now(), TTL_SECONDS)
    assert.isTrue(tenure.holds())
  })

  it("a shorter lease than was asked for counts", () => {
    const { tenure } = start()
    tenure.renewed(tenure.now(), 2)
    assert.strictEqual(tenure.leftMs, 1600)
  })

  it("a machine that slept: the steady clock stood still, the wall clock says so", () => {
    const { clock, tenure } = start()
    tenure.renewed(tenure.now(), TTL_SECONDS)
    clock.wallMs += 60_000
    assert.isFalse(tenure.holds())
    assert.strictEqual(tenure.leftMs, 0)
  })

  it("a wall clock that is set back gives nothing: the steady clock counts", () => {
    const { clock, pass, tenure } = start()
    tenure.renewed(tenure.now(), TTL_SECONDS)
    clock.wallMs -= 3_600_000
    assert.isTrue(tenure.holds())
    assert.strictEqual(tenure.leftMs, HELD_MS)
    pass(HELD_MS)
    assert.isFalse(tenure.holds())
  })

  it("whatever the clocks do, it is never held after its end by either of them", () => {
    let [held, lost] = [0, 0]
    for (let seed = 1; seed <= 200; seed++) {
      const random = randomOf(seed)
      const { clock, pass, tenure } = start()
      let asked = tenure.now()
      let granted: typeof asked | undefined
      for (let step = 0; step < 60; step++) {
        const dice = random()
        if (dice < 0.15) clock.wallMs += Math.floor((random() - 0.5) * 20_000)
        else if (dice < 0.3) asked = { ...clock }
        else if (dice < 0.5) {
          tenure.renewed(asked, TTL_SECONDS)
          granted = asked
        } else if (dice < 0.55) {
          tenure.end()
          granted = undefined
        } else pass(Math.floor(random() * 2500))
        const mayHold = granted !== undefined && clock.steadyMs < granted.steadyMs + HELD_MS &&
          clock.wallMs < granted.wallMs + HELD_MS
        assert.strictEqual(tenure.holds(), mayHold, `seed ${seed}, step ${step}`)
        if (mayHold) held++
        else lost++
        assert.strictEqual(tenure.holds(), tenure.leftMs > 0)
      }
    }
    assert.isAbove(held, 1000)
    assert.isAbove(lost, 1000)
  })

  it.effect("its end is told once it is there, and not before", () =>
    Effect.gen(function* () {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const nowMs = () => clock.currentTimeMillisUnsafe()
      const tenure = new Tenure(nowMs, nowMs)
      tenure.renewed(tenure.now(), TTL_SECONDS)
      const over = yield* Effect.forkChild(tenure.over)
      yield* TestClock.adjust(3000)
      tenure.renewed(tenure.now(), TTL_SECONDS)
      yield* TestClock.adjust(HELD_MS - 1)
      assert.isUndefined(over.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(over)
      assert.isFalse(tenure.holds())
    }))
})
