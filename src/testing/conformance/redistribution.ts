/** What moves when nodes join and leave, and what stays. */
import { Effect, Option, Stream } from "effect"
import * as Placement from "../../Placement.ts"
import { check, equal, eventually, fails } from "./check.ts"
import type { TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { foundOn, group, knowHosts, Probe, probes, type ProbesClient, type Stage } from "./probes.ts"

const define = group("redistribution")

const Local = probes("StickyLocal", { placement: Placement.preferLocal() })
const Chance = probes("Chance", { placement: Placement.random })
const Passive = probes("Passive", { redistribution: "passive" })
const Active = probes("Active")

const register = (client: ProbesClient, name: string) => client.register(name, Probe, { start: 1 })

const numbered = (count: number, nameOf: (i: number) => string): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => nameOf(i))

const Marker = probes("Marker")

/**
 * Waits until each of these nodes has made a round of moves because of one that has joined: something that belongs
 * there has gone from each.
 */
const roundOfMoves = (stage: Stage, nodes: ReadonlyArray<TestNode>, joined: TestNode) =>
  Effect.gen(function* () {
    const clients = yield* Effect.forEach(nodes, (node) => stage.host(node, Marker))
    yield* knowHosts(clients, nodes.length)
    const names = nodes.map(({ id }) => `marker@${joined.id},${id}`)
    for (const [i, name] of names.entries()) yield* register(clients[i]!, name)
    yield* stage.host(joined, Marker)
    for (const name of names) yield* foundOn(clients, name, joined.id)
  })

const knowCordon = (nodes: ReadonlyArray<TestNode>, node: string, cordoned: boolean) =>
  Effect.forEach(nodes, ({ id, membership }) =>
    eventually(
      Effect.map(membership.members, (all) => all.some((one) => one.id === node && one.cordoned === cordoned)),
      `"${id}" knows whether "${node}" is cordoned`
    ), { discard: true })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    2,
    "[D17] [P100] what sticky and passive placements have put somewhere stays, when a node joins",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b] = nodes
        const placed: Array<readonly [ProbesClient, string, string, number]> = []
        const sworms = [Local, Chance, Passive]
        for (const sworm of sworms) {
          const clients = yield* stage.hostAll([a, b], sworm)
          for (const [i, name] of numbered(12, (i) => `p${i}@c,${"ab"[i % 2]}`).entries()) {
            const { epoch, node } = yield* register(clients[i % 2]!, name)
            yield* foundOn(clients, name, node)
            placed.push([clients[0], name, node, epoch])
          }
        }
        const c = yield* stage.cluster.start("c")
        for (const sworm of sworms) yield* stage.host(c, sworm)
        yield* roundOfMoves(stage, [a, b], c)
        for (const [client, name, node, epoch] of placed) {
          const found = Option.getOrUndefined(yield* client.whereis(name))
          yield* equal([found?.node, found?.epoch], [node, epoch], `where "${name}" is, at which epoch`)
        }
      })
  ),

  define(
    2,
    "[P100] [D17] active redistribution moves to a node that joins what belongs there, and only that",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b] = nodes
        const clients = yield* stage.hostAll([a, b], Active)
        const names = [
          ...numbered(8, (i) => `goes${i}@c,${"ab"[i % 2]}`),
          ...numbered(8, (i) => `stays${i}@${"ab"[i % 2]}`)
        ]
        const before = yield* Effect.forEach(names, (name) => register(clients[0], name))
        const c = yield* stage.cluster.start("c")
        const onC = yield* stage.host(c, Active)
        for (const { epoch, name, node } of before) {
          yield* foundOn([...clients, onC], name, name.startsWith("goes") ? "c" : node)
          const now = Option.getOrThrow(yield* onC.whereis(name)).epoch
          yield* check(name.startsWith("goes") ? now > epoch : now === epoch, `the epoch of "${name}"`)
        }
      })
  ),

  define(
    3,
    "[P100] [D17] under passive redistribution what a killed node ran is taken over all the same",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const [onA, onB, onC] = yield* stage.hostAll([a, b, c], Passive)
        const names = numbered(12, (i) => `p${i}@${"abc"[i % 3]},a`)
        for (const name of names) {
          const { node } = yield* register(onC, name)
          yield* foundOn([onA, onB], name, node)
        }
        yield* c.kill
        for (const name of names) yield* foundOn([onA, onB], name, name.includes("@c") ? "a" : name.split(/[@,]/)[1])
      }),
    { needs: ["kill"] }
  ),

  define(
    2,
    "[P84] what was registered by hand is not given to a node that joins",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const clients = yield* stage.hostAll([a, b], Active)
        const ref = yield* clients[0].adopt("by hand@c,b")
        yield* foundOn(clients, "by hand@c,b", "a")
        const { status, why } = yield* clients[1].explain("by hand@c,b")
        yield* equal(status, "adopted", why)
        const c = yield* stage.cluster.start("c")
        const onC = yield* stage.host(c, Active)
        yield* roundOfMoves(stage, [a, b], c)
        for (const client of [...clients, onC]) {
          yield* eventually(
            Effect.map(
              client.whereis("by hand@c,b"),
              (found) => Option.isSome(found) && found.value.node === "a" && found.value.epoch === ref.epoch
            ),
            "it is where it was"
          )
        }
      })
  ),

  define(
    3,
    "[D21] a node that only uses a sworm is never given its processes, not even when the hosts leave",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const [onA] = yield* stage.hostAll([a, b], Active)
        const onC = yield* stage.use(c, Active)
        yield* knowHosts([onC], 2)
        const names = numbered(12, (i) => `p${i}@c,${"ab"[i % 2]}`)
        for (const [i, name] of names.entries()) {
          yield* equal((yield* register([onA, onC][i % 2]!, name)).node, "ab"[i % 2], `where "${name}" runs`)
        }
        yield* b.stop
        for (const name of names) yield* foundOn([onC], name, "a")
        yield* a.stop
        for (const name of names) yield* foundOn([onC], name, undefined)
        yield* equal((yield* onC.which("c")).length, 0, "processes of c")
        yield* fails(register(onC, "new"), { _tag: "Unavailable" }, "a registration, with no host left")
      })
  ),

  define(
    3,
    "a cordoned node keeps what it has and is given nothing; uncordoned it gets its share",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const clients = yield* stage.hostAll([a, b, c], Active)
        const kept = yield* register(clients[0], "kept@c,a")
        yield* equal(kept.node, "c", "where it runs at first")
        yield* a.handoff.cordon("c")
        yield* knowCordon(nodes, "c", true)
        const names = numbered(8, (i) => `p${i}@c,${"ab"[i % 2]}`)
        for (const [i, name] of names.entries()) yield* register(clients[i % 3]!, name)
        for (const name of ["kept@c,a", ...names]) {
          yield* foundOn(clients, name, name.startsWith("kept") ? "c" : name.split(",")[1])
        }
        yield* b.handoff.uncordon("c")
        yield* knowCordon(nodes, "c", false)
        for (const name of ["kept@c,a", ...names]) yield* foundOn(clients, name, "c")
        yield* equal(
          Option.getOrThrow(yield* clients[2].whereis("kept@c,a")).epoch,
          kept.epoch,
          "the epoch of what was kept"
        )
      })
  ),

  define(
    3,
    "a node that is drained from another gives everything to those that are not cordoned",
    (nodes, stage) =>
      Effect.gen(function* () {
        const [a, b, c] = nodes
        const clients = yield* stage.hostAll([a, b, c], Active)
        const names = numbered(12, (i) => `p${i}@c,b,a`)
        for (const name of names) yield* register(clients[0], name)
        yield* b.handoff.cordon()
        yield* knowCordon(nodes, "b", true)
        const last = Option.getOrThrow(yield* Stream.runLast(a.handoff.drain({ node: "c" })))
        yield* equal([last.node, last.moved, last.left, last.isFinal], ["c", 12, 0, true], "node, moved, left, final")
        for (const name of names) yield* foundOn(clients, name, "a")
      })
  )
]
