/**
 * `MyApp.Listener` of Swarm's first README, `MyApp.ExampleUsages` of the later ones: what a program does with workers,
 * the same on every node.
 */
import { Effect, Exit } from "effect"
import { Worker, Workers } from "./worker.ts"

const FOO = "foo"

/** Starts a worker under a name that is its own in the whole cluster, and makes it a member of the group `foo`. */
export const startWorker = Effect.fn("startWorker")(function* (name: string) {
  const workers = yield* Workers
  const ref = yield* workers.register(name, Worker, {})
  yield* workers.join(FOO, name)
  return ref
})

/** Who has the name: not a pid but a reference, with the node and the epoch. */
export const getWorker = Effect.fn("getWorker")(function* (name: string) {
  return yield* (yield* Workers).whereis(name)
})

/** The members of the group `foo`. */
export const getFoos = Effect.gen(function* () {
  return yield* (yield* Workers).members(FOO)
})

/** Calls a worker by name and waits for its answer. */
export const callWorker = Effect.fn("callWorker")(function* (name: string) {
  return yield* (yield* Workers).call(Worker, name, "Status", undefined)
})

/** Tells a worker something and waits for nothing. `false`: there is none of that name. */
export const castWorker = Effect.fn("castWorker")(function* (name: string, text: string) {
  return yield* (yield* Workers).cast(Worker, name, "Say", { text })
})

/** Tells it every member of `foo`; answers how many it was sent to. */
export const publishFoos = Effect.fn("publishFoos")(function* (text: string) {
  return yield* (yield* Workers).publish(Worker, FOO, "Say", { text })
})

/** Calls every member of `foo`. A member that failed is one failed result, filtered out here as Swarm does. */
export const callFoos = Effect.gen(function* () {
  const results = yield* (yield* Workers).multicall(Worker, FOO, "Status", undefined)
  return results.flatMap(({ exit }) => Exit.isSuccess(exit) ? [exit.value] : [])
})
