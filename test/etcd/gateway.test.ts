// Servers that are no good etcd: too old, something else, silent, without end; no etcd is needed for these.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope, Stream } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createTcpServer, type Server } from "node:net"
import { type EtcdOptions, make } from "../../adapters/etcd/client.ts"
import { waitUntil } from "../cluster/wait.ts"
import { brief, fails, watching } from "./contract.ts"

/** Listens on a free port until the scope ends; answers the endpoint. */
const listening = (server: Server): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const sockets = new Set<{ readonly destroy: () => void }>()
        server.on("connection", (socket) => {
          sockets.add(socket)
          socket.on("error", () => {})
          socket.on("close", () => sockets.delete(socket))
        })
        server.on("close-all", () => sockets.forEach((socket) => socket.destroy()))
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      () =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.emit("close-all")
        })
    ),
    () => {
      const address = server.address()
      return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
    }
  )

const serving = (answer: (path: string, response: ServerResponse, body: string) => void) =>
  listening(createServer((request: IncomingMessage, response) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (chunk: string) => body += chunk)
    request.on("end", () => answer(request.url ?? "", response, body))
  }))

const answering = (status: number, body: string, type = "application/json") =>
  serving((_, response) => response.writeHead(status, { "content-type": type }).end(body))

const open = (endpoints: ReadonlyArray<string>, options: Omit<EtcdOptions, "endpoints"> = {}) =>
  make({ endpoints, retryFor: 0, ...options })

const header = { revision: "7", member_id: "1" }

describe("servers that are no good etcd", () => {
  it.live("one that never answers: reads go on to the next, writes are unknown", () =>
    Effect.gen(function* () {
      const silent = yield* listening(createTcpServer(() => {}))
      const good = yield* answering(200, JSON.stringify({ header }))
      const hasty = { requestTimeout: "300 millis" } as const
      const client = yield* open([silent], hasty)
      yield* fails(client.get("a"), "Timeout")
      yield* fails(client.put("a", "1"), "Timeout", true)
      yield* fails(client.txn({ then: [{ put: "a", value: "1" }] }), "Timeout", true)
      const seen = yield* watching((yield* open([silent], { ...hasty, watchRetryFor: "1 milli" })).watch({ key: "a" }))
      yield* waitUntil("the watch gives up", () => seen.error() !== undefined)
      assert.strictEqual(seen.error()?.reason, "Timeout")
      const both = yield* open([silent, good], { ...hasty, retryFor: "5 seconds" })
      assert.isUndefined(yield* both.get("a"))
      assert.strictEqual((yield* both.range({ key: "a" })).revision, 7)
    }))

  it.live("nobody there: what was not sent is not unknown", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(answering(200, "{}"))
      const client = yield* open([gone])
      yield* fails(client.put("a", "1"), "Unreachable")
      const good = yield* answering(200, JSON.stringify({ header }))
      const both = yield* open([gone, good], { retryFor: "5 seconds" })
      assert.strictEqual((yield* both.put("a", "1")).revision, 7)
      // a label of more than 63 letters: no resolver needs to ask anybody about it
      const nowhere = yield* open([`http://${"a".repeat(64)}.invalid:2379`])
      yield* fails(nowhere.put("a", "1"), "Unreachable")
    }))

  it.live("a connection that breaks after the request: the write is unknown", () =>
    Effect.gen(function* () {
      const breaking = yield* serving((_, response) => void response.socket?.destroy())
      const client = yield* open([breaking], { retryFor: "10 seconds" })
      yield* fails(client.put("a", "1"), "Unreachable", true)
    }))

  const answers: ReadonlyArray<
    readonly [what: string, status: number, body: string, reason: string, unknown: boolean]
  > = [
    ["a server without the gateway", 404, "404 page not found\n", "TooOld", false],
    ["a method that it does not know", 501, `{"message":"unknown method Put","code":12}`, "TooOld", false],
    ["a page", 200, "<html>welcome</html>", "Unexpected", true],
    ["JSON of another kind", 200, `{"header":{"revision":"many"}}`, "Unexpected", true],
    ["a list", 200, "[]", "Unexpected", true],
    ["half an answer", 200, `{"header":{"revision":`, "Unexpected", true],
    ["a number that can't be", 200, `{"header":{"revision":"9223372036854775807"}}`, "Unexpected", true],
    ["a refusal before etcd", 400, "Client sent an HTTP request to an HTTPS server.\n", "Unexpected", false],
    ["a proxy without a server", 502, "bad gateway", "Unreachable", true],
    ["a proxy that wants a user", 401, "who are you?", "Unauthenticated", false],
    ["one that gave up", 503, `{"message":"etcdserver: request timed out","code":14}`, "Timeout", true],
    ["one that stops", 503, `{"message":"etcdserver: server stopped","code":14}`, "Unreachable", true],
    ["one that is overrun", 429, `{"message":"etcdserver: too many requests","code":8}`, "Overloaded", false],
    ["one with an error of its own", 500, `{"message":"raft: oh dear","code":13}`, "Unexpected", true],
    [
      "an error after the status",
      200,
      `{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}`,
      "NoLeader",
      false
    ]
  ]
  for (const [what, status, body, reason, isUnknown] of answers) {
    it.live(`${what}: ${reason}`, () =>
      Effect.gen(function* () {
        const client = yield* open([yield* answering(status, body)])
        const error = yield* Effect.flip(client.put("a", "1"))
        assert.deepStrictEqual([error.reason, error.isUnknown], [reason, isUnknown], error.message)
        const read = yield* Effect.flip(client.get("a"))
        assert.deepStrictEqual([read.reason, read.isUnknown], [reason, false], read.message)
      }))
  }

  it.live("an answer without end is not read to its end", () =>
    Effect.gen(function* () {
      const endless = yield* serving((_, response) => {
        const piece = "x".repeat(64 * 1024)
        const write = (): void => {
          while (!response.destroyed && response.write(piece)) { /* until it is full */ }
        }
        response.on("drain", write)
        write()
      })
      const client = yield* open([endless], { maxAnswerBytes: 1_000_000 })
      yield* fails(client.get("a"), "TooLarge")
      const seen = yield* watching(client.watch({ key: "a" }))
      yield* waitUntil("the watch fails", () => seen.error() !== undefined)
      assert.strictEqual(seen.error()?.reason, "TooLarge")
    }))

  it.live("bad endpoints are refused before anything is asked", () =>
    Effect.gen(function* () {
      for (const endpoints of [[], [""], ["10.0.0.9:2379"], ["http://a", "http://b/path"]]) {
        yield* fails(Effect.scoped(open(endpoints)), "Invalid")
      }
    }))
})

describe("a watch on the wire", () => {
  const event = (revision: number) => ({
    kv: { key: btoa("a"), value: btoa(String(revision)), mod_revision: String(revision) }
  })
  const line = (message: object): string => JSON.stringify({ result: { header, ...message } }) + "\n"
  const startOf = (body: string): unknown =>
    (JSON.parse(body) as {
      readonly create_request: { readonly start_revision?: string }
    }).create_request.start_revision

  it.live("messages in pieces, several at once; and a connection that falls silent is replaced", () =>
    Effect.gen(function* () {
      const starts: Array<unknown> = []
      const endpoint = yield* serving((_, response, body) => {
        starts.push(startOf(body))
        response.writeHead(200)
        const text = starts.length === 1
          ? line({ created: true }) + line({ events: [event(8)] }) + line({ events: [event(8), event(9), event(10)] })
          : line({ created: true }) + line({ events: [event(11)] })
        for (const piece of text.match(/[^]{1,40}/g) ?? []) response.write(piece)
      })
      const client = yield* open([endpoint], { watchIdle: "300 millis" })
      const seen = yield* watching(client.watch({ key: "a" }))
      yield* waitUntil("it sees all", () => seen.events().length === 4)
      assert.deepStrictEqual(brief(seen.events(), ""), ["put a 8", "put a 9", "put a 10", "put a 11"])
      assert.deepStrictEqual(seen.batches.map(({ revision }) => revision), [7, 8, 10, 11])
      assert.deepStrictEqual(starts.slice(0, 2), [undefined, "11"])
    }))

  it.live("what is broken is an error, and what ends is taken up again", () =>
    Effect.gen(function* () {
      let times = 0
      const endpoint = yield* serving((_, response) => {
        times++
        if (times < 3) return response.writeHead(200).end(line({ created: true }))
        response.writeHead(200).end(line({ created: true }) + "{nonsense\n")
      })
      const client = yield* open([endpoint])
      const seen = yield* watching(client.watch({ key: "a" }))
      yield* waitUntil("it fails", () => seen.error() !== undefined)
      assert.strictEqual(seen.error()?.reason, "Unexpected")
      assert.strictEqual(times, 3)
    }))

  it.live("a watch that is no longer read closes its connection", () =>
    Effect.gen(function* () {
      let isClosed = false
      const endpoint = yield* serving((_, response) => {
        response.on("close", () => isClosed = true)
        response.writeHead(200).write(line({ created: true }) + line({ events: [event(8)] }))
      })
      const client = yield* open([endpoint])
      const reading = yield* Effect.forkScoped(client.watch({ key: "a" }).pipe(Stream.take(2), Stream.runCollect))
      assert.strictEqual((yield* Fiber.join(reading)).length, 2)
      yield* waitUntil("it is closed", () => isClosed)
    }))
})
