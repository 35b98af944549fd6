/**
 * `MyApp.Worker` of Swarm's README: it says hi on a random recurring interval, and takes the interval along when it
 * moves. The comments name the message that each part was there.
 */
import { Console, Effect, Random, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Process, Sworm } from "@sworm/sworm"

/** The interval is random between these, in ms. Swarm's worker takes up to 5 seconds. */
export const DELAY = { min: 300, max: 900 }

/** What a muted worker answers. */
export class Muted extends Schema.TaggedError<Muted>()("Muted", { name: Schema.String }) {}

/** What a worker tells of itself. */
export const Status = Schema.Struct({
  name: Schema.String,
  node: Schema.String,
  delay: Schema.Int,
  hellos: Schema.Int,
  said: Schema.Array(Schema.String)
})

/** What a worker knows: this goes with it to another node. */
export const State = Schema.Struct({
  delay: Schema.Int,
  hellos: Schema.Int,
  said: Schema.Array(Schema.String),
  muted: Schema.Boolean
})

export const Worker = Process.make("Worker", {
  state: State,
  protocol: [
    Rpc.make("SayHi"),
    Rpc.make("Say", { payload: { text: Schema.String } }),
    Rpc.make("Remind", { payload: { text: Schema.String, after: Schema.Int } }),
    Rpc.make("Mute"),
    Rpc.make("Status", { success: Status, error: Muted }),
    Rpc.make("Crash")
  ],
  restart: "transient"
})

export class Workers extends Sworm.Service<Workers>()("Workers", { processes: [Worker] }) {}

export const WorkerLayer = Workers.toLayer(Worker, {
  // `init/1`, and `{:swarm, :end_handoff, delay}`: a state that was brought by a move is gone on with, whatever `init`
  // answers. The timer came along too, so only a worker that starts anew sets it.
  init: Effect.fnUntraced(function* ({ handoff, timers }) {
    if (handoff !== undefined) return handoff
    const delay = yield* Random.nextIntBetween(DELAY.min, DELAY.max)
    yield* timers.every("SayHi", delay)
    return { delay, hellos: 0, said: [], muted: false }
  }),

  handlers: {
    // `handle_info(:timeout, …)`: the timer's message waits in the mailbox like any other
    SayHi: Effect.fnUntraced(function* (_, { name, state }) {
      if ((yield* Ref.get(state)).muted) return
      yield* Ref.update(state, (now) => ({ ...now, hellos: now.hellos + 1 }))
      yield* Console.log(`${name} says hi!`)
    }),
    Say: Effect.fnUntraced(function* ({ text }, { name, state }) {
      if ((yield* Ref.get(state)).muted) return
      yield* Ref.update(state, (now) => ({ ...now, said: [...now.said, text] }))
      yield* Console.log(`${name} says ${text}`)
    }),
    // a timer has the payload of its message, and belongs to the registration: a crash or a move does not lose it
    Remind: ({ after, text }, { timers }) => timers.after("Say", after, { text }, { id: text }),
    Mute: (_, { state }) => Ref.update(state, (now) => ({ ...now, muted: true })),
    Status: Effect.fnUntraced(function* (_, { name, node, state }) {
      const { delay, hellos, muted, said } = yield* Ref.get(state)
      if (muted) return yield* new Muted({ name })
      return { name, node, delay, hellos, said }
    }),
    Crash: () => Effect.die("crashed as it was told to")
  },

  // `{:swarm, :begin_handoff}`: `Handoff.resume` with a state, `Handoff.restart` or `Handoff.ignore`. To resume with
  // the state as it is would be the default; it stands here because it stands in Swarm's README.
  beginHandoff: ({ state }) => Effect.map(Ref.get(state), Handoff.resume),

  // `{:swarm, :resolve_conflict, …}`: after a split there were two. The one that goes on keeps its own interval, and
  // gets what the other has done meanwhile.
  resolveConflict: (mine, theirs) => ({
    delay: mine.delay,
    hellos: mine.hellos + theirs.hellos,
    said: [...new Set([...mine.said, ...theirs.said])],
    muted: mine.muted && theirs.muted
  }),

  // `{:swarm, :die}`: the place to clean up, and it is told why
  stop: (reason, { name }) => Console.log(`${name} stops here: ${reason}`)
})
