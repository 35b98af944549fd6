// Timers fire in order, once, and at their time; what is cleared or set anew does not fire.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { Timer } from "../../src/protocol/extras.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import * as TimerQueues from "../../src/runtime/TimerQueue.ts"

/** As much of a process as timers know. */
interface Fake {
  readonly process: LocalProcess
  /** The ids of timers that fired, with when. */
  readonly fired: Array<readonly [id: string, atMs: number]>
  takes: boolean
  onFire: (timer: Timer) => void
}

/** A queue with a clock that is set by hand, and its processes. */
const setup = () => {
  const clock = { nowMs: 0 }
  const changed = Latch.makeUnsafe(false)
  const queue = new TimerQueues.TimerQueue(() => clock.nowMs, changed)
  const order: Array<string> = []
  const fake = (name = "p", nowMs = () => clock.nowMs): Fake => {
    const one: Fake = {
      process: {
        takesTimer: () => one.takes,
        fire: (timer: Timer) => {
          one.fired.push([timer.id, nowMs()])
          order.push(`${name}:${timer.id}`)
          one.onFire(timer)
        }
      } as unknown as LocalProcess,
      fired: [],
      takes: true,
      onFire: () => {}
    }
    return one
  }
  /** Fires all that is due on the way to a time, each at its own. */
  const runTo = (ms: number): void => {
    while (queue.nextMs <= ms) {
      clock.nowMs = Math.max(clock.nowMs, queue.nextMs)
      queue.fire()
    }
    clock.nowMs = ms
  }
  return { changed, clock, fake, order, queue, runTo }
}

const once = (id: string, atMs: number): Timer => ({ id, atMs, everyMs: undefined, tag: "Tick", payload: null })
const every = (id: string, atMs: number, everyMs: number): Timer => ({ ...once(id, atMs), everyMs })

describe("TimerQueue", () => {
  it("has nothing to do at first", () => {
    const { queue } = setup()
    queue.fire()
    assert.deepStrictEqual([queue.nextMs, queue.size], [Infinity, 0])
  })

  it("fires in the order of time, whatever the order of setting and whose they are", () => {
    const { fake, order, queue, runTo } = setup()
    const [p, q] = [fake("p"), fake("q")]
    for (
      const [process, timer] of [[p, once("c", 30)], [q, once("a", 10)], [p, once("b", 20)], [
        q,
        once("d", 40)
      ]] as const
    ) {
      queue.set(process.process, timer)
    }
    assert.strictEqual(queue.nextMs, 10)
    runTo(35)
    assert.deepStrictEqual(order, ["q:a", "p:b", "p:c"])
    assert.deepStrictEqual(p.fired, [["b", 20], ["c", 30]])
    runTo(40)
    assert.deepStrictEqual([order.at(-1), queue.nextMs, queue.size], ["q:d", Infinity, 0])
  })

  it("fires all that is due at once when the clock has jumped, those of the past too", () => {
    const { clock, fake, order, queue } = setup()
    const p = fake()
    queue.set(p.process, once("b", 20))
    queue.set(p.process, once("past", -5))
    queue.set(p.process, once("a", 10))
    queue.set(p.process, once("later", 1001))
    clock.nowMs = 1000
    queue.fire()
    assert.deepStrictEqual([order, queue.nextMs], [["p:past", "p:a", "p:b"], 1001])
    queue.fire()
    assert.strictEqual(order.length, 3, "and only once")
  })

  it("one set anew under its id replaces the one before, sooner or later", () => {
    const { fake, order, queue, runTo } = setup()
    const p = fake()
    queue.set(p.process, once("t", 100))
    queue.set(p.process, once("t", 50))
    queue.set(p.process, once("u", 10))
    queue.set(p.process, once("u", 70))
    assert.strictEqual(queue.nextMs, 50)
    runTo(200)
    assert.deepStrictEqual(p.fired, [["t", 50], ["u", 70]])
    assert.strictEqual(order.length, 2)
  })

  it("the very timer that is set already is left alone, its retry too", () => {
    const { clock, fake, queue, runTo } = setup()
    const p = fake()
    const [tick, beat] = [once("t", 10), every("e", 5, 20)]
    for (const timer of [tick, beat]) queue.set(p.process, timer)
    p.takes = false
    clock.nowMs = 10
    queue.fire()
    const next = queue.nextMs
    for (const timer of [tick, beat]) queue.set(p.process, timer)
    assert.deepStrictEqual([queue.nextMs, queue.size], [next, 2])
    p.takes = true
    runTo(200)
    assert.strictEqual(p.fired.filter(([id]) => id === "t").length, 1)
  })

  it("clears one timer, all of a process, or none that isn't there; others of that id stay", () => {
    const { fake, order, queue, runTo } = setup()
    const [p, q] = [fake("p"), fake("q")]
    for (const { process } of [p, q]) for (const id of ["s", "t", "u"]) queue.set(process, once(id, 10))
    queue.clear(p.process, "s")
    queue.clear(p.process, "s")
    queue.clear(p.process, "unknown")
    queue.clear(q.process)
    queue.clear(q.process)
    queue.clear(fake("stranger").process)
    runTo(100)
    assert.deepStrictEqual(order.toSorted(), ["p:t", "p:u"])
    assert.deepStrictEqual([queue.nextMs, queue.size], [Infinity, 0])
  })

  it("a cleared one can be set again, the same object too", () => {
    const { fake, queue, runTo } = setup()
    const p = fake()
    const timer = once("t", 10)
    queue.set(p.process, timer)
    queue.clear(p.process, "t")
    queue.set(p.process, timer)
    runTo(20)
    queue.set(p.process, timer)
    runTo(20)
    assert.deepStrictEqual(p.fired, [["t", 10], ["t", 20]])
  })

  it("a repeated one keeps its own beat, and doesn't make up for what was missed", () => {
    const { clock, fake, queue, runTo } = setup()
    const p = fake()
    queue.set(p.process, every("e", 10, 100))
    runTo(310)
    assert.deepStrictEqual(p.fired.splice(0), [["e", 10], ["e", 110], ["e", 210], ["e", 310]])
    clock.nowMs = 955
    queue.fire()
    assert.deepStrictEqual([p.fired.splice(0), queue.nextMs], [[["e", 955]], 1010])
    runTo(1010)
    assert.deepStrictEqual(p.fired, [["e", 1010]])
  })

  it("a repeated one that begins in the past fires on its next beat, not at once", () => {
    const { clock, fake, queue } = setup()
    const p = fake()
    clock.nowMs = 1005
    queue.set(p.process, every("e", 10, 100))
    assert.strictEqual(queue.nextMs, 1010)
    queue.fire()
    assert.deepStrictEqual(p.fired, [])
  })

  it("a process that can't take it: one is tried again, a repeated one waits for its next beat", () => {
    const { fake, queue, runTo } = setup()
    const p = fake()
    p.takes = false
    queue.set(p.process, once("t", 10))
    queue.set(p.process, every("e", 20, 1000))
    runTo(450)
    assert.deepStrictEqual(p.fired, [])
    p.takes = true
    runTo(1500)
    assert.deepStrictEqual(p.fired.map(([id]) => id), ["t", "e"])
    assert.strictEqual(p.fired[1]![1], 1020)
    assert.strictEqual(queue.nextMs, 2020)
  })

  it("one that can't be taken holds up no other", () => {
    const { clock, fake, order, queue } = setup()
    const [stuck, free] = [fake("stuck"), fake("free")]
    stuck.takes = false
    queue.set(stuck.process, once("t", 10))
    queue.set(free.process, once("t", 11))
    clock.nowMs = 11
    queue.fire()
    assert.deepStrictEqual(order, ["free:t"])
  })

  it("what a message does to timers while it is fired counts: set again, cleared, all cleared", () => {
    const { fake, order, queue, runTo } = setup()
    const p = fake()
    queue.set(p.process, once("again", 10))
    queue.set(p.process, every("stops", 10, 10))
    queue.set(p.process, once("last", 60))
    queue.set(p.process, once("never", 61))
    p.onFire = ({ atMs, id }) => {
      if (id === "again" && atMs < 40) queue.set(p.process, once("again", atMs + 10))
      if (id === "stops" && p.fired.filter((one) => one[0] === "stops").length === 3) queue.clear(p.process, "stops")
      if (id === "last") queue.clear(p.process)
    }
    runTo(1000)
    const times = (id: string): Array<number> => p.fired.filter((one) => one[0] === id).map(([, at]) => at)
    assert.deepStrictEqual([times("again"), times("stops"), times("last")], [[10, 20, 30, 40], [10, 20, 30], [60]])
    assert.strictEqual(order.length, 8)
    assert.strictEqual(queue.nextMs, Infinity)
  })

  it("says when there is a new first one, and only then", () => {
    const { changed, fake, queue } = setup()
    const p = fake()
    const isTold = (timer: Timer): boolean => {
      changed.closeUnsafe()
      queue.set(p.process, timer)
      return changed.isOpen()
    }
    assert.deepStrictEqual([once("a", 100), once("b", 200), once("c", 50), once("b", 10)].map(isTold), [
      true,
      false,
      true,
      true
    ])
  })

  const step = Schema.Struct({
    what: Schema.Literals(["once", "every", "clear", "clear all", "wait", "wait", "busy"]),
    process: Schema.Literals([0, 1, 2]),
    id: Schema.Literals(["a", "b", "c"]),
    ms: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 }))
  })

  it.prop("fires what a sorted list of timers would, for any use of it", [Schema.Array(step)], ([steps]) => {
    const { clock, fake, order, queue, runTo } = setup()
    const fakes = ["p", "q", "r"].map((name) => fake(name))
    let model: Array<{ readonly key: string; atMs: number; readonly everyMs: number | undefined }> = []
    const expected: Array<string> = []
    const waitTo = (ms: number): void => {
      for (;;) {
        const next = model.toSorted((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined || next.atMs > ms) return
        const isTaken = fakes[["p", "q", "r"].indexOf(next.key[0]!)]!.takes
        if (isTaken) expected.push(`${next.key}@${next.atMs}`)
        if (next.everyMs !== undefined) next.atMs += next.everyMs
        else if (isTaken) model = model.filter((one) => one !== next)
        else next.atMs += 100
      }
    }
    const actual = (): Array<string> =>
      fakes.flatMap(({ fired }, i) => fired.map(([id, at]) => `${"pqr"[i]}:${id}@${at}`))
    for (const { id, ms, process, what } of steps) {
      const one = fakes[process]!
      const key = `${"pqr"[process]}:${id}`
      const now = clock.nowMs
      if (what === "wait") {
        waitTo(now + ms)
        runTo(now + ms)
      } else if (what === "busy") one.takes = !one.takes
      else {
        model = model.filter((other) => what === "clear all" ? other.key[0] !== key[0] : other.key !== key)
        if (what === "clear all") queue.clear(one.process)
        else if (what === "clear") queue.clear(one.process, id)
        else {
          const timer = what === "once" ? once(id, now + ms) : every(id, now + ms + 1, ms + 10)
          queue.set(one.process, timer)
          model.push({ key, atMs: timer.atMs, everyMs: timer.everyMs })
        }
      }
      assert.strictEqual(queue.nextMs, Math.min(Infinity, ...model.map(({ atMs }) => atMs)))
    }
    for (const one of fakes) one.takes = true
    waitTo(clock.nowMs + 500)
    runTo(clock.nowMs + 500)
    // two of one moment may fire in either order
    assert.deepStrictEqual(actual().toSorted(), expected.toSorted())
    assert.strictEqual(order.length, expected.length)
  })
})

describe("the fiber that fires them", () => {
  const make = Effect.map(TimerQueues.make, (queue) => {
    const fired: Array<string> = []
    const process = {
      takesTimer: () => true,
      fire: ({ id }: Timer) => void fired.push(id)
    } as unknown as LocalProcess
    return { fired, process, queue }
  })

  it.effect("waits for the next one, and is told of an earlier one", () =>
    Effect.gen(function* () {
      const { fired, process, queue } = yield* make
      yield* TestClock.adjust("1 second")
      queue.set(process, once("late", 10_000))
      yield* TestClock.adjust("1 second")
      queue.set(process, once("soon", 3000))
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(fired, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(fired, ["soon"])
      yield* TestClock.adjust("7 seconds")
      assert.deepStrictEqual(fired, ["soon", "late"])
    }))

  it.effect("fires a repeated one at each of its times, and what is due already at once", () =>
    Effect.gen(function* () {
      const { fired, process, queue } = yield* make
      queue.set(process, every("e", 100, 100))
      for (let i = 1; i <= 5; i++) {
        yield* TestClock.adjust(100)
        assert.strictEqual(fired.length, i)
      }
      queue.set(process, once("past", 1))
      yield* TestClock.adjust(0)
      assert.strictEqual(fired.at(-1), "past")
    }))

  it.effect("a timer days away fires on its day, and not before", () =>
    Effect.gen(function* () {
      const { fired, process, queue } = yield* make
      queue.set(process, once("far", 3 * 86_400_000))
      yield* TestClock.adjust(3 * 86_400_000 - 1)
      assert.deepStrictEqual(fired, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(fired, ["far"])
    }))

  it.effect("notices a cleared one: nothing fires, and later ones do", () =>
    Effect.gen(function* () {
      const { fired, process, queue } = yield* make
      queue.set(process, once("gone", 100))
      queue.set(process, once("stays", 200))
      queue.clear(process, "gone")
      yield* TestClock.adjust(150)
      assert.deepStrictEqual(fired, [])
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(fired, ["stays"])
    }))
})
