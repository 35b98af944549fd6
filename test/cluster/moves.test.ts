// Processes move while every node writes to them, and nodes join, leave, are restarted or killed: each call is answered
// once or fails with a typed error, is executed at most once and in its writer's order; what is acknowledged is there.
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import { currentRuntimeName } from "../../scripts/runtimes.ts"
import { seededRandom } from "../../src/protocol/random.ts"
import {
  type NeverCame,
  type NodeGone,
  same,
  seeEachOther,
  start,
  startMany,
  survivors,
  type TestNode
} from "./harness.ts"
import { named } from "./load.ts"
import { keepWriting, moreLines, settleJournals, Written } from "./writers.ts"

const timeout_ms = 120_000
const ROUNDS = 5
const MOVES = 100

describe("[D12] moves, joins, leaves and a rolling restart under constant load", () => {
  it.live("each call is answered once, executed at most once and in order, and none that was answered is lost", () => {
    const random = seededRandom(1)
    const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)]!
    const written = new Written([...named("plain", 12), ...named("kept", 4)])
    let nodes: ReadonlyArray<TestNode> = []
    let moved = 0

    const startOne = (id: string): Effect.Effect<TestNode, NodeGone | NeverCame, Scope.Scope> =>
      start(same, { id, join: nodes.slice(0, 2).map((node) => node.address()) })
    const join = (...ids: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        const more = yield* Effect.forEach(ids, startOne, { concurrency: "unbounded" })
        nodes = [...nodes, ...more]
        yield* seeEachOther(nodes)
      })
    const leave = (...leaving: ReadonlyArray<TestNode>) =>
      Effect.gen(function* () {
        const ends = yield* Effect.forEach(leaving, ({ terminate }) => terminate, { concurrency: "unbounded" })
        nodes = nodes.filter((node) => !leaving.includes(node))
        for (const end of ends) assert.deepStrictEqual(end, { code: 0, signal: null })
        for (const node of leaving) assert.strictEqual(node.stderr(), "")
        yield* seeEachOther(nodes)
      })
    const move = Effect.suspend(() => {
      const moving = pick(nodes).ask("move", { name: pick(written.names), to: pick(nodes).id })
      return Effect.map(Effect.exit(moving), (exit) => void (moved += Exit.isSuccess(exit) ? 1 : 0))
    })
    const moves = (count: number) =>
      Effect.all(Array.from({ length: count }, () => move), { concurrency: 4, discard: true })
    return Effect.gen(function* () {
      yield* join("first")
      yield* join("second", "third")
      yield* nodes[0]!.ask("open", { names: written.names })
      const { stop } = yield* keepWriting(written, () => nodes)
      const both = { concurrency: "unbounded", discard: true } as const
      for (let round = 1; round <= ROUNDS; round++) {
        yield* Effect.all([join(`left-${round}`, `right-${round}`), moves(MOVES / ROUNDS / 2)], both)
        const [one, other] = shuffled(nodes, random) as [TestNode, TestNode]
        yield* Effect.all([leave(one, other), moves(MOVES / ROUNDS / 2)], both)
      }
      for (const node of nodes) {
        yield* moreLines(written, 100)
        yield* leave(node)
        yield* join(node.id)
      }
      yield* moreLines(written, 100)
      yield* stop
      assert.deepStrictEqual(yield* settleJournals(nodes, written), [])
      assert.isAbove(moved, MOVES / 3)
    })
  }, timeout_ms)
})

/** Five nodes of all three runtimes: in the Node run only, for they are the same in each. */
const elsewhere = currentRuntimeName !== "node"
const where = "(in the Node run only: the nodes are the same)"
const MANY = 300

describe("[D6] killed in the middle of moves, under writers on all other nodes", () => {
  const cases = [["the source", ["source"]], ["the target", ["target"]], ["both", ["source", "target"]]] as const
  for (const [what, lost] of cases) {
    it.live.skipIf(elsewhere)(
      `${what}: one copy of each is left, and none that was acknowledged is lost ${where}`,
      () =>
        Effect.gen(function* () {
          const written = new Written(named("kept", MANY))
          const nodes = yield* startMany(what.replace("the ", ""), 5)
          const [source, target, ...others] = nodes as [TestNode, TestNode, ...Array<TestNode>]
          yield* source.ask("open", { names: written.names })
          yield* settleJournals(nodes, written)
          const { stop } = yield* keepWriting(written, () => others)
          yield* moreLines(written, 2 * MANY)
          const own = (yield* source.ask("journals", {})).map(({ name }) => name)
          const quarter = Math.ceil(own.length / 4)
          const middle = yield* Deferred.make<void>()
          let moved = 0
          const moving = yield* Effect.forkScoped(Effect.forEach(own, (name) =>
            Effect.map(Effect.exit(source.ask("move", { name, to: target.id })), (exit) => {
              if (Exit.isSuccess(exit) && ++moved === quarter) Deferred.doneUnsafe(middle, Effect.void)
            }), { concurrency: 8 }))
          yield* Deferred.await(middle)
          const victims = nodes.filter((node) =>
            lost.some((one) => node === { source, target }[one])
          )
          yield* Effect.all(victims.map(({ kill }) => kill), { concurrency: "unbounded" })
          assert.isBelow(moved, own.length, "moves were under way")
          const rest = nodes.filter((node) => !victims.includes(node))
          yield* seeEachOther(rest)
          yield* Fiber.interrupt(moving)
          yield* moreLines(written, 2 * MANY)
          yield* stop
          assert.deepStrictEqual(yield* settleJournals(rest, written), [])
        }),
      timeout_ms
    )
  }
})

/** All of them, in an order of chance. */
const shuffled = <A>(all: ReadonlyArray<A>, random: () => number): ReadonlyArray<A> =>
  all.map((one) => [random(), one] as const).sort(([a], [b]) => a - b).map(([, one]) => one)

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
