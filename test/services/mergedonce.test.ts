// PROTOCOL R7: a winner takes in what each other copy has once, however often it is asked to.
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { steer, TIMEOUT_MS } from "./support.ts"

const Ledger = Process.make("Ledger", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Get", { success: Schema.Int })]
})

it("[R7] [H18] asked again, because its answer was lost, it merges nothing twice", async () => {
  class Ledgers extends Sworm.Service<Ledgers>()("Ledgers", {
    processes: [Ledger],
    placement: steer,
    redistribution: "passive"
  }) {}
  let merges = 0
  const implementation = Ledgers.toLayer(Ledger, {
    init: ({ args }) => Effect.succeed(args.start),
    resolveConflict: (mine, theirs) => {
      merges++
      // its answer, and the news of it, are lost
      town.world.network.cut("a", "b")
      town.world.network.cut("a", "c")
      return mine + theirs
    },
    handlers: { Get: (_, { state }) => Ref.get(state) }
  })
  const app = { service: Ledgers, layer: Layer.provide(Ledgers.layer, implementation) }
  const town: Town<Ledgers, Sworm.SwormClient<typeof Ledger>> = new Town(app, {
    settings: { handoffTimeout: "500 millis" }
  })
  for (const id of ["a", "b", "c"]) town.ids.add(id)
  town.world.network.partition(["a"], ["b", "c"])
  town.start("a", "b", "c")
  await town.until("they are two", () => town.candidates("b").length === 2 && town.candidates("a").length === 1)
  await town.get("a", (ledgers) => ledgers.register("one", Ledger, { start: 10 }))
  await town.pass(50)
  await town.get("b", (ledgers) => ledgers.register("one", Ledger, { start: 1 }))
  town.world.network.heal()
  await town.until("it has merged", () => merges > 0)
  // longer than a loser waits for its answer, not as long as it takes to think the winner dead
  await town.pass(900)
  town.world.network.heal()
  await town.until("one is left", () => town.isTogether() && town.running().length === 1 && town.isAgreed())
  assert.strictEqual(merges, 1)
  assert.strictEqual(await town.get("c", (ledgers) => ledgers.client(Ledger, "one").Get()), 11)
}, TIMEOUT_MS)
