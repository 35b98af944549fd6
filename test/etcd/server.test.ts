// The contract on a real etcd, and what only a real one shows: users, members, kills, a full disk.
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { type EtcdOptions, make } from "../../adapters/etcd/client.ts"
import { waitUntil } from "../cluster/wait.ts"
import { type Bed, brief, cases, fails, watching } from "./contract.ts"
import { hasEtcd, HOW_TO_GET_ETCD, type Servers, startServers } from "./servers.ts"

const open = (servers: Servers, options: Omit<EtcdOptions, "endpoints"> = {}) =>
  make({ endpoints: servers.endpoints, ...options })

const bedOf = (servers: Servers): Bed => {
  const each = (act: "kill" | "start") => Effect.forEach(servers.members, (member) => member[act], { discard: true })
  const back = Effect.andThen(each("start"), servers.ready)
  return {
    client: (options) => open(servers, options),
    restart: Effect.andThen(each("kill"), back),
    away: (meanwhile) => Effect.acquireUseRelease(each("kill"), () => meanwhile, () => Effect.orDie(back)),
    until: waitUntil
  }
}

/** A request of etcd's that the client does not have. */
const administer = (endpoint: string, path: string, body: unknown) =>
  Effect.tryPromise(async () => {
    const response = await fetch(endpoint + path, { method: "POST", body: JSON.stringify(body) })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${text}`)
  })

const withEtcd = describe.runIf(hasEtcd)

if (!hasEtcd) console.warn(`The tests on real servers are left out: ${HOW_TO_GET_ETCD}`)

withEtcd("the contract on a server", () => {
  const scope = Scope.makeUnsafe()
  let servers: Servers
  beforeAll(async () => {
    servers = await Effect.runPromise(Scope.provide(startServers(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  for (const [at, [name, run]] of cases.entries()) {
    it.live(name, () => Effect.suspend(() => run(bedOf(servers), `test ${at}/`)))
  }
})

withEtcd("users", () => {
  const enable = (endpoint: string) =>
    Effect.gen(function* () {
      const key = btoa("open/")
      const permission = { permType: "READWRITE", key, range_end: btoa("open0") }
      yield* administer(endpoint, "/v3/auth/user/add", { name: "root", password: "toor" })
      yield* administer(endpoint, "/v3/auth/user/grant", { user: "root", role: "root" })
      yield* administer(endpoint, "/v3/auth/role/add", { name: "guest" })
      yield* administer(endpoint, "/v3/auth/role/grant", { name: "guest", perm: permission })
      yield* administer(endpoint, "/v3/auth/user/add", { name: "guest", password: "secret" })
      yield* administer(endpoint, "/v3/auth/user/grant", { user: "guest", role: "guest" })
      yield* administer(endpoint, "/v3/auth/enable", {})
    })

  it.live("who may do what; and a token that the server forgot is replaced", () =>
    Effect.gen(function* () {
      const servers = yield* startServers()
      yield* enable(servers.endpoints[0] ?? "")
      const root = yield* open(servers, { auth: { user: "root", password: "toor" } })
      const guest = yield* open(servers, { auth: { user: "guest", password: "secret" } })
      yield* root.put("closed", "1")
      yield* guest.put("open/a", "1")
      yield* fails(guest.put("closed", "2"), "PermissionDenied")
      yield* fails(guest.get("closed"), "PermissionDenied")
      const nobody = yield* open(servers)
      yield* fails(nobody.put("open/a", "2"), "Unauthenticated")
      const liar = yield* open(servers, { auth: { user: "guest", password: "guess" } })
      yield* fails(liar.put("open/a", "2"), "Unauthenticated")
      const seen = yield* watching(guest.watch({ prefix: "open/" }))
      yield* waitUntil("the watch is there", () => seen.batches.length === 1)
      for (const [client, reason] of [[guest, "PermissionDenied"], [liar, "Unauthenticated"]] as const) {
        const refused = yield* watching(client.watch({ key: "closed" }))
        yield* waitUntil("the watch is refused", () => refused.error() !== undefined)
        assert.strictEqual(refused.error()?.reason, reason)
      }
      yield* bedOf(servers).restart
      yield* guest.put("open/a", "3")
      yield* waitUntil("the watch goes on", () => seen.events().length > 0 || seen.error() !== undefined)
      assert.isUndefined(seen.error())
      assert.deepStrictEqual(brief(seen.events(), "open/"), ["put a 3"])
    }))
})

withEtcd("three members", () => {
  it.live("the member in use is killed: the next one is asked; with one left there is no leader", () =>
    Effect.gen(function* () {
      const servers = yield* startServers({ members: 3 })
      const client = yield* open(servers, { retryFor: "15 seconds" })
      const hasty = yield* open({ ...servers, endpoints: servers.endpoints.slice(2) }, { retryFor: 0 })
      const seen = yield* watching(client.watch({ key: "a" }))
      yield* waitUntil("the watch is there", () => seen.batches.length === 1)
      yield* client.put("a", "1")
      yield* servers.members[0]?.kill ?? Effect.void
      // a read may be repeated, so it comes through the election
      assert.strictEqual((yield* client.get("a"))?.version, 1)
      yield* client.put("a", "2")
      yield* waitUntil("the watch goes on", () => seen.events().length === 2)
      yield* servers.members[1]?.kill ?? Effect.void
      yield* waitUntil("there is no leader", Effect.map(hasty.status, ({ leader }) => leader === undefined))
      const error = yield* Effect.flip(hasty.put("a", "3"))
      assert.deepStrictEqual([error.reason, error.isUnknown], ["NoLeader", false])
      yield* fails(hasty.get("a"), "NoLeader")
      assert.strictEqual((yield* hasty.get("a", { serializable: true }))?.version, 2)
      yield* servers.members[0]?.start ?? Effect.void
      yield* waitUntil("it goes on", Effect.map(Effect.result(hasty.put("a", "3")), ({ _tag }) => _tag === "Success"))
      yield* waitUntil("the watch goes on", () => seen.events().length === 3)
      assert.deepStrictEqual(brief(seen.events(), ""), ["put a 1", "put a 2", "put a 3"])
    }))
})

withEtcd("a full database", () => {
  it.live("refuses writes, and says why", () =>
    Effect.gen(function* () {
      const servers = yield* startServers({ flags: ["--quota-backend-bytes", String(1024 * 1024)] })
      const client = yield* open(servers)
      const value = new Uint8Array(300_000)
      const filling = Effect.forEach(Array.from({ length: 20 }), (_, at) => client.put(`a${at}`, value))
      yield* fails(filling, "NoSpace")
      yield* fails(client.txn({ then: [{ put: "a", value }] }), "NoSpace")
      yield* client.range({ prefix: "a" }, { keysOnly: true })
      yield* client.deleteRange({ prefix: "a" })
    }))
})
