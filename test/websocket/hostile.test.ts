// A peer that knows the secret and then breaks the protocol: it is disconnected and counted; the node and its other peers go
// on. On the transport alone, and on a whole node that runs processes.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import { Discovery, Membership, Node, Transport } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import { msgpack } from "../../src/protocol/codec.ts"
import { Channel } from "../../src/protocol/wire.ts"
import { Counter, CounterLayer, Counters } from "../cluster/counter.ts"
import { dialProven, dialRaw, frame, frameHead, Opcode, type RawPeer } from "./raw.ts"
import { bytes, CHANNEL, type Listening, open, rejections, waitUntil } from "./support.ts"

const GIGABYTE = 2 ** 30

const connected = (node: Listening, id: string): boolean => node.transport.peers().some((peer) => peer.id === id)

/** A node, a friend that stays connected, and a peer that does something bad and must be gone afterwards. */
const breaks = Effect.fnUntraced(function* (act: (peer: RawPeer) => void, counted: boolean) {
  const node = yield* open({ id: "node" })
  const friend = yield* dialProven(node.address, { id: "friend" })
  const peer = yield* dialProven(node.address, { id: "hostile" })
  yield* waitUntil("both are up", () => connected(node, "friend") && connected(node, "hostile"))
  const before = yield* rejections("frame")
  act(peer)
  const closed = yield* peer.ended
  yield* waitUntil("it is down", () => !connected(node, "hostile"))
  assert.deepStrictEqual(node.reported.down.map(({ id }) => id), ["hostile"])
  if (counted) assert.strictEqual((yield* rejections("frame")) - before, 1)
  assert.isUndefined(friend.closed)
  friend.binary(frame(CHANNEL, "still here"))
  yield* waitUntil("the friend is heard", () => node.received.some(({ text }) => text === "still here"))
  yield* dialProven(node.address, { id: "hostile", boot: 2 })
  return closed
})

describe("after the handshake", () => {
  it.live("random bytes end the connection", () =>
    Effect.gen(function* () {
      for (let length = 1; length <= 4096; length *= 4) {
        // the first byte says that the frame is longer than any message
        const noise = randomBytes(length)
        noise[0] = 0xff
        const { code } = yield* breaks((peer) => peer.binary(noise), true)
        assert.strictEqual(code, 4003)
      }
    }))

  it.live("a text message ends the connection", () =>
    Effect.gen(function* () {
      const { code } = yield* breaks((peer) => peer.text("hello"), true)
      assert.strictEqual(code, 4003)
    }))

  it.live("an inner frame that announces 1 GB ends the connection", () =>
    Effect.gen(function* () {
      const { code } = yield* breaks((peer) => peer.binary(frame(CHANNEL, "x", GIGABYTE)), true)
      assert.strictEqual(code, 4003)
    }))

  it.live("half a frame head ends the connection", () =>
    Effect.gen(function* () {
      const { code } = yield* breaks((peer) => peer.binary(Buffer.from([0, 0, 0])), true)
      assert.strictEqual(code, 4003)
    }))

  it.live("a message head that announces 1 GB ends the connection", () =>
    breaks(
      (peer) => peer.socket.write(Buffer.concat([frameHead(Opcode.binary, GIGABYTE, true), Buffer.alloc(4)])),
      false
    ))

  it.live("fragments that add up to more than the largest message end the connection", () =>
    breaks((peer) => {
      peer.send(Opcode.binary, new Uint8Array(600_000), false)
      peer.send(Opcode.continuation, new Uint8Array(600_000), false)
      peer.send(Opcode.continuation, new Uint8Array(600_000), true)
    }, false))

  it.live("a reserved opcode ends the connection", () => breaks((peer) => peer.send(5, "what"), false))

  it.live("frames of unknown channels are ignored", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node" })
      const peer = yield* dialProven(node.address, { id: "peer" })
      for (let channel = 0; channel < 256; channel++) {
        if (channel !== CHANNEL) peer.binary(frame(channel, randomBytes(20)))
      }
      peer.binary(Buffer.concat([frame(200, "unknown"), frame(CHANNEL, "known"), frame(CHANNEL, "")]))
      yield* waitUntil("the known ones are heard", () => node.received.length >= 2)
      assert.deepStrictEqual(node.received.map(({ text }) => text), ["known", ""])
      assert.isUndefined(peer.closed)
      assert.isTrue(connected(node, "peer"))
    }))
})

describe("before the handshake", () => {
  it.live("a message head that announces 1 GB ends the connection", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node" })
      const peer = yield* dialRaw(node.address)
      peer.socket.write(Buffer.concat([frameHead(Opcode.binary, GIGABYTE, true), Buffer.alloc(4), randomBytes(1000)]))
      yield* peer.ended
      yield* dialProven(node.address, { id: "friend" })
    }))
})

// ---- a whole node

const wholeNode = (id: string, seeds: ReadonlyArray<string>) =>
  Effect.flatMap(open({ id }), (listening) => {
    const services = Layer.mergeAll(
      Layer.succeed(Transport.Transport)(listening.transport),
      Discovery.layer(Discovery.seeds(seeds)),
      Node.layer({ id })
    )
    const layer = Counters.layer.pipe(
      Layer.provide(CounterLayer),
      Layer.provideMerge(Gossip.layer({ shutdownTimeout: "200 millis" })),
      Layer.provide(services),
      Layer.fresh
    )
    return Effect.map(Layer.build(layer), (context) => ({ ...listening, context }))
  })

/** Two nodes that run processes between them. */
const twoNodes: Effect.Effect<
  { readonly node: Listening; readonly alive: Effect.Effect<void, unknown> },
  unknown,
  Scope.Scope
> = Effect.gen(function* () {
  const node = yield* wholeNode("node-a", [])
  const other = yield* wholeNode("node-b", [node.address])
  yield* Context.get(other.context, Membership.Membership).awaitSynced
  const counters = Context.get(other.context, Counters)
  let round = 0
  const alive = Effect.gen(function* () {
    const names = Array.from({ length: 6 }, (_, i) => `counter-${++round}-${i}`)
    for (const name of names) yield* counters.register(name, Counter, { start: round })
    const members = yield* Context.get(other.context, Membership.Membership).members
    assert.deepStrictEqual(
      members.filter(({ id }) => id.startsWith("node-")).map(({ id, status }) => [id, status]),
      [["node-a", "alive"], ["node-b", "alive"]]
    )
    for (const name of names) assert.isAbove(yield* counters.client(Counter, name).Increment({ by: 1 }), 0)
    assert.isTrue(connected(node, "node-b"), "the other node is still connected")
  })
  yield* alive
  return { node, alive }
})

describe("a node that runs processes", () => {
  const channels = Object.entries(Channel)

  for (const [name, channel] of channels) {
    it.live(`random bytes on its ${name} channel end that connection and nothing else`, () =>
      Effect.gen(function* () {
        const { alive, node } = yield* twoNodes
        for (let i = 0; i < 30; i++) {
          const before = yield* rejections("frame")
          const peer = yield* dialProven(node.address, { id: "hostile", boot: i + 1 })
          // 0xc1 is the one byte that MessagePack never uses
          peer.binary(
            frame(channel, Buffer.concat([i % 2 === 0 ? Buffer.from([0xc1]) : Buffer.alloc(0), randomBytes(i * 7 + 1)]))
          )
          peer.binary(frame(channel, Buffer.from([0xc1])))
          const { code } = yield* peer.ended
          assert.strictEqual(code, 4003)
          assert.isAtLeast((yield* rejections("frame")) - before, 1)
        }
        yield* alive
      }), 60_000)

    it.live(`well-formed nonsense on its ${name} channel harms nothing`, () =>
      Effect.gen(function* () {
        const { alive, node } = yield* twoNodes
        const deep = Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.from([0xc0])])
        const nonsense: Array<Uint8Array> = [
          ...[
            null,
            7,
            -1,
            "text",
            {},
            [],
            [[]],
            [0],
            [1],
            [2],
            [3],
            [4],
            [5],
            [99],
            [0, -1, null],
            [0, 1.5, {}, []],
            [
              1,
              ["x", -1],
              true,
              0,
              true
            ],
            [2, [[1, 2, 3, 4]], true, 0],
            [0, 1, [["id"]]],
            [0, 2 ** 60, "s", "n", "t", null, -1, null]
          ].map((value) => msgpack.encode(value)),
          ...[0, 1, 2, 3, 4, 5, 6].map((kind) => msgpack.encode([kind, {}, {}, {}, {}, {}, {}, {}, {}])),
          ...[0, 1, 2, 3, 4, 5, 6].map((kind) => msgpack.encode([kind, 1, "a", "b", "c", "d", "e", "f", "g"])),
          deep,
          // an array and a map that announce 4 billion items
          Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0]),
          Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61, 0xc0]),
          // text and bytes that announce 4 GB
          Buffer.from([0xdb, 0xff, 0xff, 0xff, 0xff, 0x61]),
          Buffer.from([0xc6, 0xff, 0xff, 0xff, 0xff, 0x61])
        ]
        for (const [index, body] of nonsense.entries()) {
          const peer = yield* dialProven(node.address, { id: "hostile", boot: index + 1 })
          peer.binary(frame(channel, body))
          // a frame that is no frame ends the connection: the one before has been looked at by then
          peer.binary(frame(CHANNEL, "", GIGABYTE))
          const { code } = yield* peer.ended
          assert.strictEqual(code, 4003)
        }
        yield* alive
      }), 60_000)
  }
})

it.live("a peer is disconnected on demand, and told why", () =>
  Effect.gen(function* () {
    const node = yield* open({ id: "node" })
    const peer = yield* dialProven(node.address, { id: "peer" })
    yield* waitUntil("it is up", () => connected(node, "peer"))
    node.transport.disconnect("peer", "no longer wanted")
    assert.deepStrictEqual(yield* peer.ended, { code: 4003, reason: "no longer wanted" })
    assert.deepStrictEqual(node.reported.down, [{ id: "peer", detail: "no longer wanted" }])
    assert.isFalse(node.transport.send("peer", CHANNEL, bytes("x"), "user"))
  }))
