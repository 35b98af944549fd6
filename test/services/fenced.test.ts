// A process's own storage: copies that have lost their name change nothing in it, and nothing that was done is lost.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Ref, Schema } from "effect"
import { KeyValueStore } from "effect/persistence"
import { Rpc } from "effect/rpc"
import { Fenced, Process, Sworm, SwormError } from "@sworm/sworm"
import { seededRandom } from "../../src/protocol/random.ts"
import { failureOf, Town } from "./simulated.ts"
import { steer, TIMEOUT_MS } from "./support.ts"

const error = Schema.Union([Fenced.StaleToken, Fenced.FencedStoreError])
const Ops = Schema.Array(Schema.String)

const Account = Process.make("Account", {
  protocol: [
    Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int, error }),
    Rpc.make("Set", { payload: { ops: Ops }, error }),
    Rpc.make("Get", { success: Ops, error }),
    Rpc.make("Token", { success: Schema.Struct({ epoch: Schema.Number, node: Schema.String, boot: Schema.Number }) })
  ]
})

type Store = Fenced.FencedStore

const accountsOf = (store: Store) => {
  class Accounts extends Sworm.Service<Accounts>()("Accounts", {
    processes: [Account],
    placement: steer,
    redistribution: "passive"
  }) {}
  const implementation = Accounts.toLayer(Account, {
    init: () => Effect.void,
    handlers: {
      Add: Effect.fnUntraced(function* ({ op }, self) {
        const ops = yield* Fenced.make(self, Ops)
        return (yield* ops.update((before = []) => [...before, op])).length
      }),
      Set: Effect.fnUntraced(function* ({ ops }, self) {
        yield* (yield* Fenced.make(self, Ops)).write(ops)
      }),
      Get: Effect.fnUntraced(function* (_, self) {
        return (yield* (yield* Fenced.make(self, Ops)).read) ?? []
      }),
      Token: (_, { token }) => Effect.succeed(token)
    }
  })
  const layer = Layer.provide(Accounts.layer, Layer.provide(implementation, Layer.succeed(Fenced.FencedStore)(store)))
  return { service: Accounts, layer }
}

type Client = Sworm.SwormClient<typeof Account>

const memory = (): Store => {
  const built = Effect.runSync(Effect.scoped(Layer.build(Layer.fresh(Fenced.layerMemory))))
  return Context.get(built, Fenced.FencedStore)
}

const form = async (name: string, ...ids: ReadonlyArray<string>) => {
  const town = new Town(accountsOf(memory()))
  await town.form(...ids)
  await town.get(ids[0]!, (accounts) => accounts.register(name, Account, {}))
  const client = (accounts: Client) => accounts.client(Account, name, { timeout: "20 seconds" })
  return {
    town,
    add: (id: string, op: string) => town.ask(id, (accounts) => client(accounts).Add({ op })),
    set: (id: string, ops: ReadonlyArray<string>) => town.ask(id, (accounts) => client(accounts).Set({ ops })),
    ops: (id: string) => town.get(id, (accounts) => client(accounts).Get()),
    token: (id: string) => town.get(id, (accounts) => client(accounts).Token())
  }
}

const isDone = (exit: Exit.Exit<unknown, { readonly _tag: string }>): boolean => {
  if (Exit.isSuccess(exit)) return true
  assert.strictEqual(failureOf(exit), "StaleToken")
  return false
}

describe("[T11] two copies of a split", { timeout: TIMEOUT_MS }, () => {
  it("the earlier one may write until the later one has; then it is refused, and told by what", async () => {
    const { add, ops, set, token, town } = await form("one@a", "a", "b")
    assert.isTrue(isDone(await add("b", "before")))
    await town.part(["a"], ["b"])
    await town.until("both run it", () => town.running().length === 2)
    assert.isTrue(isDone(await add("a", "early")))
    assert.isTrue(isDone(await add("b", "late")))
    const refused = await add("a", "too late")
    assert.strictEqual(failureOf(refused), "StaleToken")
    const stale = Option.getOrThrow(Exit.findErrorOption(refused)) as SwormError.StaleToken
    assert.deepStrictEqual([stale.name, stale.token, stale.newer], ["one@a", await token("a"), await token("b")])
    assert.isFalse(isDone(await set("a", [])))
    assert.deepStrictEqual(await ops("a"), ["before", "early", "late"], "what it reads is what there is")
    await town.heal()
    await town.until("one stays", () => town.running().length === 1 && town.isAgreed())
    for (const id of ["a", "b"]) assert.isTrue(isDone(await add(id, id)))
    assert.deepStrictEqual(await ops("a"), ["before", "early", "late", "a", "b"])
  })

  it("of equal epochs the first that writes keeps the other out, until it is settled which one stays", async () => {
    const { add, ops, token, town } = await form("one@a", "a", "b", "c")
    assert.isTrue(isDone(await add("b", "before")))
    town.world.network.partition(["a"], ["b", "c"])
    town.world.network.partition(["b"], ["c"])
    await town.until("all run it", () => town.running().length === 3)
    const tokens = [await token("b"), await token("c")]
    assert.strictEqual(tokens[0]!.epoch, tokens[1]!.epoch)
    assert.isTrue(isDone(await add("c", "c")))
    assert.isFalse(isDone(await add("b", "b")))
    assert.isFalse(isDone(await add("a", "a")))
    assert.isTrue(isDone(await add("c", "c")))
    await town.heal()
    await town.until("one stays", () => town.running().length === 1 && town.isAgreed())
    for (const id of ["a", "b", "c"]) assert.isTrue(isDone(await add(id, id)))
    assert.deepStrictEqual(await ops("b"), ["before", "c", "c", "a", "b", "c"])
  })

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "whatever comes from both sides meanwhile, what is stored is what was acknowledged (seed %i)",
    async (seed) => {
      const random = seededRandom(seed)
      const { add, ops, town } = await form("one@a", "a", "b")
      const acknowledged: Array<string> = []
      const some = async (count: number) => {
        for (let n = 0; n < count; n++) {
          const op = `op${acknowledged.length}.${n}`
          if (isDone(await add(random() < 0.5 ? "a" : "b", op))) acknowledged.push(op)
        }
      }
      for (let round = 0; round < 2; round++) {
        await some(4)
        await town.part(["a"], ["b"])
        await town.until("both run it", () => town.running().length === 2)
        await some(12)
        await town.heal()
        await town.until("one stays", () => town.running().length === 1 && town.isAgreed())
      }
      await some(2)
      assert.deepStrictEqual(await ops("a"), acknowledged)
      assert.isAtLeast(acknowledged.length, 10)
    }
  )
})

// ---- without a cluster: copies as they see themselves

const copy = (epoch: number, node = "a") => ({ sworm: "s", name: "one", token: { epoch, node, boot: 1 } })

const run = <A, E>(store: Store, effect: Effect.Effect<A, E, Fenced.FencedStore>): Effect.Effect<A, E> =>
  Effect.provideService(effect, Fenced.FencedStore, store)

/** Something happens between the reading and the writing of the first that does both. */
const between = (store: Store, what: Effect.Effect<unknown>): Store => {
  let isFirst = true
  return {
    write: store.write,
    read: (key) =>
      Effect.tap(store.read(key), () => {
        if (!isFirst) return Effect.void
        isFirst = false
        return what
      })
  }
}

const addAs = (epoch: number, by: number, node?: string) =>
  Effect.flatMap(Fenced.make(copy(epoch, node), Schema.Int), (value) => value.update((before = 0) => before + by))

describe("an update", () => {
  for (const before of [[], [1]]) {
    const what = before.length === 0 ? "nothing" : "something"
    it.effect(`loses no write that another copy does meanwhile, where ${what} was there`, () =>
      Effect.gen(function* () {
        const store = memory()
        for (const by of before) yield* run(store, addAs(1, by))
        const other = yield* Ref.make<Exit.Exit<number, unknown> | undefined>(undefined)
        const meddling = Effect.flatMap(Effect.exit(run(store, addAs(1, 10))), (exit) => Ref.set(other, exit))
        yield* run(between(store, meddling), addAs(2, 100, "b"))
        const done = (yield* Ref.get(other))!
        const expected = 100 + (Exit.isSuccess(done) ? 10 : 0) + before.length
        assert.strictEqual(
          yield* run(store, Effect.flatMap(Fenced.make(copy(3), Schema.Int), ({ read }) => read)),
          expected
        )
      }))
  }

  it.effect("of an earlier copy is refused when a later one comes in between, and the later one's stays", () =>
    Effect.gen(function* () {
      const store = memory()
      yield* run(store, addAs(1, 1))
      const later = Effect.orDie(run(store, addAs(2, 10, "b")))
      const refused = yield* Effect.flip(run(between(store, later), addAs(1, 100)))
      assert.strictEqual(refused._tag, "StaleToken")
      assert.strictEqual(yield* run(store, addAs(2, 0, "b")), 11)
    }))

  it.effect("takes the token as it is then: it grows while the process runs", () =>
    Effect.gen(function* () {
      const store = memory()
      const self = { ...copy(1) }
      const value = yield* run(store, Fenced.make(self, Schema.Int))
      yield* value.write(1)
      yield* run(store, addAs(2, 10, "b"))
      assert.strictEqual((yield* Effect.flip(value.write(2)))._tag, "StaleToken")
      self.token = { ...self.token, epoch: 3 }
      assert.strictEqual(yield* value.update((before = 0) => before + 100), 111)
    }))
})

describe("a fenced value", () => {
  it.effect("is one of a sworm, a name and a key, whatever these are", () =>
    Effect.gen(function* () {
      const store = memory()
      const places = [["a", "b", ""], ["a/b", "", ""], ["a", "", "b"], ["a", "b/", ""], ["a", "\ud800", ""], [
        "a",
        "%",
        ""
      ]]
      for (const [at, [sworm, name, key]] of places.entries()) {
        yield* (yield* run(store, Fenced.make({ ...copy(1), sworm: sworm!, name: name! }, Schema.Int, key!))).write(at)
      }
      for (const [at, [sworm, name, key]] of places.entries()) {
        const value = yield* run(store, Fenced.make({ ...copy(1), sworm: sworm!, name: name! }, Schema.Int, key!))
        assert.strictEqual(yield* value.read, at)
      }
    }))

  it.effect("is what its schema makes of plain data, nothing at all included", () =>
    Effect.gen(function* () {
      const store = memory()
      const schema = Schema.Struct({ at: Schema.Date, note: Schema.UndefinedOr(Schema.String) })
      const dated = yield* run(store, Fenced.make(copy(1), schema, "dated"))
      assert.isUndefined(yield* dated.read)
      yield* dated.write({ at: new Date(5), note: undefined })
      assert.deepStrictEqual(yield* dated.read, { at: new Date(5), note: undefined })
      const maybe = yield* run(store, Fenced.make(copy(1), Schema.UndefinedOr(Schema.Int), "maybe"))
      yield* maybe.write(7)
      yield* maybe.write(undefined)
      assert.isUndefined(yield* maybe.read)
    }))

  it.effect("that doesn't decode is an error, and stays as it is; one that doesn't encode is not written", () =>
    Effect.gen(function* () {
      const store = memory()
      const text = yield* run(store, Fenced.make(copy(1), Schema.String))
      yield* text.write("what an earlier version wrote")
      const number = yield* run(store, Fenced.make(copy(2), Schema.Int))
      assert.strictEqual((yield* Effect.flip(number.read))._tag, "FencedStoreError")
      assert.strictEqual((yield* Effect.flip(number.update(() => 1)))._tag, "FencedStoreError")
      assert.strictEqual(yield* text.read, "what an earlier version wrote")
      yield* number.write(1)
      const unfit = yield* Effect.flip(number.write(1.5))
      assert.strictEqual(unfit._tag, "FencedStoreError")
      assert.strictEqual(yield* number.read, 1)
    }))
})

describe("a fenced store that fails", () => {
  const broken = new Fenced.FencedStoreError({ detail: "the plug was pulled" })

  it.effect("makes each operation fail with what it says", () =>
    Effect.gen(function* () {
      const store: Store = { read: () => Effect.fail(broken), write: () => Effect.fail(broken) }
      const value = yield* run(store, Fenced.make(copy(1), Schema.Int))
      for (const attempt of [value.read, value.write(1), value.update(() => 1)]) {
        const failure = yield* Effect.flip(attempt as Effect.Effect<unknown, Fenced.FencedStoreError>)
        assert.strictEqual(failure.message, "The fenced store failed: the plug was pulled")
      }
    }))

  it("is told to the caller, and the process goes on when it works again", async () => {
    const store = memory()
    let isBroken = false
    const failing = <A>(effect: Effect.Effect<A, Fenced.FencedStoreError>) =>
      Effect.suspend(() => isBroken ? Effect.fail(broken) : effect)
    const town = new Town(accountsOf({
      read: (key) => failing(store.read(key)),
      write: (key, written) => failing(store.write(key, written))
    }))
    await town.form("a", "b")
    await town.get("a", (accounts) => accounts.register("one@a", Account, {}))
    const add = (op: string) => town.ask("b", (accounts) => accounts.client(Account, "one@a").Add({ op }))
    assert.isTrue(Exit.isSuccess(await add("x")))
    const epoch = town.epoch("a", "one@a")
    isBroken = true
    assert.strictEqual(failureOf(await add("y")), "FencedStoreError")
    isBroken = false
    assert.deepStrictEqual(await add("z"), Exit.succeed(2))
    assert.strictEqual(town.epoch("a", "one@a"), epoch, "it has not crashed")
  }, TIMEOUT_MS)

  it.effect("in a KeyValueStore: its errors, and what is no entry of its own, are told", () =>
    Effect.gen(function* () {
      const entries = yield* KeyValueStore.KeyValueStore
      const store = yield* Fenced.FencedStore
      yield* entries.set("k", "{ no JSON")
      assert.strictEqual((yield* Effect.flip(store.read("k")))._tag, "FencedStoreError")
      const written = { token: copy(1).token, value: 1 }
      assert.strictEqual((yield* Effect.flip(store.write("k", written)))._tag, "FencedStoreError")
      assert.strictEqual(yield* entries.get("k"), "{ no JSON")
      assert.deepStrictEqual(yield* store.write("other", written), written)
    }).pipe(
      Effect.provide(Layer.provideMerge(Fenced.layerKeyValueStore, KeyValueStore.layerMemory))
    ))
})
