/**
 * One program, two backends: rooms on gossip, which go on whatever happens, and purses on etcd, which run once.
 *
 *     node examples/two-backends/main.ts
 *     deno run -A examples/two-backends/main.ts
 *     bun examples/two-backends/main.ts
 *
 * Without ETCD_ENDPOINTS (`http://10.0.0.9:2379,…`) etcd is in this program's memory.
 */
import { Console, Effect, Option, References } from "effect"
import process from "node:process"
import { etcdAt, layer } from "./node.ts"
import { Purse, Purses, Room, Rooms } from "./sworms.ts"

const listOf = (text: string | undefined): ReadonlyArray<string> => (text ?? "").split(",").filter((one) => one !== "")

const main = Effect.gen(function* () {
  const rooms = yield* Rooms
  const purses = yield* Purses

  const lobby = yield* rooms.whereisOrRegister("lobby", Room, {})
  yield* rooms.client(Room, "lobby").Enter({ who: "ada" })
  const there = yield* rooms.client(Room, "lobby").Enter({ who: "ben" })
  yield* Console.log(`In the lobby, on gossip: ${there.slice(-2).join(", ")}`)

  const ada = yield* purses.whereisOrRegister("ada", Purse, { cents: 500 })
  const left = yield* purses.client(Purse, "ada").Pay({ cents: 200 })
  yield* Console.log(`In ada's purse, on etcd: ${left} cents`)
  const refused = yield* Effect.flip(purses.client(Purse, "ada").Pay({ cents: left + 1 }))
  yield* Console.log(`More than that: ${refused._tag}`)

  const { guarantee, ref } = yield* purses.whereis("ada", "linearizable")
  const same = Option.getOrThrow(ref).node === lobby.node && ada.node === lobby.node
  yield* Console.log(`Etcd says where it is (${guarantee}), on ${same ? "the same node" : "another node"}.`)
  const asked = yield* Effect.flip(rooms.whereis("lobby", "linearizable"))
  yield* Console.log(`Gossip has nobody to ask: ${asked._tag}.`)
})

const node = layer(
  { listen: process.env["LISTEN"] ?? "127.0.0.1:0", seeds: listOf(process.env["SEEDS"]) },
  etcdAt(listOf(process.env["ETCD_ENDPOINTS"]))
)
await Effect.runPromise(main.pipe(
  Effect.provide(node),
  Effect.provideService(References.MinimumLogLevel, "Error")
))
