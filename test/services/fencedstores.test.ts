// One contract for every store that refuses writes of earlier copies, whatever order they come in.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, type Scope } from "effect"
import { KeyValueStore } from "effect/persistence"
import { Fenced, type Process } from "@sworm/sworm"
import { layerSqlite } from "../../examples/fenced/sqlite.ts"
import { seededRandom } from "../../src/protocol/random.ts"

type Store = Fenced.FencedStore

const storeOf = (
  layer: Layer.Layer<Store, Fenced.FencedStoreError>
): Effect.Effect<Store, Fenced.FencedStoreError, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Fenced.FencedStore))

/** Each answers when it likes: what is not one step falls apart. */
const slowly = (store: KeyValueStore.KeyValueStore): KeyValueStore.KeyValueStore => ({
  ...store,
  get: (key) => Effect.andThen(Effect.yieldNow, Effect.tap(store.get(key), () => Effect.yieldNow)),
  set: (key, value) => Effect.andThen(Effect.yieldNow, Effect.tap(store.set(key, value), () => Effect.yieldNow))
})

const layerSlow = Layer.effect(KeyValueStore.KeyValueStore)(Effect.map(KeyValueStore.KeyValueStore, slowly)).pipe(
  Layer.provide(KeyValueStore.layerMemory)
)

const stores = {
  "in memory": storeOf(Fenced.layerMemory),
  "in a KeyValueStore": storeOf(Fenced.layerKeyValueStore.pipe(Layer.provide(layerSlow))),
  "in SQLite": storeOf(layerSqlite(":memory:"))
}

const token = (epoch: number, node = "a", boot = 1): Process.FencingToken => ({ epoch, node, boot })

interface Write {
  readonly key: string
  readonly written: Fenced.Written
}

/** Writes of holders that don't know of each other; some leave the value as it is. */
const anyWrites = (seed: number, length: number): ReadonlyArray<Write> => {
  const random = seededRandom(seed)
  const pick = (below: number): number => Math.floor(random() * below)
  return Array.from({ length }, (_, n) => ({
    key: `s/one${pick(2)}/`,
    written: {
      token: token(1 + pick(5), "ab"[pick(2)], 1 + pick(2)),
      ...pick(4) > 0 ? { value: { n, text: `v${n}` } } : {}
    }
  }))
}

const SEEDS = Array.from({ length: 20 }, (_, n) => n + 1)

for (const [where, make] of Object.entries(stores)) {
  describe(`a fenced store, ${where}`, () => {
    const given = (text: string, run: (store: Store) => Effect.Effect<void, Fenced.FencedStoreError>) =>
      it.live(text, () => Effect.scoped(Effect.flatMap(make, run)))

    given("has nothing at first; takes the first write, under whatever token", (store) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* store.read("k"))
        const written = { token: token(7), value: [1, "two", null, { three: 3.5 }] }
        assert.deepStrictEqual(yield* store.write("k", written), written)
        assert.deepStrictEqual(yield* store.read("k"), written)
        assert.isUndefined(yield* store.read("K"))
      }))

    given(
      "takes a later epoch, and the same holder's; refuses an earlier one, and says what stands",
      (store) =>
        Effect.gen(function* () {
          yield* store.write("k", { token: token(1, "b"), value: 1 })
          yield* store.write("k", { token: token(3, "a"), value: 2 })
          const last = { token: token(3, "a"), value: 3 }
          assert.deepStrictEqual(yield* store.write("k", last), last)
          for (const refused of [token(2, "c"), token(1, "b"), token(3, "b"), token(3, "a", 2), token(0)]) {
            assert.deepStrictEqual(yield* store.write("k", { token: refused, value: 9 }), last)
            assert.deepStrictEqual(yield* store.write("k", { token: refused }), last)
          }
          assert.deepStrictEqual(yield* store.read("k"), last)
          yield* store.write("other", { token: token(1), value: 1 })
        })
    )

    given(
      "without a value the token alone is written: the value stays, and earlier copies are out",
      (store) =>
        Effect.gen(function* () {
          assert.isUndefined((yield* store.write("k", { token: token(1) })).value)
          assert.isUndefined((yield* store.read("k"))?.value)
          assert.deepStrictEqual((yield* store.read("k"))?.token, token(1))
          yield* store.write("k", { token: token(1), value: 0 })
          assert.deepStrictEqual(yield* store.write("k", { token: token(2, "b") }), { token: token(2, "b"), value: 0 })
          assert.deepStrictEqual((yield* store.write("k", { token: token(1), value: 9 })).token, token(2, "b"))
          assert.deepStrictEqual(yield* store.read("k"), { token: token(2, "b"), value: 0 })
          yield* store.write("k", { token: token(2, "b"), value: null })
          assert.deepStrictEqual((yield* store.read("k"))?.value, null)
        })
    )

    given("keeps numbers as they are: epochs and boots are times in ms", (store) =>
      Effect.gen(function* () {
        const large = { token: { epoch: 4_102_444_800_001, node: "ü\"'; --", boot: Number.MAX_SAFE_INTEGER }, value: 1 }
        yield* store.write("k", large)
        assert.deepStrictEqual(yield* store.read("k"), large)
      }))

    for (const seed of SEEDS) {
      given(`does as mayReplace says, one write after the other (seed ${seed})`, (store) =>
        Effect.gen(function* () {
          const expected = new Map<string, Fenced.Written>()
          for (const { key, written } of anyWrites(seed, 60)) {
            const before = expected.get(key)
            if (Fenced.mayReplace(written.token, before?.token)) {
              expected.set(key, { token: written.token, value: written.value ?? before?.value })
            }
            const after = yield* store.write(key, written)
            assert.deepStrictEqual([after.token, after.value], [expected.get(key)!.token, expected.get(key)!.value])
          }
          for (const [key, { token, value }] of expected) {
            const found = (yield* store.read(key))!
            assert.deepStrictEqual([found.token, found.value], [token, value])
          }
        }))

      given(
        `no write of a lower epoch stands after a higher, in any order (seed ${seed})`,
        (store) =>
          Effect.gen(function* () {
            const writes = anyWrites(seed + 1000, 60)
            const done: Array<Write & { readonly isTaken: boolean }> = []
            yield* Effect.forEach(
              writes,
              ({ key, written }) =>
                Effect.map(
                  store.write(key, written),
                  (after) => void done.push({ key, written, isTaken: Fenced.isSame(after.token, written.token) })
                ),
              { concurrency: "unbounded" }
            )
            assert.lengthOf(done, writes.length)
            for (
              const key of new Set(writes.map((write) => write.key))
            ) {
              const all = done.filter((write) => write.key === key)
              const highest = Math.max(...all.map(({ written }) => written.token.epoch))
              const stands = (yield* store.read(key))!
              assert.strictEqual(stands.token.epoch, highest)
              const holders = new Map<number, Process.FencingToken>()
              for (const { written: { token } } of all.filter(({ isTaken }) => isTaken)) {
                const holder = holders.get(token.epoch) ?? token
                assert.isTrue(Fenced.isSame(holder, token), `epoch ${token.epoch} of two holders`)
                holders.set(token.epoch, holder)
              }
              const values = all.filter(({ isTaken, written }) => isTaken && written.value !== undefined)
              assert.include(
                [undefined, ...values.map(({ written }) => JSON.stringify(written.value))],
                JSON.stringify(stands.value)
              )
            }
          })
      )
    }
  })
}
