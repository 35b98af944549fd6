// A network split in two and healed: both sides go on, then one copy of each name stays.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Membership, Memory, Process, Supervisor, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

const Tally = Process.make("Tally", {
  state: Schema.Int,
  protocol: [Rpc.make("Add", { success: Schema.Int }), Rpc.make("Get", { success: Schema.Int })]
})
// passive: what settles stays where it is, so that nothing else changes a claim
class Tallies extends Sworm.Service<Tallies>()("Tallies", { processes: [Tally], redistribution: "passive" }) {}
const TallyLayer = Tallies.toLayer(Tally, {
  init: () => Effect.succeed(0),
  handlers: {
    Add: (_, { state }) => Ref.updateAndGet(state, (n) => n + 1),
    Get: (_, { state }) => Ref.get(state)
  }
})

/** Says what runs: `name@node` from when it serves until its scope has closed, and why a copy ended. */
class Copies {
  readonly running = new Set<string>()
  readonly superseded = new Set<string>()
}
const Worker = Process.make("Worker", { state: Schema.Int, protocol: [Rpc.make("Where", { success: Schema.String })] })
class Workers extends Sworm.Service<Workers>()("Workers", { processes: [Worker], handoff: false }) {}
const workersLayer = (copies: Copies) =>
  Workers.layer.pipe(Layer.provide(Workers.toLayer(Worker, {
    init: () => Effect.succeed(0),
    handlers: { Where: (_, self) => Effect.succeed(self.node) },
    // never ends by itself: what is no longer wanted has to be ended
    run: ({ name, node }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => copies.running.add(`${name}@${node}`)),
        () => Effect.never,
        () => Effect.sync(() => copies.running.delete(`${name}@${node}`))
      ),
    stop: (reason, { name }) => Effect.sync(() => void (reason === "Superseded" && copies.superseded.add(name)))
  })))

const nodeOf = (id: string, seeds: ReadonlyArray<string>) =>
  Memory.layerNode({ id, seeds, preset: "local", redialInterval: "200 millis" })

const node = (id: string, seeds: ReadonlyArray<string>) =>
  Effect.map(
    Layer.build(Layer.fresh(Tallies.layer.pipe(
      Layer.provide(TallyLayer),
      Layer.provideMerge(nodeOf(id, seeds))
    ))),
    (context) => {
      const use = <A, E, I>(effect: Effect.Effect<A, E, I>) => Effect.provideContext(effect, context as never)
      return {
        id,
        tallies: Tallies.pipe(use) as Effect.Effect<Tallies["Service"]>,
        statusOf: (other: string) =>
          use(Effect.flatMap(Membership.Membership, ({ members }) =>
            Effect.map(members, (all) =>
              all.find((member) => member.id === other)?.status))) as Effect.Effect<
              string | undefined
            >,
        running: use(Effect.flatMap(Supervisor.Supervisor, ({ which }) =>
          which("Tallies", id))) as Effect.Effect<
            ReadonlyArray<Supervisor.Child>
          >
      }
    }
  )

const until = <E>(what: string, condition: Effect.Effect<boolean, E>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.sleep(10)
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

const run = (options: VirtualNetwork.NetworkOptions) =>
  Effect.gen(function* () {
    const network = yield* VirtualNetwork.VirtualNetwork
    const a = yield* node("a", [])
    const b = yield* node("b", ["a"])
    const onA = yield* a.tallies
    const onB = yield* b.tallies
    const names = Array.from({ length: 20 }, (_, i) => `tally-${i}`)
    for (const name of names) {
      yield* onA.register(name, Tally, {})
      yield* onA.client(Tally, name).Add()
    }
    yield* until("b is in", Effect.map(a.statusOf("b"), (status) => status === "alive"))

    network.partition(["a"], ["b"])
    const dead = Effect.all([a.statusOf("b"), b.statusOf("a")])
    yield* until("each thinks the other dead", Effect.map(dead, (both) => both.every((status) => status === "dead")))
    for (const side of [a, b]) {
      yield* until("it runs them all", Effect.map(side.running, (all) => all.length === names.length))
    }

    network.heal()
    yield* until("they are one cluster", Effect.map(dead, (both) => both.every((status) => status === "alive")))
    const copies = Effect.map(Effect.all([a.running, b.running]), (both) => both.flat().length)
    yield* until("one copy of each is left", Effect.map(copies, (count) => count === names.length))
    const epochs = Effect.forEach(names, (name) => Effect.map(onA.whereis(name), Option.getOrThrow))
    const agreed = Effect.gen(function* () {
      const there = yield* Effect.forEach(names, (name) => onB.whereis(name))
      return JSON.stringify(there.map(Option.getOrUndefined)) === JSON.stringify(yield* epochs)
    })
    yield* until("both agree", agreed)
    for (const name of names) {
      // the copy that was never interrupted has the count; the one started on the other side had nothing
      assert.strictEqual(yield* onB.client(Tally, name).Get(), 1, name)
    }
    const settled = yield* epochs
    yield* onA.register("afterwards", Tally, {})
    assert.deepStrictEqual(yield* epochs, settled, "nothing goes on changing")
  }).pipe(Effect.provide(VirtualNetwork.layer(options)))

/** Ten workers of a group on two nodes, split and healed. */
const tenWorkers = Effect.gen(function* () {
  const network = yield* VirtualNetwork.VirtualNetwork
  const copies = new Copies()
  const start = (id: string, seeds: ReadonlyArray<string>) =>
    Effect.map(
      Layer.build(Layer.fresh(workersLayer(copies).pipe(Layer.provide(nodeOf(id, seeds))))),
      (context) => Context.get(context, Workers)
    )
  const [a, b] = [yield* start("a", []), yield* start("b", ["a"])]
  const hosts = (count: number) =>
    Effect.forEach([a, b], (on) =>
      until(
        `each knows of ${count} hosts`,
        Effect.map(on.explain("whatever"), ({ candidates }) => candidates.length === count)
      ), { discard: true })
  yield* hosts(2)
  const names = Array.from({ length: 10 }, (_, i) => `worker-${i}`)
  for (const name of names) {
    yield* a.register(name, Worker, {})
    yield* b.join("all", name)
  }
  const holders = (on: Workers["Service"]) =>
    Effect.map(on.registered, (refs) => refs.map(({ name, node }) => `${name}@${node}`))
  const members = (on: Workers["Service"]) => Effect.map(on.members("all"), (refs) => refs.map(({ name }) => name))
  for (const on of [a, b]) {
    yield* until("each lists ten", Effect.map(holders(on), (all) => all.length === 10))
    yield* until("ten are in the group", Effect.map(members(on), (all) => all.length === 10))
  }
  const counts = yield* a.countChildren
  assert.isTrue(counts.get("a")! < 10 && counts.get("b")! < 10, "both have some")
  return { a, b, copies, hosts, network, names, holders, members }
})

const split = Effect.gen(function* () {
  const ten = yield* tenWorkers
  ten.network.partition(["a"], ["b"])
  for (const [id, on] of [["a", ten.a], ["b", ten.b]] as const) {
    yield* until(
      "each side runs all ten",
      Effect.map(ten.holders(on), (all) => all.length === 10 && all.every((ref) => ref.endsWith(`@${id}`)))
    )
    yield* until("in the group too", Effect.map(ten.members(on), (all) => all.length === 10))
  }
  yield* until("there are twenty copies", Effect.sync(() => ten.copies.running.size === 20))
  ten.network.heal()
  yield* ten.hosts(2)
  return ten
})

describe("a split that heals", () => {
  it.live("[D1] settles each name to one copy, with the longer life", () => run({}), 60_000)
  it.live("[D1] does so over links that take time", () => run({ seed: 7, delay: { minMs: 0, maxMs: 3 } }), 60_000)

  it.live(
    "[P63] [P110] [P111] leaves ten workers of ten, the same on both sides, in their group",
    () =>
      Effect.gen(function* () {
        const { a, b, copies, holders, members, names } = yield* split
        yield* until("ten are left", Effect.sync(() => copies.running.size === 10))
        const agreed = Effect.map(
          Effect.all([holders(a), holders(b)]),
          ([one, other]) =>
            one.length === 10 && one.join() === other.join() && one.every((ref) => copies.running.has(ref))
        )
        yield* until("both list those that run", agreed)
        for (const on of [a, b]) {
          yield* until("all are in the group", Effect.map(members(on), (all) => all.join() === names.join()))
          for (const name of names) {
            const where = yield* on.client(Worker, name, { timeout: "20 seconds" }).Where()
            assert.isTrue(copies.running.has(`${name}@${where}`), `"${name}" answers from where it runs`)
          }
        }
      }).pipe(Effect.scoped, Effect.provide(VirtualNetwork.layer())),
    60_000
  )

  it.live(
    "[D8] ends the copies that lose: what they run is interrupted, their scopes are closed",
    () =>
      Effect.gen(function* () {
        const { a, b, copies, names } = yield* split
        yield* until(
          "each name has lost one copy",
          Effect.sync(() => names.every((name) => copies.superseded.has(name)))
        )
        const left = Effect.map(
          Effect.all([a.which("a"), b.which("b")]),
          (both) => both.flat().filter(({ status }) => status === "running").map(({ ref }) => `${ref.name}@${ref.node}`)
        )
        yield* until(
          "what runs is what the nodes have, each name once",
          Effect.map(
            left,
            (all) => all.length === 10 && copies.running.size === 10 && all.every((copy) => copies.running.has(copy))
          )
        )
      }).pipe(Effect.scoped, Effect.provide(VirtualNetwork.layer())),
    60_000
  )
})
