// Nodes that are killed, or frozen and taken for dead, while all others are called and register new names.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { currentRuntimeName, runtimeNames } from "../../scripts/runtimes.ts"
import { settle } from "./checkers.ts"
import { launch, seeEachOther, startMany, startThree, survivors, type TestNode, three, waitUntil } from "./harness.ts"
import { History } from "./history.ts"
import type { Ref } from "./protocol.ts"
import { load, moreCalls, named, populate } from "./load.ts"

const timeout_ms = 120_000
const still = named("still", 40)
const busy = named("busy", 20)

/** Which of the nodes it happens to is another in the run on each runtime. */
const victimOf = (nodes: ReadonlyArray<TestNode>): TestNode => nodes[runtimeNames.indexOf(currentRuntimeName)]!

const heldBy = (
  nodes: ReadonlyArray<TestNode>,
  refs: ReadonlyArray<{ readonly name: string; readonly node: string }>
) => refs.filter(({ node }) => nodes.some(({ id }) => id === node)).map(({ name }) => name)

const refOf = (refs: ReadonlyArray<Ref>, name: string): string => JSON.stringify(refs.find((ref) => ref.name === name))

/** Clusters of more than three, and long waits: in the Node run only, for the nodes are of all three runtimes either way. */
const elsewhere = currentRuntimeName !== "node"
const where = "(in the Node run only: the nodes are the same)"

describe("under calls and registrations", () => {
  it.live(
    "a node is killed: its names run again, the others never noticed, nothing acknowledged is lost",
    () =>
      Effect.gen(function* () {
        const history = new History()
        const nodes = yield* startThree("one")
        yield* populate(nodes[0], history, [...still, ...busy, ...named("many", 300)])
        const before = yield* settle(nodes, history)
        const victim = victimOf(nodes)
        const others = nodes.filter((node) => node !== victim)
        const { stop } = yield* load(history, { nodes: () => others, names: busy, registers: "new" })
        yield* waitUntil("calls are answered", moreCalls(history, 200))
        history.mayHaveRestarted(heldBy([victim], before))
        yield* victim.kill
        yield* seeEachOther(others)
        yield* waitUntil("calls are answered again", moreCalls(history, 200))
        yield* stop
        const after = yield* settle(others, history)
        const changes = (yield* Effect.all(others.map((node) => node.ask("changes", {})))).flat()
        assert.deepStrictEqual(changes.filter(({ id, status }) => status === "dead" && id !== victim.id), [])
        const moved = before.filter(({ name, node }) =>
          node !== victim.id && refOf(before, name) !== refOf(after, name)
        )
        assert.deepStrictEqual(moved.map(({ name }) => `${refOf(before, name)} became ${refOf(after, name)}`), [])
      }),
    timeout_ms
  )

  it.live.skipIf(elsewhere)(
    `two of five are killed at once: all their names run again ${where}`,
    () =>
      Effect.gen(function* () {
        const history = new History()
        const nodes = yield* startMany("two", 5)
        yield* populate(nodes[0]!, history, [...still, ...busy])
        const before = yield* settle(nodes, history)
        const victims = nodes.slice(0, 2)
        const others = nodes.slice(2)
        // no registrations: what two nodes have stored is lost with both
        const { stop } = yield* load(history, { nodes: () => others, names: busy })
        yield* waitUntil("calls are answered", moreCalls(history, 200))
        history.mayHaveRestarted(heldBy(victims, before))
        yield* Effect.all(victims.map(({ kill }) => kill), { concurrency: "unbounded" })
        yield* seeEachOther(others)
        yield* waitUntil("calls are answered again", moreCalls(history, 200))
        yield* stop
        yield* settle(others, history)
      }),
    timeout_ms
  )

  it.live.skipIf(elsewhere)(
    `a node is killed while processes move to it: none is lost ${where}`,
    () =>
      Effect.gen(function* () {
        const history = new History()
        const nodes = yield* startMany("host", 2)
        const many = named("many", 900)
        yield* populate(nodes[0]!, history, [...many, ...busy])
        const before = yield* settle(nodes, history)
        const { stop } = yield* load(history, { nodes: () => nodes, names: busy })
        // moves are quick: a node that was given all of its processes before it could be stopped is killed for nothing
        let isCaught = false
        for (let attempt = 1; attempt <= 5 && !isCaught; attempt++) {
          const target = yield* launch(three[attempt % 3]!, { id: `target-${attempt}`, join: [nodes[0]!.address()] })
          history.mayHaveRestarted(history.names)
          yield* waitUntil(
            "the first process has moved to it",
            Effect.map(nodes[0]!.ask("registered", {}), (refs) => refs.some(({ node }) => node === target.id))
          )
          yield* target.freeze
          const own = yield* Effect.all(nodes.map((node) => node.ask("own", {})))
          isCaught = own.flat().some(({ status }) => status === "moving")
          yield* target.kill
          yield* seeEachOther(nodes)
        }
        assert.isTrue(isCaught, "moves were under way")
        yield* waitUntil("calls are answered", moreCalls(history, 200))
        yield* stop
        const after = yield* settle(nodes, history)
        assert.lengthOf(after, before.length)
        // what never moved was never touched
        const kept = many.filter((name) => refOf(before, name) === refOf(after, name))
        const totals = yield* nodes[1]!.ask("totals", { names: kept })
        assert.deepStrictEqual(
          new Set(totals.map((found) => typeof found === "string" ? found : found.total)),
          new Set([107])
        )
      }),
    timeout_ms
  )

  it.live.skipIf(elsewhere)(
    `a node is frozen until it is taken for dead, then thawed: one copy of each, with its state ${where}`,
    () =>
      Effect.gen(function* () {
        const history = new History()
        const nodes = yield* startThree("frozen")
        yield* populate(nodes[0], history, [...still, ...busy])
        yield* settle(nodes, history)
        const victim = nodes[1]
        const others = nodes.filter((node) => node !== victim)
        // those that nobody calls are to have the state they had; what the second copy of one has counted may be lost
        history.mayHaveRestarted(busy)
        const { stop } = yield* load(history, { nodes: () => others, names: busy, registers: "new" })
        yield* waitUntil("calls are answered", moreCalls(history, 200))
        yield* victim.freeze
        yield* seeEachOther(others)
        yield* waitUntil(
          "all it ran runs again",
          Effect.map(
            others[0]!.ask("registered", {}),
            (refs) => refs.every(({ node }) => node !== victim.id)
          )
        )
        yield* waitUntil("calls are answered again", moreCalls(history, 200))
        yield* victim.thaw
        yield* seeEachOther(nodes)
        yield* waitUntil("calls are answered still", moreCalls(history, 200))
        yield* stop
        yield* settle(nodes, history)
      }),
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
