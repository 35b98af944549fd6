/** What stands in the registry beside name and node: more names, metadata, values of the sworm; and how it is asked. */
import { Effect, Exit, Option } from "effect"
import type { ProcessRef } from "../../SwormError.ts"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, isOn, names, sameRef, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Echo, Sleeper, Temporary } from "./sworms.ts"

const define = group("names")

const metadata = (node: TestNode, name: string): Effect.Effect<unknown> =>
  Effect.map(node.workers.entry(name), (entry) => Option.getOrUndefined(entry)?.metadata)

const selected = (node: TestNode, query: Parameters<TestNode["workers"]["select"]>[0]) =>
  Effect.map(node.workers.select(query), (entries) => entries.map(({ ref }) => ref.name))

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P1] [P20] [P34] a process is found by its name, by its ref and by its metadata, from every node",
    (nodes) =>
      Effect.gen(function* () {
        const about = { role: "printer", floors: [1, 2] }
        const ref = yield* nodes[0].workers.register("known@b", Counter, { start: 1 }, { metadata: about })
        yield* nodes[0].workers.register("other@b", Counter, { start: 1 })
        yield* seenBy(nodes, "known@b", ref)
        for (const node of nodes) {
          const entry = { ref, type: "Counter", metadata: about, groups: [], names: ["known@b"] }
          yield* equal<unknown>(Option.getOrUndefined(yield* node.workers.entry("known@b")), entry, "the entry")
          yield* equal(yield* node.workers.keys(ref), ["known@b"], "the names of its ref")
          const isPrinter = (entry: { readonly metadata: unknown }): boolean =>
            (entry.metadata as { readonly role?: string } | undefined)?.role === "printer"
          yield* equal(yield* selected(node, { where: isPrinter }), ["known@b"], `printers, as ${node.id} knows them`)
        }
      })
  ),

  define(
    3,
    "[P9] [P21] a process has as many names as it is given, and is found and called by each of them",
    (nodes) =>
      Effect.gen(function* () {
        const [a] = nodes
        const ref = yield* a.workers.register("main@b", Counter, { start: 5 })
        yield* equal(yield* a.workers.keys(ref), ["main@b"], "its names before")
        for (const node of nodes) yield* sameRef(yield* node.workers.alias(`by-${node.id}`, "main@b"), ref, "the alias")
        yield* sameRef(yield* a.workers.alias("by-a", "main@b"), ref, "the same alias again")
        yield* sameRef(yield* a.workers.alias("indirect", "by-b"), ref, "an alias of an alias")
        const all = ["main@b", "by-a", "by-b", "by-c", "indirect"]
        for (const node of nodes) {
          yield* eventuallyEqual(node.workers.keys(ref), all, `its names on ${node.id}`)
          for (const name of all) {
            yield* sameRef(yield* whereis(node, name), ref, `whereis "${name}"`)
            yield* equal(yield* node.counter(name).Get(), 5, `a call of "${name}"`)
          }
          yield* equal(yield* names(node), ["main@b"], "what is listed: each process once")
        }
      })
  ),

  define(
    2,
    "[P18] [P19] a name is one process's: aliases are refused for names, names for aliases",
    ([a, b]) =>
      Effect.gen(function* () {
        const one = yield* a.workers.register("one@a", Counter, { start: 1 })
        const two = yield* a.workers.register("two@b", Counter, { start: 2 })
        yield* a.workers.alias("shared", "one@a")
        for (const node of [a, b]) {
          yield* fails(
            node.workers.register("shared", Counter, { start: 9 }),
            { _tag: "NameTaken", ref: one },
            "register"
          )
          yield* fails(node.workers.alias("shared", "two@b"), { _tag: "NameTaken", ref: one }, "another's alias")
          yield* fails(node.workers.alias("one@a", "two@b"), { _tag: "NameTaken", ref: one }, "another's name")
          yield* fails(node.workers.alias("fresh", "nobody"), { _tag: "NotRegistered", name: "nobody" }, "of nobody")
          yield* fails(node.workers.alias("two@b", "two@b"), { _tag: "InvalidInput" }, "its own name")
          yield* fails(node.workers.alias("", "two@b"), { _tag: "InvalidInput" }, "an empty name")
          yield* fails(Effect.scoped(node.workers.adopt("shared")), { _tag: "NameTaken", ref: one }, "adopt")
          yield* eventuallyEqual(node.workers.keys(two), ["two@b"], "what was refused is not there")
          yield* equal(yield* whereis(node, "fresh"), undefined, "what was refused is not found")
        }
      })
  ),

  define(
    3,
    "[P23] unregister of an alias frees that name alone; of the name itself, all of them, everywhere",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const ref = yield* a.workers.register("main@b", Counter, { start: 5 })
        for (const alias of ["x", "y", "z"]) yield* a.workers.alias(alias, "main@b")
        yield* c.workers.unregister("x")
        yield* equal(yield* whereis(c, "x"), undefined, "the freed alias")
        for (const node of nodes) {
          yield* eventuallyEqual(node.workers.keys(ref), ["main@b", "y", "z"], `the names that stay, on ${node.id}`)
          yield* equal(yield* node.counter("y").Get(), 5, "a call by one that stays")
        }
        const next = yield* b.workers.register("x", Counter, { start: 6 })
        yield* seenBy(nodes, "x", next)
        yield* a.workers.unregister("main@b")
        for (const name of ["main@b", "y", "z"]) {
          yield* seenBy(nodes, name, undefined)
          yield* fails(c.counter(name).Get(), { _tag: "CallError", reason: "NotRegistered" }, `a call of "${name}"`)
        }
        for (const node of nodes) yield* equal(yield* node.workers.keys(ref), [], "the names of what is gone")
        yield* b.workers.register("y", Counter, { start: 7 })
        yield* equal(yield* c.counter("x").Get(), 6, "the alias's next process")
      })
  ),

  define(
    2,
    "[P30] [P40] a process that ends takes all its names with it, everywhere",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const stopping = `stopping@${home}`
          const crashing = `crashing@${home}`
          yield* a.workers.register(stopping, Counter, { start: 0 })
          yield* b.workers.register(crashing, Temporary, { start: 0 })
          yield* b.workers.alias(`s-${home}`, stopping)
          yield* a.workers.alias(`c-${home}`, crashing)
          yield* Effect.ignore(a.workers.client(Counter, `s-${home}`).StopNormally())
          yield* Effect.ignore(a.workers.client(Temporary, `c-${home}`).Crash())
          for (const name of [stopping, crashing, `s-${home}`, `c-${home}`]) yield* seenBy([a, b], name, undefined)
          for (const node of [a, b]) yield* eventuallyEqual(names(node), [], `names on ${node.id}`)
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[T10] [P9] names and metadata stay with a process through a crash and a move",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const first = yield* a.workers.register("main@b", Counter, { start: 5 }, { metadata: "kept" })
        yield* a.workers.alias("alias", "main@b")
        const isSame = (node: TestNode, after: ProcessRef) =>
          Effect.gen(function* () {
            const ref = yield* whereis(node, "alias")
            return ref !== undefined && ref.epoch > after.epoch && (yield* node.workers.keys(ref)).length === 2 &&
              (yield* metadata(node, "alias")) === "kept"
          })
        yield* Effect.ignore(a.workers.client(Counter, "alias").Crash())
        for (const node of [a, b]) yield* eventually(isSame(node, first), `it is back on ${node.id} with all it had`)
        const second = (yield* whereis(a, "alias"))!
        yield* cluster.repeat(a.handoff.move("conformance/Workers", "main@b", "a"))
        for (const node of [a, b]) yield* eventually(isSame(node, second), `it has moved, seen by ${node.id}`)
        yield* equal(yield* b.counter("alias").Get(), 5, "a call by its alias")
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[P22] [P23] [P25] select finds by prefix, node, type, group and predicate, and by all of them together",
    (nodes) =>
      Effect.gen(function* () {
        const [a] = nodes
        yield* equal(yield* selected(a, {}), [], "in an empty sworm")
        for (const [i, name] of ["x/1@a", "x/2@b", "x/3@b", "y/1@b", "y/2@c"].entries()) {
          yield* a.workers.register(name, Counter, { start: i }, { metadata: i })
        }
        yield* a.workers.register("x/echo@b", Echo, {})
        for (const name of ["x/2@b", "y/1@b", "y/2@c"]) yield* a.workers.join("even", name)
        yield* nodes[2].workers.adopt("x/by hand")
        for (const node of nodes) {
          yield* eventually(Effect.map(node.workers.count(), (count) => count === 7), `"${node.id}" knows them all`)
          yield* eventually(Effect.map(node.workers.members("even"), (all) => all.length === 3), "and the group")
          const odd = ({ metadata }: { readonly metadata: unknown }): boolean => Number(metadata) % 2 === 1
          const expected: ReadonlyArray<readonly [Parameters<typeof selected>[1], ReadonlyArray<string>]> = [
            [undefined, ["x/1@a", "x/2@b", "x/3@b", "x/by hand", "x/echo@b", "y/1@b", "y/2@c"]],
            [{ prefix: "x/" }, ["x/1@a", "x/2@b", "x/3@b", "x/by hand", "x/echo@b"]],
            [{ prefix: "z" }, []],
            [{ node: "b" }, ["x/2@b", "x/3@b", "x/echo@b", "y/1@b"]],
            [{ type: "Echo" }, ["x/echo@b"]],
            [{ group: "even" }, ["x/2@b", "y/1@b", "y/2@c"]],
            [{ where: odd }, ["x/2@b", "y/1@b"]],
            [{ prefix: "x", node: "b", type: "Counter", group: "even", where: odd }, ["x/2@b"]],
            [{ prefix: "x", node: "c", type: "Counter" }, []]
          ]
          for (const [query, names] of expected) {
            yield* equal(yield* selected(node, query), names, `${show(query ?? "all")} on ${node.id}`)
          }
        }
        const broken = yield* Effect.exit(a.workers.select({
          where: () => {
            throw new Error("no predicate")
          }
        }))
        yield* check(Exit.hasDies(broken), `a predicate that throws is a defect of its caller: ${show(broken)}`)
        const matching = yield* nodes[1].workers.select({ prefix: "x/", type: "Counter" })
        yield* Effect.forEach(matching, ({ ref }) => nodes[1].workers.unregister(ref.name), { discard: true })
        for (const node of nodes) {
          yield* eventuallyEqual(names(node), ["x/by hand", "x/echo@b", "y/1@b", "y/2@c"], `what is left, ${node.id}`)
        }
      })
  ),

  define(
    3,
    "[P25] [P38] the numbers of names, in all and per node, are right after every operation",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const counts = (node: TestNode) =>
          Effect.forEach([undefined, "a", "b", "c", "nowhere"], (id) => node.workers.count(id))
        const right = (expected: ReadonlyArray<number>, after: string) =>
          Effect.gen(function* () {
            yield* equal(yield* counts(a), expected, `on the node that did it, right after ${after}`)
            for (const node of [b, c]) yield* eventuallyEqual(counts(node), expected, `on ${node.id} after ${after}`)
          })
        yield* right([0, 0, 0, 0, 0], "the start")
        yield* a.workers.register("one@a", Counter, { start: 0 })
        yield* right([1, 1, 0, 0, 0], "a registration here")
        yield* a.workers.register("two@b", Counter, { start: 0 })
        yield* a.workers.register("three@b", Counter, { start: 0 })
        yield* right([3, 1, 2, 0, 0], "registrations elsewhere")
        yield* a.workers.alias("deux", "two@b")
        yield* right([3, 1, 2, 0, 0], "an alias, which is no process")
        yield* fails(a.workers.register("two@b", Counter, { start: 0 }), { _tag: "NameTaken" }, "a refused one")
        yield* right([3, 1, 2, 0, 0], "a refused registration")
        yield* Effect.scoped(Effect.andThen(a.workers.adopt("by hand"), right([4, 2, 2, 0, 0], "an adoption")))
        yield* right([3, 1, 2, 0, 0], "its end")
        yield* a.workers.unregister("two@b")
        yield* right([2, 1, 1, 0, 0], "unregister")
        for (const node of nodes) {
          const running = yield* Effect.map(
            node.supervisor.which("conformance/Workers", node.id),
            ({ length }) => length
          )
          yield* equal(yield* node.workers.count(node.id), running, `what ${node.id} counts of itself, and runs`)
        }
      })
  ),

  define(
    3,
    '[P27] whereis with "owner" is right at once after a change anywhere, and says so; "cached" says it is a copy',
    (nodes) =>
      Effect.gen(function* () {
        for (let i = 0; i < 20; i++) {
          const name = `owned-${i}@${nodes[i % 3]!.id}`
          const [doer, asker] = [nodes[(i + 1) % 3]!, nodes[(i + 2) % 3]!]
          const ref = yield* doer.workers.register(name, Counter, { start: i })
          const owned = yield* asker.workers.whereis(name, "owner")
          yield* equal(owned, { ref: Option.some(ref), guarantee: "owner" as const }, `"${name}" right after register`)
          const cached = yield* doer.workers.whereis(name, "cached")
          yield* equal(cached, { ref: Option.some(ref), guarantee: "cached" as const }, "the copy of who registered it")
          yield* doer.workers.unregister(name)
          const gone = yield* asker.workers.whereis(name, "owner")
          yield* equal(gone, { ref: Option.none(), guarantee: "owner" as const }, `"${name}" right after unregister`)
        }
      })
  ),

  define(
    3,
    "[P16] whereis, again and again while a process starts, answers nobody and then its ref",
    (nodes) =>
      Effect.gen(function* () {
        for (const home of nodes) {
          const name = `starting@${home.id}`
          const registering = yield* Effect.forkChild(nodes[0].workers.register(name, Sleeper, { millis: 200 }), {
            startImmediately: true
          })
          const found: Array<ProcessRef> = []
          yield* eventually(
            Effect.gen(function* () {
              for (const node of nodes) {
                const ref = yield* whereis(node, name)
                if (ref !== undefined) found.push(ref)
              }
              return registering.pollUnsafe() !== undefined && found.length > 0
            }),
            `"${name}" is found`
          )
          for (const ref of found) {
            yield* check(ref.name === name && ref.node === home.id && ref.epoch === found[0]!.epoch, show(ref))
          }
          yield* isOn(found[0]!, home)
        }
      })
  )
]
