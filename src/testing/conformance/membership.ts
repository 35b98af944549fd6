/** Which nodes there are. */
import { Effect, Ref, Stream } from "effect"
import { check, equal, eventually, eventuallyEqual } from "./check.ts"
import { aliveIds, group, type TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter } from "./sworms.ts"

const define = group("membership")

const statusOf = (node: TestNode, id: string) =>
  Effect.map(node.membership.members, (members) => members.find((member) => member.id === id)?.status)

export const cases: ReadonlyArray<ConformanceCase> = [
  define(3, "all nodes agree on who is there, and each knows itself", (nodes) =>
    Effect.gen(function* () {
      for (const node of nodes) {
        yield* eventuallyEqual(aliveIds(node), ["a", "b", "c"], `members on ${node.id}`)
        const self = yield* node.membership.self
        yield* equal(self.id, node.id, "self")
        yield* equal(self.synced, true, "self is synced")
        const members = yield* node.membership.members
        yield* equal(members.map(({ id }) => id), ["a", "b", "c"], "in order of id")
        const mine = members.find(({ id }) => id === node.id)
        yield* equal(mine, self, "self among the members")
      }
      const boots = yield* Effect.forEach(nodes, ({ membership }) =>
        Effect.map(membership.members, (members) => members.map(({ boot }) => boot)))
      for (const found of boots) {
        yield* equal(found, boots[0]!, "the boots that others see")
      }
    })),

  define(1, "a node alone is synced, and awaitSynced answers again and again", ([a]) =>
    Effect.gen(function* () {
      yield* a.membership.awaitSynced
      yield* a.membership.awaitSynced
      yield* equal(yield* aliveIds(a), ["a"], "members")
    })),

  define(3, "a node that stops is left, not dead, to the others", ([a, b, c], cluster) =>
    Effect.gen(function* () {
      yield* a.workers.register("some@c", Counter, { start: 0 })
      yield* c.stop
      for (const node of [a, b]) {
        yield* eventually(
          Effect.map(statusOf(node, "c"), (status) => status === "left" || status === "dead" || status === undefined),
          `"${node.id}" sees that c is gone`
        )
        // a goodbye that gets lost is no fault of the backend's
        if (cluster.reliable) yield* equal(yield* statusOf(node, "c"), "left", `the status of c on ${node.id}`)
        yield* equal(yield* aliveIds(node), ["a", "b"], `members on ${node.id}`)
      }
    })),

  define(
    2,
    "[P81] [D11] Membership.leave hands everything over and says goodbye; again it does nothing",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("kept@b", Counter, { start: 0 })
        yield* a.counter("kept@b").Set({ to: 12 })
        yield* b.membership.leave
        yield* b.membership.leave
        yield* eventuallyEqual(statusOf(a, "b"), "left", "the status of b")
        yield* equal(yield* a.counter("kept@b").Where(), "a", "where its process runs")
        yield* equal(yield* a.counter("kept@b").Get(), 12, "the state of its process")
      })
  ),

  define(3, "a killed node is dead to the others", ([a, b, c]) =>
    Effect.gen(function* () {
      yield* c.kill
      for (const node of [a, b]) {
        yield* eventuallyEqual(statusOf(node, "c"), "dead", `the status of c on ${node.id}`)
        yield* equal(yield* aliveIds(node), ["a", "b"], `members on ${node.id}`)
      }
    }), { needs: ["kill"] }),

  define(
    2,
    "changes are told as they happen: a node comes, leaves, and comes again with a later boot",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const told = yield* Ref.make<ReadonlyArray<string>>([])
        yield* Effect.forkScoped(
          Stream.runForEach(
            a.membership.changes,
            ({ before, member }) =>
              Ref.update(told, (all) => [...all, `${member.id} ${before?.status ?? "unknown"} ${member.status}`])
          ),
          { startImmediately: true }
        )
        const c = yield* cluster.start("c")
        const boot = (yield* c.membership.self).boot
        yield* eventually(Effect.map(Ref.get(told), (all) => all.includes("c unknown alive")), "c has come")
        yield* c.stop
        yield* eventually(
          Effect.map(Ref.get(told), (all) => all.some((line) => /(left|dead)$/.test(line))),
          "c is gone"
        )
        const again = yield* cluster.start("c")
        yield* check((yield* again.membership.self).boot > boot, "a later boot")
        for (const node of [a, b, again]) {
          yield* eventuallyEqual(aliveIds(node), ["a", "b", "c"], `members on ${node.id}`)
        }
        yield* a.workers.register("back@c", Counter, { start: 1 })
        yield* equal(yield* a.counter("back@c").Where(), "c", "the node that came back hosts")
      })
  ),

  define(
    2,
    "a node that was killed comes back under its id, and is given processes again",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const c = yield* cluster.start("c")
        yield* a.workers.register("moving@c", Counter, { start: 3 })
        yield* c.kill
        const again = yield* cluster.start("c")
        for (const node of [a, b, again]) {
          yield* eventuallyEqual(aliveIds(node), ["a", "b", "c"], `members on ${node.id}`)
        }
        yield* eventually(
          Effect.map(b.workers.client(Counter, "moving@c").Where(), (node) => node === "c"),
          "its process is home again"
        )
        yield* equal(yield* a.counter("moving@c").Get(), 3, "its state")
      }),
    { needs: ["kill"] }
  ),

  define(1, "five nodes that join one after the other become one cluster", ([a], cluster) =>
    Effect.gen(function* () {
      for (const id of ["b", "c", "d", "e"]) yield* cluster.start(id)
      for (const node of cluster.nodes()) {
        yield* eventuallyEqual(aliveIds(node), ["a", "b", "c", "d", "e"], `members on ${node.id}`)
        const ref = yield* a.workers.register(`on@${node.id}`, Counter, { start: 0 })
        yield* equal(ref.node, node.id, "where it runs")
      }
    })),

  define(1, "three nodes that start at once join one cluster", ([a], cluster) =>
    Effect.gen(function* () {
      yield* Effect.forEach(["b", "c", "d"], (id) => cluster.start(id), { concurrency: "unbounded" })
      for (const node of cluster.nodes()) yield* eventuallyEqual(aliveIds(node), ["a", "b", "c", "d"], node.id)
      for (const id of ["b", "c", "d"]) {
        const ref = yield* a.workers.register(`on@${id}`, Counter, { start: 0 })
        yield* eventually(Effect.map(a.counter(ref.name).Where(), (node) => node === id), `"${ref.name}" is on ${id}`)
      }
    }))
]
