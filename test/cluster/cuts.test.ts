// Networks that lose what is sent, in one direction or both, that cut connections, or that answer nothing: TCP proxies stand
// between the nodes. Once healed, there is one copy of each name, and nothing acknowledged is lost.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Semaphore } from "effect"
import { currentRuntimeName } from "../../scripts/runtimes.ts"
import { settle } from "./checkers.ts"
import { seeEachOther, start, survivors, type TestNode, three, waitUntil } from "./harness.ts"
import { History } from "./history.ts"
import { load, moreCalls, named, populate } from "./load.ts"
import { isolate, makeNetwork, type Network, silentAddress } from "./proxy.ts"

const timeout_ms = 120_000
const still = named("still", 40)
const busy = named("busy", 20)

/** Splits take a while: in the Node run only, for the nodes are of all three runtimes either way. */
const elsewhere = currentRuntimeName !== "node"
const where = "(in the Node run only: the nodes are the same)"

/** Three nodes that reach each other through proxies, called all the while. */
const prepare = Effect.fnUntraced(function* (prefix: string) {
  const ids = three.map(({ name }, index) => `${prefix}-${index + 1}-${name}`)
  const network = yield* makeNetwork(ids)
  const startAt = (index: number, join: ReadonlyArray<string>) =>
    start(three[index]!, { id: ids[index]!, ...network.optionsOf(ids[index]!), join, handshakeMs: 1000 })
  const first = yield* startAt(0, [])
  const join = [network.optionsOf(first.id).advertise]
  const nodes = [first, ...yield* Effect.all([startAt(1, join), startAt(2, join)], { concurrency: "unbounded" })]
  yield* seeEachOther(nodes)
  const history = new History()
  yield* populate(first, history, [...still, ...busy])
  const before = yield* settle(nodes, history)
  const { stop } = yield* load(history, { nodes: () => nodes, names: busy, registers: "new" })
  yield* waitUntil("calls are answered", moreCalls(history, 100))
  return { network, nodes, history, before, stop }
})

/** Waits until a node thinks so of another. */
const thinks = (node: TestNode, other: TestNode, status: "alive" | "dead") =>
  waitUntil(
    `${node.id} thinks that ${other.id} is ${status}`,
    Effect.map(
      node.ask("membership", {}),
      (members) => members.some((member) => member.id === other.id && member.status === status)
    ),
    "40 seconds"
  )

/** What is cut around the last of three nodes, and who must notice that it is gone. */
interface Split {
  readonly title: string
  readonly cut: (network: Network, id: string, others: ReadonlyArray<string>) => void
  readonly until: (victim: TestNode, others: ReadonlyArray<TestNode>) => ReturnType<typeof thinks>
}

const splits: ReadonlyArray<Split> = [
  {
    title: "a node that nobody hears",
    cut: (network, id, others) => isolate(network, id, others, { says: "drop" }),
    until: (victim, others) => Effect.as(Effect.all(others.map((other) => thinks(other, victim, "dead"))), true)
  },
  {
    title: "a node that hears nobody",
    cut: (network, id, others) => isolate(network, id, others, { hears: "drop" }),
    until: (victim, others) => Effect.as(Effect.all(others.map((other) => thinks(other, victim, "dead"))), true)
  },
  {
    title: "a node that is cut off",
    cut: (network, id, others) => isolate(network, id, others, { says: "drop", hears: "drop" }),
    until: (victim, others) =>
      Effect.as(
        Effect.all(others.flatMap((other) => [thinks(other, victim, "dead"), thinks(victim, other, "dead")])),
        true
      )
  },
  {
    title: "a node that is cut off, and what was sent meanwhile comes late",
    cut: (network, id, others) => isolate(network, id, others, { says: "hold", hears: "hold" }),
    until: (victim, others) =>
      Effect.as(
        Effect.all(others.flatMap((other) => [thinks(other, victim, "dead"), thinks(victim, other, "dead")])),
        true
      )
  }
]

/** They wait most of the time: two at once. */
const room = Semaphore.makeUnsafe(2)

describe.concurrent("a network of proxies that is split", () => {
  for (const { cut, title, until } of splits) {
    it.live.skipIf(elsewhere)(`${title}, then healed: one copy of each ${where}`, () =>
      Effect.gen(function* () {
        const { history, network, nodes, stop } = yield* prepare("split")
        const victim = nodes[2]!
        const others = nodes.slice(0, 2)
        // two copies of each may be called now: those of the side that loses are lost
        history.mayHaveRestarted(history.names.filter((name) => !still.includes(name)))
        cut(network, victim.id, others.map(({ id }) => id))
        yield* until(victim, others)
        yield* waitUntil("calls are answered", moreCalls(history, 100))
        history.mayHaveRestarted(history.names.filter((name) => !still.includes(name)))
        network.heal()
        yield* seeEachOther(nodes)
        yield* stop
        yield* settle(nodes, history)
      }).pipe(room.withPermits(1)), timeout_ms)
  }
})

describe("a network of proxies", () => {
  it.live.skipIf(elsewhere)(
    `two nodes that can't hear each other, with a third that hears both: nobody is given up, nothing moves ${where}`,
    () =>
      Effect.gen(function* () {
        const { before, history, network, nodes, stop } = yield* prepare("pair")
        const [a, b, c] = nodes as [TestNode, TestNode, TestNode]
        isolate(network, a.id, [b.id], { says: "drop", hears: "drop" })
        const died = (node: TestNode) =>
          Effect.map(node.ask("changes", {}), (changes) => changes.filter(({ status }) => status === "dead"))
        // longer than a suspicion lasts, seen by the calls that nobody answered
        yield* waitUntil(
          "calls over the cut have failed",
          () => (history.ends.get("call: CallError Timeout") ?? 0) > 0,
          "40 seconds"
        )
        network.heal()
        yield* stop
        const after = yield* settle(nodes, history)
        assert.deepStrictEqual((yield* Effect.all([died(a), died(b), died(c)])).flat(), [])
        assert.deepStrictEqual(
          after.filter(({ name }) => still.includes(name)),
          before.filter(({ name }) => still.includes(name))
        )
      }),
    timeout_ms
  )

  it.live(
    "connections that are reset again and again: nobody is given up, nothing moves",
    () =>
      Effect.gen(function* () {
        const { before, history, network, nodes, stop } = yield* prepare("reset")
        for (let round = 0; round < 5; round++) {
          const more = moreCalls(history, 50)
          assert.isAbove(network.reset(), 0)
          yield* waitUntil("calls are answered again", more)
        }
        yield* stop
        const after = yield* settle(nodes, history)
        assert.deepStrictEqual(
          after.filter(({ name }) => still.includes(name)),
          before.filter(({ name }) => still.includes(name))
        )
        const changes = yield* Effect.all(nodes.map((node) => node.ask("changes", {})))
        assert.deepStrictEqual(changes.flat().filter(({ status }) => status === "dead"), [])
      }),
    timeout_ms
  )
})

describe("seeds", () => {
  it.live(
    "one that is a port held open that never answers: the others are joined all the same",
    () =>
      Effect.gen(function* () {
        const silent = yield* silentAddress
        const history = new History()
        const first = yield* start(three[2], { id: "seed" })
        yield* populate(first, history, still)
        const join = [silent, first.address(), silent]
        const nodes = [
          first,
          ...yield* Effect.all([
            start(three[0], { id: "joiner-1", join }),
            start(three[1], { id: "joiner-2", join })
          ], { concurrency: "unbounded" })
        ]
        yield* seeEachOther(nodes)
        yield* settle(nodes, history)
      }),
    timeout_ms
  )

  it.live.skipIf(elsewhere)(
    `one that goes silent while it is dialled: the others are joined all the same ${where}`,
    () =>
      Effect.gen(function* () {
        const { history, network, nodes, stop } = yield* prepare("held")
        yield* stop
        network.silence(nodes[0]!.id)
        const join = nodes.map(({ id }) => network.optionsOf(id).advertise)
        const late = yield* start(three[0], { id: "late", join })
        yield* waitUntil(
          "it is in the cluster of the others",
          Effect.map(
            nodes[1]!.ask("membership", {}),
            (members) => members.some(({ id, synced }) => id === late.id && synced)
          )
        )
        network.heal()
        yield* settle([...nodes, late], history)
      }),
    timeout_ms
  )
})

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
