/**
 * The example of Sworm's README: processes whose state goes on with them when their node shuts down, and nodes that run
 * none of them because they don't start the sworm. Two hosts and a gateway in one program.
 *
 *     node examples/my-processes/main.ts
 *     deno run -A examples/my-processes/main.ts
 *     bun examples/my-processes/main.ts
 */
import { Console, Effect } from "effect"
import { startNode, tell, until, untilHosts } from "../workers/nodes.ts"
import { Gateway, Host } from "./app.ts"
import { MyProcesses, Notebook, Scratchpad } from "./my-processes.ts"
import { countKept, countOn, NAMES, startAll } from "./usage.ts"

await tell(Effect.gen(function* () {
  const a = yield* startNode("a", Host)
  const b = yield* startNode("b", Host, "a")
  const gateway = yield* startNode("gateway", Gateway, "a")
  for (const node of [a, b, gateway]) yield* untilHosts(node, MyProcesses, 2)

  const kinds = [Notebook, Scratchpad]
  const show = Effect.gen(function* () {
    for (const kind of kinds) {
      const counts = yield* Effect.forEach(
        [a, b, gateway],
        ({ id }) => Effect.map(gateway.run(countOn(id, kind)), (count) => `${count} on ${id}`)
      )
      yield* Console.log(`  ${kind.name}: ${counts.join(", ")}`)
    }
  })

  yield* Console.log("Started and written into from the node gateway, which runs none of them:")
  for (const kind of kinds) yield* gateway.run(startAll(kind))
  yield* show

  yield* Console.log("Node b shuts down:")
  yield* b.leave
  for (const kind of kinds) {
    yield* until("gateway knows", Effect.map(gateway.run(countOn("a", kind)), (count) => count === NAMES.length))
  }
  yield* show
  yield* Console.log(
    `Notebooks, with handoff: ${yield* gateway.run(countKept(Notebook))} of ${NAMES.length} have their line.`
  )
  yield* Console.log(
    `Scratchpads, without: ${yield* gateway.run(countKept(Scratchpad))} of ${NAMES.length}, those that stayed on a.`
  )
}))
