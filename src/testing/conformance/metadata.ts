/** Metadata of a name, values of a sworm, leases, and keys and metadata that follow a schema. */
import { Clock, Effect, Exit, Option, Ref, Scope, Stream } from "effect"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { groupHosting } from "./hosting.ts"
import { Room, Rooms, roomsLayer } from "./rooms.ts"
import { Counter } from "./sworms.ts"

const define = group("metadata")
const rooms = groupHosting("metadata", () => roomsLayer)

const metadata = (node: TestNode, name: string): Effect.Effect<unknown> =>
  Effect.map(node.workers.entry(name), (entry) => Option.getOrUndefined(entry)?.metadata)

const meta = (node: TestNode, key: string): Effect.Effect<unknown> =>
  Effect.map(node.workers.meta(key), Option.getOrUndefined)

/** When a lease was renewed last, and the longest time between two renewals before that. */
interface Renewals {
  readonly last: number
  readonly longest: number
}

/** Renews until it is interrupted, and notes when. */
const renewing = (node: TestNode, name: string, renewals: Ref.Ref<Renewals>): Effect.Effect<never, unknown> =>
  Effect.forever(Effect.gen(function* () {
    yield* Effect.sleep(50)
    yield* node.workers.renew(name)
    const now = yield* Clock.currentTimeMillis
    yield* Ref.update(renewals, ({ last, longest }) => ({ last: now, longest: Math.max(longest, now - last) }))
  }))

const LEASE_MS = 3000

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P26] [P35] [P43] metadata is replaced from any node, and updated only where the name is held",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const ref = yield* a.workers.register("about@b", Counter, { start: 0 }, { metadata: { version: 1 } })
        for (const [i, node] of nodes.entries()) {
          const next = { version: i + 2, by: node.id }
          yield* node.workers.setMetadata("about@b", next)
          yield* equal<unknown>(yield* metadata(node, "about@b"), next, "what the node that set it knows right after")
          for (const other of nodes) yield* eventuallyEqual(metadata(other, "about@b"), next, `seen by ${other.id}`)
        }
        yield* b.workers.setMetadata("about@b", 0)
        const add = (data: unknown): number => Number(data) + 1
        const updates = Effect.forEach(Array.from({ length: 50 }), () => b.workers.updateMetadata("about@b", add), {
          concurrency: "unbounded"
        })
        yield* equal<unknown>((yield* updates).toSorted((x, y) => Number(x) - Number(y))[49], 50, "the last new value")
        for (const node of nodes) yield* eventuallyEqual(metadata(node, "about@b"), 50, `all updates, on ${node.id}`)
        for (const node of [a, c]) {
          yield* fails(node.workers.updateMetadata("about@b", add), { _tag: "NotOwner", ref }, `on ${node.id}`)
        }
        for (const change of [a.workers.setMetadata("nobody", 1), b.workers.updateMetadata("nobody", add)]) {
          yield* fails<unknown, unknown, never>(change, { _tag: "NotRegistered", name: "nobody" }, "of nobody")
        }
        const throwing = yield* Effect.exit(b.workers.updateMetadata("about@b", () => {
          throw new Error("no update")
        }))
        yield* check(Exit.hasDies(throwing), `an update that throws is a defect of its caller: ${show(throwing)}`)
        yield* fails(a.workers.setMetadata("about@b", () => 1), { _tag: "InvalidInput" }, "what is no data")
        for (const node of nodes) yield* equal(yield* metadata(node, "about@b"), 50, "after what was refused")
        yield* equal(yield* a.counter("about@b").Get(), 0, "it goes on")
      })
  ),

  define(
    2,
    "[P39] metadata set again replaces what was there; set to the same again, it tells no watcher",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("told@b", Counter, { start: 0 }, { metadata: { n: 0 } })
        yield* eventuallyEqual(metadata(b, "told@b"), { n: 0 }, "b knows it")
        const told: Array<unknown> = []
        yield* Effect.forkScoped(Stream.runForEach(b.workers.watch({ name: "told@b" }), (event) =>
          Effect.sync(() => {
            told.push(event._tag === "Updated" ? event.entry.metadata : event._tag)
          })))
        yield* eventually(Effect.sync(() => told.length === 1), "the watch begins")
        for (const n of [0, 0, 1, 1, 1, 2]) {
          yield* a.workers.setMetadata("told@b", { n })
          yield* eventuallyEqual(metadata(b, "told@b"), { n }, "b knows the next")
        }
        yield* eventually(Effect.sync(() => told.length >= 3), "the changes are told")
        yield* equal<unknown>(told, ["Present", { n: 1 }, { n: 2 }], "what was told")
      })
  ),

  define(
    3,
    "[P29] a value of the sworm is put, read everywhere, replaced and deleted everywhere",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        for (const node of nodes) yield* equal(yield* meta(node, "limit"), undefined, "before it is put")
        yield* a.workers.putMeta("limit", { max: 1 })
        yield* equal<unknown>(yield* meta(a, "limit"), { max: 1 }, "right after, where it was put")
        for (const node of nodes) yield* eventuallyEqual(meta(node, "limit"), { max: 1 }, `put, on ${node.id}`)
        yield* c.workers.putMeta("limit", [2])
        for (const node of nodes) yield* eventuallyEqual(meta(node, "limit"), [2], `replaced by another, on ${node.id}`)
        yield* equal(yield* Effect.map(a.settled.meta("limit"), Option.isNone), true, "another sworm's")
        yield* b.workers.deleteMeta("limit")
        yield* b.workers.deleteMeta("never put")
        for (const node of nodes) yield* eventuallyEqual(meta(node, "limit"), undefined, `deleted, on ${node.id}`)
        yield* a.workers.putMeta("limit", 3)
        for (const node of nodes) yield* eventuallyEqual(meta(node, "limit"), 3, `put again, on ${node.id}`)
        yield* fails(a.workers.putMeta("", 1), { _tag: "InvalidInput" }, "an empty key")
        yield* fails(a.workers.putMeta("limit", undefined), { _tag: "InvalidInput" }, "no value")
        yield* Effect.forEach(nodes, ({ id, workers }) => workers.putMeta("raced", id), { concurrency: "unbounded" })
        const last = Effect.forEach(nodes, (node) => meta(node, "raced"))
        yield* eventually(Effect.map(last, ([x, y, z]) => x !== undefined && x === y && y === z), "all agree on a race")
      })
  ),

  define(
    1,
    "[P29] a value of the sworm is known to a node that joins later",
    ([a], cluster) =>
      Effect.gen(function* () {
        yield* a.workers.putMeta("early", 1)
        const b = yield* cluster.start("b")
        yield* eventuallyEqual(meta(b, "early"), 1, "on the new node")
      })
  ),

  define(
    2,
    "[P44] a registration whose lease is not renewed ends everywhere; a renewed one goes on",
    ([a, b]) =>
      Effect.gen(function* () {
        const lease = `${LEASE_MS} millis` as const
        const renewals = yield* Ref.make<Renewals>({ last: yield* Clock.currentTimeMillis, longest: 0 })
        const kept = yield* a.workers.register("kept@b", Counter, { start: 3 }, { lease })
        yield* Effect.forkScoped(renewing(a, "kept@b", renewals))
        const scope = yield* Scope.make()
        yield* Scope.provide(b.workers.adopt("by hand", { lease }), scope)
        for (const home of ["a", "b"]) yield* a.workers.register(`left@${home}`, Counter, { start: 0 }, { lease })
        for (const name of ["left@a", "left@b", "by hand"]) {
          yield* seenBy([a, b], name, undefined)
          yield* fails(a.workers.renew(name), { _tag: "NotRegistered", name }, "what has ended is not renewed")
        }
        yield* a.workers.register("left@a", Counter, { start: 0 })
        yield* a.workers.renew("left@a")
        const [found, state] = [yield* whereis(a, "kept@b"), yield* Effect.exit(b.counter("kept@b").Get())]
        const { last, longest } = yield* Ref.get(renewals)
        const unrenewed = Math.max(longest, (yield* Clock.currentTimeMillis) - last)
        // a program that had no time to renew in time has shown nothing
        if (unrenewed < LEASE_MS / 2) {
          yield* equal(found, kept, "what was renewed")
          yield* equal(state, Exit.succeed(3), "its state")
        }
        yield* Scope.close(scope, Exit.void)
      }),
    { needs: ["reliable"] }
  ),

  rooms.define(
    2,
    "keys that follow a schema: equal keys are one name on every node, and refs lead back to keys",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const [onA, onB] = [rooms.on(a, Rooms), rooms.on(b, Rooms)]
        const key = { floor: 2, door: 'blue "one"' }
        const same = { door: 'blue "one"', floor: 2 }
        const ref = yield* onA.register(key, Room, {})
        yield* fails(onB.register(same, Room, {}), { _tag: "NameTaken", ref }, "the same key, in another order")
        yield* equal(yield* cluster.repeat(onB.client(Room, same).Enter({ who: "ann" })), 1, "a call")
        for (const rooms of [onA, onB]) {
          yield* eventuallyEqual(rooms.whereis(same), Option.some(ref), "whereis")
          yield* equal(yield* rooms.keyOf(ref), key, "the key of the ref")
          yield* equal(yield* rooms.whereis({ ...key, floor: 3 }), Option.none(), "another key")
        }
        yield* equal(yield* cluster.repeat(onA.client(Room, key).Name()), ref.name, "the name that the process sees")
        yield* fails(
          onA.register({ ...key, floor: 0.5 }, Room, {}),
          { _tag: "InvalidInput" },
          "a key that does not fit"
        )
        yield* fails(onA.keyOf({ name: "no key" }), { _tag: "InvalidInput" }, "a name that stands for no key")
        yield* onB.alias({ floor: 0, door: "front" }, key)
        yield* equal(yield* onB.whereis({ floor: 0, door: "front" }), Option.some(ref), "an alias by key")
        yield* onB.unregister(same)
        yield* eventuallyEqual(onA.whereis(key), Option.none(), "unregistered by key")
      })
  ),

  rooms.define(
    2,
    "metadata that follows a schema is decoded on every node; what does not fit is refused",
    ([a, b]) =>
      Effect.gen(function* () {
        const [onA, onB] = [rooms.on(a, Rooms), rooms.on(b, Rooms)]
        const key = { floor: 1, door: "red" }
        const about = { seats: 4, since: new Date("2024-02-29T12:00:00.000Z") }
        yield* onA.register(key, Room, {}, { metadata: about })
        for (const rooms of [onA, onB]) {
          const known = Effect.map(rooms.entry(key), (entry) => Option.getOrUndefined(entry)?.metadata)
          yield* eventually(
            Effect.map(known, (data) => data?.since.getTime() === about.since.getTime()),
            "a date, decoded"
          )
          const large = yield* rooms.select({ where: ({ metadata }) => (metadata?.seats ?? 0) > 3 })
          yield* equal(large.length, 1, "a predicate over what was decoded")
        }
        const wrong = { seats: 0.5, since: about.since }
        yield* fails(onA.setMetadata(key, wrong), { _tag: "InvalidInput" }, "setMetadata")
        yield* fails(
          onA.register({ ...key, floor: 2 }, Room, {}, { metadata: wrong }),
          { _tag: "InvalidInput" },
          "register"
        )
        const holder = (yield* Effect.map(onA.whereis(key), Option.getOrThrow)).node === "a" ? onA : onB
        yield* fails(holder.updateMetadata(key, () => wrong), { _tag: "InvalidInput" }, "updateMetadata")
        const next = yield* holder.updateMetadata(key, (old) => ({ ...old!, seats: old!.seats + 1 }))
        yield* equal([next.seats, next.since.getTime()], [5, about.since.getTime()], "the new value")
      })
  )
]
