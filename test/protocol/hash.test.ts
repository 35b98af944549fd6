// Every runtime and every version of one places a name alike: the hash and the placements made from it are fixed here.
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { hash32, mix32, rendezvous, score } from "../../src/protocol/hash.ts"
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
