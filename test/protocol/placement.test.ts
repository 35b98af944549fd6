// Where a name lives: the same on every node, evenly, and with as few moves as can be; and only where it may.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Placement from "../../src/Placement.ts"
import { hash32 } from "../../src/protocol/hash.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import { int, list, text } from "./support.ts"

type Candidate = Placement.Candidate

const node = (id: string, labels: Readonly<Record<string, string>> = {}, load = 0): Candidate => ({
  id,
  labels,
  hash: hash32(id),
  load
})
const nodes = (...ids: ReadonlyArray<string>): Array<Candidate> => ids.map((id) => node(id))
const heavy = (id: string, weight: string): Candidate => node(id, { weight })
const numbered = (count: number): Array<Candidate> => nodes(...Array.from({ length: count }, (_, i) => `node-${i}`))
const names = Array.from({ length: 10_000 }, (_, i) => `name-${i}`)
const idOf = (placement: Placement.Placement, name: string, among: ReadonlyArray<Candidate>): string | undefined =>
  placement.pick(name, among)?.id
const ids = (some: ReadonlyArray<Candidate>): Array<string> => some.map(({ id }) => id)

const countsOf = (placement: Placement.Placement, among: ReadonlyArray<Candidate>): Map<string, number> => {
  const counts = new Map(among.map(({ id }) => [id, 0]))
  for (const name of names) {
    const id = idOf(placement, name, among)!
    counts.set(id, counts.get(id)! + 1)
  }
  return counts
}

/** Which nodes a placement accepts, by what it picks for many names; and, by `allows`, leaves a name on. */
const accepted = (placement: Placement.Placement, among: ReadonlyArray<Candidate>): Array<string | undefined> => {
  const picked = new Set(names.slice(0, 500).map((name) => idOf(placement, name, among)))
  const allowed = among.filter((one) => placement.allows?.("x", one) ?? true).map(({ id }) => id)
  assert.deepStrictEqual([...picked].filter((id) => id !== undefined).sort(), allowed.sort(), placement.name)
  return [...picked].sort()
}

/** Whose choice is a pure function of name and candidates. */
const pure: ReadonlyArray<readonly [string, Placement.Placement]> = [
  ["rendezvous", Placement.rendezvous],
  ["weighted", Placement.weighted()],
  ["weighted by a function", Placement.weighted(({ id }) => id.length + 1, "length")],
  ["ring", Placement.ring()],
  ["a small ring", Placement.ring({ points: 3 })],
  ["boundedLoads", Placement.boundedLoads()],
  ["leastLoaded", Placement.leastLoaded],
  ["random without a context", Placement.random],
  ["preferLocal without a context", Placement.preferLocal(Placement.ring())],
  ["where", Placement.where("short", ({ id }) => id.length < 4, Placement.ring())],
  ["labels", Placement.labels({ weight: ["1", "2"] }, Placement.weighted())],
  ["deny", Placement.deny(["a*"])],
  ["quorum", Placement.quorum(3)],
  ["spread on nodes", Placement.spread({ of: (name) => ({ key: "k", index: name.length }) })],
  ["spread on labels", Placement.spread({ across: "weight", of: (name) => ({ key: "k", index: name.length }) })],
  ["pin", Placement.pin((name) => name.length > 3 ? undefined : "a", Placement.ring())],
  ["all at once", Placement.quorum(2, Placement.deny([/^b/], Placement.labels({ weight: ["1", "2", "3"] })))]
]

const someNodes = Schema.Array(Schema.Struct({
  id: Schema.Union([Schema.Literals(["a", "b", "c", "aa", "ab"]), text]),
  weight: Schema.UndefinedOr(Schema.Literals(["0", "0.5", "1", "2", "3", "-1", "many"])),
  load: int(0, 5)
})).check(Schema.isBetweenLength(0, 8))

const candidatesOf = (drawn: (typeof someNodes)["Type"]): Array<Candidate> => [
  ...new Map(drawn.map(({ id, load, weight }) => [id, node(id, weight === undefined ? {} : { weight }, load)])).values()
]

describe("[P90] what every placement is", () => {
  for (const [name, placement] of pure) {
    it.prop(
      `${name}: the same whatever the order of candidates; a member of them; none of none`,
      [text, someNodes, int(0, 7)],
      ([key, drawn, turn]) => {
        const candidates = candidatesOf(drawn)
        const picked = idOf(placement, key, candidates)
        const at = candidates.length === 0 ? 0 : turn % candidates.length
        assert.strictEqual(idOf(placement, key, [...candidates.slice(at), ...candidates.slice(0, at)]), picked)
        assert.strictEqual(idOf(placement, key, candidates.toReversed()), picked)
        assert.isTrue(picked === undefined || ids(candidates).includes(picked))
        assert.strictEqual(placement.pick(key, []), undefined)
      }
    )
  }

  it("names what it is made of: two that place differently have different names", () => {
    const different = [
      ...pure.map(([, { name }]) => name),
      ...[Placement.weighted(() => 1, "one"), Placement.boundedLoads({ epsilon: 1 }), Placement.label("a", "b")]
        .map(({ name }) => name),
      Placement.allow(["a*"]).name,
      Placement.allow([/a*/]).name,
      Placement.allow([{ zone: "a*" }]).name
    ]
    assert.strictEqual(new Set(different).size, different.length)
  })
})

describe("[P85] [P86] [D16] golden vectors", () => {
  const five = [
    heavy("node-1", "1"),
    heavy("node-2", "2"),
    heavy("node-3", "0.5"),
    node("node-4"),
    heavy("ノード", "4")
  ]
  /** Name, and who has it by rendezvous, by weight, on the ring, on a ring of 16 points. */
  const golden: ReadonlyArray<readonly [string, string, string, string, string]> = [
    ["", "node-1", "node-2", "node-1", "node-4"],
    ["a", "node-1", "node-1", "node-1", "ノード"],
    ["visits", "ノード", "ノード", "node-2", "node-2"],
    ["user:1", "ノード", "ノード", "ノード", "ノード"],
    ["user:2", "node-2", "node-2", "ノード", "node-3"],
    ["user:3", "node-2", "node-2", "node-3", "node-4"],
    ["naïve", "node-1", "ノード", "node-2", "ノード"],
    ["日本語", "node-1", "node-1", "node-2", "node-2"],
    ["😀", "node-4", "node-4", "node-2", "node-2"],
    ["x".repeat(512), "node-2", "node-2", "node-2", "node-1"]
  ]
  it.each(golden)("%j lives alike everywhere", (name, byRendezvous, byWeight, onRing, onSmallRing) => {
    assert.strictEqual(idOf(Placement.rendezvous, name, five), byRendezvous)
    assert.strictEqual(idOf(Placement.weighted(), name, five), byWeight)
    assert.strictEqual(idOf(Placement.ring(), name, five), onRing)
    assert.strictEqual(idOf(Placement.ring({ points: 16 }), name, five), onSmallRing)
  })
})

describe("[P85] few moves", () => {
  const byHash = pure.slice(0, 5)
  for (const [name, placement] of byHash) {
    it.prop(
      `${name}: one that comes only gains, one that goes only loses`,
      [someNodes, text, Schema.Literals(["0", "1", "2.5"]), list(text, 1, 30)],
      ([drawn, id, weight, keys]) => {
        const less = candidatesOf(drawn).filter((one) => one.id !== id)
        const more = [...less, heavy(id, weight)]
        for (const key of keys) {
          const [before, after] = [idOf(placement, key, less), idOf(placement, key, more)]
          if (before !== after) assert.strictEqual(after, id)
        }
      }
    )
  }

  it.prop(
    "weighted, ring: more weight for one moves names only to it, less only away from it",
    [someNodes, Schema.Literals(["0", "0.3", "1", "2"]), Schema.Literals(["0.5", "3"]), list(text, 1, 30)],
    ([drawn, weight, more, keys]) => {
      const others = candidatesOf(drawn).filter(({ id }) => id !== "n")
      const grown = Number(weight) < Number(more) ? [weight, more] : [more, weight]
      const [light, loaded] = grown.map((one) => [...others, heavy("n", one)])
      for (const placement of [Placement.weighted(), Placement.ring()]) {
        for (const key of keys) {
          const [before, after] = [idOf(placement, key, light!), idOf(placement, key, loaded!)]
          if (before !== after) assert.strictEqual(after, "n", placement.name)
        }
      }
    }
  )
})

describe("[P85] [D18] shares", () => {
  // five standard deviations of a fair draw: names and ids are fixed, so it holds always or never
  const isFair = (count: number, share: number): boolean =>
    Math.abs(count - names.length * share) <= 5 * Math.sqrt(names.length * share * (1 - share))

  it("weighted: 10,000 names in proportion to the weights", () => {
    const weights: Readonly<Record<string, number>> = { a: 1, b: 2, c: 0.5, d: 4, e: 2.5 }
    const five = Object.entries(weights).map(([id, weight]) => heavy(id, String(weight)))
    for (const placement of [Placement.weighted(), Placement.weighted(({ id }) => weights[id]!, "table")]) {
      for (const [id, count] of countsOf(placement, five)) {
        assert.isTrue(isFair(count, weights[id]! / 10), `${placement.name} ${id}: ${count}`)
      }
    }
  })

  it("weighted: those that tie are ordered by id, in whatever order they come", () => {
    const same = ["b", "a", "c"].map((id): Candidate => ({ id, labels: { weight: "2" }, hash: 7, load: 0 }))
    for (const among of [same, same.toReversed()]) {
      assert.isTrue(names.slice(0, 50).every((name) => idOf(Placement.weighted(), name, among) === "a"))
    }
  })

  it("weighted: equal weights of any size are even, and extreme ones don't lose their proportion", () => {
    for (const [, count] of countsOf(Placement.weighted(() => 1e-6, "tiny"), numbered(5))) {
      assert.isTrue(isFair(count, 0.2), `${count}`)
    }
    const counts = countsOf(Placement.weighted(), [heavy("a", "1e9"), heavy("b", "1e9"), heavy("c", "1")])
    assert.isTrue(isFair(counts.get("a")!, 0.5) && counts.get("c")! < 3, JSON.stringify([...counts]))
  })

  it("weighted, ring: weight 0 takes none, all at 0 have none, nonsense counts as 1", () => {
    for (const placement of [Placement.weighted(), Placement.ring()]) {
      const counts = countsOf(placement, [heavy("a", "0"), heavy("b", "1"), heavy("c", "-2"), heavy("d", "much")])
      assert.strictEqual(counts.get("a"), 0, placement.name)
      assert.isTrue([...counts].every(([id, count]) => id === "a" || count > 2500), JSON.stringify([...counts]))
      assert.strictEqual(placement.pick("x", [heavy("a", "0"), heavy("b", "0")]), undefined, placement.name)
    }
  })

  it("ring: roughly even, and roughly by weight", () => {
    for (const [id, count] of countsOf(Placement.ring(), numbered(5))) {
      assert.isTrue(count > 1400 && count < 2600, `${id}: ${count}`)
    }
    const counts = countsOf(Placement.ring(), [heavy("a", "3"), heavy("b", "1")])
    assert.isTrue(counts.get("a")! > 6500 && counts.get("a")! < 8500, `${counts.get("a")}`)
  })
})

describe("[P86] [D16] ring", () => {
  it("one node has everything; a ring of one point works", () => {
    assert.isTrue([...countsOf(Placement.ring(), nodes("only")).values()].every((count) => count === names.length))
    const tiny = Placement.ring({ points: 1 })
    assert.isTrue(names.every((name) => idOf(tiny, name, nodes("a", "b")) !== undefined))
  })

  it("[P86] points that collide go to the lowest id, in whatever order nodes come", () => {
    const same = ["b", "a", "c"].map((id): Candidate => ({ id, labels: {}, hash: 7, load: 0 }))
    for (const among of [same, same.toReversed(), [same[1]!, same[0]!, same[2]!]]) {
      const ring = Placement.ring()
      assert.isTrue(names.slice(0, 200).every((name) => idOf(ring, name, among) === "a"))
    }
    // one of them beside others: it counts once
    const beside = [...same, node("z")]
    const counts = countsOf(Placement.ring(), beside)
    assert.strictEqual(counts.get("b")! + counts.get("c")!, 0)
    assert.deepStrictEqual([...countsOf(Placement.ring(), beside.toReversed())].sort(), [...counts].sort())
  })

  /** Candidates that say how often their labels were looked at: a ring looks once for each that it is made of. */
  const watched = (): { readonly candidates: Array<Candidate>; readonly looks: () => number } => {
    let looks = 0
    const candidates = nodes("a", "b", "c").map(({ hash, id }): Candidate => ({
      id,
      hash,
      load: 0,
      get labels() {
        looks++
        return { role: "worker" }
      }
    }))
    return { candidates, looks: () => looks }
  }

  it.each([
    ["alone", Placement.ring()],
    ["behind labels", Placement.labels({ role: "worker" }, Placement.ring())],
    ["behind label", Placement.label("role", "worker", Placement.ring())],
    ["behind allow and deny", Placement.allow(["*"], Placement.deny([{ role: "idle" }], Placement.ring()))],
    ["behind a quorum", Placement.quorum(2, Placement.labels({ role: ["worker"] }, Placement.ring()))],
    ["behind a pin", Placement.pin(() => undefined, Placement.ring())]
  ])("[D16] is made once for one array of candidates: %s", (_, placement) => {
    const { candidates, looks } = watched()
    placement.pick("first", candidates)
    const before = looks()
    assert.isTrue(before > 0)
    for (const name of names.slice(0, 100)) placement.pick(name, candidates)
    assert.strictEqual(looks(), before)
    placement.pick("another array", [...candidates])
    assert.isTrue(looks() > before)
  })

  it("answers for the candidates that it is given, however often they change in turn", () => {
    const ring = Placement.ring()
    const [two, three] = [nodes("a", "b"), nodes("a", "b", "c")]
    const expected = names.slice(0, 100).map((name) => [
      idOf(Placement.ring(), name, nodes("a", "b")),
      idOf(Placement.ring(), name, nodes("a", "b", "c"))
    ])
    const actual = names.slice(0, 100).map((name) => [idOf(ring, name, two), idOf(ring, name, three)])
    assert.deepStrictEqual(actual, expected)
  })
})

describe("[D18] by load", () => {
  /** Registers names one after the other, each counted where it was placed. */
  const fill = (placement: Placement.Placement, among: ReadonlyArray<Candidate>, count: number): void => {
    for (const name of names.slice(0, count)) {
      const picked = placement.pick(name, among)!
      Object.assign(picked, { load: picked.load + 1 })
    }
  }

  it.prop(
    "boundedLoads: nobody is ever given more than 1 + epsilon times the average",
    [int(1, 8), Schema.Literals([0, 0.1, 0.25, 1]), int(0, 120), list(int(0, 30), 8, 8)],
    ([size, epsilon, count, loads]) => {
      const among = numbered(size).map((one, i) => ({ ...one, load: loads[i]! }))
      const give = ({ id }: Candidate): void => void among.find((one) => one.id === id)!.load++
      const placement = Placement.boundedLoads({ epsilon })
      for (const name of names.slice(0, count)) {
        const total = among.reduce((sum, { load }) => sum + load, 0)
        const picked = placement.pick(name, among)
        assert.isDefined(picked)
        give(picked!)
        assert.isAtMost(picked!.load, Math.ceil((1 + epsilon) * (total + 1) / size))
        assert.isAtMost(picked!.load, placement.limit!(picked!, among))
      }
    }
  )

  it("boundedLoads: as rendezvous while nobody is full; as even as epsilon says in the end", () => {
    const among = numbered(5)
    assert.isTrue(names.every((name) => {
      const loads = among.map((one) => ({ ...one, load: 1000 }))
      return idOf(Placement.boundedLoads(), name, loads) === idOf(Placement.rendezvous, name, among)
    }))
    for (const epsilon of [0, 0.05, 0.5]) {
      const filled = numbered(5)
      fill(Placement.boundedLoads({ epsilon }), filled, 1000)
      assert.isTrue(filled.every(({ load }) => load <= Math.ceil((1 + epsilon) * 200)), JSON.stringify(filled))
    }
  })

  it.prop(
    "leastLoaded: nobody has fewer for its weight than the one that is picked",
    [text, someNodes],
    ([name, drawn]) => {
      const among = candidatesOf(drawn)
      const weightOf = ({ labels }: Candidate): number =>
        Number(labels["weight"] ?? 1) >= 0 ? Number(labels["weight"] ?? 1) : 1
      const able = among.filter((one) => weightOf(one) > 0)
      const picked = Placement.leastLoaded.pick(name, among)
      assert.strictEqual(picked === undefined, able.length === 0)
      for (const one of able) assert.isAtMost(picked!.load / weightOf(picked!), one.load / weightOf(one))
    }
  )

  it("leastLoaded: fills by weight, to the last one", () => {
    const among = [heavy("a", "1"), heavy("b", "2"), heavy("c", "0"), heavy("d", "3")]
    fill(Placement.leastLoaded, among, 600)
    assert.deepStrictEqual(among.map(({ load }) => load), [100, 200, 0, 300])
    const fresh = numbered(7)
    fill(Placement.leastLoaded, fresh, 700)
    assert.isTrue(fresh.every(({ load }) => load === 100))
    // of those that are equal, not always the same one
    assert.isTrue(new Set(names.slice(0, 50).map((name) => idOf(Placement.leastLoaded, name, fresh))).size > 3)
  })

  it("leastLoaded: has room above the average for a tenth, and for one at least", () => {
    const limit = (...loads: ReadonlyArray<number>): number =>
      Placement.leastLoaded.limit!(node("any", {}), loads.map((load, i) => node(`${i}`, {}, load)))
    assert.deepStrictEqual([limit(0), limit(1, 1), limit(100, 0), limit(30, 30, 31)], [1, 2, 55, 35])
  })

  it("random: by the context's chance, evenly; without one by hash", () => {
    const among = numbered(4)
    const random = seededRandom(7)
    const counts = new Map<string, number>()
    for (const name of names) {
      const { id } = Placement.random.pick(name, among, { caller: "x", random })!
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    assert.isTrue([...counts.values()].every((count) => Math.abs(count - 2500) < 200), JSON.stringify([...counts]))
    const at = (value: number) => Placement.random.pick("x", among, { caller: "x", random: () => value })?.id
    assert.deepStrictEqual([at(0), at(0.25), at(0.9999999999999999)], ["node-0", "node-1", "node-3"])
    assert.strictEqual(Placement.random.pick("x", [], { caller: "x", random }), undefined)
    for (const name of names.slice(0, 100)) {
      assert.strictEqual(idOf(Placement.random, name, among), idOf(Placement.rendezvous, name, among))
    }
  })

  it("preferLocal: who asks, if it is a candidate; else, or asked by nobody, as the next says", () => {
    const among = numbered(4)
    const placement = Placement.preferLocal(Placement.make("third", (_, candidates) => candidates[2]))
    const by = (caller: string) => placement.pick("x", among, { caller, random: () => 0 })?.id
    assert.deepStrictEqual([by("node-1"), by("node-9"), by("")], ["node-1", "node-2", "node-2"])
    assert.strictEqual(placement.pick("x", among)?.id, "node-2")
    const chance = Placement.preferLocal(Placement.random).pick("x", among, { caller: "?", random: () => 0.5 })
    assert.strictEqual(chance?.id, "node-2", "the context is handed on")
  })
})

describe("[P85] [P90] [D18] who may have a name", () => {
  const zoned = [
    node("eu-1", { zone: "eu", role: "worker" }),
    node("eu-2", { zone: "eu", role: "web" }),
    node("us-1", { zone: "us", role: "worker" }),
    node("us-2", { zone: "us", role: "" }),
    node("none")
  ]
  const cases: ReadonlyArray<readonly [string, Placement.Placement, ReadonlyArray<string>]> = [
    ["label", Placement.label("zone", "eu"), ["eu-1", "eu-2"]],
    ["an empty label is not a missing one", Placement.label("role", ""), ["us-2"]],
    ["labels: all of them", Placement.labels({ zone: "us", role: "worker" }), ["us-1"]],
    ["labels: any value", Placement.labels({ role: ["web", "worker"] }), ["eu-1", "eu-2", "us-1"]],
    ["labels: no value at all", Placement.labels({ role: [] }), []],
    ["labels: none wanted", Placement.labels({}), ids(zoned).sort()],
    ["labels that every object seems to have", Placement.labels({ constructor: "x" }), []],
    ["allow by id", Placement.allow(["eu-1", "none"]), ["eu-1", "none"]],
    ["allow by glob", Placement.allow(["eu-*"]), ["eu-1", "eu-2"]],
    ["a glob in the middle, and for nothing", Placement.allow(["*u*-1", "none*"]), ["eu-1", "none", "us-1"]],
    ["a glob is the whole id", Placement.allow(["u"]), []],
    ["a glob's letters are themselves", Placement.allow(["eu.1", "eu?1", "[eu]*"]), []],
    ["allow by RegExp, anywhere in the id", Placement.allow([/S-/i]), ["us-1", "us-2"]],
    ["allow by labels", Placement.allow([{ role: "web" }, "us-2"]), ["eu-2", "us-2"]],
    ["allow nobody", Placement.allow([]), []],
    ["deny by glob", Placement.deny(["eu-*", "none"]), ["us-1", "us-2"]],
    ["deny by RegExp", Placement.deny([/\d$/]), ["none"]],
    ["deny by labels", Placement.deny([{ zone: ["eu", "us"] }]), ["none"]],
    ["deny nobody", Placement.deny([]), ids(zoned).sort()],
    ["both", Placement.allow(["*-1"], Placement.deny(["us-*"])), ["eu-1"]],
    ["a chain, each with a say", Placement.label("zone", "eu", Placement.labels({ role: "web" })), ["eu-2"]],
    ["over one that goes by load", Placement.label("role", "worker", Placement.random), ["eu-1", "us-1"]]
  ]
  it.each(cases)("%s", (_, placement, expected) => {
    const picked = accepted(placement, zoned)
    assert.deepStrictEqual(picked, expected.length === 0 ? [undefined] : [...expected])
  })

  it.each(["g", "y", "gy", "gi"])("a RegExp with flag %s answers the same each time", (flags) => {
    const [allow, deny] = [Placement.allow([new RegExp("^eu", flags)]), Placement.deny([new RegExp("^eu", flags)])]
    for (let i = 0; i < 3; i++) {
      assert.deepStrictEqual(accepted(allow, [...zoned]), ["eu-1", "eu-2"])
      assert.deepStrictEqual(accepted(deny, [...zoned]), ["none", "us-1", "us-2"])
    }
  })

  it("globs over ids with dots, brackets, slashes, line ends and letters beyond ASCII", () => {
    const odd = nodes("10.0.0.1:4100", "10x0y0z1:4100", "a[b](c)+$^|{}\\", "two\nlines", "日本", "-", "")
    const allowed = (glob: string): Array<string> =>
      odd.filter((one) => Placement.allow([glob]).allows!("x", one)).map(({ id }) => id)
    assert.deepStrictEqual(allowed("10.0.0.*"), ["10.0.0.1:4100"])
    assert.deepStrictEqual(allowed("a[b](c)+$^|{}\\"), ["a[b](c)+$^|{}\\"])
    assert.deepStrictEqual(allowed("two*"), ["two\nlines"])
    assert.deepStrictEqual(allowed("two*es"), ["two\nlines"])
    assert.deepStrictEqual(allowed("日*"), ["日本"])
    assert.deepStrictEqual(allowed("-"), ["-"])
    assert.deepStrictEqual(allowed(""), [""])
    assert.deepStrictEqual(allowed("**"), ids(odd))
  })

  it.prop(
    "a glob made of an id, with any part of it as a star, matches the id",
    [text, int(0, 9), int(0, 9)],
    ([id, a, b]) => {
      const [from, to] = [Math.min(a, b, id.length), Math.min(Math.max(a, b), id.length)]
      const literal = id.includes("*") ? "" : id
      const glob = literal === "" ? "*" : `${literal.slice(0, from)}*${literal.slice(to)}`
      assert.strictEqual(Placement.allow([glob]).pick("x", nodes(id))?.id, id)
      if (literal !== "") assert.strictEqual(Placement.allow([literal]).pick("x", nodes(`${id}!`)), undefined)
    }
  )

  it("where: is asked with the name", () => {
    const even = Placement.where("even", ({ id }, key) => id.endsWith("1") === (key.length % 2 === 0))
    assert.deepStrictEqual(["ab", "abc"].map((key) => even.pick(key, zoned.slice(0, 2))?.id), ["eu-1", "eu-2"])
    assert.strictEqual(Placement.where("nobody", () => false).pick("a", zoned), undefined)
  })

  it("with those that it accepts, what comes next is as if the others weren't there", () => {
    for (const next of [Placement.rendezvous, Placement.weighted(), Placement.ring(), Placement.leastLoaded]) {
      for (const name of names.slice(0, 50)) {
        const alone = idOf(next, name, zoned.slice(0, 2))
        assert.strictEqual(idOf(Placement.label("zone", "eu", next), name, zoned), alone)
        assert.strictEqual(
          idOf(Placement.where("eu", ({ labels }) => labels["zone"] === "eu", next), name, zoned),
          alone
        )
      }
    }
  })
})

describe("[P87] quorum", () => {
  it("nothing is picked below it, everything from it on", () => {
    for (const size of [1, 2, 5]) {
      const placement = Placement.quorum(size)
      assert.strictEqual(placement.quorum, size)
      for (let count = 0; count < 7; count++) {
        const expected = count < size ? undefined : idOf(Placement.rendezvous, "x", numbered(count))
        assert.strictEqual(idOf(placement, "x", numbered(count)), expected)
      }
    }
  })

  it.each([0, -1, 0.5, 1.5, NaN, Infinity, 2 ** 53, "fake", "3", "", null, undefined, {}, [3], 3n])(
    "[P87] refuses %s",
    (size) => assert.throws(() => Placement.quorum(size as number), RangeError, "is not a number of nodes")
  )
})

describe("[D18] spread", () => {
  const of = (name: string): { readonly key: string; readonly index: number } => {
    const [key, index] = name.split("/")
    return { key: key!, index: Number(index) }
  }
  const zone = (id: string, zone: string): Candidate => node(id, { zone })
  const six = [zone("a", "x"), zone("b", "x"), zone("c", "y"), zone("d", "y"), zone("e", "z"), node("f")]

  it("names with one key go to different nodes; with more names than nodes they go round", () => {
    const spread = Placement.spread({ of })
    for (const key of ["k", "l", "日本"]) {
      const placed = Array.from({ length: 13 }, (_, i) => idOf(spread, `${key}/${i}`, six))
      assert.strictEqual(new Set(placed.slice(0, 6)).size, 6)
      assert.deepStrictEqual(placed.slice(6, 12), placed.slice(0, 6))
      assert.strictEqual(placed[12], placed[0])
    }
    const firsts = new Set(names.slice(0, 100).map((key) => idOf(spread, `${key}/0`, six)))
    assert.strictEqual(firsts.size, 6, "keys don't all begin at one node")
  })

  it("goes round in an order that is fixed", () => {
    const spread = Placement.spread({ of })
    const orders = ["k", "l", "日本"].map((key) => six.map((_, i) => idOf(spread, `${key}/${i}`, six)).join(""))
    assert.deepStrictEqual(orders, ["defacb", "abecdf", "baecfd"])
  })

  it("across a label: different values first; within a value as the next says", () => {
    const spread = Placement.spread({ across: "zone", of }, Placement.ring())
    const zoneOf = (name: string): string | undefined => spread.pick(name, six)!.labels["zone"]
    for (const key of ["k", "l", "m"]) {
      const zones = Array.from({ length: 8 }, (_, i) => zoneOf(`${key}/${i}`))
      // nodes without the label are a value of their own
      assert.strictEqual(new Set(zones.slice(0, 4)).size, 4)
      assert.deepStrictEqual(zones.slice(4), zones.slice(0, 4))
    }
    const inX = names.slice(0, 200).filter((name) => zoneOf(`${name}/1`) === "x")
    const members = six.slice(0, 2)
    for (const name of inX) {
      assert.strictEqual(idOf(spread, `${name}/1`, six), idOf(Placement.ring(), `${name}/1`, members))
    }
  })

  it.prop(
    "a value that comes or goes changes the order of no other two",
    [list(text, 2, 6), text, text, int(0, 20)],
    ([drawn, gone, key, index]) => {
      const all = nodes(...new Set([...drawn, gone]))
      const spread = Placement.spread({ of: (name) => ({ key, index: Number(name) }) })
      const order = (among: ReadonlyArray<Candidate>): Array<string | undefined> =>
        among.map((_, i) => idOf(spread, `${i}`, among))
      const left = all.filter(({ id }) => id !== gone)
      assert.deepStrictEqual(order(left), order(all).filter((id) => id !== gone))
      assert.strictEqual(idOf(spread, `${index}`, all), order(all)[index % all.length])
    }
  )

  it("an index below 0 or between two numbers has a place too", () => {
    const at = (index: number) => Placement.spread({ of: () => ({ key: "k", index }) }).pick("x", six)
    for (const index of [-1, -7, 1.9, 2 ** 53, -0]) assert.isDefined(at(index))
    assert.strictEqual(at(1.9)?.id, at(1)?.id)
  })
})

describe("[D18] pin", () => {
  const placement = Placement.pin(
    (name) => name.startsWith("pinned") ? "node-2" : undefined,
    Placement.deny(["node-3"])
  )

  it("its node or none; other names as the next says", () => {
    const among = numbered(5)
    assert.strictEqual(idOf(placement, "pinned", among), "node-2")
    assert.strictEqual(idOf(placement, "pinned", among.slice(0, 2)), undefined)
    for (const name of names.slice(0, 50)) {
      assert.strictEqual(idOf(placement, name, among), idOf(Placement.deny(["node-3"]), name, among))
    }
  })

  it("allows its node alone; for other names what the next allows", () => {
    const allowed = (name: string) => numbered(5).filter((one) => placement.allows!(name, one)).map(({ id }) => id)
    assert.deepStrictEqual(allowed("pinned"), ["node-2"])
    assert.deepStrictEqual(allowed("free"), ["node-0", "node-1", "node-2", "node-4"])
    assert.isTrue(Placement.pin(() => undefined).allows!("x", node("a")))
  })
})

describe("composition", () => {
  const around: ReadonlyArray<readonly [string, (then: Placement.Placement) => Placement.Placement]> = [
    ["where", (then) => Placement.where("all", () => true, then)],
    ["labels", (then) => Placement.labels({}, then)],
    ["label", (then) => Placement.label("a", "b", then)],
    ["allow", (then) => Placement.allow(["*"], then)],
    ["deny", (then) => Placement.deny([], then)],
    ["quorum", (then) => Placement.quorum(4, then)],
    ["spread", (then) => Placement.spread({ of: (key) => ({ key, index: 0 }) }, then)],
    ["pin", (then) => Placement.pin(() => undefined, then)],
    ["preferLocal", (then) => Placement.preferLocal(then)]
  ]
  const limit = (): number => 17
  const allows = (key: string, { id }: Candidate): boolean => key !== "refused" && id !== "bad"
  const inner = Placement.make("own", (_, candidates) => candidates[0], { isSticky: true, limit, quorum: 3, allows })

  it.each(around)("%s carries isSticky, limit, quorum and allows of what is in it", (name, wrap) => {
    const placement = wrap(inner)
    const labelled = node("good", { a: "b" })
    assert.isTrue(placement.isSticky)
    assert.strictEqual(placement.limit?.(labelled, [labelled]), 17)
    assert.strictEqual(placement.quorum, name === "quorum" ? 4 : 3)
    assert.isTrue(placement.allows!("x", labelled))
    assert.isFalse(placement.allows!("refused", labelled))
    assert.isFalse(placement.allows!("x", node("bad", { a: "b" })))
    assert.isTrue(placement.name.endsWith("/own"))
  })

  it.each(around)("%s around a pure one is as sticky as it says", (name, wrap) => {
    const placement = wrap(Placement.rendezvous)
    assert.strictEqual(placement.isSticky ?? false, name === "preferLocal")
    assert.isUndefined(placement.limit)
    assert.strictEqual(placement.quorum, name === "quorum" ? 4 : undefined)
  })

  it("make: what it is given, and nothing more", () => {
    assert.strictEqual(inner.pick("x", nodes("a", "b"))?.id, "a")
    const plain = Placement.make("plain", () => undefined)
    assert.deepStrictEqual([plain.name, plain.isSticky, plain.limit, plain.quorum, plain.allows], [
      "plain",
      undefined,
      undefined,
      undefined,
      undefined
    ])
  })
})

describe("[D18] one placement over another", () => {
  const web = node("web", { role: "web" })
  const workers = [node("w1", { role: "worker" }), node("w2", { role: "worker" })]
  const all = [web, ...workers]
  const onWorkers = Placement.labels({ role: "worker" })
  const pair = (index: number) => ({ key: "pair", index })

  it("spread: among those that what is in it accepts", () => {
    const spread = Placement.spread({ of: (name) => pair(Number(name)) }, onWorkers)
    assert.deepStrictEqual(["0", "1"].map((name) => idOf(spread, name, all)).sort(), ["w1", "w2"])
    const heavyOnly = Placement.spread({ of: (name) => pair(Number(name)) }, Placement.weighted())
    assert.isDefined(idOf(heavyOnly, "0", [heavy("none", "0"), heavy("some", "1")]))
  })

  it("preferLocal: the node that registers, if what is in it accepts it", () => {
    const local = Placement.preferLocal(onWorkers)
    const from = (caller: string) => local.pick("x", all, { caller, random: () => 0 })?.id
    assert.strictEqual(from("w2"), "w2")
    assert.notStrictEqual(from("web"), "web")
  })

  it("quorum counts all that host the sworm, wherever it stands", () => {
    const three = Placement.quorum(3)
    for (
      const placement of [
        Placement.labels({ role: "worker" }, three),
        Placement.spread({ of: () => pair(0) }, three)
      ]
    ) {
      assert.isDefined(idOf(placement, "x", all))
      assert.isUndefined(placement.pick("x", workers))
      assert.strictEqual(placement.quorum, 3)
    }
  })

  it("a limit is of those that share the names", () => {
    const loaded = [node("web", { role: "web" }), ...["w1", "w2"].map((id) => node(id, { role: "worker" }, 50))]
    const placement = Placement.labels({ role: "worker" }, Placement.leastLoaded)
    assert.isAtLeast(placement.limit!(loaded[1]!, loaded), 50)
  })
})
