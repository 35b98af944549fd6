// The example of Sworm's README: handoff, and node affinity.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Gateway, Host } from "../../examples/my-processes/app.ts"
import { MyProcesses, Notebook, Scratchpad } from "../../examples/my-processes/my-processes.ts"
import { countKept, countOn, NAMES, startAll } from "../../examples/my-processes/usage.ts"
import { startNode, until, untilHosts } from "../../examples/workers/nodes.ts"
import { play, startNodes } from "./stage.ts"

const LIMIT = 60_000

const start = Effect.gen(function* () {
  const [a, b] = yield* startNodes(Host, MyProcesses, "a", "b")
  const gateway = yield* startNode("gateway", Gateway, "a")
  for (const node of [a!, b!, gateway]) yield* untilHosts(node, MyProcesses, 2)
  return { a: a!, b: b!, gateway }
})

describe("examples/my-processes", () => {
  it.live(
    "with handoff a node that shuts down gives its processes away with their state, without it blank",
    () =>
      play(() =>
        Effect.gen(function* () {
          const { b, gateway } = yield* start
          for (const kind of [Notebook, Scratchpad]) {
            yield* gateway.run(startAll(kind))
            assert.strictEqual(yield* gateway.run(countKept(kind)), NAMES.length)
            assert.isAbove(yield* gateway.run(countOn("b", kind)), 0, `some ${kind.name} is on b`)
          }
          const stayed = yield* gateway.run(countOn("a", Scratchpad))
          yield* b.leave
          for (const kind of [Notebook, Scratchpad]) {
            const moved = Effect.map(gateway.run(countOn("a", kind)), (count) => count === NAMES.length)
            yield* until("all are on a", moved)
          }
          assert.strictEqual(yield* gateway.run(countKept(Notebook)), NAMES.length)
          assert.strictEqual(yield* gateway.run(countKept(Scratchpad)), stayed)
        })
      ),
    LIMIT
  )

  it.live(
    "a node that doesn't start the sworm registers and calls, and runs none of it",
    () =>
      play(() =>
        Effect.gen(function* () {
          const { a, b, gateway } = yield* start
          yield* gateway.run(startAll(Notebook))
          for (const node of [a, b, gateway]) {
            assert.strictEqual(yield* node.run(countKept(Notebook)), NAMES.length)
            assert.strictEqual(yield* node.run(countOn("gateway", Notebook)), 0)
            const counts = yield* (yield* node.run(MyProcesses)).countChildren
            assert.strictEqual((counts.get("a") ?? 0) + (counts.get("b") ?? 0), NAMES.length)
          }
          // not even when nobody else of those that were there is left
          yield* b.leave
          yield* until(
            "all are on a",
            Effect.map(gateway.run(countOn("a", Notebook)), (count) => count === NAMES.length)
          )
          assert.strictEqual(yield* gateway.run(countOn("gateway", Notebook)), 0)
          assert.strictEqual(yield* gateway.run(countKept(Notebook)), NAMES.length)
        })
      ),
    LIMIT
  )
})
