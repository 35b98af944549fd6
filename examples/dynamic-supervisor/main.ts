/**
 * The example of Swarm.DynamicSupervisor's README: a worker that crashes is restarted under the same name, and unlike
 * there it is still in its groups; so it is when its node is lost. Two nodes in one program.
 *
 *     node examples/dynamic-supervisor/main.ts
 *     deno run -A examples/dynamic-supervisor/main.ts
 *     bun examples/dynamic-supervisor/main.ts
 */
import { Console, Effect, Layer } from "effect"
import { startNode, tell, until, untilHosts } from "../workers/nodes.ts"
import { crash, getFoos, hellos, startWorker, whereis } from "./example-usage.ts"
import { MySupervisor, WorkerLayer } from "./supervisor.ts"

const App = MySupervisor.layer.pipe(Layer.provide(WorkerLayer))
const names = ["worker-1", "worker-2", "worker-3"]

await tell(Effect.gen(function* () {
  const a = yield* startNode("a", App)
  const b = yield* startNode("b", App, "a")
  for (const node of [a, b]) yield* untilHosts(node, MySupervisor, 2)

  const place = (name: string) => Effect.flatMap(a.run(whereis(name)), Effect.fromOption)
  const places = Effect.map(
    Effect.forEach(names, place),
    (refs) => refs.map(({ name, node }) => `${name} on ${node}`).join(", ")
  )
  const says = (name: string) => until(`${name} says hi`, Effect.map(a.run(hellos(name)), (count) => count > 0))

  yield* a.run(Effect.forEach(names, startWorker))
  yield* Console.log(`Three workers, started from node a, all in the group foo: ${yield* places}`)
  for (const name of names) yield* says(name)

  yield* Console.log("worker-1 crashes:")
  const before = yield* place("worker-1")
  const reason = yield* a.run(crash("worker-1"))
  yield* says("worker-1")
  const after = yield* place("worker-1")
  const isNew = after.name === before.name && after.epoch > before.epoch
  yield* Console.log(`its caller was told ${reason}; ${isNew ? "restarted under the same name" : "not restarted"}`)
  yield* Console.log(`members of foo: ${(yield* a.run(getFoos)).join(", ")}`)

  yield* Console.log("Node b is lost:")
  yield* b.kill
  yield* until("all are on a", Effect.map(Effect.forEach(names, place), (all) => all.every(({ node }) => node === "a")))
  for (const name of names) yield* says(name)
  yield* Console.log(yield* places)
  yield* Console.log(`members of foo: ${(yield* a.run(getFoos)).join(", ")}`)
}))
