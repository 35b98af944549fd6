// Clusters that were formed apart, with some names the same and others not, and that meet: one copy of each, nothing lost.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { settle } from "./checkers.ts"
import { seeEachOther, start, survivors, type TestNode, three } from "./harness.ts"
import { History } from "./history.ts"
import { load, moreCalls, named, populate, START } from "./load.ts"
import { freeAddress } from "./proxy.ts"
import { waitUntil } from "./wait.ts"

const timeout_ms = 90_000
const common = named("common", 25)

/** Two clusters of two, each with names of its own and the common ones; theirs have counted to 107 here, to 130 there. */
const formApart = Effect.fnUntraced(function* (seedsOfSecond: ReadonlyArray<string>) {
  const history = new History()
  const pair = (
    prefix: string,
    indices: readonly [number, number],
    options: { readonly join: ReadonlyArray<string> }
  ) =>
    Effect.gen(function* () {
      const [one, other] = indices.map((index) => three[index]!) as [typeof three[0], typeof three[0]]
      const first = yield* start(one, { id: `${prefix}-1-${one.name}`, redialMs: 300, ...options })
      const second = yield* start(other, { id: `${prefix}-2-${other.name}`, join: [first.address()], redialMs: 300 })
      yield* seeEachOther([first, second])
      return [first, second] as const
    })
  const [left, right] = yield* Effect.all([
    pair("left", [0, 1], { join: [] }),
    pair("right", [1, 2], { join: seedsOfSecond })
  ], { concurrency: "unbounded" })
  const own = { left: named("left", 25), right: named("right", 25) }
  yield* populate(left[0], history, own.left, 3)
  yield* populate(right[0], history, own.right, 5)
  // each side counts by itself: their totals are looked at by the test
  yield* left[0].ask("register", { names: common, start: START })
  yield* left[1].ask("increment", { names: common, by: 7 })
  yield* right[0].ask("register", { names: common, start: START })
  yield* right[1].ask("increment", { names: common, by: 30 })
  return { history, left, right, own }
})

/** One copy of each, all of it the state of one of the two: the one that has lived longer, the left one's. */
const checkCommon = (nodes: ReadonlyArray<TestNode>) =>
  Effect.gen(function* () {
    for (const node of nodes) {
      const totals = yield* node.ask("totals", { names: common })
      assert.deepStrictEqual(
        totals.map((found) => typeof found === "string" ? found : found.total),
        common.map(() => START + 7),
        node.id
      )
    }
  })

describe("two clusters formed apart", () => {
  it.live("meet at a node that joins both", () =>
    Effect.gen(function* () {
      const { history, left, own, right } = yield* formApart([])
      const bridge = yield* start(three[2], { id: "bridge", join: [left[0].address(), right[0].address()] })
      const nodes = [...left, ...right, bridge]
      yield* seeEachOther(nodes)
      const refs = yield* settle(nodes, history)
      assert.deepStrictEqual(
        refs.map(({ name }) => name).sort(),
        [...common, ...own.left, ...own.right].sort(),
        "all names of both"
      )
      yield* checkCommon(nodes)
    }), timeout_ms)

  it.live("meet when a seed of one of them turns up in the other, under calls", () =>
    Effect.gen(function* () {
      const seed = yield* freeAddress
      const { history, left, own, right } = yield* formApart([seed])
      const { stop } = yield* load(history, { nodes: () => left, names: own.left })
      const more = yield* load(history, { nodes: () => right, names: own.right })
      yield* waitUntil("calls are answered", moreCalls(history, 200))
      const late = yield* start(three[0], { id: "late", listen: seed, join: [left[1].address()] })
      const nodes = [...left, ...right, late]
      yield* seeEachOther(nodes)
      yield* waitUntil("calls are answered", moreCalls(history, 200))
      yield* Effect.all([stop, more.stop])
      const refs = yield* settle(nodes, history)
      assert.lengthOf(refs, common.length + own.left.length + own.right.length)
      yield* checkCommon(nodes)
    }), timeout_ms)
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
