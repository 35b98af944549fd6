/** Names: who gets one, who finds it, how it ends. */
import { Effect, Exit, Option, Schema } from "effect"
import { Rpc } from "effect/rpc"
import * as Process from "../../Process.ts"
import type { ProcessRef } from "../../SwormError.ts"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { group, isOn, names, sameRef, seenBy, type TestCluster, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Hasty, Sleeper, Starter } from "./sworms.ts"

const define = group("registration")

/** Each racer registers every name; answers what each got, by name. */
const race = (
  nodes: ReadonlyArray<TestNode>,
  names: ReadonlyArray<string>,
  racers: number
): Effect.Effect<ReadonlyMap<string, ReadonlyArray<Exit.Exit<ProcessRef, unknown>>>> =>
  Effect.gen(function* () {
    const outcomes = new Map<string, Array<Exit.Exit<ProcessRef, unknown>>>(names.map((name) => [name, []]))
    const attempts = names.flatMap((name) =>
      Array.from({ length: racers }, (_, i) => ({ name, node: nodes[i % nodes.length]! }))
    )
    yield* Effect.forEach(attempts, ({ name, node }) =>
      Effect.map(Effect.exit(node.workers.register(name, Counter, { start: 0 })), (exit) => {
        outcomes.get(name)!.push(exit)
      }), { concurrency: "unbounded", discard: true })
    return outcomes
  })

/** One success; everyone else is told of it. */
const oneWinner = (name: string, exits: ReadonlyArray<Exit.Exit<ProcessRef, unknown>>): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const won = exits.flatMap((exit) => exit._tag === "Success" ? [exit.value] : [])
    yield* equal(won.length, 1, `successful registrations of "${name}" among ${show(exits.map(show).slice(0, 4))}`)
    for (const exit of exits) {
      if (exit._tag === "Success") continue
      yield* fails(exit, { _tag: "NameTaken", ref: won[0] }, `the others that registered "${name}"`)
    }
  })

const raceCase = (nodes: ReadonlyArray<TestNode>, cluster: TestCluster, count: number, racers: number) =>
  Effect.gen(function* () {
    const all = Array.from({ length: count }, (_, i) => `raced-${i}`)
    const outcomes = yield* race(nodes, all, racers)
    for (const [name, exits] of outcomes) {
      yield* equal(exits.length, racers, `answers for "${name}"`)
      yield* oneWinner(name, exits)
    }
    const sorted = [...all].sort()
    for (const node of cluster.nodes()) {
      yield* eventuallyEqual(names(node), sorted, `"${node.id}" knows each name once`)
    }
    const counts = yield* Effect.forEach(
      nodes,
      ({ id, supervisor }) =>
        Effect.map(supervisor.which("conformance/Workers", id), (children) => {
          return children.filter(({ ref }) => ref.node === id).length
        })
    )
    yield* equal(counts.reduce((a, b) => a + b, 0), count, "processes that run")
  })

const Unknown = Process.make("Unknown", { protocol: [Rpc.make("Get", { success: Schema.Int })] })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    1,
    "[P1] [P6] a registered name is found, listed, and gone after unregister",
    ([a]) =>
      Effect.gen(function* () {
        yield* equal(yield* a.workers.registered, [], "names before")
        const ref = yield* a.workers.register("one", Counter, { start: 1 })
        yield* equal(ref.name, "one", "the ref's name")
        yield* equal(ref.sworm, "conformance/Workers", "the ref's sworm")
        yield* equal(ref.node, "a", "the ref's node")
        yield* sameRef(yield* whereis(a, "one"), ref, "whereis")
        yield* equal(yield* a.workers.registered, [ref], "registered")
        yield* a.workers.unregister("one")
        yield* equal(yield* whereis(a, "one"), undefined, "whereis after unregister")
        yield* equal(yield* a.workers.registered, [], "registered after unregister")
      })
  ),

  define(1, "registered lists every name in order", ([a]) =>
    Effect.gen(function* () {
      for (const name of ["b", "c", "a", "é", "aa"]) yield* a.workers.register(name, Counter, { start: 0 })
      yield* equal(yield* names(a), ["a", "aa", "b", "c", "é"], "names")
    })),

  define(
    3,
    "[P8] [D13] a node finds at once what it registered and misses at once what it unregistered",
    (nodes) =>
      Effect.gen(function* () {
        for (const node of nodes) {
          for (const home of nodes) {
            const name = `${node.id}@${home.id}`
            const ref = yield* node.workers.register(name, Counter, { start: 0 })
            yield* sameRef(yield* whereis(node, name), ref, `whereis of "${name}" right after register`)
            yield* isOn(ref, home)
            yield* node.workers.unregister(name)
            yield* equal(yield* whereis(node, name), undefined, `whereis of "${name}" right after unregister`)
          }
        }
      })
  ),

  define(
    3,
    "[T8] [P18] [P19] [P37] a taken name is refused with the ref of who has it",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const ref = yield* a.workers.register("taken@b", Counter, { start: 0 })
        for (const node of [a, b, c]) {
          yield* fails(node.workers.register("taken@b", Counter, { start: 9 }), { _tag: "NameTaken", ref }, node.id)
        }
        yield* equal(yield* a.counter("taken@b").Get(), 0, "the state is untouched")
      })
  ),

  define(
    3,
    "[P3] [P7] whereisOrRegister starts a process once and answers the same ref after",
    ([a, b, c]) =>
      Effect.gen(function* () {
        const ref = yield* a.workers.whereisOrRegister("shared@c", Counter, { start: 3 })
        for (const node of [a, b, c]) {
          yield* sameRef(yield* node.workers.whereisOrRegister("shared@c", Counter, { start: 4 }), ref, node.id)
        }
        yield* equal(yield* b.counter("shared@c").Get(), 3, "the state")
      })
  ),

  define(3, "[P3] [P7] concurrent whereisOrRegister from all nodes answer one ref", (nodes) =>
    Effect.gen(function* () {
      const refs = yield* Effect.forEach(Array.from({ length: 60 }, (_, i) => nodes[i % 3]!), ({ workers }) =>
        workers.whereisOrRegister("shared", Counter, { start: 0 }), { concurrency: "unbounded" })
      for (const ref of refs) {
        yield* sameRef(ref, refs[0]!, "the refs")
      }
    })),

  define(
    3,
    "[P5] [P14] a registration becomes visible on every other node, and so does its end",
    (nodes) =>
      Effect.gen(function* () {
        const ref = yield* nodes[0].workers.register("seen@b", Counter, { start: 0 })
        yield* seenBy(nodes, "seen@b", ref)
        yield* nodes[0].workers.unregister("seen@b")
        yield* seenBy(nodes, "seen@b", undefined)
      })
  ),

  define(
    3,
    "[P5] [P6] a name is unregistered from a node that does not hold it, and its process stops",
    ([a, b, c]) =>
      Effect.gen(function* () {
        yield* a.workers.register("remote@b", Counter, { start: 0 })
        yield* seenBy([c], "remote@b", yield* whereis(a, "remote@b"))
        yield* c.workers.unregister("remote@b")
        yield* eventuallyEqual(
          Effect.map(b.supervisor.which("conformance/Workers", b.id), (children) => children.length),
          0,
          "processes of b"
        )
        yield* fails(a.counter("remote@b").Get(), { _tag: "CallError", reason: "NotRegistered" }, "a call after")
      })
  ),

  define(
    3,
    "[P6] [P37] unregister of an unknown name fails with NotRegistered, the second unregister too",
    ([a, b]) =>
      Effect.gen(function* () {
        yield* fails(a.workers.unregister("nobody"), { _tag: "NotRegistered", name: "nobody" }, "an unknown name")
        yield* a.workers.register("somebody", Counter, { start: 0 })
        yield* a.workers.unregister("somebody")
        yield* fails(a.workers.unregister("somebody"), { _tag: "NotRegistered" }, "again on the same node")
        yield* seenBy([b], "somebody", undefined)
        yield* fails(b.workers.unregister("somebody"), { _tag: "NotRegistered" }, "again on another node")
      })
  ),

  define(
    3,
    "[P10] of 100 concurrent registrations of one name one succeeds and 99 are told of it",
    (nodes, cluster) => raceCase(nodes, cluster, 1, 100)
  ),

  define(
    3,
    "[P15] of 20 concurrent registrations of each of 200 names one succeeds per name",
    (nodes, cluster) => raceCase(nodes, cluster, 200, 20)
  ),

  define(
    3,
    "[P15] of 100 concurrent registrations of each of 200 names one succeeds per name",
    (nodes, cluster) => raceCase(nodes, cluster, 200, 100),
    { slow: true }
  ),

  define(
    3,
    "[P36] a name registered again after unregister gets a higher epoch, 30 times in a row",
    (nodes) =>
      Effect.gen(function* () {
        let last = 0
        for (let i = 0; i < 30; i++) {
          const node = nodes[i % 3]!
          const ref = yield* node.workers.register("again", Counter, { start: i })
          yield* check(ref.epoch > last, `epoch ${ref.epoch} follows ${last}`)
          yield* equal(yield* node.counter("again").Epoch(), ref.epoch, "the epoch that the process sees")
          last = ref.epoch
          yield* node.workers.unregister("again")
        }
      })
  ),

  define(
    3,
    "[P41] [P45] names taken and freed from all nodes at once end up the same everywhere",
    (nodes) =>
      Effect.gen(function* () {
        yield* Effect.forEach(Array.from({ length: 90 }, (_, i) => i), (i) => {
          const { workers } = nodes[i % 3]!
          const name = `busy-${i % 10}`
          return Effect.andThen(
            Effect.exit(workers.register(name, Counter, { start: 0 })),
            Effect.exit(workers.unregister(name))
          )
        }, { concurrency: "unbounded", discard: true })
        yield* nodes[1].workers.whereisOrRegister("busy-0", Counter, { start: 0 })
        for (let i = 1; i < 10; i++) yield* Effect.exit(nodes[2].workers.unregister(`busy-${i}`))
        for (const node of nodes) yield* eventuallyEqual(names(node), ["busy-0"], `names on ${node.id}`)
      })
  ),

  define(
    3,
    "[P13] an init that fails or dies is a StartFailed, with nothing registered",
    ([a, b, c]) =>
      Effect.gen(function* () {
        for (const init of ["fail", "die"] as const) {
          for (const home of [a, b]) {
            const name = `${init}@${home.id}`
            const error = yield* fails(
              a.workers.register(name, Starter, { init, text: "on purpose" }),
              { _tag: "StartFailed", name, node: home.id },
              name
            )
            yield* check(show(error).includes("on purpose"), `the error says why: ${show(error)}`)
            for (const node of [a, b, c]) yield* equal(yield* whereis(node, name), undefined, `${name} on ${node.id}`)
            yield* equal(
              (yield* home.supervisor.which("conformance/Workers", home.id)).length,
              0,
              "processes left behind"
            )
          }
        }
        const ref = yield* a.workers.register("fail@a", Counter, { start: 0 })
        yield* sameRef(yield* whereis(a, "fail@a"), ref, "the name is free for another")
      })
  ),

  define(2, "an init that takes longer than the start timeout is a StartFailed", ([a, b]) =>
    Effect.gen(function* () {
      for (const home of [a, b]) {
        const name = `late@${home.id}`
        yield* fails(a.workers.register(name, Hasty, { millis: 60_000 }), { _tag: "StartFailed", name }, name)
        yield* equal(yield* whereis(a, name), undefined, "whereis")
      }
      yield* a.workers.register("intime", Hasty, { millis: 1 })
    })),

  define(
    3,
    "[P16] [D5] a slow init does not hold up other names, and is not found before it is done",
    ([a, b]) =>
      Effect.gen(function* () {
        const slow = yield* Effect.forkChild(
          a.workers.register("slow@b", Sleeper, { millis: 1500 }),
          { startImmediately: true }
        )
        const quick = ["a", "b", "c"].flatMap((home) => Array.from({ length: 20 }, (_, i) => `quick-${i}@${home}`))
        yield* Effect.forEach(quick, (name) => a.workers.register(name, Counter, { start: 0 }), {
          concurrency: "unbounded",
          discard: true
        })
        yield* equal(yield* whereis(b, "slow@b"), undefined, "whereis while its init runs")
        yield* equal(slow.pollUnsafe(), undefined, "the slow registration, after 60 others")
        yield* eventually(Effect.sync(() => slow.pollUnsafe()?._tag === "Success"), "the slow one is registered")
        yield* eventually(Effect.map(whereis(b, "slow@b"), (ref) => ref !== undefined), "b finds it")
      })
  ),

  define(2, "[P2] [P8] [D5] an init may join a group, call and register", ([a, b]) =>
    Effect.gen(function* () {
      yield* a.workers.register("base@a", Counter, { start: 5 })
      for (const home of ["a", "b"]) {
        yield* a.workers.register(`join@${home}`, Starter, { init: "join", text: `group-${home}` })
        for (const node of [a, b]) {
          yield* eventually(
            Effect.map(node.workers.members(`group-${home}`), (refs) => refs[0]?.name === `join@${home}`),
            `${node.id} sees what join@${home} joined`
          )
        }
        yield* a.workers.register(`call@${home}`, Starter, { init: "call", text: "base@a" })
        yield* equal(yield* a.workers.client(Starter, `call@${home}`).Get(), "5", "what init was answered")
        yield* a.workers.register(`register@${home}`, Starter, { init: "register", text: `child-${home}@b` })
        yield* equal(yield* a.counter(`child-${home}@b`).Get(), 3, "what init registered")
      }
    })),

  define(
    2,
    "[D5] an init that registers its own name ends in a typed error, not in a wait without end",
    ([a]) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(
          Effect.timeout(a.workers.register("self@b", Starter, { init: "register", text: "self@b" }), "15 seconds")
        )
        yield* fails(exit, { _tag: "StartFailed" }, "a registration of itself")
        // its own attempt may have been made good once the first one was over
        yield* a.workers.whereisOrRegister("self@b", Counter, { start: 0 })
        yield* eventuallyEqual(a.counter("self@b").Where(), "b", "the name is usable")
      })
  ),

  define(2, "[P37] bad input is refused with a typed error and the node goes on", ([a, b]) =>
    Effect.gen(function* () {
      const { workers } = a
      const start = { start: 0 }
      yield* fails(workers.register("", Counter, start), { _tag: "InvalidInput" }, "an empty name")
      yield* fails(workers.register("x".repeat(513), Counter, start), { _tag: "InvalidInput" }, "513 bytes")
      yield* fails(
        workers.register("é".repeat(257), Counter, start),
        { _tag: "InvalidInput" },
        "514 bytes in 257 letters"
      )
      yield* fails(workers.whereisOrRegister("", Counter, start), { _tag: "InvalidInput" }, "whereisOrRegister")
      yield* fails(Effect.scoped(workers.adopt("")), { _tag: "InvalidInput" }, "adopt")
      yield* workers.register("x".repeat(512), Counter, start)
      yield* workers.register("é".repeat(256), Counter, start)
      yield* fails(workers.register("half", Counter, { start: 0.5 }), { _tag: "InvalidInput" }, "args that don't fit")
      yield* fails(
        workers.register("stranger", Unknown as unknown as typeof Counter, start),
        { _tag: "InvalidInput" },
        "a process type of no sworm"
      )
      yield* workers.register("known@b", Counter, start)
      yield* fails(workers.join("", "known@b"), { _tag: "InvalidInput" }, "an empty group")
      yield* fails(workers.join("g".repeat(513), "known@b"), { _tag: "InvalidInput" }, "a long group")
      for (const node of [a, b]) yield* equal(yield* node.counter("known@b").Get(), 0, `a call from ${node.id}`)
      yield* equal(yield* whereis(b, "half"), undefined, "what was refused is not registered")
    })),

  define(
    2,
    "args that the process's node cannot decode are a StartFailed, a type that no node has is Unavailable",
    ([a, b]) =>
      Effect.gen(function* () {
        const request = { sworm: "conformance/Workers", type: "Counter", args: { start: "zero" } }
        for (const home of ["a", "b"]) {
          const name = `undecodable@${home}`
          yield* fails(a.supervisor.start({ ...request, name }), { _tag: "StartFailed" }, name)
          yield* fails(
            a.supervisor.start({ ...request, type: "Nothing", args: {}, name: `typeless@${home}` }),
            { _tag: "Unavailable" },
            "an unknown type"
          )
        }
        yield* equal(yield* names(b), [], "names")
      })
  ),

  define(
    1,
    "[P28] [P37] a sworm that no node hosts is Unavailable, or refused as input",
    ([a]) =>
      Effect.gen(function* () {
        yield* fails(
          a.supervisor.start({ sworm: "conformance/Nowhere", name: "x", type: "Counter", args: { start: 0 } }),
          { _tag: "Unavailable" },
          "a start"
        )
        yield* equal(yield* a.registry.whereis("conformance/Nowhere", "x"), Option.none(), "whereis")
      })
  ),

  define(2, "[P37] two sworms on one node are separate name spaces", ([a, b]) =>
    Effect.gen(function* () {
      const one = yield* a.workers.register("same@b", Counter, { start: 1 })
      const two = yield* a.settled.register("same@b", Counter, { start: 2 })
      yield* check(one.sworm !== two.sworm, "the refs name their sworms")
      for (const node of [a, b]) {
        yield* equal(yield* node.counter("same@b").Get(), 1, "the one in Workers")
        yield* equal(yield* node.settled.client(Counter, "same@b").Get(), 2, "the one in Settled")
      }
      yield* a.workers.join("group", "same@b")
      yield* equal(yield* a.settled.members("group"), [], "groups are separate too")
      yield* a.workers.unregister("same@b")
      yield* equal(yield* whereis(a, "same@b"), undefined, "Workers after unregister")
      yield* equal(yield* a.settled.client(Counter, "same@b").Get(), 2, "Settled after unregister in Workers")
    })),

  define(
    2,
    "[P37] [D27] a node that does not host the sworm gets no process, and can register and call",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const c = yield* cluster.start("c", { hosts: false })
        for (let i = 0; i < 40; i++) {
          const ref = yield* c.workers.register(`affine-${i}`, Counter, { start: i })
          yield* check(ref.node !== "c", `"${ref.name}" was started on c, which does not host the sworm`)
          yield* equal(yield* c.counter(`affine-${i}`).Get(), i, "a call from c")
        }
        yield* equal((yield* c.supervisor.which("conformance/Workers", c.id)).length, 0, "processes of c")
        const here = [a, b].map(({ id, supervisor }) => supervisor.which("conformance/Workers", id))
        const counts = yield* Effect.forEach(here, (which) => Effect.map(which, (children) => children.length))
        yield* equal(counts[0]! + counts[1]!, 40, "processes of a and b")
        const steered = yield* c.workers.register("wants@c", Counter, { start: 0 })
        yield* check(steered.node !== "c", "even a name that wants to")
      })
  ),

  define(
    2,
    "the sworm's placement is followed when the registrar does not host the sworm",
    ([a, b], cluster) =>
      Effect.gen(function* () {
        const c = yield* cluster.start("c", { hosts: false })
        for (let i = 0; i < 30; i++) {
          const home = i % 2 === 0 ? a : b
          yield* isOn(yield* c.workers.register(`placed-${i}@${home.id}`, Counter, { start: 0 }), home)
        }
      })
  ),

  define(2, "countChildren and which tell what runs where", ([a, b]) =>
    Effect.gen(function* () {
      for (let i = 0; i < 6; i++) yield* a.workers.register(`n${i}@${i < 4 ? "a" : "b"}`, Counter, { start: 0 })
      for (const node of [a, b]) {
        yield* eventuallyEqual(
          Effect.map(
            node.supervisor.countChildren("conformance/Workers"),
            (counts) => [counts.get("a"), counts.get("b")]
          ),
          [4, 2],
          `countChildren on ${node.id}`
        )
      }
      const children = yield* b.supervisor.which("conformance/Workers", b.id)
      yield* equal(children.map(({ ref }) => ref.name).sort(), ["n4@b", "n5@b"], "which on b")
      yield* equal(
        children.map(({ status, type }) => `${type} ${status}`),
        ["Counter running", "Counter running"],
        "status"
      )
      yield* a.supervisor.terminate("conformance/Workers", "n4@b")
      yield* equal(yield* whereis(a, "n4@b"), undefined, "a terminated process")
      yield* eventuallyEqual(
        Effect.map(b.supervisor.which("conformance/Workers", b.id), (left) => left.length),
        1,
        "processes of b"
      )
    }))
]
