// States that no frame takes move and settle in chunks; those above maxStateBytes stay, and that is said (PROTOCOL R6, R7).
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Placement, Process, Sworm, type SwormError } from "@sworm/sworm"
import { Town, type TownOptions } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

const MIB = 1024 * 1024

/** Its state is as large as it is told to be, and no part of it like another. */
const Blob = Process.make("Blob", {
  args: { text: Schema.String },
  state: Schema.String,
  protocol: [
    Rpc.make("Grow", { payload: { bytes: Schema.Int } }),
    Rpc.make("Sum", { success: Schema.String })
  ]
})

const textOf = (bytes: number): string => {
  let text = ""
  for (let i = 0; text.length < bytes; i += 997) text += i.toString(36)
  return text.slice(0, bytes)
}

const sumOf = (text: string): string => {
  let sum = 0
  for (let i = 0; i < text.length; i++) sum = (Math.imul(sum, 31) + text.charCodeAt(i)) | 0
  return `${text.length} ${sum}`
}

/** Where the name says, as in `one@a`. */
const steer = Placement.make(
  "steer",
  (name, candidates) =>
    candidates.find(({ id }) => id === name.split("@")[1]) ?? [...candidates].sort((x, y) => x.id < y.id ? -1 : 1)[0]
)

class Blobs extends Sworm.Service<Blobs>()("Blobs", {
  processes: [Blob],
  redistribution: "passive",
  placement: steer
}) {}

const layer = Layer.provide(
  Blobs.layer,
  Blobs.toLayer(Blob, {
    init: ({ args }) => Effect.succeed(args.text),
    resolveConflict: (mine, theirs) => mine > theirs ? mine + theirs : theirs + mine,
    handlers: {
      Grow: ({ bytes }, { state }) => Ref.set(state, textOf(bytes)),
      Sum: (_, { state }) => Effect.map(Ref.get(state), sumOf)
    }
  })
)

type Blobbing = Town<Blobs, Sworm.SwormClient<typeof Blob>>

const townOf = (options: TownOptions = {}): Blobbing => new Town({ service: Blobs, layer }, options)

const NEW = sumOf("new")

/** A process on "a" with a state of so many bytes. */
const grown = async (town: Blobbing, bytes: number, name = "one@a"): Promise<string> => {
  await town.get("a", (blobs) => blobs.register(name, Blob, { text: "new" }))
  await town.get("a", (blobs) => blobs.client(Blob, name).Grow({ bytes }))
  return sumOf(textOf(bytes))
}

const sum = (town: Blobbing, id: string, name = "one@a"): Promise<string> =>
  town.get(id, (blobs) => blobs.client(Blob, name).Sum())

const reasonOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as SwormError.HandoffError | undefined
  return error?._tag === "HandoffError" ? error.reason : undefined
}

const FAIR = { delay: { minMs: 0.2, maxMs: 2 } }
const rough = {
  delay: { minMs: 1, maxMs: 20 },
  loss: 0.1,
  duplication: 0.1,
  reordering: 0.3
}

describe("[R6] a state that no frame takes", () => {
  it("moves, and the largest frame on its way is a chunk", async () => {
    const town = townOf()
    await town.form("a", "b")
    const before = await grown(town, 5 * MIB)
    let largest = 0
    town.world.network.trace(({ body }) => void (largest = Math.max(largest, body.byteLength)))
    const moved = await town.ended(town.moving("one@a", "b", "b"))
    assert.isTrue(Exit.isSuccess(moved), String(moved))
    assert.isAbove(largest, 100 * 1024)
    assert.isBelow(largest, 160 * 1024)
    assert.deepStrictEqual(town.running(), ["one@a on b"])
    assert.strictEqual(await sum(town, "a"), before)
  }, TIMEOUT_MS)

  it.each([1, 2, 3, 4])("moves though chunks are lost, repeated and overtaken (seed %i)", async (seed) => {
    const town = townOf({ seed })
    await town.form("a", "b")
    const before = await grown(town, 5 * MIB)
    town.world.network.change(rough)
    const moved = await town.ended(town.moving("one@a", "b", "a"))
    town.world.network.change(FAIR)
    assert.isTrue(Exit.isSuccess(moved), String(moved))
    await town.until("one copy is there", () => town.running().join() === "one@a on b")
    assert.strictEqual(await sum(town, "b"), before)
  }, TIMEOUT_MS)

  it("moves along with others, large and small, when its node leaves", async () => {
    const town = townOf()
    await town.form("a", "b")
    const names = Array.from({ length: 12 }, (_, i) => `n${10 + i}@a`)
    const sums = new Map<string, string>()
    for (const [i, name] of names.entries()) {
      sums.set(name, await grown(town, i % 2 === 0 ? 2 * MIB + i : 100 + i, name))
    }
    await town.leave("a")
    assert.deepStrictEqual(town.running("b"), names.map((name) => `${name} on b`))
    for (const name of names) assert.strictEqual(await sum(town, "b", name), sums.get(name))
  }, TIMEOUT_MS)

  it("stays with its process when the target dies while it is on its way", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    const before = await grown(town, 5 * MIB)
    town.world.network.change({ delay: { minMs: 20, maxMs: 20 } })
    const moving = town.moving("one@a", "b", "a")
    await town.pass(150)
    assert.isUndefined(moving.exit)
    town.world.crash("b")
    const exit = await town.ended(moving)
    assert.strictEqual(reasonOf(exit), "Unreachable")
    await town.until("it goes on", () => town.running().join() === "one@a on a")
    assert.strictEqual(await sum(town, "c"), before)
    // and nothing is left of the first attempt that would be in the way of another
    const again = await town.ended(town.moving("one@a", "c", "a"))
    assert.isTrue(Exit.isSuccess(again), String(again))
    assert.strictEqual(await sum(town, "c"), before)
  }, TIMEOUT_MS)

  it("is lost with its node alone: what had arrived of it starts nothing", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await grown(town, 5 * MIB)
    town.world.network.change({ delay: { minMs: 20, maxMs: 20 } })
    const moving = town.moving("one@a", "b", "a")
    await town.pass(150)
    assert.isUndefined(moving.exit)
    town.world.crash("a")
    await town.untilLasting("one copy runs", () => town.running().length === 1)
    assert.strictEqual(await sum(town, "c"), NEW)
  }, TIMEOUT_MS)
})

describe("a state above maxStateBytes", () => {
  const settings = { maxStateBytes: 2 * MIB }

  it.each(["a", "b"])("does not move, asked on %s: that is said, and its process goes on", async (asked) => {
    const town = townOf({ settings })
    await town.form("a", "b")
    const before = await grown(town, 2 * MIB + 1)
    const exit = await town.ended(town.moving("one@a", "b", asked))
    assert.strictEqual(reasonOf(exit), "StateTooLarge", String(exit))
    assert.include(String(exit), `${2 * MIB}`)
    assert.deepStrictEqual(town.running(), ["one@a on a"])
    assert.strictEqual(await sum(town, "b"), before)
    // one that has just room does
    await town.get("b", (blobs) => blobs.client(Blob, "one@a").Grow({ bytes: 2 * MIB - 16 }))
    const moved = await town.ended(town.moving("one@a", "b", asked))
    assert.isTrue(Exit.isSuccess(moved), String(moved))
  }, TIMEOUT_MS)

  it("of the other node: it is refused there, and its process goes on", async () => {
    const town = townOf({ settings: (id) => id === "b" ? { maxStateBytes: MIB / 2 } : {} })
    await town.form("a", "b")
    const before = await grown(town, 2 * MIB)
    const exit = await town.ended(town.moving("one@a", "b", "a"))
    assert.strictEqual(reasonOf(exit), "StateTooLarge", String(exit))
    assert.deepStrictEqual(town.running(), ["one@a on a"])
    assert.strictEqual(await sum(town, "b"), before)
  }, TIMEOUT_MS)

  it("starts from its args elsewhere when its node leaves, which does not wait for what never moves", async () => {
    const town = townOf({ settings })
    await town.form("a", "b")
    await grown(town, 2 * MIB + 1)
    const kept = await grown(town, MIB, "two@a")
    const since = town.nowMs
    await town.leave("a")
    assert.isBelow(town.nowMs - since, 2000)
    await town.until("both run", () => town.running("b").length === 2)
    assert.strictEqual(await sum(town, "b", "one@a"), NEW)
    assert.strictEqual(await sum(town, "b", "two@a"), kept)
  }, TIMEOUT_MS)

  it("what moves none moves none when asked for all", async () => {
    const town = townOf({ settings })
    await town.form("a", "b")
    await grown(town, 2 * MIB + 1)
    const drained = await town.get(
      "a",
      () => Effect.flatMap(Handoff.Handoff, ({ drain }) => Stream.runLast(drain({ deadline: "3 seconds" })))
    )
    assert.strictEqual(Option.getOrUndefined(drained)?.moved, 0)
  }, TIMEOUT_MS)
})

describe("[R7] two copies of which one has a state that no frame takes", () => {
  it.each([1, 2])("settle, and what both have is kept (seed %i)", async (seed) => {
    const town = townOf({ seed })
    await town.form("a", "b")
    await town.part(["a"], ["b"])
    for (const [id, bytes] of [["a", 3 * MIB], ["b", 3 * MIB + 7]] as const) {
      await town.get(id, (blobs) => blobs.register("one", Blob, { text: "new" }))
      await town.get(id, (blobs) => blobs.client(Blob, "one").Grow({ bytes }))
    }
    if (seed === 2) town.world.network.change(rough)
    town.world.network.heal()
    await town.untilLasting("one is left", () => town.running().length === 1 && town.isAgreed())
    town.world.network.change(FAIR)
    const [mine, theirs] = [textOf(3 * MIB), textOf(3 * MIB + 7)]
    assert.strictEqual(await sum(town, "a", "one"), sumOf(theirs + mine))
  }, TIMEOUT_MS)

  it("settle through a third node, where there is no way between them", async () => {
    const town = townOf()
    await town.form("a", "b", "c")
    await town.part(["a"], ["b", "c"])
    await town.get("a", (blobs) => blobs.register("one@b", Blob, { text: "new" }))
    await town.get("a", (blobs) => blobs.client(Blob, "one@b").Grow({ bytes: 3 * MIB }))
    await town.get("b", (blobs) => blobs.register("one@b", Blob, { text: "new" }))
    await town.get("b", (blobs) => blobs.client(Blob, "one@b").Grow({ bytes: 3 * MIB + 7 }))
    // a and b hear each other through c alone
    town.world.network.heal("a", "c")
    await town.untilLasting("one is left", () => town.running().length === 1 && town.isAgreed(), 8000)
    assert.strictEqual(await sum(town, "c", "one@b"), sumOf(textOf(3 * MIB + 7) + textOf(3 * MIB)))
  }, TIMEOUT_MS)
})
