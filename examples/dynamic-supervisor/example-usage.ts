/** `MyApp.ExampleUsage` of Swarm.DynamicSupervisor's README; and the groups that were left for later there. */
import { Effect } from "effect"
import { MySupervisor, startChild, Worker } from "./supervisor.ts"

const FOO = "foo"

/** Starts a worker and makes it a member of the group `foo`. */
export const startWorker = Effect.fn("startWorker")(function* (name: string) {
  const ref = yield* startChild(name)
  yield* (yield* MySupervisor).join(FOO, name)
  return ref
})

/** Crashes a worker. The caller is told: its call fails with the reason `Crashed`, which it gets as the answer here. */
export const crash = Effect.fn("crash")(function* (name: string) {
  const { reason } = yield* Effect.flip((yield* MySupervisor).client(Worker, name).Crash())
  return reason
})

/** How often a worker has said hi since it was started last. */
export const hellos = Effect.fn("hellos")(function* (name: string) {
  return yield* (yield* MySupervisor).client(Worker, name).Hellos()
})

/** Who has the name. */
export const whereis = Effect.fn("whereis")(function* (name: string) {
  return yield* (yield* MySupervisor).whereis(name)
})

/** The names of the members of the group `foo`. */
export const getFoos = Effect.gen(function* () {
  return (yield* (yield* MySupervisor).members(FOO)).map(({ name }) => name)
})
