/**
 * `MyApp.Supervisor` and `MyApp.Worker` of Swarm.DynamicSupervisor's README: workers that are started under a name, and
 * restarted under it when they crash.
 */
import { Console, Effect, Random, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"

/** The interval is random between these, in ms. */
export const DELAY = { min: 300, max: 900 }

export const Worker = Process.make("Worker", {
  state: Schema.Struct({ delay: Schema.Int, hellos: Schema.Int }),
  protocol: [Rpc.make("SayHi"), Rpc.make("Hellos", { success: Schema.Int }), Rpc.make("Crash")],
  restart: "transient",
  // each worker has its own count; past it the worker is given up, and its name is free
  restartLimit: { max: 3, within: "5 seconds" }
})

/** A sworm is a supervisor and a registry in one: there is no child spec, and the id of a child is its name. */
export class MySupervisor extends Sworm.Service<MySupervisor>()("MySupervisor", { processes: [Worker] }) {}

export const WorkerLayer = MySupervisor.toLayer(Worker, {
  init: Effect.fnUntraced(function* ({ handoff, timers }) {
    if (handoff !== undefined) return handoff
    const delay = yield* Random.nextIntBetween(DELAY.min, DELAY.max)
    yield* timers.every("SayHi", delay)
    return { delay, hellos: 0 }
  }),
  handlers: {
    SayHi: Effect.fnUntraced(function* (_, { name, state }) {
      yield* Ref.update(state, (now) => ({ ...now, hellos: now.hellos + 1 }))
      yield* Console.log(`${name} says hi!`)
    }),
    Hellos: (_, { state }) => Effect.map(Ref.get(state), ({ hellos }) => hellos),
    // crash process for testing
    Crash: () => Effect.die("crash")
  }
})

/** Starts a worker somewhere in the cluster; its name is its own everywhere. */
export const startChild = Effect.fn("startChild")(function* (name: string) {
  return yield* (yield* MySupervisor).register(name, Worker, {})
})
