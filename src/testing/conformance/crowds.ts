/** Many processes at a time. */
import { Effect } from "effect"
import { check, equal, eventually } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, group, holderOf, namesOf, Probe, probe, probes, type ProbesClient } from "./probes.ts"

const define = group("crowds")

const Many = probes("Many")

/** Registers so many, each from another node. */
const registerMany = (clients: ReadonlyArray<ProbesClient>, count: number, nameOf: (i: number) => string) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => nameOf(i)),
    (name, i) => Effect.as(clients[i % clients.length]!.register(name, Probe, { start: i }), name),
    { concurrency: 32 }
  )

/** Every one of these nodes finds all names, each on one of these nodes. */
const allFound = (clients: ReadonlyArray<ProbesClient>, names: ReadonlyArray<string>, nodes: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    for (const client of clients) {
      yield* eventually(
        Effect.map(
          client.registered,
          (refs) => refs.length === names.length && refs.every(({ node }) => nodes.includes(node))
        ),
        `each finds ${names.length} names on ${nodes.join(", ")}`
      )
      yield* equal(yield* namesOf(client), [...names].sort(), "names")
    }
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "[P93] a thousand transient processes that end normally run once each",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Many, { run: (self) => self.stop })
        const names = Array.from({ length: 1000 }, (_, i) => `task${i}`)
        yield* Effect.forEach(
          names,
          // one may have ended before its registration was answered
          (name, i) =>
            Effect.catchTag(
              clients[i % 2]!.register(name, Probe, { start: 0 }, { restart: "transient" }),
              "Unregistered",
              () => Effect.void
            ),
          { concurrency: 32, discard: true }
        )
        for (const client of clients) {
          yield* eventually(Effect.map(client.registered, (refs) => refs.length === 0), "all have ended")
        }
        for (const name of names) yield* equal(stage.diary.count("serves", name), 1, `runs of "${name}"`)
        yield* equal((yield* clients[0].which()).length, 0, "processes left")
      })
  ),

  define(
    2,
    "[P95] of two nodes with 200 processes one is killed: all run on the other",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Many)
        const names = yield* registerMany(clients, 200, (i) => `p${i}@${"ab"[i % 2]}`)
        yield* allFound([clients[0]], names, ["a", "b"])
        yield* b.kill
        yield* allFound([clients[0]], names, ["a"])
        for (const [i, name] of names.entries()) {
          yield* equal(yield* clients[0].client(Probe, name).Get(), i, `the state of "${name}"`)
        }
      }),
    { needs: ["kill"] }
  ),

  define(
    2,
    "[P98] [P105] 2,000 named processes on two nodes: one stops, and the other has all 2,000",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Many)
        const names = yield* registerMany(clients, 2000, (i) => `worker${i}`)
        yield* allFound(clients, names, ["a", "b"])
        const counts = yield* clients[0].countChildren
        yield* check(counts.get("a")! > 800 && counts.get("b")! > 800, "both have their share")
        yield* b.stop
        yield* allFound([clients[0]], names, ["a"])
        yield* equal((yield* clients[0].which("a")).length, 2000, "processes")
      })
  ),

  define(
    4,
    "[D2] no name is lost when nodes are killed one after the other, nor when one joins in between",
    ([a, b, c, d], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c, d!], Many)
        const names = yield* registerMany(clients, 60, (i) => `kept${i}`)
        yield* allFound(clients, names, ["a", "b", "c", "d"])
        yield* d!.kill
        yield* allFound(clients.slice(0, 3), names, ["a", "b", "c"])
        yield* c.kill
        yield* allFound(clients.slice(0, 2), names, ["a", "b"])
        const e = yield* stage.cluster.start("e")
        const onE = yield* stage.host(e, Many)
        yield* allFound([clients[0], clients[1], onE], names, ["a", "b", "e"])
        yield* b.kill
        yield* allFound([clients[0], onE], names, ["a", "e"])
        for (const [i, name] of names.entries()) {
          yield* equal(yield* ask(stage, probe(stage, onE, name).Get()), i, `the state of "${name}"`)
          const holders = yield* Effect.forEach([clients[0], onE], (client) => holderOf(client, name))
          yield* equal(holders[0], holders[1], `the holder of "${name}"`)
        }
      }),
    { needs: ["kill"] }
  )
]
