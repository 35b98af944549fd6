// PROTOCOL R1 to R8: which claim has a name, and what a node does about it. `[H…]` names the hole that a test closes.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  type Claim,
  compareClaims,
  decide,
  type Decision,
  type Held,
  idOf,
  type NameEntry,
  type NameView,
  type Standing,
  supersedes,
  union,
  viewOf
} from "../../src/protocol/claims.ts"
import { nodeOf } from "../../src/protocol/ids.ts"
import { adopted, claim, entry, held, int, list, modes, prepared, released, spec, tomb } from "./support.ts"

/** Registrations, by short names. */
const r1 = "1/1/a"
const r2 = "1/1/b"
const r3 = "9/1/c"

const self = "1/m"

interface Situation {
  /** What each section says of the name; `self` is this node's. */
  readonly entries: Readonly<Record<string, NameEntry>>
  readonly running?: Standing["running"]
  readonly gone?: ReadonlyArray<string>
  readonly home?: boolean
  readonly from?: string
}

const decideIn = ({ entries, from, gone = [], home = false, running = "no" }: Situation): Decision | undefined =>
  decide(viewOf(Object.entries(entries)), entries[self], {
    self,
    isGone: (section) => gone.includes(section),
    isHome: () => home,
    running,
    preparedFrom: from
  })

describe("compareClaims", () => {
  const base = held("5/b", claim(3, [r1], { start: 50 }))
  const tieBreaks: ReadonlyArray<readonly [string, Held]> = [
    ["a higher epoch, whatever else", held("1/z", claim(4, [r2], { start: 99 }))],
    [
      "[H6] [H30] at the same epoch the earlier start, whatever node and boot",
      held("1/z", claim(3, [r2], { start: 49 }))
    ],
    ["then the lower node id, whatever boot", held("1/a", claim(3, [r2], { start: 50 }))],
    ["[H8] then the later boot", held("6/b", claim(3, [r2], { start: 50 }))]
  ]
  it.each(tieBreaks)("puts first: %s", (_, first) => {
    assert.isBelow(compareClaims(first, base), 0)
    assert.isAbove(compareClaims(base, first), 0)
  })

  it("compares node ids by code unit, and boots as numbers", () => {
    assert.isBelow(compareClaims(held("1/B", claim(1, [r1])), held("1/a", claim(1, [r1]))), 0)
    assert.isBelow(compareClaims(held("10/a", claim(1, [r1])), held("9/a", claim(1, [r1]))), 0)
    assert.isBelow(compareClaims(held("1/a/b", claim(1, [r1])), held("1/a/c", claim(1, [r1]))), 0)
  })

  it("[D26] looks at nothing but epoch, start, node and boot", () => {
    const other = held("5/b", claim(3, [r2, r3], { start: 50, mode: "released", continuity: 1, groups: ["g"] }))
    assert.strictEqual(compareClaims(base, other), 0)
  })

  const anyHeld = Schema.Struct({
    epoch: int(1, 2),
    start: int(1, 2),
    node: Schema.Literals(["a", "b"]),
    boot: int(1, 2)
  })
  const made = ({ boot, epoch, node, start }: typeof anyHeld.Type): Held =>
    held(`${boot}/${node}`, claim(epoch, [r1], { start }))

  it.prop("[T7] [D26] is a total order", [anyHeld, anyHeld, anyHeld], ([x, y, z]) => {
    const [a, b, c] = [made(x), made(y), made(z)] as const
    assert.strictEqual(Math.sign(compareClaims(a, b)), -Math.sign(compareClaims(b, a)) + 0)
    assert.strictEqual(compareClaims(a, b) === 0, idOf(a) === idOf(b) && x.start === y.start)
    if (compareClaims(a, b) <= 0 && compareClaims(b, c) <= 0) assert.isAtMost(compareClaims(a, c), 0)
  }, { arbitrary: { runs: 500 } })
})

describe("supersedes", () => {
  const mine = held("1/b", claim(2, [r1, r2]))
  const cases: ReadonlyArray<readonly [string, Held, boolean]> = [
    ["before it, with all its registrations", held("1/a", claim(3, [r2, r1, r3])), true],
    ["[H16] before it, without one of its registrations", held("1/a", claim(3, [r1, r3])), false],
    ["after it, with all its registrations", held("1/a", claim(1, [r1, r2])), false],
    ["itself", mine, false]
  ]
  it.each(cases)("%s", (_, other, expected) => assert.strictEqual(supersedes(other, mine), expected))
})

it("union keeps each once, in the order they came", () => {
  assert.deepStrictEqual(union(["a", "b"], ["b", "c"], [], ["a"]), ["a", "b", "c"])
})

it("[H8] the claim id tells apart equal epochs of different nodes and boots", () => {
  const ids = [held("1/a", claim(1, [r1])), held("2/a", claim(1, [r1])), held("1/b", claim(1, [r1]))].map(idOf)
  assert.strictEqual(new Set(ids).size, 3)
})

describe("viewOf", () => {
  const view = (entries: Record<string, NameEntry>): NameView => viewOf(Object.entries(entries))
  const sections = (of: NameView): ReadonlyArray<string> => of.claims.map(({ section }) => section)

  it("is empty for nothing", () => {
    assert.deepStrictEqual(view({}), {
      claims: [],
      tombed: [],
      endedEpoch: 0,
      endReason: undefined,
      highestEpoch: 0
    })
  })

  it("has the claims, top first, and the highest epoch", () => {
    const of = view({
      "1/a": entry(claim(2, [r1])),
      "1/b": entry(claim(7, [r1])),
      "1/c": entry(claim(2, [r1], { start: 1 }))
    })
    assert.deepStrictEqual(sections(of), ["1/b", "1/c", "1/a"])
    assert.strictEqual(of.highestEpoch, 7)
    assert.strictEqual(of.endedEpoch, 0)
  })

  it("[H3] masks a claim all of whose registrations are ended, whatever its epoch", () => {
    const of = view({ "1/a": entry(claim(9, [r1])), "1/b": entry(undefined, tomb(2, [r1])) })
    assert.deepStrictEqual(sections(of), [])
    assert.strictEqual(of.endedEpoch, 9, "the covered claim's epoch has ended too")
    assert.strictEqual(of.highestEpoch, 9)
  })

  it("[H3] lets a newer registration stand beside an older one's tomb of any epoch", () => {
    const of = view({ "1/a": entry(claim(3, [r2]), tomb(5, [r1])) })
    assert.deepStrictEqual(sections(of), ["1/a"])
    assert.strictEqual(of.endedEpoch, 5)
    assert.strictEqual(of.highestEpoch, 5)
  })

  it("[H16] a claim with one living registration is not covered", () => {
    const of = view({ "1/a": entry(claim(3, [r1, r2])), "1/b": entry(undefined, tomb(4, [r1, r3])) })
    assert.deepStrictEqual(sections(of), ["1/a"])
  })

  it("[H16] several tombs cover together what none covers alone", () => {
    const of = view({
      "1/a": entry(claim(3, [r1, r2])),
      "1/b": entry(undefined, tomb(1, [r1])),
      "1/c": entry(undefined, tomb(2, [r2]))
    })
    assert.deepStrictEqual(sections(of), [])
    assert.deepStrictEqual([...of.tombed].sort(), [r1, r2].sort())
    assert.strictEqual(of.endedEpoch, 3)
  })

  it("[H17] the ended epoch is the highest of tombs and covered claims, living claims not counted", () => {
    const of = view({
      "1/a": entry(claim(3, [r1])),
      "1/b": entry(claim(8, [r2])),
      "1/c": entry(undefined, tomb(5, [r1]))
    })
    assert.strictEqual(of.endedEpoch, 5)
    assert.strictEqual(of.highestEpoch, 8)
    assert.deepStrictEqual(sections(of), ["1/b"])
  })

  it("counts claims of every mode", () => {
    for (const mode of modes) {
      assert.strictEqual(view({ "1/a": entry(claim(4, [r1], { mode })) }).highestEpoch, 4)
      assert.deepStrictEqual(sections(view({ "1/a": entry(claim(4, [r1], { mode })) })), ["1/a"])
    }
  })
})

interface Case extends Situation {
  readonly name: string
  readonly decision: Decision | undefined
}

const check = (cases: ReadonlyArray<Case>): void => {
  for (const one of cases) it(one.name, () => assert.deepStrictEqual(decideIn(one), one.decision))
}

describe("decide: nothing to do", () => {
  check([
    { name: "for a name nobody knows", entries: {}, home: true, decision: undefined },
    {
      name: "for a name that has ended",
      entries: { "1/a": entry(undefined, tomb(3, [r1])) },
      home: true,
      decision: undefined
    },
    {
      name: "when my copy runs, alone",
      entries: { [self]: entry(claim(1, [r1])) },
      running: "live",
      decision: undefined
    },
    { name: "when it runs elsewhere", entries: { "1/a": entry(claim(1, [r1])) }, home: true, decision: undefined },
    {
      name: "when it was adopted elsewhere",
      entries: { "1/a": entry(adopted(1, [r1])) },
      home: true,
      decision: undefined
    },
    {
      name: "when another prepares it for a living source",
      entries: { "1/a": entry(prepared(2, [r1])), "1/b": entry(claim(1, [r1])) },
      home: true,
      decision: undefined
    },
    {
      name: "[H17] when my copy is above every tomb",
      entries: { [self]: entry(claim(6, [r2]), tomb(5, [r1])) },
      running: "live",
      decision: undefined
    }
  ])
})

describe("decide R3: covered", () => {
  check([
    {
      name: "[H3] stops my copy at once, though its epoch is above the tomb's",
      entries: { [self]: entry(claim(9, [r1])), "1/b": entry(undefined, tomb(2, [r1])) },
      running: "live",
      decision: { _tag: "Stop" }
    },
    {
      name: "[H4] stops it by the tomb of a dead node's section",
      entries: { [self]: entry(claim(1, [r1])), "1/b": entry(undefined, tomb(2, [r1])) },
      running: "live",
      gone: ["1/b"],
      decision: { _tag: "Stop" }
    },
    {
      name: "[H12] stops it by a tomb in the same entry",
      entries: { [self]: entry(claim(1, [r1]), tomb(1, [r1])) },
      running: "live",
      decision: { _tag: "Stop" }
    },
    {
      name: "[H16] stops it when several tombs cover it together",
      entries: {
        [self]: entry(claim(1, [r1, r2])),
        "1/b": entry(undefined, tomb(1, [r1])),
        "1/c": entry(undefined, tomb(1, [r2]))
      },
      running: "frozen",
      decision: { _tag: "Stop" }
    },
    {
      name: "stops it before anything else is thought about: another copy lives on top",
      entries: { [self]: entry(claim(1, [r1])), "1/a": entry(claim(5, [r2]), tomb(1, [r1])) },
      running: "live",
      decision: { _tag: "Stop" }
    },
    ...modes.map((mode): Case => ({
      name: `stops a ${mode} claim of mine`,
      entries: { [self]: entry(claim(1, [r1], { mode })), "1/b": entry(undefined, tomb(1, [r1])) },
      running: mode === "prepared" ? "prepared" : mode === "released" ? "no" : "live",
      decision: { _tag: "Stop" }
    })),
    {
      name: "[R3] not without a tomb: a claim that carries no registration isn't covered by nothing",
      entries: { [self]: entry(claim(3, [])) },
      running: "live",
      decision: undefined
    },
    {
      name: "[H11] leaves a foreign covered claim to its writer",
      entries: { "1/a": entry(claim(1, [r1])), "1/b": entry(undefined, tomb(1, [r1])) },
      home: true,
      decision: undefined
    },
    {
      name: "[H3] [H27] doesn't start again what has ended, its holder gone",
      entries: { "1/a": entry(claim(9, [r1])), "1/b": entry(undefined, tomb(1, [r1])) },
      gone: ["1/a"],
      home: true,
      decision: undefined
    }
  ])
})

describe("decide R4: the top claim's holder is gone", () => {
  const lost = claim(4, [r1])
  const orphan = { "1/a": entry(lost) }
  check([
    {
      name: "the home starts it above every epoch, from the lost claim",
      entries: orphan,
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: lost }
    },
    {
      name: "[H13] [H14] nobody else starts it: not the home, or not synced",
      entries: orphan,
      gone: ["1/a"],
      home: false,
      decision: undefined
    },
    {
      name: "[H17] above a tomb's epoch too",
      entries: { ...orphan, "1/b": entry(undefined, tomb(8, [r2])) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 9, registrations: [r1], from: lost }
    },
    {
      name: "[H17] above a covered claim's epoch too",
      entries: { ...orphan, "1/b": entry(claim(11, [r2])), "1/c": entry(undefined, tomb(1, [r2])) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 12, registrations: [r1], from: lost }
    },
    {
      name: "[H16] with the registrations of all lost claims, from the top one",
      entries: { ...orphan, "1/b": entry(claim(2, [r2, r1])), "1/c": entry(released(1, [r3])) },
      gone: ["1/a", "1/b", "1/c"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1, r2, r3], from: lost }
    },
    {
      name: "[H10] from a released claim, when the newer copy has died",
      entries: { "1/a": entry(released(4, [r1])) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: released(4, [r1]) }
    },
    {
      name: "[H10] from my own released claim below it, when the target of my move has died",
      entries: { [self]: entry(released(3, [r1])), "1/a": entry(lost) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: lost }
    },
    {
      name: "[H6] my live copy below it renews itself with its state: no start from args, home or not",
      entries: { ...orphan, [self]: entry(claim(2, [r2])) },
      running: "live",
      gone: ["1/a"],
      home: true,
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "[H6] likewise when I am not the home",
      entries: { ...orphan, [self]: entry(claim(2, [r2])) },
      running: "live",
      gone: ["1/a"],
      home: false,
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "[H18] my copy, frozen for a winner that has died, renews itself",
      entries: { ...orphan, [self]: entry(claim(2, [r2])) },
      running: "frozen",
      gone: ["1/a"],
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "[H6] an adopted copy of mine renews itself",
      entries: { ...orphan, [self]: entry(adopted(2, [r2])) },
      running: "live",
      gone: ["1/a"],
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "[H6] the home leaves it to another's live copy",
      entries: { ...orphan, "1/b": entry(claim(2, [r2])) },
      gone: ["1/a"],
      home: true,
      decision: undefined
    },
    {
      name: "[H6] of several live copies only the best renews itself: not mine, the second",
      entries: { ...orphan, "1/b": entry(claim(3, [r2])), [self]: entry(claim(2, [r2])) },
      running: "live",
      gone: ["1/a"],
      home: true,
      decision: undefined
    },
    {
      name: "[H6] mine, the best",
      entries: { ...orphan, "1/b": entry(claim(2, [r2])), [self]: entry(claim(3, [r2])) },
      running: "live",
      gone: ["1/a"],
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "a live copy whose holder is gone as well is no live copy",
      entries: { ...orphan, "1/b": entry(claim(2, [r2])) },
      gone: ["1/a", "1/b"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1, r2], from: lost }
    },
    {
      name: "[H16] two epochs lost at once: everything is carried by one start",
      entries: { "1/a": entry(claim(4, [r1])), "2/a": entry(claim(4, [r2])) },
      gone: ["1/a", "2/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r2, r1], from: claim(4, [r2]) }
    },
    {
      name: "[H27] an adopted process is buried by the home: nobody else could start it",
      entries: { "1/a": entry(adopted(4, [r1])) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "Bury", epoch: 4, registrations: [r1] }
    },
    {
      name: "[H27] by nobody but the home",
      entries: { "1/a": entry(adopted(4, [r1])) },
      gone: ["1/a"],
      home: false,
      decision: undefined
    },
    {
      name: "[H27] a lost claim without a spec is buried",
      entries: { "1/a": entry(claim(4, [r1], { spec: undefined, mode: "released" })) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "Bury", epoch: 4, registrations: [r1] }
    },
    {
      name: "[H27] an adopted one buries what it had won over",
      entries: { "1/a": entry(adopted(4, [r1])), "1/b": entry(claim(2, [r2])) },
      gone: ["1/a", "1/b"],
      home: true,
      decision: { _tag: "Bury", epoch: 4, registrations: [r1, r2] }
    },
    {
      name: "from the next claim that has a spec",
      entries: {
        "1/a": entry(claim(4, [r1], { spec: undefined, mode: "released" })),
        "1/b": entry(claim(2, [r2]))
      },
      gone: ["1/a", "1/b"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1, r2], from: claim(2, [r2]) }
    },
    {
      name: "[H7] my prepared copy with the state goes before a start from args",
      entries: { "1/a": entry(claim(4, [r1])), [self]: entry(prepared(3, [r1])) },
      running: "prepared",
      gone: ["1/a"],
      from: "1/a",
      home: true,
      decision: { _tag: "Renew", epoch: 5, registrations: [r1], isStale: true }
    },
    {
      name: "[H7] my prepared copy waits for a living source that it doesn't know, though the top one is gone",
      entries: { "1/a": entry(claim(4, [r2])), [self]: entry(prepared(3, [r1])) },
      running: "prepared",
      gone: ["1/a"],
      from: "1/s",
      home: true,
      decision: undefined
    },
    {
      name: "[H7] renews itself once that source has released",
      entries: {
        "1/a": entry(claim(4, [r2])),
        [self]: entry(prepared(3, [r1])),
        "1/s": entry(released(2, [r1], self))
      },
      running: "prepared",
      gone: ["1/a"],
      from: "1/s",
      decision: { _tag: "Renew", epoch: 5, registrations: [r2, r1] }
    },
    {
      name: "[H7] leaves it to another's live copy, source gone or not",
      entries: { "1/a": entry(claim(4, [r1])), "1/b": entry(claim(2, [r2])), [self]: entry(prepared(3, [r1])) },
      running: "prepared",
      gone: ["1/a"],
      from: "1/a",
      decision: undefined
    },
    {
      name: "[H7] the home leaves it to another's prepared copy",
      entries: { "1/a": entry(claim(4, [r1])), "1/b": entry(prepared(3, [r1])) },
      gone: ["1/a"],
      home: true,
      decision: undefined
    }
  ])

  it("keeps start, metadata and groups of what it takes over, through `from`", () => {
    const lost = claim(4, [r1], { start: 77, metadata: { colour: "red" }, groups: ["pages"], spec })
    const decision = decideIn({ entries: { "1/a": entry(lost) }, gone: ["1/a"], home: true })
    assert.isTrue(decision?._tag === "TakeOver" && decision.from === lost)
  })

  it("asks whether it is the home only when that matters", () => {
    for (const running of ["live", "frozen"] as const) {
      const entries = { [self]: entry(claim(2, [r1])), "1/a": entry(claim(4, [r1])) }
      const decision = decide(viewOf(Object.entries(entries)), entries[self], {
        self,
        isGone: (section) => section === "1/a",
        isHome: () => assert.fail("placement is not asked"),
        running,
        preparedFrom: undefined
      })
      assert.strictEqual(decision?._tag, "Renew")
    }
  })
})

describe("decide R5: my claim is on top", () => {
  check([
    {
      name: "[H17] a tomb has its epoch: lifted above",
      entries: { [self]: entry(claim(5, [r1]), tomb(5, [r2])) },
      running: "live",
      decision: { _tag: "Renew", epoch: 6, registrations: [r1] }
    },
    {
      name: "[H17] a foreign tomb is above it: lifted above that",
      entries: { [self]: entry(claim(5, [r1])), "1/a": entry(undefined, tomb(9, [r2])) },
      running: "live",
      decision: { _tag: "Renew", epoch: 10, registrations: [r1] }
    },
    {
      name: "[H17] a covered claim is above it: lifted above that",
      entries: { [self]: entry(claim(5, [r1])), "1/a": entry(claim(7, [r2])), "1/b": entry(undefined, tomb(1, [r2])) },
      running: "live",
      decision: { _tag: "Renew", epoch: 8, registrations: [r1] }
    },
    {
      name: "[H8] a lost claim has its epoch: lifted",
      entries: { [self]: entry(claim(5, [r1], { start: 1 })), "1/a": entry(claim(5, [r1])) },
      running: "live",
      gone: ["1/a"],
      decision: { _tag: "Renew", epoch: 6, registrations: [r1] }
    },
    {
      name: "[H16] a lost claim below carries registrations that mine lacks: carried on, at the same epoch",
      entries: { [self]: entry(claim(5, [r1])), "1/a": entry(claim(3, [r2])), "1/b": entry(released(2, [r3])) },
      running: "live",
      gone: ["1/a", "1/b"],
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2, r3] }
    },
    {
      name: "[H16] [H8] both: lifted, with all registrations",
      entries: { [self]: entry(claim(5, [r1], { start: 1 })), "1/a": entry(claim(5, [r2])) },
      running: "live",
      gone: ["1/a"],
      decision: { _tag: "Renew", epoch: 6, registrations: [r1, r2] }
    },
    {
      name: "nothing is lacking of a lost claim: nothing to do",
      entries: { [self]: entry(claim(5, [r1, r2])), "1/a": entry(claim(3, [r2])) },
      running: "live",
      gone: ["1/a"],
      decision: undefined
    },
    {
      name: "[H18] a living loser's registrations wait for it to settle",
      entries: { [self]: entry(claim(5, [r1])), "1/a": entry(claim(3, [r2])) },
      running: "live",
      decision: undefined
    },
    {
      name: "at equal epochs a living loser settles: no lift",
      entries: { [self]: entry(claim(5, [r1], { start: 1 })), "1/a": entry(claim(5, [r2])) },
      running: "live",
      decision: undefined
    },
    {
      name: "an adopted process is lifted as any other",
      entries: { [self]: entry(adopted(5, [r1]), tomb(5, [r2])) },
      running: "live",
      decision: { _tag: "Renew", epoch: 6, registrations: [r1] }
    }
  ])
})

describe("decide R6: moves", () => {
  const target = entry(prepared(5, [r1]))
  check([
    {
      name: "[H7] my prepared copy waits while the source holds its claim",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: undefined
    },
    {
      name: "[H7] it waits while it doesn't know the source's claim: that is no proof that it has let go",
      entries: { [self]: target },
      running: "prepared",
      from: "1/a",
      home: true,
      decision: undefined
    },
    {
      name: "[H7] it serves once the source has released, though the commit was lost",
      entries: { [self]: target, "1/a": entry(released(4, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H7] it serves once the source is gone, its claim still live",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])) },
      running: "prepared",
      from: "1/a",
      gone: ["1/a"],
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H7] it serves once the source is gone, its claim unknown",
      entries: { [self]: target },
      running: "prepared",
      from: "1/a",
      gone: ["1/a"],
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H7] another's released claim doesn't set it free",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])), "1/b": entry(released(3, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: undefined
    },
    {
      name: "[H7] the source has resumed above the offer: the prepared copy closes",
      entries: { [self]: target, "1/a": entry(claim(6, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Close" }
    },
    {
      name: "[H7] it closes also when the source carries other registrations",
      entries: { [self]: target, "1/a": entry(claim(6, [r2])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Close" }
    },
    {
      name: "[H6] [H7] its source gone, it may be all there is of the state: it serves beside another live copy on top",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])), "1/b": entry(claim(6, [r2])) },
      running: "prepared",
      from: "1/a",
      gone: ["1/a"],
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H6] [H7] likewise when that copy carries its registrations",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])), "1/b": entry(claim(6, [r1, r2])) },
      running: "prepared",
      from: "1/a",
      gone: ["1/a"],
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H6] [H7] its source gone and unknown, likewise",
      entries: { [self]: target, "1/b": entry(claim(6, [r2])) },
      running: "prepared",
      from: "1/a",
      gone: ["1/a"],
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H6] [H7] its source has released it to me: it serves beside another live copy on top",
      entries: { [self]: target, "1/a": entry(released(4, [r1], self)), "1/b": entry(claim(6, [r2])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "GoLive" }
    },
    {
      name: "[H6] [H7] its source has released it to me: it serves, above another's prepared copy",
      entries: { [self]: target, "1/a": entry(released(4, [r1], self)), "1/b": entry(prepared(6, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Renew", epoch: 7, registrations: [r1] }
    },
    {
      name: "[H7] the source moves it to another now: superseded by that prepared copy it closes",
      entries: { [self]: target, "1/a": entry(claim(6, [r1])), "1/b": entry(prepared(7, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Close" }
    },
    {
      name: "[H7] [H16] not by one without its registration: it waits for its source",
      entries: { [self]: target, "1/a": entry(claim(4, [r1])), "1/b": entry(prepared(7, [r2])) },
      running: "prepared",
      from: "1/a",
      decision: undefined
    },
    {
      name: "[H7] the source, frozen and no longer moving it, goes on above the prepared copy",
      entries: { [self]: entry(claim(4, [r1])), "1/b": target },
      running: "frozen",
      decision: { _tag: "Resume", epoch: 6 }
    },
    {
      name: "[H7] likewise the source that runs again",
      entries: { [self]: entry(claim(4, [r1])), "1/b": target, "1/c": entry(undefined, tomb(9, [r2])) },
      running: "live",
      decision: { _tag: "Resume", epoch: 10 }
    },
    {
      name: "[H7] but not a copy that isn't its source: another, living, serves as well",
      entries: { [self]: entry(claim(3, [r1])), "1/b": target, "1/c": entry(claim(4, [r1])) },
      running: "live",
      decision: undefined
    },
    {
      name: "[H7] one that is released or prepared doesn't serve: with no other live copy mine goes on above",
      entries: {
        [self]: entry(claim(3, [r1])),
        "1/b": target,
        "1/c": entry(released(4, [r1], self)),
        "1/d": entry(prepared(4, [r2]))
      },
      running: "live",
      decision: { _tag: "Resume", epoch: 6 }
    },
    {
      name: "[H7] an adopted one does",
      entries: { [self]: entry(claim(3, [r1])), "1/b": target, "1/c": entry(adopted(4, [r1])) },
      running: "live",
      decision: undefined
    },
    {
      name: "[H7] one whose holder is gone doesn't count",
      entries: { [self]: entry(claim(3, [r1])), "1/b": target, "1/c": entry(claim(4, [r1])) },
      running: "live",
      gone: ["1/c"],
      decision: { _tag: "Resume", epoch: 6 }
    },
    {
      name: "[H7] the source, frozen, goes on above the offer when the target has died",
      entries: { [self]: entry(claim(4, [r1])), "1/b": target },
      running: "frozen",
      gone: ["1/b"],
      decision: { _tag: "Renew", epoch: 6, registrations: [r1] }
    },
    {
      name: "[H7] frozen and on top without a move under way: resumes above all",
      entries: { [self]: entry(claim(4, [r1])), "1/a": entry(undefined, tomb(7, [r2])) },
      running: "frozen",
      decision: { _tag: "Resume", epoch: 8 }
    },
    {
      name: "[H10] the source's released claim stands by while the target prepares",
      entries: { [self]: entry(released(4, [r1])), "1/b": entry(prepared(5, [r2])) },
      home: true,
      decision: undefined
    },
    {
      name: "[H10] the source's released claim on top, a prepared copy below: left to that copy",
      entries: { [self]: entry(released(6, [r1])), "1/b": target },
      home: true,
      decision: undefined
    },
    {
      name: "[R8] my own released claim is all there is: the home starts it again, above it",
      entries: { [self]: entry(released(4, [r1])) },
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: released(4, [r1]) }
    },
    {
      name: "[H10] only the home does",
      entries: { [self]: entry(released(4, [r1])) },
      home: false,
      decision: undefined
    },
    {
      name: "[R8] my released claim is all that is known here, but its successor lives: its claim is on its way",
      entries: { [self]: entry(released(4, [r1], "1/b")) },
      home: true,
      decision: undefined
    },
    {
      name: "[R8] likewise when the successor's entry is here, without a claim",
      entries: { [self]: entry(released(4, [r1], "1/b")), "1/b": entry(undefined, tomb(1, [r2])) },
      home: true,
      decision: undefined
    },
    {
      name: "[R8] the successor of my released claim is gone: the home starts it again",
      entries: { [self]: entry(released(4, [r1], "1/b")) },
      gone: ["1/b"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: released(4, [r1], "1/b") }
    },
    {
      name: "[R8] only the home does that, too",
      entries: { [self]: entry(released(4, [r1], "1/b")) },
      gone: ["1/b"],
      home: false,
      decision: undefined
    },
    {
      name: "[H10] nothing else lives that could: lost claims below are carried along",
      entries: { [self]: entry(released(4, [r1])), "1/a": entry(claim(3, [r2])), "1/b": entry(released(2, [r3])) },
      gone: ["1/a"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1, r2, r3], from: released(4, [r1]) }
    },
    {
      name: "[H10] a living copy below my released claim goes on: nothing is started",
      entries: { [self]: entry(released(4, [r1])), "1/a": entry(claim(3, [r2])) },
      home: true,
      decision: undefined
    },
    {
      name: "[H27] what was adopted and released here without a spec is buried",
      entries: { [self]: entry(claim(4, [r1], { mode: "released", spec: undefined })) },
      home: true,
      decision: { _tag: "Bury", epoch: 4, registrations: [r1] }
    }
  ])

  it("[H6] [H7] a prepared copy that went live below another live copy is settled like any other", () => {
    const other = claim(6, [r2])
    const below = { "1/a": entry(released(4, [r1], self)), "1/b": entry(other) }
    const before = { [self]: target, ...below }
    assert.deepStrictEqual(decideIn({ entries: before, running: "prepared", from: "1/a" }), { _tag: "GoLive" })
    const after = { [self]: entry(claim(5, [r1])), ...below }
    assert.deepStrictEqual(decideIn({ entries: after, running: "live", from: "1/a" }), {
      _tag: "Settle",
      winner: held("1/b", other)
    })
  })

  it("[H6] my live copy below a released claim of another renews itself", () => {
    const entries = { [self]: entry(claim(2, [r1])), "1/a": entry(released(4, [r2])) }
    assert.deepStrictEqual(decideIn({ entries, running: "live" }), {
      _tag: "Renew",
      epoch: 5,
      registrations: [r2, r1]
    })
  })
})

describe("decide R7: settling", () => {
  const mine = entry(claim(3, [r1]))
  const winner = claim(4, [r2])
  const mineId = "3/1/m"
  check([
    {
      name: "another live copy is before mine: settle with it",
      entries: { [self]: mine, "1/a": entry(winner) },
      running: "live",
      home: true,
      decision: { _tag: "Settle", winner: held("1/a", winner) }
    },
    {
      name: "[H18] again while it hasn't merged mine",
      entries: { [self]: mine, "1/a": entry(claim(4, [r2], { merged: ["3/1/b", "2/1/m", "3/2/m"] })) },
      running: "frozen",
      decision: { _tag: "Settle", winner: held("1/a", claim(4, [r2], { merged: ["3/1/b", "2/1/m", "3/2/m"] })) }
    },
    {
      name: "[H18] it has merged mine: close",
      entries: { [self]: mine, "1/a": entry(claim(5, [r2, r1], { merged: [mineId] })) },
      running: "frozen",
      decision: { _tag: "Close" }
    },
    {
      name: "[H18] [H16] closes by the id alone",
      entries: { [self]: mine, "1/a": entry(claim(5, [r2], { merged: [mineId, "1/1/z"] })) },
      running: "live",
      decision: { _tag: "Close" }
    },
    {
      name: "an adopted winner counts as any other",
      entries: { [self]: mine, "1/a": entry(adopted(4, [r2])) },
      running: "live",
      decision: { _tag: "Settle", winner: held("1/a", adopted(4, [r2])) }
    },
    {
      name: "an adopted loser settles as any other",
      entries: { [self]: entry(adopted(3, [r1])), "1/a": entry(winner) },
      running: "live",
      decision: { _tag: "Settle", winner: held("1/a", winner) }
    },
    {
      name: "with the first of several",
      entries: { [self]: mine, "1/a": entry(winner), "1/b": entry(claim(6, [r3])) },
      running: "live",
      decision: { _tag: "Settle", winner: held("1/b", claim(6, [r3])) }
    },
    {
      name: "[H30] at equal epochs the earlier start wins",
      entries: { [self]: mine, "1/z": entry(claim(3, [r2], { start: 999 })) },
      running: "live",
      decision: { _tag: "Settle", winner: held("1/z", claim(3, [r2], { start: 999 })) }
    },
    {
      name: "[H8] an older boot's claim is gone, not settled with",
      entries: { [self]: entry(claim(4, [r1], { start: 1 })), "0/m": entry(claim(4, [r1])) },
      running: "live",
      gone: ["0/m"],
      decision: { _tag: "Renew", epoch: 5, registrations: [r1] }
    }
  ])
})

describe("decide R8: released by a living holder, the record of orphans", () => {
  const orphan = released(4, [r1])
  const handed = released(4, [r1], "1/b")
  check([
    {
      name: "[R8] to a living successor whose claim isn't here yet: nobody takes it over",
      entries: { "1/a": entry(handed) },
      home: true,
      decision: undefined
    },
    {
      name: "[R8] likewise when an older claim of the successor is here",
      entries: { "1/a": entry(handed), "1/b": entry(released(2, [r1], "1/a")) },
      home: true,
      decision: undefined
    },
    {
      name: "[R8] likewise when claims of the dead stand below",
      entries: { "1/a": entry(handed), "1/c": entry(claim(3, [r2])) },
      gone: ["1/c"],
      home: true,
      decision: undefined
    },
    {
      name: "[R8] to nobody: the home starts it from its spec",
      entries: { "1/a": entry(orphan) },
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: orphan }
    },
    {
      name: "[R8] to a successor that is gone: the home starts it from its spec",
      entries: { "1/a": entry(handed) },
      gone: ["1/b"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: handed }
    },
    {
      name: "[R8] to an earlier boot of the successor, which is gone: likewise",
      entries: { "1/a": entry(released(4, [r1], "1/b")), "2/b": entry(undefined, tomb(1, [r2])) },
      gone: ["1/b"],
      home: true,
      decision: { _tag: "TakeOver", epoch: 5, registrations: [r1], from: handed }
    },
    ...[orphan, handed].map((claim): Case => ({
      name: `[H14] [R8] nobody but the home: successor ${claim.successor ?? "none"}`,
      entries: { "1/a": entry(claim) },
      gone: ["1/b"],
      home: false,
      decision: undefined
    })),
    {
      name: "[H27] [R8] to nobody, without a spec: buried by the home",
      entries: { "1/a": entry(claim(4, [r1], { mode: "released", spec: undefined })) },
      home: true,
      decision: { _tag: "Bury", epoch: 4, registrations: [r1] }
    },
    {
      name: "[R8] my live copy below it waits for the successor's claim, to settle with that",
      entries: { "1/a": entry(handed), [self]: entry(claim(3, [r2])) },
      running: "live",
      home: true,
      decision: undefined
    },
    {
      name: "[H6] [R8] with the successor gone my live copy renews itself",
      entries: { "1/a": entry(handed), [self]: entry(claim(3, [r2])) },
      running: "live",
      gone: ["1/b"],
      home: true,
      decision: { _tag: "Renew", epoch: 5, registrations: [r1, r2] }
    },
    {
      name: "[H7] [R8] my prepared copy of it serves, though the commit was lost and its holder stands above",
      entries: { "1/a": entry(released(6, [r1], self)), [self]: entry(prepared(5, [r1])) },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Renew", epoch: 7, registrations: [r1] }
    }
  ])
})

describe("decide R6: offers taken back, and news still under way", () => {
  const moved = { "1/a": entry(released(6, [r1], "1/b")), "1/b": entry(claim(7, [r1])) }
  check([
    {
      name: "[H7] the source resumed above my prepared copy and moved elsewhere: closes",
      entries: { [self]: entry(prepared(5, [r1])), ...moved },
      running: "prepared",
      from: "1/a",
      decision: { _tag: "Close" }
    },
    {
      name: "[H7] the same, its source gone since: closes",
      entries: { [self]: entry(prepared(5, [r1])), ...moved },
      running: "prepared",
      gone: ["1/a"],
      from: "1/a",
      decision: { _tag: "Close" }
    },
    {
      name: "[H6] a living source that may have let go already: waits below another's live copy",
      entries: { [self]: entry(prepared(5, [r1])), "1/a": entry(claim(4, [r1])), "1/b": entry(claim(6, [r2])) },
      running: "prepared",
      from: "1/a",
      decision: undefined
    },
    {
      name: "[H6] released to a living successor by a holder that is gone since: waits for the successor's claim",
      entries: { "1/a": entry(released(4, [r1], "1/b")) },
      gone: ["1/a"],
      home: true,
      decision: undefined
    }
  ])
})

describe("decide R8: released claims", () => {
  const by = held("1/a", claim(5, [r1, r2]))
  check([
    {
      name: "[H10] superseded by a living claim: may be erased",
      entries: { [self]: entry(released(4, [r1])), "1/a": entry(by.claim) },
      decision: { _tag: "Erase", by }
    },
    {
      name: "[H16] not superseded: it carries a registration that nobody else does",
      entries: { [self]: entry(released(4, [r1, r3])), "1/a": entry(by.claim) },
      decision: undefined
    },
    {
      name: "[H10] superseded only by a lost claim: stays",
      entries: {
        [self]: entry(released(4, [r1])),
        "1/a": entry(claim(6, [r2])),
        "1/b": entry(claim(5, [r1]))
      },
      gone: ["1/b"],
      decision: undefined
    },
    {
      name: "[H10] superseded by a living claim below the top",
      entries: { [self]: entry(released(4, [r1])), "1/z": entry(claim(6, [r2])), "1/a": entry(by.claim) },
      decision: { _tag: "Erase", by }
    },
    {
      name: "[H10] never while the process is still here",
      entries: { [self]: entry(claim(4, [r1])), "1/a": entry(claim(5, [r1])) },
      running: "live",
      decision: { _tag: "Settle", winner: held("1/a", claim(5, [r1])) }
    }
  ])
})

// ---- properties

const registrations = [r1, r2, r3] as const
/** Two boots of this node, and three others; of two boots only the later one can be there. */
const sectionIds = [self, "0/m", "1/a", "1/b", "2/b"] as const

const someRegistrations = (mask: number): Array<string> => registrations.filter((_, i) => (mask & (1 << i)) !== 0)

const anyEntry = Schema.Struct({
  claim: Schema.Boolean,
  epoch: int(1, 5),
  start: int(1, 3),
  carries: int(1, 7),
  mode: Schema.Literals(["live", "live", "prepared", "released", "adopted"]),
  tomb: int(0, 20),
  tombEpoch: int(1, 5),
  frozen: Schema.Boolean,
  /** Which section goes on with a released claim; 5 and above: none. */
  successor: int(0, 9)
})

const anySituation = Schema.Struct({
  entries: list(Schema.NullOr(anyEntry), 5, 5),
  gone: int(0, 31),
  home: Schema.Boolean,
  from: int(0, 5)
})

interface World {
  entries: Map<string, NameEntry>
  running: Standing["running"]
  readonly gone: ReadonlySet<string>
  readonly home: boolean
  readonly from: string | undefined
}

const worldOf = ({ entries, from, gone, home }: typeof anySituation.Type): World => {
  const world: World = {
    entries: new Map(),
    running: "no",
    gone: new Set(sectionIds.filter((id, i) => id !== self && ((gone & (1 << i)) !== 0 || id === "0/m"))),
    home,
    from: sectionIds[from]
  }
  for (const [i, any] of entries.entries()) {
    if (any === null) continue
    const { carries, claim: has, epoch, frozen, mode, start, successor, tomb: ended, tombEpoch } = any
    if (!has && ended > 7) continue
    const section = sectionIds[i]!
    const made = claim(epoch, someRegistrations(carries), {
      mode,
      start,
      spec: mode === "adopted" ? undefined : spec,
      successor: mode === "released" ? sectionIds[successor] : undefined
    })
    const over = ended === 0 || ended > 7 ? undefined : tomb(tombEpoch, someRegistrations(ended))
    world.entries.set(section, entry(has ? made : undefined, over))
    if (section === self && has) {
      world.running = mode === "released" ? "no" : mode === "prepared" ? "prepared" : frozen ? "frozen" : "live"
    }
  }
  return world
}

const standingIn = (world: World): Standing => ({
  self,
  isGone: (section) => world.gone.has(section),
  isHome: () => world.home,
  running: world.running,
  preparedFrom: world.from
})

const decideWorld = (world: World): Decision | undefined =>
  decide(viewOf(world.entries), world.entries.get(self), standingIn(world))

/** What the driver writes, and what becomes of the process; a winner elsewhere answers `Settle` at once. */
const perform = (world: World, decision: Decision): void => {
  const view = viewOf(world.entries)
  const own = world.entries.get(self)
  const mine = own?.claim
  const write = (claim: Claim | undefined, running: Standing["running"]): void => {
    world.entries.set(self, entry(claim, own?.tomb))
    world.running = running
  }
  const bury = (ended: ReadonlyArray<string>, epoch: number): void => {
    const before = own?.tomb
    world.entries.set(
      self,
      entry(undefined, tomb(Math.max(epoch, before?.epoch ?? 0), union(before?.registrations ?? [], ended)))
    )
    world.running = "no"
  }
  const serving = (claim: Claim): Claim["mode"] => claim.mode === "adopted" ? "adopted" : "live"
  switch (decision._tag) {
    case "Stop":
      return bury(mine!.registrations, mine!.epoch)
    case "Bury":
      return bury(decision.registrations, decision.epoch)
    case "TakeOver": {
      const { epoch, from, registrations } = decision
      return write({ ...from, epoch, registrations, mode: "live", merged: [], successor: undefined }, "live")
    }
    case "Renew": {
      const { epoch, registrations } = decision
      return write({ ...mine!, epoch, registrations, mode: serving(mine!) }, "live")
    }
    case "GoLive":
      return write({ ...mine!, mode: "live" }, "live")
    case "Resume":
      return write({ ...mine!, epoch: decision.epoch, mode: serving(mine!) }, "live")
    case "Settle": {
      const { claim: theirs, section } = decision.winner
      world.entries.set(
        section,
        entry({
          ...theirs,
          epoch: view.highestEpoch + 1,
          registrations: union(theirs.registrations, mine!.registrations),
          merged: [...theirs.merged, idOf(held(self, mine!))]
        }, world.entries.get(section)?.tomb)
      )
      world.running = "frozen"
      return
    }
    case "Close":
      return write({ ...mine!, mode: "released", successor: view.claims[0]!.section }, "no")
    case "Erase":
      return write(undefined, "no")
  }
}

const serves = ({ claim }: Held): boolean => claim.mode === "live" || claim.mode === "adopted"

describe("decide, whatever is known", () => {
  const options = { arbitrary: { runs: 1000 } }

  it.prop("is the same for the same knowledge, in whatever order it is told", [anySituation], ([situation]) => {
    const world = worldOf(situation)
    const first = decideWorld(world)
    assert.deepStrictEqual(decideWorld(world), first)
    const turned = viewOf([...world.entries].reverse())
    assert.deepStrictEqual(decide(turned, world.entries.get(self), standingIn(world)), first)
  }, options)

  it.prop(
    "[H6] [H13] [H14] takes over only as the home, only what no present node runs",
    [anySituation],
    ([situation]) => {
      const world = worldOf(situation)
      const decision = decideWorld(world)
      if (decision?._tag !== "TakeOver" && decision?._tag !== "Bury") return
      const { claims } = viewOf(world.entries)
      assert.isTrue(world.home)
      assert.strictEqual(world.running, "no")
      assert.isFalse(
        claims.some((held) => serves(held) && !world.gone.has(held.section)),
        "a live copy of a present node"
      )
      const { claim: { mode, successor }, section } = claims[0]!
      if (mode !== "released" || world.gone.has(section)) return
      const goesOn = successor !== undefined && !world.gone.has(successor) && successor !== self
      assert.isFalse(goesOn, "one that its successor goes on with")
    },
    options
  )

  it.prop("[H5] [H16] [H17] gives higher epochs only, and loses no registration", [anySituation], ([situation]) => {
    const world = worldOf(situation)
    const decision = decideWorld(world)
    const view = viewOf(world.entries)
    if (decision === undefined || !("epoch" in decision)) return
    const mine = world.entries.get(self)?.claim
    if (decision._tag === "Bury") assert.strictEqual(decision.epoch, view.highestEpoch)
    else if (decision._tag === "Renew" && decision.epoch === mine!.epoch) {
      assert.isAbove(mine!.epoch, view.endedEpoch)
      assert.isAbove(decision.registrations.length, mine!.registrations.length)
    } else assert.strictEqual(decision.epoch, view.highestEpoch + 1)
    if (!("registrations" in decision)) return
    const carried = decision.registrations
    for (const { claim, section } of view.claims) {
      // those of a living copy stay in its own claim until it settles
      if (section !== self && !world.gone.has(section)) continue
      for (const registration of claim.registrations) assert.include(carried, registration)
    }
  }, options)

  it.prop("[H3] stops exactly what is covered", [anySituation], ([situation]) => {
    const world = worldOf(situation)
    const mine = world.entries.get(self)?.claim
    const ended = new Set([...world.entries.values()].flatMap(({ tomb }) => tomb?.registrations ?? []))
    const covered = mine !== undefined && mine.registrations.every((registration) => ended.has(registration))
    assert.strictEqual(decideWorld(world)?._tag === "Stop", covered)
  }, options)

  it.prop("[H7] [H10] erases and goes live only when that is safe", [anySituation], ([situation]) => {
    const world = worldOf(situation)
    const decision = decideWorld(world)
    const mine = world.entries.get(self)?.claim
    if (decision?._tag === "Erase") {
      assert.isFalse(world.running === "live" || world.running === "frozen")
      assert.isFalse(world.gone.has(decision.by.section))
      assert.isTrue(supersedes(decision.by, held(self, mine!)))
    }
    if (decision?._tag === "GoLive") {
      assert.strictEqual(world.running, "prepared")
      const from = world.from
      const source = from === undefined ? undefined : world.entries.get(from)?.claim
      assert.isTrue(from === undefined || world.gone.has(from) || source?.mode === "released")
    }
    if (decision?._tag === "Close" && world.running !== "prepared") {
      const [top] = viewOf(world.entries).claims
      assert.include(top!.claim.merged, idOf(held(self, mine!)))
    }
    if (decision?._tag === "Settle") {
      assert.isBelow(compareClaims(decision.winner, held(self, mine!)), 0)
      assert.isTrue(serves(decision.winner) && !world.gone.has(decision.winner.section))
    }
  }, options)

  it.prop("comes to rest when its decisions are carried out, within a few steps", [anySituation], ([situation]) => {
    const world = worldOf(situation)
    const trace: Array<string> = []
    for (let step = 0; step < 6; step++) {
      const decision = decideWorld(world)
      if (decision === undefined) return
      trace.push(decision._tag)
      perform(world, decision)
    }
    assert.fail(trace.join(", "))
  }, options)

  it.prop(
    "[H6] [H16] nodes that all know the same come to one live copy that carries every registration",
    [
      list(Schema.NullOr(anyEntry), 5, 5),
      int(0, 31),
      list(int(0, 4), 4, 12)
    ],
    ([any, gone, turns]) => {
      const start = worldOf({ entries: any, gone, home: false, from: 5 })
      // moves under way end by messages between two nodes; here none is
      for (const [section, { claim, tomb }] of start.entries) {
        if (claim?.mode === "prepared") start.entries.set(section, entry({ ...claim, mode: "live" }, tomb))
      }
      // the claim of a living successor is here as well, above, and for the same registrations: it was prepared from
      // the other before that was released
      for (const [section, { claim, tomb }] of start.entries) {
        const successor = claim?.successor
        if (claim === undefined || successor === undefined || start.gone.has(successor)) continue
        const next = start.entries.get(successor)?.claim
        const goesOn = next !== undefined && next.mode !== "released" &&
          supersedes(held(successor, next), held(section, claim))
        if (!goesOn) start.entries.set(section, entry({ ...claim, successor: undefined }, tomb))
      }
      const nodes = sectionIds.filter((id) => !start.gone.has(id) && !(id === "1/b" && start.entries.has("2/b")))
      const away = (id: string): boolean => !nodes.includes(id as never)
      const running = new Map<string, Standing["running"]>()
      for (const id of nodes) {
        const mode = start.entries.get(id)?.claim?.mode
        running.set(id, mode === undefined || mode === "released" ? "no" : "live")
      }
      const before = viewOf(start.entries)
      const home = nodes[turns[0]! % nodes.length]
      const entries = start.entries
      const schedule = turns.slice(1).map((turn) => nodes[turn % nodes.length]!)
      for (let quiet = 0, step = 0; quiet < nodes.length; step++) {
        assert.isBelow(step, 100, "never at rest")
        const acting = schedule[step] ?? nodes[step % nodes.length]!
        const view = viewOf(entries)
        const decision = decide(view, entries.get(acting), {
          self: acting,
          isGone: away,
          isHome: () => acting === home,
          running: running.get(acting)!,
          preparedFrom: undefined
        })
        if (decision === undefined) {
          if (step >= schedule.length) quiet++
          continue
        }
        quiet = 0
        performAs(acting, entries, running, decision)
      }
      const after = viewOf(entries)
      const living = after.claims.filter((held) => serves(held) && !away(held.section))
      assert.isAtMost(living.length, 1)
      for (const { claim, section } of living) {
        assert.strictEqual(running.get(section), "live")
        assert.isAbove(claim.epoch, after.endedEpoch)
        assert.strictEqual(after.claims[0]!.section, section)
      }
      // dead sections may go now: what had not ended stands in a living one, or ended for good with an adopted process
      const stands = after.claims.filter(({ section }) => !away(section))
      const carried = new Set([...stands.flatMap(({ claim }) => claim.registrations), ...after.tombed])
      for (const { claim } of before.claims) {
        for (const registration of claim.registrations) assert.isTrue(carried.has(registration), registration)
      }
    },
    options
  )
})

/** As `perform`, by any node. */
const performAs = (
  me: string,
  entries: Map<string, NameEntry>,
  running: Map<string, Standing["running"]>,
  decision: Decision
): void => {
  const swap = (id: string): string => id === me ? self : id === self ? me : id
  const world: World = {
    entries: new Map([...entries].map(([id, value]) => [swap(id), value])),
    running: running.get(me)!,
    gone: new Set(),
    home: false,
    from: undefined
  }
  if (decision._tag === "Settle") {
    const mine = entries.get(me)!.claim!
    const { claim: theirs, section } = decision.winner
    entries.set(
      section,
      entry({
        ...theirs,
        epoch: viewOf(entries).highestEpoch + 1,
        registrations: union(theirs.registrations, mine.registrations),
        merged: [...theirs.merged, idOf(held(me, mine))]
      }, entries.get(section)?.tomb)
    )
    running.set(me, "frozen")
    return
  }
  perform(world, decision)
  entries.set(me, world.entries.get(self)!)
  running.set(me, world.running)
}

it("sections of one node differ in the boot alone", () => assert.strictEqual(nodeOf("0/m"), nodeOf(self)))
