// What must not compile does not, and what is inferred is exact. Checked by the compiler alone: nothing here runs.
import { Context, Effect, Exit, Layer, type Option, Ref, Schema, type Scope, type Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Memory, Process, Registry, Supervisor, Sworm, SwormError } from "@sworm/sworm"

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const same = <A, B>(_: Equal<A, B>): void => {}
/** The type of what an effect answers, fails with and needs. */
type Parts<T> = T extends Effect.Effect<infer A, infer E, infer R> ? readonly [A, E, R] : never

// ---- what the tests declare

export class Refused extends Schema.TaggedError<Refused>()("Refused", { code: Schema.Int }) {}

export const Counter = Process.make("Counter", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int, error: Refused }),
    Rpc.make("Get", { success: Schema.Int }),
    Rpc.make("Note", { payload: { text: Schema.optionalKey(Schema.String) } })
  ]
})

/** Without args and state; what travels is not what the handler sees. */
export const Clock = Process.make("Clock", {
  protocol: [Rpc.make("At", { payload: { zone: Schema.String }, success: Schema.DateFromString })]
})

export const Stranger = Process.make("Stranger", { protocol: [Rpc.make("Get", { success: Schema.Int })] })

export class Counters
  extends Sworm.Service<Counters>()("Counters", { processes: [Counter, Clock], restart: "transient" }) {}

export class Strangers extends Sworm.Service<Strangers>()("Strangers", { processes: [Stranger] }) {}

export class Database extends Context.Service<Database, { readonly save: (n: number) => Effect.Effect<void> }>()(
  "Database"
) {}

// ---- process types

same<typeof Counter["name"], "Counter">(true)
same<typeof Counter["args"]["Type"], { readonly start: number }>(true)
same<typeof Counter["state"]["Type"], number>(true)
same<keyof typeof Clock["args"]["Type"], never>(true)
same<typeof Clock["state"]["Type"], void>(true)

// @ts-expect-error no such restart policy
Process.make("Bad", { restart: "sometimes", protocol: [] })
// @ts-expect-error args are fields, not types
Process.make("Bad", { args: { start: "number" }, protocol: [] })
// @ts-expect-error a protocol is needed
Process.make("Bad", { state: Schema.Int })
// @ts-expect-error a message is an Rpc
Process.make("Bad", { protocol: [{ _tag: "Get" }] })
// @ts-expect-error no such redistribution
Sworm.Service<Counters>()("Bad", { processes: [Counter], redistribution: "eager" })
// @ts-expect-error a sworm has processes
Sworm.Service<Counters>()("Bad", {})

// ---- implementations

export const CounterLayer = Counters.toLayer(Counter, {
  init: ({ args, epoch, handoff, name, sworm }) => {
    same<typeof args, { readonly start: number }>(true)
    same<typeof epoch, number>(true)
    same<typeof handoff, number | undefined>(true)
    same<typeof name, string>(true)
    same<typeof sworm, string>(true)
    return Effect.succeed(args.start)
  },
  handlers: {
    Increment: (payload, self) => {
      same<typeof payload, { readonly by: number }>(true)
      same<typeof self, Process.Self<number, (typeof Counter)["protocol"][number]>>(true)
      same<typeof self.state, Ref.Ref<number>>(true)
      return payload.by < 0
        ? Effect.fail(new Refused({ code: payload.by }))
        : Ref.updateAndGet(self.state, (n) => n + payload.by)
    },
    Get: (payload, { state }) => {
      same<typeof payload, void>(true)
      return Ref.get(state)
    },
    Note: ({ text }) => {
      same<typeof text, string | undefined>(true)
      return Effect.void
    }
  },
  beginHandoff: ({ state }) => Effect.map(Ref.get(state), Handoff.resume),
  resolveConflict: (mine, theirs) => {
    same<typeof mine, number>(true)
    return Math.max(mine, theirs)
  },
  stop: (reason, self) => {
    same<typeof reason, Process.StopReason>(true)
    return Ref.set(self.state, 0)
  }
})

export const ClockLayer = Counters.toLayer(Clock, {
  init: () => Effect.void,
  handlers: { At: ({ zone }) => Effect.succeed(new Date(zone)) }
})

type Implements<L> = L extends Layer.Layer<infer A, infer E, infer R> ? readonly [A, E, R] : never
same<Implements<typeof CounterLayer>, readonly [Sworm.Implemented<Counters, "Counter">, never, never]>(true)
same<Implements<typeof ClockLayer>, readonly [Sworm.Implemented<Counters, "Clock">, never, never]>(true)

const init = ({ args }: { readonly args: { readonly start: number } }) => Effect.succeed(args.start)
const handlers = {
  Increment: ({ by }: { readonly by: number }) => Effect.succeed(by),
  Get: () => Effect.succeed(1),
  Note: () => Effect.void
}
Counters.toLayer(Counter, { init, handlers })

// @ts-expect-error a message without a handler
Counters.toLayer(Counter, { init, handlers: { Increment: handlers.Increment, Get: handlers.Get } })
// @ts-expect-error the state is a number
Counters.toLayer(Counter, { init: () => Effect.succeed("0"), handlers })
// @ts-expect-error the answer to Get is a number
Counters.toLayer(Counter, { init, handlers: { ...handlers, Get: () => Effect.succeed("1") } })
// @ts-expect-error Get declares no error
Counters.toLayer(Counter, { init, handlers: { ...handlers, Get: () => Effect.fail("no") } })
// @ts-expect-error Increment fails with Refused or not at all
Counters.toLayer(Counter, { init, handlers: { ...handlers, Increment: () => Effect.fail("no") } })
const wrongPayload = ({ to }: { readonly to: number }) => Effect.succeed(to)
// @ts-expect-error the payload has no `to`
Counters.toLayer(Counter, { init, handlers: { ...handlers, Increment: wrongPayload } })
const wrongArgs = ({ args }: { readonly args: { readonly begin: number } }) => Effect.succeed(args.begin)
// @ts-expect-error the args have no `begin`
Counters.toLayer(Counter, { init: wrongArgs, handlers })
// @ts-expect-error a process type of another sworm
Counters.toLayer(Stranger, { init: () => Effect.void, handlers: { Get: () => Effect.succeed(1) } })
// @ts-expect-error two states merge into one of the same type
Counters.toLayer(Counter, { init, handlers, resolveConflict: (mine) => String(mine) })
// @ts-expect-error a handoff goes on from a state of the same type
Counters.toLayer(Counter, { init, handlers, beginHandoff: () => Effect.succeed(Handoff.resume("1")) })

// what handlers and init need is needed by the layer; the sworm itself and the process's scope are not
export const NeedyLayer = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.as(Effect.addFinalizer(() => Effect.void), args.start),
  handlers: {
    ...handlers,
    Increment: ({ by }) => Effect.flatMap(Database, ({ save }) => Effect.as(save(by), by)),
    Get: (_, { name }) => Effect.flatMap(Counters, ({ client }) => Effect.orDie(client(Counter, name).Get()))
  }
})
same<Implements<typeof NeedyLayer>, readonly [Sworm.Implemented<Counters, "Counter">, never, Database]>(true)

export const NeedyInit = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.flatMap(Database, ({ save }) => Effect.as(save(args.start), args.start)),
  handlers
})
same<Implements<typeof NeedyInit>, readonly [Sworm.Implemented<Counters, "Counter">, never, Database]>(true)

// ---- layers

const program = Effect.gen(function* () {
  const counters = yield* Counters
  yield* counters.register("visits", Counter, { start: 0 })
  return yield* counters.client(Counter, "visits").Increment({ by: 1 })
})
same<
  Parts<typeof program>,
  readonly [number, SwormError.RegisterError | SwormError.CallError | Refused, Counters]
>(true)

export const implementations = Layer.mergeAll(CounterLayer, ClockLayer)

/** Nothing is needed any more. */
type Runs = Effect.Effect<number, unknown>

export const complete: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide(implementations), Layer.provide(Memory.layer)))
)
export const clientOnly: Runs = program.pipe(
  Effect.provide(Counters.layerClient.pipe(Layer.provide(Memory.layer)))
)
export const withDatabase: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(
    Layer.provide([NeedyLayer, ClockLayer]),
    Layer.provide(Layer.succeed(Database)({ save: () => Effect.void })),
    Layer.provide(Memory.layer)
  ))
)
// @ts-expect-error the implementation of Clock is missing
export const oneMissing: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide(CounterLayer), Layer.provide(Memory.layer)))
)
// @ts-expect-error the implementations are missing
export const allMissing: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide(Memory.layer)))
)
// @ts-expect-error the backend is missing
export const noBackend: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide(implementations)))
)
// @ts-expect-error the service that a handler needs is missing
export const noDatabase: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide([NeedyLayer, ClockLayer]), Layer.provide(Memory.layer)))
)
const StrangerLayer = Strangers.toLayer(Stranger, {
  init: () => Effect.void,
  handlers: { Get: () => Effect.succeed(1) }
})
// @ts-expect-error an implementation for another sworm is none for this one
export const foreign: Runs = program.pipe(
  Effect.provide(Counters.layer.pipe(Layer.provide([StrangerLayer, ClockLayer]), Layer.provide(Memory.layer)))
)
// @ts-expect-error the sworm itself is missing
export const noSworm: Runs = program

// ---- the client

export const uses = Effect.gen(function* () {
  const counters = yield* Counters
  const visits = counters.client(Counter, "visits")
  const clock = counters.client(Clock, "clock")

  const increment = visits.Increment({ by: 1 })
  same<Parts<typeof increment>, readonly [number, Refused | SwormError.CallError, never]>(true)
  const get = visits.Get()
  same<Parts<typeof get>, readonly [number, SwormError.CallError, never]>(true)
  const note = visits.Note()
  same<Parts<typeof note>, readonly [void, SwormError.CallError, never]>(true)
  visits.Note({ text: "x" })
  const at = clock.At({ zone: "UTC" })
  same<Parts<typeof at>, readonly [Date, SwormError.CallError, never]>(true)
  same<keyof typeof visits, "Increment" | "Get" | "Note">(true)

  // @ts-expect-error wrong payload
  visits.Increment({ by: "1" })
  // @ts-expect-error missing payload
  visits.Increment()
  // @ts-expect-error missing field
  visits.Increment({})
  // @ts-expect-error Get has no payload
  visits.Get({ by: 1 })
  // @ts-expect-error unknown message
  visits.Decrement({ by: 1 })
  // @ts-expect-error a message of another process type
  clock.Increment({ by: 1 })
  // @ts-expect-error a process type of another sworm
  counters.client(Stranger, "x")

  const registered = counters.register("visits", Counter, { start: 0 })
  same<Parts<typeof registered>, readonly [SwormError.ProcessRef, SwormError.RegisterError, never]>(true)
  counters.register("clock", Clock, {})
  counters.register("visits", Counter, { start: 0 }, { restart: "permanent", metadata: { team: "a" } })
  // @ts-expect-error wrong args
  counters.register("visits", Counter, { start: "0" })
  // @ts-expect-error missing args
  counters.register("visits", Counter, {})
  // @ts-expect-error a process type of another sworm
  counters.register("visits", Stranger, {})
  // @ts-expect-error no such restart policy
  counters.register("visits", Counter, { start: 0 }, { restart: "always" })
  // @ts-expect-error a name is text
  counters.register(1, Counter, { start: 0 })

  const shared = counters.whereisOrRegister("visits", Counter, { start: 0 })
  same<Parts<typeof shared>[1], Exclude<SwormError.RegisterError, SwormError.NameTaken>>(true)

  const call = counters.call(Counter, "visits", "Increment", { by: 1 }, { timeout: "1 second" })
  same<Parts<typeof call>, readonly [number, Refused | SwormError.CallError, never]>(true)
  // @ts-expect-error wrong payload
  counters.call(Counter, "visits", "Increment", { by: "1" })
  // @ts-expect-error unknown message
  counters.call(Counter, "visits", "Decrement", { by: 1 })
  // @ts-expect-error the payload of another message
  counters.call(Clock, "clock", "At", { by: 1 })

  const cast = counters.cast(Counter, "visits", "Increment", { by: 1 })
  same<Parts<typeof cast>, readonly [boolean, SwormError.CallError, never]>(true)
  // @ts-expect-error wrong payload
  counters.cast(Counter, "visits", "Increment", { by: true })

  const published = counters.publish(Counter, "pages", "Increment", { by: 1 })
  same<Parts<typeof published>, readonly [number, SwormError.CallError, never]>(true)
  // @ts-expect-error unknown message
  counters.publish(Counter, "pages", "Decrement", { by: 1 })

  const answers = yield* counters.multicall(Counter, "pages", "Increment", { by: 1 })
  same<(typeof answers)[number]["exit"], Exit.Exit<number, Refused | SwormError.CallError>>(true)

  same<
    Parts<ReturnType<typeof counters.adopt>>,
    readonly [SwormError.ProcessRef, SwormError.RegisterError, Scope.Scope]
  >(true)
  const found = counters.whereis("visits")
  same<Parts<typeof found>, readonly [Option.Option<SwormError.ProcessRef>, never, never]>(true)
  const confirmed = counters.whereis("visits", "owner")
  same<Parts<typeof confirmed>, readonly [Registry.Lookup, SwormError.Unavailable, never]>(true)
  same<Parts<typeof counters.registered>, readonly [ReadonlyArray<SwormError.ProcessRef>, never, never]>(true)
  same<
    Parts<ReturnType<typeof counters.unregister>>,
    readonly [void, SwormError.NotRegistered | SwormError.Unavailable, never]
  >(true)
  same<
    Parts<ReturnType<typeof counters.join>>,
    readonly [void, SwormError.NotRegistered | SwormError.InvalidInput | SwormError.Unavailable, never]
  >(true)
  same<typeof counters.changes, Stream.Stream<Registry.RegistryChange>>(true)
})

// ---- errors: each kind is told apart by its tag, and one that is handled is gone

export const handled = program.pipe(
  Effect.catchTag("NameTaken", ({ ref }) => {
    same<typeof ref, SwormError.ProcessRef>(true)
    return Effect.succeed(ref.epoch)
  }),
  Effect.catchTag("CallError", ({ reason }) => {
    same<typeof reason, SwormError.CallFailure>(true)
    return Effect.succeed(0)
  })
)
same<
  Parts<typeof handled>[1],
  | SwormError.StartFailed
  | SwormError.TooManyProcesses
  | SwormError.InvalidInput
  | SwormError.Unregistered
  | SwormError.Unavailable
  | Refused
>(true)

// ---- a service alone

export const alone: Effect.Effect<number> = Effect.gen(function* () {
  const { countChildren } = yield* Supervisor.Supervisor
  const counts = yield* countChildren("x")
  same<typeof counts, ReadonlyMap<string, number>>(true)
  return counts.size
}).pipe(Effect.provide(Memory.layer))
