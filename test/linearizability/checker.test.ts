// The checker on histories written by hand: what it must reject, what it must accept, and what it says of them.
import { assert, describe, it } from "@effect/vitest"
import { isLinearizable } from "./bruteforce.ts"
import { check } from "./checker.ts"
import type { Operation } from "./history.ts"
import { explain, findings } from "./report.ts"
import { until } from "./shrink.ts"
import { ended, lostRead, lostRegister, lostUnregister, none, notThere, ok, seen, taken } from "./support.ts"

type Histories = ReadonlyArray<readonly [what: string, history: ReadonlyArray<Operation>]>

const wrong: Histories = [
  ["a stale read, after the end", [ok(1, 2, "n1@1"), ended(3, 4), seen(5, 6, "n1@1")]],
  ["a stale read, after a takeover was seen", [ok(1, 2, "n1@1"), seen(3, 4, "n2@2"), seen(5, 6, "n1@1")]],
  ["a stale read, while the register has not returned", [ok(1, 9, "n2@2"), seen(2, 3, "n2@2"), seen(4, 5, "n1@1")]],
  ["a stale read of nothing, after another client's read", [lostRegister(1), seen(2, 3, "n1@1"), none(4, 5)]],
  ["a register that is lost", [ok(1, 2, "n1@1"), none(3, 4)]],
  ["a register that is lost, by the word of unregister", [ok(1, 2, "n1@1"), notThere(3, 4)]],
  ["a name registered twice", [ok(1, 2, "n1@1"), ok(3, 4, "n2@2")]],
  ["a name registered twice at once", [ok(1, 3, "n1@1"), ok(2, 4, "n2@2")]],
  ["one copy for two registrations", [ok(1, 3, "n1@1"), ok(2, 4, "n1@1")]],
  ["a name registered twice, one end between three", [
    ok(1, 2, "n1@1"),
    ended(3, 10),
    ok(4, 5, "n1@2"),
    ok(6, 7, "n1@3")
  ]],
  ["an epoch that goes back", [ok(1, 2, "n1@2"), ended(3, 4), ok(5, 6, "n1@1")]],
  ["an epoch that comes again", [ok(1, 2, "n1@1"), ended(3, 4), ok(5, 6, "n1@1")]],
  ["an epoch that was used by a takeover", [ok(1, 2, "n1@1"), seen(3, 4, "n2@2"), ended(5, 6), ok(7, 8, "n1@2")]],
  ["one epoch on two nodes", [ok(1, 2, "n1@1"), seen(3, 4, "n2@1")]],
  ["no epoch left for a copy between two", [
    ok(1, 2, "n1@1"),
    ended(3, 4),
    lostRegister(5),
    ended(6, 7),
    ok(8, 9, "n1@2")
  ]],
  ["an unregister that takes effect twice", [ok(1, 2, "n1@1"), ended(3, 4), ended(5, 6)]],
  ["two unregisters at once that both did it", [ok(1, 2, "n1@1"), ended(3, 5), ended(4, 6)]],
  ["an unregister of nothing", [ended(1, 2)]],
  ["a read of a copy that nobody registered", [seen(1, 2, "n1@1")]],
  ["a read of a copy whose register was refused", [ok(1, 2, "n1@1"), taken(3, 4), ended(5, 6), seen(7, 8, "n2@2")]],
  ["a read of the future", [seen(1, 2, "n1@1"), ok(3, 4, "n1@1")]],
  ["a register refused by the future", [taken(1, 2, "n1@1"), ok(3, 4, "n1@1")]],
  ["a read of a future of unknown result", [seen(1, 2, "n1@1"), lostRegister(3)]],
  ["an end seen before it was asked for", [ok(1, 2, "n1@1"), none(3, 4), ended(5, 6)]],
  ["two readers who disagree on the order", [
    ok(1, 12, "n3@3"),
    seen(2, 5, "n1@1"),
    seen(3, 6, "n2@2"),
    seen(7, 8, "n2@2"),
    seen(9, 10, "n1@1")
  ]],
  ["a register of unknown result that took effect twice", [lostRegister(1), ended(2, 3), ended(4, 5)]],
  ["an unregister of unknown result that took effect twice", [
    ok(1, 2, "n1@1"),
    lostUnregister(3),
    ok(4, 5, "n1@2"),
    ok(6, 7, "n1@3")
  ]],
  ["a read of unknown result explains nothing", [lostRead(1), seen(2, 3, "n1@1")]],
  ["refused by nobody", [taken(1, 2)]],
  ["refused by who has ended", [ok(1, 2, "n1@1"), ended(3, 4), taken(5, 6, "n1@1")]],
  ["refused by one who never was", [ok(1, 2, "n1@2"), taken(3, 4, "n2@1")]],
  ["a register answered with the copy of another one", [
    ok(1, 10, "n2@2"),
    seen(2, 3, "n1@1"),
    ended(4, 5),
    ok(6, 7, "n2@2"),
    seen(8, 9, "n2@2")
  ]],
  ["a register answered with an epoch below one it followed", [ok(1, 2, "n1@5"), ended(3, 4), ok(5, 9, "n1@4")]]
]

const right: Histories = [
  ["nothing", []],
  ["a life", [none(1, 2), ok(3, 4, "n1@1"), seen(5, 6, "n1@1"), ended(7, 8), none(9, 10), notThere(11, 12)]],
  ["a second life", [ok(1, 2, "n1@1"), ended(3, 4), ok(5, 6, "n2@2"), taken(7, 8, "n2@2")]],
  ["epochs that skip some", [ok(1, 2, "n1@3"), ended(3, 4), ok(5, 6, "n2@9")]],
  ["one of two registers at once", [ok(1, 3, "n1@1"), taken(2, 4, "n1@1")]],
  ["the later of two registers at once", [taken(1, 4, "n1@1"), ok(2, 3, "n1@1")]],
  ["both of two registers with an end between", [ok(1, 6, "n1@1"), ended(2, 5), ok(3, 4, "n1@2")]],
  ["a read of what is being registered", [ok(1, 4, "n1@1"), seen(2, 3, "n1@1")]],
  ["a read of nothing while it is being registered", [ok(1, 4, "n1@1"), none(2, 3)]],
  ["a read of what has ended, begun before", [ok(1, 2, "n1@1"), seen(3, 6, "n1@1"), ended(4, 5)]],
  ["reads that return in another order", [ok(1, 2, "n1@1"), seen(3, 6, "n2@2"), seen(4, 5, "n1@1")]],
  ["one of two unregisters at once", [ok(1, 2, "n1@1"), ended(3, 5), notThere(4, 6)]],
  ["a takeover that nobody asked for", [ok(1, 2, "n1@1"), seen(3, 4, "n2@2"), seen(5, 6, "n1@3")]],
  ["a restart on the same node", [ok(1, 2, "n1@1"), seen(3, 4, "n1@2"), ended(5, 6), ok(7, 8, "n1@3")]],
  ["takeovers that nobody saw", [ok(1, 2, "n1@1"), ended(3, 4), ok(5, 6, "n1@7")]],
  ["refused by the copy after a takeover", [ok(1, 2, "n1@1"), taken(3, 4, "n2@2"), seen(5, 6, "n2@2")]],
  ["a register answered with the copy after a takeover", [ok(1, 4, "n2@2"), seen(2, 3, "n1@1")]],
  ["a register answered after two takeovers, and then one more", [
    ok(1, 6, "n3@3"),
    seen(2, 3, "n1@1"),
    seen(4, 5, "n2@2"),
    seen(7, 8, "n1@4")
  ]],
  ["a register answered with the copy before a takeover", [ok(1, 4, "n1@1"), seen(2, 3, "n2@2")]],
  ["a register answered with a copy that nobody else saw", [
    ok(1, 8, "n2@2"),
    seen(2, 3, "n1@1"),
    ended(4, 5),
    none(6, 7)
  ]],
  ["a register that ended before it returned", [ok(1, 6, "n1@1"), ended(2, 3), none(4, 5)]],
  ["a register of unknown result that never was", [lostRegister(1, 2), none(3, 4), ok(5, 6, "n1@1")]],
  ["a register of unknown result that was late", [lostRegister(1, 2), none(3, 4), seen(5, 6, "n1@1"), taken(7, 8)]],
  ["an unregister of unknown result that was late", [
    ok(1, 2, "n1@1"),
    lostUnregister(3, 4),
    seen(5, 6, "n1@1"),
    none(7, 8)
  ]],
  ["an unregister of unknown result that never was", [ok(1, 2, "n1@1"), lostUnregister(3), seen(4, 5, "n1@1")]],
  ["two of unknown result, each used", [
    lostRegister(1),
    lostUnregister(2),
    none(3, 4),
    seen(5, 6, "n1@4"),
    none(7, 8)
  ]],
  ["two registers of unknown result with an end between", [lostRegister(1), lostRegister(2), ended(3, 4), ended(5, 6)]],
  ["an epoch that something of unknown result has used", [lostRegister(1), ended(2, 3), ok(4, 5, "n1@2")]],
  ["the earlier of two of unknown result", [lostRegister(1), seen(2, 3, "n1@1"), lostRegister(4)]],
  ["two of unknown result that are needed later, not where they could be used first", [
    lostRegister(1),
    lostUnregister(2),
    ended(3, 8),
    ok(4, 9, "n1@5"),
    none(10, 11),
    seen(12, 13, "n1@6"),
    none(14, 15)
  ]],
  ["all of it unknown", [lostRegister(1), lostUnregister(2, 3), lostRead(4, 5), lostRegister(6)]]
]

const tagOf = (history: ReadonlyArray<Operation>): string => check(history)._tag

describe("rejects", () => {
  it.each(wrong)("%s", (_, history) => {
    assert.strictEqual(tagOf(history), "Violation")
    assert.strictEqual(tagOf([...history].reverse()), "Violation")
    assert.isFalse(isLinearizable(history))
  })
})

describe("accepts", () => {
  it.each(right)("%s", (_, history) => {
    assert.strictEqual(tagOf(history), "Linearizable")
    assert.strictEqual(tagOf([...history].reverse()), "Linearizable")
    assert.isTrue(isLinearizable(history))
  })

  it("each beginning of what it accepts", () => {
    for (const [what, history] of right) {
      for (let time = 1; time <= 15; time++) {
        assert.strictEqual(tagOf(until(history, time)), "Linearizable", `${what}, until ${time}`)
      }
    }
  })
})

describe("a verdict", () => {
  it("has the order that it found, the late effect of an unknown operation in it", () => {
    const [late, before, after] = [lostRegister(1, 2), none(3, 4), seen(5, 6, "n1@1")]
    const verdict = check([late, before, after])
    assert.deepStrictEqual(verdict._tag === "Linearizable" ? verdict.order : [], [before, late, after])
  })

  it("says how far it got, and what can't come next", () => {
    const verdict = check([ok(1, 2, "n1@1"), seen(3, 4, "n2@2"), seen(5, 6, "n1@1"), none(7, 8)])
    assert.strictEqual(
      verdict._tag === "Violation" ? explain(verdict.violation) : "",
      `"ant" is not linearizable. This order explains the most:
  [1, 2] client1: register -> Ok n1@1
  [3, 4] client3: whereis -> At n2@2
then the name is held at n2@2 or above, and none of these can come next:
  [5, 6] client5: whereis -> At n1@1`
    )
  })

  it("says first of what can't come next what was to come first", () => {
    const [late, first] = [none(3, 6), notThere(4, 5)]
    const verdict = check([ok(1, 2, "n1@1"), late, first])
    assert.deepStrictEqual(verdict._tag === "Violation" ? verdict.violation.stuck : [], [first, late])
  })

  it("leaves it undecided when there are too many states to look at", () => {
    const rivals = Array.from({ length: 8 }, (_, index) => [
      ok(1 + index, 40 + index, `n1@${index + 1}`),
      ended(11 + index, 50 + index),
      seen(21 + index, 60 + index, `n2@${9 + index}`)
    ]).flat()
    const history = [...rivals, seen(70, 71, "n3@1")]
    assert.strictEqual(check(history, { maxStates: 100 })._tag, "Undecided")
    assert.include(findings(history, { maxStates: 100 })[0], "can't be decided: 100 states were not enough for 25")
  })

  it("is given for each name by itself", () => {
    const bee = [ok(1, 2, "n1@1"), none(7, 8)].map((operation) => ({ ...operation, name: "bee" }))
    const found = findings([ok(3, 4, "n2@1"), ...bee, seen(5, 6, "n2@1")])
    assert.strictEqual(found.length, 1)
    assert.include(found[0], `"bee" is not linearizable`)
    assert.throws(() => check([ok(3, 4, "n2@1"), ...bee]), `"ant" and "bee" as one name`)
  })
})

describe("a history that was recorded wrongly", () => {
  const malformed: Histories = [
    ["two events at time 2", [ok(1, 2, "n1@1"), none(2, 3)]],
    ["returnedAt must be a whole number above invokedAt", [none(4, 3)]],
    ["invokedAt must be a whole number", [none(0.5, 3)]],
    ["an epoch must be a whole number from 1", [ok(1, 2, "n1@0")]],
    ["an epoch must be a whole number from 1", [seen(1, 2, "n1@1.5")]],
    ["what never returned has an unknown result", [{ ...none(1, 2), returnedAt: undefined }]]
  ]
  it.each(malformed)("gets no verdict: %s", (message, history) => {
    assert.throws(() => check(history), message)
  })
})
