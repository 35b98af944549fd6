/** Figures of the etcd backend, on a real etcd of one member that this starts; without one they are left out. */
import { Clock, Context, Effect, Layer, Ref, Schema, type Scope } from "effect"
import { Rpc } from "effect/rpc"
import process from "node:process"
import { Process, Sworm } from "@sworm/sworm"
import type * as Etcd from "@sworm/sworm/etcd"
import type { Conformance } from "@sworm/sworm/testing"
import { make } from "../adapters/etcd/client.ts"
import { currentRuntimeName } from "../scripts/runtimes.ts"
import { harnessOn } from "../test/etcd/nodes.ts"
import { hasEtcd, HOW_TO_GET_ETCD, startServers } from "../test/etcd/servers.ts"

const ROUNDS = 5
const CONCURRENT = 64
const REGISTRATIONS = 2000
const LOOKUPS = 1_000_000
const LOST = 1000
const TTL_SECONDS = 2

const Counter = Process.make("Counter", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int })]
})
class Counters extends Sworm.Service<Counters>()("Counters", { processes: [Counter] }) {}
const CounterLayer = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.succeed(args.start),
  handlers: { Increment: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by) }
})

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const round3 = (n: number): number => n >= 1000 ? Math.round(n) : Number(n.toPrecision(3))

const print = (
  id: string,
  unit: string,
  rounds: ReadonlyArray<readonly [value: number, yardstick: number]>,
  yardstick: string,
  params: Readonly<Record<string, number>>
): void => {
  const values = rounds.map(([value]) => value)
  const value = median(values)
  const yardstickValue = median(rounds.map(([, other]) => other))
  const spread = (Math.max(...values) - Math.min(...values)) / value
  process.stdout.write(
    JSON.stringify({
      id,
      runtime: currentRuntimeName,
      value: round3(value),
      unit,
      yardstick,
      yardstickValue: round3(yardstickValue),
      ratio: round3(value / yardstickValue),
      rounds: rounds.length,
      spread: round3(spread),
      params
    }) + "\n"
  )
}

/** Seconds that an effect takes. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const before = clock.monotonicTimeNanosUnsafe()
    yield* effect
    return Number(clock.monotonicTimeNanosUnsafe() - before) / 1e9
  })

interface Hosting {
  readonly node: Conformance.BackendNode
  readonly counters: typeof Counters.Service
}

const hosting = Effect.fnUntraced(function* (harness: Conformance.Harness, id: string) {
  const node = yield* harness.start({ id, seeds: [] })
  const app = Counters.layer.pipe(Layer.provide(CounterLayer), Layer.provide(Layer.succeedContext(node.services)))
  const services = yield* Layer.build(Layer.fresh(app))
  return { node, counters: Context.get(services, Counters) } satisfies Hosting
})

const all = <A, E, R>(names: ReadonlyArray<string>, each: (name: string) => Effect.Effect<A, E, R>) =>
  Effect.forEach(names, each, { concurrency: CONCURRENT, discard: true })

const namesOf = (count: number, generation: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `name-${generation}-${i}`)

const register = Effect.fnUntraced(function* ({ counters }: Hosting, client: Etcd.EtcdClient) {
  const rounds: Array<readonly [number, number]> = []
  for (let round = 0; round <= ROUNDS; round++) {
    const names = namesOf(REGISTRATIONS, round)
    const ours = yield* timed(all(names, (name) => counters.register(name, Counter, { start: 0 })))
    const raw = yield* timed(all(names, (name) =>
      client.txn({
        when: [{ key: `raw/${name}`, createRevision: 0 }],
        then: [{ put: `raw/${name}`, value: "a claim of about as many bytes as ours has, or some more" }]
      })))
    yield* all(names, (name) => counters.unregister(name))
    if (round > 0) rounds.push([REGISTRATIONS / ours, REGISTRATIONS / raw])
  }
  print("etcd.register", "ops/s", rounds, "raw etcd transactions, 64 concurrent", {
    names: REGISTRATIONS,
    concurrent: CONCURRENT
  })
})

const lookup = Effect.fnUntraced(function* ({ counters }: Hosting) {
  const names = namesOf(REGISTRATIONS, 100)
  yield* all(names, (name) => counters.register(name, Counter, { start: 0 }))
  const plain = new Map(names.map((name) => [name, {}]))
  const at = (i: number): string => names[(i * 7919) % names.length]!
  const rounds: Array<readonly [number, number]> = []
  for (let round = 0; round <= ROUNDS; round++) {
    const ours = yield* timed(Effect.gen(function* () {
      for (let i = 0; i < LOOKUPS; i++) yield* counters.whereis(at(i))
    }))
    let found = 0
    const theirs = yield* timed(Effect.sync(() => {
      for (let i = 0; i < LOOKUPS; i++) if (plain.get(at(i)) !== undefined) found++
    }))
    if (round > 0) rounds.push([LOOKUPS / ours, found / theirs])
  }
  print("etcd.whereisCached", "ops/s", rounds, "Map.get", { names: REGISTRATIONS, lookups: LOOKUPS })
  yield* all(names, (name) => counters.unregister(name))
})

/** From the loss of a node until each of its names answers again: the lease's time, and what comes on top. */
const failover = Effect.fnUntraced(function* (harness: Conformance.Harness) {
  const rounds: Array<readonly [number, number]> = []
  for (let round = 0; round < 3; round++) {
    const [a, , c] = yield* Effect.forEach(["a", "b", "c"], (id) => hosting(harness, `${id}${round}`))
    const names = namesOf(3 * LOST, round)
    yield* all(names, (name) => a!.counters.register(name, Counter, { start: 0 }))
    const refs = yield* a!.counters.registered
    const lost = refs.filter(({ node }) => node === c!.node.id).slice(0, LOST).map(({ name }) => name)
    yield* c!.node.kill!
    const took = yield* timed(
      Effect.forEach(
        lost,
        (name) =>
          Effect.retry(a!.counters.client(Counter, name, { timeout: "500 millis" }).Increment({ by: 1 }), {
            times: 200
          }),
        { concurrency: "unbounded", discard: true }
      )
    )
    rounds.push([took * 1000, TTL_SECONDS * 1000])
    yield* all(names, (name) => Effect.ignore(a!.counters.unregister(name)))
  }
  print("etcd.failover", "ms", rounds, "the lease's time", { processes: LOST, leaseTtl: TTL_SECONDS })
})

const figures = ["etcd.register", "etcd.whereisCached", "etcd.failover"] as const

export const etcdFigures = async (wanted: (id: string) => boolean): Promise<void> => {
  if (!figures.some(wanted)) return
  if (!hasEtcd) return void process.stderr.write(`The figures of etcd are left out: ${HOW_TO_GET_ETCD}\n`)
  const program: Effect.Effect<void, unknown, Scope.Scope> = Effect.gen(function* () {
    const servers = yield* startServers()
    const clientOf = () => make({ endpoints: servers.endpoints })
    const harness = yield* harnessOn(clientOf, { leaseTtl: `${TTL_SECONDS} seconds` })
    if (wanted("etcd.register") || wanted("etcd.whereisCached")) {
      yield* Effect.scoped(Effect.gen(function* () {
        const one = yield* hosting(harness, "one")
        if (wanted("etcd.register")) yield* register(one, yield* clientOf())
        if (wanted("etcd.whereisCached")) yield* lookup(one)
      }))
    }
    if (wanted("etcd.failover")) yield* Effect.scoped(failover(harness))
  })
  await Effect.runPromise(Effect.scoped(program))
}
