/** Where processes go, and why. */
import { Effect, Option } from "effect"
import * as Placement from "../../Placement.ts"
import { check, equal, eventually, eventuallyEqual, fails } from "./check.ts"
import type { ConformanceCase } from "./Harness.ts"
import { ask, foundOn, group, holderOf, namesOf, preferred, Probe, probe, probes, type ProbesClient } from "./probes.ts"

const define = group("placements")

const register = (client: ProbesClient, name: string) => client.register(name, Probe, { start: 1 })

/** Registers one after the other, each when every node knows of those before. */
const registerInTurn = (clients: ReadonlyArray<ProbesClient>, names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name, i) =>
    Effect.gen(function* () {
      const { node } = yield* register(clients[i % clients.length]!, name)
      yield* foundOn(clients, name, node)
      return node
    }))

const numbered = (count: number, nameOf = (i: number): string => `p${i}`): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => nameOf(i))

const tally = (nodes: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const node of nodes) counts[node] = (counts[node] ?? 0) + 1
  return counts
}

const countsOf = (client: ProbesClient) =>
  Effect.map(
    client.countChildren,
    (counts) => Object.fromEntries([...counts].filter(([, n]) => n > 0).sort()) as Record<string, number>
  )

const Allowed = probes("Allowed", { placement: Placement.allow(["b", /^c$/]) })
const Denied = probes("Denied", { placement: Placement.deny(["a*"]) })
const Pinned = probes("Pinned", {
  placement: Placement.pin((name) => name.startsWith("pinned-") ? name.slice("pinned-".length) : undefined)
})
const Spread = probes("Spread", {
  placement: Placement.spread({
    of: (name) => ({ key: name.split("/")[0]!, index: Number(name.split("/")[1]) })
  })
})
const Local = probes("Local", { placement: Placement.preferLocal() })
const Least = probes("Least", { placement: Placement.leastLoaded })
const Bounded = probes("Bounded", { placement: Placement.boundedLoads({ epsilon: 0.25 }) })
const Even = probes("Even", { placement: Placement.rendezvous })
const Ring = probes("Ring", { placement: Placement.ring() })
const Weighted = probes("Weighted", { placement: Placement.weighted(({ id }) => id === "a" ? 0 : 1, "not a") })
const Active = probes("Active")

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[P91] processes are spread over the nodes, the same by whomever they are registered",
    (nodes, stage) =>
      Effect.gen(function* () {
        for (const sworm of [Even, Ring]) {
          const clients = yield* stage.hostAll([nodes[0], nodes[1], nodes[2]], sworm)
          const names = numbered(60)
          const homes = yield* Effect.forEach(
            names,
            (name, i) => Effect.map(register(clients[i % 3]!, name), ({ node }) => node),
            { concurrency: 10 }
          )
          const counts = tally(homes)
          yield* equal(Object.keys(counts).sort(), ["a", "b", "c"], "each node has some")
          for (const name of names) yield* clients[0].unregister(name)
          for (const client of clients) yield* eventuallyEqual(namesOf(client), [], "names")
          for (const [i, name] of names.slice(0, 20).entries()) {
            yield* equal((yield* register(clients[(i + 1) % 3]!, name)).node, homes[i], `the home of "${name}"`)
          }
        }
      })
  ),

  define(
    3,
    "[D18] [P85] allow, deny and weight 0 keep processes off nodes",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        for (const sworm of [Allowed, Denied, Weighted]) {
          const clients = yield* stage.hostAll([a, b, c], sworm)
          const homes = yield* Effect.forEach(
            numbered(40),
            (name, i) => Effect.map(register(clients[i % 3]!, name), ({ node }) => node),
            { concurrency: 10 }
          )
          yield* equal(Object.keys(tally(homes)).sort(), ["b", "c"], "the nodes that have some")
        }
      })
  ),

  define(
    3,
    "a process whose last allowed node leaves waits for one, and starts there",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Pinned)
        const [onA, onB] = clients
        yield* onA.register("pinned-c", Probe, { start: 6 }, { metadata: "kept" })
        yield* register(onA, "free")
        yield* foundOn(clients, "pinned-c", "c")
        yield* fails(register(onB, "pinned-d"), { _tag: "Unavailable" }, "one that is pinned to nobody")
        yield* c.stop
        for (const client of [onA, onB]) {
          yield* foundOn([client], "pinned-c", undefined)
          const { home, status, why } = yield* client.explain("pinned-c")
          yield* equal([status, home], ["waiting", undefined], `what is told of it: ${why}`)
          yield* check(why.includes("accepts none"), why)
        }
        const again = yield* stage.cluster.start("c")
        const onC = yield* stage.host(again, Pinned)
        yield* foundOn([onA, onB, onC], "pinned-c", "c")
        yield* equal(yield* ask(stage, probe(stage, onA, "pinned-c").Get()), 6, "its state")
        yield* equal(Option.getOrUndefined(yield* onA.entry("pinned-c"))?.metadata, "kept", "its metadata")
      })
  ),

  define(
    3,
    "[D18] spread keeps names of one key on different nodes, and goes round when there are more",
    (nodes, stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([nodes[0], nodes[1], nodes[2]], Spread)
        for (const key of ["doc", "other", "third"]) {
          const homes = yield* Effect.forEach(
            numbered(6, (i) => `${key}/${i}`),
            (name, i) => Effect.map(register(clients[i % 3]!, name), ({ node }) => node)
          )
          yield* equal(tally(homes.slice(0, 3)), { a: 1, b: 1, c: 1 }, `the first three of "${key}"`)
          yield* equal(tally(homes), { a: 2, b: 2, c: 2 }, `all of "${key}"`)
        }
      })
  ),

  define(
    3,
    "preferLocal starts a process where it is registered, and where it is not hosted elsewhere",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const clients = yield* stage.hostAll([a, b], Local)
        for (const [client, id] of [[clients[0], "a"], [clients[1], "b"]] as const) {
          for (const name of numbered(8, (i) => `${id}${i}`)) {
            yield* equal((yield* register(client, name)).node, id, `where "${name}" runs`)
          }
        }
        const onC = yield* stage.use(c, Local)
        yield* eventually(
          Effect.map(Effect.exit(register(onC, "from c")), (exit) => exit._tag === "Success"),
          "a node that doesn't host it registers"
        )
        const holder = yield* holderOf(onC, "from c")
        yield* check(holder === "a" || holder === "b", `it runs on ${holder}`)
      })
  ),

  define(
    3,
    "[D18] leastLoaded is even, and gives a node that joins what is too much elsewhere",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const [onA, onB] = yield* stage.hostAll([a, b], Least)
        yield* registerInTurn([onA, onB], numbered(30))
        yield* eventuallyEqual(countsOf(onA), { a: 15, b: 15 }, "how many each has")
        for (const name of numbered(30)) yield* ask(stage, probe(stage, onA, name).Get())
        const onC = yield* stage.host(c, Least)
        // a tenth above the average of ten stays
        for (const client of [onA, onB, onC]) {
          yield* eventually(
            Effect.map(countsOf(client), (n) => n["a"]! <= 11 && n["b"]! <= 11 && (n["c"] ?? 0) >= 8),
            "c has its share"
          )
          yield* eventuallyEqual(Effect.map(client.registered, (refs) => refs.length), 30, "names")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    3,
    "[D18] boundedLoads leaves no node with more than its share and a quarter",
    (nodes, stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([nodes[0], nodes[1], nodes[2]], Bounded)
        const counts: Record<string, number> = {}
        for (const [i, name] of numbered(36).entries()) {
          const [node] = yield* registerInTurn(clients, [name])
          counts[node!] = (counts[node!] ?? 0) + 1
          const most = Math.max(...Object.values(counts))
          yield* check(most <= Math.ceil(1.25 * (i + 1) / 3), `${most} of ${i + 1} on one node`)
        }
        for (const client of clients) yield* eventuallyEqual(countsOf(client), counts, "how many each has")
      })
  ),

  define(
    3,
    "[P109] a call is answered wherever the process is, from whichever node it comes",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b, c], Active)
        for (const name of ["p@a", "p@b", "p@c"]) {
          yield* register(clients[0], name)
          for (const client of clients) {
            yield* equal(
              yield* ask(stage, probe(stage, client, name).Where()),
              name.slice(2),
              `where "${name}" answers`
            )
          }
        }
      })
  ),

  define(3, "plan says what a change would move, and moves nothing", ([a, b, c], stage) =>
    Effect.gen(function* () {
      const clients = yield* stage.hostAll([a, b, c], Active)
      const [onA] = clients
      const names = ["one@a", "two@b,a", "three@c,b"]
      const before = yield* Effect.forEach(names, (name) => register(onA, name))
      for (const { name, node } of before) yield* foundOn(clients, name, node)
      const plan = (change: Parameters<typeof onA.plan>[0]) => Effect.map(onA.plan(change), Option.getOrThrow)
      yield* equal((yield* plan({})).moves, [], "without a change")
      const without = yield* plan({ without: ["b", "c"] })
      yield* equal(
        [...without.moves].sort((one, other) => one.name < other.name ? -1 : 1),
        [{ name: "two@b,a", from: "b", to: "a" }, { name: "three@c,b", from: "c", to: "a" }].sort((one, other) =>
          one.name < other.name ? -1 : 1
        ),
        "with two nodes less"
      )
      yield* equal([...without.loads], [["a", 3]], "loads")
      const other = yield* plan({ placement: Placement.allow(["d"]) })
      yield* equal([...other.homeless].sort(), [...names].sort(), "under a placement that accepts no node")
      const more = yield* plan({
        placement: Placement.labels({ disk: "fast" }),
        with: [{ id: "d", labels: { disk: "fast" } }]
      })
      yield* equal(more.moves.map(({ to }) => to), ["d", "d", "d"], "with a node that alone fits")
      yield* equal(more.loads.get("d"), 3, "its load")
      const quorum = yield* plan({ placement: Placement.quorum(4, preferred) })
      yield* equal(quorum.homeless.length, 3, "without a quorum")
      for (const { epoch, name, node } of before) {
        const found = Option.getOrThrow(yield* onA.whereis(name))
        yield* equal([found.node, found.epoch], [node, epoch], `"${name}" afterwards`)
      }
      const d = yield* stage.cluster.start("d")
      const onD = yield* stage.use(d, Active)
      yield* equal(Option.isNone(yield* onD.plan({})), true, "on a node that doesn't host the sworm")
    }))
]
