// Every runtime and every version of one places a name alike: the hash and the placements made from it are fixed here.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { hash32, ln, mix32, pointHash, rendezvous, score, weightedScore } from "../../src/protocol/hash.ts"
import { int, list } from "./support.ts"

/** MurmurHash3 x86 32 as its author describes it, over bytes and with whole numbers of any size. */
const reference = (bytes: Uint8Array, seed: number): number => {
  const mask = 0xffffffffn
  const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (32n - by))) & mask
  const scramble = (k: bigint): bigint => (rotate((k * 0xcc9e2d51n) & mask, 15n) * 0x1b873593n) & mask
  let hash = BigInt(seed >>> 0)
  const blocks = bytes.length >>> 2
  for (let i = 0; i < blocks; i++) {
    let block = 0n
    for (let j = 3; j >= 0; j--) block = (block << 8n) | BigInt(bytes[4 * i + j]!)
    hash = (rotate(hash ^ scramble(block), 13n) * 5n + 0xe6546b64n) & mask
  }
  let tail = 0n
  for (let j = bytes.length - 1; j >= 4 * blocks; j--) tail = (tail << 8n) | BigInt(bytes[j]!)
  if (bytes.length > 4 * blocks) hash ^= scramble(tail)
  hash ^= BigInt(bytes.length)
  hash = ((hash ^ (hash >> 16n)) * 0x85ebca6bn) & mask
  hash = ((hash ^ (hash >> 13n)) * 0xc2b2ae35n) & mask
  return Number(hash ^ (hash >> 16n))
}

const encoder = new TextEncoder()

/** Published vectors: SMHasher's verification discussions, Guava's and Wikipedia's test values. */
const published: ReadonlyArray<readonly [text: string, seed: number, hash: number]> = [
  ["", 0, 0],
  ["", 1, 0x514e28b7],
  ["", 0xffffffff, 0x81f16f39],
  ["\0\0\0\0", 0, 0x2362f9de],
  ["\0\0\0", 0, 0x85f0b427],
  ["\0\0", 0, 0x30f4c306],
  ["\0", 0, 0x514e28b7],
  ["a", 0x9747b28c, 0x7fa09ea6],
  ["aa", 0x9747b28c, 0x5d211726],
  ["aaa", 0x9747b28c, 0x283e0130],
  ["aaaa", 0x9747b28c, 0x5a97808a],
  ["abc", 0, 0xb3dd93fa],
  ["abcd", 0x9747b28c, 0xf0478627],
  ["test", 0, 0xba6bd213],
  ["test", 0x9747b28c, 0x704b81dc],
  ["hello", 0, 0x248bfa47],
  ["hello, world", 0, 0x149bbb7f],
  ["Hello, world!", 0, 0xc0363e43],
  ["Hello, world!", 0x9747b28c, 0x24884cba],
  ["ππππππππ", 0x9747b28c, 0xd58063c1],
  ["The quick brown fox jumps over the lazy dog", 0, 0x2e4ff723],
  ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
  ["a".repeat(256), 0x9747b28c, 0x37405bdc]
]

/** One to four bytes a character, at every place in a block, and what is no character at all. */
const awkward: ReadonlyArray<string> = [
  ...["é", "€", "😀", "\x7f", "\x80", "\u07ff", "\u0800", "\uffff", "\u{10000}", "\u{10ffff}", "\ud7ff\ue000"].flatMap((
    char
  ) => ["", "x", "xy", "xyz"].map((prefix) => prefix + char + "tail")),
  "\ud800",
  "\udc00",
  "\ud83d",
  "a\ud83d",
  "\ude00\ud83d",
  "\ud83d\ud83d\ude00",
  "\ud83dx\ude00",
  "naïve/日本語/\u{1f468}\u200d\u{1f469}"
]

interface Node {
  readonly id: string
  readonly hash: number
}

const nodes = (...ids: ReadonlyArray<string>): Array<Node> => ids.map((id) => ({ id, hash: hash32(id) }))
const names = Array.from({ length: 10_000 }, (_, i) => `name-${i}`)
const place = (name: string, members: ReadonlyArray<Node>): string | undefined => rendezvous(hash32(name), members)?.id

describe("hash32", () => {
  it.each(published)("%j with seed %i", (text, seed, expected) => {
    assert.strictEqual(reference(encoder.encode(text), seed), expected, "the reference itself")
    assert.strictEqual(hash32(text, seed), expected)
  })

  it.each(awkward.map((text) => [text] as const))("hashes the UTF-8 bytes of %j", (text) => {
    for (const seed of [0, 1, -1, 0x9747b28c]) {
      assert.strictEqual(hash32(text, seed), reference(encoder.encode(text), seed))
    }
  })

  it.prop(
    "equals the byte-wise reference for any text and seed",
    [Schema.String, int(-0x80000000, 0xffffffff)],
    ([text, seed]) => assert.strictEqual(hash32(text, seed), reference(encoder.encode(text), seed))
  )

  it.prop(
    "equals it for any UTF-16 code units, paired or not",
    [list(int(0xd700, 0xe0ff), 0, 12)],
    ([units]) => {
      const text = String.fromCharCode(...units)
      assert.strictEqual(hash32(text), reference(encoder.encode(text), 0))
    }
  )

  it.prop("mix32 is one to one: different inputs, different outputs", [int(0, 0xffffffff), int(0, 31)], ([x, bit]) => {
    assert.notStrictEqual(mix32(x), mix32((x ^ (1 << bit)) >>> 0))
    assert.isTrue(mix32(x) >= 0 && mix32(x) <= 0xffffffff)
  })
})

describe("rendezvous", () => {
  it("places ten names on three nodes alike everywhere", () => {
    const three = nodes("node-1", "node-2", "node-3")
    const placed = Object.fromEntries(
      ["", "a", "visits", "user:1", "user:2", "user:3", "naïve", "日本語", "😀", "x".repeat(512)].map((
        name
      ) => [name.slice(0, 8), place(name, three)])
    )
    assert.deepStrictEqual(placed, {
      "": "node-1",
      a: "node-1",
      visits: "node-3",
      "user:1": "node-2",
      "user:2": "node-2",
      "user:3": "node-2",
      "naïve": "node-1",
      "日本語": "node-1",
      "😀": "node-2",
      xxxxxxxx: "node-2"
    })
  })

  it("has a score that is fixed", () => {
    assert.strictEqual(score(0, 0), 0)
    assert.strictEqual(score(1, 2), 232174035)
    assert.strictEqual(score(hash32("visits"), hash32("node-1")), 1953070298)
  })

  it("answers undefined only for no members", () => {
    assert.strictEqual(rendezvous(hash32("a"), []), undefined)
    assert.strictEqual(place("a", nodes("only")), "only")
  })

  it("is even: 10,000 names on 5 nodes, each node within a tenth of its share", () => {
    const counts = new Map<string, number>()
    const five = nodes("a", "b", "c", "d", "e")
    for (const name of names) counts.set(place(name, five)!, (counts.get(place(name, five)!) ?? 0) + 1)
    assert.strictEqual(counts.size, 5)
    for (const [node, count] of counts) assert.isTrue(Math.abs(count - 2000) < 200, `${node}: ${count}`)
  })

  it("is even for ids and names that differ in one digit only", () => {
    const counts = new Map<string, number>()
    const eight = nodes(...Array.from({ length: 8 }, (_, i) => `10.0.0.${i}:4100`))
    for (let i = 0; i < 8000; i++) counts.set(place(`${i}`, eight)!, (counts.get(place(`${i}`, eight)!) ?? 0) + 1)
    assert.strictEqual(counts.size, 8)
    for (const [node, count] of counts) assert.isTrue(Math.abs(count - 1000) < 150, `${node}: ${count}`)
  })

  it("moves only names to the node that joins, about its share of them", () => {
    const four = nodes("a", "b", "c", "d")
    const five = [...four, ...nodes("e")]
    let moved = 0
    for (const name of names) {
      const before = place(name, four)
      const after = place(name, five)
      if (before === after) continue
      assert.strictEqual(after, "e")
      moved++
    }
    assert.isTrue(moved > 1800 && moved < 2200, `${moved} moved`)
  })

  it("moves only the names of the node that leaves, and not all to one other", () => {
    const five = nodes("a", "b", "c", "d", "e")
    const left = five.filter(({ id }) => id !== "c")
    const heirs = new Set<string | undefined>()
    for (const name of names) {
      const before = place(name, five)
      const after = place(name, left)
      if (before === "c") heirs.add(after)
      else assert.strictEqual(after, before)
    }
    assert.strictEqual(heirs.size, 4)
  })

  it("takes the lowest id of those that tie, in any order", () => {
    const tied = [{ id: "b", hash: 7 }, { id: "a", hash: 7 }, { id: "c", hash: 7 }]
    assert.strictEqual(rendezvous(1, tied)?.id, "a")
    assert.strictEqual(rendezvous(1, tied.toReversed())?.id, "a")
  })

  it.prop(
    "doesn't depend on the order of members",
    [Schema.String, list(Schema.String, 1, 8), int(0, 7)],
    ([name, ids, turn]) => {
      const members = nodes(...ids)
      const turned = [...members.slice(turn % members.length), ...members.slice(0, turn % members.length)]
      assert.strictEqual(place(name, turned), place(name, members))
      assert.strictEqual(place(name, members.toReversed()), place(name, members))
    }
  )
})

/** The 64 bits of a number: two that print alike may still differ. */
const bits = (value: number): string => {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  return view.getBigUint64(0).toString(16).padStart(16, "0")
}

/** What a score in 0 to 2^32 - 1 is the logarithm of. */
const chance = (score: number): number => (score + 0.5) / 4294967296

describe("ln", () => {
  const near = (x: number): void => {
    const error = Math.abs(ln(x) - Math.log(x))
    assert.isTrue(error <= 1e-15 * Math.abs(Math.log(x)), `ln(${x}) = ${ln(x)}, not ${Math.log(x)}`)
  }

  const golden: ReadonlyArray<readonly [x: number, bits: string]> = [
    [1, "0000000000000000"],
    [0.9999999999, "bddb7ce00005e728"],
    [0.75, "bfd269621134db92"],
    [0.7499999999, "bfd2696211598212"],
    [0.74, "bfd3454e4b8a9f90"],
    [0.5, "bfe62e42fefa39ef"],
    [1 / 3, "bff193ea7aad030a"],
    [0.1, "c0026bb1bbb55515"],
    [chance(0), "c036dfb516f20bbe"],
    [chance(0xffffffff), "bde0000000040000"],
    [1e-300, "c085963447f87fb5"]
  ]
  it.each(golden)("of %d is the same to the last bit everywhere", (x, expected) => {
    assert.strictEqual(bits(ln(x)), expected)
    near(x)
  })

  it("is near what the runtime says, to 15 digits: around its seams, and for all powers of two", () => {
    for (let exponent = 0; exponent < 1074; exponent++) near(2 ** -exponent)
    for (const seam of [1, 0.75, 0.5, 0.375, 0.1875]) {
      for (let step = 1; step <= 200; step++) {
        near(seam - step * 2 ** -33)
        if (seam < 1) near(seam + step * 2 ** -33)
      }
    }
  })

  it.prop("is near it for every score", [int(0, 0xffffffff)], ([score]) => near(chance(score)))

  it.prop(
    "rises: a higher score is a higher logarithm, however near",
    [int(1, 0xffffffff), int(1, 9)],
    ([score, step]) => {
      assert.isTrue(ln(chance(score)) > ln(chance(Math.max(0, score - step))))
      assert.isTrue(ln(chance(score)) < 0)
    }
  )

  it("rises across its seams, one score at a time", () => {
    for (const seam of [0.75, 0.5, 0.375, 0.25, 0.1875, 0.09375, 1]) {
      const at = Math.round(seam * 4294967296)
      for (let score = at - 300; score < Math.min(at + 300, 0xffffffff); score++) {
        assert.isTrue(ln(chance(score + 1)) > ln(chance(score)), `${score}`)
      }
    }
  })
})

describe("weightedScore", () => {
  const golden: ReadonlyArray<readonly [name: number, node: number, weight: number, bits: string]> = [
    [0, 0, 1, "3fa66235b77002e8"],
    [1, 2, 1, "3fd5ef5be2c878f2"],
    [1, 2, 2.5, "3feb6b32db7a972f"],
    [hash32("visits"), hash32("node-1"), 1, "3ff44db2792c6308"],
    [hash32("visits"), hash32("node-2"), 3, "400e3876091fe382"]
  ]
  it.each(golden)("of %d on %d by %d is fixed to the last bit", (name, node, weight, expected) => {
    assert.strictEqual(bits(weightedScore(name, node, weight)), expected)
  })

  const hash = int(0, 0xffffffff)
  it.prop("orders equal weights as the plain score does", [hash, hash, hash], ([name, one, other]) => {
    const order = Math.sign(weightedScore(name, one, 1) - weightedScore(name, other, 1))
    assert.strictEqual(order, Math.sign(score(name, one) - score(name, other)))
  })

  it.prop(
    "grows with the weight; is above 0 for any weight, 0 without one",
    [hash, hash, int(1, 1000)],
    ([name, node, w]) => {
      assert.isTrue(weightedScore(name, node, w) > 0 && weightedScore(name, node, w) < Infinity)
      assert.isTrue(weightedScore(name, node, w + 1) > weightedScore(name, node, w))
      assert.deepStrictEqual([0, -w].map((weight) => weightedScore(name, node, weight)), [0, 0])
    }
  )
})

describe("pointHash", () => {
  const golden: ReadonlyArray<readonly [node: number, point: number, hash: number]> = [
    [0, 0, 2612203797],
    [0, 1, 208551461],
    [1, 0, 2779491157],
    [hash32("node-1"), 0, 2937128716],
    [hash32("node-1"), 127, 3485519508]
  ]
  it.each(golden)(
    "of node %d, point %d",
    (node, point, expected) => assert.strictEqual(pointHash(node, point), expected)
  )

  it.prop("no two points of a node are one", [int(0, 0xffffffff), int(0, 1e6), int(1, 1e6)], ([node, point, step]) => {
    assert.notStrictEqual(pointHash(node, point), pointHash(node, point + step))
  })

  it("no two points of many nodes with like ids are one, and they lie evenly", () => {
    const points = new Set<number>()
    const slices = new Array<number>(16).fill(0)
    for (const { hash } of nodes(...Array.from({ length: 50 }, (_, i) => `10.0.0.${i}:4100`))) {
      for (let i = 0; i < 128; i++) {
        const point = pointHash(hash, i)
        points.add(point)
        slices[point >>> 28]!++
      }
    }
    assert.strictEqual(points.size, 50 * 128)
    for (const count of slices) assert.isTrue(Math.abs(count - 400) < 100, `${slices}`)
  })
})
