/** Processes that are restarted and given up together, on whatever nodes. */
import { Effect } from "effect"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import {
  ask,
  crash,
  foundOn,
  group,
  holderOf,
  namesOf,
  Probe,
  probe,
  probes,
  type ProbesClient,
  type Stage
} from "./probes.ts"

const define = group("links")

const Linked = probes("Linked", { restartLimit: { max: 10, within: "1 minute" } })

/** Registers names and ties them together; each is given a state that its start has not. */
const linked = (
  stage: Stage,
  clients: ReadonlyArray<ProbesClient>,
  strategy: "one_for_all" | "rest_for_one",
  names: ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    const on = clients[0]!
    for (const name of names) {
      yield* on.register(name, Probe, { start: 0 })
      yield* clientAt(clients, name).client(Probe, name).Add({ by: 5 })
    }
    yield* on.link({ strategy, names })
    // the link is in each claim where the process runs; the others follow what they see of it
    for (const name of names) yield* foundOn(clients, name, nodeOf(name))
    for (const name of names) yield* equal(yield* ask(stage, probe(stage, on, name).Get()), 5, `"${name}" at first`)
  })

/** Names say where they run, clients are those of a, b, c … in order. */
const nodeOf = (name: string): string => name.slice(name.indexOf("@") + 1, name.indexOf("@") + 2)
const clientAt = (clients: ReadonlyArray<ProbesClient>, name: string): ProbesClient =>
  clients["abc".indexOf(nodeOf(name))]!

/** Each was started so many times, and has the state from its args if it was started again. */
const startedTimes = (stage: Stage, on: ProbesClient, times: Readonly<Record<string, number>>) =>
  Effect.gen(function* () {
    for (const [name, count] of Object.entries(times)) yield* stage.diary.until("serves", name, count)
    for (const [name, count] of Object.entries(times)) {
      yield* equal(stage.diary.count("acquired", name), count, `starts of "${name}"`)
      yield* equal(yield* ask(stage, probe(stage, on, name).Get()), count > 1 ? 0 : 5, `the state of "${name}"`)
    }
  })

const epochOf = (client: ProbesClient, name: string) =>
  Effect.map(client.whereis(name), (ref) => ref._tag === "Some" ? ref.value.epoch : 0)

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "one_for_all: when one crashes all start again, on their nodes, and none answers to another's answer",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Linked)
        const names = ["one@a", "two@b", "three@c"]
        yield* linked(stage, clients, "one_for_all", names)
        for (const [round, name] of [...names, "one@a"].entries()) {
          yield* crash(clientAt(clients, name), name)
          for (const other of names) yield* stage.diary.until("serves", other, round + 2)
        }
        // had one followed a follower, there would be more of them
        for (const name of names) {
          yield* equal(stage.diary.count("acquired", name), 5, `starts of "${name}"`)
          yield* foundOn(clients, name, nodeOf(name))
          yield* equal(yield* ask(stage, probe(stage, clients[0], name).Get()), 0, `the state of "${name}"`)
        }
      })
  ),

  define(
    3,
    "rest_for_one: those after the one that crashes start again, those before it go on",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Linked)
        yield* linked(stage, clients, "rest_for_one", ["first@a", "second@b", "third@c"])
        yield* crash(clients[1], "second@b")
        yield* startedTimes(stage, clients[0], { "first@a": 1, "second@b": 2, "third@c": 2 })
        const before = yield* epochOf(clients[0], "third@c")
        yield* crash(clients[2], "third@c")
        yield* startedTimes(stage, clients[0], { "first@a": 1, "second@b": 2, "third@c": 3 })
        // a knows that it was started again: what fails there now fails later
        yield* eventually(Effect.map(epochOf(clients[0], "third@c"), (now) => now > before), "a knows of it")
        yield* crash(clients[0], "first@a")
        yield* stage.diary.until("serves", "first@a", 2)
        yield* startedTimes(stage, clients[0], { "first@a": 2, "second@b": 3, "third@c": 4 })
      })
  ),

  define(
    3,
    "the loss of its node is a failure of a process: those linked to it start again",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Linked)
        yield* linked(stage, clients, "rest_for_one", ["before@a", "lost@c,b", "after@b"])
        yield* linked(stage, clients, "one_for_all", ["all1@a", "all2@c,a"])
        yield* c.kill
        yield* foundOn([clients[0], clients[1]], "lost@c,b", "b")
        yield* startedTimes(stage, clients[0], { "before@a": 1, "lost@c,b": 2, "after@b": 2 })
        yield* startedTimes(stage, clients[0], { "all1@a": 2, "all2@c,a": 2 })
      }),
    { needs: ["kill"] }
  ),

  define(
    2,
    "a move is no failure: those linked to the process that moves go on",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Linked)
        yield* linked(stage, clients, "one_for_all", ["stays@a", "moves@b,a"])
        yield* b.stop
        yield* foundOn([clients[0]], "moves@b,a", "a")
        yield* stage.diary.until("serves", "moves@b,a", 2)
        for (const name of ["stays@a", "moves@b,a"]) {
          yield* equal(yield* clients[0].client(Probe, name).Get(), 5, `the state of "${name}"`)
        }
        yield* equal(stage.diary.count("acquired", "stays@a"), 1, "starts of the one that stays")
        // and they are linked still
        yield* crash(clients[0], "stays@a")
        yield* stage.diary.until("serves", "moves@b,a", 3)
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "restarts of one that follows don't count against its limit",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Linked)
        const [onA, onB] = clients
        yield* onA.register("leader@a", Probe, { start: 0 })
        yield* onA.register("follower@b", Probe, { start: 0 }, { restartLimit: { max: 1, within: "1 minute" } })
        yield* onA.link({ strategy: "rest_for_one", names: ["leader@a", "follower@b"] })
        for (let i = 1; i <= 4; i++) {
          yield* crash(onA, "leader@a")
          yield* stage.diary.until("serves", "leader@a", i + 1)
          yield* stage.diary.until("serves", "follower@b", i + 1)
        }
        // its own one restart is left
        yield* crash(onB, "follower@b")
        yield* stage.diary.until("serves", "follower@b", 6)
        yield* crash(onB, "follower@b")
        yield* foundOn(clients, "follower@b", undefined)
        yield* equal(yield* ask(stage, probe(stage, onB, "leader@a").Get()), 0, "the leader goes on")
        yield* equal(stage.diary.count("acquired", "leader@a"), 5, "starts of the leader")
      })
  ),

  define(
    2,
    "when one is given up, those that it is linked to are given up with it; each can be reset",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Linked)
        const [onA, onB] = clients
        const strict = { restartLimit: { max: 0, within: "1 minute" } } as const
        yield* onA.register("one@a", Probe, { start: 1 }, strict)
        yield* onA.register("two@b", Probe, { start: 2 })
        yield* onA.register("other@b", Probe, { start: 3 })
        yield* onA.link({ strategy: "one_for_all", names: ["one@a", "two@b"] })
        yield* crash(onA, "one@a")
        for (const client of clients) {
          yield* eventuallyEqual(
            Effect.map(client.givenUp, (all) => all.map(({ name }) => name)),
            ["one@a", "two@b"],
            "given up"
          )
          yield* eventuallyEqual(namesOf(client), ["other@b"], "those that run")
        }
        yield* stage.diary.until("released", "two@b", 1)
        yield* onB.reset("two@b")
        yield* foundOn(clients, "two@b", "b")
        for (const client of clients) {
          yield* eventuallyEqual(
            Effect.map(client.givenUp, (all) => all.map(({ name }) => name)),
            ["one@a"],
            "given up still"
          )
        }
        yield* onB.reset("one@a")
        yield* foundOn(clients, "one@a", "a")
        yield* equal(yield* ask(stage, probe(stage, onB, "one@a").Get()), 1, "its state")
      })
  ),

  define(
    2,
    "link of a name that nobody has, or of one twice, fails; unlink frees; a process is in one link at most",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Linked)
        const [onA, onB] = clients
        yield* linked(stage, clients, "one_for_all", ["one@a", "two@b", "three@b"])
        const missing = onB.link({ strategy: "one_for_all", names: ["one@a", "nobody"] })
        yield* fails(missing, { _tag: "NotRegistered", name: "nobody" }, "a name that nobody has")
        yield* fails(
          onB.link({ strategy: "one_for_all", names: ["one@a", "one@a"] }),
          { _tag: "InvalidInput" },
          "one name twice"
        )
        yield* fails(onA.unlink("nobody"), { _tag: "NotRegistered" }, "unlink of nobody")
        yield* onA.unlink("two@b")
        yield* crash(onB, "two@b")
        yield* stage.diary.until("serves", "two@b", 2)
        // declared anew: what was declared of them before counts no more
        yield* onA.link({ strategy: "rest_for_one", names: ["three@b", "one@a"] })
        yield* crash(onB, "three@b")
        yield* stage.diary.until("serves", "one@a", 2)
        yield* crash(onA, "one@a")
        yield* stage.diary.until("serves", "one@a", 3)
        yield* equal(stage.diary.count("acquired", "three@b"), 2, "starts of the one before")
        yield* equal(stage.diary.count("acquired", "two@b"), 2, "starts of the one that was freed")
        yield* check((yield* holderOf(onA, "two@b")) === "b", "it runs on")
      })
  )
]
