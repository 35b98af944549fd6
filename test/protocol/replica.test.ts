// PROTOCOL R12: copies converge whatever is lost, cut, doubled or late, and nobody writes another's section.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Delta, Replica, weigh } from "../../src/protocol/replica.ts"
import { int, list } from "./support.ts"

/** A replica, and what an observer of its changes alone believes it holds. */
class Copy {
  readonly replica: Replica
  readonly believed = new Map<string, unknown>()
  readonly changes: Array<readonly [section: string, key: string, before: unknown, after: unknown]> = []

  constructor(own: string) {
    this.replica = new Replica(own, (section, key, before, after) => {
      const id = `${section}\n${key}`
      assert.deepStrictEqual(before, this.believed.get(id), "a change starts from what was there")
      this.changes.push([section, key, before, after])
      if (after === undefined) this.believed.delete(id)
      else this.believed.set(id, after)
    })
  }

  content(): Map<string, unknown> {
    const content = new Map<string, unknown>()
    for (const section of this.replica.sections()) {
      for (const key of this.replica.keysOf(section)) content.set(`${section}\n${key}`, this.replica.get(section, key))
    }
    return content
  }

  /** All that would be seen from outside, for "changes nothing". */
  state(): unknown {
    return [this.content(), this.replica.versions(), this.replica.digestHash(), this.changes.length]
  }
}

const copies = (...owns: ReadonlyArray<string>): Array<Copy> => owns.map((own) => new Copy(own))

const pull = (to: Copy, from: Copy, maxBytes = 1e9): boolean =>
  from.replica.deltasFor(to.replica.versions(), maxBytes).every((delta) => to.replica.apply(delta))

/** Every copy pulls from every other until nobody lacks anything; each pull must make progress. */
const converge = (all: ReadonlyArray<Copy>, maxBytes: number): void => {
  for (let round = 0; round < 10_000; round++) {
    let moved = false
    for (const to of all) {
      for (const from of all) {
        const before = [...to.replica.versions().values()].reduce((sum, version) => sum + version, 0)
        const deltas = from.replica.deltasFor(to.replica.versions(), maxBytes)
        if (deltas.length === 0) continue
        moved = true
        for (const delta of deltas) assert.isTrue(to.replica.apply(delta), "a delta for my versions has no gap")
        const after = [...to.replica.versions().values()].reduce((sum, version) => sum + version, 0)
        assert.isTrue(after > before, "progress")
      }
    }
    if (!moved) return
  }
  assert.fail("never at rest")
}

const sectionIds = ["1/a", "1/b", "2/c"] as const

describe("Replica", () => {
  it("reads what it wrote, under rising versions", () => {
    const [a] = copies("1/a")
    assert.strictEqual(a!.replica.version("1/a"), 0)
    assert.deepStrictEqual(a!.replica.versions(), new Map())
    assert.strictEqual(a!.replica.write("x", 1), 1)
    assert.strictEqual(a!.replica.write("y", 2), 2)
    assert.strictEqual(a!.replica.write("x", 3), 3)
    assert.strictEqual(a!.replica.get("1/a", "x"), 3)
    assert.strictEqual(a!.replica.versionOf("1/a", "x"), 3)
    assert.strictEqual(a!.replica.versionOf("1/a", "y"), 2)
    assert.strictEqual(a!.replica.versionOf("1/a", "z"), 0)
    assert.strictEqual(a!.replica.versionOf("9/z", "x"), 0)
    assert.isUndefined(a!.replica.get("9/z", "x"))
    assert.deepStrictEqual(a!.changes, [
      ["1/a", "x", undefined, 1],
      ["1/a", "y", undefined, 2],
      ["1/a", "x", 1, 3]
    ])
  })

  it("sends each entry once, in its latest version, oldest first", () => {
    const [a] = copies("1/a")
    for (const key of ["x", "y", "x", "z", "y"]) a!.replica.write(key, `${key} of ${a!.replica.version("1/a") + 1}`)
    assert.deepStrictEqual(a!.replica.deltasFor(new Map(), 1e9), [{
      section: "1/a",
      from: 0,
      to: 5,
      swept: 0,
      entries: [["x", 3, "x of 3"], ["z", 4, "z of 4"], ["y", 5, "y of 5"]]
    }])
    assert.deepStrictEqual(a!.replica.deltasFor(new Map([["1/a", 4]]), 1e9), [
      { section: "1/a", from: 4, to: 5, swept: 0, entries: [["y", 5, "y of 5"]] }
    ])
    assert.deepStrictEqual(a!.replica.deltasFor(new Map([["1/a", 5]]), 1e9), [])
    assert.deepStrictEqual(a!.replica.deltasFor(new Map([["1/a", 99]]), 1e9), [])
  })

  it("[P61] sends one section alone when asked for one", () => {
    const [a, b] = copies("1/a", "1/b")
    a!.replica.write("x", 1)
    b!.replica.write("y", 2)
    pull(b!, a!)
    assert.deepStrictEqual(b!.replica.deltasFor(new Map(), 1e9, "1/a").map(({ section }) => section), ["1/a"])
    assert.deepStrictEqual(b!.replica.deltasFor(new Map(), 1e9, "9/z"), [])
  })

  it("[D15] cuts a delta at the limit; the rest is contiguous with it", () => {
    const [a, b] = copies("1/a", "1/b")
    for (let i = 0; i < 10; i++) a!.replica.write(`key ${i}`, "x".repeat(100))
    const [first, ...none] = a!.replica.deltasFor(new Map(), 300)
    assert.deepStrictEqual(none, [])
    assert.isTrue(first!.entries.length >= 2 && first!.entries.length <= 4, `${first!.entries.length} entries`)
    assert.strictEqual(first!.to, first!.entries.length)
    assert.isTrue(b!.replica.apply(first!))
    const [second] = a!.replica.deltasFor(b!.replica.versions(), 1e9)
    assert.strictEqual(second!.from, first!.to)
    assert.isTrue(b!.replica.apply(second!))
    assert.deepStrictEqual(b!.content(), a!.content())
  })

  it("[D15] bounds a frame over all sections, and always makes progress", () => {
    const all = copies("1/a", "1/b", "1/c", "1/d")
    for (const copy of all) for (let i = 0; i < 5; i++) copy.replica.write(`${i}`, "x".repeat(50))
    converge(all, 1e9)
    const deltas = all[0]!.replica.deltasFor(new Map(), 200)
    const entries = deltas.flatMap((delta) => delta.entries)
    assert.isTrue(entries.length <= 4, `${entries.length} entries of 70 bytes in 200`)
    assert.isTrue(entries.length >= 1)
  })

  it.each([1, 10, 1000])("an entry far above the limit of %i bytes still travels", (maxBytes) => {
    const all = copies("1/a", "1/b")
    all[0]!.replica.write("small", 1)
    all[0]!.replica.write("huge", "x".repeat(100_000))
    all[0]!.replica.write("bytes", new Uint8Array(100_000))
    all[0]!.replica.write("after", 2)
    converge(all, maxBytes)
    assert.deepStrictEqual(all[1]!.content(), all[0]!.content())
  })

  it("[P62] refuses a delta with a gap and stores nothing of it", () => {
    const [a, b, c] = copies("1/a", "1/b", "1/c")
    for (const key of ["x", "y", "z"]) a!.replica.write(key, key)
    const [late] = a!.replica.deltasFor(new Map([["1/a", 2]]), 1e9)
    pull(c!, a!, 1)
    for (const copy of [b!, c!]) {
      const before = copy.state()
      assert.isFalse(copy.replica.apply(late!))
      assert.deepStrictEqual(copy.state(), before)
    }
    assert.deepStrictEqual([...b!.replica.sections()], ["1/b"], "not even the section's name")
  })

  it("takes a delta that overlaps what it has: what it has stays", () => {
    const [a, b] = copies("1/a", "1/b")
    for (const key of ["x", "y"]) a!.replica.write(key, 1)
    const [old] = a!.replica.deltasFor(new Map(), 1e9)
    a!.replica.write("x", 2)
    pull(b!, a!)
    const [whole] = a!.replica.deltasFor(new Map(), 1e9)
    const before = b!.state()
    for (const delta of [old!, whole!, old!]) assert.isTrue(b!.replica.apply(delta))
    assert.deepStrictEqual(b!.state(), before)
    a!.replica.write("z", 3)
    const changes = b!.changes.length
    assert.isTrue(b!.replica.apply(a!.replica.deltasFor(new Map(), 1e9)[0]!))
    assert.deepStrictEqual(b!.changes.slice(changes), [["1/a", "z", undefined, 3]])
    assert.strictEqual(b!.replica.version("1/a"), 4)
  })

  it("raises the version also where the newest entries were written over", () => {
    const [a, b] = copies("1/a", "1/b")
    a!.replica.write("x", 1)
    a!.replica.write("y", 1)
    a!.replica.write("x", 2)
    const delta: Delta = { section: "1/a", from: 0, to: 3, swept: 0, entries: [["y", 2, 1], ["x", 3, 2]] }
    assert.deepStrictEqual(a!.replica.deltasFor(new Map(), 1e9), [delta])
    b!.replica.apply({ ...delta, to: 7 })
    assert.strictEqual(b!.replica.version("1/a"), 7)
    assert.strictEqual(b!.replica.versionOf("1/a", "x"), 3)
  })

  it("[H11] never lets a delta write the own section", () => {
    const [a] = copies("1/a")
    a!.replica.write("x", "mine")
    const before = a!.state()
    for (const from of [0, 1, 5]) {
      a!.replica.apply({ section: "1/a", from, to: from + 10, swept: 0, entries: [["x", from + 10, "theirs"]] })
    }
    assert.deepStrictEqual(a!.state(), before)
    assert.strictEqual(a!.replica.write("x", "again"), 2)
  })

  it("[P62] [H11] relays a foreign section through a third node, as its writer wrote it", () => {
    const [a, b, c] = copies("1/a", "1/b", "1/c")
    for (let i = 0; i < 20; i++) a!.replica.write(`key ${i % 7}`, i)
    a!.replica.write("key 3", undefined)
    while (!pull(b!, a!, 40) || b!.replica.version("1/a") < 21);
    while (!pull(c!, b!, 40) || c!.replica.version("1/a") < 21);
    assert.deepStrictEqual(c!.content(), a!.content())
    assert.deepStrictEqual(c!.replica.deltasFor(new Map(), 1e9, "1/a"), a!.replica.deltasFor(new Map(), 1e9, "1/a"))
  })

  it("[H8] keeps two boots of one node apart", () => {
    const [old, young, b] = copies("1/a", "2/a", "1/b")
    old!.replica.write("x", "old")
    young!.replica.write("x", "young")
    pull(b!, old!)
    pull(b!, young!)
    assert.strictEqual(b!.replica.get("1/a", "x"), "old")
    assert.strictEqual(b!.replica.get("2/a", "x"), "young")
  })

  it("erases a key everywhere; erased keys are not listed", () => {
    const [a, b, c] = copies("1/a", "1/b", "1/c")
    a!.replica.write("x", 1)
    a!.replica.write("y", 2)
    pull(b!, a!)
    a!.replica.write("x", undefined)
    pull(b!, a!)
    pull(c!, a!)
    for (const copy of [a!, b!, c!]) {
      assert.deepStrictEqual([...copy.replica.keysOf("1/a")], ["y"])
      assert.isUndefined(copy.replica.get("1/a", "x"))
      assert.strictEqual(copy.replica.versionOf("1/a", "x"), 3)
    }
    assert.deepStrictEqual(b!.changes.at(-1), ["1/a", "x", 1, undefined])
    assert.deepStrictEqual(c!.changes, [["1/a", "y", undefined, 2]], "what c never had is no change")
  })

  it("[P62] sweeps the marks of keys erased and seen by all, and nothing else", () => {
    const [a, b, c] = copies("1/a", "1/b", "1/c")
    a!.replica.write("kept", 1)
    a!.replica.write("early", 2)
    a!.replica.write("early", undefined)
    a!.replica.write("late", 3)
    a!.replica.write("late", undefined)
    pull(b!, a!)
    a!.replica.sweep(3)
    assert.strictEqual(a!.replica.versionOf("1/a", "early"), 0)
    assert.strictEqual(a!.replica.versionOf("1/a", "late"), 5)
    assert.strictEqual(a!.replica.get("1/a", "kept"), 1)
    assert.strictEqual(a!.replica.version("1/a"), 5)
    pull(c!, a!)
    assert.deepStrictEqual(c!.content(), a!.content())
    assert.deepStrictEqual(c!.replica.versions(), a!.replica.versions())
    a!.replica.sweep(5)
    assert.deepStrictEqual(a!.replica.deltasFor(b!.replica.versions(), 1e9), [])
    a!.replica.write("early", 4)
    pull(b!, a!)
    assert.strictEqual(b!.replica.get("1/a", "early"), 4)
  })

  /** The marks of erased keys that a copy would pass on. */
  const marks = (copy: Copy): ReadonlyArray<string> =>
    copy.replica.deltasFor(new Map(), 1e9).flatMap(({ entries }) =>
      entries.flatMap(([key, , value]) => value === undefined ? [key] : [])
    )

  it("[H11] marks that their writer swept go from foreign copies with its next delta, as they went from its own", () => {
    const [a, b, c] = copies("1/a", "1/b", "1/c")
    for (let i = 0; i < 100; i++) {
      a!.replica.write(`key ${i}`, i)
      a!.replica.write(`key ${i}`, undefined)
    }
    a!.replica.write("again", 1)
    a!.replica.write("again", undefined)
    a!.replica.write("again", 2)
    a!.replica.write("late", 1)
    const seen = a!.replica.version("1/a")
    a!.replica.write("late", undefined)
    pull(b!, a!)
    a!.replica.sweep(seen)
    assert.deepStrictEqual(marks(a!), ["late"])
    assert.strictEqual(marks(b!).length, 101)
    a!.replica.write("next", 3)
    const changes = b!.changes.length
    pull(b!, a!)
    assert.deepStrictEqual(b!.changes.slice(changes), [["1/a", "next", undefined, 3]], "a mark that goes is no change")
    assert.deepStrictEqual(marks(b!), ["late"])
    assert.strictEqual(b!.replica.versionOf("1/a", "key 7"), 0)
    assert.deepStrictEqual(b!.replica.deltasFor(new Map(), 1e9, "1/a"), a!.replica.deltasFor(new Map(), 1e9, "1/a"))
    pull(c!, b!)
    assert.deepStrictEqual(marks(c!), ["late"], "and a newcomer, told by another, gets none of them")
    assert.deepStrictEqual(c!.content(), a!.content())
    for (const copy of [b!, c!]) copy.replica.sweep(1e9)
    assert.deepStrictEqual(marks(b!), ["late"], "nobody sweeps another's section")
  })

  it("sweeps a copy that is behind only as far as it has come", () => {
    const [a, b] = copies("1/a", "1/b")
    a!.replica.write("x", 1)
    a!.replica.write("y", 1)
    a!.replica.write("x", undefined)
    const [early] = a!.replica.deltasFor(new Map(), 1e9)
    a!.replica.write("y", undefined)
    // the sweep that is told of is beyond what this delta brings
    assert.isTrue(b!.replica.apply({ ...early!, swept: 4 }))
    assert.deepStrictEqual([...b!.replica.keysOf("1/a")], ["y"])
    assert.deepStrictEqual(marks(b!), [])
    assert.isTrue(b!.replica.apply({ section: "1/a", from: 3, to: 4, swept: 4, entries: [["y", 4, undefined]] }))
    assert.deepStrictEqual([...b!.replica.keysOf("1/a")], [])
    assert.deepStrictEqual(marks(b!), [])
  })

  it("a delta of before the sweep brings no mark back", () => {
    const [a, b] = copies("1/a", "1/b")
    a!.replica.write("x", 1)
    a!.replica.write("x", undefined)
    const old = a!.replica.deltasFor(new Map(), 1e9)
    pull(b!, a!)
    a!.replica.sweep(2)
    a!.replica.write("y", 1)
    pull(b!, a!)
    const before = b!.state()
    for (const delta of old) assert.isTrue(b!.replica.apply(delta))
    assert.deepStrictEqual(b!.state(), before)
    assert.deepStrictEqual(marks(b!), [])
    a!.replica.sweep(1)
    assert.strictEqual(a!.replica.deltasFor(new Map(), 1e9)[0]!.swept, 2, "an older sweep takes nothing back")
  })

  it("reaches a newcomer's version also when everything at the end was swept", () => {
    const [a, b] = copies("1/a", "1/b")
    a!.replica.write("x", 1)
    a!.replica.write("x", undefined)
    a!.replica.sweep(2)
    assert.isTrue(pull(b!, a!))
    assert.strictEqual(b!.replica.version("1/a"), 2)
    assert.strictEqual(b!.replica.digestHash(), a!.replica.digestHash())
  })

  it("drops a foreign section with a change for each value; up to there it is not taken again, unless the mark is void", () => {
    const [a, b] = copies("1/a", "1/b")
    for (const key of ["x", "y", "gone"]) a!.replica.write(key, key)
    a!.replica.write("gone", undefined)
    b!.replica.write("own", 1)
    pull(b!, a!)
    const changes = b!.changes.length
    b!.replica.bury("1/a")
    assert.deepStrictEqual(b!.changes.slice(changes), [["1/a", "x", "x", undefined], ["1/a", "y", "y", undefined]])
    assert.strictEqual(b!.replica.version("1/a"), 0)
    assert.deepStrictEqual([...b!.replica.versions()], [["1/b", 1]])
    b!.replica.bury("9/z")
    b!.replica.bury("1/b")
    assert.strictEqual(b!.replica.get("1/b", "own"), 1)
    assert.deepStrictEqual([...b!.replica.buried], [["1/a", 4]])
    assert.isTrue(b!.replica.apply(a!.replica.deltasFor(new Map(), 1e9)[0]!), "taken, and ignored")
    assert.strictEqual(b!.replica.version("1/a"), 0)
    assert.deepStrictEqual(a!.replica.deltasFor(new Map(), 1e9, undefined, b!.replica.buried), [], "not even sent")
    b!.replica.exhume("1/a")
    assert.isFalse(b!.replica.apply(a!.replica.deltasFor(new Map([["1/a", 2]]), 1e9)[0]!), "what was dropped is a gap")
    assert.isTrue(pull(b!, a!))
    assert.deepStrictEqual([...b!.replica.keysOf("1/a")], ["x", "y"])
  })

  it("loses nothing when one key among others is written thousands of times", () => {
    const [a, b, c, d] = copies("1/a", "1/b", "1/c", "1/d")
    for (let i = 0; i < 50; i++) a!.replica.write(`old ${i}`, i)
    pull(b!, a!, 500)
    const partial = b!.replica.version("1/a")
    assert.isTrue(partial > 0 && partial < 50)
    for (let i = 0; i < 5000; i++) {
      a!.replica.write("hot", i)
      if (i === 2500) pull(c!, a!)
      if (i % 100 === 0) a!.replica.write(`slow ${i / 100}`, i)
    }
    const before = c!.changes.length
    for (const to of [b!, c!, d!]) {
      converge([a!, to], 300)
      assert.deepStrictEqual(to.content(), a!.content())
      assert.deepStrictEqual(to.believed, a!.content())
    }
    assert.strictEqual(a!.content().size, 50 + 50 + 1)
    assert.isTrue(c!.changes.length - before <= 26, "c is told only what has changed since")
  })

  it("[D14] keeps a copy that follows every write as small as its content", () => {
    const [a, b] = copies("1/a", "1/b")
    for (let i = 0; i < 3000; i++) {
      a!.replica.write(`key ${i % 3}`, i)
      pull(b!, a!)
    }
    assert.deepStrictEqual(b!.content(), a!.content())
    assert.deepStrictEqual(b!.replica.deltasFor(new Map(), 1e9), a!.replica.deltasFor(new Map(), 1e9))
  })

  it("has a digest hash of its versions, in whatever order they came", () => {
    const [a, b, c, d] = copies("1/a", "1/b", "1/c", "1/d")
    assert.strictEqual(a!.replica.digestHash(), b!.replica.digestHash(), "of nothing")
    const seen = new Set<number>([a!.replica.digestHash()])
    for (let i = 0; i < 500; i++) {
      a!.replica.write("x", i)
      seen.add(a!.replica.digestHash())
    }
    assert.strictEqual(seen.size, 501, "every write changes it")
    b!.replica.write("y", 1)
    for (const from of [a!, b!]) pull(c!, from)
    for (const from of [b!, a!]) pull(d!, from)
    assert.strictEqual(c!.replica.digestHash(), d!.replica.digestHash())
    assert.notStrictEqual(c!.replica.digestHash(), a!.replica.digestHash())
    const together = c!.replica.digestHash()
    c!.replica.bury("1/b")
    assert.strictEqual(c!.replica.digestHash(), a!.replica.digestHash())
    c!.replica.exhume("1/b")
    pull(c!, b!)
    assert.strictEqual(c!.replica.digestHash(), together)
  })

  it("tells apart versions that are exchanged between sections", () => {
    const [a, b, c, d] = copies("1/a", "1/b", "1/c", "1/d")
    a!.replica.write("x", 1)
    for (let i = 0; i < 2; i++) b!.replica.write("x", i)
    pull(c!, a!)
    c!.replica.apply({ section: "1/b", from: 0, to: 2, swept: 0, entries: [] })
    d!.replica.apply({ section: "1/a", from: 0, to: 2, swept: 0, entries: [] })
    d!.replica.apply({ section: "1/b", from: 0, to: 1, swept: 0, entries: [] })
    assert.notStrictEqual(c!.replica.digestHash(), d!.replica.digestHash())
  })

  const step = Schema.Union([
    Schema.TaggedStruct("Write", { node: int(0, 2), key: int(0, 4), erase: Schema.Boolean, size: int(0, 60) }),
    Schema.TaggedStruct("Pull", { to: int(0, 2), from: int(0, 2), maxBytes: int(1, 120) }),
    Schema.TaggedStruct("Cut", { to: int(0, 2), from: int(0, 2), maxBytes: int(1, 120), keep: int(0, 2) }),
    Schema.TaggedStruct("Hold", { for: int(0, 2), from: int(0, 2), maxBytes: int(1, 120) }),
    Schema.TaggedStruct("Deliver", { to: int(0, 2), which: int(0, 7) }),
    Schema.TaggedStruct("Drop", { at: int(0, 2), section: int(0, 2) })
  ])

  it.prop(
    "[P61] any interleaving of small, cut, late, doubled and misdirected deltas converges; changes are exact",
    [list(step, 0, 60), int(1, 100)],
    ([steps, maxBytes]) => {
      const all = copies(...sectionIds)
      const written = new Map<string, unknown>()
      const held: Array<Delta> = []
      let count = 0
      /** Versions only grow, a section's drop aside. */
      const apply = (to: Copy, delta: Delta): void => {
        const before = to.replica.version(delta.section)
        const state = to.state()
        const taken = to.replica.apply(delta)
        const after = to.replica.version(delta.section)
        if (delta.section === to.replica.own || delta.from > before || delta.to <= before) {
          assert.deepStrictEqual(to.state(), state)
          assert.strictEqual(taken, delta.section === to.replica.own || delta.from <= before)
        } else {
          assert.isTrue(taken)
          assert.strictEqual(after, delta.to)
        }
      }
      for (const step of steps) {
        switch (step._tag) {
          case "Write": {
            const { replica } = all[step.node]!
            const value = step.erase ? undefined : `${++count}${"x".repeat(step.size)}`
            const before = replica.version(replica.own)
            assert.strictEqual(replica.write(`${step.key}`, value), before + 1)
            written.set(`${replica.own}\n${step.key}`, value)
            if (value === undefined) written.delete(`${replica.own}\n${step.key}`)
            break
          }
          case "Pull":
            for (const delta of all[step.from]!.replica.deltasFor(all[step.to]!.replica.versions(), step.maxBytes)) {
              apply(all[step.to]!, delta)
            }
            break
          case "Cut":
            // the frame is lost half way: only some of its deltas arrive
            for (
              const delta of all[step.from]!.replica.deltasFor(all[step.to]!.replica.versions(), step.maxBytes)
                .slice(0, step.keep)
            ) apply(all[step.to]!, delta)
            break
          case "Hold":
            held.push(...all[step.from]!.replica.deltasFor(all[step.for]!.replica.versions(), step.maxBytes))
            break
          case "Deliver": {
            const delta = held[step.which % Math.max(1, held.length)]
            if (delta !== undefined) apply(all[step.to]!, delta)
            break
          }
          case "Drop":
            all[step.at]!.replica.bury(sectionIds[step.section]!)
            all[step.at]!.replica.exhume(sectionIds[step.section]!)
            break
        }
      }
      for (const copy of all) assert.deepStrictEqual(copy.believed, copy.content())
      for (const one of all) {
        for (const other of all) {
          const same = JSON.stringify([...one.replica.versions()].sort()) ===
            JSON.stringify([...other.replica.versions()].sort())
          assert.strictEqual(one.replica.digestHash() === other.replica.digestHash(), same)
        }
      }
      converge(all, maxBytes)
      for (const copy of all) {
        assert.deepStrictEqual(copy.content(), written)
        assert.deepStrictEqual(copy.believed, written)
        assert.strictEqual(copy.replica.digestHash(), all[0]!.replica.digestHash())
        for (const id of sectionIds) assert.strictEqual(copy.replica.version(id), all[0]!.replica.version(id))
      }
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("sweeping", () => {
  const step = Schema.Union([
    Schema.TaggedStruct("Write", { node: int(0, 2), key: int(0, 3), erase: Schema.Boolean }),
    Schema.TaggedStruct("Pull", { to: int(0, 2), from: int(0, 2), maxBytes: int(1, 120) }),
    Schema.TaggedStruct("Hold", { for: int(0, 2), from: int(0, 2), maxBytes: int(1, 120) }),
    Schema.TaggedStruct("Deliver", { to: int(0, 2), which: int(0, 7) }),
    Schema.TaggedStruct("Sweep", { node: int(0, 2), less: int(0, 3) })
  ])

  it.prop(
    "what all have seen, whenever and in whatever order it is told, erases nothing that stands and keeps nothing erased",
    [list(step, 0, 60), int(1, 100)],
    ([steps, maxBytes]) => {
      const all = copies(...sectionIds)
      const written = new Map<string, unknown>()
      const held: Array<Delta> = []
      let count = 0
      const sweep = ({ replica }: Copy, less: number): void =>
        replica.sweep(Math.min(...all.map((copy) => copy.replica.version(replica.own))) - less)
      for (const step of steps) {
        switch (step._tag) {
          case "Write": {
            const { replica } = all[step.node]!
            const value = step.erase ? undefined : ++count
            replica.write(`${step.key}`, value)
            written.set(`${replica.own}\n${step.key}`, value)
            if (value === undefined) written.delete(`${replica.own}\n${step.key}`)
            break
          }
          case "Pull":
            pull(all[step.to]!, all[step.from]!, step.maxBytes)
            break
          case "Hold":
            held.push(...all[step.from]!.replica.deltasFor(all[step.for]!.replica.versions(), step.maxBytes))
            break
          case "Deliver": {
            const delta = held[step.which % Math.max(1, held.length)]
            if (delta !== undefined) all[step.to]!.replica.apply(delta)
            break
          }
          case "Sweep":
            sweep(all[step.node]!, step.less)
            break
        }
      }
      const settled = (): void => {
        converge(all, maxBytes)
        for (const copy of all) {
          assert.deepStrictEqual(copy.content(), written)
          assert.deepStrictEqual(copy.believed, written)
        }
      }
      settled()
      for (const copy of all) sweep(copy, 0)
      for (const copy of all) {
        copy.replica.write("last", 0)
        written.set(`${copy.replica.own}\nlast`, 0)
      }
      settled()
      const newcomer = new Copy("1/new")
      for (const copy of [...all, newcomer]) {
        if (copy === newcomer) pull(newcomer, all[0]!)
        const passedOn = copy.replica.deltasFor(new Map(), 1e9).flatMap(({ entries }) => entries)
        assert.strictEqual(passedOn.length, written.size, "nothing but what stands")
      }
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("weigh", () => {
  it("is near the encoded size, and never less than the bytes and characters inside", () => {
    assert.isTrue(weigh("x".repeat(100)) >= 100)
    assert.isTrue(weigh(new Uint8Array(100)) >= 100)
    assert.isTrue(weigh(["x".repeat(50), { y: "x".repeat(50) }]) >= 100)
    for (const small of [1, true, null, undefined, 1.5]) assert.isTrue(weigh(small) <= 9)
  })
})
