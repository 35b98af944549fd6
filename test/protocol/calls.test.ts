// H21: a call is executed at most once however often it arrives, and its answer moves along with the process.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { CallTable } from "../../src/protocol/calls.ts"
import { int, list } from "./support.ts"

const caller = "7/a"

describe("CallTable", () => {
  it("[H21] tells a new call from a repeated one, running or answered", () => {
    const table = new CallTable()
    assert.isUndefined(table.receive(caller, 1, "p", 100))
    const running = { _tag: "Running", process: "p", deadlineMs: 100, reply: undefined } as const
    assert.deepStrictEqual(table.receive(caller, 1, "p", 100), running)
    table.answer(caller, 1, "done")
    const answered = { _tag: "Answered", process: "p", deadlineMs: 100, reply: "done" } as const
    assert.deepStrictEqual(table.receive(caller, 1, "p", 100), answered)
    assert.deepStrictEqual(table.receive(caller, 1, "p", 999), answered)
    assert.strictEqual(table.size, 1)
  })

  it("keeps callers apart, two boots of one node included", () => {
    const table = new CallTable()
    assert.isUndefined(table.receive("7/a", 1, "p", 100))
    assert.isUndefined(table.receive("8/a", 1, "p", 100))
    assert.isUndefined(table.receive("7/b", 1, "p", 100))
    table.answer("8/a", 1, "of 8/a")
    assert.strictEqual(table.receive("7/a", 1, "p", 100)?._tag, "Running")
    assert.strictEqual(table.receive("8/a", 1, "p", 100)?._tag, "Answered")
    assert.strictEqual(table.size, 3)
  })

  it("remembers an answer of undefined", () => {
    const table = new CallTable()
    table.receive(caller, 1, "p", 100)
    table.answer(caller, 1, undefined)
    assert.strictEqual(table.receive(caller, 1, "p", 100)?._tag, "Answered")
  })

  it("takes no answer to a call that it doesn't know", () => {
    const table = new CallTable()
    table.answer(caller, 1, "stray")
    table.receive(caller, 2, "p", 100)
    table.answer(caller, 1, "stray")
    assert.strictEqual(table.size, 1)
    assert.isUndefined(table.receive(caller, 1, "p", 100))
  })

  it("executes a call again that it was told to forget, and only that one", () => {
    const table = new CallTable()
    table.receive(caller, 1, "p", 100)
    table.receive(caller, 2, "p", 100)
    table.forget(caller, 1)
    table.forget(caller, 9)
    table.forget("1/nobody", 1)
    assert.isUndefined(table.receive(caller, 1, "p", 100))
    assert.strictEqual(table.receive(caller, 2, "p", 100)?._tag, "Running")
  })

  it("drops answers below the floor, of that caller alone, and nothing that still runs", () => {
    const table = new CallTable()
    for (const seq of [1, 2, 3, 4]) table.receive(caller, seq, "p", 100)
    table.receive("7/b", 1, "p", 100)
    for (const seq of [1, 3, 4]) table.answer(caller, seq, seq)
    table.answer("7/b", 1, 1)
    table.settleBelow(caller, 4)
    table.settleBelow("1/nobody", 4)
    assert.strictEqual(table.size, 3)
    assert.strictEqual(table.receive(caller, 2, "p", 100)?._tag, "Running")
    assert.strictEqual(table.receive(caller, 4, "p", 100)?._tag, "Answered")
    assert.strictEqual(table.receive("7/b", 1, "p", 100)?._tag, "Answered")
  })

  it("[H21] a call below its caller's floor is settled, known or not: it isn't executed again", () => {
    const table = new CallTable()
    table.receive(caller, 1, "p", 100)
    table.receive(caller, 2, "p", 100)
    table.answer(caller, 1, "done")
    table.settleBelow(caller, 4)
    assert.deepStrictEqual(table.receive(caller, 1, "p", 100), { _tag: "Settled" }, "answered, and its answer dropped")
    assert.strictEqual(table.receive(caller, 2, "p", 100)?._tag, "Running", "what still runs is not answered yet")
    assert.deepStrictEqual(table.receive(caller, 3, "p", 100), { _tag: "Settled" }, "never seen: its caller gave up")
    assert.isUndefined(table.receive(caller, 4, "p", 100), "at the floor: it is waited for")
    assert.strictEqual(table.size, 2)
  })

  it("[H21] a floor doesn't fall, is known before the first call, and is its caller's alone", () => {
    const table = new CallTable()
    table.settleBelow(caller, 5)
    table.settleBelow(caller, 2)
    assert.strictEqual(table.receive(caller, 4, "p", 100)?._tag, "Settled")
    assert.isUndefined(table.receive(caller, 5, "p", 100))
    for (const other of ["8/a", "7/b"]) assert.isUndefined(table.receive(other, 4, "p", 100), other)
  })

  it("[D14] [H21] remembers the floor of a silent caller for ten minutes after its last call, then forgets it", () => {
    const table = new CallTable()
    const minutes = (count: number): number => count * 60_000
    const settled = (): boolean => table.receive(caller, 1, "p", minutes(99))?._tag === "Settled"
    table.receive(caller, 5, "p", minutes(3))
    table.settleBelow(caller, 5)
    table.expire(minutes(4))
    assert.isTrue(settled())
    table.expire(minutes(4) + 1)
    assert.strictEqual(table.size, 0)
    assert.isTrue(settled())
    table.expire(minutes(14) + 1)
    assert.isTrue(settled(), "ten minutes: not longer yet")
    table.expire(minutes(14) + 2)
    assert.isFalse(settled())
  })

  it("[H21] what comes between starts the ten minutes anew", () => {
    const table = new CallTable()
    table.settleBelow(caller, 5)
    table.expire(0)
    table.receive(caller, 5, "p", 340_000)
    table.expire(400_000)
    table.expire(400_001)
    table.expire(1_000_000)
    assert.strictEqual(table.receive(caller, 1, "p", 9e9)?._tag, "Settled")
    table.expire(1_000_002)
    assert.isUndefined(table.receive(caller, 1, "p", 9e9))
  })

  it("[H21] remembers an answer for a minute after its deadline: a copy of its call may be that late", () => {
    const table = new CallTable()
    table.receive(caller, 1, "p", 100)
    table.receive(caller, 2, "p", 200)
    table.answer(caller, 1, "x")
    table.answer(caller, 2, "y")
    table.expire(60_100)
    assert.strictEqual(table.size, 2)
    table.expire(60_101)
    assert.strictEqual(table.size, 1)
    assert.strictEqual(table.receive(caller, 2, "p", 200)?._tag, "Answered")
    table.expire(70_000)
    assert.strictEqual(table.size, 0)
  })

  it("[H21] extracts the answers of one process; absorbed elsewhere, they answer repeated calls", () => {
    const source = new CallTable()
    for (const seq of [1, 2, 3]) source.receive(caller, seq, seq === 3 ? "other" : "p", 100 + seq)
    source.receive("7/b", 9, "p", 500)
    source.receive("7/b", 10, "p", 500)
    for (const seq of [1, 2, 3]) source.answer(caller, seq, `reply ${seq}`)
    source.answer("7/b", 9, ["b"])
    const moved = source.extract("p")
    assert.deepStrictEqual(moved, [
      { caller, seq: 1, deadlineMs: 101, reply: "reply 1" },
      { caller, seq: 2, deadlineMs: 102, reply: "reply 2" },
      { caller: "7/b", seq: 9, deadlineMs: 500, reply: ["b"] }
    ])
    const target = new CallTable()
    target.absorb("p", moved)
    assert.deepStrictEqual(target.receive(caller, 2, "p", 102), {
      _tag: "Answered",
      process: "p",
      deadlineMs: 102,
      reply: "reply 2"
    })
    assert.isUndefined(target.receive(caller, 3, "other", 103), "another process's answer stays where that is")
    assert.isUndefined(target.receive("7/b", 10, "p", 500), "a call that was never executed is executed")
    assert.deepStrictEqual(target.extract("p"), moved)
    assert.strictEqual(source.extract("p").length, 3, "the source still answers if the move fails")
  })

  it("[H21] absorbs answers in any order: those below a later floor go, the others stay", () => {
    const table = new CallTable()
    table.receive(caller, 5, "q", 1000)
    table.absorb(
      "p",
      [3, 2, 7].map((seq) => ({ caller, seq, deadlineMs: 1000, reply: seq }))
    )
    assert.deepStrictEqual(table.extract("p").map(({ seq }) => seq), [2, 3, 7])
    table.settleBelow(caller, 4)
    assert.strictEqual(table.size, 2)
    for (const seq of [2, 3]) assert.strictEqual(table.receive(caller, seq, "p", 1000)?._tag, "Settled")
    assert.strictEqual(table.receive(caller, 5, "q", 1000)?._tag, "Running")
    assert.strictEqual(table.receive(caller, 7, "p", 1000)?._tag, "Answered")
  })

  it("[H21] of the calls that moved it keeps none that its caller has settled here", () => {
    const table = new CallTable()
    table.settleBelow(caller, 3)
    table.absorb("p", [
      { caller, seq: 2, deadlineMs: 1000, reply: "old" },
      { caller, seq: 3, deadlineMs: 1000, reply: "new" },
      { caller: "8/a", seq: 2, deadlineMs: 1000, reply: "another's" }
    ])
    assert.strictEqual(table.size, 2)
    assert.deepStrictEqual(table.receive(caller, 2, "p", 1000), { _tag: "Settled" })
    assert.strictEqual(table.receive(caller, 3, "p", 1000)?._tag, "Answered")
    assert.strictEqual(table.receive("8/a", 2, "p", 1000)?._tag, "Answered")
  })

  it.prop(
    "[H21] whatever a caller settles, in whatever order its calls come and come again, none is executed twice",
    [
      list(
        Schema.Struct({ what: Schema.Literals(["call", "call", "answer", "settle", "expire"]), seq: int(1, 9) }),
        0,
        60
      )
    ],
    ([steps]) => {
      const table = new CallTable()
      const executed = new Set<number>()
      const answered = new Set<number>()
      let floor = 0
      for (const [now, { seq, what }] of steps.entries()) {
        if (what === "call") {
          const known = table.receive(caller, seq, "p", 1000)
          if (known === undefined) {
            assert.isFalse(executed.has(seq), "executed twice")
            assert.isAtLeast(seq, floor, "nobody waits for it")
            executed.add(seq)
          } else if (known._tag === "Settled") assert.isBelow(seq, floor)
          else assert.strictEqual(known._tag === "Answered", answered.has(seq))
        } else if (what === "answer" && executed.has(seq)) {
          answered.add(seq)
          table.answer(caller, seq, seq)
        } else if (what === "settle") {
          floor = Math.max(floor, seq)
          table.settleBelow(caller, seq)
        } else if (what === "expire") table.expire(now)
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "[H21] under any arrivals, moves there and back, repeats and answers, nothing is executed twice",
    [list(Schema.Struct({ what: Schema.Literals(["call", "answer", "move"]), seq: int(1, 6), who: int(0, 1) }), 0, 60)],
    ([steps]) => {
      const tables = [new CallTable(), new CallTable()] as const
      let at = 0
      const executed = new Map<string, number>()
      const answers = new Map<string, unknown>()
      for (const [step, { seq, what, who }] of steps.entries()) {
        const from = `7/${who}`
        const key = `${from} ${seq}`
        const table = tables[at]!
        if (what === "call") {
          const known = table.receive(from, seq, "p", 1000)
          if (known === undefined) executed.set(key, (executed.get(key) ?? 0) + 1)
          else if (known._tag === "Answered") assert.strictEqual(known.reply, answers.get(key))
          else assert.isFalse(answers.has(key))
        } else if (what === "answer" && executed.has(key) && !answers.has(key)) {
          answers.set(key, step)
          table.answer(from, seq, step)
        } else if (what === "move" && answers.size === executed.size) {
          // a frozen process has no call at hand
          tables[1 - at]!.absorb("p", table.extract("p"))
          at = 1 - at
        }
      }
      for (const [key, times] of executed) assert.strictEqual(times, 1, key)
    }
  )

  it("finds the answers of a process whether or not others have moved lately", () => {
    const table = new CallTable()
    const call = (seq: number, process: string): void => {
      table.receive("1/a", seq, process, 60_000)
      table.answer("1/a", seq, seq)
    }
    const answersOf = (process: string): ReadonlyArray<number> => table.extract(process).map(({ seq }) => seq)
    call(1, "p")
    call(2, "q")
    assert.deepStrictEqual(answersOf("p"), [1])
    call(3, "p")
    assert.deepStrictEqual(answersOf("p"), [1, 3])
    // nothing moves for a while: twice it is considered whether to go on keeping track
    for (const now of [250, 500]) table.expire(now)
    call(4, "p")
    table.settleBelow("1/a", 3)
    call(5, "q")
    assert.deepStrictEqual(answersOf("p"), [3, 4])
    assert.deepStrictEqual(answersOf("q"), [5])
    table.forget("1/a", 4)
    assert.deepStrictEqual(answersOf("p"), [3])
  })

  it("[H21] keeps the floor of a caller that is busy all the time", () => {
    const table = new CallTable()
    for (let now = 0, seq = 1; now <= 11 * 60_000; now += 1000, seq++) {
      table.receive("1/a", seq, "p", now + 5000)
      table.answer("1/a", seq, 1)
      table.settleBelow("1/a", seq + 1)
      table.expire(now)
      assert.strictEqual(table.receive("1/a", seq, "p", now + 5000)?._tag, "Settled")
    }
  })
})
