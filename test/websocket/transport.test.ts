// The transport by itself: addresses, dialling, one connection per pair, order, limits, and the end.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { dialProven, frame, refusedAddress, serveRaw, serveTcp } from "./raw.ts"
import { bytes, CHANNEL, type Listening, open, waitUntil } from "./support.ts"

const secret = "open sesame"
const texts = (node: Listening): ReadonlyArray<string> => node.received.map(({ text }) => text)
const numbered = (prefix: string, count: number): Array<string> =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`)

const two = Effect.fnUntraced(function* (options: Parameters<typeof open>[0] = {}) {
  const a = yield* open({ id: "a", ...options })
  const b = yield* open({ id: "b", ...options })
  return [a, b] as const
})

describe("listening", () => {
  it.live("on a taken port: reason Listen", () =>
    Effect.gen(function* () {
      const first = yield* open()
      const error = yield* Effect.flip(Effect.scoped(open({ listen: first.address })))
      assert.strictEqual(error._tag === "TransportError" && error.reason, "Listen")
      assert.include(error.message, first.address)
      const foreign = yield* serveTcp(() => {})
      const other = yield* Effect.flip(Effect.scoped(open({ listen: foreign })))
      assert.strictEqual(other._tag === "TransportError" && other.reason, "Listen")
    }))

  for (
    const listen of ["0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.invalid:0", "127.0.0.1.example.invalid:0"]
  ) {
    it.live(`beyond loopback (${listen}) without a secret: reason Configuration`, () =>
      Effect.gen(function* () {
        for (const none of [undefined, ""]) {
          const error = yield* Effect.flip(Effect.scoped(open({ listen, secret: none })))
          assert.strictEqual(error._tag === "TransportError" && error.reason, "Configuration", error.message)
        }
      }))
  }

  it.live("on all interfaces with a secret", () =>
    Effect.gen(function* () {
      const node = yield* open({ listen: "0.0.0.0:0", secret, advertise: "127.0.0.1:1" })
      assert.strictEqual(node.address, "127.0.0.1:1")
    }))

  for (const listen of ["127.0.0.1:0", "127.0.0.2:0", "localhost:0"]) {
    it.live(`on loopback (${listen}) without a secret`, () => Effect.scoped(open({ listen })))
  }

  const unreadable = [
    "",
    "host:port",
    "a:b:c",
    "127.0.0.1:70000",
    "127.0.0.1:-1",
    "127.0.0.1:1.5",
    "[::1",
    "::1",
    "http://127.0.0.1:0",
    "127.0.0.1:0/path",
    "127.0.0.1: 0",
    "host name:0",
    "user@127.0.0.1:0",
    "a#b:0",
    "a?b:0"
  ]
  for (const address of unreadable) {
    it.live(`at "${address}": reason Configuration`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.scoped(open({ listen: address, secret })))
        assert.strictEqual(error._tag === "TransportError" && error.reason, "Configuration", error.message)
      }))
  }

  it.live("advertising what is no address: reason Configuration", () =>
    Effect.gen(function* () {
      for (const advertise of ["host:port", "::1", "a#b:1", ""]) {
        const error = yield* Effect.flip(Effect.scoped(open({ advertise })))
        assert.strictEqual(error._tag === "TransportError" && error.reason, "Configuration", error.message)
      }
    }))

  it.live("with an id or a cluster that cannot be one: InvalidInput", () =>
    Effect.gen(function* () {
      for (const options of [{ id: "" }, { id: "a b" }, { id: "x".repeat(200) }, { cluster: "" }, { cluster: "ü" }]) {
        const error = yield* Effect.flip(Effect.scoped(open(options)))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
    }))
})

describe("dialling", () => {
  it.live("[P71] itself: reason Self, by whatever name", () =>
    Effect.gen(function* () {
      const node = yield* open({ id: "me" })
      const port = node.address.slice(node.address.lastIndexOf(":"))
      for (const address of [node.address, `localhost${port}`]) {
        const error = yield* Effect.flip(node.transport.connect(address))
        assert.strictEqual(error.reason, "Self", `${address}: ${error.message}`)
      }
      assert.deepStrictEqual(node.transport.peers(), [])
      assert.isFalse(node.transport.send("me", CHANNEL, bytes("x"), "user"))
    }))

  it.live("where nobody listens: reason Refused", () =>
    Effect.gen(function* () {
      const node = yield* open()
      const address = yield* refusedAddress
      const error = yield* Effect.flip(node.transport.connect(address))
      assert.strictEqual(error.reason, "Refused", error.message)
      assert.strictEqual(error.address, address)
    }))

  it.live("who accepts but never answers: reason Timeout, before the upgrade and after", () =>
    Effect.gen(function* () {
      const node = yield* open({ handshakeTimeout: "300 millis" })
      for (const silent of [yield* serveTcp(() => {}), yield* serveRaw(() => {})]) {
        const error = yield* Effect.flip(node.transport.connect(silent))
        assert.strictEqual(error.reason, "Timeout", error.message)
      }
    }))

  it.live("who hangs up, or is no WebSocket: reason Closed", () =>
    Effect.gen(function* () {
      const node = yield* open()
      for (
        const answer of [
          yield* serveTcp((socket) => socket.destroy()),
          yield* serveTcp((socket) =>
            socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
          ),
          yield* serveTcp((socket) => socket.end("220 mail.example.org ESMTP\r\n"))
        ]
      ) {
        const error = yield* Effect.flip(node.transport.connect(answer))
        assert.strictEqual(error.reason, "Closed", error.message)
      }
    }))

  const unreadable = [
    "",
    "host:port",
    "127.0.0.1:70000",
    "[::1",
    "a b:1",
    "a#b:1",
    "a?b:1",
    "256.256.256.256:1",
    "<x>:1",
    "[1:2]:1"
  ]
  for (const address of unreadable) {
    it.live(`"${address}": reason Configuration, also on demand`, () =>
      Effect.gen(function* () {
        const node = yield* open()
        const error = yield* Effect.flip(node.transport.connect(address))
        assert.strictEqual(error._tag, "TransportError")
        assert.strictEqual(error.reason, "Configuration", error.message)
        node.transport.learn("far", address)
        node.transport.send("far", CHANNEL, bytes("x"), "user")
        yield* waitUntil("it is reported out of reach", () => node.reported.unreachable.length > 0)
        assert.deepStrictEqual(node.reported.unreachable, [{ id: "far", refused: false }])
      }))
  }

  it.live("on demand, where nobody listens: reported as refused, sent nothing", () =>
    Effect.gen(function* () {
      const node = yield* open()
      assert.isFalse(node.transport.send("far", CHANNEL, bytes("x"), "user"), "its address is not known")
      node.transport.learn("far", yield* refusedAddress)
      assert.isTrue(node.transport.send("far", CHANNEL, bytes("x"), "user"))
      yield* waitUntil("it is reported", () => node.reported.unreachable.length > 0)
      assert.deepStrictEqual(node.reported.unreachable, [{ id: "far", refused: true }])
    }))

  it.live("the same peer again answers the connection there is", () =>
    Effect.gen(function* () {
      const [a, b] = yield* two({ secret })
      const first = yield* a.transport.connect(b.address)
      const second = yield* a.transport.connect(b.address)
      const back = yield* b.transport.connect(a.address)
      assert.strictEqual(first.id, "b")
      assert.strictEqual(second.id, "b")
      assert.strictEqual(back.id, "a")
      a.transport.send("b", CHANNEL, bytes("works"), "user")
      yield* waitUntil("it works", () => texts(b).includes("works"))
      for (const node of [a, b]) {
        assert.lengthOf(node.transport.peers(), 1)
        assert.lengthOf(node.reported.up, 1)
        assert.deepStrictEqual(node.reported.down, [])
      }
    }))
})

describe("two nodes that dial each other at once", () => {
  for (let round = 0; round < 8; round++) {
    it.live(`end with one connection and lose no frame (${round})`, () =>
      Effect.gen(function* () {
        const [a, b] = yield* two({ secret })
        a.transport.learn("b", b.address)
        b.transport.learn("a", a.address)
        const fromA = numbered("a", 200)
        const fromB = numbered("b", 200)
        for (const text of fromA.slice(0, 100)) assert.isTrue(a.transport.send("b", CHANNEL, bytes(text), "user"))
        // sometimes at the very same time, sometimes a few steps later
        for (let step = 0; step < round; step++) yield* Effect.yieldNow
        for (const text of fromB.slice(0, 100)) assert.isTrue(b.transport.send("a", CHANNEL, bytes(text), "user"))
        yield* waitUntil("both are up", () => a.reported.up.length > 0 && b.reported.up.length > 0)
        for (const text of fromA.slice(100)) assert.isTrue(a.transport.send("b", CHANNEL, bytes(text), "user"))
        for (const text of fromB.slice(100)) assert.isTrue(b.transport.send("a", CHANNEL, bytes(text), "user"))
        yield* waitUntil(
          "all frames have arrived",
          () => a.received.length >= fromB.length && b.received.length >= fromA.length
        )
        assert.deepStrictEqual(texts(a), fromB)
        assert.deepStrictEqual(texts(b), fromA)
        for (const node of [a, b]) {
          assert.lengthOf(node.transport.peers(), 1)
          assert.lengthOf(node.reported.up, 1)
          assert.deepStrictEqual(node.reported.down, [])
          assert.deepStrictEqual(node.reported.unreachable, [])
        }
      }))
  }

  it.live("by connect: both get the other, at once, and what is sent as soon as the other is up arrives", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        yield* Effect.scoped(Effect.gen(function* () {
          const [a, b] = yield* two({ secret })
          const sent: Array<string> = []
          a.transport.subscribe({
            up: () => {
              for (const text of numbered(`${sent.length}-`, 50)) {
                if (a.transport.send("b", CHANNEL, bytes(text), "user")) sent.push(text)
              }
            },
            down: () => {},
            unreachable: () => {}
          })
          const [toB, toA] = yield* Effect.all([a.transport.connect(b.address), b.transport.connect(a.address)], {
            concurrency: "unbounded"
          })
          assert.strictEqual(toB.id, "b")
          assert.strictEqual(toA.id, "a")
          a.transport.send("b", CHANNEL, bytes("last"), "user")
          yield* waitUntil("the last is heard", () => texts(b).includes("last"))
          assert.deepStrictEqual(texts(b), [...sent, "last"])
          for (const node of [a, b]) {
            assert.lengthOf(node.transport.peers(), 1)
            assert.lengthOf(node.reported.up, 1)
            assert.deepStrictEqual(node.reported.down, [])
          }
        }))
      }
    }))
})

describe("frames", () => {
  it.live("[P83] of the largest size arrive, larger ones are not sent", () =>
    Effect.gen(function* () {
      for (const maxFrameBytes of [100, 1024 * 1024]) {
        yield* Effect.scoped(Effect.gen(function* () {
          const [a, b] = yield* two({ maxFrameBytes })
          yield* a.transport.connect(b.address)
          assert.strictEqual(a.transport.maxFrameBytes, maxFrameBytes)
          assert.isTrue(a.transport.send("b", CHANNEL, bytes("x".repeat(maxFrameBytes)), "user"))
          assert.isFalse(a.transport.send("b", CHANNEL, bytes("x".repeat(maxFrameBytes + 1)), "user"))
          a.transport.send("b", CHANNEL, bytes("after"), "user")
          yield* waitUntil("they arrive", () => texts(b).includes("after"))
          assert.deepStrictEqual(b.received.map(({ text }) => text.length), [maxFrameBytes, 5])
          assert.deepStrictEqual(a.reported.down, [])
        }))
      }
    }))

  it.live("many small ones at once arrive, however small the largest may be", () =>
    Effect.gen(function* () {
      const [a, b] = yield* two({ maxFrameBytes: 1024 })
      yield* a.transport.connect(b.address)
      const sent = numbered("x".repeat(1000), 1000)
      for (const text of sent) assert.isTrue(a.transport.send("b", CHANNEL, bytes(text), "user"))
      yield* waitUntil("all arrive", () => b.received.length >= sent.length || a.reported.down.length > 0)
      assert.deepStrictEqual(a.reported.down, [])
      assert.deepStrictEqual(texts(b), sent)
    }))

  it.live("arrive in order; within a batch the protocol's go first", () =>
    Effect.gen(function* () {
      const [a, b] = yield* two()
      yield* a.transport.connect(b.address)
      const users = numbered("user-", 500)
      const protocol = numbered("protocol-", 500)
      for (const [index, text] of users.entries()) {
        a.transport.send("b", CHANNEL, bytes(text), "user")
        a.transport.send("b", CHANNEL, bytes(protocol[index]!), "protocol")
      }
      yield* waitUntil("all arrive", () => b.received.length >= 1000)
      assert.deepStrictEqual(texts(b), [...protocol, ...users])
      const later = numbered("later-", 500)
      for (const [index, text] of later.entries()) {
        a.transport.send("b", CHANNEL, bytes(text), "user")
        if (index % 50 === 0) yield* Effect.yieldNow
      }
      yield* waitUntil("all arrive", () => b.received.length >= 1500)
      assert.deepStrictEqual(texts(b).slice(1000), later)
    }))

  it.live("keep their bytes, whatever they are", () =>
    Effect.gen(function* () {
      const [a, b] = yield* two()
      yield* a.transport.connect(b.address)
      const heard: Array<Uint8Array> = []
      b.transport.receive(78, (_, body) => void heard.push(Uint8Array.from(body)))
      const sent = Array.from({ length: 200 }, (_, i) => Uint8Array.from({ length: i * 37 }, (_, j) => (i * j) & 255))
      for (const body of sent) a.transport.send("b", 78, body, "user")
      yield* waitUntil("all arrive", () => heard.length >= sent.length)
      assert.deepStrictEqual(heard, sent)
    }))
})

describe("limits", () => {
  it.live("connections beyond maxConnections are refused until one ends", () =>
    Effect.gen(function* () {
      const node = yield* open({ maxConnections: 2 })
      const first = yield* dialProven(node.address, { id: "first" })
      yield* dialProven(node.address, { id: "second" })
      const error = yield* Effect.flip(dialProven(node.address, { id: "third" }))
      assert.match(error.message, /1013.*too many connections/)
      assert.isUndefined(first.closed)
      assert.deepStrictEqual(node.transport.peers().map(({ id }) => id).sort(), ["first", "second"])
      const other = yield* open()
      const refused = yield* Effect.flip(other.transport.connect(node.address))
      assert.strictEqual(refused.reason, "Closed")
      assert.match(refused.detail, /too many/)
      first.socket.destroy()
      yield* waitUntil("it is gone", () => node.reported.down.length > 0)
      yield* dialProven(node.address, { id: "third" })
    }))

  it.live(
    "[T3] a peer that does not read is disconnected, not buffered for without end",
    () =>
      Effect.gen(function* () {
        const node = yield* open({ maxBufferedBytes: 1024 * 1024 })
        const slow = yield* dialProven(node.address, { id: "slow" })
        const friend = yield* dialProven(node.address, { id: "friend" })
        yield* waitUntil("both are up", () => node.transport.peers().length === 2)
        slow.socket.pause()
        const chunk = new Uint8Array(64 * 1024)
        let sent = 0
        yield* waitUntil("no more is taken for it", () => {
          let taken = true
          for (let i = 0; i < 8 && taken; i++) taken = node.transport.send("slow", CHANNEL, chunk, "user")
          sent += 8 * chunk.byteLength
          return !taken || sent > 256 * 1024 * 1024
        })
        assert.isBelow(sent, 256 * 1024 * 1024)
        yield* waitUntil("it is down", () => node.reported.down.length > 0)
        assert.deepStrictEqual(node.reported.down.map(({ id }) => id), ["slow"])
        assert.match(node.reported.down[0]!.detail, /slow/)
        friend.binary(frame(CHANNEL, "still here"))
        yield* waitUntil("the friend is heard", () => texts(node).includes("still here"))
      }),
    30_000
  )
})

describe("the end of its scope", () => {
  it.live("says goodbye to every peer and frees the port", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const node = yield* open({ id: "node" }).pipe(Scope.provide(scope))
      const other = yield* open({ id: "other" })
      yield* other.transport.connect(node.address)
      const polite = yield* dialProven(node.address, { id: "polite" })
      const rude = yield* dialProven(node.address, { id: "rude" })
      rude.polite = false
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* polite.ended).code, 1001)
      yield* rude.ended
      yield* waitUntil("the other node has noticed", () => other.reported.down.length > 0)
      assert.deepStrictEqual(other.reported.down.map(({ id }) => id), ["node"])
      assert.isFalse(node.transport.send("other", CHANNEL, bytes("x"), "user"))
      const error = yield* Effect.flip(node.transport.connect(other.address))
      assert.strictEqual(error.reason, "Closed")
      const again = yield* open({ id: "node", listen: node.address })
      assert.strictEqual(again.address, node.address)
      assert.strictEqual((yield* other.transport.connect(node.address)).id, "node")
    }))
})
