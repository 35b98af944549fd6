// Which news stands before which: claims instead of clocks, sections instead of registries, deltas instead of events.
import { assert, describe, it } from "@effect/vitest"
import {
  type Claim,
  compareClaims,
  decide,
  type Decision,
  type Held,
  type NameEntry,
  supersedes,
  union,
  viewOf
} from "../../src/protocol/claims.ts"
import { applyChange } from "../../src/protocol/extras.ts"
import { Replica } from "../../src/protocol/replica.ts"
import { claim, entry, held, released, tomb } from "./support.ts"

const [r1, r2] = ["1/1/a", "1/1/b"] as const

/** What a node does next: a start, a move or a merge is one epoch more. */
const event = ({ claim, section }: Held): Held => held(section, { ...claim, epoch: claim.epoch + 1 })

/** The winner takes the other in: above both, with the registrations of both. */
const join = (winner: Held, loser: Held): Held =>
  held(winner.section, {
    ...winner.claim,
    epoch: Math.max(winner.claim.epoch, loser.claim.epoch) + 1,
    registrations: union(winner.claim.registrations, loser.claim.registrations)
  })

const isBefore = (one: Held, other: Held): boolean => compareClaims(one, other) < 0

const areConcurrent = (one: Held, other: Held): boolean => !supersedes(one, other) && !supersedes(other, one)

describe("[P48] claims, as clocks", () => {
  const seed = held("1/a", claim(1, [r1]))
  const other = held("1/b", claim(1, [r2]))

  it("[P48] one that is copied is the same, and neither makes the other superfluous", () => {
    const copy = held(seed.section, { ...seed.claim })
    assert.strictEqual(compareClaims(seed, copy), 0)
    assert.isFalse(supersedes(seed, copy) || supersedes(copy, seed))
  })

  it("[P48] with one event more it stands before what it was, also as others know it", () => {
    assert.isTrue(isBefore(event(seed), seed) && supersedes(event(seed), seed))
    assert.isFalse(supersedes(seed, event(seed)))
    const known = JSON.parse(JSON.stringify(event(seed))) as Held
    assert.isTrue(supersedes(known, seed))
  })

  it("[P48] events on both sides, each with a registration that the other doesn't carry: neither is superfluous", () => {
    assert.isTrue(areConcurrent(event(seed), event(other)))
    assert.isTrue(areConcurrent(event(event(seed)), other), "however many more one side has")
    assert.notStrictEqual(compareClaims(event(seed), event(other)), 0, "and yet all agree which stands first")
  })

  it("[P48] joined they stand before both, and before what each does that hasn't heard of it yet", () => {
    const [x, y] = [event(event(seed)), event(other)]
    const joined = join(x, y)
    assert.isTrue(supersedes(joined, x) && supersedes(joined, y) && supersedes(joined, seed))
    assert.isFalse(supersedes(x, joined) || supersedes(y, joined))
    assert.isTrue(supersedes(event(joined), joined))
    assert.isFalse(areConcurrent(event(joined), y), "what comes after is beside nothing of before")
    assert.isFalse(areConcurrent(event(joined), x))
  })
})

// ---- sections

const nodes = (...sections: ReadonlyArray<string>) =>
  sections.map((section) => {
    const changes: Array<string> = []
    const replica = new Replica(section, (of, key, before, after) => {
      changes.push(`${of} ${key}: ${JSON.stringify(before)} > ${JSON.stringify(after)}`)
    })
    return { section, replica, changes }
  })
type Copy = ReturnType<typeof nodes>[number]

const sync = (to: Copy, from: Copy): void => {
  for (const delta of from.replica.deltasFor(to.replica.versions(), 1e9)) assert.isTrue(to.replica.apply(delta))
}

const contentOf = ({ replica }: Copy): unknown =>
  [...replica.sections()].sort().map((section) => [
    section,
    [...replica.keysOf(section)].sort().map((key) => [key, replica.get(section, key)])
  ])

describe("[P48] sections, as clocks", () => {
  it("[P48] two copies of the same are equal; written on both sides each lacks something; merged both have all", () => {
    const [a, b] = nodes("1/a", "1/b") as [Copy, Copy]
    a.replica.write("x", 1)
    sync(b, a)
    assert.strictEqual(a.replica.digestHash(), b.replica.digestHash())
    a.replica.write("x", 2)
    b.replica.write("y", 3)
    assert.notStrictEqual(a.replica.digestHash(), b.replica.digestHash())
    for (const [to, from] of [[a, b], [b, a]] as const) {
      assert.isNotEmpty(from.replica.deltasFor(to.replica.versions(), 1e9), "each lacks something")
    }
    sync(a, b)
    assert.deepStrictEqual(b.replica.deltasFor(a.replica.versions(), 1e9), [], "a has all")
    assert.isNotEmpty(a.replica.deltasFor(b.replica.versions(), 1e9))
    sync(b, a)
    assert.deepStrictEqual(contentOf(a), contentOf(b))
    assert.strictEqual(a.replica.digestHash(), b.replica.digestHash())
  })
})

// ---- what a node does about news of a name that it runs itself, or not

const self = "1/m"
const NAME = "name"

/** A node that holds a claim, or none, hears of others', one after the other. */
const hearing = (mine: Claim | undefined) => {
  const [m] = nodes(self) as [Copy]
  if (mine !== undefined) m.replica.write(NAME, entry(mine))
  let running: "live" | "no" = mine === undefined || mine.mode === "released" ? "no" : "live"
  const others = new Map<string, Copy>()
  const view = () =>
    viewOf(
      [...m.replica.sections()].flatMap((section): ReadonlyArray<readonly [string, NameEntry]> => {
        const known = m.replica.get(section, NAME) as NameEntry | undefined
        return known === undefined ? [] : [[section, known]]
      })
    )
  return {
    m,
    view,
    ends: () => void (running = "no"),
    hear: (section: string, said: NameEntry | undefined): void => {
      const other = others.get(section) ?? nodes(section)[0]!
      others.set(section, other)
      other.replica.write(NAME, said)
      sync(m, other)
    },
    decision: (): Decision | undefined =>
      decide(view(), m.replica.get(self, NAME) as NameEntry | undefined, {
        self,
        isGone: () => false,
        isHome: () => true,
        running,
        preparedFrom: undefined
      })
  }
}

const described = (epoch: number, regs: ReadonlyArray<string>, metadata: unknown, groups: ReadonlyArray<string> = []) =>
  claim(epoch, regs, { metadata, groups })

describe("[P49] news of a name, one at a time", () => {
  it("[P49] of one not known: it is added; the same again: nothing", () => {
    const node = hearing(undefined)
    node.hear("1/a", entry(described(1, [r1], "x")))
    assert.deepStrictEqual(node.view().claims.map(({ section }) => section), ["1/a"])
    const before = node.m.changes.length
    const again = nodes("1/a")[0]!
    again.replica.write(NAME, entry(described(1, [r1], "x")))
    sync(node.m, again)
    assert.strictEqual(node.m.changes.length, before)
    assert.isUndefined(node.decision())
  })

  const metadata: ReadonlyArray<readonly [string, ReadonlyArray<number>, number]> = [
    ["a later one replaces it", [1, 2, 3], 3],
    ["an earlier one, late, doesn't", [3], 3]
  ]
  it.each(metadata)("[P49] metadata of its holder: %s", (_, versions, expected) => {
    const node = hearing(undefined)
    const holder = nodes("1/a")[0]!
    const deltas = [1, 2, 3].map((metadata) => {
      const have = holder.replica.versions()
      holder.replica.write(NAME, entry(described(1, [r1], metadata)))
      return [metadata, holder.replica.deltasFor(have, 1e9)[0]!] as const
    })
    sync(node.m, holder)
    for (const [metadata, delta] of deltas) if (versions.includes(metadata)) node.m.replica.apply(delta)
    for (const [, delta] of [...deltas].reverse()) node.m.replica.apply(delta)
    assert.strictEqual(node.view().claims[0]!.claim.metadata, expected)
  })

  it("[P49] metadata of one that isn't registered: nothing to change, and nobody is added", () => {
    const node = hearing(undefined)
    assert.deepStrictEqual(node.view().claims, [])
    assert.isUndefined(node.decision())
    const joined = applyChange(described(1, [r1], "x"), { _tag: "Metadata", metadata: "y" })
    assert.deepStrictEqual(
      [joined.metadata, joined.epoch, joined.registrations],
      ["y", 1, [r1]],
      "a change starts nothing"
    )
  })

  it("[P49] [H28] set on both sides: whoever stays has its own metadata, and the groups of both", () => {
    const mine = described(2, [r1], "mine", ["red"])
    const theirs = described(3, [r1], "theirs", ["blue"])
    const node = hearing(mine)
    node.hear("1/a", entry(theirs))
    assert.deepStrictEqual(node.decision(), { _tag: "Settle", winner: held("1/a", theirs) })
    // as the winner writes it, having taken mine in
    const merged = { ...theirs, epoch: 4, groups: union(theirs.groups, mine.groups), merged: [`2/${self}`] }
    node.hear("1/a", entry(merged))
    assert.deepStrictEqual(node.decision(), { _tag: "Close" })
    const [top] = node.view().claims
    assert.deepStrictEqual([top!.claim.metadata, top!.claim.groups], ["theirs", ["blue", "red"]])
  })

  type Case = readonly [string, Claim | undefined, NameEntry, Decision["_tag"] | undefined]
  const cases: ReadonlyArray<Case> = [
    ["another holder, standing before mine: mine is settled", claim(1, [r1]), entry(claim(2, [r1])), "Settle"],
    ["another holder, standing behind mine: nothing", claim(2, [r1]), entry(claim(1, [r1])), undefined],
    ["an end of my registration: my copy stops", claim(1, [r1]), entry(undefined, tomb(1, [r1])), "Stop"],
    ["an end of mine from a higher epoch: it stops", claim(1, [r1]), entry(undefined, tomb(9, [r1])), "Stop"],
    [
      "an end of an earlier registration, below mine: nothing",
      claim(5, [r2]),
      entry(undefined, tomb(1, [r1])),
      undefined
    ],
    [
      "an end of an earlier one, above mine: mine goes above it",
      claim(1, [r2]),
      entry(undefined, tomb(9, [r1])),
      "Renew"
    ],
    ["an end of what nobody has: nothing", undefined, entry(undefined, tomb(1, [r1])), undefined]
  ]
  it.each(cases)("[P49] %s", (_, mine, said, expected) => {
    const node = hearing(mine)
    node.hear("1/a", said)
    assert.strictEqual(node.decision()?._tag, expected)
  })
})

describe("[P50] a full exchange", () => {
  it("[P50] adds what lacks, takes what is newer, and leaves what is older, or the same, as it is", () => {
    const [m, a] = nodes(self, "1/a") as [Copy, Copy]
    a.replica.write("same", 1)
    a.replica.write("newer", 1)
    sync(m, a)
    m.changes.length = 0
    a.replica.write("newer", 2)
    a.replica.write("lacking", 3)
    sync(m, a)
    assert.deepStrictEqual(m.changes, [`1/a newer: 1 > 2`, `1/a lacking: undefined > 3`])
    const older = nodes("1/a")[0]!
    older.replica.write("same", 0)
    for (const delta of older.replica.deltasFor(new Map(), 1e9)) assert.isTrue(m.replica.apply(delta))
    assert.strictEqual(m.changes.length, 2)
    assert.strictEqual(m.replica.get("1/a", "same"), 1)
  })

  it("[P50] what was sent before it, and comes after it, changes nothing", () => {
    const [m, a] = nodes(self, "1/a") as [Copy, Copy]
    const late = []
    for (let i = 0; i < 5; i++) {
      const have = a.replica.versions()
      a.replica.write(`key ${i % 2}`, i)
      late.push(...a.replica.deltasFor(have, 1e9))
    }
    sync(m, a)
    const before = JSON.stringify(contentOf(m))
    m.changes.length = 0
    for (const delta of late) assert.isTrue(m.replica.apply(delta))
    assert.deepStrictEqual([m.changes, JSON.stringify(contentOf(m))], [[], before])
  })

  it("[P50] with another copy on the other side: the one that stands behind settles, the other goes on", () => {
    for (const [mine, theirs, expected] of [[1, 2, "Settle"], [2, 1, undefined]] as const) {
      const node = hearing(claim(mine, [r1]))
      node.hear("1/a", entry(claim(theirs, [r2])))
      assert.strictEqual(node.decision()?._tag, expected)
    }
  })
})

describe("[P60] a peer's snapshot", () => {
  it("[P60] what the peer has no more goes from the copy, what came after it stays in order", () => {
    const [m, a] = nodes(self, "1/a") as [Copy, Copy]
    for (const key of ["gone", "kept", "back"]) a.replica.write(key, 1)
    sync(m, a)
    a.replica.write("gone", undefined)
    a.replica.write("back", undefined)
    a.replica.write("back", 2)
    const snapshot = a.replica.deltasFor(m.replica.versions(), 1e9)
    const have = a.replica.versions()
    a.replica.write("kept", 3)
    const later = a.replica.deltasFor(have, 1e9)
    // out of order: refused, as if it had not come
    for (const delta of later) assert.isFalse(m.replica.apply(delta))
    for (const delta of [...snapshot, ...later]) assert.isTrue(m.replica.apply(delta))
    assert.deepStrictEqual([...m.replica.keysOf("1/a")].sort(), ["back", "kept"])
    assert.deepStrictEqual([m.replica.get("1/a", "back"), m.replica.get("1/a", "kept")], [2, 3])
  })

  it("[P60] a released copy that is erased goes everywhere, and comes back from nobody", () => {
    const [m, a, b] = nodes(self, "1/a", "1/b") as [Copy, Copy, Copy]
    a.replica.write(NAME, entry(released(1, [r1], "1/b")))
    b.replica.write(NAME, entry(claim(2, [r1])))
    for (const from of [a, b]) sync(m, from)
    sync(b, a)
    a.replica.write(NAME, undefined)
    sync(m, a)
    // b still has the old one
    sync(m, b)
    assert.deepStrictEqual([m.replica.get("1/a", NAME), [...m.replica.keysOf("1/a")]], [undefined, []])
    sync(b, m)
    assert.deepStrictEqual([...b.replica.keysOf("1/a")], [])
  })
})

describe("[P61] a replicated map", () => {
  it("[P61] one way: the other has nothing of mine until it asks; a third gets both from either", () => {
    const [a, b, c] = nodes("1/a", "1/b", "1/c") as [Copy, Copy, Copy]
    a.replica.write("of a", 1)
    b.replica.write("of b", 2)
    sync(b, a)
    assert.deepStrictEqual([...a.replica.sections()], ["1/a"])
    sync(c, b)
    assert.deepStrictEqual([c.replica.get("1/a", "of a"), c.replica.get("1/b", "of b")], [1, 2])
  })

  it("[P61] of several values the last is read; one written again after it was erased is there", () => {
    const [a, b] = nodes("1/a", "1/b") as [Copy, Copy]
    for (const value of [1, 2, 3]) a.replica.write("x", value)
    a.replica.write("y", 1)
    a.replica.write("y", undefined)
    sync(b, a)
    assert.deepStrictEqual([b.replica.get("1/a", "x"), b.replica.get("1/a", "y")], [3, undefined])
    a.replica.write("y", 4)
    sync(b, a)
    assert.strictEqual(b.replica.get("1/a", "y"), 4)
  })

  it("[P61] equal values under several keys, and of several nodes, are each their own", () => {
    const [a, b] = nodes("1/a", "1/b") as [Copy, Copy]
    for (const key of ["x", "y"]) {
      a.replica.write(key, "same")
      b.replica.write(key, "same")
    }
    sync(a, b)
    b.replica.write("x", undefined)
    sync(a, b)
    assert.deepStrictEqual([a.replica.get("1/a", "x"), a.replica.get("1/b", "x"), a.replica.get("1/b", "y")], [
      "same",
      undefined,
      "same"
    ])
  })

  it("[P61] each change is told once, as it is applied, with what was there before", () => {
    const [a, b] = nodes("1/a", "1/b") as [Copy, Copy]
    a.replica.write("x", 1)
    sync(b, a)
    a.replica.write("x", 2)
    a.replica.write("x", 3)
    a.replica.write("y", 4)
    sync(b, a)
    sync(b, a)
    assert.deepStrictEqual(b.changes, ["1/a x: undefined > 1", "1/a x: 1 > 3", "1/a y: undefined > 4"])
  })
})

describe("[P62] deltas", () => {
  it("[P62] from the future are refused; whatever comes, no version ever falls", () => {
    const [m, a] = nodes(self, "1/a") as [Copy, Copy]
    const deltas = []
    for (let i = 0; i < 6; i++) {
      const have = a.replica.versions()
      a.replica.write(`key ${i % 3}`, i)
      deltas.push(...a.replica.deltasFor(have, 1e9))
    }
    let before = 0
    for (const order of [[3, 0, 5, 1, 0, 2, 4, 3, 1, 5], [4, 5, 0]]) {
      for (const i of order) {
        const isNext = deltas[i]!.from <= m.replica.version("1/a")
        assert.strictEqual(m.replica.apply(deltas[i]!), isNext)
        assert.isAtLeast(m.replica.version("1/a"), before)
        before = m.replica.version("1/a")
      }
    }
    sync(m, a)
    assert.deepStrictEqual([0, 1, 2].map((i) => m.replica.get("1/a", `key ${i}`)), [3, 4, 5])
  })

  it("[P62] a node that is dead is still told of by those that know it; one that was dropped is taken in again once that is void", () => {
    const [a, b, c] = nodes("1/a", "1/b", "1/c") as [Copy, Copy, Copy]
    a.replica.write("x", 1)
    sync(b, a)
    // a is gone from here on
    sync(c, b)
    assert.strictEqual(c.replica.get("1/a", "x"), 1)
    b.replica.bury("1/a")
    assert.deepStrictEqual([b.replica.version("1/a"), b.replica.get("1/a", "x")], [0, undefined])
    sync(b, c)
    assert.strictEqual(b.replica.version("1/a"), 0, "not by who hasn't heard that it was")
    b.replica.exhume("1/a")
    sync(b, c)
    assert.strictEqual(b.replica.get("1/a", "x"), 1)
  })
})
