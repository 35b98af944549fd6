// A network that is really split: nodes in network namespaces, on a switch whose cable is pulled and plugged in again. Packets
// are lost, nobody is told. Where namespaces can't be made (no Linux, no rights) that is said, and nothing is tested.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { currentRuntimeName } from "../../scripts/runtimes.ts"
import { settle } from "./checkers.ts"
import { seeEachOther, start, survivors, three, waitUntil } from "./harness.ts"
import { History } from "./history.ts"
import { load, moreCalls, named, populate } from "./load.ts"
import { makeSwitch } from "./namespaces.ts"

const timeout_ms = 150_000
const still = named("still", 40)
const busy = named("busy", 20)

/** Two of five are cut off from the three others, and healed. */
const split = Effect.gen(function* () {
  const wires = yield* makeSwitch(5)
  const history = new History()
  const startAt = (index: number, join: ReadonlyArray<string>) => {
    const { address, via } = wires.hosts[index]!
    const runtime = three[index % 3]!
    return start(runtime, { id: `host-${index}-${runtime.name}`, listen: `${address}:4100`, join }, { via })
  }
  const first = yield* startAt(0, [])
  const rest = yield* Effect.all([1, 2, 3, 4].map((index) => startAt(index, [`${wires.hosts[0]!.address}:4100`])), {
    concurrency: "unbounded"
  })
  const nodes = [first, ...rest]
  yield* seeEachOther(nodes)
  yield* populate(first, history, [...still, ...busy])
  const before = yield* settle(nodes, history)
  const { stop } = yield* load(history, {
    nodes: () => [nodes[0]!, nodes[4]!, nodes[2]!],
    names: busy,
    registers: "new"
  })
  yield* waitUntil("calls are answered", moreCalls(history, 100))
  history.mayHaveRestarted(history.names.filter((name) => !still.includes(name)))
  const sides = [nodes.slice(0, 3), nodes.slice(3)]
  wires.split(wires.hosts.slice(3))
  yield* Effect.all(sides.map(seeEachOther), { concurrency: "unbounded" })
  // each side has every name
  for (const side of sides) {
    const ids = side.map(({ id }) => id)
    yield* waitUntil(
      `${ids.join(" and ")} run every name`,
      Effect.map(
        side[0]!.ask("whereis", { names: [...still, ...busy] }),
        (refs) => refs.every((ref) => ref !== null && ids.includes(ref.node))
      ),
      "40 seconds"
    )
  }
  yield* waitUntil("calls are answered on both sides", moreCalls(history, 200))
  history.mayHaveRestarted(history.names.filter((name) => !still.includes(name)))
  wires.heal()
  yield* waitUntil("the sides meet again", Effect.map(seeEachOther(nodes), () => true), "40 seconds")
  yield* stop
  const after = yield* settle(nodes, history)
  assert.isAtLeast(after.length, before.length)
})

describe("a real split", () => {
  it.skipIf(currentRuntimeName !== "node")(
    "heals to one copy of each name, and nothing acknowledged is lost (in the Node run only: the nodes are the same)",
    async (context) => {
      const refused = await Effect.runPromise(
        Effect.scoped(split).pipe(
          Effect.as(undefined),
          Effect.catchTag("NotPermitted", ({ message }) => Effect.succeed(message))
        )
      )
      if (refused !== undefined) context.skip(`network namespaces can't be made here: ${refused}`)
    },
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
