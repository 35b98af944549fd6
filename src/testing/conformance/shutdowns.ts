/** How what processes hold comes to its end: stop hooks and finalizers, their limits and their order. */
import { Deferred, Effect, Fiber, Option } from "effect"
import { check, equal, eventually } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { foundOn, group, Probe, probe, probes } from "./probes.ts"

const define = group("shutdowns")

/** Stay where they are sent. */
const Brutal = probes("Brutal", { shutdownTimeout: "brutal", redistribution: "passive" })
const Hasty = probes("HastyStop", { shutdownTimeout: "50 millis", redistribution: "passive" })
const Patient = probes("PatientStop", { shutdownTimeout: "infinite", redistribution: "passive" })
const Leaving = probes("Leaving")

const needs = ["reliable"] as const

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    `[P108] shutdownTimeout "brutal": the stop hook is not called, finalizers are not waited for`,
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA] = yield* stage.hostAll([a, b], Brutal, { release: () => Effect.never })
        yield* onA.register("brutal@a", Probe, { start: 0 })
        yield* onA.client(Probe, "brutal@a").Add({ by: 3 })
        yield* a.handoff.move("conformance/Brutal", "brutal@a", "b")
        yield* equal(yield* probe(stage, onA, "brutal@a").Get(), 3, "its state")
        yield* onA.unregister("brutal@a")
        yield* onA.register("brutal@a", Probe, { start: 4 })
        yield* equal(yield* probe(stage, onA, "brutal@a").Get(), 4, "the state of the next one")
        yield* equal(stage.diary.count("stopping"), 0, "stop hooks")
      }),
    { needs }
  ),

  define(
    2,
    "[P108] a shutdownTimeout: a stop hook that never ends holds a move up no longer",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const [onA] = yield* stage.hostAll([a, b], Hasty, { stop: () => Effect.never })
        yield* onA.register("hasty@a", Probe, { start: 0 })
        yield* onA.client(Probe, "hasty@a").Add({ by: 3 })
        yield* a.handoff.move("conformance/HastyStop", "hasty@a", "b")
        yield* equal(yield* probe(stage, onA, "hasty@a").Get(), 3, "its state")
        yield* equal(stage.diary.details("stopping", "hasty@a"), ["Moved"], "stop hooks")
        yield* equal(stage.diary.count("stopped"), 0, "stop hooks that ended")
      }),
    { needs }
  ),

  define(
    2,
    `[P97] [P108] [P113] shutdownTimeout "infinite": the new copy serves only after the old one has really finished`,
    ([a, b], stage) =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const stop = (name: string) => name === "slow@a" ? Deferred.await(gate) : Effect.void
        const [onA, onB] = yield* stage.hostAll([a, b], Patient, { stop })
        for (const name of ["slow@a", "fast@a"]) yield* onA.register(name, Probe, { start: 8 })
        const move = (name: string) => a.handoff.move("conformance/PatientStop", name, "b")
        const slow = yield* Effect.forkChild(move("slow@a"), { startImmediately: true })
        yield* stage.diary.until("stopping", "slow@a", 1)
        const call = yield* Effect.forkChild(onB.client(Probe, "slow@a", { timeout: "30 seconds" }).Where(), {
          startImmediately: true
        })
        // another one goes meanwhile
        yield* move("fast@a")
        yield* equal(yield* probe(stage, onA, "fast@a").Where(), "b", "where the fast one is")
        yield* equal(stage.diary.count("serves", "slow@a"), 1, "copies of the slow one that serve")
        const explained = yield* onB.explain("slow@a")
        yield* equal([explained.status, explained.holder?.node], ["moving", "b"], "what is told of it")
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(slow)
        yield* equal(yield* Fiber.join(call), "b", "where the call was answered")
        const order = stage.diary.of("slow@a")
        yield* check(order.indexOf("released@a") < order.indexOf("serves@b"), `the order: ${order.join(" ")}`)
      }),
    { needs }
  ),

  define(
    2,
    "[P97] [P107] [P113] a node stops: what ends fast serves elsewhere meanwhile, what ends slowly only afterwards",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const stop = (name: string) => name.startsWith("slow") ? Deferred.await(gate) : Effect.void
        const [onA] = yield* stage.hostAll([a, b], Leaving, { stop })
        for (const name of ["slow@b,a", "fast@b,a"]) yield* onA.register(name, Probe, { start: 8 })
        const stopping = yield* Effect.forkChild(b.stop, { startImmediately: true })
        yield* stage.diary.until("stopping", "slow@b,a", 1)
        yield* stage.diary.until("serves", "fast@b,a", 2)
        const before = stage.diary.of("slow@b,a")
        yield* check(!before.includes("serves@a") || before.includes("released@b"), `the slow one: ${before.join(" ")}`)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(stopping)
        yield* foundOn([onA], "slow@b,a", "a")
        yield* stage.diary.until("serves", "slow@b,a", 2)
        const order = stage.diary.of("slow@b,a")
        yield* check(order.indexOf("released@b") < order.indexOf("serves@a"), `the order: ${order.join(" ")}`)
      }),
    { needs }
  ),

  define(
    1,
    "[P96] [P106] a node alone that stops ends every process of its own inside out: hook, then scope",
    ([a], stage) =>
      Effect.gen(function* () {
        const [client] = yield* stage.hostAll([a], Leaving)
        const names = Array.from({ length: 20 }, (_, i) => `p${i}`)
        yield* Effect.forEach(names, (name) => client.register(name, Probe, { start: 0 }), { concurrency: 10 })
        yield* a.stop
        for (const name of names) {
          yield* equal(
            stage.diary.of(name),
            ["acquired@a", "serves@a", "stopping@a", "stopped@a", "released@a"],
            `what happened to "${name}"`
          )
          yield* equal(stage.diary.details("stopping", name), ["Shutdown"], "why")
        }
      })
  ),

  define(
    1,
    "linked processes end one after the other, the last of the link first",
    ([a], stage) =>
      Effect.gen(function* () {
        const stop = () => Effect.andThen(Effect.yieldNow, Effect.sleep(10))
        const [client] = yield* stage.hostAll([a], Leaving, { stop, release: stop })
        for (const name of ["two", "one", "three"]) yield* client.register(name, Probe, { start: 0 })
        yield* client.link({ strategy: "rest_for_one", names: ["one", "two", "three"] })
        yield* a.stop
        const ends = stage.diary.lines.filter(({ what }) => what === "stopping" || what === "released")
        yield* equal(
          ends.map(({ name, what }) => `${name} ${what}`),
          ["three", "two", "one"].flatMap((name) => [`${name} stopping`, `${name} released`]),
          "the order"
        )
      })
  ),

  define(
    1,
    "[D11] a node stops in the end, whatever its processes do: hooks and finalizers that never end",
    ([a], stage) =>
      Effect.gen(function* () {
        const never = () => Effect.never
        for (const sworm of [Patient, Hasty]) {
          const [client] = yield* stage.hostAll([a], sworm, { stop: never, release: never })
          yield* client.register("stuck", Probe, { start: 0 })
          yield* client.register("stuck too", Probe, { start: 0 })
          if (sworm === Hasty) yield* client.link({ strategy: "one_for_all", names: ["stuck", "stuck too"] })
        }
        const stopped = yield* Effect.timeoutOption(a.stop, "50 seconds")
        yield* check(Option.isSome(stopped), "it has not stopped")
        yield* a.stop
      })
  ),

  define(
    2,
    "[D8] one that is unregistered ends although its handler and its finalizers never do",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const [onA, onB] = yield* stage.hostAll([a, b], Hasty, { gate, release: () => Effect.never })
        yield* onA.register("stuck@b", Probe, { start: 1 })
        const call = yield* Effect.forkChild(
          Effect.flip(onB.client(Probe, "stuck@b", { timeout: "30 seconds" }).Wait()),
          { startImmediately: true }
        )
        yield* onA.unregister("stuck@b")
        const error = yield* Fiber.join(call)
        yield* check(error.reason === "OutcomeUnknown" || error.reason === "Stopped", `the call: ${error.reason}`)
        yield* eventually(Effect.map(onB.which("b"), (all) => all.length === 0), "nothing is left of it")
        yield* onA.register("stuck@b", Probe, { start: 2 })
        yield* equal(yield* probe(stage, onB, "stuck@b").Get(), 2, "the next one of that name")
      })
  )
]
