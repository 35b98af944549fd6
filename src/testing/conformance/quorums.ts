/** Sworms that run only where enough nodes are, and what is told of names and why. */
import { Effect, Option } from "effect"
import * as Placement from "../../Placement.ts"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, foundOn, group, namesOf, preferred, Probe, probe, probes, type ProbesClient } from "./probes.ts"

const define = group("quorums")

const Three = probes("Three", { placement: Placement.quorum(3, preferred) })
const Two = probes("Two", { placement: Placement.quorum(2, preferred) })
const Settled = probes("SettledProbes", { redistribution: "passive" })

const holds = (clients: ReadonlyArray<ProbesClient>, names: ReadonlyArray<string>) =>
  Effect.forEach(clients, (client) => eventuallyEqual(namesOf(client), [...names].sort(), "names"), { discard: true })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "[P87] [P88] [P99] fewer nodes than the quorum: Unavailable, and nothing is registered; with one more it starts",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Three)
        for (const client of clients) {
          const error = yield* fails(
            client.register("one@a", Probe, { start: 0 }),
            { _tag: "Unavailable" },
            "without a quorum"
          )
          yield* check("detail" in error && error.detail.includes("quorum is 3"), error.message)
          yield* equal(Option.isNone(yield* client.whereis("one@a")), true, "whereis")
          yield* equal(yield* namesOf(client), [], "names")
          yield* equal((yield* client.explain("one@a")).status, "not registered", "what is told of it")
        }
        const c = yield* stage.cluster.start("c")
        const onC = yield* stage.host(c, Three)
        const register = onC.register("one@a", Probe, { start: 5 })
        yield* eventually(Effect.map(Effect.exit(register), (exit) => exit._tag === "Success"), "it starts")
        yield* foundOn([...clients, onC], "one@a", "a")
        yield* equal(yield* ask(stage, probe(stage, clients[1], "one@a").Get()), 5, "its state")
      })
  ),

  define(
    3,
    "[P89] the quorum is lost: all processes end; it returns: all start again, with metadata, groups and timers",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Three)
        const [onA, onB] = clients
        const names = ["one@a", "two@b", "three@c", "four@c,a"]
        for (const [i, name] of names.entries()) {
          yield* clients[i % 3]!.register(name, Probe, { start: i }, { metadata: { i } })
          yield* onA.join("all", name)
        }
        yield* onA.client(Probe, "one@a").Every({ id: "tick", millis: 20, what: "tick" })
        yield* holds(clients, names)
        yield* c.stop
        yield* holds([onA, onB], [])
        for (const name of names) yield* stage.diary.until("released", name, 1)
        for (const client of [onA, onB]) {
          yield* equal((yield* client.which()).length, 0, "processes")
          for (const name of names) {
            const { status, why } = yield* client.explain(name)
            yield* equal(status, "waiting", `what is told of "${name}": ${why}`)
            yield* check(why.includes("quorum is 3"), why)
          }
          yield* fails(
            client.client(Probe, "one@a", { timeout: "100 millis" }).Get(),
            { _tag: "CallError", reason: "Timeout" },
            "a call meanwhile waits"
          )
          yield* fails(client.register("one@a", Probe, { start: 0 }), { _tag: "NameTaken" }, "its name meanwhile")
        }
        const heard = stage.diary.count("heard", "one@a")
        const again = yield* stage.cluster.start("c")
        const back = yield* stage.host(again, Three)
        const all = [onA, onB, back]
        yield* holds(all, names)
        for (const [i, name] of names.entries()) {
          yield* foundOn(all, name, name.includes("@c") ? "c" : name.at(-1))
          yield* equal(yield* ask(stage, probe(stage, onB, name).Get()), i, `the state of "${name}"`)
          yield* equal(Option.getOrThrow(yield* onB.entry(name)).metadata, { i }, `the metadata of "${name}"`)
        }
        yield* eventuallyEqual(
          Effect.map(back.members("all"), (refs) => refs.map(({ name }) => name)),
          [...names].sort(),
          "the group"
        )
        yield* eventually(Effect.sync(() => stage.diary.count("heard", "one@a") > heard), "its timer goes on")
      })
  ),

  define(
    3,
    "[P89] a killed node takes the quorum away, and another gives it back",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b, c], Three)
        const names = ["one@a", "two@b", "three@c"]
        for (const name of names) yield* onA.register(name, Probe, { start: 4 })
        yield* holds([onB], names)
        yield* c.kill
        yield* holds([onA, onB], [])
        for (const name of ["one@a", "two@b"]) yield* stage.diary.until("released", name, 1)
        const d = yield* stage.cluster.start("d")
        const onD = yield* stage.host(d, Three)
        yield* holds([onA, onB, onD], names)
        for (const name of names) yield* equal(yield* ask(stage, probe(stage, onD, name).Get()), 4, `"${name}"`)
      }),
    { needs: ["kill"] }
  ),

  define(
    2,
    "a sworm with its quorum keeps it when one more comes and goes",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Two)
        yield* clients[0].register("one@a", Probe, { start: 4 })
        const c = yield* stage.cluster.start("c")
        yield* stage.host(c, Two)
        yield* clients[0].register("two@c,b", Probe, { start: 4 })
        yield* c.stop
        yield* foundOn(clients, "two@c,b", "b")
        yield* equal(stage.diary.count("acquired", "one@a"), 1, "starts of the other")
      })
  ),

  define(
    2,
    "explain tells where a name is, why there, who decides, and what happened to it",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Settled)
        const [onA, onB] = clients
        for (const client of clients) {
          const { candidates, history, holder, home, status } = yield* client.explain("nobody@b")
          yield* equal([status, holder, home, history.length], ["not registered", undefined, undefined, 0], "of nobody")
          yield* equal(candidates.map(({ node }) => node), ["a", "b"], "the candidates")
        }
        const ref = yield* onA.register("told@b", Probe, { start: 0 })
        yield* foundOn(clients, "told@b", "b")
        const told = yield* Effect.forEach(clients, (client) => client.explain("told@b"))
        for (const { aliveSince, candidates, history, holder, home, pendingMove, placement, status, why } of told) {
          yield* equal([holder, home, status, pendingMove], [ref, "b", "running", undefined] as const, "where it is")
          yield* equal(placement, "conformance/preferred", "its placement")
          yield* check(why.includes("wants it on"), why)
          yield* eventually(
            Effect.succeed(candidates.some(({ load, node }) => node === "b" && load === 1)),
            "the load of b"
          )
          yield* check(history.length === 1 && history[0]!.what.includes(`epoch ${ref.epoch}`), "its history")
          yield* check(aliveSince! > 0, "since when")
        }
        yield* equal(told[0]!.registrar, told[1]!.registrar, "the registrar, asked from both")
        yield* check(["a", "b"].includes(told[0]!.registrar!), "the registrar")
        const moved = yield* b.handoff.move("conformance/SettledProbes", "told@b", "a")
        yield* foundOn(clients, "told@b", "a")
        for (const client of clients) {
          const { aliveSince, history, holder, home, pendingMove, status, why } = yield* client.explain("told@b")
          yield* equal([holder, home, status], [moved, "b", "running"] as const, "after a move")
          yield* check(why.includes("passive"), why)
          yield* equal(aliveSince, told[0]!.aliveSince, "its state is unbroken")
          yield* check(history.at(-1)!.what.includes(`epoch ${moved.epoch}`), "its history")
          yield* check(pendingMove === undefined || pendingMove === "b", "where it would go")
        }
        yield* onB.unregister("told@b")
        yield* foundOn(clients, "told@b", undefined)
        for (const client of clients) {
          const { history, status } = yield* client.explain("told@b")
          yield* equal(status, "not registered", "once it has ended")
          yield* check(history.at(-1)!.what.includes("Unregistered"), "the end of its history")
        }
      }),
    { needs: ["reliable"] }
  )
]
