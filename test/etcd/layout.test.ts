// Keys and values in etcd: what is written is read again; what anybody else wrote there is told apart from nothing.
import { assert, describe, it } from "@effect/vitest"
import {
  decodeEntry,
  decodeMember,
  decodeName,
  decodeVersion,
  encodeEntry,
  encodeMember,
  encodeName,
  encodeVersion,
  Layout,
  type NameRecord
} from "../../adapters/etcd/ground/layout.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { nameKey, swormKey } from "../../src/protocol/entries.ts"
import { hash32 } from "../../src/protocol/hash.ts"
import { sectionId } from "../../src/protocol/ids.ts"
import type { Member } from "../../src/protocol/swim.ts"
import { claim, int, list, text, tomb } from "../protocol/support.ts"

const layout = new Layout("sworm/prod/")

const sections = [sectionId("a", 1), sectionId("eu/west/1", 1_700_000_000_000), sectionId("!/~", 3), sectionId("n/", 7)]
const names = ["x", "", " ", "a b", "a/b", "s/1/a x", "two\nlines", "\0", "ключ", "🜁/🜂 🜃", "ended", "n/x"]
  .map((name) => nameKey("Things", name))

describe("keys", () => {
  it("each is read as what it was made for", () => {
    for (const section of sections) {
      assert.deepStrictEqual(layout.placeOf(layout.member(section)), { _tag: "Member", section })
      assert.deepStrictEqual(layout.placeOf(layout.version(section)), { _tag: "Version", section })
      for (const key of [...names, swormKey("Things"), swormKey("a b/c")]) {
        assert.deepStrictEqual(layout.placeOf(layout.entry(section, key)), { _tag: "Entry", section, key })
        assert.isTrue(layout.entry(section, key).startsWith(layout.entries(section)))
      }
    }
    for (const name of names) {
      assert.deepStrictEqual(layout.placeOf(layout.name(name)), { _tag: "Name", name })
    }
    assert.deepStrictEqual(layout.placeOf(layout.ended), { _tag: "Ended" })
  })

  it("no two places share one", () => {
    const keys = [
      layout.ended,
      ...names.map((name) => layout.name(name)),
      ...sections.flatMap((section) => [
        layout.member(section),
        layout.version(section),
        ...names.map((name) => layout.entry(section, name))
      ])
    ]
    assert.strictEqual(new Set(keys).size, keys.length)
  })

  it("those of one section are not below another's", () => {
    // a prefix of the other, but for the space
    assert.isFalse(layout.entry(sectionId("ab", 1), "k").startsWith(layout.entries(sectionId("a", 1))))
    assert.isFalse(layout.entry(sectionId("a", 11), "k").startsWith(layout.entries(sectionId("a", 1))))
  })

  it("what is not Sworm's is nothing", () => {
    const foreign = [
      "",
      "ended",
      "sworm/prod",
      "sworm/prod/",
      "sworm/prod/x/y",
      "sworm/prod/ended/",
      "sworm/prod/m",
      "sworm/prod/nx",
      "sworm/other/m/1/a",
      // no section, or no key
      "sworm/prod/m/",
      "sworm/prod/m/a",
      "sworm/prod/m/0/a",
      "sworm/prod/m/1/",
      "sworm/prod/v/x/a",
      "sworm/prod/s/1/a",
      "sworm/prod/s/a nThings\nx"
    ]
    for (const key of foreign) assert.isUndefined(layout.placeOf(key), JSON.stringify(key))
  })

  it.prop("any name, below any prefix", [text, text, text], ([prefix, sworm, name]) => {
    const other = new Layout(`${prefix}/`)
    const key = nameKey(sworm, name)
    const section = sectionId("node", 5)
    assert.deepStrictEqual(other.placeOf(other.name(key)), { _tag: "Name", name: key })
    assert.deepStrictEqual(other.placeOf(other.entry(section, key)), { _tag: "Entry", section, key })
  })
})

const member: Member = {
  id: "eu/west/1",
  boot: 1_700_000_000_000,
  incarnation: 3,
  status: "alive",
  address: "ws://10.0.0.5:4100",
  synced: true,
  labels: { zone: "eu 1", "": "ключ" },
  cordoned: false,
  hash: hash32("eu/west/1")
}
const section = sectionId(member.id, member.boot)

const records: ReadonlyArray<NameRecord> = [
  { _tag: "Held", holder: section, epoch: Number.MAX_SAFE_INTEGER, isNew: true },
  { _tag: "Held", holder: "", epoch: 0, isNew: false },
  { _tag: "Alias", of: nameKey("Things", "two\nlines") }
]

describe("values", () => {
  it("members, names, entries and versions are read as they were written", () => {
    const variants: ReadonlyArray<Member> = [
      member,
      { ...member, status: "leaving", synced: false, cordoned: true, labels: {}, address: "" }
    ]
    for (const one of variants) assert.deepStrictEqual(decodeMember(section, encodeMember(one)), one)
    for (const record of records) assert.deepStrictEqual(decodeName(encodeName(record)), record)
    const key = nameKey("Things", "x")
    const value = { claim: claim(4, ["1/1/a"], { groups: ["g"], metadata: { a: [1] } }), tomb: tomb(3, ["2/1/a"]) }
    assert.deepStrictEqual(decodeEntry(key, encodeEntry(key, 12, value)), { version: 12, value })
    for (const version of [0, 1, Number.MAX_SAFE_INTEGER]) {
      assert.strictEqual(decodeVersion(new TextEncoder().encode(encodeVersion(version))), version)
    }
  })

  it("what is left out of a member is not cordoned", () => {
    const { cordoned: _, ...rest } = member
    assert.deepStrictEqual(decodeMember(section, encodeMember(rest)), member)
  })

  const bad: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["nothing", undefined],
    ["null", null],
    ["a number", 1],
    ["no fields", []],
    ["a field too many", [0, 1, "a", true, false, [], 1]],
    ["an object", { holder: "1/a" }],
    ["wrong kinds", ["x", -1, 1, 1, 1, 1]],
    ["another status", [9, 1, "a", true, false, []]],
    ["half a label", [0, 1, "a", true, false, [["k"]]]],
    ["a holder that is a number", [1, 1, true]],
    ["a holder that is no node", ["somebody", 1, true]],
    ["a negative epoch", ["1/a", -1, true]],
    ["half an epoch", ["1/a", 1.5, true]],
    ["an epoch that is text", ["1/a", "1", true]],
    ["an alias of nothing", [null]]
  ]
  for (const [what, value] of bad) {
    it(`hostile: ${what}`, () => {
      const bytes = new Uint8Array(msgpack.encode(value))
      assert.isUndefined(decodeMember(section, bytes))
      assert.isUndefined(decodeName(bytes))
      assert.isUndefined(decodeEntry(nameKey("Things", "x"), bytes))
      assert.isUndefined(decodeVersion(bytes))
    })
  }

  it("hostile: no message at all, or half of one", () => {
    const whole = [encodeMember(member), ...records.map(encodeName), encodeEntry("sThings", 1, undefined)]
    for (const bytes of [new Uint8Array(), new Uint8Array([0xc1]), new Uint8Array(64).fill(255), ...whole]) {
      for (let length = 0; length < bytes.length; length++) {
        const part = bytes.slice(0, length)
        assert.isUndefined(decodeMember(section, part))
        assert.isUndefined(decodeName(part))
        assert.isUndefined(decodeEntry("sThings", part))
      }
    }
    for (const value of ["-1", "1.5", "x", "1e99", String(2 ** 53)]) {
      assert.isUndefined(decodeVersion(new TextEncoder().encode(value)), value)
    }
  })

  it.prop("any bytes: read, or not, and never thrown", [list(int(0, 255), 0, 40)], ([bytes]) => {
    const value = Uint8Array.from(bytes)
    for (const read of [decodeName, decodeVersion, (of: Uint8Array) => decodeMember(section, of)]) read(value)
    decodeEntry(nameKey("Things", "x"), value)
  })
})
