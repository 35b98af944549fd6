/** What a supervisor promises besides restarts: options, limits, back-off, room, counting, what was given up. */
import { Deferred, Effect, Fiber, Option, Ref, Schedule, Stream } from "effect"
import type { SupervisorEvent } from "../../Supervisor.ts"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import type { TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, crash, foundOn, group, namesOf, Probe, probe, probes } from "./probes.ts"

const define = group("supervision")

const Plain = probes("Plain")
/** Two restarts, whenever they are needed; then it ends. */
const Patient = probes("Patient", {
  backoff: Schedule.recurs(2),
  restartLimit: { max: 100, within: "1 minute" }
})
const Waiting = probes("Waiting", { backoff: Schedule.spaced("1 hour") })
const Crowded = probes("Crowded", { maxChildren: 2 })
const Limited = probes("LimitedProbes", { restartLimit: { max: 1, within: "1 minute" } })

/** Collects a node's supervisor events from now on. */
const collect = (node: TestNode) =>
  Effect.gen(function* () {
    const seen = yield* Ref.make<ReadonlyArray<SupervisorEvent>>([])
    yield* Effect.forkScoped(
      Stream.runForEach(node.supervisor.events, (event) => Ref.update(seen, (all) => [...all, event])),
      { startImmediately: true }
    )
    return Ref.get(seen)
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "[P108] the restart limit given to register wins over the sworm's",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Plain)
        const strict = { restartLimit: { max: 0, within: "1 minute" } } as const
        yield* onA.register("strict@b", Probe, { start: 0 }, strict)
        yield* crash(onB, "strict@b")
        yield* foundOn([onA, onB], "strict@b", undefined)
        const lenient = { restartLimit: { max: 6, within: "1 minute" } } as const
        yield* onA.register("lenient@b", Probe, { start: 0 }, lenient)
        for (let i = 1; i <= 6; i++) {
          yield* crash(onB, "lenient@b")
          yield* stage.diary.until("serves", "lenient@b", i + 1)
        }
        yield* crash(onB, "lenient@b")
        yield* foundOn([onA, onB], "lenient@b", undefined)
      })
  ),

  define(
    1,
    "[P108] the mailbox capacity given to register wins over the process type's",
    ([a], stage) =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const [client] = yield* stage.hostAll([a], Plain, { gate })
        yield* client.register("narrow", Probe, { start: 0 }, { mailboxCapacity: 1 })
        const narrow = client.client(Probe, "narrow", { timeout: "20 seconds" })
        const busy = yield* Effect.forkChild(narrow.Wait(), { startImmediately: true })
        const waits = yield* Effect.forkChild(narrow.Add({ by: 1 }), { startImmediately: true })
        yield* fails(narrow.Add({ by: 10 }), { _tag: "CallError", reason: "MailboxFull" }, "one too many")
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(busy)
        yield* equal(yield* Fiber.join(waits), 1, "the one that waited")
      })
  ),

  define(
    2,
    "[P108] a back-off goes on from crash to crash, and its end gives the process up",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Patient)
        const events = yield* collect(b)
        yield* onA.register("patient@b", Probe, { start: 0 })
        for (let i = 1; i <= 2; i++) {
          yield* crash(onB, "patient@b")
          yield* stage.diary.until("serves", "patient@b", i + 1)
        }
        yield* crash(onB, "patient@b")
        yield* foundOn([onA, onB], "patient@b", undefined)
        yield* eventually(
          Effect.map(events, (all) => all.some(({ _tag }) => _tag === "GivenUp")),
          "a GivenUp event"
        )
        yield* equal(stage.diary.count("acquired", "patient@b"), 3, "starts")
      })
  ),

  define(
    2,
    "a process that waits to be restarted is `restarting` and `down` on every node, and can be ended",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Waiting)
        yield* onA.register("waiting@b", Probe, { start: 0 })
        yield* crash(onB, "waiting@b")
        for (const client of [onA, onB]) {
          yield* eventually(
            Effect.map(client.which(), (all) => all.length === 1 && all[0]!.status === "restarting"),
            "it is restarting"
          )
          yield* eventuallyEqual(
            Effect.map(client.explain("waiting@b"), ({ status }) => status),
            "down" as const,
            "its status"
          )
        }
        yield* onA.unregister("waiting@b")
        yield* foundOn([onA, onB], "waiting@b", undefined)
        yield* equal(stage.diary.count("acquired", "waiting@b"), 1, "starts")
      })
  ),

  define(
    2,
    "[P102] init that calls the supervisor while its process is restarted gets its answers",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const init = (name: string) =>
          Effect.gen(function* () {
            if (!name.startsWith("parent")) return
            const sworm = yield* Plain
            yield* sworm.whereisOrRegister("child@a", Probe, { start: 4 })
            yield* sworm.join("family", name)
            yield* sworm.which()
          })
        const [onA, onB] = yield* stage.hostAll([a, b], Plain, { init })
        yield* onA.register("parent@b", Probe, { start: 1 })
        for (let i = 1; i <= 3; i++) {
          yield* crash(onB, "parent@b")
          yield* stage.diary.until("serves", "parent@b", i + 1)
          yield* equal(yield* probe(stage, onA, "child@a").Get(), 4, "the child's state")
        }
        yield* eventuallyEqual(
          Effect.map(onA.members("family"), (refs) => refs.map(({ name }) => name)),
          ["parent@b"],
          "the group"
        )
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "[P91] one recipe under two names is two processes, wherever they run",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Plain)
        for (const name of ["one@a", "two@a", "three@b"]) yield* onA.register(name, Probe, { start: 5 })
        yield* onA.client(Probe, "one@a").Add({ by: 1 })
        yield* equal(yield* ask(stage, probe(stage, onB, "one@a").Get()), 6, "the one that was called")
        for (const name of ["two@a", "three@b"]) {
          yield* equal(yield* ask(stage, probe(stage, onA, name).Get()), 5, `"${name}"`)
        }
      })
  ),

  define(
    2,
    "[P92] which and countChildren tell of all nodes, from every node; terminate ends one, from any",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const both = yield* stage.hostAll([a, b], Plain)
        for (const client of both) {
          yield* equal((yield* client.which()).length, 0, "processes at first")
          yield* equal([...yield* client.countChildren].filter(([, count]) => count > 0), [], "counts at first")
        }
        const names = ["p0@a", "p1@b", "p2@a", "p3@b", "p4@b"]
        for (const name of names) yield* both[0].register(name, Probe, { start: 0 })
        for (const client of both) {
          const all = Effect.map(client.which(), (children) => children.map(({ ref }) => `${ref.name} on ${ref.node}`))
          yield* eventuallyEqual(all, names.map((name) => `${name} on ${name.at(-1)}`).sort(), "all of them")
          yield* eventuallyEqual(Effect.map(client.which("b"), (children) => children.length), 3, "those of b")
          yield* eventuallyEqual(
            Effect.map(client.countChildren, (counts) => [counts.get("a"), counts.get("b")]),
            [2, 3],
            "counts"
          )
          yield* check(
            (yield* client.which()).every(({ status, type }) => status === "running" && type === "Probe"),
            ""
          )
        }
        yield* both[0].terminate("p1@b")
        yield* both[1].terminate("p0@a")
        for (const client of both) yield* eventuallyEqual(namesOf(client), ["p2@a", "p3@b", "p4@b"], "those left")
        yield* stage.diary.until("released", "p1@b", 1)
        yield* stage.diary.until("released", "p0@a", 1)
        yield* fails(both[0].terminate("p0@a"), { _tag: "NotRegistered" }, "once more")
      })
  ),

  define(
    2,
    "[P108] a node that runs maxChildren processes takes no more: TooManyProcesses, and nothing is registered",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Crowded)
        for (const name of ["one@b", "two@b"]) yield* onA.register(name, Probe, { start: 0 })
        for (const client of [onA, onB]) {
          yield* fails(
            client.register("three@b", Probe, { start: 0 }),
            { _tag: "TooManyProcesses", node: "b", max: 2 },
            "one too many"
          )
          yield* equal(Option.isNone(yield* client.whereis("three@b")), true, "it is not registered")
        }
        yield* onA.register("elsewhere@a", Probe, { start: 0 })
        yield* onB.unregister("one@b")
        yield* eventually(
          Effect.map(Effect.exit(onA.register("three@b", Probe, { start: 0 })), (exit) => exit._tag === "Success"),
          "there is room again"
        )
      })
  ),

  define(
    2,
    "[P108] what a killed node ran waits for room, when the survivor has maxChildren already",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA] = yield* stage.hostAll([a, b], Crowded)
        const events = yield* collect(a)
        for (const name of ["one@a", "two@a", "three@b"]) yield* onA.register(name, Probe, { start: 3 })
        yield* b.kill
        yield* eventually(
          Effect.map(events, (all) => all.some((event) => event._tag === "StartFailed" && event.name === "three@b")),
          "a takes it over, and has no room"
        )
        yield* equal((yield* onA.explain("three@b")).status, "waiting", "its status meanwhile")
        yield* fails(onA.register("three@b", Probe, { start: 0 }), { _tag: "NameTaken" }, "its name meanwhile")
        yield* onA.unregister("one@a")
        yield* foundOn([onA], "three@b", "a")
        yield* equal(yield* probe(stage, onA, "three@b").Get(), 3, "its state")
      }),
    { needs: ["kill"] }
  ),

  define(
    3,
    "[D10] what was given up is listed on every node, and reset starts it again with metadata and groups",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const all = yield* stage.hostAll([a, b, c], Limited)
        const [onA, onB, onC] = all
        const { epoch } = yield* onA.register("given@b", Probe, { start: 7 }, { metadata: { team: "red" } })
        yield* onA.join("reds", "given@b")
        yield* crash(onB, "given@b")
        yield* stage.diary.until("serves", "given@b", 2)
        yield* crash(onB, "given@b")
        for (const client of all) {
          yield* eventuallyEqual(
            Effect.map(client.givenUp, (those) => those.map(({ name, node, type }) => `${name} ${node} ${type}`)),
            ["given@b b Probe"],
            "given up"
          )
          yield* eventuallyEqual(Effect.map(client.members("reds"), (refs) => refs.length), 0, "the group meanwhile")
        }
        const [found] = yield* onC.givenUp
        yield* check(found!.detail.includes("crash on purpose"), `why: ${found!.detail}`)
        yield* check(found!.epoch > epoch && found!.atMs > 0, "its last epoch, and when")
        const ref = yield* onC.reset("given@b")
        yield* check(ref.epoch > found!.epoch && ref.node === "b", "it starts above the epochs it had")
        for (const client of all) {
          yield* eventuallyEqual(Effect.map(client.givenUp, (those) => those.length), 0, "given up")
          yield* eventuallyEqual(
            Effect.map(client.select({ group: "reds" }), (entries) => entries.map(({ metadata }) => metadata)),
            [{ team: "red" }],
            "the group, with its metadata"
          )
        }
        yield* equal(yield* ask(stage, probe(stage, onC, "given@b").Get()), 7, "its state")
        // with a fresh budget
        yield* crash(onB, "given@b")
        yield* stage.diary.until("serves", "given@b", 4)
        yield* fails(onA.reset("given@b"), { _tag: "NotRegistered" }, "what was not given up")
      })
  )
]
