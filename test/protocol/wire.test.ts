// What crosses a connection: every message comes back as it went, and whatever else comes is refused, not half read.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Claim } from "../../src/protocol/claims.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import type { SwimMessage } from "../../src/protocol/swim.ts"
import {
  BadFrame,
  decodeChange,
  decodeClaim,
  decodeSpec,
  decodeSwim,
  decodeSync,
  encodeChange,
  encodeClaim,
  encodeSpec,
  encodeSwim,
  encodeSync,
  givenUpKey,
  metaKey,
  nameKey,
  parseKey,
  swormKey,
  type SyncMessage
} from "../../src/protocol/wire.ts"
import type { Change } from "../../src/protocol/extras.ts"
import { claim, entry, int, list, modes, released, text, tomb } from "./support.ts"

const count = int(0, Number.MAX_SAFE_INTEGER)

const millis = Schema.Union([count, Schema.Literals([0.5, 1e9])])

const section: Schema.Codec<string> = Schema.Literals([
  "1/a",
  "7/b/c",
  "1790000000000/日本",
  "12/ ",
  "9007199254740991/a"
])

const anySpec = Schema.Struct({
  type: text,
  args: Schema.Union([
    Schema.Null,
    Schema.Boolean,
    int(-1000, 1000),
    text,
    list(text, 0, 3),
    Schema.Struct({ at: text })
  ]),
  restart: Schema.Literals(["permanent", "transient", "temporary"]),
  options: Schema.optionalKey(Schema.Struct({
    restartLimit: Schema.UndefinedOr(Schema.Struct({ max: count, withinMs: millis })),
    startTimeoutMs: Schema.UndefinedOr(millis),
    shutdownTimeoutMs: Schema.UndefinedOr(millis),
    idleTimeoutMs: Schema.UndefinedOr(millis),
    mailboxCapacity: Schema.UndefinedOr(count),
    handoff: Schema.UndefinedOr(Schema.Boolean)
  }))
})

const anyTimer = Schema.Struct({
  id: text,
  atMs: count,
  everyMs: Schema.UndefinedOr(int(10, 10_000)),
  tag: text,
  payload: Schema.NullOr(text)
})

const anyLink = Schema.Struct({
  strategy: Schema.Literals(["one_for_all", "rest_for_one"]),
  names: list(text, 0, 3),
  stamp: count
})

const anyExtras = Schema.Struct({
  aliases: list(text, 0, 2),
  timers: list(anyTimer, 0, 2),
  leaseMs: Schema.UndefinedOr(millis),
  link: Schema.UndefinedOr(anyLink),
  isDown: Schema.Boolean,
  replicas: Schema.UndefinedOr(
    Schema.Struct({ epoch: count, seq: count, nodes: Schema.Array(section), after: Schema.Array(text) })
  )
})

const anyClaim = Schema.Struct({
  epoch: count,
  start: count,
  registrations: list(text, 1, 3),
  mode: Schema.Literals(["live", "prepared", "released", "adopted"]),
  merged: list(text, 0, 3),
  continuity: count,
  spec: Schema.UndefinedOr(anySpec),
  metadata: Schema.UndefinedOr(Schema.Union([text, Schema.Boolean, Schema.Record(Schema.Literals(["a", "b"]), text)])),
  groups: list(text, 0, 3),
  successor: Schema.UndefinedOr(section),
  extras: Schema.UndefinedOr(anyExtras)
})

const anyTomb = Schema.Struct({
  registrations: list(text, 0, 3),
  epoch: count,
  reason: Schema.Literals(["Unregistered", "Ended", "Crashed", "GivenUp", "LeaseExpired", "OwnerGone"])
})

const anyChange: Schema.Codec<Change> = Schema.Union([
  Schema.TaggedStruct("Join", { group: text }),
  Schema.TaggedStruct("Leave", { group: text }),
  Schema.TaggedStruct("Alias", { alias: text }),
  Schema.TaggedStruct("Unalias", { alias: text }),
  Schema.TaggedStruct("Metadata", { metadata: Schema.UndefinedOr(text) }),
  Schema.TaggedStruct("SetTimer", { timer: anyTimer }),
  Schema.TaggedStruct("ClearTimer", { id: text }),
  Schema.TaggedStruct("Link", { link: Schema.UndefinedOr(anyLink) }),
  Schema.TaggedStruct("Renew", {})
])

/** Entries of a delta, before they are given rising versions. */
const anyValue = Schema.Union([
  Schema.TaggedStruct("Name", { key: text, claim: Schema.UndefinedOr(anyClaim), tomb: Schema.UndefinedOr(anyTomb) }),
  Schema.TaggedStruct("Hosts", {
    key: text,
    offer: Schema.Struct({ types: list(text, 0, 3), placement: text, maxChildren: count })
  }),
  Schema.TaggedStruct("Meta", { key: text, stamp: count, value: Schema.UndefinedOr(Schema.NullOr(text)) }),
  Schema.TaggedStruct("GivenUp", {
    key: text,
    entry: Schema.Struct({
      epoch: count,
      stamp: count,
      detail: text,
      spec: anySpec,
      metadata: Schema.UndefinedOr(text),
      groups: list(text, 0, 2)
    })
  }),
  Schema.TaggedStruct("Later", { key: text, value: Schema.Union([text, count, list(count, 0, 2)]) }),
  Schema.TaggedStruct("Erased", { key: text })
])

const anySync: Schema.Codec<SyncMessage> = Schema.Union([
  Schema.TaggedStruct("Hash", { hash: int(0, 0xffffffff) }),
  Schema.TaggedStruct("Same", { hash: int(0, 0xffffffff) }),
  Schema.TaggedStruct("Stored", { version: count })
])

const anyUpdate = Schema.Struct({
  id: text,
  boot: count,
  incarnation: count,
  status: Schema.Literals(["alive", "leaving", "suspect", "dead", "left"]),
  address: text,
  synced: Schema.Boolean,
  labels: Schema.Record(text, text),
  cordoned: Schema.optionalKey(Schema.Literal(true))
})

const updates = list(anyUpdate, 0, 4)

const anySwim: Schema.Codec<SwimMessage> = Schema.Union([
  Schema.TaggedStruct("Ping", { seq: count, updates }),
  Schema.TaggedStruct("Ack", { seq: count, updates }),
  Schema.TaggedStruct("PingReq", { seq: count, target: text }),
  Schema.TaggedStruct("Nack", { seq: count, outcome: Schema.Literals(["answered", "refused", "silent"]) }),
  Schema.TaggedStruct("Gossip", { updates }),
  Schema.TaggedStruct("State", { updates, answer: Schema.Boolean })
])

const throughBytes = (value: unknown): unknown => msgpack.decode(msgpack.encode(value))

/** Reads a message that may be anything; `undefined` when it was refused in the way that is promised. */
const read = <A>(decode: (u: unknown) => A, u: unknown): A | undefined => {
  try {
    return decode(u)
  } catch (error) {
    assert.instanceOf(error, BadFrame)
    return undefined
  }
}

const unpack = (bytes: Uint8Array): { readonly value: unknown } | undefined => {
  try {
    return { value: msgpack.decode(bytes) }
  } catch (error) {
    assert.instanceOf(error, Error)
    return undefined
  }
}

/** Whatever was accepted is a message: it can be sent on, and is the same then. */
const checkAccepted = (value: unknown): void => {
  const sync = read(decodeSync, value)
  if (sync !== undefined) assert.deepStrictEqual(decodeSync(encodeSync(sync)), sync)
  const swim = read(decodeSwim, value)
  if (swim !== undefined) assert.deepStrictEqual(decodeSwim(encodeSwim(swim)), swim)
}

const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)
const utf8 = (text: string): ReadonlyArray<number> => [...new TextEncoder().encode(text)]

describe("round trips", () => {
  it.prop("every membership message", [anySwim], ([message]) => {
    assert.deepStrictEqual(decodeSwim(throughBytes(encodeSwim(message))), message)
  }, { arbitrary: { runs: 300 } })

  it.prop("every short sync message", [anySync], ([message]) => {
    assert.deepStrictEqual(decodeSync(throughBytes(encodeSync(message))), message)
  })

  it.prop(
    "every digest",
    [list(Schema.Tuple([section, count]), 0, 4), Schema.Boolean, count, Schema.Boolean],
    ([pairs, synced, floor, wants]) => {
      const [versions, buried] = [new Map(pairs), new Map(pairs.slice(0, 2))]
      const message: SyncMessage = { _tag: "Digest", versions, buried, synced, floor, wants }
      assert.deepStrictEqual(decodeSync(throughBytes(encodeSync(message))), message)
    }
  )

  it.prop(
    "every delta: claims, tombs, hosts, erased keys and kinds of a later version",
    [section, count, list(Schema.Tuple([anyValue, int(1, 5)]), 0, 5), int(0, 5), count, Schema.Boolean, count],
    ([section, start, values, rest, swept, complete, floor]) => {
      const from = Math.min(start, Number.MAX_SAFE_INTEGER - 100)
      let version = from
      const entries = values.map(([value, gap]): readonly [string, number, unknown] => {
        version += gap
        switch (value._tag) {
          case "Name":
            return [nameKey("sworm", value.key), version, entry(value.claim, value.tomb)]
          case "Hosts":
            return [swormKey(value.key), version, value.offer]
          case "Meta":
            return [metaKey("sworm", value.key), version, { stamp: value.stamp, value: value.value }]
          case "GivenUp":
            return [givenUpKey("sworm", value.key), version, value.entry]
          case "Later":
            return [`z${value.key}`, version, value.value]
          case "Erased":
            return [nameKey("sworm", value.key), version, undefined]
        }
      })
      const delta = { section, from, to: version + rest, swept, entries }
      const message: SyncMessage = { _tag: "Deltas", deltas: [delta, { ...delta, entries: [] }], complete, floor }
      assert.deepStrictEqual(decodeSync(throughBytes(encodeSync(message))), message)
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop("every claim and spec", [anyClaim, anySpec], ([claim, spec]) => {
    assert.deepStrictEqual(decodeClaim(throughBytes(encodeClaim(claim))), claim)
    assert.deepStrictEqual(decodeSpec(throughBytes(encodeSpec(spec))), spec)
  })

  it.prop("every change that a holder is asked for", [anyChange], ([change]) => {
    assert.deepStrictEqual(decodeChange(throughBytes(encodeChange(change))), change)
  })

  it("a wait without a limit", () => {
    const patient = { type: "t", args: null, restart: "permanent", options: { shutdownTimeoutMs: Infinity } } as const
    assert.strictEqual(decodeSpec(throughBytes(encodeSpec(patient))).options?.shutdownTimeoutMs, Infinity)
  })

  it("args of undefined, and bytes", () => {
    const sent = (args: unknown): unknown =>
      decodeSpec(throughBytes(encodeSpec({ type: "t", args, restart: "permanent" }))).args
    assert.isUndefined(sent(undefined))
    assert.deepStrictEqual([...sent(bytes(0, 255)) as Uint8Array], [0, 255])
  })

  it("are plain MessagePack, the same bytes on every runtime", () => {
    assert.deepStrictEqual([...msgpack.encode({ a: 1 })], [0xde, 0, 1, 0xa1, 0x61, 1])
    const hex = (value: unknown): string =>
      [...msgpack.encode(value)].map((b) => b.toString(16).padStart(2, "0")).join("")
    assert.strictEqual(hex(encodeSync({ _tag: "Hash", hash: 0xdeadbeef })), "9200cedeadbeef")
    assert.strictEqual(hex(encodeSwim({ _tag: "Nack", seq: 300, outcome: "silent" })), "9303cd012c02")
    const golden = encodeClaim(claim(7, ["1/1/a"], { start: 2 ** 40, metadata: { zone: "é" }, groups: ["g"] }))
    assert.strictEqual(
      hex(golden),
      "9b07cb427000000000000091a5312f312f610090cd03e894a7436f756e746572de0001a573746172740101c0de0001a47a6f6e65a2c3a991a167c0c0"
    )
    assert.strictEqual(hex(encodeClaim(released(4, ["1/1/a"], "1/b")).slice(-3)), "9390a3312f62c0")
    assert.strictEqual(
      hex(encodeSync({
        _tag: "Deltas",
        deltas: [{ section: "1/a", from: 3, to: 9, swept: 5, entries: [[swormKey("s"), 9, undefined]] }],
        complete: true,
        floor: 0
      })),
      "94029195a3312f6103090593a2737309c0c300"
    )
  })

  it("the largest numbers, as numbers", () => {
    for (const large of [2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      assert.strictEqual(throughBytes(large), large)
      assert.strictEqual(decodeClaim(throughBytes(encodeClaim(claim(large, ["1/1/a"])))).epoch, large)
    }
  })

  it("[H7] a released claim's successor, and none", () => {
    const sent = (claim: Claim): Claim => decodeClaim(throughBytes(encodeClaim(claim)))
    assert.strictEqual(sent(released(4, ["1/1/a"], "1790000000000/b/c")).successor, "1790000000000/b/c")
    const { successor: _, ...without } = released(4, ["1/1/a"])
    assert.deepStrictEqual(sent(without), released(4, ["1/1/a"]))
    assert.isUndefined(sent(without).successor)
  })

  it("long text of every width", () => {
    for (const unit of ["a", "é", "日", "😀"]) {
      for (const length of [0, 1, 15, 16, 31, 32, 139, 255, 256, 5000, 70_000]) {
        assert.strictEqual(throughBytes(unit.repeat(length)), unit.repeat(length))
      }
    }
  })
})

describe("keys", () => {
  it("name a sworm and a name, or a sworm", () => {
    assert.deepStrictEqual(parseKey(nameKey("Counters", "visits")), { _tag: "Name", sworm: "Counters", name: "visits" })
    assert.deepStrictEqual(parseKey(nameKey("s", "a\nb")), { _tag: "Name", sworm: "s", name: "a\nb" })
    assert.deepStrictEqual(parseKey(swormKey("Counters")), { _tag: "Sworm", sworm: "Counters" })
  })

  it("of a later version are nothing to read", () => {
    for (const key of ["", "x", "n", "nno line", "q\ny", "\n", "g", "mno line"]) assert.isUndefined(parseKey(key))
  })

  it.prop("differ for different names", [text, text, text], ([sworm, one, other]) => {
    assert.strictEqual(nameKey(sworm, one) === nameKey(sworm, other), one === other)
    assert.notStrictEqual(nameKey(sworm, one), swormKey(sworm))
  })
})

const goodClaim = encodeClaim(claim(1, ["1/1/a"]))
const goodUpdate = ["a", 1, 0, 0, "a:1", true, [], 0, false]
const withAt = (values: ReadonlyArray<unknown>, at: number, value: unknown): ReadonlyArray<unknown> =>
  values.map((old, i) => i === at ? value : old)
const delta = (...items: ReadonlyArray<unknown>): unknown => [2, [["1/a", 3, 9, 0, items]], true, 0]

describe("messages that are none", () => {
  const notCounts: ReadonlyArray<unknown> = [
    -1,
    1.5,
    NaN,
    Infinity,
    2 ** 53,
    1n,
    "1",
    null,
    undefined,
    [],
    true,
    new Date(1)
  ]

  const sync: ReadonlyArray<readonly [string, unknown]> = [
    ["nothing", undefined],
    ["null", null],
    ["a number", 0],
    ["text", "0"],
    ["an object", { 0: 0, 1: 5 }],
    ["an empty array", []],
    ["an unknown tag", [9, 1]],
    ["a tag as text", ["0", 1]],
    ...notCounts.map((value) => [`a hash of ${String(value)}`, [0, value]] as const),
    ...notCounts.map((value) => [`a version of ${String(value)}`, [3, value]] as const),
    ["a digest of an odd length", [1, ["1/a"], true, 0, true]],
    ["a digest with a bad section", [1, ["a", 1], true, 0, true]],
    ["a digest with a section without a node", [1, ["1/", 1], true, 0, true]],
    ["a digest with a section of a negative boot", [1, ["-1/a", 1], true, 0, true]],
    ["a digest with a section of boot zero", [1, ["0/a", 1], true, 0, true]],
    ["a digest with a boot in another spelling", [1, ["01/a", 1], true, 0, true]],
    ["a digest with a boot in other digits", [1, ["١/a", 1], true, 0, true]],
    ["a digest with a boot that is no exact number", [1, ["9007199254740992/a", 1], true, 0, true]],
    ["a digest with a boot of 17 digits", [1, ["10000000000000000/a", 1], true, 0, true]],
    ["a digest with a section of an endless boot", [1, [`${"9".repeat(400)}/a`, 1], true, 0, true]],
    ["a digest with a bad version", [1, ["1/a", -1], true, 0, true]],
    ["a digest without flags", [1, ["1/a", 1]]],
    ["a digest with flags that are numbers", [1, ["1/a", 1], 1, 0, 1]],
    ["a digest whose wish is a number", [1, ["1/a", 1], true, 0, 1]],
    ["deltas that are no array", [2, {}, true, 0]],
    ["a delta that is too short", [2, [["1/a", 0, 1, []]], true, 0]],
    ["a delta that is too long", [2, [["1/a", 0, 1, 0, [], 0]], true, 0]],
    ["a delta with a bad section", [2, [["x", 0, 1, 0, []]], true, 0]],
    ["a delta that goes back", [2, [["1/a", 5, 4, 0, []]], true, 0]],
    ...notCounts.map((value) =>
      [`a delta swept up to ${String(value)}`, [2, [["1/a", 0, 1, value, []]], true, 0]] as const
    ),
    ["an entry with no version", delta("ns\nx")],
    ["an entry at the version where the delta starts", delta("ns\nx", 3, null)],
    ["entries that fall back", delta("ns\nx", 6, null, "ns\ny", 5, null)],
    ["entries at one version", delta("ns\nx", 6, null, "ns\ny", 6, null)],
    ["an entry past the delta's end", delta("ns\nx", 10, null)],
    ["a name's entry that is no pair", delta("ns\nx", 4, [null])],
    ["a name's entry that is no array", delta("ns\nx", 4, "claim")],
    ["a name's entry that is missing", delta("ns\nx", 4)],
    ["hosts that are no texts", delta("ss", 4, [1])],
    ["a tomb that is too short", delta("ns\nx", 4, [null, [["1/1/a"]]])],
    ["a tomb with a bad epoch", delta("ns\nx", 4, [null, [["1/1/a"], -1]])],
    ["a claim that is too short", delta("ns\nx", 4, [goodClaim.slice(1), null])],
    ["a claim that is too long", delta("ns\nx", 4, [[...goodClaim, 0], null])],
    ...notCounts.map((value) =>
      [`a claim of epoch ${String(value)}`, delta("ns\nx", 4, [withAt(goodClaim, 0, value), null])] as const
    ),
    ["a claim with a bad start", delta("ns\nx", 4, [withAt(goodClaim, 1, -5), null])],
    ["a claim without a registration", delta("ns\nx", 4, [withAt(goodClaim, 2, []), null])],
    ["a claim with registrations that are text", delta("ns\nx", 4, [withAt(goodClaim, 2, "1/1/a"), null])],
    ["a claim with a registration that is a number", delta("ns\nx", 4, [withAt(goodClaim, 2, [1]), null])],
    ["a claim of an unknown mode", delta("ns\nx", 4, [withAt(goodClaim, 3, modes.length), null])],
    ["a claim of a mode by name", delta("ns\nx", 4, [withAt(goodClaim, 3, "live"), null])],
    ["a claim of a mode that every object has", delta("ns\nx", 4, [withAt(goodClaim, 3, "constructor"), null])],
    ["a claim with bad merged ids", delta("ns\nx", 4, [withAt(goodClaim, 4, [null]), null])],
    ["a claim with a bad continuity", delta("ns\nx", 4, [withAt(goodClaim, 5, 0.5), null])],
    ["a claim with a spec too short", delta("ns\nx", 4, [withAt(goodClaim, 6, ["t", null]), null])],
    ["a claim with a spec of an unknown restart", delta("ns\nx", 4, [withAt(goodClaim, 6, ["t", null, 3]), null])],
    ["a claim with a spec of no type", delta("ns\nx", 4, [withAt(goodClaim, 6, [7, null, 0]), null])],
    ["a claim without a spec at all", delta("ns\nx", 4, [withAt(goodClaim, 6, undefined), null])],
    ["a claim with bad groups", delta("ns\nx", 4, [withAt(goodClaim, 8, null), null])],
    ["a claim from before successors", delta("ns\nx", 4, [goodClaim.slice(0, 9), null])],
    ...["b", "0/b", "1/", 1, undefined, []].map((value) =>
      [
        `a claim with a successor of ${JSON.stringify(value)}`,
        delta("ns\nx", 4, [withAt(goodClaim, 9, value), null])
      ] as const
    )
  ]
  it.each(sync)("sync: %s", (_, value) => {
    assert.throws(() => decodeSync(value), BadFrame)
  })

  it("sync: the frames they were made from are good", () => {
    assert.strictEqual(decodeSync(delta("ns\nx", 4, [goodClaim, null]))._tag, "Deltas")
    assert.strictEqual(decodeSync(delta("ns\nx", 4, [null, [["1/1/a"], 1, 0]]))._tag, "Deltas")
    assert.strictEqual(decodeSync(delta("ns\nx", 4, [withAt(goodClaim, 9, "1/b"), null]))._tag, "Deltas")
    assert.strictEqual(decodeSync([2, [["1/a", 0, 1, 0, []]], true, 0])._tag, "Deltas")
    assert.strictEqual(decodeSync([1, ["1/a", 1], true, 0, true, []])._tag, "Digest")
    assert.strictEqual(decodeSync([1, ["9007199254740991/a", 1], true, 0, true, ["1/b", 7]])._tag, "Digest")
  })

  const swim: ReadonlyArray<readonly [string, unknown]> = [
    ["nothing", undefined],
    ["an unknown tag", [6]],
    ["an object", { _tag: "Ping" }],
    ["a ping without updates", [0, 1]],
    ["a ping with a bad number", [0, -1, []]],
    ["a request without a target", [2, 1]],
    ["an unknown outcome", [3, 1, 3]],
    ["a state without its flag", [5, []]],
    ["updates that are no array", [4, "updates"]],
    ["an update that is too short", [4, [goodUpdate.slice(1)]]],
    ["an update that is too long", [4, [[...goodUpdate, 1]]]],
    ["an update of an unknown status", [4, [withAt(goodUpdate, 3, 5)]]],
    ["an update with a bad id", [4, [withAt(goodUpdate, 0, 1)]]],
    ...notCounts.map((value) => [`an update of boot ${String(value)}`, [4, [withAt(goodUpdate, 1, value)]]] as const),
    ...notCounts.map((value) =>
      [`an update of incarnation ${String(value)}`, [4, [withAt(goodUpdate, 2, value)]]] as const
    ),
    ["an update with a bad address", [4, [withAt(goodUpdate, 4, null)]]],
    ["an update with a bad flag", [4, [withAt(goodUpdate, 5, 1)]]],
    ["an update with a bad cordon", [4, [withAt(goodUpdate, 8, 1)]]],
    ["an update with labels that are no texts", [4, [withAt(goodUpdate, 6, ["a", 1])]]],
    ["an update with a label without its value", [4, [withAt(goodUpdate, 6, ["a", "b", "c"])]]],
    ["an update with labels as an object", [4, [withAt(goodUpdate, 6, { a: "b" })]]]
  ]
  it.each(swim)("membership: %s", (_, value) => {
    assert.throws(() => decodeSwim(value), BadFrame)
  })

  it("one bad update among good ones spoils the message: nothing is half applied", () => {
    assert.throws(() => decodeSwim([4, [goodUpdate, withAt(goodUpdate, 1, -1)]]), BadFrame)
    assert.throws(() => decodeSync([2, [["1/a", 0, 1, 0, []], ["1/b", 5, 1, 0, []]], true, 0]), BadFrame)
  })
})

describe("bytes that are none", () => {
  const frames: ReadonlyArray<Uint8Array> = [
    encodeSync({ _tag: "Hash", hash: 0xdeadbeef }),
    encodeSync({
      _tag: "Digest",
      versions: new Map([["1/a", 5], ["1790000000000/b", 2 ** 40]]),
      buried: new Map([["1/c", 7]]),
      synced: true,
      floor: 9,
      wants: false
    }),
    encodeSync({
      _tag: "Deltas",
      deltas: [{
        section: "1/a",
        from: 3,
        to: 9,
        swept: 2,
        entries: [
          [
            nameKey("s", "x"),
            4,
            entry(
              claim(7, ["1/1/a"], { successor: "1/b", metadata: { a: [1, "b"] }, groups: ["g", "h"] }),
              tomb(2, ["0/1/a"])
            )
          ],
          [swormKey("s"), 6, ["Counter"]],
          [nameKey("s", "y"), 7, undefined]
        ]
      }],
      complete: false,
      floor: 1_790_000_000_000
    }),
    encodeSwim({ _tag: "Ping", seq: 77, updates: [] }),
    encodeSwim({
      _tag: "State",
      updates: [{
        id: "a",
        boot: 1_790_000_000_000,
        incarnation: 3,
        status: "suspect",
        address: "10.0.0.1:4100",
        synced: true,
        labels: { zone: "eu" }
      }],
      answer: true
    })
  ].map((value) => msgpack.encode(value))

  it("cut anywhere, a frame is refused", () => {
    for (const frame of frames) {
      assert.isDefined(unpack(frame))
      for (let length = 0; length < frame.length; length++) {
        assert.isUndefined(unpack(frame.slice(0, length)), `${length} of ${frame.length} bytes`)
      }
    }
  })

  it("with anything after it, a frame is refused", () => {
    for (const frame of frames) {
      for (const more of [0, 0x80, 0xc0, 0xff]) assert.isUndefined(unpack(bytes(...frame, more)))
    }
  })

  it("one bit turned, a frame is refused or is another message", () => {
    for (const frame of frames) {
      for (let bit = 0; bit < 8 * frame.length; bit++) {
        const turned = Uint8Array.from(frame)
        turned[bit >> 3]! ^= 1 << (bit & 7)
        const unpacked = unpack(turned)
        if (unpacked !== undefined) checkAccepted(unpacked.value)
      }
    }
  })

  it.prop("many bytes turned, likewise", [int(0, 0x7fffffff), int(1, 12)], ([seed, times]) => {
    const random = seededRandom(seed)
    const below = (n: number): number => Math.floor(random() * n)
    const frame = Uint8Array.from(frames[below(frames.length)]!)
    for (let i = 0; i < times; i++) frame[below(frame.length)] = below(256)
    const unpacked = unpack(frame)
    if (unpacked !== undefined) checkAccepted(unpacked.value)
  }, { arbitrary: { runs: 2000 } })

  it.prop("random bytes, likewise", [list(int(0, 255), 0, 64)], ([values]) => {
    const unpacked = unpack(bytes(...values))
    if (unpacked !== undefined) checkAccepted(unpacked.value)
  }, { arbitrary: { runs: 2000 } })

  it.prop("any plain data, likewise", [Schema.Json], ([value]) => {
    checkAccepted(value)
    for (const tag of [0, 1, 2, 3, 4, 5]) checkAccepted([tag, value, value, value, value])
  }, { arbitrary: { runs: 500 } })

  it("after a refusal the next frame is read as ever", () => {
    for (const frame of frames) {
      unpack(frame.slice(0, -1))
      assert.deepStrictEqual(msgpack.decode(frames[0]!), [0, 0xdeadbeef])
    }
  })

  const announced: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["an array of 4,294,967,295", bytes(0xdd, 255, 255, 255, 255)],
    ["an array of 33,554,431", bytes(0xdd, 1, 255, 255, 255)],
    ["an array of 65,535", bytes(0xdc, 255, 255)],
    ["an object of 4,294,967,295", bytes(0xdf, 255, 255, 255, 255)],
    ["text of 4,294,967,295", bytes(0xdb, 255, 255, 255, 255, 65)],
    ["bytes of 4,294,967,295", bytes(0xc6, 255, 255, 255, 255, 65)],
    ["an extension of 4,294,967,295", bytes(0xc9, 255, 255, 255, 255, 1, 65)],
    // each alone would be 256 MiB: together they would be the end
    ["a thousand arrays in each other", bytes(...Array.from({ length: 1000 }, () => [0xdd, 1, 255, 255, 255]).flat())],
    [
      "a thousand arrays in each other that fit what follows",
      bytes(...Array.from({ length: 1000 }, (_, i) => [0xdd, 0, 0, (5000 - 5 * i) >> 8, (5000 - 5 * i) & 255]).flat())
    ]
  ]
  it.each(announced)("an announced length is no allocation: %s", (_, frame) => assert.isUndefined(unpack(frame)))

  const cyclic: ReadonlyArray<readonly [string, Uint8Array]> = [
    // the extension "i" gives what follows an id, "p" stands for it: 1 is the array itself
    ["an array of itself", bytes(0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1)],
    ["an object of itself", bytes(0xd6, 0x69, 0, 0, 0, 1, 0x81, 0xa1, 0x61, 0xd6, 0x70, 0, 0, 0, 1)],
    ["a part of itself", bytes(0x92, 0x00, 0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1)],
    ["a reference to nothing", bytes(0x91, 0xd6, 0x70, 0, 0, 0, 1)]
  ]
  it.each(cyclic)("nothing refers to itself: %s", (_, frame) => {
    assert.throws(() => msgpack.decode(frame))
    assert.deepStrictEqual(msgpack.decode(frames[0]!), [0, 0xdeadbeef], "the next frame is read")
  })

  it("what refers to itself is not sent; what comes twice is sent twice", () => {
    const array: Array<unknown> = []
    array.push(array)
    assert.throws(() => msgpack.encode(array))
    const object: Record<string, unknown> = {}
    object["self"] = object
    assert.throws(() => msgpack.encode(object))
    const twice = { a: 1 }
    assert.deepStrictEqual(throughBytes([twice, twice]), [twice, twice])
  })

  it("a mebibyte of nesting is refused, and the next frame is read", () => {
    assert.isUndefined(unpack(new Uint8Array(1 << 20).fill(0x91)))
    assert.isUndefined(unpack(new Uint8Array(1 << 20).fill(0x81)))
    assert.deepStrictEqual(msgpack.decode(frames[0]!), [0, 0xdeadbeef])
  })
})

describe("keys that every object has", () => {
  const clean = (): void => {
    assert.deepStrictEqual(Object.keys(Object.prototype), [])
    assert.isUndefined(({} as Record<string, unknown>)["polluted"])
    assert.isUndefined(([] as unknown as Record<string, unknown>)["polluted"])
  }

  it("as labels are labels", () => {
    const labels = ["__proto__", "polluted", "constructor", "x", "toString", "y"]
    const message = decodeSwim(throughBytes([4, [withAt(goodUpdate, 6, labels)]]))
    assert.isTrue(message._tag === "Gossip")
    const [update] = message._tag === "Gossip" ? message.updates : []
    assert.deepStrictEqual(Object.entries(update!.labels), [["__proto__", "polluted"], ["constructor", "x"], [
      "toString",
      "y"
    ]])
    assert.strictEqual(Object.getPrototypeOf(update!.labels), Object.prototype)
    assert.deepStrictEqual(decodeSwim(encodeSwim(message)), message)
    clean()
  })

  it.each([
    ["in metadata", (evil: unknown): Partial<Claim> => ({ metadata: evil })],
    ["in args", (evil: unknown): Partial<Claim> => ({ spec: { type: "t", args: evil, restart: "permanent" } })]
  ])("%s change no prototype", (_, change) => {
    const evil = JSON.parse(
      `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":{"__proto__":[1]}}`
    )
    const decoded = decodeClaim(throughBytes(encodeClaim(claim(1, ["1/1/a"], change(evil)))))
    const got = (decoded.metadata ?? decoded.spec?.args) as Record<string, unknown>
    assert.strictEqual(Object.getPrototypeOf(got), Object.prototype)
    assert.strictEqual(Object.getPrototypeOf(got["a"]), Object.prototype)
    assert.isUndefined(got["polluted"])
    clean()
  })

  it("written as bytes by hand change none either", () => {
    const polluted = [0x81, 0xa8, ...utf8("polluted"), 0x01]
    for (const key of ["__proto__", "constructor", "prototype"]) {
      const map = bytes(0x81, 0xa0 + key.length, ...utf8(key), ...polluted)
      const long = bytes(0xde, 0, 1, 0xd9, key.length, ...utf8(key), ...polluted)
      const nested = bytes(0x81, 0x91, 0xa0 + key.length, ...utf8(key), ...polluted)
      for (const frame of [map, long, nested]) {
        const unpacked = unpack(frame)
        if (unpacked !== undefined) {
          assert.isUndefined((unpacked.value as Record<string, unknown>)["polluted"])
          assert.strictEqual(Object.getPrototypeOf(unpacked.value), Object.prototype)
        }
        clean()
      }
    }
  })

  it("as section ids, names and sworms are just that", () => {
    const message: SyncMessage = {
      _tag: "Deltas",
      deltas: [{
        section: "1/__proto__",
        from: 0,
        to: 1,
        swept: 0,
        entries: [[nameKey("__proto__", "__proto__"), 1, entry(claim(1, ["1/1/a"]))]]
      }],
      complete: true,
      floor: 0
    }
    assert.deepStrictEqual(decodeSync(throughBytes(encodeSync(message))), message)
    assert.deepStrictEqual(parseKey(nameKey("__proto__", "__proto__")), {
      _tag: "Name",
      sworm: "__proto__",
      name: "__proto__"
    })
    clean()
  })
})
