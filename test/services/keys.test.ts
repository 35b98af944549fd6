// Keys are names: equal keys are one name, different keys are two, and a name says which key it is.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Entry } from "../../src/Registry.ts"
import { InvalidInput } from "../../src/SwormError.ts"
import { decodeEntry, makeKeys, makeMetadata, type SwormKeys } from "../../src/runtime/SwormKeys.ts"
import { int, list, text } from "../protocol/support.ts"

/** The error that is thrown, which must be `InvalidInput`. */
const refusal = (run: () => unknown): InvalidInput => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, InvalidInput)
    return error as InvalidInput
  }
  return assert.fail("nothing was refused")
}

/** JSON has one zero only: -0 is the key 0. */
const notMinusZero = Schema.makeFilter((value: number) => !Object.is(value, -0))

const Room = Schema.Struct({
  zone: Schema.String,
  at: Schema.Struct({ y: Schema.Int.check(notMinusZero), x: Schema.Int.check(notMinusZero) }),
  tags: Schema.Array(Schema.Struct({ b: Schema.Boolean, a: Schema.NullOr(Schema.String) }))
})
type Room = (typeof Room)["Type"]

/** The same value with the fields of every object the other way round. */
const turned = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).toReversed().map(([key, field]) => [key, turned(field)]))
}

describe("keys without a schema", () => {
  it("are names as they are", () => {
    const keys = makeKeys(undefined)
    assert.isTrue(keys.areStrings)
    for (const name of ["a", "", "{}", "5", "日本"]) {
      assert.deepStrictEqual([keys.nameOf(name), keys.keyOf(name)], [name, name])
    }
  })
})

describe("keys by schema", () => {
  const cases: ReadonlyArray<readonly [string, Schema.Top, ReadonlyArray<readonly [key: unknown, name: string]>]> = [
    ["text", Schema.String, [["a", "a"], ["", ""], ['{"a":1}', '{"a":1}'], ["null", "null"], ["5", "5"]]],
    ["numbers", Schema.Number, [[5, "5"], [-1.5, "-1.5"], [1e21, "1e+21"], [NaN, "NaN"], [-Infinity, "-Infinity"]]],
    ["integers", Schema.Int, [[0, "0"], [9007199254740991, "9007199254740991"]]],
    ["booleans", Schema.Boolean, [[true, "true"], [false, "false"]]],
    ["null or a number", Schema.NullOr(Schema.Int), [[null, "null"], [3, "3"]]],
    ["literals", Schema.Literals(["red", "blue"]), [["red", "red"]]],
    ["pairs", Schema.Tuple([Schema.String, Schema.Int]), [[["a", 1], `["a",1]`], [["[", -1], `["[",-1]`]]],
    ["lists", Schema.Array(Schema.String), [[[], "[]"], [["a", ",", '"'], `["a",",","\\""]`]]],
    ["dates", Schema.Date, [[new Date(0), "1970-01-01T00:00:00.000Z"]]],
    ["big numbers", Schema.BigInt, [[2n ** 70n, "1180591620717411303424"]]],
    ["structs", Schema.Struct({ b: Schema.Int, a: Schema.String }), [[{ b: 1, a: "x" }, `{"a":"x","b":1}`]]],
    ["records", Schema.Record(Schema.String, Schema.Int), [[
      { z: 1, a: 2, "10": 3, "9": 4 },
      `{"10":3,"9":4,"a":2,"z":1}`
    ]]],
    [
      "fields that may be missing",
      Schema.Struct({ a: Schema.optionalKey(Schema.Int), b: Schema.Int }),
      [[{ b: 1 }, `{"b":1}`], [{ b: 1, a: 2 }, `{"a":2,"b":1}`]]
    ],
    [
      "tagged unions",
      Schema.Union([
        Schema.TaggedStruct("User", { id: Schema.Int }),
        Schema.TaggedStruct("Team", { id: Schema.Int })
      ]),
      [[{ _tag: "User", id: 1 }, `{"_tag":"User","id":1}`], [{ _tag: "Team", id: 1 }, `{"_tag":"Team","id":1}`]]
    ]
  ]
  for (const [what, schema, pairs] of cases) {
    it.each(pairs.map(([key, name]) => [name, key] as const))(
      `${what}: "%s" is a key's name, and the name the key`,
      (name, key) => {
        const keys = makeKeys(schema)
        assert.isFalse(keys.areStrings)
        assert.strictEqual(keys.nameOf(key), name)
        assert.deepStrictEqual(keys.keyOf(name), key)
      }
    )
  }

  it("classes are themselves again", () => {
    class UserId extends Schema.Class<UserId>("UserId")({ tenant: Schema.String, id: Schema.Int }) {}
    const keys = makeKeys(UserId)
    const name = keys.nameOf(new UserId({ tenant: "t", id: 7 }))
    assert.strictEqual(name, `{"id":7,"tenant":"t"}`)
    const key = keys.keyOf(name)
    assert.instanceOf(key, UserId)
    assert.deepStrictEqual(key, new UserId({ tenant: "t", id: 7 }))
  })

  it("fields of any name stand in the order of their code units, on every runtime", () => {
    const keys = makeKeys(Schema.Record(Schema.String, Schema.Int))
    const name = `{"":1,"B":2,"__proto__":3,"a":4,"é":5,"日":6,"😀":7,"\uffee":8}`
    const entries = Object.entries(JSON.parse(name) as Record<string, number>)
    assert.strictEqual(keys.nameOf(Object.fromEntries(entries.toReversed())), name)
    assert.strictEqual(keys.nameOf(keys.keyOf(name)), name)
  })

  it("two programs that declare the fields in another order mean the same names", () => {
    const inner = { x: Schema.Int, y: Schema.Int, in: Schema.Array(Schema.Struct({ a: Schema.Int, b: Schema.Int })) }
    const other = { in: Schema.Array(Schema.Struct({ b: Schema.Int, a: Schema.Int })), y: Schema.Int, x: Schema.Int }
    const one = makeKeys(Schema.Struct({ zone: Schema.String, at: Schema.Struct(inner) }))
    const two = makeKeys(Schema.Struct({ at: Schema.Struct(other), zone: Schema.String }))
    const key = { zone: "z", at: { y: 2, x: 1, in: [{ b: 4, a: 3 }] } }
    const name = `{"at":{"in":[{"a":3,"b":4}],"x":1,"y":2},"zone":"z"}`
    assert.deepStrictEqual([one.nameOf(key), two.nameOf(turned(key))], [name, name])
    assert.deepStrictEqual([one.keyOf(name), two.keyOf(name)], [key, key])
  })

  // ---- properties

  const sameName = (keys: SwormKeys, key: unknown, other: unknown): void =>
    assert.strictEqual(keys.nameOf(key), keys.nameOf(other))

  it.prop("equal keys are one name, whatever the order of their fields, at any depth", [Room], ([key]) => {
    const keys = makeKeys(Room)
    sameName(keys, key, turned(key))
    sameName(keys, key, structuredClone(key))
    sameName(keys, key, keys.keyOf(keys.nameOf(key)))
  })

  const Nested = Schema.Record(text, Schema.Array(Schema.Record(text, int(1, 9))))
  it.prop("so are records in records, whose fields stand as they were written", [Nested], ([key]) => {
    sameName(makeKeys(Nested), key, turned(key))
  })

  it.prop("a name is JSON, and says which key it is", [Room], ([key]) => {
    const keys = makeKeys(Room)
    const name = keys.nameOf(key)
    assert.deepStrictEqual(keys.keyOf(name), key)
    assert.deepStrictEqual(JSON.parse(name), JSON.parse(JSON.stringify(key)))
  })

  it.prop("different keys are different names", [Room, Room], ([one, other]) => {
    const keys = makeKeys(Room)
    const areEqual = JSON.stringify(one) === JSON.stringify(other)
    assert.strictEqual(keys.nameOf(one) === keys.nameOf(other), areEqual)
  })

  const round: ReadonlyArray<readonly [string, Schema.Codec<unknown, unknown>]> = [
    ["text", Schema.String],
    ["numbers", Schema.Number.check(notMinusZero)],
    ["text or nothing", Schema.Struct({ a: Schema.NullOr(Schema.String) })],
    ["lists of lists", list(list(text, 0, 3), 0, 3)],
    ["records", Schema.Record(text, int(1, 9))],
    ["tuples of many kinds", Schema.Tuple([Schema.Boolean, Schema.Finite.check(notMinusZero), text, Schema.Null])]
  ]
  for (const [what, schema] of round) {
    it.prop(`round trip: ${what}`, [schema], ([key]) => {
      const keys = makeKeys(schema)
      const name = keys.nameOf(key)
      assert.deepStrictEqual(keys.keyOf(name), key)
      assert.strictEqual(keys.nameOf(keys.keyOf(name)), name)
    })
  }

  it("the two zeros are one key", () => {
    const keys = makeKeys(Schema.Number)
    assert.deepStrictEqual([keys.nameOf(-0), keys.nameOf(0), keys.keyOf("0")], ["0", "0", 0])
  })

  // ---- refusals

  it.each<readonly [string, Schema.Top, unknown]>([
    ["another type", Schema.Int, "5"],
    ["a number that is none", Schema.Int, 1.5],
    ["nothing", Schema.String, undefined],
    ["null", Schema.Struct({ a: Schema.Int }), null],
    ["a missing field", Schema.Struct({ a: Schema.Int }), {}],
    ["a wrong field", Schema.Struct({ a: Schema.Int }), { a: "1" }],
    ["what a check refuses", Schema.String.check(Schema.isMinLength(3)), "ab"],
    ["an unknown literal", Schema.Literals(["red"]), "green"]
  ])("refuses %s, and says what", (_, schema, key) => {
    const { detail, message, what } = refusal(() => makeKeys(schema).nameOf(key))
    assert.strictEqual(what, "key")
    assert.notStrictEqual(detail, "")
    assert.include(message, "Invalid key")
  })

  it.each<readonly [string, Schema.Top, string]>([
    ["no JSON", Schema.Int, "five"],
    ["JSON of another shape", Schema.Struct({ a: Schema.Int }), `{"b":1}`],
    ["half of it", Schema.Struct({ a: Schema.Int }), `{"a":`],
    ["nothing", Schema.Int, ""],
    ["what a check refuses", Schema.Int.check(Schema.isGreaterThan(3)), "3"]
  ])("refuses a name that stands for no key: %s", (_, schema, name) => {
    const { what } = refusal(() => makeKeys(schema).keyOf(name))
    assert.strictEqual(what, `name "${name}"`)
  })
})

describe("metadata", () => {
  const Team = Schema.Struct({ since: Schema.Date, name: Schema.String })
  const fixed = { since: new Date(5), name: "a" }

  it("without a schema is passed on as it is", () => {
    const plain = makeMetadata(undefined)
    for (const value of [undefined, null, 1, "a", { a: [1] }]) {
      assert.strictEqual(plain.encode(value), value)
      assert.strictEqual(plain.decode(value), value)
    }
  })

  it("by schema travels as plain data and comes back as it was", () => {
    const { decode, encode } = makeMetadata(Team)
    const data = encode(fixed)
    assert.deepStrictEqual(data, { since: "1970-01-01T00:00:00.005Z", name: "a" })
    assert.deepStrictEqual(decode(JSON.parse(JSON.stringify(data))), fixed)
    assert.deepStrictEqual([encode(undefined), decode(undefined)], [undefined, undefined])
  })

  it("that the schema refuses is refused when it is given, and as good as none when it comes", () => {
    const { decode, encode } = makeMetadata(Team)
    for (const wrong of [null, 5, {}, { name: "a", since: "then" }]) {
      assert.strictEqual(refusal(() => encode(wrong)).what, "metadata")
      assert.isUndefined(decode(wrong))
    }
  })

  it("of an entry is decoded, the rest stays", () => {
    const entry: Entry = {
      ref: { sworm: "s", name: "n", node: "a", epoch: 1 },
      type: "T",
      metadata: { since: "1970-01-01T00:00:00.005Z", name: "a" },
      groups: ["g"],
      names: ["n"]
    }
    assert.deepStrictEqual(decodeEntry(makeMetadata(Team), entry), { ...entry, metadata: fixed })
    assert.deepStrictEqual(decodeEntry(makeMetadata(Schema.Int), entry).metadata, undefined)
    assert.strictEqual(decodeEntry(makeMetadata(undefined), entry), entry)
  })

  it.prop("round trip", [Schema.Struct({ a: int(1, 9), b: list(text, 0, 3) })], ([metadata]) => {
    const { decode, encode } = makeMetadata(Schema.Struct({ a: int(1, 9), b: list(text, 0, 3) }))
    assert.deepStrictEqual(decode(encode(metadata)), metadata)
  })
})
