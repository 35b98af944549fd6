// [H23] States kept on other nodes: what was acknowledged survives the loss of the node that acknowledged it.
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Metric, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Process, SnapshotStore, Supervisor, Sworm } from "@sworm/sworm"
import { failureOf, Town } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

const protocol = [
  Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int }),
  Rpc.make("Get", { success: Schema.Array(Schema.String) }),
  Rpc.make("Crash"),
  Rpc.make("Spoil"),
  Rpc.make("Age", { success: Schema.UndefinedOr(Schema.Number) })
] as const

const state = Schema.Array(Schema.String)

const Ledger = Process.make("Ledger", { args: { first: Schema.String }, state, protocol, snapshot: "eachCall" })
const Twice = Process.make("Twice", {
  args: { first: Schema.String },
  state,
  protocol,
  snapshot: { every: "call", replicas: 2 }
})
const Sketch = Process.make("Sketch", {
  args: { first: Schema.String },
  state,
  protocol,
  snapshot: { every: "1 second" }
})

class Books extends Sworm.Service<Books>()("Books", { processes: [Ledger, Twice, Sketch], restart: "permanent" }) {}

/** How often a handler ran, by operation: on whatever node. */
const runs = new Map<string, number>()

const implementation = {
  init: ({ args, snapshotAge }: Process.InitContext<{ readonly first: string }, ReadonlyArray<string>>) =>
    Effect.sync(() => {
      ages.push(snapshotAge === undefined ? undefined : Duration.toMillis(snapshotAge))
      return [args.first]
    }),
  resolveConflict: (mine: ReadonlyArray<string>, theirs: ReadonlyArray<string>) => [...new Set([...mine, ...theirs])],
  handlers: {
    Add: ({ op }: { readonly op: string }, { state }: { readonly state: Ref.Ref<ReadonlyArray<string>> }) =>
      Effect.suspend(() => {
        runs.set(op, (runs.get(op) ?? 0) + 1)
        return Ref.modify(state, (ops) => [ops.length + 1, [...ops, op]])
      }),
    Get: (_: unknown, { state }: { readonly state: Ref.Ref<ReadonlyArray<string>> }) => Ref.get(state),
    Crash: () => Effect.die("asked to"),
    Spoil: (_: unknown, { state }: { readonly state: Ref.Ref<ReadonlyArray<string>> }) =>
      Effect.andThen(Ref.update(state, (ops) => [...ops, "spoiled"]), Effect.die("half way")),
    Age: () => Effect.succeed(ages.at(-1))
  }
}

const ages: Array<number | undefined> = []

const layer = Books.layer.pipe(
  Layer.provide(Books.toLayer(Ledger, implementation)),
  Layer.provide(Books.toLayer(Twice, implementation)),
  Layer.provide(Books.toLayer(Sketch, implementation))
)

const IDS = ["a", "b", "c", "d", "e"]

type Books_ = Context.Service.Shape<typeof Books>

const form = async (seed: number, ids: ReadonlyArray<string> = IDS): Promise<Town<Books, Books_>> => {
  runs.clear()
  ages.length = 0
  const town = new Town<Books, Books_>({ service: Books, layer }, { seed, weather: { delay: { minMs: 1, maxMs: 5 } } })
  await town.form(...ids)
  return town
}

const add = (type: typeof Ledger | typeof Twice | typeof Sketch, name: string, op: string) => (books: Books_) =>
  books.call(type as typeof Ledger, name, "Add", { op })

const get = (type: typeof Ledger | typeof Twice | typeof Sketch, name: string) => (books: Books_) =>
  books.call(type as typeof Ledger, name, "Get", undefined)

/** The events of all nodes that run, from now on. */
const events = (town: Town<Books, Books_>): ReadonlyArray<Supervisor.SupervisorEvent & { readonly at: string }> => {
  const seen: Array<Supervisor.SupervisorEvent & { readonly at: string }> = []
  for (const { id } of town.world.ready) {
    const services = town.world.nodes.get(id)!.services!
    const take = (event: Supervisor.SupervisorEvent) => Effect.sync(() => void seen.push({ ...event, at: id }))
    town.world.run(id, Stream.runForEach(Context.get(services, Supervisor.Supervisor).events, take))
  }
  return seen
}

const other = (town: Town<Books, Books_>, ...not: ReadonlyArray<string | undefined>): string =>
  town.world.ready.map(({ id }) => id).find((id) => !not.includes(id))!

const home = async (town: Town<Books, Books_>, asked: string, name: string): Promise<string> => {
  await town.until(`"${name}" is somewhere`, () => town.whereis(asked, name) !== undefined)
  return town.whereis(asked, name)!
}

/** What all nodes of this program have sent to be kept so far. */
const sent = (): { readonly snapshots: number; readonly bytes: number } => {
  const metrics = Effect.runSync(Metric.snapshot)
  const countOf = (id: string): number => {
    const metric = metrics.find((metric) => metric.id === id)
    return metric?.type === "Counter" ? Number(metric.state.count) : 0
  }
  return { snapshots: countOf("sworm_snapshots_sent"), bytes: countOf("sworm_snapshots_sent_bytes") }
}

/** Who keeps the state of a name, as its claim says. */
const replicas = (town: Town<Books, Books_>, id: string, name: string): ReadonlyArray<string> =>
  town.look(
    id,
    Effect.flatMap(
      Supervisor.Supervisor,
      (supervisor) => Effect.map(supervisor.explain("Books", name), ({ keptBy }) => keptBy)
    ),
    []
  )

describe("[H23] a state that is kept with each call", { timeout: TIMEOUT_MS }, () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "survives one node after the other, with all that was acknowledged (seed %i)",
    async (seed) => {
      const town = await form(seed)
      await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
      const acknowledged = ["0"]
      for (let round = 1; round <= 4; round++) {
        const holder = await home(town, town.world.ready[0]!.id, "one")
        const caller = other(town, holder)
        for (let n = 0; n < 3; n++) {
          const op = `${round}.${n}`
          await town.get(caller, add(Ledger, "one", op))
          acknowledged.push(op)
        }
        town.world.crash(holder)
        await town.until("it runs again", () => (town.whereis(caller, "one") ?? holder) !== holder)
        assert.deepStrictEqual(await town.get(caller, get(Ledger, "one")), acknowledged)
        // the next one dies when this one has a replica again
        await town.until("its state is kept elsewhere", () => {
          const kept = replicas(town, caller, "one")
          return kept.length === Math.min(1, town.world.ready.length - 1) &&
            kept.every((id) => id !== town.whereis(caller, "one") && town.world.ready.some((node) => node.id === id))
        })
      }
      assert.deepStrictEqual([...runs.values()].filter((count) => count !== 1), [])
    }
  )

  it.each([1, 2, 3, 4, 5, 6])(
    "with the loss of its node, calls under way are answered by the next, each done once (seed %i)",
    async (seed) => {
      const town = await form(seed)
      await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
      const holder = await home(town, "a", "one")
      const callers = IDS.filter((id) => id !== holder)
      const calls = Array.from({ length: 24 }, (_, n) => town.begin(callers[n % 4]!, add(Ledger, "one", `op${n}`)))
      await town.pass(1 + seed * 2)
      town.world.crash(holder)
      for (const call of calls) assert.isTrue(Exit.isSuccess(await town.ended(call)), JSON.stringify(call.exit))
      const ops = await town.get(callers[0]!, get(Ledger, "one"))
      assert.deepStrictEqual([...ops].sort(), ["0", ...calls.map((_, n) => `op${n}`)].sort())
    }
  )

  it("is on as many nodes as it says: two may be lost at once", async () => {
    const town = await form(7)
    await town.get("a", (books) => books.register("two", Twice, { first: "0" }))
    const holder = await home(town, "a", "two")
    const caller = other(town, holder)
    await town.get(caller, add(Twice, "two", "x"))
    const kept = replicas(town, holder, "two")
    assert.lengthOf(kept, 2)
    town.world.crash(holder)
    town.world.crash(kept[0]!)
    const survivor = other(town, holder, kept[0])
    await town.until("it runs again", () => ![holder, kept[0], undefined].includes(town.whereis(survivor, "two")))
    assert.deepStrictEqual(await town.get(survivor, get(Twice, "two")), ["0", "x"])
  })

  it("counts what it sends: a snapshot for each replica of a call that changes it, none for one that reads", async () => {
    const town = await form(16)
    await town.get("a", (books) => books.register("two", Twice, { first: "0" }))
    const caller = other(town, await home(town, "a", "two"))
    await town.get(caller, add(Twice, "two", "x"))
    const before = sent()
    await town.get(caller, add(Twice, "two", "y"))
    assert.strictEqual(sent().snapshots - before.snapshots, 2)
    assert.isAbove(sent().bytes, before.bytes)
    const after = sent()
    await town.get(caller, get(Twice, "two"))
    assert.deepStrictEqual(sent(), after)
  })

  it("is kept anew when one of those that had it is lost, though nobody calls", async () => {
    const town = await form(8)
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    const holder = await home(town, "a", "one")
    await town.get(other(town, holder), add(Ledger, "one", "x"))
    const [replica] = replicas(town, holder, "one")
    town.world.crash(replica!)
    const survivor = other(town, holder, replica)
    await town.until("another has it", () => ![replica, undefined].includes(replicas(town, survivor, "one")[0]))
    town.world.crash(holder)
    await town.until("it runs again", () => ![holder, undefined].includes(town.whereis(survivor, "one")))
    assert.deepStrictEqual(await town.get(survivor, get(Ledger, "one")), ["0", "x"])
  })

  it.each([1, 2, 3])("survives a move to the very node that kept it, lost at once (seed %i)", async (seed) => {
    const town = await form(seed, ["a", "b", "c"])
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    const holder = await home(town, "a", "one")
    const caller = other(town, holder)
    await town.get(caller, add(Ledger, "one", "x"))
    const [replica] = replicas(town, holder, "one")
    const moved = await town.ended(town.moving("one", replica!, holder))
    assert.isTrue(Exit.isSuccess(moved))
    town.world.crash(replica!)
    const survivor = other(town, replica)
    await town.until("it runs again", () => ![replica, undefined].includes(town.whereis(survivor, "one")))
    assert.deepStrictEqual(await town.get(survivor, get(Ledger, "one")), ["0", "x"])
  })

  it("is what a crash leaves: without what the message that crashed had done", async () => {
    const town = await form(9, ["a", "b"])
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    await town.get("a", add(Ledger, "one", "x"))
    const crashed = await town.ask("b", (books) => books.call(Ledger, "one", "Spoil", undefined))
    assert.strictEqual(failureOf(crashed), "CallError")
    assert.deepStrictEqual(await town.get("a", get(Ledger, "one")), ["0", "x"])
  })

  it("is gone with its registration: a new one starts from its args", async () => {
    const town = await form(10, ["a", "b", "c"])
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    await town.get("a", add(Ledger, "one", "x"))
    await town.get("b", (books) => books.unregister("one"))
    await town.get("c", (books) => books.register("one", Ledger, { first: "1" }))
    const holder = await home(town, "a", "one")
    town.world.crash(holder)
    const survivor = other(town, holder)
    await town.until("it runs again", () => ![holder, undefined].includes(town.whereis(survivor, "one")))
    assert.deepStrictEqual(await town.get(survivor, get(Ledger, "one")), ["1"])
  })

  it("says so when nobody is left who kept it, and starts from its args", async () => {
    const town = await form(11)
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    const holder = await home(town, "a", "one")
    await town.get(other(town, holder), add(Ledger, "one", "x"))
    const seen = events(town)
    const [replica] = replicas(town, holder, "one")
    town.world.crash(holder)
    town.world.crash(replica!)
    const survivor = other(town, holder, replica)
    await town.until("it runs again", () => ![holder, replica, undefined].includes(town.whereis(survivor, "one")))
    assert.deepStrictEqual(await town.get(survivor, get(Ledger, "one")), ["0"])
    assert.isTrue(seen.some((event) => event._tag === "StateLost" && event.detail.includes(replica!)))
  })

  it.each([1, 2, 3, 4])(
    "[D7] is merged after a split, nothing acknowledged on either side lost (seed %i)",
    async (seed) => {
      const town = await form(seed)
      await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
      const [left, right] = [["a", "b"], ["c", "d", "e"]] as const
      await town.part(left, right)
      for (const id of ["a", "c"]) await town.until("both sides have it", () => town.whereis(id, "one") !== undefined)
      await town.get("a", add(Ledger, "one", "left"))
      await town.get("c", add(Ledger, "one", "right"))
      await town.heal()
      // while its state is on its way, the other copy is not counted
      await town.untilLasting("one stays", () => town.running().length === 1 && town.isAgreed())
      const winner = town.whereis("a", "one")!
      assert.includeMembers([...await town.get(winner, get(Ledger, "one"))], ["left", "right"])
      town.world.crash(winner)
      const survivor = other(town, winner)
      await town.until("it runs again", () => ![winner, undefined].includes(town.whereis(survivor, "one")))
      const ops = await town.get(survivor, get(Ledger, "one"))
      assert.includeMembers([...ops], ["left", "right"])
    }
  )
})

describe("[H23] a state that is kept now and then", { timeout: TIMEOUT_MS }, () => {
  it("comes back as it was at most that long ago, and is told how old it is", async () => {
    const town = await form(12, ["a", "b", "c"])
    await town.get("a", (books) => books.register("one", Sketch, { first: "0" }))
    const holder = await home(town, "a", "one")
    const caller = other(town, holder)
    await town.get(caller, add(Sketch, "one", "x"))
    await town.until("it is kept", () => replicas(town, caller, "one").length === 1)
    await town.get(caller, add(Sketch, "one", "lost"))
    const seen = events(town)
    town.world.crash(holder)
    await town.until("it runs again", () => ![holder, undefined].includes(town.whereis(caller, "one")))
    assert.deepStrictEqual(await town.get(caller, get(Sketch, "one")), ["0", "x"])
    assert.isAbove(ages.at(-1) ?? 0, 0)
    assert.isTrue(seen.some((event) => event._tag === "Restored" && event.ref.name === "one" && event.ageMs > 0))
  })

  it("a call under way at the loss of its node fails: nobody knows", async () => {
    const town = await form(13, ["a", "b", "c"])
    await town.get("a", (books) => books.register("one", Sketch, { first: "0" }))
    const holder = await home(town, "a", "one")
    const caller = other(town, holder)
    await town.get(caller, add(Sketch, "one", "x"))
    await town.until("it is kept", () => replicas(town, caller, "one").length === 1)
    town.world.network.cut(holder, caller)
    const call = town.begin(caller, add(Sketch, "one", "y"))
    await town.until("it was executed", () => runs.get("y") === 1)
    town.world.crash(holder)
    town.world.network.heal()
    const exit = await town.ended(call)
    assert.strictEqual(failureOf(exit), "CallError")
  })
})

describe("a store for snapshots", { timeout: TIMEOUT_MS }, () => {
  const stored = async (seed: number) => {
    runs.clear()
    const built = await Effect.runPromise(Effect.scoped(Layer.build(SnapshotStore.layerMemory)))
    const store = Context.get(built, SnapshotStore.SnapshotStore)
    const town = new Town<Books, Books_>({ service: Books, layer }, { seed, store })
    await town.form("a", "b")
    return town
  }

  it("brings states back after the whole cluster was down, above all epochs before", async () => {
    const town = await stored(14)
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    await town.get("a", add(Ledger, "one", "x"))
    const before = town.epoch("a", "one")!
    town.world.crash("a")
    town.world.crash("b")
    await town.form("a", "b")
    const ref = await town.get("b", (books) => books.register("one", Ledger, { first: "again" }))
    assert.isAbove(ref.epoch, before)
    assert.deepStrictEqual(await town.get("a", get(Ledger, "one")), ["0", "x"])
  })

  it("forgets a name that is unregistered", async () => {
    const town = await stored(15)
    await town.get("a", (books) => books.register("one", Ledger, { first: "0" }))
    await town.get("a", add(Ledger, "one", "x"))
    await town.get("b", (books) => books.unregister("one"))
    await town.get("b", (books) => books.register("one", Ledger, { first: "1" }))
    assert.deepStrictEqual(await town.get("a", get(Ledger, "one")), ["1"])
  })
})
