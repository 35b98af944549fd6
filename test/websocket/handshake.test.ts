// The first words on a connection: whoever does not say them right, or does not prove to know the secret, is refused.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import { prove } from "../../adapters/websocket/handshake.ts"
import { dialProven, dialRaw, dialTcp, frame, greet, helloOf, Opcode, proofOf, type RawPeer, serveRaw } from "./raw.ts"
import { bytes, CHANNEL, type Listening, open, rejections, waitUntil } from "./support.ts"

const REFUSED = 4001
const secret = "open sesame"

/** Does something bad on a fresh connection; checks that it is refused and counted, and that the node still takes friends. */
const refuses = Effect.fnUntraced(function* (
  node: Listening,
  bad: (peer: RawPeer) => Effect.Effect<unknown, Error>,
  why: RegExp
) {
  const before = yield* rejections("handshake")
  const peer = yield* dialRaw(node.address)
  yield* bad(peer)
  const closed = yield* peer.ended
  assert.strictEqual(closed.code, REFUSED, closed.reason)
  assert.match(closed.reason, why)
  assert.strictEqual((yield* rejections("handshake")) - before, 1)
  assert.deepStrictEqual(node.transport.peers(), [])
  assert.deepStrictEqual(node.reported.up, [])
})

const takesFriends = Effect.fnUntraced(function* (node: Listening) {
  const friend = yield* dialProven(node.address, { id: "friend", secret })
  friend.binary(frame(CHANNEL, "hello"))
  yield* waitUntil("the friend is heard", () => node.received.some(({ text }) => text === "hello"))
})

describe("before the handshake", () => {
  const says = (say: (peer: RawPeer) => void) => (peer: RawPeer): Effect.Effect<void> => Effect.sync(() => say(peer))

  it.live("random bytes are refused", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      yield* refuses(node, says((peer) => peer.binary(randomBytes(300))), /protocol|malformed/)
      yield* refuses(node, says((peer) => peer.binary(new Uint8Array())), /protocol|malformed/)
      yield* refuses(node, says((peer) => peer.text("")), /protocol|malformed/)
      yield* takesFriends(node)
    }))

  it.live("frames are not looked at", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      yield* refuses(node, says((peer) => peer.binary(frame(CHANNEL, "let me in"))), /protocol|malformed/)
      yield* refuses(node, (peer) =>
        Effect.map(greet(peer, helloOf({ id: "eager" })), () => peer.binary(frame(CHANNEL, "let me in"))), /secret/)
      assert.deepStrictEqual(node.received, [])
      yield* takesFriends(node)
    }))

  const fields = ["version", "cluster", "hash", "id", "boot", "address", "nonce"] as const
  const malformed: ReadonlyArray<readonly [string, unknown]> = [
    ...fields.map((field) => [`no ${field}`, { ...helloOf({ id: "x" }), [field]: undefined }] as const),
    ...["cluster", "hash", "id", "address", "nonce"].map((field) =>
      [`an oversized ${field}`, { ...helloOf({ id: "x" }), [field]: "x".repeat(600) }] as const
    ),
    ["a greeting of 100 KB", { ...helloOf({ id: "x" }), more: "x".repeat(100_000) }],
    ["an id that is a number", { ...helloOf({ id: "x" }), id: 1 }],
    ["an empty id", { ...helloOf({ id: "x" }), id: "" }],
    ["an id that no node can have", { ...helloOf({ id: "x" }), id: "a b\nc" }],
    ["a boot that is no count", { ...helloOf({ id: "x" }), boot: 1.5 }],
    ["a negative boot", { ...helloOf({ id: "x" }), boot: -1 }],
    ["a short nonce", { ...helloOf({ id: "x" }), nonce: "abc" }],
    ["a list", [1, 2, 3]],
    ["null", null],
    ["a number", 7],
    ["a string", "hello"]
  ]
  for (const [what, greeting] of malformed) {
    it.live(`a malformed greeting is refused: ${what}`, () =>
      Effect.gen(function* () {
        const node = yield* open({ id: "node", secret })
        yield* refuses(node, says((peer) => peer.text(JSON.stringify(greeting))), /malformed|protocol/)
        yield* takesFriends(node)
      }))
  }

  it.live("[P62] [P71] [D21] another cluster, protocol version or hash is refused, saying both", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      const hello = helloOf({ id: "x" })
      const saying = (change: object) => says((peer) => peer.text(JSON.stringify({ ...hello, ...change })))
      yield* refuses(node, saying({ cluster: "other" }), /cluster.*"other".*"default"|cluster.*"default".*"other"/)
      yield* refuses(node, saying({ version: 99 }), /version.*99/)
      yield* refuses(node, saying({ hash: "md5" }), /hash.*"md5"/)
      yield* takesFriends(node)
    }))

  it.live("a client that says nothing is cut after the handshake's time, also if it never closes", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret, handshakeTimeout: "200 millis" })
      yield* refuses(node, () => Effect.void, /time/)
      const rude = yield* dialRaw(node.address)
      rude.polite = false
      yield* rude.ended
      yield* refuses(node, (peer) => greet(peer, helloOf({ id: "half" })), /time/)
      yield* takesFriends(node)
    }))

  it.live("a TCP client that never asks for an upgrade is cut after the handshake's time", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret, handshakeTimeout: "200 millis" })
      const socket = yield* dialTcp(node.address)
      let ended = false
      socket.on("end", () => ended = true).on("close", () => ended = true).resume()
      yield* waitUntil("it is cut", () => ended, "10 seconds")
      yield* takesFriends(node)
    }))

  it.live("what is not HTTP is cut, and what is not a WebSocket is told so", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      for (
        const says of [
          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ]
      ) {
        const socket = yield* dialTcp(node.address)
        let heard = ""
        let ended = false
        socket.on("data", (data) => heard += data.toString("latin1"))
        socket.on("end", () => ended = true).on("close", () => ended = true)
        socket.write(Buffer.from(says, "latin1"))
        yield* waitUntil("it is cut", () => ended, "10 seconds")
        assert.notMatch(heard, /^HTTP\/1.1 (101|200)/)
      }
      yield* takesFriends(node)
    }))
})

describe("a proof", () => {
  it.live("[D21] with the wrong secret is refused", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      yield* refuses(node, (peer) =>
        Effect.map(greet(peer, helloOf({ id: "x" })), (greeted) => peer.text(proofOf(greeted, "guess"))), /secret/)
      yield* refuses(node, (peer) =>
        Effect.map(greet(peer, helloOf({ id: "x" })), (greeted) =>
          peer.text(proofOf(greeted, ""))), /secret/)
      yield* takesFriends(node)
    }))

  it.live("of another handshake is refused, also with the same greeting", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      const hello = helloOf({ id: "x" })
      const first = yield* greet(yield* dialRaw(node.address), hello)
      const recorded = proofOf(first, secret)
      yield* refuses(node, (peer) => Effect.map(greet(peer, hello), () => peer.text(recorded)), /secret/)
      yield* takesFriends(node)
    }))

  it.live("that is the acceptor's own, sent back, is refused", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      yield* refuses(node, (peer) =>
        Effect.map(greet(peer, helloOf({ id: "x" })), ({ proof }) => peer.text(proof)), /secret/)
      yield* takesFriends(node)
    }))

  it.live("for another id or boot than was greeted with is refused", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "node", secret })
      for (const change of [{ id: "someone else" }, { boot: 99 }, { address: "10.0.0.1:1" }]) {
        yield* refuses(node, (peer) =>
          Effect.map(greet(peer, helloOf({ id: "x" })), (greeted) =>
            peer.text(proofOf({ ...greeted, mine: { ...greeted.mine, ...change } }, secret))), /secret/)
      }
      yield* takesFriends(node)
    }))
})

describe("an acceptor", () => {
  /** Dials an acceptor that behaves as told; answers the error. */
  const dialling = Effect.fnUntraced(function* (act: (peer: RawPeer) => Effect.Effect<unknown, Error>) {
    const node = yield* open({ id: "node", secret, handshakeTimeout: "500 millis" })
    const context = yield* Effect.context<never>()
    const address = yield* serveRaw((peer) => void Effect.runForkWith(context)(Effect.ignore(act(peer))))
    const error = yield* Effect.flip(node.transport.connect(address))
    assert.strictEqual(error._tag, "TransportError")
    assert.strictEqual(error.address, address)
    assert.deepStrictEqual(node.transport.peers(), [])
    yield* takesFriends(node)
    return error
  })

  const answer = (peer: RawPeer, proof: (theirs: string, mine: ReturnType<typeof helloOf>) => string) =>
    Effect.map(peer.next("the dialler's greeting"), (theirs) => {
      const mine = helloOf({ id: "acceptor" })
      peer.text(JSON.stringify([JSON.stringify(mine), proof(theirs.toString(), mine)]))
    })

  it.live("that does not know the secret: reason Handshake", () =>
    Effect.gen(function* () {
      const error = yield* dialling((peer) =>
        answer(peer, (theirs, mine) => prove("guess", "acceptor", JSON.parse(theirs), mine))
      )
      assert.strictEqual(error.reason, "Handshake")
      assert.match(error.detail, /secret/)
    }))

  it.live("that proves as a dialler would: reason Handshake", () =>
    Effect.gen(function* () {
      const error = yield* dialling((peer) =>
        answer(peer, (theirs, mine) => prove(secret, "dialler", JSON.parse(theirs), mine))
      )
      assert.strictEqual(error.reason, "Handshake")
    }))

  it.live("that answers random bytes, nothing readable, or too much: reason Handshake", () =>
    Effect.gen(function* () {
      for (const nonsense of [randomBytes(200), bytes("{}"), bytes("[]"), bytes("[null,1]"), randomBytes(500_000)]) {
        const error = yield* dialling((peer) =>
          Effect.map(peer.next("the dialler's greeting"), () => peer.binary(nonsense))
        )
        assert.strictEqual(error.reason, "Handshake", error.message)
      }
    }))

  it.live("that never says that it is ready: reason Timeout", () =>
    Effect.gen(function* () {
      const error = yield* dialling((peer) =>
        answer(peer, (theirs, mine) => prove(secret, "acceptor", JSON.parse(theirs), mine))
      )
      assert.strictEqual(error.reason, "Timeout", error.message)
    }))

  it.live("that breaks off instead of saying that it is ready: reason Handshake or Closed", () =>
    Effect.gen(function* () {
      for (const how of ["word", "close", "cut"] as const) {
        const error = yield* dialling((peer) =>
          Effect.gen(function* () {
            yield* answer(peer, (theirs, mine) => prove(secret, "acceptor", JSON.parse(theirs), mine))
            yield* peer.next("the dialler's proof")
            if (how === "word") peer.text("not ready")
            else if (how === "close") peer.send(Opcode.close, Buffer.from([0x03, 0xe8]))
            else peer.socket.destroy()
          })
        )
        assert.include(["Handshake", "Closed"], error.reason, error.message)
      }
    }))
})
