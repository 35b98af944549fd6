// What a user, or a node of another version, gets wrong: over real sockets, through the public API. Each is a typed error,
// soon, and the cluster goes on.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Discovery, Membership, Node, Process, Sworm, type SwormError, Transport } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import { type Listening, open, waitUntil } from "./support.ts"

const timeout_ms = 60_000
/** Far longer than a test waits: whatever ends sooner did not end by its timeout. */
const PATIENCE = "50 seconds"
const SOON = "10 seconds"
const MAX_FRAME = 64 * 1024

const TooLong = "x".repeat(2 * MAX_FRAME)

// ---- what the host knows

const Thing = Process.make("Thing", {
  args: { size: Schema.Int },
  protocol: [
    Rpc.make("Echo", { payload: { text: Schema.String }, success: Schema.String }),
    Rpc.make("Repeat", { payload: { times: Schema.Int }, success: Schema.String }),
    Rpc.make("Half", { payload: { of: Schema.Int }, success: Schema.Int }),
    Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int })
  ]
})

class Things extends Sworm.Service<Things>()("Things", { processes: [Thing] }) {}

const ThingLayer = Things.toLayer(Thing, {
  init: () => Effect.void,
  handlers: {
    Echo: ({ text }) => Effect.succeed(text),
    Repeat: ({ times }) => Effect.succeed("x".repeat(times)),
    // odd numbers don't fit the schema of the answer
    Half: ({ of }) => Effect.succeed(of / 2),
    Count: ({ to }) => Effect.succeed(to)
  }
})

// ---- what a client of another version believes

const OtherThing = Process.make("Thing", {
  args: { size: Schema.String },
  protocol: [
    Rpc.make("Echo", { payload: { text: Schema.Int }, success: Schema.String }),
    Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Struct({ n: Schema.Int }) }),
    Rpc.make("Unheard", { success: Schema.String })
  ]
})

const Unknown = Process.make("Unknown", { protocol: [Rpc.make("Echo", { success: Schema.String })] })

class OtherThings extends Sworm.Service<OtherThings>()("Things", { processes: [OtherThing, Unknown] }) {}

const build = <A, E>(
  node: Listening,
  id: string,
  seeds: ReadonlyArray<string>,
  app: Layer.Layer<A, E, Sworm.Backend>
) =>
  Layer.build(
    app.pipe(
      Layer.provideMerge(Gossip.layer({ shutdownTimeout: "200 millis" })),
      Layer.provide([
        Layer.succeed(Transport.Transport)(node.transport),
        Discovery.layer(Discovery.seeds(seeds)),
        Node.layer({ id })
      ]),
      Layer.fresh
    )
  )

/** A node that hosts things, and one that only calls them: so every message crosses a socket. */
const clients = Effect.gen(function* () {
  const host = yield* open({ id: "host", maxFrameBytes: MAX_FRAME })
  const caller = yield* open({ id: "caller", maxFrameBytes: MAX_FRAME })
  const hosting = yield* build(host, "host", [], Things.layer.pipe(Layer.provide(ThingLayer)))
  yield* Context.get(hosting, Membership.Membership).awaitSynced
  const calling = yield* build(caller, "caller", [host.address], Things.layerClient)
  yield* Context.get(calling, Membership.Membership).awaitSynced
  const things = Context.get(calling, Things)
  // both have the sworm's id, so they can't be in one context
  const otherContext = yield* Layer.build(OtherThings.layerClient.pipe(Layer.provide(Layer.succeedContext(calling))))
  const others = Context.get(otherContext, OtherThings)
  yield* things.register("thing", Thing, { size: 1 })
  let round = 0
  /** Both nodes are members, still connected, and serve. */
  const goesOn = Effect.gen(function* () {
    const name = `after-${round++}`
    const ref = yield* soon(things.register(name, Thing, { size: 1 }))
    assert.strictEqual(ref.node, "host")
    assert.strictEqual(yield* soon(things.client(Thing, name).Echo({ text: "ok" })), "ok")
    assert.strictEqual(yield* soon(things.client(Thing, "thing").Echo({ text: "ok" })), "ok")
    const onHost = Context.get(hosting, Things)
    const near = yield* soon(onHost.register(`${name}-near`, Thing, { size: 1 }))
    yield* waitUntil(
      "the caller knows it",
      Effect.map(things.registered, (refs) => refs.some(({ name }) => name === near.name))
    )
    assert.deepStrictEqual(host.reported.down, [])
    assert.deepStrictEqual(caller.reported.down, [])
  })
  return { things, others, onHost: Context.get(hosting, Things), goesOn }
})

const soon = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Error> =>
  Effect.timeoutOrElse(effect, { duration: SOON, orElse: () => Effect.fail(new Error(`Not done within ${SOON}`)) })

/** The typed failure of something that has to fail soon. */
const failure = <A, E extends SwormError.RegisterError | SwormError.CallError | SwormError.NotRegistered>(
  effect: Effect.Effect<A, E>
): Effect.Effect<{ readonly _tag: string; readonly reason?: string; readonly message: string }, A> =>
  Effect.flip(soon(effect)) as never

/** What a program without types, or with a lie in them, passes. */
const lie = <A>(value: unknown): A => value as A

describe("a registration", () => {
  it.live("of a process type that no host knows: Unavailable", () =>
    Effect.gen(function* () {
      const { goesOn, others } = yield* clients
      const error = yield* failure(others.register("unknown", Unknown, {}))
      assert.strictEqual(error._tag, "Unavailable", error.message)
      assert.include(error.message, "Unknown")
      yield* goesOn
    }), timeout_ms)

  it.live("of a process type that the sworm does not have: InvalidInput", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      const error = yield* failure(things.register("unknown", lie<typeof Thing>(Unknown), { size: 1 }))
      assert.strictEqual(error._tag, "InvalidInput", error.message)
      yield* goesOn
    }), timeout_ms)

  it.live("with args that do not encode: InvalidInput", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      for (const args of [{ size: "big" }, { size: 1.5 }, {}, null, undefined, 7]) {
        const error = yield* failure(things.register("thing-2", Thing, lie(args)))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      yield* goesOn
    }), timeout_ms)

  it.live("with args that the host cannot decode: StartFailed", () =>
    Effect.gen(function* () {
      const { goesOn, others, things } = yield* clients
      const error = yield* failure(others.register("thing-2", OtherThing, { size: "big" }))
      assert.strictEqual(error._tag, "StartFailed", error.message)
      assert.isTrue((yield* things.whereis("thing-2"))._tag === "None")
      yield* goesOn
    }), timeout_ms)

  it.live("under a name that is none: InvalidInput", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      for (const name of ["", "x".repeat(513), "ü".repeat(300)]) {
        const error = yield* failure(things.register(name, Thing, { size: 1 }))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      for (const group of ["", "x".repeat(513)]) {
        const error = yield* failure(Effect.mapError(things.join(group, "thing"), (e) => e as SwormError.InvalidInput))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      yield* goesOn
    }), timeout_ms)

  it.live("under a name that is no text, from a program without types: InvalidInput", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      for (const name of [7, undefined, null, { name: "x" }]) {
        const error = yield* failure(things.register(lie(name), Thing, { size: 1 }))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      yield* goesOn
    }), timeout_ms)

  it.live("with metadata larger than a frame, from either node: InvalidInput", () =>
    Effect.gen(function* () {
      const { goesOn, onHost, things } = yield* clients
      for (const client of [things, onHost]) {
        const error = yield* failure(client.register("heavy", Thing, { size: 1 }, { metadata: TooLong }))
        assert.strictEqual(error._tag, "InvalidInput", error.message)
      }
      yield* goesOn
    }), timeout_ms)
})

describe("a call", () => {
  it.live("with a payload that does not fit: Encoding", () =>
    Effect.gen(function* () {
      const { goesOn, others, things } = yield* clients
      const patient = { timeout: PATIENCE } as const
      const here = yield* failure(things.call(Thing, "thing", "Echo", lie({ text: 7 }), patient))
      assert.strictEqual(here.reason, "Encoding", here.message)
      const there = yield* failure(others.call(OtherThing, "thing", "Echo", { text: 7 }, patient))
      assert.strictEqual(there.reason, "Encoding", there.message)
      const cast = yield* failure(things.cast(Thing, "thing", "Echo", lie({ text: 7 })))
      assert.strictEqual(cast.reason, "Encoding", cast.message)
      yield* goesOn
    }), timeout_ms)

  it.live("of a message that the process does not have: UnknownMessage", () =>
    Effect.gen(function* () {
      const { goesOn, others, things } = yield* clients
      const here = yield* failure(things.call(Thing, "thing", lie<"Echo">("Nothing"), { text: "" }))
      assert.strictEqual(here.reason, "UnknownMessage", here.message)
      const there = yield* failure(others.call(OtherThing, "thing", "Unheard", undefined, { timeout: PATIENCE }))
      assert.strictEqual(there.reason, "UnknownMessage", there.message)
      yield* goesOn
    }), timeout_ms)

  it.live("whose answer does not fit, there or here: Encoding", () =>
    Effect.gen(function* () {
      const { goesOn, others, things } = yield* clients
      const there = yield* failure(things.call(Thing, "thing", "Half", { of: 3 }, { timeout: PATIENCE }))
      assert.strictEqual(there.reason, "Encoding", there.message)
      const here = yield* failure(others.call(OtherThing, "thing", "Count", { to: 3 }, { timeout: PATIENCE }))
      assert.strictEqual(here.reason, "Encoding", here.message)
      yield* goesOn
    }), timeout_ms)

  it.live("with a payload larger than a frame: Encoding, at once", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      const error = yield* failure(things.call(Thing, "thing", "Echo", { text: TooLong }, { timeout: PATIENCE }))
      assert.strictEqual(error._tag, "CallError", error.message)
      assert.strictEqual(error.reason, "Encoding", error.message)
      yield* goesOn
    }), timeout_ms)

  it.live("whose answer is larger than a frame: Encoding, at once", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      const error = yield* failure(
        things.call(Thing, "thing", "Repeat", { times: TooLong.length }, { timeout: PATIENCE })
      )
      assert.strictEqual(error.reason, "Encoding", error.message)
      yield* goesOn
    }), timeout_ms)

  it.live("of a cast larger than a frame: answers false, or Encoding", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      const sent = yield* soon(Effect.result(things.cast(Thing, "thing", "Echo", { text: TooLong })))
      if (sent._tag === "Success") assert.isFalse(sent.success)
      else assert.strictEqual((sent.failure as SwormError.CallError).reason, "Encoding")
      yield* goesOn
    }), timeout_ms)

  it.live("to a name that nobody has: NotRegistered", () =>
    Effect.gen(function* () {
      const { goesOn, things } = yield* clients
      const error = yield* failure(things.call(Thing, "nobody", "Echo", { text: "" }, { timeout: PATIENCE }))
      assert.strictEqual(error.reason, "NotRegistered", error.message)
      assert.isFalse(yield* soon(things.cast(Thing, "nobody", "Echo", { text: "" })))
      const gone = yield* failure(Effect.mapError(things.unregister("nobody"), (e) => e as SwormError.NotRegistered))
      assert.strictEqual(gone._tag, "NotRegistered")
      yield* goesOn
    }), timeout_ms)
})
