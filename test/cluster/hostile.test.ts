// Hostile peers against a node on each of the three runtimes, whose WebSockets are not the same (Bun has its own): the peer
// is cut, the node says why and goes on. What each refusal looks like in detail is tested in test/websocket.
import { afterAll, assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { randomBytes } from "node:crypto"
import { msgpack } from "../../src/protocol/codec.ts"
import { Channel } from "../../src/protocol/wire.ts"
import {
  dialProven,
  dialRaw,
  frame,
  frameHead,
  greet,
  helloOf,
  Opcode,
  proofOf,
  type RawPeer,
  refusedAddress,
  serveRaw,
  serveTcp
} from "../websocket/raw.ts"
import { SECRET as secret, start, survivors, type TestNode, three, waitUntil } from "./harness.ts"

const timeout_ms = 60_000
const GIGABYTE = 2 ** 30
const MAX_BUFFERED = 1024 * 1024

const Nodes = Context.Service<ReadonlyArray<TestNode>>("test/Nodes")

const nodes = Effect.forEach(
  three,
  (runtime, index) =>
    start(runtime, {
      id: `${index}-${runtime.name}`,
      handshakeMs: 500,
      maxBufferedBytes: MAX_BUFFERED
    }),
  { concurrency: "unbounded" }
)

let lastBoot = 1

/** Works, and has no peer by this id. */
const livesOn = (node: TestNode) =>
  Effect.gen(function* () {
    yield* waitUntil(
      `${node.id} is rid of the hostile peer`,
      Effect.map(node.ask("peers", {}), (ids) => !ids.includes("hostile"))
    )
    const name = `after-${lastBoot++}`
    yield* node.ask("register", { names: [name], start: 1 })
    assert.deepStrictEqual(yield* node.ask("totals", { names: [name] }), [{ total: 1, node: node.id }])
    assert.strictEqual(node.stderr(), "")
  })

const connect = (node: TestNode, proven: boolean) =>
  proven ? dialProven(node.address(), { id: "hostile", boot: lastBoot++, secret }) : dialRaw(node.address())

const giant = (opcode: number): Buffer =>
  Buffer.concat([frameHead(opcode, GIGABYTE, true), Buffer.alloc(4), randomBytes(64)])

type Attack = (peer: RawPeer, boot: number) => void

const always: ReadonlyArray<readonly [string, Attack]> = [
  ["random bytes", (peer) => peer.binary(Buffer.concat([Buffer.from([0xff]), randomBytes(500)]))],
  ["a text message", (peer) => peer.text("hello?")],
  ["a message that announces 1 GB", (peer) => peer.socket.write(giant(Opcode.binary))],
  ["a reserved opcode", (peer) => peer.send(5, "what")],
  ["a message of 2 MB", (peer) => peer.binary(new Uint8Array(2 * 1024 * 1024))],
  ["fragments of 2 MB together", (peer) => {
    peer.send(Opcode.binary, new Uint8Array(700_000), false)
    peer.send(Opcode.continuation, new Uint8Array(700_000), false)
    peer.send(Opcode.continuation, new Uint8Array(700_000), true)
  }]
]

const onceProven: ReadonlyArray<readonly [string, Attack]> = [
  ["an inner frame that announces 1 GB", (peer) => peer.binary(frame(1, "x", GIGABYTE))],
  ["a message of its protocol that is none", (peer) => peer.binary(frame(Channel.swim, Buffer.from([0xc1])))]
]

layer(Layer.effect(Nodes)(nodes), { excludeTestServices: true, timeout: timeout_ms })("on each runtime", (it) => {
  const onEach = <E, R>(test: (node: TestNode) => Effect.Effect<void, E, R>) =>
    Effect.flatMap(Nodes, (all) => Effect.forEach(all, test, { discard: true }))

  for (const proven of [false, true]) {
    const when = proven ? "after" : "before"
    for (const [what, attack] of [...always, ...(proven ? onceProven : [])]) {
      it.effect(`${what} ${when} the handshake: cut`, () =>
        onEach((node) =>
          Effect.scoped(Effect.gen(function* () {
            const peer = yield* connect(node, proven)
            attack(peer, lastBoot++)
            yield* peer.ended
            yield* livesOn(node)
          }))
        ), timeout_ms)
    }
  }

  it.effect(
    "silence, from the start or after half a handshake: cut in time",
    () =>
      onEach((node) =>
        Effect.scoped(Effect.gen(function* () {
          const silent = yield* dialRaw(node.address())
          const half = yield* dialRaw(node.address())
          yield* greet(half, helloOf({ id: "hostile", boot: lastBoot++ }))
          half.polite = false
          assert.strictEqual((yield* silent.ended).code, 4001)
          yield* half.ended
          yield* livesOn(node)
        }))
      ),
    timeout_ms
  )

  it.effect(
    "a wrong proof: refused, said so on both sides",
    () =>
      onEach((node) =>
        Effect.scoped(Effect.gen(function* () {
          const peer = yield* dialRaw(node.address())
          const greeted = yield* greet(peer, helloOf({ id: "hostile", boot: lastBoot++ }))
          peer.text(proofOf(greeted, "a guess"))
          const { code, reason } = yield* peer.ended
          assert.strictEqual(code, 4001)
          assert.match(reason, /secret/)
          assert.isTrue(node.warnings().some((warning) => warning.includes("Refused a peer")))
          yield* livesOn(node)
        }))
      ),
    timeout_ms
  )

  it.effect(
    "a peer that asks and never reads: disconnected, not buffered for without end",
    () =>
      onEach((node) =>
        Effect.scoped(Effect.gen(function* () {
          const peer = yield* connect(node, true)
          peer.socket.pause()
          // each asks for an answer that is many times as long
          const question = frame(Channel.sync, msgpack.encode([0, 1]))
          const questions = Buffer.concat(Array.from({ length: 50_000 }, () => question))
          let asked = 0
          yield* waitUntil(
            `${node.id} is rid of it`,
            Effect.suspend(() => {
              if (asked++ < 20 && peer.closed === undefined) peer.binary(questions)
              return Effect.map(node.ask("peers", {}), (ids) => !ids.includes("hostile"))
            }),
            "15 seconds"
          )
          yield* livesOn(node)
        }))
      ),
    timeout_ms
  )

  it.effect("dialled addresses: the same typed errors everywhere", () =>
    Effect.gen(function* () {
      const refused = yield* refusedAddress
      const silentTcp = yield* serveTcp(() => {})
      const silentWebSocket = yield* serveRaw(() => {})
      const hangsUp = yield* serveTcp((socket) => socket.destroy())
      const notFound = yield* serveTcp((socket) =>
        socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
      )
      const babbles = yield* serveRaw((peer) => peer.text("hello, who are you?"))
      const expected = [
        [refused, "Refused"],
        [silentTcp, "Timeout"],
        [silentWebSocket, "Timeout"],
        [hangsUp, "Closed"],
        [notFound, "Closed"],
        [babbles, "Handshake"]
      ] as const
      yield* onEach((node) =>
        Effect.gen(function* () {
          const reasons: Array<string> = []
          for (const [address] of [...expected, [node.address(), "Self"]] as const) {
            const error = yield* Effect.flip(node.ask("connect", { address }))
            reasons.push(error._tag === "CommandFailed" ? `${error.error.tag} ${error.error.reason}` : error.message)
          }
          assert.deepStrictEqual(
            reasons,
            [...expected.map(([, reason]) => reason), "Self"].map((reason) => `TransportError ${reason}`),
            node.id
          )
          yield* livesOn(node)
        })
      )
    }), timeout_ms)
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
