// Messages that no frame takes, in chunks; messages of a turn, in one frame.
import { assert, describe, it } from "@effect/vitest"
import { seededRandom } from "../../src/protocol/random.ts"
import { msgpack } from "../../src/protocol/codec.ts"
import { asArray, asCount, BadFrame } from "../../src/protocol/wire.ts"
import type { Peer } from "../../src/Transport.ts"
import { Outbox } from "../../adapters/gossip/outbox.ts"
import { IncomingParcels, OutgoingParcels, Parcel, type Refusal } from "../../adapters/gossip/parcels.ts"

const peer = (id: string): Peer => ({ id, boot: 1, address: "" })
const [a, b] = [peer("a"), peer("b")]
const CHUNK = 1024
const LIMIT = 64 * 1024

const bytesOf = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7) & 255)

/** "a" sends to "b"; what is under way waits until the test says what becomes of it. */
class Post {
  nowMs = 0
  isOpen = true
  toB: Array<Uint8Array> = []
  toA: Array<Uint8Array> = []
  readonly arrived: Array<Uint8Array> = []
  readonly refused: Array<Refusal> = []
  readonly out: OutgoingParcels
  readonly in: IncomingParcels

  constructor(limitBytes = LIMIT) {
    const shared = { chunkBytes: CHUNK, limitBytes: LIMIT, nowMs: () => this.nowMs }
    const put = (_: string, message: Uint8Array) => this.isOpen && this.toB.push(message) > 0
    this.out = new OutgoingParcels({ ...shared, sendNow: put, post: put })
    this.in = new IncomingParcels({
      ...shared,
      limitBytes,
      sendNow: () => false,
      post: (_, message) => void this.toA.push(message)
    })
  }

  send(key: number, bytes: Uint8Array, deadlineMs = 10_000): void {
    this.out.send("b", key, bytes, deadlineMs, (refusal) => void this.refused.push(refusal))
  }

  take(bytes: Uint8Array): void {
    const message = asArray(msgpack.decode(bytes))
    if (message[0] === Parcel.dropped) return this.in.dropped(a, message)
    const whole = this.in.chunk(a, message)
    if (whole !== undefined) this.arrived.push(whole)
  }

  /** Hands on what is under way, each frame so often; and again until nothing is. */
  deliver(copies: () => number = () => 1, turned: () => boolean = () => false): void {
    while (this.toA.length + this.toB.length > 0) {
      const [toA, toB] = [this.toA, this.toB]
      this.toA = []
      this.toB = []
      for (const frames of [toA, toB]) if (turned()) frames.reverse()
      for (const bytes of toB) for (let i = copies(); i > 0; i--) this.take(bytes)
      for (const bytes of toA) {
        for (let i = copies(); i > 0; i--) this.out.answered("b", asArray(msgpack.decode(bytes)))
      }
    }
  }

  tick(millis: number): void {
    this.nowMs += millis
    this.out.tick(this.nowMs)
    this.in.tick(this.nowMs)
  }
}

describe("a message in chunks", () => {
  it.each([CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK, 10 * CHUNK + 1])("of %i bytes arrives as it was", (length) => {
    const post = new Post()
    post.send(1, bytesOf(length))
    post.deliver()
    assert.deepStrictEqual(post.arrived, [bytesOf(length)])
    assert.isFalse(post.out.has("b", 1))
    assert.strictEqual(post.in.reservedOf(a), 0)
  })

  /** Each chunk takes so long; answers how many were under way at most once the first ten had arrived. */
  const underWay = (tookMs: (before: number) => number): number => {
    const post = new Post()
    post.send(1, bytesOf(60 * CHUNK), 1e6)
    let most = 0
    for (let i = 0; post.arrived.length === 0; i++) {
      if (i >= 10) most = Math.max(most, post.toB.length)
      post.nowMs += tookMs(post.toB.length)
      post.take(post.toB.shift()!)
      post.out.answered("b", asArray(msgpack.decode(post.toA.shift()!)))
    }
    return most
  }

  it("has few chunks under way at a time, and hardly more than one where the link is slow", () => {
    const post = new Post()
    post.send(1, bytesOf(40 * CHUNK))
    post.send(2, bytesOf(4 * CHUNK))
    assert.strictEqual(post.toB.length, 1)
    assert.strictEqual(underWay(() => 1), 4)
    assert.strictEqual(underWay(() => 128), 2)
  })

  it.each(Array.from({ length: 20 }, (_, i) => i + 1))(
    "arrives once, with others, though chunks are lost, repeated and turned round (seed %i)",
    (seed) => {
      const random = seededRandom(seed)
      const post = new Post()
      const messages = [1, 2, 3, 4].map((key) => bytesOf(Math.ceil(random() * 30 * CHUNK), key))
      for (const [i, bytes] of messages.entries()) post.send(i, bytes, 1e6)
      for (let ticks = 0; post.arrived.length < messages.length; ticks++) {
        assert.isBelow(ticks, 2000)
        post.deliver(() => random() < 0.3 ? 0 : random() < 0.3 ? 2 : 1, () => random() < 0.5)
        post.tick(150)
      }
      assert.sameDeepMembers(post.arrived, messages)
      for (let i = 0; i < 100; i++) {
        post.deliver()
        post.tick(150)
      }
      assert.strictEqual(post.arrived.length, messages.length)
      assert.strictEqual(post.in.reservedOf(a), 0)
    }
  )

  it("is refused when it is more than the other side takes, and at once", () => {
    const post = new Post(8 * CHUNK)
    post.send(1, bytesOf(9 * CHUNK))
    post.deliver()
    assert.deepStrictEqual(post.refused, ["TooLarge"])
    assert.isFalse(post.out.has("b", 1))
    assert.strictEqual(post.in.reservedOf(a), 0)
  })

  it("waits for room on the other side", () => {
    const post = new Post(8 * CHUNK)
    post.send(1, bytesOf(5 * CHUNK, 1), 1000)
    post.take(post.toB[0]!)
    post.out.forget("b")
    post.toB = []
    post.send(2, bytesOf(5 * CHUNK, 2), 60_000)
    post.deliver()
    assert.strictEqual(post.arrived.length, 0)
    for (let i = 0; i < 20; i++) {
      post.tick(150)
      post.deliver()
    }
    assert.deepStrictEqual(post.arrived, [bytesOf(5 * CHUNK, 2)])
  })

  it("that is abandoned leaves nothing behind on either side", () => {
    const post = new Post()
    post.send(1, bytesOf(10 * CHUNK))
    post.take(post.toB.shift()!)
    assert.isAbove(post.in.reservedOf(a), 0)
    post.out.abandon("b", 1)
    post.deliver()
    // chunks that were under way come before the word that it was dropped
    assert.strictEqual(post.in.reservedOf(a), 0)
    assert.deepStrictEqual(post.arrived, [])
  })

  it("that is given up in silence is dropped after its deadline", () => {
    const post = new Post()
    post.send(1, bytesOf(10 * CHUNK), 1000)
    post.take(post.toB.shift()!)
    post.isOpen = false
    post.tick(999)
    assert.isAbove(post.in.reservedOf(a), 0)
    post.tick(2)
    assert.strictEqual(post.in.reservedOf(a), 0)
    assert.isFalse(post.out.has("b", 1))
  })

  it("to a node out of reach fails at once; too many for one node fail", () => {
    const post = new Post()
    post.isOpen = false
    post.send(1, bytesOf(2 * CHUNK))
    assert.deepStrictEqual(post.refused, ["Unreachable"])
    post.isOpen = true
    for (let key = 2; key < 6; key++) post.send(key, bytesOf(LIMIT))
    assert.deepStrictEqual(post.refused, ["Unreachable", "TooMuch"])
  })

  it("takes no more room than its peer may have, however many begin", () => {
    const post = new Post()
    for (let key = 0; key < 1000; key++) {
      post.take(msgpack.encode([Parcel.chunk, key, 0, 8, 8 * CHUNK, 60_000, bytesOf(CHUNK)]))
    }
    assert.isAtMost(post.in.reservedOf(a), LIMIT)
    assert.strictEqual(post.in.reservedOf(b), 0)
  })

  const broken: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
    ["of no number", [Parcel.chunk, "1", 0, 1, 10, 1000, bytesOf(10)]],
    ["past its end", [Parcel.chunk, 1, 2, 2, 2000, 1000, bytesOf(10)]],
    ["in more parts than it has bytes", [Parcel.chunk, 1, 0, 100, 10, 1000, bytesOf(1)]],
    ["longer than its whole", [Parcel.chunk, 1, 0, 1, 10, 1000, bytesOf(11)]],
    ["shorter than its whole", [Parcel.chunk, 1, 0, 1, 10, 1000, bytesOf(9)]],
    ["that is no bytes", [Parcel.chunk, 1, 0, 1, 10, 1000, "0123456789"]],
    ["with something missing", [Parcel.chunk, 1, 0, 1, 10]],
    ["of a time that is none", [Parcel.chunk, 1, 0, 1, 10, -1, bytesOf(10)]]
  ]
  it.each(broken)("a chunk %s is refused", (_, message) => {
    const post = new Post()
    assert.throws(() => post.in.chunk(a, message), BadFrame)
    assert.strictEqual(post.in.reservedOf(a), 0)
  })

  it("chunks that don't agree on their whole are refused", () => {
    const post = new Post()
    post.in.chunk(a, [Parcel.chunk, 1, 0, 2, 2000, 1000, bytesOf(1000)])
    assert.throws(() => post.in.chunk(a, [Parcel.chunk, 1, 1, 3, 2000, 1000, bytesOf(1000)]), BadFrame)
    assert.throws(() => post.in.chunk(a, [Parcel.chunk, 1, 1, 2, 2001, 1000, bytesOf(1000)]), BadFrame)
  })
})

describe("messages of a turn", () => {
  const outboxOf = (isOpen = true) => {
    const sent: Array<{ readonly to: string; readonly messages: ReadonlyArray<unknown>; readonly bytes: number }> = []
    const outbox = new Outbox({
      frameBytes: 1000,
      header: () => 7,
      send: (to, frame) => {
        const [header, ...messages] = asArray(msgpack.decode(frame))
        assert.strictEqual(header, 7)
        sent.push({ to, messages, bytes: frame.byteLength })
        return isOpen
      }
    })
    return { outbox, sent }
  }

  it("share frames of a bounded size, in their order; the first goes at once", async () => {
    const { outbox, sent } = outboxOf()
    for (let i = 0; i < 2000; i++) outbox.post(i % 2 === 0 ? "a" : "b", msgpack.encode([i]))
    assert.deepStrictEqual(sent.map(({ to, messages }) => [to, messages]), [["a", [[0]]]])
    await Promise.resolve()
    for (const to of ["a", "b"]) {
      const all = sent.filter((frame) => frame.to === to).flatMap(({ messages }) => messages)
      assert.deepStrictEqual(all.map((message) => asCount(asArray(message)[0]) >> 1), all.map((_, i) => i))
      assert.strictEqual(all.length, 1000)
    }
    assert.isBelow(sent.length, 20)
    for (const { bytes } of sent) assert.isBelow(bytes, 1100)
    outbox.post("b", msgpack.encode("next"))
    assert.deepStrictEqual(sent.at(-1)!.messages, ["next"])
  })

  it("that can't be sent say so, each", async () => {
    const { outbox } = outboxOf(false)
    let unsent = 0
    for (let i = 0; i < 10; i++) outbox.post("a", msgpack.encode(i), () => unsent++)
    await Promise.resolve()
    assert.strictEqual(unsent, 10)
  })
})
