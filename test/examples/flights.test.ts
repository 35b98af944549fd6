// A call of the flights that is repeated counts once, and is repeated only while nobody knows whether it was counted.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SwormError } from "@sworm/sworm"
import { type CallNumber, Calls } from "../../examples/flights/calls.ts"
import { count, empty, type State } from "../../examples/flights/flights.ts"

const failure = (reason: SwormError.CallFailure) => new SwormError.CallError({ name: "ORD", reason, detail: "" })

/** Fails so often for this reason, then succeeds; notes how it was asked. */
const failing = (times: number, reason: SwormError.CallFailure) => {
  const asked: Array<CallNumber> = []
  const request = (number: CallNumber): Effect.Effect<void, SwormError.CallError> => {
    asked.push(number)
    return asked.length <= times ? Effect.fail(failure(reason)) : Effect.void
  }
  return { asked, request }
}

describe("the calls of the flights", () => {
  it.effect("are repeated under their number while their outcome is not known", () =>
    Effect.gen(function* () {
      const calls = new Calls(5)
      yield* calls.make(() => Effect.void)
      for (const reason of ["OutcomeUnknown", "Timeout"] as const) {
        const { asked, request } = failing(2, reason)
        yield* calls.make(request)
        assert.strictEqual(new Set(asked.map(({ call }) => call)).size, 1)
        assert.lengthOf(asked, 3)
      }
      assert.deepStrictEqual([calls.repeated, calls.failed], [4, 0])
    }))

  it.effect("are repeated no more than they may be, and not when they certainly failed", () =>
    Effect.gen(function* () {
      const calls = new Calls(2)
      const [unknown, refused] = [failing(9, "Timeout"), failing(9, "NotRegistered")]
      yield* calls.make(unknown.request)
      yield* calls.make(refused.request)
      assert.deepStrictEqual([unknown.asked.length, refused.asked.length], [3, 1])
      assert.deepStrictEqual([calls.repeated, calls.failed], [2, 2])
    }))

  it.effect("say below which number all are answered", () =>
    Effect.gen(function* () {
      const calls = new Calls(1)
      const settled: Array<number> = []
      const note = ({ settled: below }: CallNumber) => Effect.sync(() => void settled.push(below))
      yield* calls.make(note)
      yield* calls.make((outer) => Effect.andThen(note(outer), calls.make(note)))
      yield* calls.make(note)
      assert.deepStrictEqual(settled, [1, 2, 2, 4])
    }))
})

describe("a total of the flights", () => {
  const counted = (state: State, ...calls: ReadonlyArray<readonly [call: number, settled: number]>): State =>
    calls.reduce((before, [call, settled]) => count(before, "flights", { call, settled, delay: 10 }), state)

  it("counts each call once, in whatever order they come", () => {
    const { totals } = counted(empty, [3, 1], [1, 1], [3, 1], [2, 1], [1, 1])
    assert.deepStrictEqual(totals, { departures: 0, arrivals: 0, flights: 3, delay: 30 })
  })

  it("forgets what is settled, and counts none of that again", () => {
    const state = counted(empty, [1, 1], [2, 1], [4, 3])
    assert.deepStrictEqual([state.settled, state.counted], [3, [4]])
    assert.strictEqual(counted(state, [2, 1], [1, 1], [4, 3]), state)
    assert.strictEqual(counted(state, [3, 3]).totals.flights, 4)
  })
})
