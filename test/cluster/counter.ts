/** The sworm that the nodes of these tests host: processes that count. */
import { Effect, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"

export const Counter = Process.make("Counter", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int }),
    // where the handler really runs, whatever the registry says
    Rpc.make("Where", { success: Schema.String }),
    // writes so many lines to the log of its node
    Rpc.make("Chat", { payload: { lines: Schema.Int }, success: Schema.String })
  ]
})

export class Counters extends Sworm.Service<Counters>()("Counters", { processes: [Counter] }) {}

export const CounterLayer = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.succeed(args.start),
  handlers: {
    Increment: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by),
    Get: (_, { state }) => Ref.get(state),
    Where: (_, { node }) => Effect.succeed(node),
    // where the log can't be written, some runtimes' consoles throw: no reason for a process to crash
    Chat: ({ lines }, { node }) =>
      Effect.forEach(
        Array.from({ length: lines }),
        (_, line) => Effect.catchCause(Effect.logInfo(`Line ${line} of many`), () => Effect.void),
        { discard: true }
      ).pipe(Effect.as(node))
  }
})
