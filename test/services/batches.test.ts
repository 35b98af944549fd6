// Many moves at once: they share frames, and none waits for another (PROTOCOL R6, H7).
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import type { SwormError } from "@sworm/sworm"
import { Channel } from "../../src/protocol/wire.ts"
import { Town } from "./simulated.ts"
import { Stage, Thing, type Things, thingsOf, TIMEOUT_MS } from "./support.ts"

const namesOf = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `n${1000 + i}@a`)

/** Processes on "a", each with a number of its own as its state; their args say 0. */
const filled = async (town: Town<Things>, names: ReadonlyArray<string>): Promise<void> => {
  await town.get("a", (things) =>
    Effect.forEach(
      names,
      (name, i) =>
        Effect.andThen(
          things.register(name, Thing, { start: 0 }),
          things.client(Thing, name).Add({ by: 1 + i })
        ),
      { concurrency: 100, discard: true }
    ))
}

const statesOn = (town: Town<Things>, id: string, names: ReadonlyArray<string>): Promise<ReadonlyArray<number>> =>
  town.get(id, (things) => Effect.forEach(names, (name) => things.client(Thing, name).Get(), { concurrency: 100 }))

const errorOf = (exit: Exit.Exit<unknown, unknown>): SwormError.HandoffError | undefined => {
  const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as SwormError.HandoffError | undefined
  return error?._tag === "HandoffError" ? error : undefined
}

describe("[R6] many processes that move at once", () => {
  it("leave a node in few frames, each with its state", async () => {
    const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive" }))
    const names = namesOf(1000)
    await town.form("a", "b", "c")
    await filled(town, names)
    let frames = 0
    town.world.network.trace(({ channel, from }) => {
      if (channel === Channel.request && from === "a") frames++
    })
    await town.leave("a")
    // an offer and a commit each would be 2,000
    assert.isBelow(frames, 250)
    assert.strictEqual(town.running("b", "c").length, names.length)
    assert.deepStrictEqual(await statesOn(town, "b", names), names.map((_, i) => 1 + i))
  }, TIMEOUT_MS)

  it("do not wait for one whose init takes long over there", async () => {
    const stage = new Stage()
    const slow = "n1007@a"
    const init = ({ handoff, name }: { readonly handoff: number | undefined; readonly name: string }) =>
      name === slow && handoff !== undefined ? stage.pass("init") : Effect.void
    const town = new Town<Things>(thingsOf(stage, { redistribution: "passive", init }))
    const names = namesOf(200)
    await town.form("a", "b")
    await filled(town, names)
    const moves = names.map((name) => town.moving(name, "b", "a"))
    const others = names.filter((name) => name !== slow)
    const tookMs = await town.until(
      "all others serve there",
      () => stage.count("at init") === 1 && moves.filter(({ exit }) => exit !== undefined).length === others.length
    )
    assert.isBelow(tookMs, 1000)
    assert.deepStrictEqual(await statesOn(town, "a", others), others.map((name) => 1 + names.indexOf(name)))
    assert.isUndefined(moves[names.indexOf(slow)]!.exit)
    Effect.runSync(stage.open("init"))
    for (const move of moves) assert.isTrue(Exit.isSuccess(await town.ended(move)))
    assert.deepStrictEqual(await statesOn(town, "a", [slow]), [8])
  }, TIMEOUT_MS)

  it("that are refused go on where they are, each for its own reason", async () => {
    const init = ({ handoff, name }: { readonly handoff: number | undefined; readonly name: string }) =>
      name === "n1001@a" && handoff !== undefined ? Effect.die("no") : Effect.void
    const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive", init }))
    const names = namesOf(4)
    await town.form("a", "b")
    await filled(town, names)
    const exits = []
    for (const move of names.map((name) => town.moving(name, "b", "a"))) exits.push(await town.ended(move))
    assert.deepStrictEqual(exits.map((exit) => errorOf(exit)?.reason), [undefined, "Refused", undefined, undefined])
    assert.deepStrictEqual(await statesOn(town, "b", names), [1, 2, 3, 4])
    assert.strictEqual(errorOf(await town.ended(town.moving("n1001@a", "nowhere", "b")))?.reason, "UnknownNode")
    const twice = [town.moving("n1001@a", "b", "a"), town.moving("n1001@a", "b", "a")]
    const [, second] = [await town.ended(twice[0]!), await town.ended(twice[1]!)]
    assert.strictEqual(errorOf(second!)?.reason, "Busy")
  }, TIMEOUT_MS)

  it.each([5, 15, 25, 35, 45])("run once each when the target dies after %i ms", async (millis) => {
    const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive" }), {
      seed: millis,
      weather: { delay: { minMs: 1, maxMs: 10 } }
    })
    const names = namesOf(300)
    await town.form("a", "b", "c")
    await filled(town, names)
    const moves = names.map((name) => town.moving(name, "b", "a"))
    await town.pass(millis)
    town.world.crash("b")
    const exits = []
    for (const move of moves) exits.push(await town.ended(move))
    await town.untilLasting("one copy each", () => town.running("a", "c").length === names.length && town.isAgreed())
    const states = await statesOn(town, "c", names)
    for (const [i, exit] of exits.entries()) {
      // what did not move has its state still; what did ended with its node, if its source had heard that it serves
      if (Exit.isFailure(exit)) assert.strictEqual(states[i], 1 + i, names[i])
      else assert.include([0, 1 + i], states[i], names[i])
    }
  }, TIMEOUT_MS)

  it.each([5, 15, 25, 35, 45])("run once each when the source dies after %i ms", async (millis) => {
    const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive" }), {
      seed: millis,
      weather: { delay: { minMs: 1, maxMs: 10 } }
    })
    const names = namesOf(300)
    await town.form("a", "b", "c")
    await filled(town, names)
    for (const name of names) town.moving(name, "b", "a")
    await town.pass(millis)
    town.world.crash("a")
    await town.untilLasting("one copy each", () => town.running("b", "c").length === names.length && town.isAgreed())
    for (const [i, state] of (await statesOn(town, "c", names)).entries()) assert.include([0, 1 + i], state)
  }, TIMEOUT_MS)

  it("all arrive over a network that loses, repeats and turns frames round", async () => {
    const town = new Town<Things>(thingsOf(new Stage(), { redistribution: "passive" }))
    const names = namesOf(300)
    await town.form("a", "b")
    await filled(town, names)
    const delay = { minMs: 1, maxMs: 20 }
    town.world.network.change({ delay, loss: 0.1, duplication: 0.1, reordering: 0.3 })
    const moves = names.map((name) => town.moving(name, "b", "a"))
    const exits = []
    for (const move of moves) exits.push(await town.ended(move))
    town.world.network.change({ delay })
    await town.untilLasting("one copy each", () => town.running().length === names.length && town.isAgreed())
    assert.deepStrictEqual(await statesOn(town, "a", names), names.map((_, i) => 1 + i))
    assert.isAbove(exits.filter(Exit.isSuccess).length, names.length / 2)
  }, TIMEOUT_MS)
})
