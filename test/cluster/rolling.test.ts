// All nodes are restarted one after the other, as a deployment does, under calls and registrations: each call is answered
// once or fails with a typed error, all names run, and all that was acknowledged counts.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { settle } from "./checkers.ts"
import { seeEachOther, start, startThree, survivors, type TestNode, waitUntil } from "./harness.ts"
import { History } from "./history.ts"
import { load, moreCalls, named, populate } from "./load.ts"

const timeout_ms = 120_000

describe("[D12] a rolling restart of all nodes", () => {
  it.live(
    "under calls and registrations: every acknowledged call counts, every name runs",
    () =>
      Effect.gen(function* () {
        const history = new History()
        const names = named("name", 80)
        const nodes: Array<TestNode> = [...yield* startThree("roll")]
        yield* populate(nodes[0]!, history, names)
        const before = yield* settle(nodes, history)
        const { stop } = yield* load(history, { nodes: () => nodes, names, registers: "new" })
        for (const [index, { address, id, runtime }] of nodes.entries()) {
          yield* waitUntil("calls are answered", moreCalls(history, 200))
          const leaving = nodes[index]!
          assert.deepStrictEqual(yield* leaving.terminate, { code: 0, signal: null })
          assert.strictEqual(leaving.stderr(), "")
          const others = nodes.filter((node) => node !== leaving)
          // the same name, at the same address, as its successor has it
          nodes[index] = yield* start(runtime, { id, listen: address(), join: others.map((node) => node.address()) })
          yield* seeEachOther(nodes)
        }
        yield* waitUntil("calls are answered", moreCalls(history, 200))
        yield* stop
        const after = yield* settle(nodes, history)
        assert.isAbove(history.names.length, names.length, "new names were registered meanwhile")
        for (const { epoch, name } of before) {
          assert.isAtLeast(after.find((ref) => ref.name === name)!.epoch, epoch, name)
        }
      }),
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
