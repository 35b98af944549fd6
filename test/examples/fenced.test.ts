// The example of a process with a storage of its own: two copies after a split, and one database.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import { AccountLayer, Accounts } from "../../examples/fenced/account.ts"
import { deposit, homeOf, open, read } from "../../examples/fenced/bank.ts"
import { layerSqlite } from "../../examples/fenced/sqlite.ts"
import { until } from "../../examples/workers/nodes.ts"
import { play, startNodes } from "./stage.ts"

const LIMIT = 60_000
const names = ["ada", "ben", "cyd", "dot"]

const start = (...ids: readonly [string, string]) =>
  Effect.gen(function* () {
    const store = yield* Layer.build(Layer.fresh(layerSqlite(":memory:")))
    const App = Accounts.layer.pipe(Layer.provide(AccountLayer), Layer.provide(Layer.succeedContext(store)))
    const [a, b] = yield* startNodes(App, Accounts, ...ids)
    return [a!, b!] as const
  })

const balance = (cents: number, deposits: number) => ({ cents, deposits })

describe("examples/fenced", () => {
  it.live(
    "what is paid in by any node is there, also after its process has moved and after its node is lost",
    () =>
      play(() =>
        Effect.gen(function* () {
          const [a, b] = yield* start("a", "b")
          for (const name of names) {
            yield* a.run(open(name))
            yield* a.run(deposit(name, 1))
            assert.deepStrictEqual(yield* b.run(deposit(name, 20)), balance(21, 2))
          }
          yield* b.kill
          for (const name of names) {
            yield* until(`${name} is on a`, Effect.map(a.run(homeOf(name)), (home) => home === "a"))
            yield* until(`${name} answers`, Effect.map(a.run(read(name)), () => true))
            assert.deepStrictEqual(yield* a.run(deposit(name, 300)), balance(321, 3))
          }
        })
      ),
    LIMIT
  )

  it.live(
    "two copies of a split: what is acknowledged is there, what is refused is not",
    () =>
      play(() =>
        Effect.gen(function* () {
          const [a, b] = yield* start("a", "b")
          for (const name of names) {
            const { node } = yield* a.run(open(name))
            yield* a.run(deposit(name, 1))
            assert.include(["a", "b"], node)
          }
          const homes = new Map<string, string | undefined>()
          for (const name of names) homes.set(name, yield* a.run(homeOf(name)))
          const network = yield* VirtualNetwork.VirtualNetwork
          network.partition(["a"], ["b"])
          for (const node of [a, b]) {
            for (const name of names) {
              const isHere = Effect.map(node.run(homeOf(name)), (home) => home === node.id)
              yield* until(`${name} runs on ${node.id} too`, isHere)
            }
          }
          for (const name of names) {
            const [old, late] = homes.get(name) === "a" ? [a, b] : [b, a]
            assert.deepStrictEqual(yield* old.run(deposit(name, 10)), balance(11, 2))
            assert.deepStrictEqual(yield* late.run(deposit(name, 100)), balance(111, 3))
            const refused = yield* Effect.flip(old.run(deposit(name, 1000)))
            assert.strictEqual(refused._tag, "StaleToken")
            assert.include(refused.message, name)
            assert.deepStrictEqual(yield* late.run(deposit(name, 10_000)), balance(10_111, 4))
          }
          network.heal()
          for (const name of names) {
            const refs = Effect.all(
              [a, b].map((node) => node.run(Effect.flatMap(Accounts, (all) => all.whereis(name))))
            )
            const isOne = Effect.map(
              refs,
              ([one, other]) =>
                Option.isSome(one!) && Option.isSome(other!) && one.value.node === other.value.node &&
                one.value.epoch === other.value.epoch
            )
            yield* until(`one ${name} stays`, isOne)
            for (const node of [a, b]) yield* node.run(deposit(name, 100_000))
            assert.deepStrictEqual(yield* a.run(read(name)), balance(210_111, 6))
          }
        })
      ),
    LIMIT
  )
})
