import { assert, describe, it } from "@effect/vitest"
import { decide, type Decision, type NameEntry, type Standing, viewOf } from "../../src/protocol/claims.ts"
import { claim, entry, prepared, released } from "./support.ts"

const r1 = "1/1/a"
const decideAt = (
  self: string,
  entries: Readonly<Record<string, NameEntry>>,
  standing: Partial<Standing> & { readonly gone?: ReadonlyArray<string> }
): Decision | undefined =>
  decide(viewOf(Object.entries(entries)), entries[self], {
    self,
    isGone: (section) => (standing.gone ?? []).includes(section),
    isHome: standing.isHome ?? (() => false),
    running: standing.running ?? "no",
    preparedFrom: standing.preparedFrom
  })

const s = "1/s"
const t = "1/t"

describe("a prepared copy with the only state", () => {
  it("1a. the source of a move, for which the target is wrongly dead just then, starts the process anew", () => {
    // how it comes about, and right as such: released to a node that it thinks gone, it is the home
    const decision = decideAt(s, { [s]: entry(released(1, [r1], t)), [t]: entry(prepared(2, [r1])) }, {
      gone: [t],
      isHome: () => true
    })
    assert.strictEqual(decision?._tag, "TakeOver")
  })
  it("1b. the target has the older, longer life: it must not be closed for the new one", () => {
    const anew = claim(3, [r1], { continuity: 5000 }) // the prepared one: 1000
    const decision = decideAt(t, { [s]: entry(anew), [t]: entry(prepared(2, [r1])) }, {
      running: "prepared",
      preparedFrom: s
    })
    assert.notStrictEqual(decision?._tag, "Close")
  })
  it("1c. nor for one started anew elsewhere, where the source's claim is erased by now", () => {
    const anew = claim(3, [r1], { continuity: 5000 })
    const decision = decideAt(t, { "1/u": entry(anew), [t]: entry(prepared(2, [r1])) }, {
      running: "prepared",
      preparedFrom: s
    })
    assert.notStrictEqual(decision?._tag, "Close")
  })
  it("2. the source does not erase its released claim for one that is only prepared", () => {
    const decision = decideAt(s, { [s]: entry(released(1, [r1], t)), [t]: entry(prepared(2, [r1])) }, {})
    // once erased, a target that has not seen it released (commit lost) is never told: it stays prepared for ever
    assert.strictEqual(
      decideAt(t, { [t]: entry(prepared(2, [r1])) }, { running: "prepared", preparedFrom: s }),
      undefined
    )
    assert.notStrictEqual(decision?._tag, "Erase")
  })
})
