// What a cluster keeps and sends does not grow with its history, and what is sent is what lacks, not everything.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { Channel } from "../../src/protocol/wire.ts"
import { Town, type TownOptions } from "./simulated.ts"
import { Stage, Thing, type Things, type ThingsClient, thingsOf, TIMEOUT_MS } from "./support.ts"

/** Counts the bytes of replication that arrive at a node. */
const counting = (town: Town<Things>, at: string) => {
  const counted = { bytes: 0, largest: 0, frames: 0 }
  town.world.network.trace(({ body, channel, to }) => {
    if (channel !== Channel.sync || to !== at) return
    counted.bytes += body.length
    counted.frames++
    counted.largest = Math.max(counted.largest, body.length)
  })
  return counted
}

/** What there is to tell a newcomer, in bytes: all of it fits one frame, however often that is sent. */
const told = async (town: Town<Things>, id: string): Promise<number> => {
  const counted = counting(town, id)
  await town.form(id)
  const { largest } = counted
  await town.leave(id)
  await town.together()
  return largest
}

const names = Array.from({ length: 20 }, (_, i) => `n${10 + i}@a`)

const rested = (town: Town<Things>) =>
  town.until("all is as before", () => town.isAgreed() && town.running().length === names.length)

describe("[D14] what is kept", () => {
  type Doing = (town: Town<Things>, round: number) => Promise<unknown>
  const each = (
    town: Town<Things>,
    asked: string,
    ask: (things: ThingsClient, name: string) => Effect.Effect<unknown, unknown>
  ) => town.get(asked, (things) => Effect.forEach(names, (name) => Effect.exit(ask(things, name)), { concurrency: 20 }))
  const churn: ReadonlyArray<readonly [what: string, Doing, restMinutes: number]> = [
    ["metadata set anew", (town, round) => each(town, "b", (things, name) => things.setMetadata(name, round)), 3],
    ["groups joined and left", async (town) => {
      await each(town, "b", (things, name) => things.join("red", name))
      await each(town, "a", (things, name) => things.leave("red", name))
    }, 3],
    ["processes crash", (town) => each(town, "b", (things, name) => things.client(Thing, name).Crash({ bytes: 1 })), 3],
    ["processes move to and fro", async (town, round) => {
      const moving = names.map((name) => town.moving(name, round % 2 === 0 ? "b" : "a", "a"))
      for (const one of moving) assert.isTrue(Exit.isSuccess(await town.ended(one)))
    }, 3],
    ["other names come and go", async (town, round) => {
      const others = Array.from({ length: 10 }, (_, i) => `gone ${round} ${i}@b`)
      for (const name of others) await town.get("a", (things) => things.register(name, Thing, { start: 0 }))
      for (const name of others) await town.get("b", (things) => things.unregister(name))
    }, 15],
    ["calls", (town) => each(town, "b", (things, name) => things.client(Thing, name).Add({ by: 1 })), 3]
  ]
  it.each(churn)("[D14] is as much after many rounds as after two: %s", async (_, churn, restMinutes) => {
    const stage = new Stage()
    const app = thingsOf(stage, { redistribution: "passive", restartLimit: { max: 1e6, within: "1 second" } })
    const town = new Town(app, {
      settings: { forgetAfter: "1 minute", syncInterval: "5 seconds", redialInterval: "1 minute" }
    })
    await town.form("a", "b")
    await town.get("a", (things) => Effect.forEach(names, (name) => things.register(name, Thing, { start: 0 })))
    const rounds = async (from: number, to: number) => {
      for (let round = from; round < to; round++) await churn(town, round)
      await rested(town)
      // what has ended is forgotten when all have seen that, and nothing of it is under way any more
      await town.pass(restMinutes * 60_000)
      // and the marks of that with the next that each writes
      for (const id of ["a", "b"]) await town.get(id, (things) => things.putMeta(`by ${id}`, to))
      return told(town, "c")
    }
    const before = await rounds(0, 2)
    const after = await rounds(2, 20)
    assert.isAtMost(after, before * 1.05 + 100)
  }, TIMEOUT_MS)
})

describe("[D15] what is sent", () => {
  const many = Array.from({ length: 500 }, (_, i) => `m${i}@a`)
  const big = "x".repeat(1000)

  const clientsOn = (options: TownOptions = {}) => {
    const app = thingsOf(new Stage(), { redistribution: "passive" })
    return new Town<Things>((id) => id === "c" ? { ...app, layer: app.service.layerClient } : app, options)
  }
  const fill = (town: Town<Things>) =>
    town.get(
      "a",
      (things) =>
        Effect.forEach(many, (name) => things.register(name, Thing, { start: 0 }, { metadata: big }), {
          concurrency: 50,
          discard: true
        })
    )
  const knows = (town: Town<Things>, count: number) =>
    town.until(`c knows ${count}`, () => town.names("c").length === count)

  it("[D15] to a newcomer: all, in frames of a bounded size", async () => {
    // whether it compares itself with one of them first or with both at once is chance: here with one
    const town = clientsOn({ seed: 2 })
    town.start("a", "b")
    await town.until("a and b are one", () => town.isTogether(["a", "b"]))
    await fill(town)
    const counted = counting(town, "c")
    town.start("c")
    await knows(town, many.length)
    const size = many.length * big.length
    assert.isAbove(counted.bytes, size)
    // once, and what little is known of the members
    assert.isBelow(counted.bytes, size * 1.6)
    assert.isBelow(counted.largest, 300 * 1024)
  }, TIMEOUT_MS)

  it("[D15] to one that was away: what has changed meanwhile; at rest: next to nothing", async () => {
    const town = clientsOn()
    town.start("a", "b", "c")
    await town.until("a and b are one", () => ["a", "b"].every((id) => town.candidates(id).join() === "a,b"))
    await fill(town)
    await knows(town, many.length)
    town.world.hold("c", true)
    await town.until("c is dead", () => town.status("a", "c") === "dead" && town.status("b", "c") === "dead")
    for (const name of ["new@a", "newer@b"]) {
      await town.get("a", (things) => things.register(name, Thing, { start: 0 }, { metadata: big }))
    }
    const counted = counting(town, "c")
    town.world.hold("c", false)
    await knows(town, many.length + 2)
    assert.isBelow(counted.bytes, 10 * big.length)
    await town.pass(5000)
    const before = counted.bytes
    await town.pass(60_000)
    assert.isBelow((counted.bytes - before) / 60, 100, "bytes a second")
  }, TIMEOUT_MS)
})
