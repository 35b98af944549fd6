// One cluster of three operating-system processes, on Deno, Bun and Node: what one of them does, all of them see.
import { afterAll, assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { currentRuntimeName } from "../../scripts/runtimes.ts"
import { startThree, survivors, type TestNode, waitUntil } from "./harness.ts"
import type { RaceResult } from "./protocol.ts"

type Three = readonly [TestNode, TestNode, TestNode]
const Cluster = Context.Service<Three>("test/Cluster")

const timeout_ms = 60_000
const RACERS = [34, 33, 33] as const
const onNodeOnly = currentRuntimeName !== "node"

const named = (prefix: string, count: number): Array<string> =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`)

/** The same question to all three at once. */
const askAll = <A, E>(nodes: Three, ask: (node: TestNode, index: number) => Effect.Effect<A, E>) =>
  Effect.all(nodes.map(ask), { concurrency: "unbounded" })

/** Registers every name 100 times, split over the three nodes, and checks that each name was given once. */
const race = Effect.fnUntraced(function* (nodes: Three, names: ReadonlyArray<string>) {
  const results = yield* askAll(nodes, (node, index) => node.ask("race", { names, racers: RACERS[index]! }))
  for (const [index, name] of names.entries()) {
    const all: ReadonlyArray<RaceResult> = results.map((result) => result[index]!)
    const successes = all.flatMap((result) => result.successes)
    const taken = all.flatMap((result) => result.taken)
    assert.deepStrictEqual(all.flatMap((result) => result.others), [], name)
    assert.lengthOf(successes, 1, name)
    assert.strictEqual(all.reduce((sum, result) => sum + result.takenCount, 0), 99, name)
    for (const ref of taken) assert.deepStrictEqual(ref, successes[0], name)
  }
})

layer(Layer.effect(Cluster)(startThree("cluster")), { excludeTestServices: true, timeout: timeout_ms })(
  "a cluster on Deno, Bun and Node",
  (it) => {
    it.effect("registers on any, calls from any, and agrees on everything", () =>
      Effect.gen(function* () {
        const nodes = yield* Cluster
        const made = yield* askAll(
          nodes,
          (node) => node.ask("register", { names: named(`by-${node.id}`, 10), start: 0 })
        )
        const refs = made.flat()
        const names = refs.map(({ name }) => name)
        assert.strictEqual(new Set(refs.map(({ node }) => node)).size, 3, "some processes run on each node")

        for (const _ of nodes) {
          const totals = yield* askAll(nodes, (node) => node.ask("increment", { names, by: 1 }))
          assert.lengthOf(totals.flat(), 90)
        }
        const ids = nodes.map(({ id }) => id).sort()
        for (const node of nodes) {
          const totals = yield* node.ask("totals", { names })
          assert.deepStrictEqual(totals, refs.map((ref) => ({ total: 9, node: ref.node })), node.id)
          const members = yield* node.ask("membership", {})
          assert.deepStrictEqual(
            members,
            ids.map((id) => ({ id, status: "alive", synced: true })),
            node.id
          )
          yield* waitUntil(
            `"${node.id}" knows every ref`,
            Effect.map(node.ask("registered", {}), (known) => known.length >= refs.length)
          )
          const sorted = [...refs].sort((a, b) => a.name < b.name ? -1 : 1)
          assert.deepStrictEqual((yield* node.ask("registered", {})).filter(({ name }) => names.includes(name)), sorted)
          assert.deepStrictEqual(yield* node.ask("whereis", { names }), refs, node.id)
        }
      }), timeout_ms)

    it.effect("a group joined on one node has the same members on all", () =>
      Effect.gen(function* () {
        const nodes = yield* Cluster
        const refs = yield* nodes[0].ask("register", { names: named("grouped", 6), start: 0 })
        yield* Effect.forEach(refs, ({ name }, index) => nodes[index % 3]!.ask("join", { group: "all of them", name }))
        for (const node of nodes) {
          yield* waitUntil(
            `"${node.id}" sees the group`,
            Effect.map(node.ask("members", { group: "all of them" }), (members) => members.length === refs.length)
          )
          assert.deepStrictEqual(yield* node.ask("members", { group: "all of them" }), refs, node.id)
        }
      }), timeout_ms)

    it.effect(
      "a name unregistered on one node is free on all, and starts anew at a higher epoch",
      () =>
        Effect.gen(function* () {
          const nodes = yield* Cluster
          const names = ["freed"]
          const [before] = yield* nodes[0].ask("register", { names, start: 5 })
          yield* waitUntil(
            "all know the name",
            Effect.map(
              askAll(nodes, (node) => node.ask("whereis", { names })),
              (found) => found.every(([ref]) => ref?.epoch === before!.epoch)
            )
          )
          yield* nodes[1].ask("unregister", { name: "freed" })
          yield* waitUntil(
            "nobody knows the name",
            Effect.map(
              askAll(nodes, (node) => node.ask("whereis", { names })),
              (found) => found.every(([ref]) => ref === null)
            )
          )
          const [after] = yield* nodes[2].ask("register", { names, start: 6 })
          assert.isAbove(after!.epoch, before!.epoch)
          for (const node of nodes) {
            assert.deepStrictEqual(yield* node.ask("totals", { names }), [{ total: 6, node: after!.node }], node.id)
          }
        }),
      timeout_ms
    )

    it.effect(
      "100 registrations of one name at once: one success, 99 NameTaken with its ref",
      () => Effect.flatMap(Cluster, (nodes) => race(nodes, ["wanted"])),
      timeout_ms
    )

    it.effect.skipIf(onNodeOnly)(
      "100 registrations of each of 200 names at once: one success each (in the Node run only: the same processes)",
      () => Effect.flatMap(Cluster, (nodes) => race(nodes, named("wanted", 200))),
      timeout_ms
    )
  }
)

afterAll(() => assert.deepStrictEqual(survivors(), [], "processes left behind"))
