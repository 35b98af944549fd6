/** A registration whose answer is lost may have been made: what its caller is told afterwards must not deny it. */
import { assert, describe, it } from "@effect/vitest"
import { failureOf, Town } from "./simulated.ts"
import { Stage, Thing, thingsOf, TIMEOUT_MS } from "./support.ts"

const townOf = (seed: number) => new Town(thingsOf(new Stage(), { redistribution: "passive" }), { seed })

/** Three nodes; what b says never comes to a, nor what a says to c. */
const deaf = async (seed: number) => {
  const town = townOf(seed)
  await town.form("a", "b", "c")
  const name = town.nameAt("b", (n) => `one ${n}@b`)
  await town.get("b", (things) => things.register(name, Thing, { start: 1 }))
  await town.until("all know it", () => ["a", "c"].every((id) => town.whereis(id, name) === "b"))
  town.world.network.cut("a", "c")
  town.world.network.cut("b", "a")
  return { name, town }
}

describe("[H12] a registration whose answer is lost", () => {
  it.each([1, 2, 3, 4])(
    "[H12] is not refused for an earlier one, of whose end its caller can't hear (seed %i)",
    async (seed) => {
      const { name, town } = await deaf(seed)
      await town.get("b", (things) => things.unregister(name))
      const asking = town.begin("a", (things) => things.register(name, Thing, { start: 2 }))
      await town.until("b has made it", () => town.running("b").length === 1)
      assert.strictEqual(failureOf(await town.ended(asking)), "Unavailable")
      town.world.network.heal()
      await town.until("it is known to all", () => town.isTogether() && town.isAgreed())
      assert.strictEqual(town.running().length, 1)
    },
    TIMEOUT_MS
  )

  it.each([1, 2, 3, 4])(
    "[H12] is refused for a copy that has been there all the while, whoever does not answer (seed %i)",
    async (seed) => {
      const town = townOf(seed)
      await town.form("a", "b", "c")
      const name = town.nameAt("b", (n) => `one ${n}@c`)
      await town.get("c", (things) => things.register(name, Thing, { start: 1 }))
      await town.until("a knows it", () => town.whereis("a", name) === "c")
      town.world.network.cut("b", "a")
      const asking = town.begin("a", (things) => things.register(name, Thing, { start: 2 }))
      await town.pass(1)
      town.world.crash("b")
      assert.strictEqual(failureOf(await town.ended(asking)), "NameTaken")
    },
    TIMEOUT_MS
  )

  it.each([1, 2, 3, 4])(
    "[H12] and whose registrar can be asked again, gets the ref that it was given (seed %i)",
    async (seed) => {
      const town = townOf(seed)
      await town.form("a", "b", "c")
      const name = town.nameAt("b", (n) => `one ${n}@c`)
      town.world.network.cut("b", "a")
      const asking = town.begin("a", (things) => things.register(name, Thing, { start: 2 }))
      await town.until("it is made", () => town.running("c").length === 1)
      town.world.network.heal()
      assert.isUndefined(failureOf(await town.ended(asking)))
      assert.strictEqual(town.whereis("a", name), "c")
    },
    TIMEOUT_MS
  )
})

/** Node a has asked b to end the first registration of a name; b has, and its answer is lost. */
const unanswered = async (seed: number) => {
  const town = townOf(seed)
  await town.form("a", "b", "c")
  const name = town.nameAt("b", (n) => `one ${n}@b`)
  await town.get("b", (things) => things.register(name, Thing, { start: 1 }))
  await town.until("all know it", () => ["a", "c"].every((id) => town.whereis(id, name) === "b"))
  town.world.network.change({ delay: { minMs: 50, maxMs: 50 } })
  const asking = town.begin("a", (things) => things.unregister(name))
  await town.until("b has ended it", () => town.running("b").length === 0)
  town.world.network.cut("b", "a")
  return { asking, name, town }
}

describe("[R2] an unregister whose answers are lost", () => {
  it.each([1, 2, 3, 4])(
    "[R2] is done once its caller hears from others that the registration has ended (seed %i)",
    async (seed) => {
      const { asking, name, town } = await unanswered(seed)
      await town.get("c", (things) => things.register(name, Thing, { start: 2 }))
      assert.isUndefined(failureOf(await town.ended(asking)))
      town.world.network.heal()
      await town.until("all agree", () => town.isTogether() && town.isAgreed())
      assert.strictEqual(town.running(town.whereis("c", name)!).length, 1)
    },
    TIMEOUT_MS
  )
})
