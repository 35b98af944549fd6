// What the nodes do while etcd is away, in memory and real time with short leases: who stops, who goes on, with what.
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Exit, Layer, Option, Ref, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { Membership, Node, Process, SnapshotStore, Sworm } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { waitUntil } from "../cluster/wait.ts"

const LIMIT_MS = 60_000

const Counter = Process.make("Counter", {
  state: Schema.Int,
  protocol: [Rpc.make("Add", { success: Schema.Int })]
})
const Kept = Process.make("Kept", {
  state: Schema.Int,
  protocol: [Rpc.make("Add", { success: Schema.Int })],
  snapshot: "eachCall"
})
class Counters extends Sworm.Service<Counters>()("Counters", { processes: [Counter, Kept] }) {}

const App = Counters.layer.pipe(Layer.provide([
  Counters.toLayer(Counter, {
    init: () => Effect.succeed(0),
    handlers: { Add: (_, { state }) => Ref.updateAndGet(state, (n) => n + 1) }
  }),
  Counters.toLayer(Kept, {
    init: ({ handoff }) => Effect.succeed(handoff ?? 0),
    handlers: { Add: (_, { state }) => Ref.updateAndGet(state, (n) => n + 1) }
  })
]))

type Has = Counters | Etcd.Services

interface Running {
  readonly id: string
  readonly run: <A, E>(effect: Effect.Effect<A, E, Has>) => Effect.Effect<A, E>
  readonly leave: Effect.Effect<void>
}

const startTown = Effect.fnUntraced(function* (leaseTtl: "2 seconds" | "20 seconds") {
  const network = yield* VirtualNetwork.make()
  const etcd = yield* Etcd.EtcdMemory.make
  const snapshots = yield* Layer.build(SnapshotStore.layerMemory)
  const start = Effect.fnUntraced(function* (id: string) {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const client = etcd.client({ name: id, requestTimeout: "500 millis", retryFor: 0 })
    const context: Context.Context<Has> = yield* App.pipe(
      Layer.provideMerge(Etcd.layerClient({ leaseTtl })),
      Layer.provide([VirtualNetwork.layerTransport, Layer.effect(Etcd.EtcdClient)(client)]),
      Layer.provide([Node.layer({ id }), Layer.succeedContext(snapshots)]),
      Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)),
      Layer.fresh,
      Layer.buildWithScope(scope)
    )
    const run: Running["run"] = (effect) => Effect.provideContext(effect, context)
    yield* run(Effect.flatMap(Membership.Membership, ({ awaitSynced }) => awaitSynced))
    return { id, run, leave: Scope.close(scope, Exit.void) }
  })
  return { etcd, start }
})

const add = (name: string, timeout: "300 millis" | "5 seconds" = "5 seconds") =>
  Effect.flatMap(Counters, (counters) => counters.client(name === "kept" ? Kept : Counter, name, { timeout }).Add())

const refOf = (name: string) =>
  Effect.map(Effect.flatMap(Counters, (counters) => counters.whereis(name)), Option.getOrThrow)

const homeOf = (name: string) =>
  Effect.map(Effect.flatMap(Counters, (counters) => counters.whereis(name)), (ref) => Option.getOrUndefined(ref)?.node)

const sees = (node: Running, count: number) =>
  Effect.map(
    node.run(Effect.flatMap(Membership.Membership, ({ members }) => members)),
    (all) => all.filter(({ status }) => status === "alive").length === count
  )

/** It answers again, and what. */
const answered = Effect.fnUntraced(function* (node: Running, name: string) {
  let answer = 0
  yield* waitUntil(
    `${name} answers on ${node.id}`,
    Effect.map(Effect.option(node.run(add(name, "300 millis"))), (option) => {
      answer = Option.getOrElse(option, () => 0)
      return Option.isSome(option)
    })
  )
  return answer
})

describe("etcd is away", () => {
  it.live(
    "for a moment: calls between nodes go on, and registrations are made when it is back",
    () =>
      Effect.gen(function* () {
        const { etcd, start } = yield* startTown("20 seconds")
        const [a, b] = [yield* start("a"), yield* start("b")] as const
        for (const node of [a, b]) yield* waitUntil("both are there", sees(node, 2))
        const { epoch } = yield* a.run(Effect.flatMap(Counters, (counters) => counters.register("x", Counter, {})))
        yield* etcd.fault("unreachable")
        for (const node of [a, b]) yield* node.run(add("x"))
        const registered = yield* Effect.forkChild(
          a.run(Effect.flatMap(Counters, (counters) => counters.register("y", Counter, {})))
        )
        for (const node of [a, b]) yield* node.run(add("x"))
        assert.isUndefined(registered.pollUnsafe())
        yield* etcd.fault(undefined)
        yield* waitUntil("it is registered", Effect.sync(() => registered.pollUnsafe() !== undefined))
        assert.strictEqual((yield* a.run(refOf("x"))).epoch, epoch, "it went on")
        assert.strictEqual(yield* b.run(add("x")), 5)
        assert.strictEqual(yield* b.run(add("y")), 1)
      }).pipe(Effect.scoped),
    LIMIT_MS
  )

  it.live(
    "for longer than a lease, for all: all stop, and start again, from their args or from what is stored",
    () =>
      Effect.gen(function* () {
        const { etcd, start } = yield* startTown("2 seconds")
        const [a, b] = [yield* start("a"), yield* start("b")] as const
        for (const node of [a, b]) yield* waitUntil("both are there", sees(node, 2))
        const names = ["x", "y", "z"]
        for (const name of names) {
          yield* a.run(Effect.flatMap(Counters, (counters) => counters.register(name, Counter, {})))
          yield* b.run(add(name))
        }
        yield* a.run(Effect.flatMap(Counters, (counters) => counters.register("kept", Kept, {})))
        yield* b.run(add("kept"))
        const before = yield* a.run(refOf("x"))
        for (const client of ["a", "b"]) yield* etcd.fault("unreachable", { client })
        for (const node of [a, b]) {
          for (const name of names) {
            const isRefused = Effect.map(Effect.exit(node.run(add(name, "300 millis"))), Exit.isFailure)
            yield* waitUntil(`${name} is not served`, isRefused)
          }
        }
        const lookup = Effect.flatMap(Counters, (counters) => counters.whereis("x", "linearizable"))
        assert.strictEqual((yield* Effect.flip(a.run(lookup)))._tag, "Unavailable")
        const outside = yield* etcd.client({ name: "outside" })
        const members = Effect.map(outside.range({ prefix: "sworm/default/m/" }), ({ count }) => count)
        yield* waitUntil("both leases have ended", Effect.map(members, (count) => count === 0))
        for (const client of ["a", "b"]) yield* etcd.fault(undefined, { client })
        for (const name of names) assert.strictEqual(yield* answered(a, name), 1, "its state was in it alone")
        assert.strictEqual(yield* answered(b, "kept"), 2)
        assert.isAbove((yield* a.run(refOf("x"))).epoch, before.epoch)
      }).pipe(Effect.scoped),
    LIMIT_MS
  )

  it.live("for longer than a lease, for one node: it stops, and another goes on", () =>
    Effect.gen(function* () {
      const { etcd, start } = yield* startTown("2 seconds")
      const [a, b] = [yield* start("a"), yield* start("b")] as const
      for (const node of [a, b]) yield* waitUntil("both are there", sees(node, 2))
      const names = Array.from({ length: 8 }, (_, at) => `n${at}`)
      for (const name of names) {
        yield* a.run(Effect.flatMap(Counters, (counters) => counters.register(name, Counter, {})))
        yield* a.run(add(name))
      }
      const refs = yield* Effect.forEach(names, (name) => a.run(refOf(name)))
      const cut = refs.filter(({ node }) => node === "b")
      assert.isAbove(cut.length, 0)
      yield* etcd.fault("unreachable", { client: "b" })
      for (const { epoch, name } of cut) {
        yield* waitUntil(`${name} is on a`, Effect.map(a.run(homeOf(name)), (home) => home === "a"))
        assert.strictEqual(yield* answered(a, name), 1)
        assert.isAbove((yield* a.run(refOf(name))).epoch, epoch)
      }
      for (const { epoch, name, node } of refs) {
        if (node === "a") assert.strictEqual((yield* a.run(refOf(name))).epoch, epoch, "it went on")
      }
      yield* etcd.fault(undefined, { client: "b" })
      yield* waitUntil("b is back", sees(a, 2))
      for (const name of names) assert.strictEqual(yield* answered(b, name), 2)
    }).pipe(Effect.scoped), LIMIT_MS)
})
