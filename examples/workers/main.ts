/**
 * The example of Swarm's README: workers that say hi, spread over a cluster, found by name from anywhere. Three nodes
 * in one program; a worker crashes, a node leaves, the network splits and heals, and the workers go on.
 *
 *     node examples/workers/main.ts
 *     deno run -A examples/workers/main.ts
 *     bun examples/workers/main.ts
 */
import { Console, Effect, Layer } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { callFoos, callWorker, castWorker, getFoos, getWorker, publishFoos, startWorker } from "./listener.ts"
import { type RunningNode, startNode, tell, until, untilHosts } from "./nodes.ts"
import { Worker, WorkerLayer, Workers } from "./worker.ts"

const App = Workers.layer.pipe(Layer.provide(WorkerLayer))
const names = ["worker-1", "worker-2", "worker-3"]

type Node = RunningNode<Workers>

/** Where each worker is, as a node knows it. */
const places = (node: Node) =>
  node.run(
    Effect.forEach(names, (name) =>
      Effect.map(Effect.flatMap(getWorker(name), Effect.fromOption), (ref) => `${name} on ${ref.node}`))
  )

const hellos = (name: string) => Effect.map(callWorker(name), (status) => status.hellos)

const together = Effect.fnUntraced(function* (a: Node, b: Node) {
  yield* Console.log("Three workers are started from node a, and found from node b:")
  yield* a.run(Effect.forEach(names, startWorker))
  yield* Console.log((yield* places(b)).join(", "))
  for (const name of names) yield* until(`${name} says hi`, Effect.map(b.run(hellos(name)), (count) => count > 0))

  yield* Console.log("A cast to one, a message to all members of foo, a call of all with one failure:")
  yield* b.run(castWorker("worker-1", "one cast"))
  const sent = yield* b.run(publishFoos("a message to foo"))
  yield* b.run(Effect.flatMap(Workers, (workers) => workers.client(Worker, "worker-3").Mute()))
  const answers = yield* b.run(callFoos)
  yield* Console.log(`published to ${sent}, ${answers.length} answered: worker-3 is muted`)
})

const crash = Effect.fnUntraced(function* (a: Node) {
  yield* Console.log("worker-3 is to be reminded, and crashes: its timer stays, and so does its place in foo:")
  const worker = yield* a.run(Effect.map(Workers, (workers) => workers.client(Worker, "worker-3")))
  const reminding = worker.Remind({ text: "the reminder", after: 500 })
  const [, { reason }] = yield* Effect.all([reminding, Effect.flip(worker.Crash())], { concurrency: "unbounded" })
  const said = Effect.map(a.run(callWorker("worker-3")), (status) => status.said)
  yield* until("worker-3 is reminded", Effect.map(said, (all) => all.includes("the reminder")))
  yield* Console.log(`the call failed with ${reason}; members of foo: ${(yield* a.run(getFoos)).length}`)
})

const handoff = Effect.fnUntraced(function* (a: Node, leaving: Node) {
  yield* Console.log(`Node ${leaving.id} leaves: its workers go on elsewhere with their delay, and say hi as before:`)
  const before = yield* a.run(callFoos)
  const moving = before.filter(({ node }) => node === leaving.id)
  yield* leaving.leave
  for (const { hellos: said, name } of moving) {
    yield* until(`${name} says hi again`, Effect.map(a.run(hellos(name)), (count) => count > said))
  }
  const delays = (all: typeof before) => all.map(({ delay, name, node }) => `${name} on ${node} ${delay}`).join(", ")
  yield* Console.log(`delays before: ${delays(before)}`)
  yield* Console.log(`delays after:  ${delays(yield* a.run(callFoos))}`)
})

const split = Effect.fnUntraced(function* (a: Node, b: Node) {
  yield* Console.log("The network splits: each side has all workers, and each tells them something:")
  const network = yield* VirtualNetwork.VirtualNetwork
  network.partition([a.id], [b.id])
  for (const side of [a, b]) {
    const isComplete = Effect.map(side.run(getFoos), (all) => all.every(({ node }) => node === side.id))
    yield* until(`${side.id} has all workers`, isComplete)
    yield* side.run(publishFoos(`what ${side.id} knows`))
    yield* until(`all on ${side.id} have heard it`, haveHeard(side, [side]))
  }
  yield* Console.log("It heals: one copy of each worker stays, and knows what both were told:")
  network.heal()
  yield* until("all have heard both", haveHeard(b, [a, b]))
})

/** Have all workers that a node reaches heard what was told on these sides? */
const haveHeard = (node: Node, sides: ReadonlyArray<Node>) =>
  Effect.map(
    node.run(callFoos),
    (all) =>
      all.length === names.length && all.every(({ said }) => sides.every(({ id }) => said.includes(`what ${id} knows`)))
  )

await tell(Effect.gen(function* () {
  const a = yield* startNode("a", App)
  const b = yield* startNode("b", App, "a")
  const c = yield* startNode("c", App, "a")
  for (const node of [a, b, c]) yield* untilHosts(node, Workers, 3)
  yield* together(a, b)
  yield* crash(a)
  yield* handoff(a, c)
  yield* split(a, b)
  yield* Console.log("The workers are unregistered, which ends them:")
  for (const name of names) yield* a.run(Effect.flatMap(Workers, (workers) => workers.unregister(name)))
  yield* Console.log(`${(yield* a.run(getFoos)).length} workers are left. The end.`)
}))
