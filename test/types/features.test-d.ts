// Keys, metadata, streams, timers, placement, daemons: what must not compile does not, and what is inferred is exact.
// Checked by the compiler alone: nothing here runs.
import { Context, DateTime, Effect, Layer, type Option, Ref, Schedule, Schema, type Scope, Stream } from "effect"
import { Rpc } from "effect/rpc"
import {
  type Handoff,
  type Membership,
  Memory,
  type Node,
  Placement,
  Process,
  type Registry,
  type Supervisor,
  Sworm,
  type SwormError
} from "@sworm/sworm"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>): void => {}
/** The type of what an effect or a stream gives, fails with and needs. */
type Parts<T> = T extends Effect.Effect<infer A, infer E, infer R> ? readonly [A, E, R] : never
type Flow<T> = T extends Stream.Stream<infer A, infer E, infer R> ? readonly [A, E, R] : never
type Provides<T> = T extends Layer.Layer<infer A, infer E, infer R> ? readonly [A, E, R] : never
type IsAny<T> = 0 extends 1 & T ? true : false
/** Does it take or give `any`, as deep as a method's arguments, its answer, and what that is made of? */
type LeaksAny<T> = IsAny<T> extends true ? true
  : T extends (...args: infer A) => infer B
    ? true extends IsAny<B> | IsAny<A> | IsAny<A[number]> | PartsLeak<B> ? true : false
  : PartsLeak<T>
type PartsLeak<T> = T extends Effect.Effect<infer A, infer E, infer R> ? IsAny<A> | IsAny<E> | IsAny<R>
  : T extends Stream.Stream<infer A, infer E, infer R> ? IsAny<A> | IsAny<E> | IsAny<R>
  : false
type Leaks<T> = { readonly [K in keyof T]: true extends LeaksAny<T[K]> ? K : never }[keyof T]

type Any = ReturnType<typeof JSON.parse>
same<IsAny<Any>, true>(true)
same<IsAny<unknown>, false>(true)
same<Leaks<{ readonly a: () => Effect.Effect<Any>; readonly b: (x: Any) => void; readonly c: number }>, "a" | "b">(true)

// ---- what the tests declare

class Refused extends Schema.TaggedError<Refused>()("Refused", { code: Schema.Int }) {}
class RoomId extends Schema.Class<RoomId>("RoomId")({ building: Schema.String, number: Schema.Int }) {}

export const Room = Process.make("Room", {
  args: { seats: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Enter", { payload: { who: Schema.String }, success: Schema.Int, error: Refused }),
    Rpc.make("Note", { payload: { text: Schema.optionalKey(Schema.String) } }),
    Rpc.make("Close"),
    Rpc.make("Events", { payload: { from: Schema.Int }, success: Schema.DateFromString, error: Refused, stream: true }),
    Rpc.make("Ticks", { success: Schema.Int, stream: true })
  ]
})
const Other = Process.make("Other", { protocol: [Rpc.make("Get", { success: Schema.Int })] })
const Team = Schema.Struct({ team: Schema.String, since: Schema.DateFromString })

export class Rooms extends Sworm.Service<Rooms>()("Rooms", { processes: [Room], key: RoomId, metadata: Team }) {}
/** Names are strings, metadata anything. */
export class Plain extends Sworm.Service<Plain>()("Plain", { processes: [Room, Other] }) {}
export class Numbers extends Sworm.Service<Numbers>()("Numbers", { processes: [Room], key: Schema.Int }) {}

class Database extends Context.Service<Database, { readonly save: (n: number) => Effect.Effect<void> }>()("Database") {}
class Queries extends Context.Service<Queries, { readonly all: Stream.Stream<Date> }>()("Queries") {}

// ---- what a process's own code sees: timers and streams

const handlers = {
  Enter: ({ who }: { readonly who: string }) => Effect.succeed(who.length),
  Note: () => Effect.void,
  Close: () => Effect.void,
  Events: () => Stream.empty,
  Ticks: () => Stream.range(1, 3)
}
const init = ({ args }: { readonly args: { readonly seats: number } }) => Effect.succeed(args.seats)

export const RoomLayer = Rooms.toLayer(Room, {
  init: ({ args, handoff, timers }) => {
    same<typeof handoff, number | undefined>(true)
    same<typeof timers, Process.Timers<(typeof Room)["protocol"][number]>>(true)
    return Effect.as(timers.after("Close", "1 hour"), args.seats)
  },
  handlers: {
    ...handlers,
    Enter: (_, self) =>
      Effect.gen(function* () {
        const { timers } = self
        same<typeof self.token, Process.FencingToken>(true)
        const set = timers.after("Enter", "1 second", { who: "a" })
        same<Parts<typeof set>, readonly [void, never, never]>(true)
        timers.every("Enter", 1000, { who: "a" }, { id: "hourly" })
        timers.at("Enter", new Date(), { who: "a" })
        timers.at("Enter", DateTime.nowUnsafe(), { who: "a" })
        timers.at("Enter", 1_790_000_000_000, { who: "a" })
        timers.after("Note", "1 second")
        timers.after("Note", "1 second", { text: "x" }, { id: "n" })
        timers.after("Close", "1 second", undefined, { id: "c" })
        timers.cancel("hourly")
        // @ts-expect-error no such message
        timers.after("Leave", "1 second")
        // @ts-expect-error the payload is missing
        timers.after("Enter", "1 second")
        // @ts-expect-error the payload is missing
        timers.at("Enter", 5)
        // @ts-expect-error a wrong payload
        timers.after("Enter", "1 second", { who: 1 })
        // @ts-expect-error the payload of another message
        timers.every("Enter", "1 second", { text: "x" })
        // @ts-expect-error Close has no payload
        timers.after("Close", "1 second", { who: "a" })
        // @ts-expect-error a wrong field
        timers.after("Note", "1 second", { text: 1 })
        // @ts-expect-error no duration
        timers.after("Close", "soon")
        // @ts-expect-error no time
        timers.at("Close", "2026-11-21")
        // @ts-expect-error no such option
        timers.after("Close", "1 second", undefined, { name: "c" })
        // @ts-expect-error ids are text
        timers.cancel(1)
        return yield* Ref.updateAndGet(self.state, (n) => n - 1)
      }),
    Events: ({ from }, self) => {
      same<typeof from, number>(true)
      same<typeof self.state, Ref.Ref<number>>(true)
      return from < 0 ? Stream.fail(new Refused({ code: from })) : Stream.make(new Date(from))
    },
    Ticks: (payload) => {
      same<typeof payload, void>(true)
      return Stream.range(1, 3)
    }
  },
  run: (self) => {
    same<typeof self, Process.Self<number, (typeof Room)["protocol"][number]>>(true)
    return Effect.never
  }
})
same<Provides<typeof RoomLayer>, readonly [Sworm.Implemented<Rooms, "Room">, never, never]>(true)

/** What a stream needs is needed by the layer, and what `run` needs; scope and sworm are not. */
export const NeedyLayer = Rooms.toLayer(Room, {
  init,
  handlers: { ...handlers, Events: () => Stream.unwrap(Effect.map(Queries, ({ all }) => all)) },
  run: ({ state }) =>
    Effect.andThen(
      Effect.addFinalizer(() => Effect.void),
      Effect.flatMap(Effect.zip(Rooms, Database), ([, { save }]) => Effect.flatMap(Ref.get(state), save))
    )
})
same<Provides<typeof NeedyLayer>[2], Database | Queries>(true)

// @ts-expect-error a stream is answered by a stream
Rooms.toLayer(Room, { init, handlers: { ...handlers, Ticks: () => Effect.succeed(1) } })
// @ts-expect-error its elements are numbers
Rooms.toLayer(Room, { init, handlers: { ...handlers, Ticks: () => Stream.make("1") } })
// @ts-expect-error Ticks declares no error
Rooms.toLayer(Room, { init, handlers: { ...handlers, Ticks: () => Stream.fail("no") } })
// @ts-expect-error Events fails with Refused or not at all
Rooms.toLayer(Room, { init, handlers: { ...handlers, Events: () => Stream.fail("no") } })
// @ts-expect-error what is not streamed is answered by an effect
Rooms.toLayer(Room, { init, handlers: { ...handlers, Enter: () => Stream.make(1) } })
// @ts-expect-error a stream has a handler too
Rooms.toLayer(Room, { init, handlers: { Enter: handlers.Enter, Note: handlers.Note, Close: handlers.Close } })

// ---- keys, metadata and messages, seen by the client

const id = new RoomId({ building: "A", number: 1 })
const team = { team: "a", since: new Date() }

export const uses = Effect.gen(function* () {
  const rooms = yield* Rooms
  const room = rooms.client(Room, id)
  same<Flow<ReturnType<typeof room.Ticks>>, readonly [number, SwormError.CallError, never]>(true)
  const events = room.Events({ from: 1 })
  same<Flow<typeof events>, readonly [Date, Refused | SwormError.CallError, never]>(true)
  same<Parts<ReturnType<typeof room.Enter>>, readonly [number, Refused | SwormError.CallError, never]>(true)
  // @ts-expect-error missing payload
  room.Events()
  // @ts-expect-error wrong payload
  room.Events({ from: "1" })
  // @ts-expect-error a stream is no effect
  Effect.asVoid(room.Ticks())

  const call = rooms.call(Room, id, "Enter", { who: "a" })
  same<Parts<typeof call>, readonly [number, Refused | SwormError.CallError, never]>(true)
  // @ts-expect-error a stream is read with `client`
  rooms.call(Room, id, "Ticks", undefined)
  // @ts-expect-error a stream is read with `client`
  rooms.call(Room, id, "Events", { from: 1 })
  // @ts-expect-error nobody would get its elements
  rooms.cast(Room, id, "Events", { from: 1 })
  // @ts-expect-error nobody would get its elements
  rooms.publish(Room, "group", "Ticks", undefined)
  // @ts-expect-error one answer for each member
  rooms.multicall(Room, "group", "Ticks", undefined)

  // keys are what the schema says
  rooms.register(id, Room, { seats: 1 })
  rooms.link({ strategy: "rest_for_one", names: [id, id] })
  rooms.alias(id, id)
  rooms.watch({ name: id })
  rooms.watch({ prefix: "{" })
  same<Parts<ReturnType<typeof rooms.keyOf>>, readonly [RoomId, SwormError.InvalidInput, never]>(true)
  // @ts-expect-error a name is no key
  rooms.register("A1", Room, { seats: 1 })
  // @ts-expect-error a name is no key
  rooms.client(Room, "A1")
  // @ts-expect-error half a key
  rooms.whereis({ building: "A" })
  // @ts-expect-error a name is no key
  rooms.link({ strategy: "one_for_all", names: ["A1", "A2"] })
  // @ts-expect-error no such strategy
  rooms.link({ strategy: "one_for_one", names: [id] })
  // @ts-expect-error a name is no key
  rooms.watch({ name: "A1" })
  ;(yield* Numbers).unregister(5) // @ts-expect-error a text is no number
  ;(yield* Numbers).unregister("5") // @ts-expect-error a number is no name
  ;(yield* Plain).unregister(5)

  // metadata are what the schema says
  rooms.register(id, Room, { seats: 1 }, { metadata: team, lease: "1 minute" })
  rooms.adopt(id, { metadata: team })
  rooms.setMetadata(id, team)
  const updated = rooms.updateMetadata(id, (before) => {
    same<typeof before, { readonly team: string; readonly since: Date } | undefined>(true)
    return { ...team, ...before }
  })
  same<
    Parts<typeof updated>,
    readonly [
      { readonly team: string; readonly since: Date },
      SwormError.NotOwner | SwormError.NotRegistered | SwormError.InvalidInput | SwormError.Unavailable,
      never
    ]
  >(true)
  const entries = rooms.select({ where: ({ metadata }) => metadata?.team === "a", prefix: "{" })
  same<Parts<typeof entries>[0][number]["metadata"], { readonly team: string; readonly since: Date } | undefined>(true)
  // @ts-expect-error the team is missing
  rooms.register(id, Room, { seats: 1 }, { metadata: { since: new Date() } })
  // @ts-expect-error a date, not its text
  rooms.setMetadata(id, { team: "a", since: "2026-11-21" })
  // @ts-expect-error the new metadata are missing
  rooms.updateMetadata(id, () => undefined)
  // @ts-expect-error there may be none yet
  rooms.updateMetadata(id, (before) => before)
  // @ts-expect-error no such field
  rooms.select({ where: ({ metadata }) => metadata?.name === "a" })
  same<Parameters<typeof rooms.setMetadata>[1], { readonly team: string; readonly since: Date }>(true)
  const plain = yield* Plain
  same<Parameters<typeof plain.setMetadata>[1], unknown>(true)
  same<Parameters<typeof plain.whereis>[0], string>(true)

  // whereis says which guarantee it carries only when one is asked for
  const found = rooms.whereis(id)
  same<Parts<typeof found>, readonly [Option.Option<SwormError.ProcessRef>, never, never]>(true)
  for (const guarantee of ["cached", "owner", "linearizable"] as const) {
    const looked = rooms.whereis(id, guarantee)
    same<Parts<typeof looked>, readonly [Registry.Lookup, SwormError.Unavailable, never]>(true)
  }
  // @ts-expect-error no such guarantee
  rooms.whereis(id, "strict")

  // what ensure can fail with besides: all of register, but that the name is taken
  const ensured = rooms.ensure(Room, id, { seats: 1 }, { timeout: "1 second", metadata: team, idleTimeout: "1 minute" })
  type Ensure = Refused | SwormError.CallError | Exclude<SwormError.RegisterError, SwormError.NameTaken>
  same<Parts<ReturnType<typeof ensured.Enter>>, readonly [number, Ensure, never]>(true)
  same<Flow<ReturnType<typeof ensured.Events>>, readonly [Date, Ensure, never]>(true)
  same<SwormError.NameTaken extends Sworm.EnsureError ? true : false, false>(true)
  same<Parts<ReturnType<typeof rooms.whereisOrRegister>>[1], Sworm.EnsureError>(true)
  // @ts-expect-error the args are missing
  rooms.ensure(Room, id)
  // @ts-expect-error wrong args
  rooms.ensure(Room, id, { seats: "many" })
})
same<Parts<typeof uses>[1], never>(true)
same<Parts<typeof uses>[2], Rooms | Numbers | Plain>(true)

// ---- options

export const options: Required<Sworm.RegisterOptions<{ readonly a: number }>> = {
  restart: "permanent",
  restartLimit: { max: 1, within: "1 second" },
  startTimeout: "1 second",
  shutdownTimeout: "brutal",
  idleTimeout: "1 minute",
  mailboxCapacity: 10,
  handoff: false,
  lease: "1 minute",
  metadata: { a: 1 }
}
same<
  keyof Sworm.RegisterOptions,
  Exclude<keyof Process.ProcessOptions, "backoff" | "reentrant" | "snapshot"> | "lease" | "metadata"
>(true)
// @ts-expect-error a schedule is no data: it belongs to the process type
export const withBackoff: Sworm.RegisterOptions = { backoff: Schedule.spaced("1 second") }
// @ts-expect-error a type's handlers are made for it, or not
export const withReentrant: Sworm.RegisterOptions = { reentrant: true }
// @ts-expect-error neither brutal nor infinite nor a time
export const withShutdown: Sworm.RegisterOptions = { shutdownTimeout: "gentle" }
// @ts-expect-error metadata of another type
export const withMetadata: Sworm.RegisterOptions<{ readonly a: number }> = { metadata: { a: "1" } }
Process.make("Ok", {
  protocol: [],
  backoff: Schedule.exponential("1 second"),
  reentrant: true,
  shutdownTimeout: "infinite"
})
// @ts-expect-error a placement, not its name
Sworm.Service<Rooms>()("Bad", { processes: [Room], placement: "ring" })
// @ts-expect-error a schema, not a type's name
Sworm.Service<Rooms>()("Bad", { processes: [Room], key: "string" })
// @ts-expect-error a number
Sworm.Service<Rooms>()("Bad", { processes: [Room], maxResident: "10" })

// ---- singletons and daemons

type DaemonBackend = Registry.Registry | Supervisor.Supervisor | Node.Node

const save = Effect.flatMap(Database, ({ save }) => save(1))
const janitor = Sworm.singleton("janitor", save, { placement: Placement.label("role", "worker") })
same<Provides<typeof janitor>, readonly [never, never, Database | DaemonBackend]>(true)
const scoped = Sworm.singleton("scoped", Effect.andThen(Effect.addFinalizer(() => Effect.void), Effect.fail("no")))
same<Provides<typeof scoped>, readonly [never, never, DaemonBackend]>(true)
const shards = Sworm.daemons("shards", { size: 4, backoff: Schedule.spaced("1 second") }, ({ index, node }) => {
  same<typeof index, number>(true)
  same<typeof node, string>(true)
  return save
})
same<Provides<typeof shards>, readonly [never, never, Database | DaemonBackend]>(true)
export const running: Layer.Layer<never> = Sworm.daemons("m", { size: "each node" }, () => Effect.never)
  .pipe(Layer.provide(Memory.layer))
// @ts-expect-error the service that it needs is missing
export const needy: Layer.Layer<never> = janitor.pipe(Layer.provide(Memory.layer))
// @ts-expect-error each node, or a number of them
Sworm.daemons("bad", { size: "all" }, () => Effect.never)
// @ts-expect-error how many?
Sworm.daemons("bad", {}, () => Effect.never)
// @ts-expect-error an effect, not a function
Sworm.singleton("bad", () => Effect.never)
// @ts-expect-error a function, told which one it is
Sworm.daemons("bad", { size: 1 }, Effect.never)

// ---- placement

export const placements: ReadonlyArray<Placement.Placement> = [
  Placement.rendezvous,
  Placement.weighted(),
  Placement.weighted(({ labels, load }) => Number(labels["cpus"]) - load, "cpus"),
  Placement.ring({ points: 64 }),
  Placement.boundedLoads({ epsilon: 0.1 }),
  Placement.leastLoaded,
  Placement.random,
  Placement.preferLocal(Placement.random),
  Placement.where("even", ({ id }, name) => id.length === name.length, Placement.leastLoaded),
  Placement.labels({ role: "worker", zone: ["a", "b"] }),
  Placement.allow(["web-*", /^web/i, { role: ["a", "b"] }], Placement.deny([])),
  Placement.quorum(3),
  Placement.spread({ across: "zone", of: (name) => ({ key: name, index: 0 }) }),
  Placement.pin((name) => name === "a" ? "node-1" : undefined),
  Placement.make("own", (name, candidates, context) => {
    same<typeof name, string>(true)
    same<typeof context, Placement.PlacementContext | undefined>(true)
    return candidates[0]
  }, { isSticky: true, quorum: 2, limit: (_, { length }) => length, allows: (name, { id }) => name !== id })
]
// @ts-expect-error what it picks is a candidate, not an id
Placement.make("bad", (_, candidates) => candidates[0]?.id)
// @ts-expect-error a number
Placement.quorum("3")
// @ts-expect-error a number
Placement.ring({ points: "64" })
// @ts-expect-error an index says which one of those with a key it is
Placement.spread({ of: (name) => ({ key: name }) })
// @ts-expect-error labels are text
Placement.labels({ cpus: 4 })
// @ts-expect-error an id, or none
Placement.pin(() => 1)
// @ts-expect-error a label has a value
Placement.label("role")

// ---- moves

declare const handoff: Handoff.Handoff
declare const membership: Membership.Membership
same<Flow<ReturnType<typeof handoff.drain>>, readonly [Handoff.DrainProgress, SwormError.Unavailable, never]>(true)
same<Parts<ReturnType<typeof membership.setLabels>>, readonly [void, SwormError.InvalidInput, never]>(true)
// @ts-expect-error an id
handoff.cordon({ node: "a" })
// @ts-expect-error a duration
handoff.drain({ deadline: "soon" })
// @ts-expect-error labels are text
membership.setLabels({ cpus: 4 })
Memory.layerNode({ cordoned: true, movesPerSecond: 10, minResidence: "1 second", redistributeAfter: 100 })

// ---- nothing is `any`

type Client = Context.Service.Shape<typeof Rooms>
same<Leaks<Client>, never>(true)
same<Leaks<Context.Service.Shape<typeof Plain>>, never>(true)
same<Leaks<Registry.Registry> | Leaks<Supervisor.Supervisor>, never>(true)
same<Leaks<Handoff.Handoff> | Leaks<Membership.Membership>, never>(true)
same<Leaks<typeof Placement> | Leaks<typeof Sworm> | Leaks<typeof Process>, never>(true)
same<Leaks<Process.Self<number>> | Leaks<Process.Timers<(typeof Room)["protocol"][number]>>, never>(true)
same<Leaks<Process.Client<(typeof Room)["protocol"][number], never>>, never>(true)
same<Parts<ReturnType<Client["adopt"]>>[2], Scope.Scope>(true)
