/**
 * A process with a storage of its own, and a split: both sides run a copy of it, both want to write, and no cent is lost
 * or made. Two nodes in one program, and a database in SQLite.
 *
 *     node examples/fenced/main.ts
 *     deno run -A examples/fenced/main.ts
 *     bun examples/fenced/main.ts
 */
import { Console, Effect, Layer } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { type RunningNode, startNode, tell, until, untilHosts } from "../workers/nodes.ts"
import { AccountLayer, Accounts } from "./account.ts"
import { deposit, homeOf, open, read } from "./bank.ts"
import { layerSqlite } from "./sqlite.ts"

type Node = RunningNode<Accounts>

const ADA = "ada"

/** What was acknowledged to those who paid in. */
let acknowledged = 0

const pay = Effect.fnUntraced(function* (node: Node, who: string, cents: number) {
  const outcome = yield* node.run(deposit(ADA, cents)).pipe(
    Effect.map((after) => {
      acknowledged += cents
      return `done, there are ${after.cents}`
    }),
    Effect.catchTag("StaleToken", () => Effect.succeed("refused: a later copy has written"))
  )
  yield* Console.log(`  ${who}: ${cents} cents, ${outcome}`)
})

const split = Effect.fnUntraced(function* (old: Node, late: Node) {
  yield* Console.log("The network splits. The other node thinks the first is dead, and starts the account again:")
  const network = yield* VirtualNetwork.VirtualNetwork
  network.partition([old.id], [late.id])
  yield* until("the other side has it", Effect.map(late.run(homeOf(ADA)), (home) => home === late.id))
  yield* pay(old, "old copy", 10)
  yield* Console.log("The new copy has not written yet, so that was fine; and it is not lost:")
  yield* pay(late, "new copy", 200)
  yield* Console.log("From now on the old copy is too late, though it knows of no other:")
  yield* pay(old, "old copy", 3000)
  yield* pay(late, "new copy", 200)
  yield* pay(old, "old copy", 3000)

  yield* Console.log("The network heals: one copy stays, and whoever was refused pays again:")
  network.heal()
  for (const node of [old, late]) {
    const isLate = Effect.map(node.run(homeOf(ADA)), (home) => home === late.id)
    yield* until(`${node.id} knows the one that stays`, isLate)
  }
  yield* pay(old, "the copy", 3000)
})

await tell(Effect.gen(function* () {
  // one database for all nodes; on several machines it would be one that they all reach
  const store = yield* Layer.build(layerSqlite(":memory:"))
  const App = Accounts.layer.pipe(Layer.provide(AccountLayer), Layer.provide(Layer.succeedContext(store)))
  const a = yield* startNode("a", App)
  const b = yield* startNode("b", App, "a")
  for (const node of [a, b]) yield* untilHosts(node, Accounts, 2)

  yield* Console.log("An account is opened, and both nodes pay in:")
  const { node: home } = yield* a.run(open(ADA))
  const [old, late] = home === "a" ? [a, b] : [b, a]
  yield* pay(a, "the copy", 100)
  yield* pay(b, "the copy", 100)
  yield* split(old, late)

  const { cents, deposits } = yield* a.run(read(ADA))
  yield* Console.log(`${deposits} deposits were acknowledged, ${acknowledged} cents; stored are ${cents}.`)
}))
