// [H23] A store for snapshots under a cluster: what comes back after all nodes are lost, and when the store fails.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Process, SnapshotStore, Sworm, SwormError } from "@sworm/sworm"
import * as Snapshots from "@sworm/sworm/snapshots"
import { inSimulatedTime } from "./disk.ts"
import { failureOf, Town } from "./simulated.ts"
import { steer, TIMEOUT_MS } from "./support.ts"

const protocol = [
  Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int }),
  Rpc.make("Get", { success: Schema.Array(Schema.String) })
] as const
const state = Schema.Array(Schema.String)

const Ledger = Process.make("Ledger", { state, protocol, snapshot: "eachCall" })
const Sketch = Process.make("Sketch", { state, protocol, snapshot: { every: "1 second" } })
const Plain = Process.make("Plain", { state, protocol })
/** As Ledger, of a later version of the program. */
const Changed = Process.make("Ledger", {
  state: Schema.Struct({ ops: state }),
  protocol: [Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int })],
  snapshot: "eachCall"
})

class Books extends Sworm.Service<Books>()("Books", {
  processes: [Ledger, Sketch, Plain],
  placement: steer,
  restart: "permanent"
}) {}

class NewBooks extends Sworm.Service<NewBooks>()("Books", { processes: [Changed], placement: steer }) {}

type Self = Process.Self<ReadonlyArray<string>>

const implementation = {
  init: () => Effect.succeed([]),
  handlers: {
    Add: ({ op }: { readonly op: string }, { state }: Self) =>
      Ref.modify(state, (ops) => [ops.length + 1, [...ops, op]]),
    Get: (_: unknown, { state }: Self) => Ref.get(state)
  },
  resolveConflict: (mine: ReadonlyArray<string>, theirs: ReadonlyArray<string>) => [...new Set([...mine, ...theirs])]
}

const layer = Books.layer.pipe(
  Layer.provide([
    Books.toLayer(Ledger, implementation),
    Books.toLayer(Sketch, implementation),
    Books.toLayer(Plain, implementation)
  ])
)

const newLayer = NewBooks.layer.pipe(
  Layer.provide(NewBooks.toLayer(Changed, {
    init: () => Effect.succeed({ ops: [] }),
    handlers: { Add: ({ op }, { state }) => Ref.modify(state, ({ ops }) => [ops.length + 1, { ops: [...ops, op] }]) }
  }))
)

type Client = Context.Service.Shape<typeof Books>
type Store = SnapshotStore.SnapshotStore

const build = <E>(layer: Layer.Layer<Store, E>): Promise<Store> =>
  Effect.runPromise(Effect.map(
    Effect.scoped(Layer.build(Layer.fresh(layer))),
    (built) => Context.get(built, SnapshotStore.SnapshotStore)
  ))

/** A store that does as it is told. */
class Fickle implements Store {
  failing: ReadonlyArray<"put" | "get" | "remove"> = []
  /** An exception where an effect is due. */
  isRude = false
  readonly asked: Array<string> = []
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  #do<A>(what: "put" | "get" | "remove", work: Effect.Effect<A, SwormError.SnapshotStoreError>) {
    this.asked.push(what)
    if (!this.failing.includes(what)) return work
    if (this.isRude) throw new Error("no such thing")
    return Effect.fail(new SwormError.SnapshotStoreError({ detail: "the plug was pulled" }))
  }

  readonly put: Store["put"] = (sworm, name, snapshot) => this.#do("put", this.#store.put(sworm, name, snapshot))
  readonly get: Store["get"] = (sworm, name) => this.#do("get", this.#store.get(sworm, name))
  readonly remove: Store["remove"] = (sworm, name) => this.#do("remove", this.#store.remove(sworm, name))
}

const form = async (store: Store, ...ids: ReadonlyArray<string>): Promise<Town<Books, Client>> => {
  const town = new Town<Books, Client>({ service: Books, layer }, { store })
  await town.form(...ids)
  return town
}

const ONE = "one@a"
type Town_ = Town<Books, Client>
type Type = typeof Ledger | typeof Sketch | typeof Plain

const register = (town: Town_, id: string, type: Type = Ledger) =>
  town.ask(id, (books) => books.register(ONE, type as typeof Ledger, {}))
const add = (town: Town_, id: string, op: string, type: Type = Ledger) =>
  town.ask(id, (books) => books.client(type as typeof Ledger, ONE).Add({ op }))
const get = (town: Town_, id: string, type: Type = Ledger) =>
  town.get(id, (books) => books.client(type as typeof Ledger, ONE).Get())

const added = async (town: Town_, id: string, op: string, type?: Type): Promise<void> => {
  const exit = await add(town, id, op, type)
  assert.isTrue(Exit.isSuccess(exit), `${op}: ${JSON.stringify(exit)}`)
}

/** An hour later the clocks say that it is an hour earlier: epochs begin below those of before. */
const setBack = <S, C>(town: Town<S, C>, ...ids: ReadonlyArray<string>): Promise<void> => {
  town.start(...ids)
  for (const id of ids) town.world.nodes.get(id)!.machine.jump(-3_600_000)
  return town.together().then(() => {})
}

const crashAll = (town: Town<Books, Client>): void => {
  for (const { id } of [...town.world.running]) town.world.crash(id)
}

const memory = async () => new Fickle(await build(SnapshotStore.layerMemory))

describe("[H23] a cluster of which every node is lost, with snapshots in files", { timeout: TIMEOUT_MS }, () => {
  it.each([1, 2, 3])("goes on from what was acknowledged; what had ended has ended (seed %i)", async (seed) => {
    const directory = await mkdtemp(join(tmpdir(), "sworm-storing-"))
    try {
      const names = ["one@a", "two/../@b", "drei@c", "x".repeat(510) + "@a", "gone@b"]
      const expected = new Map<string, Array<string>>(names.map((name) => [name, []]))
      for (let round = 1; round <= 3; round++) {
        // another program each time: nothing is left of the one before but its files
        const town: Town<Books, Client> = new Town<Books, Client>({ service: Books, layer }, {
          seed: seed * 10 + round,
          store: {
            put: (...args) => store.put(...args),
            get: (...args) => store.get(...args),
            remove: (...args) => store.remove(...args)
          }
        })
        const store = inSimulatedTime(await build(Snapshots.layerFileSystem({ directory })), town.world.timeline)
        await town.form("a", "b", "c")
        for (const name of names) {
          await town.get("b", (books) => books.register(name, Ledger, {}))
          const ledger = (books: Client) => books.client(Ledger, name)
          assert.deepStrictEqual(await town.get("c", (books) => ledger(books).Get()), expected.get(name)!)
          for (const id of ["a", "b", "c"]) {
            const op = `${round}${id}`
            await town.get(id, (books) => ledger(books).Add({ op }))
            expected.get(name)!.push(op)
          }
        }
        await town.get("a", (books) => books.unregister("gone@b"))
        expected.set("gone@b", [])
        await town.until("its file is gone", () => town.names("a").length === names.length - 1)
        await town.pass(1000)
        crashAll(town)
      }
      const left = await readdir(directory, { recursive: true })
      assert.lengthOf(left.filter((path) => path.endsWith(".snapshot")), names.length - 1)
      assert.lengthOf(left.filter((path) => path.endsWith(".tmp")), 0)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})

describe("[H23] a store for snapshots that fails", { timeout: TIMEOUT_MS }, () => {
  for (const isRude of [false, true]) {
    const how = isRude ? "with an exception" : "with an error"
    it(`${how} when it is written: nothing is acknowledged that it doesn't have`, async () => {
      const store = await memory()
      const town = await form(store, "a", "b")
      await register(town, "a")
      await added(town, "b", "x")
      store.isRude = isRude
      store.failing = ["put"]
      assert.strictEqual(failureOf(await add(town, "b", "y")), "CallError")
      store.failing = []
      await added(town, "b", "z")
      crashAll(town)
      await town.form("a", "b")
      await register(town, "b")
      const ops = await get(town, "a")
      assert.includeMembers([...ops], ["x", "z"])
    })

    it(`${how} when it is read: nothing newer in it is overwritten`, async () => {
      const store = await memory()
      const town = await form(store, "a", "b")
      await register(town, "a")
      await added(town, "b", "x")
      store.isRude = isRude
      store.failing = ["get"]
      assert.strictEqual(failureOf(await add(town, "b", "y")), "CallError")
      store.failing = []
      await added(town, "b", "z")
    })

    it(`${how} when a name is registered that it may know: that fails, and is done when it works again`, async () => {
      const store = await memory()
      const town = await form(store, "a", "b")
      await register(town, "a")
      await added(town, "b", "x")
      crashAll(town)
      store.isRude = isRude
      store.failing = ["get"]
      await town.form("a", "b")
      assert.strictEqual(failureOf(await register(town, "b")), "Unavailable")
      assert.isTrue(Exit.isSuccess(await town.ask("b", (books) => books.register("other@b", Plain, {}))))
      store.failing = []
      await register(town, "b")
      assert.deepStrictEqual(await get(town, "a"), ["x"])
    })
  }

  it("for a while, when the last who had a state in memory are lost: it is waited for", async () => {
    const store = await memory()
    const town = await form(store, "a", "b", "c")
    await register(town, "a")
    await added(town, "b", "x")
    store.failing = ["get"]
    town.world.crash("a")
    const kept = ["b", "c"]
    for (const id of kept) {
      town.world.crash(id)
      await town.form(id)
      await town.until("it has forgotten nothing of the name", () => town.names(id).length === 1)
    }
    await town.pass(3000)
    store.failing = []
    await town.until("it runs", () => town.running().length === 1)
    assert.deepStrictEqual(await get(town, "b"), ["x"])
  })

  it("when it should forget: a new registration doesn't go on from what had ended", async () => {
    const store = await memory()
    const town = await form(store, "a", "b")
    await register(town, "a")
    await added(town, "b", "x")
    store.failing = ["remove"]
    await town.get("b", (books) => books.unregister(ONE))
    await register(town, "b")
    assert.deepStrictEqual(await get(town, "a"), [])
    await added(town, "a", "new")
    crashAll(town)
    await town.form("a", "b")
    await register(town, "b")
    assert.deepStrictEqual(await get(town, "a"), ["new"])
  })
})

describe("[H23] what a store for snapshots has", { timeout: TIMEOUT_MS }, () => {
  it("is forgotten with the name, also before anything new was kept", async () => {
    const store = await memory()
    const town = await form(store, "a", "b")
    await register(town, "a", Sketch)
    await added(town, "b", "x", Sketch)
    await town.until("it is stored", () => store.asked.includes("put"))
    crashAll(town)
    await town.form("a", "b")
    await register(town, "b", Sketch)
    assert.deepStrictEqual(await get(town, "a", Sketch), ["x"])
    await town.get("b", (books) => books.unregister(ONE))
    await town.until("it is forgotten", () => store.asked.includes("remove"))
    await town.pass(100)
    crashAll(town)
    await town.form("a", "b")
    await register(town, "b", Sketch)
    assert.deepStrictEqual(await get(town, "a", Sketch), [])
  })

  it("is not asked for processes that don't want to be kept", async () => {
    const store = await memory()
    const town = await form(store, "a", "b")
    await register(town, "a", Plain)
    await added(town, "b", "x", Plain)
    await town.get("b", (books) => books.unregister(ONE))
    await town.pass(1000)
    assert.deepStrictEqual(store.asked, [])
  })

  for (const what of ["of another process type", "no snapshot at all", "nothing"]) {
    it(`and can't be used, ${what}: the process starts from its args, and is kept again`, async () => {
      const store = await memory()
      const town = await form(store, "a", "b")
      if (what === "of another process type") {
        await register(town, "a", Sketch)
        await added(town, "b", "x", Sketch)
        await town.until("it is stored", () => store.asked.includes("put"))
        await town.pass(100)
      } else {
        await Effect.runPromise(store.put("Books", ONE, Uint8Array.from(what === "nothing" ? [] : [1, 2, 3])))
      }
      crashAll(town)
      await setBack(town, "a", "b")
      await register(town, "b")
      assert.deepStrictEqual(await get(town, "a"), [])
      await added(town, "a", "y")
      crashAll(town)
      await town.form("a", "b")
      await register(town, "b")
      assert.deepStrictEqual(await get(town, "a"), ["y"])
    })
  }

  it("and doesn't decode any more: the same", async () => {
    const store = await memory()
    const before = await form(store, "a", "b")
    await register(before, "a")
    await added(before, "b", "x")
    const epoch = before.epoch("a", ONE)!
    const town = new Town({ service: NewBooks, layer: newLayer }, { store })
    await setBack(town, "a", "b")
    const ref = await town.get("a", (books) => books.register(ONE, Changed, {}))
    assert.isAbove(ref.epoch, epoch)
    assert.strictEqual(await town.get("b", (books) => books.client(Changed, ONE).Add({ op: "y" })), 1)
  })

  it("comes before all clocks: a registration is above it, and goes on from it", async () => {
    const store = await memory()
    const town = await form(store, "a", "b")
    await register(town, "a")
    await added(town, "b", "x")
    const epoch = town.epoch("a", ONE)!
    crashAll(town)
    await setBack(town, "a", "b")
    await register(town, "b")
    assert.isAbove(town.epoch("a", ONE)!, epoch)
    assert.deepStrictEqual(await get(town, "b"), ["x"])
    await added(town, "b", "y")
  })

  it("of the copies of a split, is the state of the latest: no other acknowledges anything then", async () => {
    const store = await memory()
    const town = await form(store, "a", "b", "c")
    await register(town, "a")
    await added(town, "b", "x")
    town.world.network.partition(["a"], ["b", "c"])
    town.world.network.partition(["b"], ["c"])
    await town.until("all run it", () => town.running().length === 3)
    const acknowledged = ["x"]
    for (const op of ["1", "2", "3", "4"]) {
      for (const id of ["b", "c"]) if (Exit.isSuccess(await add(town, id, op + id))) acknowledged.push(op + id)
    }
    assert.isAtLeast(acknowledged.length, 5)
    crashAll(town)
    town.world.network.heal()
    await town.form("a", "b", "c")
    await register(town, "b")
    assert.includeMembers([...await get(town, "a")], acknowledged)
  })
})
