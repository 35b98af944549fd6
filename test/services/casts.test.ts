// H22: what one sender casts to one name is handled in the order in which it was sent, each at most once, wherever the
// process goes meanwhile; what is lost holds the others up for a moment only, and is counted.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import { GAP_MS } from "../../src/protocol/casts.ts"
import { dropped, lost } from "../../src/runtime/CastReceiver.ts"
import { Town, type TownOptions } from "./simulated.ts"
import { Stage, steer, TIMEOUT_MS } from "./support.ts"

/** Keeps what it is told, in order. */
const Diary = Process.make("Diary", {
  state: Schema.Array(Schema.String),
  protocol: [
    Rpc.make("Note", { payload: { text: Schema.String } }),
    Rpc.make("Slow", { payload: { text: Schema.String } }),
    Rpc.make("Wait", { payload: { door: Schema.String } })
  ]
})

interface Diaries {
  readonly "~diaries": never
}

type Client = Sworm.SwormClient<typeof Diary>

const NAME = "one@a"

/** A town whose processes tell what they handle, wherever that is. */
class DiaryTown extends Town<Diaries, Client> {
  readonly stage: Stage
  endsSlowly = false
  readonly #lostBefore = countOf(lost)
  readonly #droppedBefore = countOf(dropped)

  constructor(options: TownOptions = {}, mailboxCapacity = 1024) {
    const stage = new Stage()
    class Service extends Sworm.Service<Diaries>()("Diaries", {
      processes: [Diary],
      placement: steer,
      redistribution: "passive",
      mailboxCapacity
    }) {}
    const note = (text: string, { state }: Process.Self<ReadonlyArray<string>>) =>
      Effect.andThen(stage.note(text), Ref.update(state, (all) => [...all, text]))
    const implementation = Service.toLayer(Diary, {
      init: () => Effect.succeed([]),
      // a copy that moves away ends when its door is opened, if somebody asks for that
      stop: () => this.endsSlowly ? stage.pass("end") : Effect.void,
      handlers: {
        Note: ({ text }, self) => note(text, self),
        Slow: ({ text }, self) => Effect.andThen(Effect.sleep("5 millis"), note(text, self)),
        Wait: ({ door }) => stage.pass(door)
      }
    })
    super({ service: Service, layer: Layer.provide(Service.layer, implementation) }, options)
    this.stage = stage
  }

  /** Nodes that all know where the process is: on `a`. */
  static async of(ids: ReadonlyArray<string>, options?: TownOptions, mailboxCapacity?: number): Promise<DiaryTown> {
    const town = new DiaryTown(options, mailboxCapacity)
    await town.form(...ids)
    await town.get("a", (diaries) => diaries.register(NAME, Diary, {}))
    await town.until("all know it", () => ids.every((id) => town.whereis(id, NAME) === "a"))
    return town
  }

  get handled(): ReadonlyArray<string> {
    return this.stage.lines
  }

  /** Casts waited for in vain, in this town. */
  get lost(): number {
    return countOf(lost) - this.#lostBefore
  }

  get dropped(): number {
    return countOf(dropped) - this.#droppedBefore
  }

  async cast(id: string, text: string): Promise<void> {
    assert.isTrue(await this.get(id, (diaries) => diaries.cast(Diary, NAME, "Note", { text })))
  }

  /** How long frames take from now on. */
  delay(millis: number): void {
    this.world.network.change({ delay: { minMs: millis, maxMs: millis } })
  }

  /** Casts with a frame that takes so long, and that all others may overtake. */
  async castLate(id: string, text: string, millis: number): Promise<void> {
    this.world.network.change({ delay: { minMs: millis, maxMs: millis }, reordering: 1 })
    await this.cast(id, text)
    this.delay(1)
  }

  async move(to: string, asked: string): Promise<void> {
    const exit = await this.ended(this.moving(NAME, to, asked))
    assert.isTrue(Exit.isSuccess(exit), String(exit))
  }

  async has(...texts: ReadonlyArray<string>): Promise<void> {
    await this.until(`it has handled ${texts.join()}`, () => this.handled.length >= texts.length)
    assert.deepStrictEqual(this.handled, texts)
  }
}

const countOf = (metric: typeof lost): number => Number(Effect.runSync(Metric.value(metric)).count)

describe("[H22] casts while their process moves", () => {
  it("[H22] the first is sent on by the node that had it, the second comes directly, before it: it waits", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    await town.castLate("c", "1", 300)
    await town.move("b", "a")
    await town.until("c knows", () => town.whereis("c", NAME) === "b")
    await town.cast("c", "2")
    await town.pass(20)
    assert.deepStrictEqual(town.handled, [], "the first is still under way")
    await town.has("1", "2")
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] the process comes to the sender, whose first is still on its way to where it was", async () => {
    const town = await DiaryTown.of(["a", "b"])
    await town.castLate("b", "1", 300)
    const moving = town.moving(NAME, "b", "a")
    await town.until("it is here", () => town.running("b").length === 1 && town.whereis("b", NAME) === "b")
    await town.cast("b", "2")
    await town.has("1", "2")
    await town.ended(moving)
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] how far it has come goes along: what was handled is not waited for", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    for (const text of ["1", "2", "3"]) await town.cast("c", text)
    await town.has("1", "2", "3")
    await town.move("b", "a")
    await town.until("c knows", () => town.whereis("c", NAME) === "b")
    await town.cast("c", "4")
    await town.pass(GAP_MS / 2)
    assert.deepStrictEqual(town.handled, ["1", "2", "3", "4"])
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] those of its own node that wait when it leaves come before those that are sent after it", async () => {
    const town = await DiaryTown.of(["a", "b"])
    const waiting = town.begin("b", (diaries) => diaries.client(Diary, NAME).Wait({ door: "door" }))
    await town.until("it waits", () => town.stage.count("at door") === 1)
    for (const text of ["1", "2", "3"]) await town.cast("a", text)
    const moving = town.moving(NAME, "b", "a")
    await town.pass(50)
    Effect.runSync(town.stage.open("door"))
    await town.until("a knows", () => town.whereis("a", NAME) === "b")
    for (const text of ["4", "5"]) await town.cast("a", text)
    await town.has("at door", "1", "2", "3", "4", "5")
    await town.ended(moving)
    await town.ended(waiting)
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] those that wait when it leaves come before those that reach where it goes before them", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    town.endsSlowly = true
    const waiting = town.begin("b", (diaries) => diaries.client(Diary, NAME).Wait({ door: "door" }))
    await town.until("it waits", () => town.stage.count("at door") === 1)
    for (const text of ["1", "2"]) for (const id of ["a", "c"]) await town.cast(id, `${id} ${text}`)
    const moving = town.moving(NAME, "b", "a")
    await town.pass(50)
    Effect.runSync(town.stage.open("door"))
    await town.until("the old copy ends", () => town.stage.count("at end") === 1 && town.whereis("c", NAME) === "b")
    for (const text of ["3", "4"]) for (const id of ["a", "c"]) await town.cast(id, `${id} ${text}`)
    // longer than anything is waited for on its own
    await town.always("it does not serve yet", () => town.handled.length === 2, 3 * GAP_MS)
    Effect.runSync(town.stage.open("end"))
    await town.until("all are handled", () => town.handled.length === 10)
    for (const id of ["a", "c"]) {
      const own = town.handled.filter((text) => text.startsWith(`${id} `))
      assert.deepStrictEqual(own, ["1", "2", "3", "4"].map((text) => `${id} ${text}`))
    }
    await town.ended(moving)
    await town.ended(waiting)
    assert.deepStrictEqual([town.lost, town.dropped], [0, 0])
  }, TIMEOUT_MS)

  it("[H22] one that came too early goes along, and is handled as soon as the one before it is there", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    await town.castLate("c", "1", 200)
    await town.cast("c", "2")
    await town.pass(10)
    await town.move("b", "a")
    assert.deepStrictEqual(town.handled, [])
    await town.pass(250)
    assert.deepStrictEqual(town.handled, ["1", "2"])
  }, TIMEOUT_MS)

  it("[H22] what was waited for in vain is not waited for again where the process goes", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    const waiting = town.begin("b", (diaries) => diaries.client(Diary, NAME).Wait({ door: "door" }))
    await town.until("it waits", () => town.stage.count("at door") === 1)
    await town.cast("c", "1")
    await town.pass(50)
    town.world.network.cut("c", "a")
    await town.cast("c", "lost")
    await town.pass(50)
    town.world.network.heal()
    await town.cast("c", "2")
    await town.until("it is given up", () => town.lost === 1)
    const moving = town.moving(NAME, "b", "a")
    await town.pass(50)
    Effect.runSync(town.stage.open("door"))
    await town.ended(moving)
    await town.ended(waiting)
    await town.pass(GAP_MS / 2)
    assert.deepStrictEqual(town.handled, ["at door", "1", "2"])
    assert.strictEqual(town.lost, 1)
  }, TIMEOUT_MS)

  it.each(["casts", "calls"])(
    "[R6] [H22] %s that wait are more than a frame takes: they keep their order",
    async (what) => {
      const town = await DiaryTown.of(["a", "b", "c"])
      const waiting = town.begin("b", (diaries) => diaries.client(Diary, NAME).Wait({ door: "door" }))
      await town.until("it waits", () => town.stage.count("at door") === 1)
      const texts = Array.from({ length: 40 }, (_, i) => `${i}${"x".repeat(16_000)}`)
      for (const text of texts) {
        if (what === "casts") await town.get("c", (diaries) => diaries.cast(Diary, NAME, "Slow", { text }))
        else town.begin("c", (diaries) => diaries.client(Diary, NAME).Slow({ text }))
        await town.pass(5)
      }
      const moving = town.moving(NAME, "b", "a")
      await town.pass(50)
      Effect.runSync(town.stage.open("door"))
      await town.ended(moving)
      await town.ended(waiting)
      await town.until("all are handled", () => town.handled.length === 41)
      assert.deepStrictEqual(town.handled.slice(1), texts)
      assert.strictEqual(town.lost, 0)
    },
    TIMEOUT_MS
  )

  it("[H22] what comes directly waits for all parts of what waited, as long as they come", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    const waiting = town.begin("b", (diaries) => diaries.client(Diary, NAME).Wait({ door: "door" }))
    await town.until("it waits", () => town.stage.count("at door") === 1)
    const texts = Array.from({ length: 60 }, (_, i) => `${i}${"x".repeat(16_000)}`)
    for (const text of texts) await town.cast("c", text)
    await town.pass(50)
    town.delay(250)
    const moving = town.moving(NAME, "b", "a")
    await town.pass(50)
    Effect.runSync(town.stage.open("door"))
    await town.until("c knows", () => town.whereis("c", NAME) === "b")
    await town.cast("c", "last")
    await town.ended(moving)
    await town.ended(waiting)
    await town.has("at door", ...texts, "last")
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it.each([1, 2, 3, 4, 5, 6])(
    "[H22] there and back under casts of three nodes: each one's order, none lost, none twice (seed %i)",
    async (seed) => {
      const town = await DiaryTown.of(["a", "b", "c"], { seed, weather: { delay: { minMs: 1, maxMs: 30 } } })
      const each = Array.from({ length: 80 }, (_, i) => i)
      // with messages that wait when it moves, or mostly without
      const isBusy = seed % 2 === 0
      const casting = ["a", "b", "c"].map((id) =>
        town.begin(
          id,
          (diaries) =>
            Effect.forEach(each, (i) =>
              diaries.cast(Diary, NAME, isBusy && i % 3 === 0 ? "Slow" : "Note", { text: `${id} ${i}` }).pipe(
                Effect.tap(Effect.sleep(2 + (i * seed) % 11))
              ))
        )
      )
      for (const to of ["b", "c", "a", "c", "b", "a"]) {
        await town.move(to, "a")
        await town.pass(10 * seed)
      }
      for (const running of casting) await town.ended(running)
      await town.until("all are handled", () => town.handled.length >= 3 * each.length)
      for (const id of ["a", "b", "c"]) {
        const own = town.handled.filter((text) => text.startsWith(id))
        assert.deepStrictEqual(own, each.map((i) => `${id} ${i}`))
      }
      assert.deepStrictEqual([town.lost, town.dropped], [0, 0])
    },
    TIMEOUT_MS
  )

  it("[H22] a move that is called off: what came to where it was to go is sent back", async () => {
    const town = await DiaryTown.of(["a", "b", "c"], { settings: { handoffTimeout: "800 millis" } })
    town.delay(20)
    const moving = town.moving(NAME, "b", "a")
    // the offer has arrived, its answer not
    await town.pass(30)
    town.world.network.partition(["a"], ["b"])
    await town.until("c knows what is prepared", () => town.whereis("c", NAME) === "b")
    for (const text of ["1", "2"]) await town.cast("c", text)
    assert.isTrue(Exit.isFailure(await town.ended(moving)))
    assert.deepStrictEqual(town.handled, [])
    town.world.network.heal()
    await town.until("it stays", () => ["a", "b", "c"].every((id) => town.whereis(id, NAME) === "a"))
    await town.cast("c", "3")
    await town.has("1", "2", "3")
    assert.deepStrictEqual([town.lost, town.dropped], [0, 0])
  }, TIMEOUT_MS)
})

describe("[H22] casts over a network that is not perfect", () => {
  it.each([1, 2, 3])("[H22] repeated and overtaken, each is handled once, in its order (seed %i)", async (seed) => {
    const town = await DiaryTown.of(["a", "b"], { seed })
    town.world.network.change({ delay: { minMs: 1, maxMs: 40 }, duplication: 0.5, reordering: 0.5 })
    const texts = Array.from({ length: 60 }, (_, i) => String(i))
    for (const text of texts) await town.cast("b", text)
    await town.has(...texts)
    await town.pass(2000)
    assert.deepStrictEqual(town.handled, texts)
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] one that is lost is waited for so long, and no longer; it is counted", async () => {
    const town = await DiaryTown.of(["a", "b"])
    await town.cast("b", "1")
    await town.has("1")
    town.world.network.cut("b", "a")
    await town.cast("b", "lost")
    await town.pass(50)
    town.world.network.heal()
    await town.cast("b", "2")
    await town.cast("b", "3")
    await town.always("they wait", () => town.handled.length === 1, GAP_MS - 50)
    await town.has("1", "2", "3")
    assert.strictEqual(town.lost, 1)
    await town.cast("b", "4")
    await town.pass(50)
    assert.deepStrictEqual(town.handled, ["1", "2", "3", "4"], "it is waited for once")
  }, TIMEOUT_MS)

  it("[H22] of a process that was lost with its node nothing is waited for", async () => {
    const town = await DiaryTown.of(["a", "b", "c"])
    for (const text of ["1", "2", "3"]) await town.cast("c", text)
    await town.has("1", "2", "3")
    town.world.crash("a")
    await town.until("it starts again", () => town.running("b", "c").length === 1 && town.whereis("c", NAME) !== "a")
    for (const text of ["4", "5"]) await town.cast("c", text)
    await town.pass(GAP_MS / 2)
    assert.deepStrictEqual(town.handled, ["1", "2", "3", "4", "5"])
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)

  it("[H22] after a split the copy that stays knows what the other has handled", async () => {
    const town = await DiaryTown.of(["a", "b", "c", "d"])
    await town.cast("b", "b 1")
    await town.part(["a", "b"], ["c", "d"])
    await town.until("both sides run it", () => town.running("c", "d").length === 1)
    for (const [id, text] of [["b", "b 2"], ["b", "b 3"], ["d", "d 1"], ["d", "d 2"]] as const) {
      await town.cast(id, text)
    }
    await town.until("each side has its own", () => town.handled.length === 5)
    await town.heal()
    await town.until("one is left", () => town.running().length === 1 && town.isAgreed())
    for (const id of ["a", "b", "c", "d"]) await town.cast(id, `${id} again`)
    // a gap would be counted as lost
    await town.until("all are handled", () => town.handled.length === 9)
    assert.deepStrictEqual([...town.handled.slice(5)].sort(), ["a again", "b again", "c again", "d again"])
    assert.strictEqual(town.lost, 0)
  }, TIMEOUT_MS)
})

it("[H22] a full mailbox: what finds no room is dropped and counted, and holds nothing up", async () => {
  const town = await DiaryTown.of(["a", "b"], {}, 2)
  await town.get("b", (diaries) => diaries.cast(Diary, NAME, "Wait", { door: "door" }))
  await town.until("it waits", () => town.stage.count("at door") === 1)
  for (const text of ["1", "2", "3", "4"]) await town.cast("b", text)
  await town.until("two were dropped", () => town.dropped === 2)
  await town.cast("a", "5")
  assert.strictEqual(town.dropped, 3, "of its own node, too")
  Effect.runSync(town.stage.open("door"))
  await town.has("at door", "1", "2")
  await town.cast("b", "6")
  await town.pass(GAP_MS / 2)
  assert.deepStrictEqual(town.handled, ["at door", "1", "2", "6"])
  assert.strictEqual(town.lost, 0)
}, TIMEOUT_MS)
