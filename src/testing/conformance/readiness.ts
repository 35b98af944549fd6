/** Nodes that can't run a process, or not yet: they get none, and use those of the others. */
import { Context, Effect, Exit, Option, Scope } from "effect"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import type { TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { groupHosting } from "./hosting.ts"
import { Closet, olderRoomsLayer, Room, Rooms, roomsLayer } from "./rooms.ts"

/** Node b runs an older program, node c none of it: it only uses the sworm. */
const { build, define, on } = groupHosting(
  "readiness",
  (node) =>
    node === "c" ? Rooms.layerClient : node === "b" ? olderRoomsLayer as unknown as typeof roomsLayer : roomsLayer
)

/** The nodes that have names of a process type, as each of these nodes knows it. */
const holders = (node: TestNode, type: "Room" | "Closet"): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    on(node, Rooms).select({ type }),
    (entries) => [...new Set(entries.map(({ ref }) => ref.node))].sort()
  )

const running = (node: TestNode): Effect.Effect<number> =>
  Effect.map(node.supervisor.which("conformance/Rooms", node.id), ({ length }) => length)

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[D27] a process runs only where its type is implemented: never on a client, never on an older program",
    (nodes, cluster) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        for (let floor = 0; floor < 30; floor++) {
          const rooms = on(floor % 2 === 0 ? a : c, Rooms)
          const room = yield* rooms.register({ floor, door: "room" }, Room, {})
          yield* equal(room.node, "a", "the only node that knows rooms")
          const closet = yield* rooms.register({ floor, door: "closet" }, Closet, {})
          yield* check(closet.node === "a" || closet.node === "b", `a closet on ${closet.node}`)
          yield* equal(yield* cluster.repeat(on(c, Rooms).client(Room, { floor, door: "room" }).Where()), "a", "a call")
        }
        for (const node of nodes) {
          yield* eventuallyEqual(holders(node, "Room"), ["a"], `rooms, as ${node.id} knows them`)
          yield* eventuallyEqual(holders(node, "Closet"), ["a", "b"], `closets, as ${node.id} knows them`)
        }
        yield* equal(yield* running(c), 0, "processes of a client")
        const d = yield* cluster.start("d")
        const share = Effect.map(holders(c, "Room"), (all) => all.includes("d"))
        yield* eventually(share, "a node that knows rooms gets its share")
        yield* a.stop
        for (const node of [b, c, d]) {
          yield* eventuallyEqual(holders(node, "Room"), ["d"], `rooms after a has left, as ${node.id} knows them`)
          yield* eventuallyEqual(holders(node, "Closet"), ["b", "d"], `closets, as ${node.id} knows them`)
        }
      })
  ),

  define(
    3,
    "[D27] while no node knows its type a process waits, or is refused; it runs once one does",
    (nodes, cluster) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const key = { floor: 1, door: "red" }
        yield* on(a, Rooms).register(key, Room, {})
        yield* eventually(Effect.map(on(c, Rooms).whereis(key), Option.isSome), "c knows it")
        yield* a.stop
        yield* eventually(Effect.map(on(c, Rooms).whereis(key), Option.isNone), "nobody can run it")
        const call = on(c, Rooms).client(Room, key, { timeout: "100 millis" }).Where()
        yield* fails(call, { _tag: "CallError" }, "a call while it waits")
        yield* equal(yield* running(b), 0, "processes of the older program")
        const d = yield* cluster.start("d")
        for (const node of [b, c, d]) {
          const where = Effect.map(on(node, Rooms).whereis(key), (ref) => Option.getOrUndefined(ref)?.node)
          yield* eventuallyEqual(where, "d", `where it runs, as ${node.id} knows it`)
        }
        yield* equal(yield* cluster.repeat(on(c, Rooms).client(Room, key).Where()), "d", "a call")
      })
  ),

  define(
    3,
    "[D27] a node gets processes once its layer is there, and gives them back when that closes",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const keys = Array.from({ length: 30 }, (_, floor) => ({ floor, door: "room" }))
        yield* Effect.forEach(keys, (key) => on(c, Rooms).register(key, Room, {}), { concurrency: 8 })
        const held = yield* holders(c, "Room")
        yield* equal(held, ["a"], "before c implements it")
        const layer = yield* Scope.make()
        const hosting = Context.get(yield* Scope.provide(build(c, roomsLayer), layer), Rooms)
        for (const node of [a, b, c]) {
          yield* eventuallyEqual(holders(node, "Room"), ["a", "c"], `with c, as ${node.id} knows it`)
        }
        yield* check((yield* running(c)) > 0, show(yield* hosting.registered))
        yield* Scope.close(layer, Exit.void)
        for (const node of [a, b, c]) {
          yield* eventuallyEqual(holders(node, "Room"), ["a"], `without c, as ${node.id} knows it`)
          yield* eventuallyEqual(on(node, Rooms).count(), keys.length, "none is lost")
        }
      })
  )
]
