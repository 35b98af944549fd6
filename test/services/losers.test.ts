// [H18] Of two copies one ends: its state reaches the other round about, or that is said, and nothing waits for ever.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Supervisor, Sworm } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

/** Its state is as large as it is told to be. */
const Blob = Process.make("Blob", {
  args: { text: Schema.String },
  state: Schema.String,
  protocol: [
    Rpc.make("Grow", { payload: { bytes: Schema.Int } }),
    Rpc.make("Get", { success: Schema.String })
  ]
})

class Blobs extends Sworm.Service<Blobs>()("Blobs", { processes: [Blob], redistribution: "passive" }) {}

const layer = Layer.provide(
  Blobs.layer,
  Blobs.toLayer(Blob, {
    init: ({ args }) => Effect.succeed(args.text),
    resolveConflict: (mine, theirs) => `${mine}+${theirs}`,
    handlers: {
      Grow: ({ bytes }, { state }) => Ref.set(state, "x".repeat(bytes)),
      Get: (_, { state }) => Ref.get(state)
    }
  })
)

/** Two sides that each have the name, with a state of its own. */
const twice = async (seed: number) => {
  const town = new Town({ service: Blobs, layer }, {
    seed,
    settings: { settleTimeout: "3 seconds", maxStateBytes: 1024 * 1024 }
  })
  await town.form("a", "b", "c")
  town.world.network.partition(["a"], ["b", "c"])
  await town.until("they are apart", () => town.status("a", "b") === "dead" && town.status("b", "a") === "dead")
  await town.get("a", (blobs) => blobs.register("one", Blob, { text: "from a" }))
  await town.get("b", (blobs) => blobs.register("one", Blob, { text: "from b" }))
  const lost: Array<string> = []
  for (const id of ["a", "b", "c"]) {
    const services = town.world.nodes.get(id)!.services!
    town.world.run(
      id,
      Stream.runForEach(
        Context.get(services, Supervisor.Supervisor).events,
        (event) =>
          Effect.sync(() => void (event._tag === "StateLost" && lost.push(`${event.ref.name} at ${event.ref.node}`)))
      )
    )
  }
  return { town, lost }
}

describe("[H18] the copy that ends", () => {
  it.each([1, 2, 3])(
    "hands its state over through a third node, where it has no way itself (seed %i)",
    async (seed) => {
      const { lost, town } = await twice(seed)
      // a and c hear each other again, b and c do; a and b, or a and c, do not
      const at = town.whereis("b", "one") === "b" ? "b" : "c"
      const between = at === "b" ? "c" : "b"
      town.world.network.heal("a", between)
      // the one that ends is frozen at first
      await town.untilLasting("one is left", () => town.running().length === 1 && town.isAgreed(), 8000)
      const value = await town.get(between, (blobs) => blobs.client(Blob, "one").Get())
      assert.sameMembers(value.split("+"), ["from a", "from b"])
      assert.deepStrictEqual(lost, [])
    },
    TIMEOUT_MS
  )

  it("ends without it after settleTimeout, and an event says so: it is larger than maxStateBytes", async () => {
    const { lost, town } = await twice(4)
    for (const id of ["a", "b"]) {
      await town.get(id, (blobs) => blobs.client(Blob, "one").Grow({ bytes: 2 * 1024 * 1024 }))
    }
    town.world.network.heal()
    // the one that ends is frozen at first
    await town.untilLasting("one is left", () => town.running().length === 1 && town.isAgreed(), 8000)
    assert.strictEqual(lost.length, 1)
    assert.include(["one at a", "one at b", "one at c"], lost[0])
  }, TIMEOUT_MS)
})
