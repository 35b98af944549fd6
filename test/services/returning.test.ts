// [H24] A node that was cut off for longer than others remember comes back (PROTOCOL R11).
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Stream } from "effect"
import { Supervisor } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { Stage, Thing, thingsOf, TIMEOUT_MS } from "./support.ts"

const settings = { forgetAfter: "5 seconds", tombAge: "2 seconds" } as const

/** c holds three names and is cut off; the others take them over, and unregister one, long before c is back. */
const away = async (onReturn: "register" | "stop", seed: number) => {
  const town = new Town(thingsOf(new Stage(), { redistribution: "passive" }), {
    seed,
    settings: { ...settings, onReturn }
  })
  await town.form("a", "b", "c")
  for (const name of ["kept@c", "ended@c"]) await town.get("a", (things) => things.register(name, Thing, { start: 1 }))
  await town.until("all know", () => ["a", "b", "c"].every((id) => town.names(id).length === 2))
  const returned: Array<unknown> = []
  const { services } = town.world.nodes.get("c")!
  town.world.run(
    "c",
    Stream.runForEach(Context.get(services!, Supervisor.Supervisor).events, (event) =>
      Effect.sync(() => {
        if (event._tag === "Returned") returned.push({ kept: event.kept, stopped: event.stopped })
      }))
  )
  town.world.network.partition(["a", "b"], ["c"])
  await town.until("taken over", () => town.running("a", "b").length === 2)
  await town.get("a", (things) => things.unregister("ended@c"))
  await town.get("c", (things) => things.register("made@c", Thing, { start: 7 }))
  await town.pass(30_000)
  assert.deepStrictEqual(town.status("a", "c"), undefined, "c is forgotten")
  town.world.network.heal()
  await town.until("all see the same", () => town.isAgreed())
  await town.pass(10_000)
  assert.isTrue(town.isAgreed())
  return { town, returned }
}

describe("[H24] a node that everybody has forgotten", () => {
  it.each([1, 2, 3])("registers anew what nobody else has, and gives up what somebody has (seed %i)", async (seed) => {
    const { returned, town } = await away("register", seed)
    // what was unregistered meanwhile runs again: nobody is left who knows
    assert.sameMembers([...town.names("a")], ["ended@c", "kept@c", "made@c"])
    assert.strictEqual(town.running().filter((line) => line.startsWith("kept@c")).length, 1)
    assert.deepStrictEqual(
      await town.get("b", (things) => Effect.exit(things.client(Thing, "made@c").Get())),
      Exit.succeed(7)
    )
    assert.deepStrictEqual(returned, [{ kept: 2, stopped: 1 }])
  }, TIMEOUT_MS)

  it.each([1, 2])("stops all that it runs where it is told to (seed %i)", async (seed) => {
    const { returned, town } = await away("stop", seed)
    assert.sameMembers([...town.names("a")], ["kept@c"])
    assert.deepStrictEqual(town.running("c"), [])
    assert.deepStrictEqual(returned, [{ kept: 0, stopped: 3 }])
  }, TIMEOUT_MS)
})
