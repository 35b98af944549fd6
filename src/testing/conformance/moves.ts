/** Moves: a node leaves, a node joins, a process is sent elsewhere; under load as well. */
import { Effect, Fiber, Option, Random, Ref, Stream } from "effect"
import type { Move } from "../../Handoff.ts"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, isOn, memberNames, names, seenBy, type TestCluster, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Journal, Stateless } from "./sworms.ts"

const define = group("moves")

/** Starts counters whose states tell them apart; half of them join a group. */
const populate = (node: TestNode, count: number, nameOf: (i: number) => string) =>
  Effect.forEach(
    Array.from({ length: count }, (_, i) => ({ name: nameOf(i), state: 1000 + i })),
    ({ name, state }, i) =>
      Effect.gen(function* () {
        const ref = yield* node.workers.register(name, Counter, { start: -1 })
        yield* node.counter(name).Set({ to: state })
        if (i % 2 === 0) yield* node.workers.join("even", name)
        return { name, state, epoch: ref.epoch, node: ref.node }
      }),
    { concurrency: 16 }
  )

type Populated = Effect.Success<ReturnType<typeof populate>>

/** All there, each once, with its state and its groups, and nowhere at a lower epoch. */
const allKept = (nodes: ReadonlyArray<TestNode>, before: Populated) =>
  Effect.gen(function* () {
    const all = before.map(({ name }) => name).sort()
    const even = before.filter((_, i) => i % 2 === 0).map(({ name }) => name).sort()
    const ids = nodes.map(({ id }) => id)
    for (const node of nodes) {
      yield* eventually(
        Effect.map(node.workers.registered, (refs) =>
          refs.length === all.length && refs.every((ref) => ids.includes(ref.node))),
        `"${node.id}" finds every name on one of ${ids.join(", ")}`
      )
      yield* equal(yield* names(node), all, `names on ${node.id}`)
      yield* eventuallyEqual(memberNames(node, "even"), even, `the group on ${node.id}`)
      for (const { name, state } of before) {
        yield* equal(yield* node.counter(name).Get(), state, `the state of "${name}" asked from ${node.id}`)
      }
    }
    yield* eventually(runsOnce(nodes, all.length), "each runs once")
  })

/** The processes of all nodes together are this many, with no name twice. */
const runsOnce = (nodes: ReadonlyArray<TestNode>, count: number) =>
  Effect.map(
    Effect.forEach(nodes, ({ id, supervisor }) => supervisor.which("conformance/Workers", id)),
    (children) => {
      const running = children.flat().filter(({ status }) => status === "running").map(({ ref }) => ref.name)
      return running.length === count && new Set(running).size === count
    }
  )

interface Load {
  /** Ends the load; answers how many increments each counter acknowledged, and how many are in doubt. */
  readonly stop: Effect.Effect<
    { readonly acknowledged: ReadonlyMap<string, number>; readonly doubtful: number },
    unknown
  >
  readonly acknowledged: () => number
}

/** Increments counters from nodes, without a pause, until it is stopped. Every call must be answered. */
const load = (cluster: TestCluster, nodes: ReadonlyArray<TestNode>, all: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const acknowledged = new Map<string, number>(all.map((name) => [name, 0]))
    let doubtful = 0
    let ends = false
    let total = 0
    const worker = (node: TestNode) =>
      Effect.gen(function* () {
        while (!ends) {
          const name = all[yield* Random.nextIntBetween(0, all.length - 1)]!
          const timeout = cluster.reliable ? "20 seconds" : "1 second"
          const exit = yield* Effect.exit(node.workers.client(Counter, name, { timeout }).Increment({ by: 1 }))
          if (exit._tag === "Success") {
            acknowledged.set(name, acknowledged.get(name)! + 1)
            total++
          } else if (cluster.reliable) {
            return yield* Effect.failCause(exit.cause)
          } else {
            doubtful++
          }
          yield* Effect.yieldNow
        }
      })
    const fiber = yield* Effect.forkScoped(
      Effect.forEach([...nodes, ...nodes, ...nodes, ...nodes], worker, { concurrency: "unbounded", discard: true })
    )
    const stop: Load["stop"] = Effect.suspend(() => {
      ends = true
      return Effect.map(Fiber.join(fiber), () => ({ acknowledged, doubtful }))
    })
    return { stop, acknowledged: () => total } satisfies Load
  })

/** What the counters hold is what was acknowledged: nothing lost, nothing executed twice. */
const addsUp = (cluster: TestCluster, node: TestNode, load: Load) =>
  Effect.gen(function* () {
    const { acknowledged, doubtful } = yield* load.stop
    let sum = 0
    let known = 0
    for (const [name, count] of acknowledged) {
      const actual = yield* node.counter(name).Get()
      sum += actual
      known += count
      if (cluster.reliable) yield* equal(actual, count, `increments of "${name}"`)
      else yield* check(actual >= count, `"${name}" has ${actual} increments, ${count} were acknowledged`)
    }
    yield* check(sum <= known + doubtful, `${sum} increments counted, ${known} acknowledged and ${doubtful} in doubt`)
    yield* check(known > 100, `there was load: ${known} increments`)
  })

const enoughLoad = (running: Load, more: number) =>
  Effect.suspend(() => {
    const goal = running.acknowledged() + more
    return eventually(Effect.sync(() => running.acknowledged() >= goal), `${more} more acknowledged calls`)
  })

const moving = (node: TestNode) =>
  Effect.gen(function* () {
    const seen = yield* Ref.make<ReadonlyArray<Move>>([])
    yield* Effect.forkScoped(
      Stream.runForEach(node.handoff.moves, (move) => Ref.update(seen, (all) => [...all, move])),
      { startImmediately: true }
    )
    return Ref.get(seen)
  })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "[T9] [P107] [P112] a node that leaves hands its processes over: with state and groups, at higher epochs",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(a, 60, (i) => `p${i}@${"abc"[i % 3]}`)
        for (const { name, node } of before) yield* check(name.endsWith(`@${node}`), `"${name}" is on ${node}`)
        yield* c.stop
        yield* allKept([a, b], before)
        for (const { epoch, name } of before) {
          const ref = yield* whereis(a, name)
          if (name.endsWith("@c")) yield* check(ref!.epoch > epoch, `"${name}" has a higher epoch after its move`)
          else yield* equal(ref!.epoch, epoch, `"${name}" did not move: its epoch`)
        }
      })
  ),

  define(
    3,
    "two nodes leave one after the other: the last has everything, with state",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(b, 30, (i) => `p${i}`)
        yield* c.stop
        yield* b.stop
        yield* allKept([a], before)
      })
  ),

  define(
    3,
    "two nodes leave at the same time: the third has everything, with state",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(b, 30, (i) => `p${i}@${"abc"[i % 3]}`)
        yield* Effect.all([c.stop, b.stop], { concurrency: "unbounded" })
        yield* allKept([a], before)
      })
  ),

  define(
    2,
    "[P100] [D17] a node that joins gets, with their state, the processes whose home it became, and no others",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const before = yield* populate(a, 60, (i) => `p${i}@${"abc"[i % 3]}`)
        const homes = new Map(before.map(({ name, node }) => [name, node]))
        const c = yield* cluster.start("c")
        yield* eventually(
          Effect.map(
            c.supervisor.which("conformance/Workers", c.id),
            (children) => children.filter(({ status }) => status === "running").length === 20
          ),
          "c runs the 20 processes whose home it is"
        )
        yield* allKept([a, b, c], before)
        for (const { epoch, name } of before) {
          const ref = yield* whereis(c, name)
          const home = name.endsWith("@c") ? "c" : homes.get(name)
          yield* equal(ref?.node, home, `the node of "${name}"`)
          yield* check(
            home === "c" ? ref!.epoch > epoch : ref!.epoch === epoch,
            `the epoch of "${name}": ${ref?.epoch}`
          )
        }
      })
  ),

  define(
    2,
    "[P100] [D17] under passive redistribution a node that joins gets none, and takes new ones",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const names = Array.from({ length: 20 }, (_, i) => `s${i}@c`)
        const refs = yield* Effect.forEach(names, (name) => a.settled.register(name, Counter, { start: 1 }))
        yield* a.workers.register("active@c", Counter, { start: 0 })
        const c = yield* cluster.start("c")
        yield* eventually(Effect.map(whereis(a, "active@c"), (ref) => ref?.node === "c"), "an active one has moved")
        for (const node of [a, b, c]) yield* eventuallyEqual(node.settled.registered, [...refs].sort(byName), node.id)
        yield* isOn(yield* a.settled.register("new@c", Counter, { start: 1 }), c)
      })
  ),

  define(
    3,
    "Handoff.move sends a process to a chosen node, with its state, from any node",
    (nodes) =>
      Effect.gen(function* () {
        const [a, b] = nodes
        const ref = yield* a.settled.register("sent@a", Counter, { start: 0 })
        yield* a.settled.client(Counter, "sent@a").Set({ to: 31 })
        yield* a.settled.join("movers", "sent@a")
        const moves = yield* moving(a)
        let last = ref.epoch
        for (const [from, target] of [[b, "c"], [a, "b"], [a, "a"], [b, "c"]] as const) {
          const moved = yield* from.handoff.move("conformance/Settled", "sent@a", target)
          yield* equal(moved.node, target, "where it is")
          yield* check(moved.epoch > last, `epoch ${moved.epoch} follows ${last}`)
          last = moved.epoch
          for (const node of nodes) {
            const counter = node.settled.client(Counter, "sent@a")
            yield* equal(yield* counter.Where(), target, `where it is, asked from ${node.id}`)
            yield* equal(yield* counter.Get(), 31, "its state")
            yield* equal(yield* counter.Epoch(), moved.epoch, "its epoch")
            yield* eventuallyEqual(
              Effect.map(node.settled.members("movers"), (refs) => refs.map(({ name }) => name)),
              ["sent@a"],
              "its group"
            )
          }
        }
        const seen = yield* moves
        yield* equal(
          seen.map(({ from, to, withState }) => `${from}${to}${withState}`),
          ["actrue", "actrue"],
          "moves told on a"
        )
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "a move of an unknown name, or to an unknown node, fails and changes nothing",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* fails(a.handoff.move("conformance/Workers", "nobody", "b"), { _tag: "NotRegistered" }, "an unknown name")
        const ref = yield* a.workers.register("stays@a", Counter, { start: 4 })
        yield* seenBy([b], "stays@a", ref)
        for (const node of [a, b]) {
          yield* fails(
            node.handoff.move("conformance/Workers", "stays@a", "nowhere"),
            { _tag: "HandoffError" },
            node.id
          )
          yield* equal(yield* node.counter("stays@a").Get(), 4, "it goes on")
        }
        yield* Effect.scoped(Effect.gen(function* () {
          yield* a.workers.adopt("by hand")
          yield* fails(a.handoff.move("conformance/Workers", "by hand", "b"), { _tag: "HandoffError" }, "adopted").pipe(
            Effect.catch(() =>
              fails(a.handoff.move("conformance/Workers", "by hand", "b"), { _tag: "NotRegistered" }, "adopted")
            )
          )
          yield* equal((yield* whereis(a, "by hand"))?.node, "a", "what is adopted stays")
        }))
      })
  ),

  define(
    2,
    "a process type with handoff off starts from its args where it is moved to",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("anew@b", Stateless, { start: 7 })
        const client = a.workers.client(Stateless, "anew@b")
        yield* client.Set({ to: 70 })
        yield* b.stop
        yield* eventually(Effect.map(client.Where(), (node) => node === "a"), "it runs on a")
        yield* equal(yield* client.Get(), 7, "its state")
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "messages that wait while a process moves are answered in order, at its new node",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* a.workers.register("waited@a", Journal, {})
        yield* seenBy([b], "waited@a", yield* whereis(a, "waited@a"))
        const clients = [a, b].map(({ workers }) => workers.client(Journal, "waited@a", { timeout: "20 seconds" }))
        const pause = yield* Effect.forkChild(clients[0]!.Pause({ millis: 150 }), { startImmediately: true })
        const move = yield* Effect.forkChild(a.handoff.move("conformance/Workers", "waited@a", "b"), {
          startImmediately: true
        })
        const writes = yield* Effect.forkChild(
          Effect.forEach([0, 1], (n) =>
            Effect.forEach(
              Array.from({ length: 50 }, (_, i) => `${n}-${String(i).padStart(2, "0")}`),
              (line) => clients[n]!.Write({ line }),
              { concurrency: "unbounded", discard: true }
            ), { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        yield* Fiber.join(pause)
        yield* Fiber.join(writes)
        yield* Fiber.join(move)
        const lines = yield* clients[0]!.Read()
        for (const n of ["0", "1"]) {
          const mine = lines.filter((line) => line.startsWith(n))
          yield* equal(mine, [...mine].sort(), `the calls of client ${n}, in order`)
          yield* equal(mine.length, 50, `the calls of client ${n}`)
        }
      }),
    { needs: ["reliable"] }
  ),

  define(
    2,
    "calls under constant load while a node joins are each answered and counted once",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const all = Array.from({ length: 30 }, (_, i) => `load${i}@${"abc"[i % 3]}`)
        yield* Effect.forEach(all, (name) => a.workers.register(name, Counter, { start: 0 }), { concurrency: 10 })
        const running = yield* load(cluster, [a, b], all)
        yield* enoughLoad(running, 200)
        const c = yield* cluster.start("c")
        yield* eventually(
          Effect.map(
            c.supervisor.which("conformance/Workers", c.id),
            (children) => children.filter(({ status }) => status === "running").length === 10
          ),
          "c runs the 10 processes whose home it is"
        )
        yield* enoughLoad(running, 200)
        yield* addsUp(cluster, c, running)
      })
  ),

  define(
    3,
    "calls under constant load while a node leaves are each answered and counted once",
    ([a, b, c], cluster) =>
      Effect.gen(function* () {
        const all = Array.from({ length: 30 }, (_, i) => `load${i}@${"abc"[i % 3]}`)
        yield* Effect.forEach(all, (name) => a.workers.register(name, Counter, { start: 0 }), { concurrency: 10 })
        const running = yield* load(cluster, [a, b], all)
        yield* enoughLoad(running, 200)
        yield* c.stop
        yield* enoughLoad(running, 200)
        yield* addsUp(cluster, b, running)
        yield* equal((yield* names(a)).length, 30, "names")
      })
  ),

  define(
    3,
    "[P109] calls while processes move to and fro are each answered and counted once",
    ([a, b, c], cluster) =>
      Effect.gen(function* () {
        const all = ["tofro0@a", "tofro1@b", "tofro2@c"]
        yield* Effect.forEach(all, (name) => a.workers.register(name, Counter, { start: 0 }))
        const running = yield* load(cluster, [a, b, c], all)
        for (let round = 0; round < 6; round++) {
          yield* enoughLoad(running, 30)
          yield* Effect.forEach(all, (name, i) => {
            const target = "abc"[(i + round + 1) % 3]!
            return Effect.exit([a, b, c][round % 3]!.handoff.move("conformance/Workers", name, target))
          }, { concurrency: "unbounded" })
        }
        yield* addsUp(cluster, b, running)
      })
  ),

  define(
    3,
    "drain gives every process of a node away with its state, and it stays empty",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const before = yield* populate(a, 30, (i) => `p${i}@${"abc"[i % 3]}`)
        const last = Option.getOrThrow(yield* Stream.runLast(c.handoff.drain()))
        yield* equal([last.moved, last.left, last.failed, last.isFinal], [10, 0, 0, true], "moved, left, failed, final")
        yield* equal((yield* c.supervisor.which("conformance/Workers", c.id)).length, 0, "processes of c")
        yield* allKept([a, b], before)
        for (let i = 0; i < 5; i++) {
          const ref = yield* c.workers.register(`later${i}@c`, Counter, { start: 0 })
          yield* check(ref.node !== "c", `"${ref.name}" was started on the drained node`)
        }
        yield* equal(yield* c.counter("later0@c").Get(), 0, "a drained node still calls")
      })
  ),

  define(1, "[D11] a node alone stops although it has processes, and at once", ([a]) =>
    Effect.gen(function* () {
      yield* populate(a, 20, (i) => `p${i}`)
      const stopped = yield* Effect.timeoutOption(a.stop, "4 seconds")
      yield* check(stopped._tag === "Some", "it took longer than 4 s to stop")
    })),

  define(3, "a registration while a node leaves ends on a node that stays", ([a, b, c]) =>
    Effect.gen(function* () {
      const stopping = yield* Effect.forkChild(c.stop, { startImmediately: true })
      const refs = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => `late${i}@c`),
        (name, i) => [a, b][i % 2]!.workers.register(name, Counter, { start: i }),
        { concurrency: 8 }
      )
      yield* Fiber.join(stopping)
      for (const [i, { name }] of refs.entries()) {
        for (const node of [a, b]) {
          yield* eventually(
            Effect.map(whereis(node, name), (ref) => ref !== undefined && ref.node !== "c"),
            `${name} stays`
          )
          yield* equal(yield* node.counter(name).Get(), i, `the state of ${name}: ${show(yield* whereis(node, name))}`)
        }
      }
    }))
]

const byName = (one: { readonly name: string }, other: { readonly name: string }): number =>
  one.name < other.name ? -1 : 1
