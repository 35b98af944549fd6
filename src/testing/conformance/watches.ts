/** Who is told of what happens to names: watches, monitors and changes, and whether they miss anything. */
import { Deferred, Effect, Option, Scope, Stream } from "effect"
import type { MonitorEvent, WatchEvent } from "../../Registry.ts"
import { equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, names, seenBy, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Limited, Temporary } from "./sworms.ts"

const define = group("watches")

/** What a stream has told so far, from its first element on: the list grows as it goes on. */
const collect = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<ReadonlyArray<A>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const told: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(stream, (one) => Effect.sync(() => void told.push(one))))
    yield* eventually(Effect.sync(() => told.length > 0), "the first element")
    return told
  })

/** An event in a word or two: its tag, whom it is about, and why. */
const brief = (event: WatchEvent): string => {
  switch (event._tag) {
    case "Present":
      return `Present ${event.entries.map(({ ref }) => ref.name).sort().join(" ")}`
    case "Unregistered":
      return `Unregistered ${event.before.ref.name} ${event.reason}`
    default:
      return `${event._tag} ${event.entry.ref.name}`
  }
}

const briefly = (told: ReadonlyArray<WatchEvent>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => told.map(brief))

const step = (event: MonitorEvent): string => {
  switch (event._tag) {
    case "Up":
      return `Up ${event.ref.node}`
    case "Down":
      return `Down ${event.reason}${event.isFinal ? " for good" : ""}`
    case "Moved":
      return `Moved ${event.from.node} ${event.to.node}${event.withState ? " with state" : ""}`
  }
}

/** Each of these monitors has told this, and nothing else. */
const allTold = (
  monitors: ReadonlyArray<ReadonlyArray<MonitorEvent>>,
  expected: ReadonlyArray<string>
): Effect.Effect<void, unknown> =>
  Effect.forEach(
    monitors,
    (told, i) => eventuallyEqual(Effect.sync(() => told.map(step)), expected, `what monitor ${i} was told`),
    { discard: true }
  )

const monitorAll = (nodes: ReadonlyArray<TestNode>, name: string) =>
  Effect.forEach(nodes, ({ workers }) => collect(workers.monitor(name)))

/** The names that a watch leads to, and what in it can't be: a name that comes twice, or goes without having come. */
const replay = (told: ReadonlyArray<WatchEvent>): { readonly names: ReadonlyArray<string>; readonly wrong: string } => {
  const present = new Set<string>()
  let wrong = ""
  for (const event of told) {
    if (event._tag === "Present") { for (const { ref } of event.entries) present.add(ref.name) }
    else if (event._tag === "Registered") {
      if (present.has(event.entry.ref.name)) wrong += `${brief(event)} twice; `
      present.add(event.entry.ref.name)
    } else if (event._tag === "Unregistered" && !present.delete(event.before.ref.name)) wrong += `${brief(event)}; `
    else if (event._tag === "Updated" && !present.has(event.entry.ref.name)) wrong += `${brief(event)}; `
  }
  return { names: [...present].sort(), wrong }
}

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P32] [P44] [P116] a watch tells what is there, then every registration, change and end, on every node",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const first = yield* a.workers.register("first@a", Counter, { start: 0 })
        yield* seenBy(nodes, "first@a", first)
        const watches = yield* Effect.forEach(nodes, ({ workers }) => collect(workers.watch("everything")))
        const expected = ["Present first@a"]
        const told = (event: string) =>
          Effect.gen(function* () {
            expected.push(event)
            for (const [i, watch] of watches.entries()) {
              yield* eventuallyEqual(briefly(watch), [...expected], `what was told on ${nodes[i]!.id}`)
            }
          })
        yield* a.workers.register("next@b", Counter, { start: 0 })
        yield* told("Registered next@b")
        yield* c.workers.join("group", "next@b")
        yield* told("Updated next@b")
        yield* a.workers.leave("group", "next@b")
        yield* told("Updated next@b")
        yield* a.workers.leave("group", "next@b")
        yield* a.workers.setMetadata("next@b", "new")
        yield* told("Updated next@b")
        yield* b.workers.alias("more", "next@b")
        yield* told("Updated next@b")
        yield* c.workers.unregister("first@a")
        yield* told("Unregistered first@a Unregistered")
        for (const watch of watches) {
          const joined = watch.find((event) => event._tag === "Updated")
          yield* equal(joined?._tag === "Updated" ? joined.entry.groups : [], ["group"], "what the update says")
          yield* equal(joined?._tag === "Updated" ? joined.before.groups : ["?"], [], "and what was before")
        }
      })
  ),

  define(2, "[P44] every watcher is told why a name has ended", ([a, b]) =>
    Effect.gen(function* () {
      const watches = yield* Effect.forEach([a, b], ({ workers }) => collect(workers.watch("everything")))
      yield* a.workers.register("unregistered@b", Counter, { start: 0 })
      yield* a.workers.register("stopped@b", Counter, { start: 0 })
      yield* a.workers.register("crashed@b", Temporary, { start: 0 })
      yield* a.workers.register("limited@b", Limited, { start: 0 })
      yield* a.workers.register("leased@b", Counter, { start: 0 }, { lease: "2 seconds" })
      yield* Effect.scoped(b.workers.adopt("by hand"))
      yield* a.workers.unregister("unregistered@b")
      yield* a.workers.client(Counter, "stopped@b").StopNormally()
      yield* fails(a.workers.client(Temporary, "crashed@b").Crash(), { reason: "Crashed" }, "a crash")
      for (let i = 0; i < 3; i++) {
        yield* fails(a.workers.client(Limited, "limited@b").Crash(), { reason: "Crashed" }, "a crash")
      }
      const ends = [
        "Unregistered by hand Unregistered",
        "Unregistered crashed@b Crashed",
        "Unregistered leased@b LeaseExpired",
        "Unregistered limited@b GivenUp",
        "Unregistered stopped@b Ended",
        "Unregistered unregistered@b Unregistered"
      ]
      for (const watch of watches) {
        const ended = Effect.map(briefly(watch), (all) => all.filter((event) => event.startsWith("Unreg")).sort())
        // what came and went before its news left for the other node was nothing to tell there
        const expected = watch === watches[1] ? ends : ends.slice(1)
        yield* eventuallyEqual(
          Effect.map(ended, (all) => all.filter((event) => expected.includes(event))),
          expected,
          "why"
        )
      }
    }), { needs: ["reliable"] }),

  define(3, "[P62] [P44] a watch of a name, or of a prefix, tells of nothing else", (nodes) =>
    Effect.gen(function* () {
      const [a, b] = nodes
      yield* a.workers.register("here/1@b", Counter, { start: 0 })
      yield* eventuallyEqual(names(b), ["here/1@b"], "b knows it")
      const byName = yield* collect(b.workers.watch({ name: "here/2@b" }))
      const byPrefix = yield* collect(b.workers.watch({ prefix: "here/" }))
      const settled = yield* collect(b.settled.watch("everything"))
      for (const name of ["here/2@b", "there/1@b", "here/3@a"]) {
        yield* nodes[2].workers.register(name, Counter, { start: 0 })
        yield* eventually(Effect.map(whereis(b, name), (ref) => ref !== undefined), `b knows "${name}"`)
      }
      yield* a.workers.unregister("here/1@b")
      yield* a.workers.unregister("here/2@b")
      yield* eventuallyEqual(
        briefly(byPrefix),
        [
          "Present here/1@b",
          "Registered here/2@b",
          "Registered here/3@a",
          "Unregistered here/1@b Unregistered",
          "Unregistered here/2@b Unregistered"
        ],
        "by prefix"
      )
      yield* eventuallyEqual(
        briefly(byName),
        ["Present ", "Registered here/2@b", "Unregistered here/2@b Unregistered"],
        "by name"
      )
      yield* equal(yield* briefly(settled), ["Present "], "of another sworm")
    })),

  define(
    3,
    "[P44] a watch that begins in the middle of changes misses none and tells none twice",
    (nodes) =>
      Effect.gen(function* () {
        const churn = Effect.forEach(Array.from({ length: 120 }, (_, i) => i), (i) => {
          const { workers } = nodes[i % 3]!
          const name = `churn-${i % 40}`
          const isEnd = i >= 40 && i % 40 >= 30
          const change = isEnd ? workers.unregister(name) : workers.register(name, Counter, { start: 0 })
          return Effect.exit(change as Effect.Effect<unknown, unknown>)
        }, { concurrency: 8, discard: true })
        const changing = yield* Effect.forkChild(churn, { startImmediately: true })
        const watches: Array<readonly [TestNode, ReadonlyArray<WatchEvent>]> = []
        for (let i = 0; i < 9; i++) {
          const node = nodes[i % 3]!
          watches.push([node, yield* collect(node.workers.watch({ prefix: "churn-" }))])
        }
        yield* eventually(Effect.sync(() => changing.pollUnsafe() !== undefined), "the changes are over")
        for (const [node, told] of watches) {
          const agrees = Effect.map(names(node), (known) => show(replay(told).names) === show(known))
          yield* eventually(agrees, `a watch on ${node.id} leads to what is there`)
          yield* equal(replay(told).wrong, "", "what it told that can't be")
        }
      })
  ),

  define(
    2,
    "[P44] a reader that is slow is told where each name came to, at most once per name",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("busy@b", Counter, { start: 0 }, { metadata: -1 })
        yield* eventually(Effect.map(whereis(b, "busy@b"), (ref) => ref !== undefined), "b knows it")
        const told: Array<WatchEvent> = []
        const goOn = yield* Deferred.make<void>()
        yield* Effect.forkScoped(Stream.runForEach(b.workers.watch("everything"), (event) => {
          told.push(event)
          return told.length === 1 ? Deferred.await(goOn) : Effect.void
        }))
        yield* eventually(Effect.sync(() => told.length === 1), "the first element")
        for (let i = 0; i < 100; i++) yield* b.workers.updateMetadata("busy@b", () => i)
        for (let i = 0; i < 5; i++) {
          yield* b.workers.register("fleeting@b", Counter, { start: 0 })
          yield* b.workers.unregister("fleeting@b")
        }
        yield* b.workers.register("new@b", Counter, { start: 0 })
        yield* Deferred.succeed(goOn, undefined)
        const after = Effect.map(briefly(told), (all) => all.slice(1).sort())
        yield* eventuallyEqual(after, ["Registered new@b", "Updated busy@b"], "what the slow reader was told")
        const update = told.find((event) => event._tag === "Updated")
        yield* equal<unknown>(update?._tag === "Updated" ? update.entry.metadata : undefined, 99, "the latest")
        yield* equal<unknown>(
          update?._tag === "Updated" ? update.before.metadata : undefined,
          -1,
          "since what was told"
        )
      })
  ),

  define(
    2,
    "[P1] [P44] a monitor, on whatever node, tells of up, crash and end, with the reason",
    (nodes) =>
      Effect.gen(function* () {
        const [a] = nodes
        const two = nodes.slice(0, 2)
        const monitors = yield* monitorAll(two, "seen@b")
        const expected = ["Down NotRegistered for good"]
        const then = (...steps: ReadonlyArray<string>) =>
          Effect.suspend(() => {
            expected.push(...steps)
            return allTold(monitors, [...expected])
          })
        yield* then()
        yield* a.workers.register("seen@b", Counter, { start: 0 })
        yield* then("Up b")
        yield* fails(a.workers.client(Counter, "seen@b").Crash(), { reason: "Crashed" }, "a crash")
        yield* then("Down Crashed", "Up b")
        yield* a.workers.join("group", "seen@b")
        yield* a.workers.setMetadata("seen@b", 1)
        yield* a.workers.unregister("seen@b")
        yield* then("Down Unregistered for good")
        const late = yield* monitorAll(two, "seen@b")
        yield* allTold(late, ["Down Unregistered for good"])
        yield* a.workers.register("seen@b", Counter, { start: 0 })
        yield* then("Up b")
        yield* a.workers.client(Counter, "seen@b").StopNormally()
        yield* then("Down Ended for good")
        yield* a.workers.register("seen@b", Temporary, { start: 0 })
        yield* then("Up b")
        yield* fails(a.workers.client(Temporary, "seen@b").Crash(), { reason: "Crashed" }, "a crash")
        yield* then("Down Crashed for good")
        yield* a.workers.register("seen@b", Counter, { start: 0 }, { lease: "2 seconds" })
        yield* then("Up b", "Down LeaseExpired for good")
        yield* a.workers.register("seen@b", Limited, { start: 0 }, { restartLimit: { max: 0, within: "1 minute" } })
        yield* then("Up b")
        yield* fails(a.workers.client(Limited, "seen@b").Crash(), { reason: "Crashed" }, "a crash")
        yield* then("Down GivenUp for good")
      }),
    { needs: ["reliable"] }
  ),

  define(2, "[P44] a monitor, on whatever node, tells of moves", ([a, b]) =>
    Effect.gen(function* () {
      // of Settled: nothing moves it but the case
      yield* a.settled.register("sent@b", Counter, { start: 0 })
      yield* eventually(Effect.map(b.settled.whereis("sent@b"), Option.isSome), "b knows it")
      const monitors = yield* Effect.forEach([a, b], ({ settled }) => collect(settled.monitor("sent@b")))
      const expected = ["Up b"]
      for (const [by, from, to] of [[a, "b", "a"], [a, "a", "b"], [b, "b", "a"]] as const) {
        yield* by.handoff.move("conformance/Settled", "sent@b", to)
        expected.push(`Moved ${from} ${to} with state`)
        yield* allTold(monitors, [...expected])
      }
      yield* a.settled.unregister("sent@b")
      yield* allTold(monitors, [...expected, "Down Unregistered for good"])
    }), { needs: ["reliable"] }),

  define(
    3,
    "[P31] [P44] a monitor tells that the node was lost, and that it runs again",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const ref = yield* a.workers.register("lost@c", Counter, { start: 0 })
        yield* seenBy([a, b], "lost@c", ref)
        const monitors = yield* monitorAll([a, b], "lost@c")
        yield* c.kill
        for (const told of monitors) {
          const steps = Effect.sync(() => told.map(step).map((one) => one.replace(/^Up [ab]$/, "Up elsewhere")))
          yield* eventuallyEqual(steps, ["Up c", "Down NodeLost", "Up elsewhere"], "what was told of the process")
        }
      }),
    { needs: ["kill"] }
  ),

  define(
    2,
    "[P31] what a node adopted is gone when it leaves, and a monitor says so",
    ([a, b]) =>
      Effect.gen(function* () {
        // ended by the leave, not by its scope
        const adopted = yield* Scope.provide(b.workers.adopt("by hand"), yield* Scope.make())
        yield* seenBy([a], "by hand", adopted)
        const [told] = yield* monitorAll([a], "by hand")
        const seen = yield* collect(a.workers.watch("everything"))
        yield* b.stop
        yield* seenBy([a], "by hand", undefined)
        yield* eventually(Effect.sync(() => told!.map(step).at(-1)?.endsWith("for good") ?? false), "a final end")
        yield* eventually(Effect.sync(() => seen.at(-1)?._tag === "Unregistered"), "the watch tells it")
        yield* a.workers.register("by hand", Counter, { start: 0 })
      })
  ),

  define(
    3,
    "what a node adopted is gone for good when the node is killed, and every monitor says so",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const adopted = yield* Scope.provide(c.workers.adopt("by hand"), yield* Scope.make())
        yield* seenBy([a, b], "by hand", adopted)
        const monitors = yield* monitorAll([a, b], "by hand")
        yield* c.kill
        for (const told of monitors) {
          yield* eventuallyEqual(
            Effect.sync(() => told.map(step).at(-1)),
            "Down OwnerGone for good",
            "of the adopted one"
          )
        }
      }),
    { needs: ["kill"] }
  )
]
