// Nodes that are told something wrong: where to listen, whom to join, which secret to show. Each says so in words, and none
// of them disturbs a cluster.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import type { AddressInfo } from "node:net"
import { launch, NodeGone, seeEachOther, start, survivors, three, waitUntil } from "./harness.ts"

const timeout_ms = 60_000
const REDIAL_MS = 100

/** A port of this machine with a plain TCP server on it. */
const serve = (onSocket: (socket: Socket) => void): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createServer(onSocket)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  ).pipe(Effect.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`))

/** A port on which nobody listens. */
const refusedAddress: Effect.Effect<string> = Effect.scoped(serve(() => {}))

/** Counts who dials it, and hangs up. */
const countingSeed = Effect.gen(function* () {
  let dials = 0
  const address = yield* serve((socket) => {
    dials++
    socket.on("error", () => {})
    socket.destroy()
  })
  return { address, dials: () => dials }
})

/** On each of the three runtimes at once. */
const onEach = <E, R>(test: (index: 0 | 1 | 2) => Effect.Effect<void, E, R>) =>
  Effect.forEach([0, 1, 2] as const, test, { concurrency: "unbounded", discard: true })

describe("a node that joins", () => {
  it.live(
    "where nobody listens: forms a cluster alone, warns once, goes on trying",
    () =>
      onEach((index) =>
        Effect.gen(function* () {
          const refused = yield* refusedAddress
          const other = yield* countingSeed
          const id = `lonely-${three[index].name}`
          const node = yield* start(three[index], { id, join: [refused, other.address], redialMs: REDIAL_MS })
          yield* waitUntil("it has dialled its seeds again and again", () => other.dials() >= 5)
          assert.deepStrictEqual(yield* node.ask("membership", {}), [{ id, status: "alive", synced: true }])
          const [ref] = yield* node.ask("register", { names: ["alone"], start: 1 })
          assert.strictEqual(ref!.node, id)
          const about = (address: string) => node.warnings().filter((warning) => warning.includes(address))
          assert.lengthOf(about(refused), 1, node.warnings().join("\n"))
          assert.include(about(refused)[0], "Refused")
          assert.lengthOf(about(other.address), 1, node.warnings().join("\n"))
          assert.strictEqual(node.stderr(), "")
        })
      ),
    timeout_ms
  )

  const unreadable = ["not an address", "host:port", "127.0.0.1:99999", "[::1", "a#b:4100", "256.256.256.256:4100"]

  it.live("an address that is none: warns, naming it, and lives on", () =>
    onEach((index) =>
      Effect.gen(function* () {
        const other = yield* countingSeed
        const id = `misled-${three[index].name}`
        const node = yield* start(three[index], {
          id,
          join: [...unreadable, other.address],
          redialMs: REDIAL_MS
        })
        yield* waitUntil("it has dialled all its seeds", () => other.dials() >= 2)
        for (const address of unreadable) {
          yield* waitUntil(
            `a warning of ${node.id} names "${address}"`,
            () => node.warnings().some((warning) => warning.includes(`"${address}"`))
          )
        }
        yield* node.ask("register", { names: ["alone"], start: 1 })
        assert.strictEqual(node.stderr(), "")
      })
    ), timeout_ms)
})

describe("a node that cannot start", () => {
  const failing = Effect.fnUntraced(function* (
    index: 0 | 1 | 2,
    options: { readonly id?: string; readonly listen?: string; readonly advertise?: string; readonly secret?: string }
  ) {
    const node = yield* launch(three[index], { id: "hopeless", ...options })
    const up = Effect.andThen(
      waitUntil("it is ready", () => node.address() !== "", "60 seconds"),
      Effect.fail(new NodeGone(`"${node.id}" started with ${JSON.stringify(options)}`))
    )
    const { code } = yield* Effect.raceFirst(node.ended, up)
    assert.strictEqual(code, 1, node.stderr())
    assert.strictEqual(node.stderr(), "", "no raw stack")
    return node.failure()
  })

  it.live("on a taken port says TransportError, reason Listen", () =>
    onEach((index) =>
      Effect.gen(function* () {
        const taken = yield* serve((socket) => socket.destroy())
        const failure = yield* failing(index, { listen: taken })
        assert.strictEqual(failure?.error.tag, "TransportError")
        assert.strictEqual(failure?.error.reason, "Listen")
        assert.include(failure?.error.message, taken)
      })
    ), timeout_ms)

  it.live(
    "at an address that is none says TransportError, reason Configuration",
    () =>
      onEach((index) =>
        Effect.gen(function* () {
          const failure = yield* failing(index, { listen: "not an address" })
          assert.strictEqual(failure?.error.tag, "TransportError")
          assert.strictEqual(failure?.error.reason, "Configuration")
          assert.include(failure?.error.message, "not an address")
        })
      ),
    timeout_ms
  )
})

describe("a stranger", () => {
  it.live(
    "[D21] with another secret, or of another cluster, is told why and stays alone; the cluster goes on",
    () =>
      Effect.gen(function* () {
        const host = yield* start(three[2], { id: "host" })
        const join = [host.address()]
        const [wrongSecret, wrongCluster] = yield* Effect.all([
          start(three[0], { id: "wrong-secret", join, secret: "another secret", redialMs: REDIAL_MS }),
          start(three[1], { id: "wrong-cluster", join, cluster: "another", redialMs: REDIAL_MS })
        ], { concurrency: "unbounded" })
        for (
          const [stranger, why] of [[wrongSecret, /secret/], [
            wrongCluster,
            /cluster "(another|default)" meets/
          ]] as const
        ) {
          yield* waitUntil(
            `"${stranger.id}" is told why`,
            () => stranger.warnings().some((text) => text.includes("Handshake") && why.test(text))
          )
          yield* seeEachOther([stranger])
          assert.strictEqual(stranger.stderr(), "")
        }
        assert.lengthOf(yield* host.ask("membership", {}), 1)
        const [ref] = yield* host.ask("register", { names: ["ours"], start: 1 })
        const friend = yield* start(three[1], { id: "friend", join })
        yield* seeEachOther([host, friend])
        assert.deepStrictEqual((yield* friend.ask("whereis", { names: ["ours"] }))[0]?.name, ref!.name)
        assert.deepStrictEqual(yield* wrongSecret.ask("whereis", { names: ["ours"] }), [null])
        assert.deepStrictEqual(yield* wrongCluster.ask("whereis", { names: ["ours"] }), [null])
      }),
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
