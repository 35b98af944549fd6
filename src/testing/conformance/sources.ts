/** A sworm of processes that answer with streams, call round circles, or do what they were made for when asked. */
import { Effect, Layer, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import * as Process from "../../Process.ts"
import * as Sworm from "../../Sworm.ts"
import { Refused, steered } from "./sworms.ts"

const Tally = Schema.Struct({ produced: Schema.Int, ended: Schema.Int })

/** Answers with streams, and counts what they have given and how many have ended. */
export const Source = Process.make("Source", {
  state: Tally,
  protocol: [
    Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
    /** So many texts of a size. */
    Rpc.make("Pages", { payload: { count: Schema.Int, size: Schema.Int }, success: Schema.String, stream: true }),
    /** One number, and then nothing for ever. */
    Rpc.make("Hang", { success: Schema.Int, stream: true }),
    /** Numbers up to a number, and then a failure. */
    Rpc.make("Refuse", { payload: { after: Schema.Int }, success: Schema.Int, error: Refused, stream: true }),
    /** Numbers up to a number, and then a defect. */
    Rpc.make("Break", { payload: { after: Schema.Int }, success: Schema.Int, stream: true }),
    Rpc.make("Tally", { success: Tally }),
    Rpc.make("Stop"),
    Rpc.make("Crash")
  ]
})

const looping = <const Name extends string>(name: Name, options: Process.ProcessOptions) =>
  Process.make(name, {
    ...options,
    state: Schema.Int,
    protocol: [
      /** Calls along a path and answers what the last one says: "end", or the reason of the first failed call. */
      Rpc.make("Visit", { payload: { path: Schema.Array(Schema.String) }, success: Schema.String }),
      Rpc.make("Visits", { success: Schema.Int })
    ]
  })

export const Loop = looping("Loop", { reentrant: true })
export const Straight = looping("Straight", {})

/** Does with `Ask` what its args say. */
export const Member = Process.make("Member", {
  args: { does: Schema.Literals(["answer", "refuse", "die", "wait"]) },
  state: Schema.Int,
  protocol: [
    Rpc.make("Ask", { success: Schema.String, error: Refused }),
    Rpc.make("Tell"),
    Rpc.make("Told", { success: Schema.Int }),
    Rpc.make("Data", {
      payload: { data: Schema.Unknown, bytes: Schema.Uint8Array },
      success: Schema.Struct({ data: Schema.Unknown, bytes: Schema.Uint8Array })
    })
  ],
  mailboxCapacity: 4
})

export class Sources extends Sworm.Service<Sources>()("conformance/Sources", {
  processes: [Source, Loop, Straight, Member],
  placement: steered,
  mailboxCapacity: 3
}) {}

type SourceSelf = Process.Self<typeof Tally.Type>

const counted = <A, E>({ state }: SourceSelf, stream: Stream.Stream<A, E>): Stream.Stream<A, E> =>
  stream.pipe(
    Stream.tap(() => Ref.update(state, (tally) => ({ ...tally, produced: tally.produced + 1 }))),
    Stream.ensuring(Ref.update(state, (tally) => ({ ...tally, ended: tally.ended + 1 })))
  )

const source = Sources.toLayer(Source, {
  init: () => Effect.succeed({ produced: 0, ended: 0 }),
  handlers: {
    // by the hundred, as most sources give: counted one by one they would also be sent one by one
    Count: ({ to }, self) => Stream.rechunk(counted(self, Stream.range(1, to)), 100),
    Pages: ({ count, size }, self) => {
      const page = (i: number) => String(i).padEnd(size, ".")
      return counted(self, Stream.map(Stream.rechunk(Stream.range(0, count - 1), 1), page))
    },
    Hang: (_, self) => counted(self, Stream.concat(Stream.succeed(1), Stream.never)),
    Refuse: ({ after }, self) =>
      counted(self, Stream.concat(Stream.range(1, after), Stream.fail({ _tag: "Refused" as const, code: after }))),
    Break: ({ after }, self) => counted(self, Stream.concat(Stream.range(1, after), Stream.die(new Error("broken")))),
    Tally: (_, { state }) => Ref.get(state),
    Stop: (_, self) => self.stop,
    Crash: () => Effect.die(new Error("crash on purpose"))
  }
})

const loop = (type: typeof Loop | typeof Straight) => ({
  init: () => Effect.succeed(0),
  handlers: {
    Visit: ({ path: [next, ...rest] }: { readonly path: ReadonlyArray<string> }, { state }: Process.Self<number>) =>
      Effect.gen(function* () {
        yield* Ref.update(state, (visits) => visits + 1)
        if (next === undefined) return "end"
        const { client } = yield* Sources
        const answer = client(type, next, { timeout: "10 seconds" }).Visit({ path: rest })
        return yield* Effect.catch(answer, ({ reason }) => Effect.succeed(reason))
      }),
    Visits: (_: void, { state }: Process.Self<number>) => Ref.get(state)
  }
})

const member = Sources.toLayer(Member, {
  // what it was made for is its state, below zero; above, how often it was told something
  init: ({ args: { does } }) => Effect.succeed(does === "answer" ? 0 : -["refuse", "die", "wait"].indexOf(does) - 1),
  handlers: {
    Ask: (_, { name, state }) =>
      Effect.flatMap(Ref.get(state), (does) => {
        if (does === -1) return Effect.fail({ _tag: "Refused" as const, code: 1 })
        if (does === -2) return Effect.die(new Error("crash on purpose"))
        return does === -3 ? Effect.never : Effect.succeed(name)
      }),
    Tell: (_, { state }) => Ref.update(state, (times) => times + 1),
    Told: (_, { state }) => Ref.get(state),
    Data: (payload) => Effect.succeed(payload)
  }
})

/** Hosts Sources. */
export const sourcesLayer = Sources.layer.pipe(Layer.provide([
  source,
  Sources.toLayer(Loop, loop(Loop)),
  Sources.toLayer(Straight, loop(Straight)),
  member
]))
