/** Nodes that die: what they ran goes on elsewhere. */
import { Effect, Fiber } from "effect"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import { group, memberNames, names, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Temporary } from "./sworms.ts"

const define = group("failures")

const needs = ["kill"] as const

/** Every name runs on one of these nodes, from its args, above its epoch before. */
const allBack = (
  nodes: ReadonlyArray<TestNode>,
  before: ReadonlyArray<
    { readonly name: string; readonly epoch: number; readonly start: number; readonly dead: boolean }
  >
) =>
  Effect.gen(function* () {
    const ids = nodes.map(({ id }) => id)
    const all = before.map(({ name }) => name).sort()
    for (const node of nodes) {
      yield* eventually(
        Effect.map(node.workers.registered, (refs) =>
          refs.length === all.length && refs.every((ref) => ids.includes(ref.node))),
        `"${node.id}" finds every name on ${ids.join(" or ")}`
      )
      yield* equal(yield* names(node), all, `names on ${node.id}`)
      for (const { dead, epoch, name, start } of before) {
        yield* equal(
          yield* node.counter(name).Get(),
          dead ? start : start + 500,
          `the state of "${name}" from ${node.id}`
        )
        const now = (yield* whereis(node, name))!.epoch
        yield* check(dead ? now > epoch : now === epoch, `"${name}" had epoch ${epoch}, has ${now}`)
      }
    }
    const children = yield* Effect.forEach(nodes, ({ id, supervisor }) =>
      supervisor.which("conformance/Workers", id))
    const running = children.flat().map(({ ref }) => ref.name)
    yield* equal([...running].sort(), all, "each runs once")
  })

const populate = (node: TestNode, count: number, dead: string) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => `p${i}@${"abc"[i % 3]}`),
    (name, i) =>
      Effect.gen(function* () {
        const { epoch } = yield* node.workers.register(name, Counter, { start: i })
        yield* node.counter(name).Set({ to: i + 500 })
        yield* node.workers.join("all", name)
        return { name, epoch, start: i, dead: dead.includes(name.at(-1)!) }
      }),
    { concurrency: 16 }
  )

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P103] a killed node's processes run again on the survivors, from their args, with their groups",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(a, 60, "c")
        yield* c.kill
        yield* allBack([a, b], before)
        const all = before.map(({ name }) => name).sort()
        for (const node of [a, b]) yield* eventuallyEqual(memberNames(node, "all"), all, `the group on ${node.id}`)
      }),
    { needs }
  ),

  define(
    3,
    "[D2] of three nodes two are killed at the same time: the last runs everything",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(c, 30, "bc")
        for (const { name, epoch } of before) yield* seenBy([a], name, { sworm: "", name, epoch, node: name.at(-1)! })
        yield* b.kill
        yield* c.kill
        yield* allBack([a], before)
      }),
    { needs }
  ),

  define(
    3,
    "the only holder is killed while two survive: the name resolves on both",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const ref = yield* c.workers.register("only@c", Counter, { start: 6 })
        yield* c.kill
        for (const node of [a, b]) {
          yield* eventually(
            Effect.map(
              whereis(node, "only@c"),
              (now) => now !== undefined && now.node !== "c" && now.epoch > ref.epoch
            ),
            `"${node.id}" finds it`
          )
          yield* equal(yield* node.counter("only@c").Get(), 6, "its state")
        }
        const found = yield* Effect.forEach([a, b], (node) => whereis(node, "only@c"))
        yield* equal(found[0], found[1], "the same holder on both")
      }),
    { needs }
  ),

  define(
    3,
    "an acknowledged registration survives the death of the node that asked, of the holder, of any one",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const kept = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, i) => `kept${i}@${"bc"[i % 2]}`),
          (name) => Effect.as(c.workers.register(name, Counter, { start: 1 }), name),
          { concurrency: 10 }
        )
        yield* c.kill
        for (const node of [a, b]) yield* eventuallyEqual(names(node), [...kept].sort(), `names on ${node.id}`)
        for (const name of kept) yield* eventually(Effect.map(a.counter(name).Get(), (n) => n === 1), `"${name}" runs`)
      }),
    { needs }
  ),

  define(
    3,
    "an acknowledged unregister stays, when the node that held the name is killed",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const all = Array.from({ length: 10 }, (_, i) => `gone${i}@c`)
        yield* Effect.forEach(all, (name) => a.workers.register(name, Counter, { start: 1 }))
        yield* a.workers.register("stays@c", Counter, { start: 1 })
        yield* Effect.forEach(all, (name) => a.workers.unregister(name), { concurrency: "unbounded" })
        yield* c.kill
        for (const node of [a, b]) {
          yield* eventually(
            Effect.map(whereis(node, "stays@c"), (ref) => ref?.node === "a" || ref?.node === "b"),
            "taken over"
          )
          yield* eventuallyEqual(names(node), ["stays@c"], `names on ${node.id}`)
        }
      }),
    { needs }
  ),

  define(
    3,
    "names can be registered, taken and unregistered right after a node was killed",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const held = yield* a.workers.register("held@c", Counter, { start: 1 })
        yield* c.kill
        yield* Effect.forEach(
          Array.from({ length: 30 }, (_, i) => i),
          (i) => [a, b][i % 2]!.workers.register(`after${i}`, Counter, { start: i }),
          { concurrency: "unbounded" }
        )
        for (let i = 0; i < 30; i++) yield* equal(yield* b.counter(`after${i}`).Get(), i, `after${i}`)
        yield* fails(b.workers.register("held@c", Counter, { start: 2 }), { _tag: "NameTaken" }, "the dead node's name")
        yield* a.workers.unregister("held@c")
        yield* seenBy([a, b], "held@c", undefined)
        const again = yield* b.workers.register("held@c", Counter, { start: 3 })
        yield* check(again.epoch > held.epoch, "a higher epoch")
      }),
    { needs }
  ),

  define(3, "a call under way on a node that is killed ends in a typed error", ([a, , c]) =>
    Effect.gen(function* () {
      const { epoch } = yield* a.workers.register("working@c", Counter, { start: 2 })
      const client = a.workers.client(Counter, "working@c", { timeout: "15 seconds" })
      const call = yield* Effect.forkChild(Effect.exit(client.Slow({ millis: 60_000 })), { startImmediately: true })
      yield* eventually(
        Effect.map(
          Effect.exit(a.workers.client(Counter, "working@c", { timeout: "40 millis" }).Get()),
          (exit) => exit._tag === "Failure"
        ),
        "it works"
      )
      yield* c.kill
      yield* fails(yield* Fiber.join(call), { _tag: "CallError", reason: "OutcomeUnknown" }, "the call under way")
      yield* eventually(Effect.map(client.Epoch(), (now) => now > epoch), "it runs again")
      yield* equal(yield* client.Get(), 2, "from its args")
    }), { needs: ["kill", "reliable"] }),

  define(3, "what a killed node adopted is gone, and its name is free", ([a, b, c]) =>
    Effect.gen(function* () {
      const ref = yield* c.workers.adopt("by hand")
      yield* seenBy([a, b], "by hand", ref)
      yield* c.kill
      yield* seenBy([a, b], "by hand", undefined)
      yield* a.workers.register("by hand", Counter, { start: 0 })
    }), { needs }),

  define(
    3,
    "the loss of its node is no end: a temporary process runs again too",
    ([a, b, c]) =>
      Effect.gen(function* () {
        yield* a.workers.register("temporary@c", Temporary, { start: 8 })
        yield* c.kill
        yield* eventually(
          Effect.map(whereis(b, "temporary@c"), (ref) => ref?.node === "a" || ref?.node === "b"),
          "taken over"
        )
        yield* equal(yield* b.workers.client(Temporary, "temporary@c", { timeout: "15 seconds" }).Get(), 8, "its state")
      }),
    { needs: ["kill", "reliable"] }
  ),

  define(
    3,
    "a node that joins after a death gets its share, and every name runs once",
    ([a, b, c], cluster) =>
      Effect.gen(function* () {
        const before = yield* populate(a, 30, "c")
        yield* c.kill
        yield* allBack([a, b], before)
        const d = yield* cluster.start("d")
        yield* a.workers.register("new@d", Counter, { start: 3 })
        yield* eventually(Effect.map(whereis(d, "new@d"), (ref) => ref?.node === "d"), "d runs what is placed there")
        for (const { dead, name, start } of before) {
          yield* equal(yield* d.counter(name).Get(), dead ? start : start + 500, `"${name}" asked from d`)
        }
      }),
    { needs }
  )
]
