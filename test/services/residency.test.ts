// Which processes let go of what they hold: those idle for too long, and of too many the least recently used.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import * as Residencies from "../../src/runtime/Residency.ts"

/** As much of a process as counts here. */
interface Fake {
  readonly name: string
  readonly process: LocalProcess
  isIdle: boolean
}

interface Options {
  readonly idleMs?: number
  readonly max?: number
  readonly sworm?: string
}

const setup = () => {
  const clock = { nowMs: 0 }
  /** Who became passive, in order; and who told of it. */
  const passive: Array<string> = []
  const told: Array<LocalProcess> = []
  const residency = new Residencies.Residency(() => clock.nowMs, (process) => void told.push(process))
  const fake = (name: string, { idleMs, max = Infinity, sworm = "s" }: Options = {}): Fake => {
    const one: Fake = {
      name,
      isIdle: true,
      process: {
        name,
        sworm,
        options: { idleTimeoutMs: idleMs },
        hosted: { maxResident: max },
        passivate: () => {
          if (one.isIdle) passive.push(name)
          return one.isIdle
        }
      } as unknown as LocalProcess
    }
    return one
  }
  const use = (...fakes: ReadonlyArray<Fake>): void => {
    for (const { process } of fakes) residency.used(process)
  }
  /** The passive ones of a sweep at a time. */
  const sweepAt = (ms: number): Array<string> => {
    clock.nowMs = ms
    residency.sweep()
    assert.deepStrictEqual(told.map(({ name }) => name), passive)
    told.length = 0
    return passive.splice(0)
  }
  return { clock, fake, residency, sweepAt, use }
}

describe("Residency", () => {
  it("has nothing to do at first", () => {
    const { residency, sweepAt } = setup()
    assert.deepStrictEqual([sweepAt(1e9), residency.count("s")], [[], 0])
  })

  it("one becomes passive when its time without use is over, to the millisecond, and once", () => {
    const { fake, residency, sweepAt, use } = setup()
    use(fake("a", { idleMs: 100 }))
    assert.deepStrictEqual([sweepAt(99), residency.count("s")], [[], 1])
    assert.deepStrictEqual([sweepAt(100), residency.count("s")], [["a"], 0])
    assert.deepStrictEqual(sweepAt(1000), [])
  })

  it("use begins its time anew; one that is used again after it was passive counts again", () => {
    const { clock, fake, residency, sweepAt, use } = setup()
    const [a, b] = [fake("a", { idleMs: 100 }), fake("b", { idleMs: 100 })]
    use(a, b)
    clock.nowMs = 60
    use(a)
    assert.deepStrictEqual([sweepAt(120), sweepAt(159), sweepAt(160)], [["b"], [], ["a"]])
    use(b)
    assert.deepStrictEqual([residency.count("s"), sweepAt(259), sweepAt(260)], [1, [], ["b"]])
  })

  it("each timeout is its own: 0 at once, none never", () => {
    const { fake, residency, sweepAt, use } = setup()
    use(fake("never"), fake("late", { idleMs: 500 }), fake("soon", { idleMs: 10 }), fake("now", { idleMs: 0 }))
    assert.deepStrictEqual(sweepAt(0), ["now"])
    assert.deepStrictEqual(sweepAt(499), ["soon"])
    assert.deepStrictEqual(sweepAt(500), ["late"])
    assert.deepStrictEqual([sweepAt(1e15), residency.count("s")], [[], 1])
  })

  it("a busy one is left, keeps nobody else back, and goes when it is idle", () => {
    const { fake, residency, sweepAt, use } = setup()
    const [busy, idle] = [fake("busy", { idleMs: 100 }), fake("idle", { idleMs: 100 })]
    busy.isIdle = false
    use(busy, idle)
    assert.deepStrictEqual([sweepAt(100), residency.count("s")], [["idle"], 1])
    assert.deepStrictEqual(sweepAt(200), [])
    busy.isIdle = true
    assert.deepStrictEqual(sweepAt(201), ["busy"])
  })

  it("what is forgotten is neither counted nor asked; forgetting a stranger does nothing", () => {
    const { fake, residency, sweepAt, use } = setup()
    const [a, b] = [fake("a", { idleMs: 100 }), fake("b", { idleMs: 100 })]
    use(a, b)
    for (const one of [a, a, fake("stranger", { idleMs: 100 }), fake("other", { sworm: "t" })]) {
      residency.forget(one.process)
    }
    assert.deepStrictEqual([residency.count("s"), sweepAt(1000), residency.count("s")], [1, ["b"], 0])
  })

  it("of too many the least recently used become passive, over all timeouts", () => {
    const { clock, fake, residency, sweepAt, use } = setup()
    const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map((name, i) =>
      fake(name, { max: 2, ...(i % 2 === 0 ? {} : { idleMs: 1e9 }) })
    ) as [Fake, Fake, Fake, Fake, Fake]
    for (const one of [a, b, c, d, e]) {
      clock.nowMs++
      use(one)
    }
    clock.nowMs++
    use(a)
    assert.deepStrictEqual([sweepAt(100), residency.count("s")], [["b", "c", "d"], 2])
    assert.deepStrictEqual(sweepAt(101), [])
  })

  it("busy ones stay though there are too many; the next idle ones go in their place, and they later", () => {
    const { clock, fake, residency, sweepAt, use } = setup()
    const all = ["a", "b", "c", "d"].map((name) => fake(name, { max: 2 }))
    for (const one of all) {
      clock.nowMs++
      use(one)
    }
    all[0]!.isIdle = false
    assert.deepStrictEqual([sweepAt(10), residency.count("s")], [["b", "c"], 2])
    for (const one of all) one.isIdle = false
    use(all[1]!, all[2]!)
    assert.deepStrictEqual([sweepAt(11), residency.count("s")], [[], 4])
    for (const one of all) one.isIdle = true
    assert.deepStrictEqual(sweepAt(12), ["a", "d"])
  })

  it("those whose time is over count no more: no other has to go for them", () => {
    const { clock, fake, sweepAt, use } = setup()
    const old = fake("old", { max: 2, idleMs: 10 })
    use(old)
    clock.nowMs = 9
    use(fake("b", { max: 2 }), fake("c", { max: 2 }))
    assert.deepStrictEqual(sweepAt(10), ["old"])
  })

  it("sworms don't see each other", () => {
    const { fake, residency, sweepAt, use } = setup()
    use(fake("a", { sworm: "s", max: 1 }), fake("b", { sworm: "s", max: 1 }), fake("c", { sworm: "t", max: 1 }))
    assert.deepStrictEqual(sweepAt(1), ["a"])
    assert.deepStrictEqual([residency.count("s"), residency.count("t"), residency.count("u")], [1, 1, 0])
  })

  it("a maximum of 0 leaves nobody who is idle", () => {
    const { fake, sweepAt, use } = setup()
    use(fake("a", { max: 0 }), fake("b", { max: 0 }))
    assert.deepStrictEqual(sweepAt(0), ["a", "b"])
  })

  const step = Schema.Struct({
    what: Schema.Literals(["use", "use", "use", "forget", "toggle", "sweep", "wait"]),
    who: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 }))
  })

  it.prop("does what a plain list would, for any use of it", [Schema.Array(step)], ([steps]) => {
    const { clock, fake, residency, sweepAt, use } = setup()
    const timeouts = [undefined, 0, 5, 5, 20]
    const fakes = Array.from({ length: 8 }, (_, i) => {
      const idleMs = timeouts[i % timeouts.length]
      return fake(`${i}`, { max: 3, ...(idleMs === undefined ? {} : { idleMs }) })
    })
    /** Resident ones, the least recently used first. */
    let model: Array<{ readonly one: Fake; readonly usedAtMs: number }> = []
    const remove = (name: string): void => void (model = model.filter(({ one }) => one.name !== name))
    const expectedAt = (ms: number): Set<string> => {
      const gone = new Set<string>()
      const go = (name: string): void => {
        gone.add(name)
        remove(name)
      }
      for (const { one, usedAtMs } of [...model]) {
        if (one.isIdle && ms - usedAtMs >= (one.process.options.idleTimeoutMs ?? Infinity)) go(one.name)
      }
      for (const { one } of [...model]) if (model.length > 3 && one.isIdle) go(one.name)
      return gone
    }
    for (const { what, who } of steps) {
      const one = fakes[who]!
      // no two uses at one moment: which is the older would be anyone's guess
      if (what === "use" || what === "wait") clock.nowMs += what === "use" ? 1 : who
      if (what === "use") {
        use(one)
        remove(one.name)
        model.push({ one, usedAtMs: clock.nowMs })
      } else if (what === "forget") {
        residency.forget(one.process)
        remove(one.name)
      } else if (what === "toggle") one.isIdle = !one.isIdle
      else if (what === "sweep") {
        const expected = expectedAt(clock.nowMs)
        assert.deepStrictEqual(new Set(sweepAt(clock.nowMs)), expected)
      }
      assert.strictEqual(residency.count("s"), model.length)
    }
  })

  it.effect("looks by itself, for as long as its scope is open", () =>
    Effect.gen(function* () {
      const { fake } = setup()
      const passive: Array<LocalProcess> = []
      let nowMs = 0
      const residency = yield* Residencies.make(() => nowMs, (process) => void passive.push(process))
      const { process } = fake("a", { idleMs: 1000 })
      residency.used(process)
      for (const at of [500, 999]) {
        nowMs = at
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(passive, [])
      }
      nowMs = 1000
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(passive, [process])
    }))
})
