// The example of one program with two backends: two nodes of it, on one etcd in memory, over WebSockets.
import { assert, describe, it } from "@effect/vitest"
import { type Context, Effect, Layer, Option, References } from "effect"
import { Transport } from "@sworm/sworm"
import * as Etcd from "@sworm/sworm/etcd"
import { layer, type Strict } from "../../examples/two-backends/node.ts"
import { Purse, Purses, Room, Rooms } from "../../examples/two-backends/sworms.ts"
import { until } from "../../examples/workers/nodes.ts"

const LIMIT = 60_000
const names = ["ada", "ben", "cyd", "dot", "eve", "fay", "gus", "hal"]

type Has = Rooms | Purses | Transport.Transport

const startTwo = Effect.gen(function* () {
  const memory = yield* Etcd.EtcdMemory.make
  const start = Effect.fnUntraced(function* (id: string, seeds: ReadonlyArray<string>) {
    const strict: Strict = Etcd.layerClient({ leaseTtl: "20 seconds" }).pipe(
      Layer.provide(Layer.effect(Etcd.EtcdClient)(memory.client({ name: id })))
    )
    const context: Context.Context<Has> = yield* Layer.build(
      Layer.fresh(layer({ id, listen: "127.0.0.1:0", seeds }, strict))
    )
    const run = <A, E>(effect: Effect.Effect<A, E, Has>): Effect.Effect<A, E> => Effect.provideContext(effect, context)
    const { address } = yield* run(Transport.Transport)
    return { id, run, address }
  })
  const a = yield* start("a", [])
  const b = yield* start("b", [a.address])
  for (const node of [a, b]) {
    const counts = Effect.gen(function* () {
      const { candidates: rooms } = yield* (yield* Rooms).explain("any")
      const { candidates: purses } = yield* (yield* Purses).explain("any")
      return rooms.length === 2 && purses.length === 2
    })
    yield* until(`${node.id} knows that both host both`, node.run(counts))
  }
  return [a, b] as const
})

const quietly = Effect.provideService(References.MinimumLogLevel, "None")

describe("examples/two-backends", () => {
  it.live(
    "both sworms work across the nodes, each on its own backend, over one connection",
    () =>
      Effect.gen(function* () {
        const [a, b] = yield* startTwo
        for (const name of names) {
          yield* a.run(Effect.flatMap(Rooms, (rooms) => rooms.register(name, Room, {})))
          yield* a.run(Effect.flatMap(Purses, (purses) => purses.register(name, Purse, { cents: 500 })))
        }
        const homes = { rooms: new Set<string>(), purses: new Set<string>() }
        for (const name of names) {
          yield* a.run(Effect.flatMap(Rooms, (rooms) => rooms.client(Room, name).Enter({ who: "x" })))
          const there = yield* b.run(Effect.flatMap(Rooms, (rooms) => rooms.client(Room, name).Enter({ who: "y" })))
          assert.deepStrictEqual(there, ["x", "y"])
          yield* a.run(Effect.flatMap(Purses, (purses) => purses.client(Purse, name).Pay({ cents: 100 })))
          const left = yield* b.run(Effect.flatMap(Purses, (purses) => purses.client(Purse, name).Pay({ cents: 100 })))
          assert.strictEqual(left, 300)

          const asked = yield* b.run(Effect.flatMap(Purses, (purses) => purses.whereis(name, "linearizable")))
          const refused = yield* Effect.flip(
            b.run(Effect.flatMap(Rooms, (rooms) => rooms.whereis(name, "linearizable")))
          )
          assert.strictEqual(refused._tag, "Unavailable")
          homes.purses.add(Option.getOrThrow(asked.ref).node)
          const room = yield* a.run(Effect.flatMap(Rooms, (rooms) => rooms.whereis(name)))
          homes.rooms.add(Option.getOrThrow(room).node)
        }
        for (const nodes of Object.values(homes)) assert.deepStrictEqual([...nodes].sort(), ["a", "b"])
        for (const [node, other] of [[a, "b"], [b, "a"]] as const) {
          const { peers } = yield* node.run(Transport.Transport)
          assert.deepStrictEqual(peers().map(({ id }) => id), [other])
        }
      }).pipe(Effect.scoped, quietly),
    LIMIT
  )
})
