/** Calls and groups under strain: circles that may be, processes started by their first message, answers in part. */
import { Effect, Exit, Fiber, Option } from "effect"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { memberNames, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { groupHosting } from "./hosting.ts"
import { Loop, Member, Sources, sourcesLayer, Straight } from "./sources.ts"
import { Counter, Journal, type WorkersClient } from "./sworms.ts"

const { define, on } = groupHosting("messaging", () => sourcesLayer)

const patient = { timeout: "15 seconds" } as const

const memberNamesOf = (node: TestNode, group: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(on(node, Sources).members(group), (refs) => refs.map(({ name }) => name))

/** A message to the process would have to wait now. */
const isBusy = (workers: WorkersClient, name: string): Effect.Effect<boolean> =>
  workers.client(Counter, name, { timeout: "50 millis" }).Get().pipe(
    Effect.as(false),
    Effect.catch(({ reason }) => Effect.succeed(reason === "Timeout"))
  )

/** Ten messages to a busy process: how many were taken. */
const taken = (node: TestNode, name: string) =>
  Effect.gen(function* () {
    const client = on(node, Sources).client(Member, name, patient)
    const busy = yield* Effect.forkChild(Effect.exit(client.Ask()), { startImmediately: true })
    const impatient = on(node, Sources).client(Member, name, { timeout: "50 millis" })
    yield* eventually(Effect.map(Effect.exit(impatient.Told()), Exit.isFailure), `"${name}" is busy`)
    const waiting = yield* Effect.forEach(
      Array.from({ length: 10 }),
      () => Effect.forkChild(Effect.exit(client.Told()), { startImmediately: true })
    )
    yield* eventually(Effect.sync(() => waiting.some((fiber) => fiber.pollUnsafe() !== undefined)), "some are refused")
    const refused = Effect.sync(() => waiting.flatMap((fiber) => fiber.pollUnsafe() ?? []).length)
    const last = yield* Effect.andThen(Effect.exit(impatient.Told()), refused)
    for (const fiber of waiting) {
      const exit = fiber.pollUnsafe()
      if (exit?._tag === "Success") {
        yield* fails(exit.value, { _tag: "CallError", reason: "MailboxFull" }, "a message too many")
      }
    }
    yield* Fiber.interruptAll([busy, ...waiting])
    return 10 - last
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "a process that is made reentrant answers what comes back to it, on one node and round two",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        for (const path of [["x@a"], ["y@b"], ["x@a", "z@a"], ["x@a", "y@b"], ["x@a", "y@b", "z@a"]]) {
          for (const name of path) yield* on(a, Sources).whereisOrRegister(name, Loop, {})
          const [first, ...rest] = path
          const round = [...rest, ...path]
          for (const node of [a, b]) {
            const client = on(node, Sources).client(Loop, first!, patient)
            yield* equal(yield* client.Visit({ path: round }), "end", `the circle ${show(round)} from ${node.id}`)
            yield* equal(yield* client.Visit({ path: [...round, ...path] }), "end", "and round once more")
          }
        }
        yield* check(
          (yield* cluster.repeat(on(b, Sources).client(Loop, "x@a", patient).Visits())) > 8,
          "they were visited"
        )
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "a process that is not made so answers a circle with Reentrant, on one node and round two",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const path of [["x@a"], ["x@a", "z@a"], ["x@a", "y@b"], ["x@a", "y@b", "z@a"]]) {
          for (const name of path) yield* on(a, Sources).whereisOrRegister(name, Straight, {})
          const [first, ...rest] = path
          for (const node of [a, b]) {
            const client = on(node, Sources).client(Straight, first!, patient)
            yield* equal(yield* client.Visit({ path: [...rest, first!] }), "Reentrant", `${show(path)} from ${node.id}`)
            yield* equal(yield* client.Visit({ path: rest }), "end", "without the circle")
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P3] [P7] ensure starts a process with its first message, wherever it comes from, and once",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `lazy@${home}`
          const clients = Array.from(
            { length: 20 },
            (_, i) => [a, b][i % 2]!.workers.ensure(Counter, name, { start: 100 }, patient)
          )
          yield* fails(a.workers.client(Counter, name).Get(), { _tag: "CallError", reason: "NotRegistered" }, "before")
          const counts = yield* Effect.forEach(clients, (client) => client.Increment({ by: 1 }), {
            concurrency: "unbounded"
          })
          yield* equal(
            [...counts].sort((x, y) => x - y),
            Array.from({ length: 20 }, (_, i) => 101 + i),
            "each counted once"
          )
          yield* a.workers.unregister(name)
          yield* equal(yield* cluster.repeat(clients[1]!.Get()), 100, "what ended is started again, from its args")
          yield* cluster.repeat(clients[0]!.StopNormally())
          yield* seenBy([a, b], name, undefined)
          yield* equal(yield* clients[0]!.Get(), 100, "and after it has stopped itself")
        }
        yield* fails(
          a.workers.ensure(Counter, "half", { start: 0.5 }).Get(),
          { _tag: "InvalidInput" },
          "args that do not fit"
        )
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[P115] [P120] a node that joins later knows every group, and what is joined after",
    (nodes, cluster) =>
      Effect.gen(function* () {
        const joined = Array.from({ length: 12 }, (_, i) => `early-${i}`)
        yield* Effect.forEach(joined, (name, i) =>
          Effect.andThen(
            nodes[i % 3]!.workers.register(name, Counter, { start: i }),
            nodes[(i + 1) % 3]!.workers.join(`group-${i % 3}`, name)
          ), { concurrency: "unbounded" })
        const d = yield* cluster.start("d")
        for (const node of [...nodes, d]) {
          yield* eventuallyEqual(node.workers.groups, ["group-0", "group-1", "group-2"], `groups on ${node.id}`)
          for (let i = 0; i < 3; i++) {
            const expected = joined.filter((_, at) => at % 3 === i).sort()
            yield* eventuallyEqual(memberNames(node, `group-${i}`), expected, `group-${i} on ${node.id}`)
          }
        }
        yield* d.workers.leave("group-0", "early-0")
        yield* d.workers.join("group-3", "early-0")
        for (const node of nodes) {
          yield* eventuallyEqual(memberNames(node, "group-3"), ["early-0"], `what d joined, on ${node.id}`)
          yield* eventually(
            Effect.map(memberNames(node, "group-0"), (all) => !all.includes("early-0")),
            `what d left, on ${node.id}`
          )
        }
      })
  ),

  define(
    3,
    "[P116] [P119] members are counted in all and per node, and are the same asked from anywhere",
    (nodes) =>
      Effect.gen(function* () {
        const [a] = nodes
        for (const name of ["m1@a", "m2@b", "m3@b", "m4@c"]) {
          yield* a.workers.register(name, Counter, { start: 0 })
          yield* a.workers.join("counted", name)
        }
        yield* a.workers.register("outside@b", Counter, { start: 0 })
        const perNode = (node: TestNode) =>
          Effect.forEach(
            nodes,
            ({ id }) => Effect.map(node.workers.select({ group: "counted", node: id }), ({ length }) => length)
          )
        for (const node of nodes) {
          yield* eventuallyEqual(perNode(node), [1, 2, 1], `members per node, asked from ${node.id}`)
          yield* eventuallyEqual(Effect.map(node.workers.members("counted"), ({ length }) => length), 4, "in all")
          const is = (name: string) => Effect.map(memberNames(node, "counted"), (all) => all.includes(name))
          yield* equal([yield* is("m2@b"), yield* is("outside@b")], [true, false], "who is a member")
          yield* equal(yield* node.workers.publish(Journal, "nobody's", "Write", { line: "x" }), 0, "of no group")
        }
        yield* a.workers.unregister("m2@b")
        yield* a.workers.leave("counted", "m4@c")
        for (const node of nodes) {
          yield* eventuallyEqual(perNode(node), [1, 1, 0], `after an end and a leave, asked from ${node.id}`)
        }
      })
  ),

  define(
    2,
    "[P118] a multicall answers for those that answer, refuse, crash and never answer, each by itself",
    ([a, b]) =>
      Effect.gen(function* () {
        const does = { "m1@a": "answer", "m2@b": "die", "m3@a": "wait", "m4@b": "refuse", "m5@b": "answer" } as const
        for (const [name, what] of Object.entries(does)) {
          yield* on(a, Sources).register(name, Member, { does: what })
          yield* on(a, Sources).join("asked", name)
        }
        for (const node of [a, b]) {
          yield* eventuallyEqual(memberNamesOf(node, "asked"), Object.keys(does), `members on ${node.id}`)
          // the one that crashed is back
          yield* eventually(Effect.as(on(node, Sources).client(Member, "m2@b").Told(), true), "all answer")
          const results = yield* on(node, Sources).multicall(Member, "asked", "Ask", undefined, {
            timeout: "3 seconds"
          })
          yield* equal(results.map(({ ref }) => ref.name), Object.keys(does), "who was asked")
          const [m1, m2, m3, m4, m5] = results.map(({ exit }) => exit)
          yield* equal([m1, m5].map((exit) => exit?._tag === "Success" ? exit.value : ""), ["m1@a", "m5@b"], "answers")
          yield* fails(m2!, { _tag: "CallError", reason: "Crashed" }, "the one that crashes")
          yield* fails(m3!, { _tag: "CallError", reason: "Timeout" }, "the one that never answers")
          yield* fails(m4!, { _tag: "Refused", code: 1 }, "the one that refuses")
        }
        yield* equal((yield* on(a, Sources).multicall(Member, "nobody's", "Ask", undefined)).length, 0, "of no group")
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[P117] publish answers how many members there are, and each is told once, also where one is gone",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const all = ["p1@a", "p2@b", "p3@c"]
        for (const name of all) {
          yield* on(a, Sources).register(name, Member, { does: "answer" })
          yield* on(a, Sources).join("told", name)
        }
        yield* on(a, Sources).alias("p1-again", "p1@a")
        for (const node of nodes) {
          yield* eventuallyEqual(memberNamesOf(node, "told"), all, `members on ${node.id}`)
          yield* equal(yield* on(node, Sources).publish(Member, "told", "Tell", undefined), 3, `told from ${node.id}`)
        }
        for (const name of all) {
          yield* eventuallyEqual(on(b, Sources).client(Member, name, patient).Told(), 3, `what "${name}" was told`)
        }
        yield* on(c, Sources).unregister("p3@c")
        yield* equal(
          yield* on(c, Sources).publish(Member, "told", "Tell", undefined),
          2,
          "without the one that is gone"
        )
        for (const name of ["p1@a", "p2@b"]) {
          yield* eventuallyEqual(
            on(b, Sources).client(Member, name, patient).Told(),
            4,
            `what "${name}" was told at last`
          )
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P33] [P125] options of a registration win over its type's, those over the sworm's: seen by MailboxFull",
    ([
      a
    ]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          yield* on(a, Sources).register(`type@${home}`, Member, { does: "wait" })
          yield* on(a, Sources).register(`own@${home}`, Member, { does: "wait" }, { mailboxCapacity: 2 })
          yield* equal(yield* taken(a, `type@${home}`), 4, "by the type's capacity")
          yield* equal(yield* taken(a, `own@${home}`), 2, "by the registration's capacity")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P124] data of any shape and size that fits a frame arrives as it was sent, both ways",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        yield* on(a, Sources).register("echo@b", Member, { does: "answer" })
        const nested = Array.from(
          { length: 2000 },
          (_, i) => ({ i, text: `größe ${i} 🙂`, list: [null, true, -0.5, ""] })
        )
        const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i & 255)
        for (const data of [null, 0, "", [], {}, nested, { deep: { deeper: { deepest: [[[]]] } } }]) {
          for (const node of [a, b]) {
            const client = on(node, Sources).client(Member, "echo@b", patient)
            const answer = yield* cluster.repeat(client.Data({ data, bytes }))
            yield* equal<unknown>(answer.data, data, `the data, from ${node.id}`)
            const isSame = answer.bytes.length === bytes.length && answer.bytes.every((byte, i) => byte === bytes[i])
            yield* check(isSame, `the bytes, from ${node.id}`)
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[P121] [P122] [P123] calls follow a process that moves: whoever calls, with whatever it knows, it runs once",
    (nodes) =>
      Effect.gen(function* () {
        const [a, , c] = nodes
        // of Settled: nothing moves it but the case
        const counterOn = ({ settled }: TestNode) => settled.client(Counter, "wanderer@a", patient)
        yield* a.settled.register("wanderer@a", Counter, { start: 0 })
        let sent = 0
        for (const to of ["b", "c", "a", "c", "b"]) {
          const moving = yield* Effect.forkChild(
            c.handoff.move("conformance/Settled", "wanderer@a", to),
            { startImmediately: true }
          )
          for (const node of nodes) {
            yield* counterOn(node).Increment({ by: 1 })
            sent++
          }
          yield* Fiber.join(moving)
          for (const node of nodes) {
            yield* eventuallyEqual(counterOn(node).Where(), to, `where it answers ${node.id}`)
          }
        }
        yield* equal(yield* counterOn(a).Get(), sent, "each call was executed once")
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P122] a call that nobody takes up ends by its deadline, and what it waited for is not done after",
    ([a, b]) =>
      Effect.gen(function* () {
        for (const home of ["a", "b"]) {
          const name = `late@${home}`
          yield* a.workers.register(name, Counter, { start: 0 })
          for (const node of [a, b]) {
            const busy = yield* Effect.forkChild(
              Effect.exit(node.workers.client(Counter, name, patient).Slow({ millis: 60_000 })),
              { startImmediately: true }
            )
            yield* eventually(isBusy(node.workers, name), `"${name}" is busy`)
            const hurried = node.workers.client(Counter, name, { timeout: "100 millis" })
            yield* fails(hurried.Increment({ by: 1 }), { _tag: "CallError", reason: "Timeout" }, "a call that waits")
            yield* Fiber.interrupt(busy)
            yield* equal(yield* node.workers.client(Counter, name, patient).Get(), 0, "the call past its deadline")
          }
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[D13] what is read on a node agrees with what was just done on it, in every way of asking",
    ([a, b]) =>
      Effect.gen(function* () {
        const looks = (node: TestNode, name: string) =>
          Effect.gen(function* () {
            const { count, entry, members, registered, select } = node.workers
            return [
              (yield* whereis(node, name)) !== undefined,
              (yield* registered).some((ref) => ref.name === name),
              Option.isSome(yield* entry(name)),
              (yield* select({ prefix: name })).length === 1,
              (yield* count()) === 1,
              (yield* members("all")).some((ref) => ref.name === name)
            ]
          })
        const all = (value: boolean) => Array.from({ length: 6 }, () => value)
        for (let i = 0; i < 10; i++) {
          for (const node of [a, b]) {
            for (const home of ["a", "b"]) {
              const name = `mine-${i}@${home}`
              yield* equal(yield* looks(node, name), all(false), "before")
              yield* node.workers.register(name, Counter, { start: 0 })
              yield* node.workers.join("all", name)
              yield* equal(yield* looks(node, name), all(true), `after its registration by ${node.id}`)
              yield* node.workers.unregister(name)
              yield* equal(yield* looks(node, name), all(false), `after its end by ${node.id}`)
              const other = node === a ? b : a
              yield* eventuallyEqual(looks(other, name), all(false), `on ${other.id}`)
            }
          }
        }
      })
  )
]
