// What is kept of others' processes, and what has gone into what: for whatever comes in whatever order.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { ClaimId, SectionId } from "../../src/protocol/ids.ts"
import {
  afterAll,
  decodeSnapshot,
  encodeSnapshot,
  type Gone,
  isIn,
  isNewer,
  lineages,
  type Snapshot,
  SnapshotTable
} from "../../src/protocol/snapshots.ts"

const A: SectionId = "1/a"
const B: SectionId = "1/b"

const snapshot = (change: Partial<Snapshot> = {}): Snapshot => ({
  epoch: 1,
  seq: 1,
  holder: A,
  after: [],
  takenMs: 0,
  continuity: 0,
  isComplete: true,
  type: "T",
  state: new Uint8Array(10),
  ledger: [],
  ...change
})

const gone = (holder: SectionId, epoch: number, seq = Infinity): Gone => ({ holder, epoch, seq })

const small = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
const Goner = Schema.Struct({ holder: Schema.Literals([A, B, "2/a", "1/a/b"]), epoch: small, seq: small })

describe("what has gone into a state", () => {
  it("is all that a holder had come to, where it has gone on no more", () => {
    const after = afterAll([], [gone(A, 5)])
    assert.isTrue(isIn(after, gone(A, 5, 1000)))
    assert.isTrue(isIn(after, gone(A, 4, 1)))
    assert.isFalse(isIn(after, gone(A, 6, 1)))
    assert.isFalse(isIn(after, gone(B, 5, 1)))
    assert.isFalse(isIn(after, gone("2/a", 5, 1)), "another run of the same node")
  })

  it("is what was found of one that may have gone on, and no more", () => {
    const after = afterAll([], [gone(A, 5, 7)])
    assert.isTrue(isIn(after, gone(A, 5, 7)))
    assert.isTrue(isIn(after, gone(A, 4, 100)))
    assert.isFalse(isIn(after, gone(A, 5, 8)))
    assert.isFalse(isIn(after, gone(A, 5)))
  })

  it("is nothing where nothing was found, and that is known", () => {
    const after = afterAll([], [gone(A, 5, 0)])
    assert.isTrue(isIn(after, gone(A, 5, 0)))
    assert.isFalse(isIn(after, gone(A, 5, 1)))
    assert.isFalse(isIn(after, gone(A, 4, 1)), "what it had kept before that epoch")
    const both = afterAll(after, [gone(A, 4, 7)])
    assert.isTrue(isIn(both, gone(A, 5, 0)))
    assert.isTrue(isIn(both, gone(A, 4, 7)))
    assert.isFalse(isIn(both, gone(A, 4, 8)))
  })

  it("does not grow with each move between the same nodes, and has a bound", () => {
    let after: ReadonlyArray<ClaimId> = []
    for (let epoch = 1; epoch < 100; epoch++) after = afterAll(after, [gone(epoch % 2 === 0 ? A : B, epoch)])
    assert.lengthOf(after, 2)
    for (let boot = 1; boot < 100; boot++) after = afterAll(after, [gone(`${boot}/c`, 100 + boot)])
    assert.lengthOf(after, 16)
    assert.isTrue(isIn(after, gone("99/c", 199)))
  })

  it("is not told by what is not of this kind", () => {
    for (const id of ["", "/", "x/1/a", "1:x/1/a", ":/1/a", "1", "NaN/1/a"]) {
      assert.isFalse(isIn([id], gone(A, 1, 1)), id)
    }
  })

  it.prop(
    "is never less for having more noted, whatever the order",
    [Schema.Array(Goner).check(Schema.isMaxLength(8)), Goner],
    ([noted, asked]) => {
      const forth = afterAll([], noted)
      const back = afterAll([], [...noted].reverse())
      const expected = noted.some((one) => isIn(afterAll([], [one]), asked))
      assert.strictEqual(isIn(forth, asked), expected)
      assert.strictEqual(isIn(back, asked), expected)
      assert.strictEqual(isIn(afterAll(forth, [asked]), asked), true)
    }
  )
})

describe("lineages", () => {
  it("are the newest of each holder that has gone into no other", () => {
    const old = snapshot({ seq: 1 })
    const own = snapshot({ seq: 2 })
    const next = snapshot({ holder: B, epoch: 2, after: afterAll([], [gone(A, 1, 2)]) })
    assert.deepStrictEqual(lineages([old, next, own]), [next])
    const later = snapshot({ seq: 3 })
    assert.deepStrictEqual(lineages([old, next, later]), [next, later])
    assert.deepStrictEqual(lineages([]), [])
  })

  it.prop("lose nobody, whatever the order", [Schema.Array(Goner).check(Schema.isMaxLength(6))], ([all]) => {
    const found = all.map((one, at) =>
      snapshot({ ...one, seq: at, after: afterAll([], all.filter(({ holder }) => holder !== one.holder)) })
    )
    const left = lineages(found)
    assert.strictEqual(left.length > 0, found.length > 0)
    for (const one of found) {
      const covers = (other: Snapshot): boolean =>
        isIn(other.after, one) || (other.holder === one.holder && !isNewer(one, other))
      // through one that has itself gone into another
      const covered = left.some(covers) || found.some((middle) => middle !== one && covers(middle))
      assert.isTrue(covered)
    }
    assert.deepStrictEqual(new Set(lineages([...found].reverse())), new Set(left))
  })
})

describe("a table of snapshots", () => {
  it("keeps the newest of each holder, and one sent again", () => {
    const table = new SnapshotTable(1000)
    assert.strictEqual(table.keep("n", snapshot({ seq: 2 })), "kept")
    assert.strictEqual(table.keep("n", snapshot({ seq: 2 })), "kept")
    assert.strictEqual(table.keep("n", snapshot({ seq: 1 })), "stale")
    assert.strictEqual(table.keep("n", snapshot({ holder: B, seq: 1 })), "kept")
    assert.strictEqual(table.keep("n", snapshot({ seq: 1, epoch: 2 })), "kept")
    assert.deepStrictEqual(table.of("n").map(({ epoch, seq }) => [epoch, seq]), [[2, 1], [1, 1]])
    assert.strictEqual(table.size, 2)
  })

  it("takes nothing below what it has promised, which only rises", () => {
    const table = new SnapshotTable(1000)
    table.keep("n", snapshot())
    assert.lengthOf(table.promise("n", 5), 1)
    assert.lengthOf(table.promise("n", 3), 1)
    assert.strictEqual(table.promised("n"), 5)
    assert.strictEqual(table.keep("n", snapshot({ epoch: 4, seq: 100 })), "stale")
    assert.strictEqual(table.keep("n", snapshot({ epoch: 5 })), "kept")
    assert.strictEqual(table.keep("other", snapshot()), "kept")
  })

  it("has a bound, counts what is answered along with it, and has room again for what is dropped", () => {
    const table = new SnapshotTable(1000)
    assert.strictEqual(table.keep("n", snapshot({ state: new Uint8Array(400) })), "kept")
    assert.strictEqual(table.keep("m", snapshot({ state: new Uint8Array(1000) })), "full")
    assert.strictEqual(table.keep("m", snapshot({ ledger: [["1/c", 1, 0, [0, "x".repeat(1000)]]] })), "full")
    assert.isFalse(table.has("m"))
    assert.strictEqual(
      table.keep("n", snapshot({ seq: 2, state: new Uint8Array(900) })),
      "kept",
      "in place of the other"
    )
    table.drop("n", B)
    assert.strictEqual(table.size, 1)
    table.drop("n", A)
    assert.strictEqual(table.bytes, 0)
    table.drop("n")
    assert.isTrue(table.isEmpty)
  })

  it("tells names with whatever is in them", () => {
    const table = new SnapshotTable(1000)
    table.keep("s\na\nb", snapshot())
    assert.deepStrictEqual([...table.names()], [["s", "a\nb"]])
  })

  const Step = Schema.Struct({
    what: Schema.Literals(["keep", "promise", "drop", "dropAll"]),
    name: Schema.Literals(["n", "m"]),
    holder: Schema.Literals([A, B]),
    epoch: small,
    seq: small,
    bytes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 }))
  })

  it.prop("counts right, keeps no older one, and is empty after all is dropped", [Schema.Array(Step)], ([steps]) => {
    const table = new SnapshotTable(1000)
    for (const { bytes, epoch, holder, name, seq, what } of steps) {
      const before = table.of(name).find((one) => one.holder === holder)
      if (what === "keep") {
        const one = snapshot({ epoch, seq, holder, state: new Uint8Array(bytes) })
        const kept = table.keep(name, one)
        const now = table.of(name).find((other) => other.holder === holder)
        assert.strictEqual(now, kept === "kept" ? one : before)
        if (before !== undefined) assert.isFalse(now === undefined || isNewer(before, now))
        if (kept === "kept") assert.isAtLeast(epoch, table.promised(name))
      }
      if (what === "promise") table.promise(name, epoch)
      if (what === "drop") table.drop(name, holder)
      if (what === "dropAll") table.drop(name)
      assert.strictEqual(table.size, table.of("n").length + table.of("m").length)
      assert.isAtMost(table.bytes, 1000)
    }
    for (const name of ["n", "m"]) table.drop(name)
    assert.strictEqual(table.bytes, 0)
    assert.isTrue(table.isEmpty)
  })
})

describe("a snapshot in a frame", () => {
  it("comes out as it went in", () => {
    const one = snapshot({ after: ["5:7/1/b"], state: new Uint8Array([1, 2, 255]), ledger: [["1/c", 1, 0, [0, "x"]]] })
    assert.deepStrictEqual(decodeSnapshot(encodeSnapshot(one)), one)
  })

  it("is refused where a part of it is not what it should be", () => {
    const fields = encodeSnapshot(snapshot())
    for (let at = 0; at < fields.length; at++) {
      for (const bad of [null, undefined, {}, -1, 0.5, NaN, "x", [{}], [-1], ["1", 256], true, 2 ** 60]) {
        const frame = [...fields]
        frame[at] = bad
        try {
          const decoded = decodeSnapshot(frame)
          for (const count of [decoded.epoch, decoded.seq, decoded.takenMs, decoded.continuity]) {
            assert.isTrue(Number.isSafeInteger(count) && count >= 0, `field ${at} as ${String(bad)}`)
          }
          assert.instanceOf(decoded.state, Uint8Array)
          assert.isTrue([decoded.holder, decoded.type, ...decoded.after].every((text) => typeof text === "string"))
        } catch (error) {
          assert.notInstanceOf(error, TypeError, `field ${at} as ${String(bad)}`)
        }
      }
      assert.throws(() => decodeSnapshot(fields.slice(0, at)))
    }
    for (const bad of [null, undefined, 1, "x", {}, new Uint8Array(3)]) assert.throws(() => decodeSnapshot(bad))
  })

  it("holds bytes of its own, each of them a byte", () => {
    const bytes = new Uint8Array([1, 2, 3])
    const decoded = decodeSnapshot(encodeSnapshot(snapshot({ state: bytes })))
    bytes[0] = 9
    assert.deepStrictEqual([...decoded.state], [1, 2, 3])
    const frame = [...encodeSnapshot(snapshot())]
    frame[8] = [1, 300]
    assert.throws(() => decodeSnapshot(frame))
  })
})
