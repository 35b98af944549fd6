/** Groups, publish, multicall, and names registered by hand. */
import { Effect, Exit, Scope } from "effect"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, memberNames, seenBy, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Journal } from "./sworms.ts"

const define = group("groups")

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P114] [P115] join, leave and members work from any node for a process on any node, and are idempotent",
    (nodes) =>
      Effect.gen(function* () {
        for (const home of nodes) {
          for (const node of nodes) {
            const name = `${node.id}@${home.id}`
            const { join, leave, register } = node.workers
            yield* register(name, Counter, { start: 0 })
            yield* leave("group", name)
            yield* join("group", name)
            yield* join("group", name)
            for (const other of nodes) {
              yield* eventuallyEqual(
                memberNames(other, "group"),
                [name],
                `members on ${other.id} after join of ${name}`
              )
            }
            yield* leave("group", name)
            yield* leave("group", name)
            for (const other of nodes) {
              yield* eventuallyEqual(memberNames(other, "group"), [], `members on ${other.id} after leave of ${name}`)
            }
          }
        }
      })
  ),

  define(
    2,
    "[P114] [P118] join of a name that nobody has fails with NotRegistered; an unknown group is empty",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* fails(a.workers.join("group", "nobody"), { _tag: "NotRegistered", name: "nobody" }, "join")
        yield* fails(a.workers.leave("group", "nobody"), { _tag: "NotRegistered", name: "nobody" }, "leave")
        yield* equal(yield* memberNames(b, "group"), [], "members")
        yield* equal(yield* a.workers.publish(Counter, "group", "Increment", { by: 1 }), 0, "publish to nobody")
        yield* equal((yield* a.workers.multicall(Counter, "group", "Get", undefined)).length, 0, "multicall of nobody")
      })
  ),

  define(
    2,
    "[P116] members are listed in order of name, with their refs, and one process may be in several groups",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const name of ["m3@a", "m1@b", "m2@a"]) {
          yield* b.workers.register(name, Counter, { start: 0 })
          yield* a.workers.join("one", name)
          yield* b.workers.join("two", name)
        }
        for (const node of [a, b]) {
          for (const name of ["one", "two"]) {
            yield* eventuallyEqual(memberNames(node, name), ["m1@b", "m2@a", "m3@a"], `${name} on ${node.id}`)
          }
          const refs = yield* node.workers.members("one")
          for (const ref of refs) yield* equal(yield* whereis(node, ref.name), ref, "the ref")
        }
      })
  ),

  define(3, "[P120] concurrent joins of one process to many groups are all kept", (nodes) =>
    Effect.gen(function* () {
      yield* nodes[0].workers.register("social@b", Counter, { start: 0 })
      const groups = Array.from({ length: 30 }, (_, i) => `g${i}`)
      yield* Effect.forEach(groups, (name, i) => nodes[i % 3]!.workers.join(name, "social@b"), {
        concurrency: "unbounded",
        discard: true
      })
      for (const node of nodes) {
        for (const name of groups) {
          yield* eventuallyEqual(memberNames(node, name), ["social@b"], `${name} on ${node.id}`)
        }
      }
    })),

  define(2, "[P116] a process that is unregistered leaves its groups everywhere", ([a, b]) =>
    Effect.gen(function* () {
      yield* a.workers.register("member@b", Counter, { start: 0 })
      yield* a.workers.join("group", "member@b")
      yield* a.workers.unregister("member@b")
      for (const node of [a, b]) yield* eventuallyEqual(memberNames(node, "group"), [], `members on ${node.id}`)
      yield* a.workers.register("member@b", Counter, { start: 0 })
      yield* equal(yield* memberNames(a, "group"), [], "a new registration has no groups")
    })),

  define(
    3,
    "[P117] [P119] publish reaches each member once and answers how many it was sent to",
    (nodes, cluster) =>
      Effect.gen(function* () {
        const names = ["j1@a", "j2@b", "j3@c", "j4@a"]
        for (const name of names) {
          yield* nodes[0].workers.register(name, Journal, {})
          yield* nodes[0].workers.join("readers", name)
        }
        yield* nodes[0].workers.register("outsider", Journal, {})
        for (const node of nodes) {
          yield* eventuallyEqual(memberNames(node, "readers"), names, `members on ${node.id}`)
          yield* equal(yield* node.workers.publish(Journal, "readers", "Write", { line: node.id }), 4, "sent to")
        }
        for (const name of names) {
          const { client } = nodes[1].workers
          const read = cluster.repeat(client(Journal, name, { timeout: "2 seconds" }).Read())
          if (cluster.reliable) {
            yield* eventuallyEqual(Effect.map(read, (lines) => [...lines].sort()), ["a", "b", "c"], `what ${name} got`)
          } else {
            const lines = yield* read
            yield* equal(new Set(lines).size, lines.length, `what ${name} got, each once: ${show(lines)}`)
          }
        }
        const outside = nodes[0].workers.client(Journal, "outsider", { timeout: "2 seconds" })
        yield* equal(yield* cluster.repeat(outside.Read()), [], "outside the group")
      })
  ),

  define(
    2,
    "[P118] multicall answers for every member: a crash, a slow one and a refusal are one failed result each",
    ([a, b]) =>
      Effect.gen(function* () {
        const names = ["m1@a", "m2@b", "m3@a", "m4@b"]
        for (const [i, name] of names.entries()) {
          yield* a.workers.register(name, Counter, { start: i })
          yield* a.workers.join("asked", name)
        }
        for (const node of [a, b]) {
          yield* eventuallyEqual(memberNames(node, "asked"), names, `members on ${node.id}`)
          const all = yield* node.workers.multicall(Counter, "asked", "Get", undefined)
          yield* equal(all.map(({ ref }) => ref.name), names, "who was asked")
          yield* equal(all.map(({ exit }) => exit._tag === "Success" ? exit.value : -1), [0, 1, 2, 3], "the answers")
          const refusals = yield* node.workers.multicall(Counter, "asked", "Refuse", { code: 3 })
          for (const { exit } of refusals) yield* fails(exit, { _tag: "Refused", code: 3 }, "a refusal")
          const sleeping = yield* Effect.forkChild(
            Effect.exit(node.workers.client(Counter, "m2@b", { timeout: "2 seconds" }).Slow({ millis: 1500 })),
            { startImmediately: true }
          )
          yield* eventually(
            Effect.map(
              Effect.exit(node.workers.client(Counter, "m2@b", { timeout: "30 millis" }).Get()),
              Exit.isFailure
            ),
            "m2 is busy"
          )
          const partial = yield* node.workers.multicall(Counter, "asked", "Get", undefined, { timeout: "200 millis" })
          const tags = partial.map(({ exit }) => exit._tag)
          yield* equal(
            tags,
            ["Success", "Failure", "Success", "Success"],
            `answers with one slow member: ${show(partial)}`
          )
          yield* fails(partial[1]!.exit, { _tag: "CallError", reason: "Timeout" }, "the slow member")
          yield* check(sleeping.pollUnsafe() === undefined, "the slow member was slow until here")
          sleeping.interruptUnsafe()
          yield* eventually(Effect.as(node.workers.client(Counter, "m2@b").Get(), true), "m2 is free again")
        }
        const crashes = yield* a.workers.multicall(Counter, "asked", "Crash", undefined)
        for (const { exit } of crashes) yield* fails(exit, { _tag: "CallError", reason: "Crashed" }, "a crash")
        for (const name of names) yield* eventually(Effect.as(a.counter(name).Get(), true), `"${name}" is back`)
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[P4] [P8] [P9] adopt: visible everywhere, refused for a taken name, gone when its scope closes",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const scope = yield* Scope.make()
        const ref = yield* Scope.provide(b.workers.adopt("by hand", { metadata: { port: 1 } }), scope)
        yield* equal(ref.node, "b", "its node")
        yield* equal(yield* whereis(b, "by hand"), ref, "whereis right after")
        yield* seenBy(nodes, "by hand", ref)
        for (const node of nodes) {
          yield* fails(Effect.scoped(node.workers.adopt("by hand")), { _tag: "NameTaken", ref }, `adopt on ${node.id}`)
        }
        yield* fails(c.workers.register("by hand", Counter, { start: 0 }), { _tag: "NameTaken", ref }, "register")
        yield* seenBy(nodes, "by hand", ref)
        yield* a.workers.join("hands", "by hand")
        for (const node of nodes) yield* eventuallyEqual(memberNames(node, "hands"), ["by hand"], `group on ${node.id}`)
        yield* Scope.close(scope, Exit.void)
        yield* equal(yield* whereis(b, "by hand"), undefined, "whereis right after its end")
        yield* seenBy(nodes, "by hand", undefined)
        for (const node of nodes) yield* eventuallyEqual(memberNames(node, "hands"), [], `group on ${node.id}`)
        yield* a.workers.register("by hand", Counter, { start: 0 })
      })
  ),

  define(3, "[P10] [P19] of concurrent adopts of one name one succeeds", (nodes) =>
    Effect.gen(function* () {
      const exits = yield* Effect.forEach(
        Array.from({ length: 30 }, (_, i) => nodes[i % 3]!),
        ({ workers }) => Effect.exit(workers.adopt("contended")),
        { concurrency: "unbounded" }
      )
      const won = exits.filter(Exit.isSuccess)
      yield* equal(won.length, 1, "successes")
      for (const exit of exits) {
        if (exit._tag === "Failure") yield* fails(exit, { _tag: "NameTaken", ref: won[0]!.value }, "the others")
      }
      yield* seenBy(nodes, "contended", won[0]!.value)
    })),

  define(2, "what is adopted stays where it is when nodes join", ([a, b], cluster) =>
    Effect.gen(function* () {
      const names = Array.from({ length: 20 }, (_, i) => `fixed-${i}@c`)
      const refs = yield* Effect.forEach(names, (name, i) => [a, b][i % 2]!.workers.adopt(name))
      yield* a.workers.register("moves@c", Counter, { start: 0 })
      const c = yield* cluster.start("c")
      yield* eventually(Effect.map(whereis(c, "moves@c"), (ref) => ref?.node === "c"), "a process has moved to c")
      for (const ref of refs) yield* seenBy([a, b, c], ref.name, ref)
    })),

  define(
    2,
    "[P41] an adopted name that is unregistered by another node is gone; closing its scope then does nothing",
    ([a, b]) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const ref = yield* Scope.provide(b.workers.adopt("borrowed"), scope)
        yield* seenBy([a], "borrowed", ref)
        yield* a.workers.unregister("borrowed")
        yield* seenBy([a, b], "borrowed", undefined)
        const next = yield* a.workers.register("borrowed", Counter, { start: 1 })
        yield* seenBy([b], "borrowed", next)
        yield* Scope.close(scope, Exit.void)
        yield* equal(yield* whereis(a, "borrowed"), next, "the next holder of the name")
        yield* equal(yield* a.counter("borrowed").Get(), 1, "the next holder's state")
      })
  )
]
