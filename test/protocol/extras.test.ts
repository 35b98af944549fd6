// What few processes have: how a holder changes its claim, which failures linked processes follow, when timers fire.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Claim } from "../../src/protocol/claims.ts"
import {
  applyChange,
  type Change,
  type Extras,
  extrasOf,
  failureToFollow,
  type Link,
  nextAt,
  NO_EXTRAS,
  type Timer,
  withExtras
} from "../../src/protocol/extras.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { claim, int, list } from "./support.ts"

const word = Schema.Literals(["", "a", "b", "c", "日本", "__proto__"])

const anyTimer = Schema.Struct({
  id: word,
  atMs: int(0, 1000),
  everyMs: Schema.UndefinedOr(int(10, 1000)),
  tag: word,
  payload: Schema.NullOr(word)
})

const anyLink = Schema.Struct({
  strategy: Schema.Literals(["one_for_all", "rest_for_one"]),
  names: list(word, 0, 3),
  stamp: int(0, 9)
})

const anyChange: Schema.Codec<Change> = Schema.Union([
  Schema.TaggedStruct("Join", { group: word }),
  Schema.TaggedStruct("Leave", { group: word }),
  Schema.TaggedStruct("Alias", { alias: word }),
  Schema.TaggedStruct("Unalias", { alias: word }),
  Schema.TaggedStruct("Metadata", { metadata: Schema.UndefinedOr(word) }),
  Schema.TaggedStruct("SetTimer", { timer: anyTimer }),
  Schema.TaggedStruct("ClearTimer", { id: word }),
  Schema.TaggedStruct("Link", { link: Schema.UndefinedOr(anyLink) }),
  Schema.TaggedStruct("Renew", {})
])

const fresh = claim(1, ["1/a"])
const apply = (changes: ReadonlyArray<Change>, to: Claim = fresh): Claim => changes.reduce(applyChange, to)

/** Nobody may change a claim: it is shared with what is on its way to other nodes. */
const frozen = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) frozen(part)
  }
  return value
}

const timer = (id: string, atMs = 1): Timer => ({ id, atMs, everyMs: undefined, tag: "Tick", payload: null })
const link = (names: ReadonlyArray<string>, stamp = 0, strategy: Link["strategy"] = "one_for_all"): Link => ({
  strategy,
  names,
  stamp
})

describe("applyChange", () => {
  const joined = claim(1, ["1/a"], { groups: ["g", "h"] })
  const rich = withExtras(fresh, { aliases: ["x", "y"], timers: [timer("s"), timer("t")], link: link(["a", "b"]) })
  const extrasAfter = (change: Change): Extras => extrasOf(applyChange(rich, change))

  const cases: ReadonlyArray<readonly [string, Change, Claim, Partial<Claim>]> = [
    ["joins at the end", { _tag: "Join", group: "i" }, joined, { groups: ["g", "h", "i"] }],
    ["leaves", { _tag: "Leave", group: "g" }, joined, { groups: ["h"] }],
    ["sets metadata", { _tag: "Metadata", metadata: { a: 1 } }, joined, { metadata: { a: 1 } }],
    ["takes metadata away", { _tag: "Metadata", metadata: undefined }, { ...joined, metadata: 1 }, {
      metadata: undefined
    }]
  ]
  it.each(cases)("%s, and leaves the rest as it is", (_, change, before, after) => {
    assert.deepStrictEqual(applyChange(before, change), { ...before, ...after })
  })

  const extraCases: ReadonlyArray<readonly [string, Change, Partial<Extras>]> = [
    ["one more alias", { _tag: "Alias", alias: "z" }, { aliases: ["x", "y", "z"] }],
    ["one alias less", { _tag: "Unalias", alias: "x" }, { aliases: ["y"] }],
    ["a timer", { _tag: "SetTimer", timer: timer("u") }, { timers: [timer("s"), timer("t"), timer("u")] }],
    ["a timer in place of one with its id", { _tag: "SetTimer", timer: timer("s", 9) }, {
      timers: [timer("t"), timer("s", 9)]
    }],
    ["a timer less", { _tag: "ClearTimer", id: "t" }, { timers: [timer("s")] }],
    ["another link", { _tag: "Link", link: link(["a", "c"], 7) }, { link: link(["a", "c"], 7) }],
    ["no link", { _tag: "Link", link: undefined }, { link: undefined }]
  ]
  it.each(extraCases)("%s", (_, change, after) => {
    assert.deepStrictEqual(extrasAfter(change), { ...extrasOf(rich), ...after })
    assert.deepStrictEqual({ ...applyChange(rich, change), extras: undefined }, { ...rich, extras: undefined })
  })

  const nothings: ReadonlyArray<Change> = [
    { _tag: "Join", group: "g" },
    { _tag: "Leave", group: "i" },
    { _tag: "Alias", alias: "x" },
    { _tag: "Unalias", alias: "z" },
    { _tag: "ClearTimer", id: "u" },
    { _tag: "Renew" }
  ]
  it.each(nothings)("%j is no change: the same object", (change) => {
    const both = { ...rich, groups: joined.groups }
    assert.strictEqual(applyChange(both, change), both)
  })

  it("the last extra to go takes the extras with it", () => {
    const steps: ReadonlyArray<readonly [Change, Change]> = [
      [{ _tag: "Alias", alias: "x" }, { _tag: "Unalias", alias: "x" }],
      [{ _tag: "SetTimer", timer: timer("t") }, { _tag: "ClearTimer", id: "t" }],
      [{ _tag: "Link", link: link(["a"]) }, { _tag: "Link", link: undefined }]
    ]
    for (const [there, back] of steps) {
      assert.isDefined(applyChange(fresh, there).extras)
      assert.deepStrictEqual(apply([there, back]), fresh)
    }
  })

  it.prop("twice is once; what was given is never changed", [list(anyChange, 0, 12), anyChange], ([before, change]) => {
    const start = frozen(apply(before.map(frozen), frozen({ ...fresh })))
    const once = frozen(applyChange(start, frozen(change)))
    assert.deepStrictEqual(applyChange(once, change), once)
  })

  it.prop(
    "names nothing twice, keeps at most one timer of each id, and no extras that are none",
    [list(anyChange, 0, 25)],
    ([changes]) => {
      const { extras, groups } = apply(changes)
      assert.strictEqual(new Set(groups).size, groups.length)
      const { aliases, timers } = extras ?? NO_EXTRAS
      assert.strictEqual(new Set(aliases).size, aliases.length)
      assert.strictEqual(new Set(timers.map(({ id }) => id)).size, timers.length)
      if (extras !== undefined) assert.notDeepEqual(extras, NO_EXTRAS)
    }
  )

  it.prop(
    "what one change does, the one that undoes it takes back",
    [list(anyChange, 0, 8), word],
    ([before, name]) => {
      const start = apply(before)
      const pairs: ReadonlyArray<readonly [Change, Change]> = [
        [{ _tag: "Join", group: name }, { _tag: "Leave", group: name }],
        [{ _tag: "Alias", alias: name }, { _tag: "Unalias", alias: name }],
        [{ _tag: "SetTimer", timer: timer(name) }, { _tag: "ClearTimer", id: name }]
      ]
      for (const [there, back] of pairs) {
        const without = applyChange(start, back)
        assert.deepStrictEqual(apply([there, back], without), without)
      }
    }
  )
})

describe("withExtras", () => {
  it("a claim without any carries none", () => {
    assert.isUndefined(withExtras(fresh, {}).extras)
    assert.isUndefined(withExtras({ ...fresh, extras: NO_EXTRAS }, {}).extras)
    const full: Extras = {
      aliases: ["x"],
      timers: [timer("t")],
      leaseMs: 5,
      link: link(["a"]),
      isDown: true,
      replicas: { epoch: 2, seq: 1, nodes: ["1/a"], after: ["1/1/b"] }
    }
    assert.deepStrictEqual(withExtras(fresh, full).extras, full)
    assert.isUndefined(withExtras({ ...fresh, extras: full }, NO_EXTRAS).extras)
  })

  it.each<Partial<Extras>>([
    { aliases: [""] },
    { timers: [timer("")] },
    { leaseMs: 0 },
    { link: link([]) },
    { isDown: true },
    { replicas: { epoch: 1, seq: 0, nodes: [], after: [] } }
  ])("%j alone is kept, and nothing else made up", (one) => {
    assert.deepStrictEqual(withExtras(fresh, one).extras, { ...NO_EXTRAS, ...one })
    assert.deepStrictEqual(extrasOf(withExtras(fresh, one)), { ...NO_EXTRAS, ...one })
  })

  it("a claim without the field has no extras", () => assert.strictEqual(extrasOf({}), NO_EXTRAS))
})

describe("failureToFollow", () => {
  const names = ["a", "b", "c"]
  /** What each of three would follow, at these stamps. */
  const followed = (strategy: Link["strategy"], ...stamps: ReadonlyArray<number | undefined>) =>
    names.map((name, i) =>
      failureToFollow(name, link(names, stamps[i] ?? 0, strategy), (other) => stamps[names.indexOf(other)])
    )

  it("one_for_all: all come to the highest stamp, whoever has it", () => {
    assert.deepStrictEqual(followed("one_for_all", 0, 0, 0), [undefined, undefined, undefined])
    assert.deepStrictEqual(followed("one_for_all", 5, 0, 3), [undefined, 5, 5])
    assert.deepStrictEqual(followed("one_for_all", 0, 0, 7), [7, 7, undefined])
    assert.deepStrictEqual(followed("one_for_all", 4, 4, 4), [undefined, undefined, undefined])
  })

  it("rest_for_one: only what stands before counts", () => {
    assert.deepStrictEqual(followed("rest_for_one", 5, 0, 3), [undefined, 5, 5])
    assert.deepStrictEqual(followed("rest_for_one", 0, 0, 7), [undefined, undefined, undefined])
    assert.deepStrictEqual(followed("rest_for_one", 0, 7, 0), [undefined, undefined, 7])
    assert.deepStrictEqual(followed("rest_for_one", 2, 9, 4), [undefined, undefined, 9])
  })

  it("what isn't known isn't followed, and a link of one follows nobody", () => {
    assert.deepStrictEqual(followed("one_for_all", undefined, undefined, undefined), [undefined, undefined, undefined])
    assert.isUndefined(failureToFollow("a", link(["a"], 0), () => 99))
    assert.isUndefined(failureToFollow("a", link([], 0), () => 99))
  })

  // ---- many processes, each with its own, late and unordered knowledge of the others

  interface Linked {
    stamp: number
    restarts: number
    readonly known: Map<string, number>
  }

  /** Crashes and messages in random order, some lost; then all is told over and over, until it is quiet. */
  const simulate = (strategy: Link["strategy"], size: number, crashes: number, seed: number) => {
    const random = seededRandom(seed)
    const members = Array.from({ length: size }, (_, i) => `p${i}`)
    const processes = new Map<string, Linked>(
      members.map((name) => [name, { stamp: 0, restarts: 0, known: new Map() }])
    )
    const messages: Array<readonly [to: string, from: string, stamp: number]> = []
    const any = <A>(items: ReadonlyArray<A>): A => items[Math.floor(random() * items.length)]!
    let clock = 0
    let failures = 0
    const restart = (name: string, stamp: number): void => {
      const self = processes.get(name)!
      self.stamp = stamp
      self.restarts++
      for (const to of members) if (to !== name) messages.push([to, name, stamp])
    }
    const look = (name: string): void => {
      const { known, stamp } = processes.get(name)!
      const failure = failureToFollow(name, link(members, stamp, strategy), (other) => known.get(other))
      if (failure !== undefined) restart(name, failure)
    }
    const deliver = (isLost: boolean): void => {
      const [to, from, stamp] = messages.splice(Math.floor(random() * messages.length), 1)[0]!
      const { known } = processes.get(to)!
      // what is known of one only grows, as a claim's epoch does
      if (!isLost) known.set(from, Math.max(known.get(from) ?? 0, stamp))
      if (!isLost) look(to)
    }
    while (failures < crashes) {
      if (messages.length > 0 && random() < 0.8) deliver(random() < 0.2)
      else {
        failures++
        restart(any(members), ++clock)
      }
    }
    const restarts = (): number => [...processes.values()].reduce((sum, one) => sum + one.restarts, 0)
    const before = restarts()
    let rounds = 0
    for (let quiet = false; !quiet; rounds++) {
      assert.isBelow(rounds, 50, "they restart for ever")
      const seen = restarts()
      for (const [from, { stamp }] of processes) {
        for (const to of members) if (to !== from) messages.push([to, from, stamp])
      }
      while (messages.length > 0) deliver(false)
      quiet = restarts() === seen
    }
    return { stamps: members.map((name) => processes.get(name)!.stamp), total: restarts(), before, clock }
  }

  it.prop(
    "one_for_all: all come to the stamp of the last crash, and nobody restarts for ever",
    [int(1, 7), int(0, 12), int(0, 1e9)],
    ([size, crashes, seed]) => {
      const { before, clock, stamps, total } = simulate("one_for_all", size, crashes, seed)
      assert.deepStrictEqual(stamps, stamps.map(() => clock))
      assert.isAtMost(total, crashes * size, "a crash restarts each once at most")
      assert.isAtMost(total - before, (size - 1) * Math.max(1, crashes))
    }
  )

  it.prop(
    "rest_for_one: each comes to the last crash of itself and those before it, never of one behind",
    [int(1, 7), int(0, 12), int(0, 1e9)],
    ([size, crashes, seed]) => {
      const { clock, stamps, total } = simulate("rest_for_one", size, crashes, seed)
      assert.strictEqual(stamps.at(-1), clock, "the last one follows every crash")
      assert.deepStrictEqual(stamps, stamps.toSorted((a, b) => a - b))
      assert.isAtMost(total, crashes * size)
    }
  )
})

describe("nextAt", () => {
  const cases: ReadonlyArray<readonly [string, number, number, number, number]> = [
    ["still to come", 1000, 100, 0, 1000],
    ["due now: one period on", 1000, 100, 1000, 1100],
    ["just before", 1000, 100, 999, 1000],
    ["within a period", 1000, 100, 1001, 1100],
    ["at the end of a period", 1000, 100, 1099, 1100],
    ["on a multiple", 1000, 100, 1100, 1200],
    ["long after: nothing is made up for", 1000, 100, 9_999_950, 10_000_000],
    ["a period that never ends", 1000, Infinity, 2000, Infinity]
  ]
  it.each(cases)(
    "%s",
    (_, atMs, everyMs, nowMs, expected) => assert.strictEqual(nextAt(atMs, everyMs, nowMs), expected)
  )

  const millis = int(0, 2 ** 41)
  it.prop(
    "is after now, at most one period after it, and on the timer's own beat",
    [millis, int(1, 1e9), millis],
    ([atMs, everyMs, nowMs]) => {
      const next = nextAt(atMs, everyMs, nowMs)
      assert.isTrue(next > nowMs)
      assert.isTrue(next >= atMs)
      assert.isTrue(next === atMs || next <= nowMs + everyMs)
      assert.strictEqual((next - atMs) % everyMs, 0)
    }
  )

  it.prop(
    "goes on without a gap, however often it is asked",
    [millis, int(1, 1e6), int(0, 1e7)],
    ([atMs, everyMs, late]) => {
      const first = nextAt(atMs, everyMs, atMs + late)
      assert.strictEqual(nextAt(atMs, everyMs, first - 1), first)
      assert.strictEqual(nextAt(first, everyMs, first), first + everyMs)
      assert.strictEqual(nextAt(atMs, everyMs, first), first + everyMs)
    }
  )
})
