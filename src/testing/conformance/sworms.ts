/** The sworms that the cases run: counters under several options, a journal, a type whose start goes wrong on purpose. */
import { Context, Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import * as Placement from "../../Placement.ts"
import * as Process from "../../Process.ts"
import * as Sworm from "../../Sworm.ts"

/**
 * A name that ends in `@<node>` lives on that node when the node can host it; others as rendezvous hashing says. So a
 * case decides where its processes are.
 */
export const steered: Placement.Placement = Placement.make("conformance/steered", (key, candidates) => {
  const id = key.slice(key.lastIndexOf("@") + 1)
  return candidates.find((candidate) => candidate.id === id) ?? Placement.rendezvous.pick(key, candidates)
})

const Token = Schema.Struct({ epoch: Schema.Number, node: Schema.String, boot: Schema.Number })

export const Refused = Schema.TaggedStruct("Refused", { code: Schema.Int })

const counter = <const Name extends string>(name: Name, options: Process.ProcessOptions = {}) =>
  Process.make(name, {
    ...options,
    args: { start: Schema.Int },
    state: Schema.Struct({ count: Schema.Int, interrupted: Schema.Int }),
    protocol: [
      Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int }),
      Rpc.make("Set", { payload: { to: Schema.Int }, success: Schema.Int }),
      Rpc.make("Get", { success: Schema.Int }),
      Rpc.make("Where", { success: Schema.String }),
      Rpc.make("Epoch", { success: Schema.Number }),
      Rpc.make("Token", { success: Token }),
      Rpc.make("Refuse", { payload: { code: Schema.Int }, error: Refused }),
      Rpc.make("Crash"),
      /** Sleeps, and counts when that is interrupted. */
      Rpc.make("Slow", { payload: { millis: Schema.Int }, success: Schema.Int }),
      Rpc.make("Interrupted", { success: Schema.Int }),
      Rpc.make("StopNormally"),
      /** Calls along a path of names and answers what the last one says: "end", or the reason of the first failed call. */
      Rpc.make("Visit", { payload: { path: Schema.Array(Schema.String) }, success: Schema.String }),
      /** Calls `<prefix><left - 1>`, that calls the next, down to 0; answers how many were called. */
      Rpc.make("Chain", { payload: { prefix: Schema.String, left: Schema.Int }, success: Schema.Int }),
      Rpc.make("JoinFromHandler", { payload: { group: Schema.String } }),
      Rpc.make("RegisterFromHandler", { payload: { name: Schema.String }, success: Schema.Number })
    ]
  })

export const Counter = counter("Counter")
export const Permanent = counter("Permanent", { restart: "permanent" })
export const Temporary = counter("Temporary", { restart: "temporary" })
/** Given up at the third crash. */
export const Limited = counter("Limited", { restartLimit: { max: 2, within: "1 minute" } })
export const Narrow = counter("Narrow", { mailboxCapacity: 2 })
/** Starts from its args where it is moved to. */
export const Stateless = counter("Stateless", { handoff: false })

/** Remembers what it is told, in order. */
export const Journal = Process.make("Journal", {
  state: Schema.Array(Schema.String),
  protocol: [
    Rpc.make("Write", { payload: { line: Schema.String } }),
    Rpc.make("Read", { success: Schema.Array(Schema.String) }),
    Rpc.make("Pause", { payload: { millis: Schema.Int } })
  ]
})

/** Without a state. */
export const Echo = Process.make("Echo", {
  protocol: [Rpc.make("Say", { payload: { text: Schema.String }, success: Schema.String })]
})

/** Its `init` does what the args say. */
export const Starter = Process.make("Starter", {
  args: { init: Schema.Literals(["fail", "die", "join", "call", "register"]), text: Schema.String },
  state: Schema.String,
  startTimeout: "2 seconds",
  protocol: [Rpc.make("Get", { success: Schema.String })]
})

/** As Sleeper, with a start timeout that is short. */
export const Hasty = Process.make("Hasty", {
  args: { millis: Schema.Int },
  state: Schema.Int,
  startTimeout: "100 millis",
  protocol: [Rpc.make("Get", { success: Schema.Int })]
})

/** Takes its time to start. */
export const Sleeper = Process.make("Sleeper", {
  args: { millis: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Get", { success: Schema.Int })]
})

export const counterTypes = [Counter, Permanent, Temporary, Limited, Narrow, Stateless] as const

export class Workers extends Sworm.Service<Workers>()("conformance/Workers", {
  processes: [...counterTypes, Journal, Echo, Starter, Hasty, Sleeper],
  placement: steered
}) {}

/** A second sworm; leaves its processes where they are. */
export class Settled extends Sworm.Service<Settled>()("conformance/Settled", {
  processes: [Counter],
  placement: steered,
  redistribution: "passive"
}) {}

/** How long the messages that call others wait for them. */
const NESTED_TIMEOUT = "1 second"
const CHAIN_TIMEOUT = "25 seconds"

type CounterState = (typeof Counter)["state"]["Type"]

const counterHandlers = {
  Increment: ({ by }: { readonly by: number }, { state }: Process.Self<CounterState>) =>
    Ref.modify(state, (s) => [s.count + by, { ...s, count: s.count + by }]),
  Set: ({ to }: { readonly to: number }, { state }: Process.Self<CounterState>) =>
    Effect.as(Ref.update(state, (s) => ({ ...s, count: to })), to),
  Get: (_: void, { state }: Process.Self<CounterState>) => Effect.map(Ref.get(state), ({ count }) => count),
  Where: (_: void, self: Process.Self<CounterState>) => Effect.succeed(self.node),
  Epoch: (_: void, self: Process.Self<CounterState>) => Effect.succeed(self.epoch),
  Token: (_: void, self: Process.Self<CounterState>) => Effect.succeed(self.token),
  Refuse: ({ code }: { readonly code: number }) => Effect.fail({ _tag: "Refused" as const, code }),
  Crash: () => Effect.die(new Error("crash on purpose")),
  Slow: ({ millis }: { readonly millis: number }, { state }: Process.Self<CounterState>) =>
    Effect.sleep(millis).pipe(
      Effect.andThen(Effect.map(Ref.get(state), ({ count }) => count)),
      Effect.onInterrupt(() => Ref.update(state, (s) => ({ ...s, interrupted: s.interrupted + 1 })))
    ),
  Interrupted: (_: void, { state }: Process.Self<CounterState>) =>
    Effect.map(Ref.get(state), ({ interrupted }) => interrupted),
  StopNormally: (_: void, self: Process.Self<CounterState>) => self.stop,
  Visit: ({ path: [next, ...rest] }: { readonly path: ReadonlyArray<string> }) =>
    Effect.gen(function* () {
      if (next === undefined) return "end"
      const { client } = yield* Workers
      return yield* Effect.catch(
        client(Counter, next, { timeout: NESTED_TIMEOUT }).Visit({ path: rest }),
        ({ reason }) => Effect.succeed(reason)
      )
    }),
  Chain: ({ left, prefix }: { readonly left: number; readonly prefix: string }) =>
    Effect.gen(function* () {
      if (left === 0) return 1
      const { client } = yield* Workers
      const next = client(Counter, `${prefix}${left - 1}`, { timeout: CHAIN_TIMEOUT })
      return 1 + (yield* Effect.orDie(next.Chain({ prefix, left: left - 1 })))
    }),
  JoinFromHandler: ({ group }: { readonly group: string }, { name }: Process.Self<CounterState>) =>
    Effect.flatMap(Workers, ({ join }) => Effect.orDie(join(group, name))),
  RegisterFromHandler: ({ name }: { readonly name: string }) =>
    Effect.flatMap(
      Workers,
      ({ register }) => Effect.orDie(Effect.map(register(name, Counter, { start: 7 }), ({ epoch }) => epoch))
    )
}

const implementation = {
  init: ({ args }: { readonly args: { readonly start: number } }) =>
    Effect.succeed({ count: args.start, interrupted: 0 }),
  handlers: counterHandlers
}

const journal = Workers.toLayer(Journal, {
  init: () => Effect.succeed<ReadonlyArray<string>>([]),
  handlers: {
    Write: ({ line }, { state }) => Ref.update(state, (lines) => [...lines, line]),
    Read: (_, { state }) => Ref.get(state),
    Pause: ({ millis }) => Effect.sleep(millis)
  }
})

const echo = Workers.toLayer(Echo, {
  init: () => Effect.void,
  handlers: { Say: ({ text }) => Effect.succeed(text) }
})

const starter = Workers.toLayer(Starter, {
  init: ({ args: { init, text }, name }) =>
    Effect.gen(function* () {
      const workers = yield* Workers
      switch (init) {
        case "fail":
          return yield* Effect.fail(`refused: ${text}`)
        case "die":
          return yield* Effect.die(new Error(text))
        case "join":
          yield* workers.join(text, name)
          return text
        case "call":
          return String(yield* workers.client(Counter, text).Get())
        case "register":
          return String((yield* workers.register(text, Counter, { start: 3 })).epoch)
      }
    }),
  handlers: { Get: (_, { state }) => Ref.get(state) }
})

const sleeping = {
  init: ({ args: { millis } }: { readonly args: { readonly millis: number } }) =>
    Effect.as(Effect.sleep(millis), millis),
  handlers: { Get: (_: void, { state }: Process.Self<number>) => Ref.get(state) }
}

/** Hosts Workers. */
export const workersLayer = Workers.layer.pipe(Layer.provide([
  Workers.toLayer(Counter, implementation),
  Workers.toLayer(Permanent, implementation),
  Workers.toLayer(Temporary, implementation),
  Workers.toLayer(Limited, implementation),
  Workers.toLayer(Narrow, implementation),
  Workers.toLayer(Stateless, implementation),
  journal,
  echo,
  starter,
  Workers.toLayer(Hasty, sleeping),
  Workers.toLayer(Sleeper, sleeping)
]))

/** What a counter of Settled answers to messages that go through Workers doesn't matter: it has its own client. */
const settledCounter = Settled.toLayer(Counter, implementation).pipe(Layer.provide(Workers.layerClient))

/** Hosts Settled. */
export const settledLayer = Settled.layer.pipe(Layer.provide(settledCounter))

export type WorkersClient = Context.Service.Shape<typeof Workers>
export type SettledClient = Context.Service.Shape<typeof Settled>
