// A network split in two and healed: both sides go on, then one copy of each name stays.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Ref, Schema } from "effect"
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

const node = (id: string, seeds: ReadonlyArray<string>) =>
  Effect.map(
    Layer.build(Layer.fresh(Tallies.layer.pipe(
      Layer.provide(TallyLayer),
      Layer.provideMerge(Memory.layerNode({ id, seeds, preset: "local", redialInterval: "200 millis" }))
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

describe("a split that heals", () => {
  it.live("settles each name to one copy, with the longer life", () => run({}), 60_000)
  it.live("does so over links that take time", () => run({ seed: 7, delay: { minMs: 0, maxMs: 3 } }), 60_000)
})
