// What watchers are told when a split heals and one of two copies has to go.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Membership, Memory, Process, type Registry, Sworm } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

const Tally = Process.make("Tally", { state: Schema.Int, protocol: [Rpc.make("Get", { success: Schema.Int })] })
// passive: what settles stays where it is, so that nothing else changes a claim
class Tallies extends Sworm.Service<Tallies>()("Contested", { processes: [Tally], redistribution: "passive" }) {}
const TallyLayer = Tallies.toLayer(Tally, {
  init: () => Effect.succeed(0),
  handlers: { Get: (_, { state }) => Ref.get(state) }
})

const start = (network: VirtualNetwork.VirtualNetwork, id: string, seeds: ReadonlyArray<string>) =>
  Effect.map(
    Layer.build(Layer.fresh(
      Tallies.layer.pipe(
        Layer.provide(TallyLayer),
        Layer.provideMerge(Memory.layerNode({ id, seeds, preset: "local", redialInterval: "200 millis" })),
        Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network))
      )
    )),
    (context) => ({
      id,
      tallies: Context.get(context, Tallies),
      statusOf: (other: string) =>
        Effect.map(
          Context.get(context, Membership.Membership).members,
          (all) => all.find((member) => member.id === other)?.status
        )
    })
  )

const until = <E>(what: string, condition: Effect.Effect<boolean, E>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) yield* Effect.sleep(10)
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

const collect = <A>(stream: Stream.Stream<A>) =>
  Effect.gen(function* () {
    const told: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(stream, (one) => Effect.sync(() => void told.push(one))))
    yield* until("the first element", Effect.sync(() => told.length > 0))
    return told
  })

const step = (event: Registry.MonitorEvent): string => event._tag === "Down" ? `Down ${event.reason}` : event._tag

const NAMES = Array.from({ length: 10 }, (_, i) => `tally-${i}`)

describe("a split that heals, as it is told", () => {
  it.live("[P32] where the copy had to go a monitor says Superseded, then up; a watch says where it is now", () => {
    const test = Effect.gen(function* () {
      const network = yield* VirtualNetwork.make()
      const a = yield* start(network, "a", [])
      const b = yield* start(network, "b", ["a"])
      const statuses = Effect.all([a.statusOf("b"), b.statusOf("a")])
      const both = (wanted: string) => Effect.map(statuses, (all) => all.every((status) => status === wanted))
      yield* until("they are one cluster", both("alive"))
      for (const name of NAMES) yield* a.tallies.register(name, Tally, {})
      network.partition(["a"], ["b"])
      yield* until("each thinks the other dead", both("dead"))
      for (const { id, tallies } of [a, b]) {
        yield* until("each side runs them all", Effect.map(tallies.count(id), (count) => count === NAMES.length))
      }
      const monitors = yield* Effect.forEach(
        [a, b],
        ({ tallies }) => Effect.forEach(NAMES, (name) => collect(tallies.monitor(name)))
      )
      const watches = yield* Effect.forEach([a, b], ({ tallies }) => collect(tallies.watch("everything")))
      network.heal()
      const agreed = Effect.gen(function* () {
        const [onA, onB] = yield* Effect.all([a.tallies.registered, b.tallies.registered])
        return onA.length === NAMES.length && JSON.stringify(onA) === JSON.stringify(onB)
      })
      yield* until("they are one cluster again", both("alive"))
      yield* until("they agree", agreed)
      for (const [i, name] of NAMES.entries()) {
        const { node } = Option.getOrThrow(yield* a.tallies.whereis(name))
        const loser = node === "a" ? 1 : 0
        const told = monitors[loser]![i]!
        yield* until("the loser's node is told", Effect.sync(() => told.length >= 3))
        assert.deepStrictEqual(told.map(step), ["Up", "Down Superseded", "Up"])
        assert.deepStrictEqual(monitors[1 - loser]![i]!.map(step), ["Up"])
        const [, down, up] = told
        assert.isFalse(down?._tag === "Down" && down.isFinal, "its other copy goes on")
        assert.strictEqual(up?._tag === "Up" ? up.ref.node : undefined, node)
        const updates = watches[loser]!.filter((event) => event._tag === "Updated" && event.entry.ref.name === name)
        const update = updates.at(-1)
        assert.strictEqual(update?._tag === "Updated" ? update.entry.ref.node : undefined, node, "what the watch says")
      }
    })
    return Effect.scoped(test)
  }, 60_000)

  it.live(
    "[P32] so it is where the name was registered on each side: a monitor says Superseded, then up; a watch says where it is now",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const network = yield* VirtualNetwork.make()
        const a = yield* start(network, "a", [])
        const b = yield* start(network, "b", ["a"])
        const statuses = Effect.all([a.statusOf("b"), b.statusOf("a")])
        const both = (wanted: string) => Effect.map(statuses, (all) => all.every((status) => status === wanted))
        yield* until("they are one cluster", both("alive"))
        network.partition(["a"], ["b"])
        yield* until("each thinks the other dead", both("dead"))
        for (const { tallies } of [a, b]) {
          for (const name of NAMES) yield* tallies.register(name, Tally, {})
        }
        const monitors = yield* Effect.forEach(
          [a, b],
          ({ tallies }) => Effect.forEach(NAMES, (name) => collect(tallies.monitor(name)))
        )
        const watches = yield* Effect.forEach([a, b], ({ tallies }) => collect(tallies.watch("everything")))
        network.heal()
        const agreed = Effect.gen(function* () {
          const [onA, onB] = yield* Effect.all([a.tallies.registered, b.tallies.registered])
          return onA.length === NAMES.length && JSON.stringify(onA) === JSON.stringify(onB)
        })
        yield* until("they are one cluster again", both("alive"))
        yield* until("they agree", agreed)
        for (const [i, name] of NAMES.entries()) {
          const { node } = Option.getOrThrow(yield* a.tallies.whereis(name))
          const [winner, loser] = node === "a" ? [0, 1] : [1, 0]
          const told = monitors[loser]![i]!
          yield* until("the loser's node is told", Effect.sync(() => told.map(step).join() === "Up,Down Superseded,Up"))
          assert.deepStrictEqual(monitors[winner]![i]!.map(step), ["Up"], "the winner's node has nothing to tell")
          const last = told.at(-1)
          assert.strictEqual(last?._tag === "Up" ? last.ref.node : undefined, node)
          const updates = watches[loser]!.filter((event) => event._tag === "Updated" && event.entry.ref.name === name)
          const update = updates.at(-1)
          assert.strictEqual(
            update?._tag === "Updated" ? update.entry.ref.node : undefined,
            node,
            "what the watch says"
          )
        }
      })),
    60_000
  )
})
