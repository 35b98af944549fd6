/** Nodes on the etcd backend in this program, over a virtual network: on whatever client of etcd. */
import { Deferred, Effect, Layer, type Scope, Stream } from "effect"
import { Node } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import { type Conformance, VirtualNetwork } from "@sworm/sworm/testing"

type Client = Etcd.EtcdClient

/** A client that can be cut off for good, as its program's death does. */
const cuttable = Effect.fnUntraced(function* (client: Client) {
  const cut = yield* Deferred.make<void>()
  const gone = (operation: string) =>
    Effect.andThen(
      Deferred.await(cut),
      Effect.fail(
        new Etcd.EtcdError({ reason: "Unreachable", operation, endpoint: "cut", detail: "cut off", isUnknown: true })
      )
    )
  const until = <A, E>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | Etcd.EtcdError> =>
    Effect.raceFirst(gone(operation), effect)
  const wrapped: Client = {
    ...client,
    range: (keys, options) => until("range", client.range(keys, options)),
    get: (key, options) => until("get", client.get(key, options)),
    put: (key, value, options) => until("put", client.put(key, value, options)),
    deleteRange: (keys, options) => until("delete", client.deleteRange(keys, options)),
    txn: (transaction) => until("txn", client.txn(transaction)),
    grant: (ttl) => until("grant", client.grant(ttl)),
    keepAlive: (lease) => until("keepAlive", client.keepAlive(lease)),
    revoke: (lease) => until("revoke", client.revoke(lease)),
    watch: (keys, options) => Stream.interruptWhen(client.watch(keys, options), gone("watch"))
  }
  return { client: wrapped, cut: Effect.asVoid(Deferred.succeed(cut, undefined)) }
})

/** What conformance cases run on. Each gets clients of its own. */
export const harnessOn = (
  clientOf: (id: string) => Effect.Effect<Client, unknown, Scope.Scope>,
  options: Etcd.BackendOptions = {}
): Effect.Effect<Conformance.Harness, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const network = yield* VirtualNetwork.make()
    return {
      start: ({ id }) =>
        Effect.gen(function* () {
          const { client, cut } = yield* cuttable(yield* Effect.orDie(clientOf(id)))
          const services = yield* Layer.build(
            Etcd.layerClient({ leaseTtl: "2 seconds", shutdownTimeout: "5 seconds", ...options }).pipe(
              Layer.provide([VirtualNetwork.layerTransport, Layer.succeed(Etcd.EtcdClient)(client)]),
              Layer.provideMerge(Node.layer({ id })),
              Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)),
              Layer.fresh
            )
          )
          return { id, services, kill: Effect.andThen(Effect.sync(() => network.kill(id)), cut) }
        })
    }
  })
