// The example of Swarm.DynamicSupervisor's README: restarts under the same name, and in the same groups.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { crash, getFoos, hellos, startWorker, whereis } from "../../examples/dynamic-supervisor/example-usage.ts"
import { MySupervisor, startChild, WorkerLayer } from "../../examples/dynamic-supervisor/supervisor.ts"
import { until } from "../../examples/workers/nodes.ts"
import { play, startNodes } from "./stage.ts"

const App = MySupervisor.layer.pipe(Layer.provide(WorkerLayer))
const names = ["worker-1", "worker-2", "worker-3", "worker-4"]
const LIMIT = 60_000

const start = Effect.map(startNodes(App, MySupervisor, "a", "b"), ([a, b]) => ({ a: a!, b: b! }))

describe("examples/dynamic-supervisor", () => {
  it.live("start_child: a name is its worker's everywhere", () =>
    play(() =>
      Effect.gen(function* () {
        const { a, b } = yield* start
        const ref = yield* a.run(startChild("worker-1"))
        assert.deepStrictEqual(yield* b.run(whereis("worker-1")), Option.some(ref))
        const taken = yield* Effect.flip(b.run(startChild("worker-1")))
        assert.strictEqual(taken._tag === "NameTaken" && taken.ref.epoch, ref.epoch)
        assert.deepStrictEqual(yield* b.run(getFoos), [], "in no group unless it is put there")
      })
    ), LIMIT)

  it.live(
    "crash: it runs again under the same name, says hi, and is still in its group",
    () =>
      play(() =>
        Effect.gen(function* () {
          const { a, b } = yield* start
          yield* a.run(Effect.forEach(names, startWorker))
          for (const name of names) {
            const before = Option.getOrThrow(yield* b.run(whereis(name)))
            assert.strictEqual(yield* b.run(crash(name)), "Crashed")
            yield* until(`${name} says hi`, Effect.map(b.run(hellos(name)), (count) => count > 0))
            for (const node of [a, b]) {
              const again = Effect.map(
                node.run(whereis(name)),
                (after) => Option.isSome(after) && after.value.epoch > before.epoch
              )
              yield* until(`${node.id} knows it at a higher epoch`, again)
              assert.deepStrictEqual(yield* node.run(getFoos), names)
            }
          }
        })
      ),
    LIMIT
  )

  it.live(
    "a worker that crashes too often is given up, its name and group are left, the others are not touched",
    () =>
      play(() =>
        Effect.gen(function* () {
          const { a, b } = yield* start
          yield* a.run(Effect.forEach(names, startWorker))
          const supervisor = yield* b.run(MySupervisor)
          const crashing = Effect.andThen(b.run(crash("worker-2")), supervisor.givenUp)
          yield* until("it is given up", Effect.map(crashing, (all) => all.length > 0))
          const free = Effect.map(b.run(whereis("worker-2")), Option.isNone)
          yield* until("its name is free", free)
          const others = names.filter((name) => name !== "worker-2")
          assert.deepStrictEqual(yield* b.run(getFoos), others)
          assert.deepStrictEqual((yield* supervisor.registered).map(({ name }) => name), others)
          yield* b.run(startWorker("worker-2"))
          assert.deepStrictEqual(yield* b.run(getFoos), names)
        })
      ),
    LIMIT
  )

  it.live(
    "the loss of a node: all run on the other, say hi, and are still in their group",
    () =>
      play(() =>
        Effect.gen(function* () {
          const { a, b } = yield* start
          const refs = yield* a.run(Effect.forEach(names, startWorker))
          assert.isTrue(refs.some(({ node }) => node === "b"), "some are on b")
          yield* b.kill
          for (const name of names) {
            const here = Effect.map(a.run(whereis(name)), (ref) => Option.isSome(ref) && ref.value.node === "a")
            yield* until(`${name} is on a`, here)
            yield* until(`${name} says hi`, Effect.map(a.run(hellos(name)), (count) => count > 0))
          }
          assert.deepStrictEqual(yield* a.run(getFoos), names)
        })
      ),
    LIMIT
  )
})
