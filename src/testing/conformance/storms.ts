/** Much at once: races for names, restarts, changes from all nodes, and a walk at random through what can be done. */
import { Effect, Exit, Fiber } from "effect"
import { seededRandom } from "../../protocol/random.ts"
import { check, equal, eventually, eventuallyEqual, fails, show } from "./check.ts"
import { aliveIds, group, memberNames, names, type TestCluster, type TestNode, whereis } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { Counter, Permanent, Temporary } from "./sworms.ts"

const define = group("storms")

const WORKERS = "conformance/Workers"

/** What any operation may fail with. */
const documented = new Set([
  "NameTaken",
  "NotRegistered",
  "Unregistered",
  "Unavailable",
  "StartFailed",
  "NotOwner",
  "InvalidInput",
  "HandoffError",
  "CallError"
])

/** It ends in time, with an answer or a documented error. */
const endsWell = <A, E>(what: string, effect: Effect.Effect<A, E>): Effect.Effect<Exit.Exit<A, unknown>, unknown> =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.timeout(effect, "25 seconds"))
    if (exit._tag === "Success") return exit
    const reason = exit.cause.reasons[0]
    const tag = reason?._tag === "Fail" ? (reason.error as { readonly _tag?: string })._tag : undefined
    yield* check(documented.has(tag ?? ""), `${what} ended with ${show(exit)}`)
    return exit
  })

/** What every node must come to agree on. */
const known = (node: TestNode, nodes: ReadonlyArray<TestNode>): Effect.Effect<unknown> =>
  Effect.gen(function* () {
    const { count, entry, groups, members, registered } = node.workers
    const refs = yield* registered
    const entries = yield* Effect.forEach(refs, ({ name }) => entry(name))
    const named = yield* groups
    return {
      entries: entries.map((one) => one._tag === "Some" ? one.value : undefined),
      groups: yield* Effect.forEach(named, (group) => Effect.map(members(group), (all) => [group, all])),
      counts: yield* Effect.forEach(nodes, ({ id }) => count(id)),
      total: yield* count()
    }
  })

/** All know the same; and what they know runs, once, where they say. */
const agree = (cluster: TestCluster): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const nodes = cluster.nodes()
    const running = (node: TestNode) =>
      Effect.map(node.supervisor.which(WORKERS, node.id), (children) => children.map(({ ref }) => ref.name).sort())
    const isSettled = Effect.gen(function* () {
      const views = yield* Effect.forEach(nodes, (node) => known(node, nodes))
      if (new Set(views.map((view) => JSON.stringify(view))).size > 1) return false
      for (const node of nodes) {
        const here = (yield* nodes[0]!.workers.registered).filter((ref) => ref.node === node.id)
        if (JSON.stringify(here.map(({ name }) => name)) !== JSON.stringify(yield* running(node))) return false
        if (here.length !== (yield* node.workers.count(node.id))) return false
      }
      const total = yield* nodes[0]!.workers.registered
      return total.every((ref) => nodes.some(({ id }) => id === ref.node))
    })
    yield* Effect.catch(eventually(isSettled, "all nodes agree"), (error) =>
      Effect.gen(function* () {
        const views = yield* Effect.forEach(
          nodes,
          (node) => Effect.all([known(node, nodes), running(node), aliveIds(node)])
        )
        for (const view of views) yield* Effect.logError(JSON.stringify(view))
        return yield* Effect.fail(error)
      }))
    for (const ref of yield* nodes[0]!.workers.registered) {
      for (const node of nodes) {
        // it may still move: its home has changed with the nodes
        const isThere = Effect.gen(function* () {
          return (yield* node.counter(ref.name).Where()) === (yield* whereis(node, ref.name))?.node
        })
        yield* eventually(isThere, `"${ref.name}", called from ${node.id}, answers where it is known to be`)
      }
    }
  })

interface Walk {
  readonly cluster: TestCluster
  readonly random: () => number
  readonly pick: <A>(all: ReadonlyArray<A>) => A
  started: number
}

const NAMES = Array.from({ length: 12 }, (_, i) => i < 8 ? `walk-${i}` : `walk-${i}@${"abcd"[i % 4]!}`)
const ALIASES = ["also-0", "also-1", "also-2"]
const GROUPS = ["g0", "g1"]

/** One thing that a program may do, on any node, about any name. */
const operation = (
  { cluster, pick, random }: Walk,
  node: TestNode
): readonly [what: string, Effect.Effect<unknown, unknown>] => {
  const { workers } = node
  const name = pick(random() < 0.8 ? NAMES : ALIASES)
  const counter = workers.client(Counter, name, { timeout: "2 seconds" })
  const operations: ReadonlyArray<readonly [weight: number, what: string, Effect.Effect<unknown, unknown>]> = [
    [6, "register", workers.register(name, Counter, { start: 0 })],
    [3, "whereisOrRegister", workers.whereisOrRegister(name, Counter, { start: 0 })],
    [3, "unregister", workers.unregister(name)],
    [2, "alias", workers.alias(pick(ALIASES), name)],
    [2, "join", workers.join(pick(GROUPS), name)],
    [2, "leave", workers.leave(pick(GROUPS), name)],
    [2, "setMetadata", workers.setMetadata(name, Math.floor(random() * 100))],
    [1, "updateMetadata", workers.updateMetadata(name, () => node.id)],
    [3, "Increment", counter.Increment({ by: 1 })],
    [1, "Crash", counter.Crash()],
    [1, "StopNormally", counter.StopNormally()],
    [2, "move", node.handoff.move(WORKERS, name, pick(cluster.nodes()).id)],
    [1, "owner", workers.whereis(name, "owner")]
  ]
  let at = random() * operations.reduce((sum, [weight]) => sum + weight, 0)
  const [, what, effect] = operations.find(([weight]) => (at -= weight) < 0) ?? operations[0]!
  return [`${what} of "${name}" on ${node.id}`, effect]
}

/** Does one thing. How it ends for a program whose own node is gone is not asked. */
const doOne = (walk: Walk): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    const { cluster, pick } = walk
    const node = pick(cluster.nodes())
    const [what, effect] = operation(walk, node)
    const gone = Effect.repeat(Effect.andThen(Effect.sleep(20), Effect.sync(() => cluster.nodes().includes(node))), {
      while: (isThere) => isThere
    })
    return Effect.asVoid(Effect.raceFirst(endsWell(what, effect), gone))
  })

/** A node comes, leaves, or is gone. */
const upheaval = (walk: Walk): Effect.Effect<void, unknown> => {
  const { cluster, pick, random } = walk
  const nodes = cluster.nodes()
  if (nodes.length < 3 || (nodes.length < 4 && random() < 0.5)) {
    return Effect.asVoid(cluster.start(`w${walk.started++}`))
  }
  const victim = pick(nodes)
  return random() < 0.5 ? victim.stop : victim.kill
}

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    5,
    "[P15] of 10 concurrent registrations of each of 200 names on five nodes one succeeds per name",
    (nodes) =>
      Effect.gen(function* () {
        const raced = Array.from({ length: 200 }, (_, i) => `raced-${i}`)
        const all = yield* Effect.forEach(raced, (name) =>
          Effect.forEach(
            Array.from({ length: 10 }, (_, i) => nodes[i % 5]!),
            ({ workers }) => Effect.exit(workers.register(name, Counter, { start: 0 })),
            { concurrency: "unbounded" }
          ), { concurrency: "unbounded" })
        for (const [i, exits] of all.entries()) {
          const won = exits.flatMap((exit) => exit._tag === "Success" ? [exit.value] : [])
          yield* equal(won.length, 1, `successful registrations of "${raced[i]}"`)
          for (const exit of exits) {
            if (exit._tag === "Failure") yield* fails(exit, { _tag: "NameTaken", ref: won[0] }, "the others")
          }
        }
        for (const node of nodes) yield* eventuallyEqual(names(node), [...raced].sort(), `names on ${node.id}`)
      })
  ),

  define(
    2,
    "[P36] a name is registered anew after each of 100 crashes that ended it",
    ([a, b]) =>
      Effect.gen(function* () {
        let epoch = 0
        for (let i = 0; i < 100; i++) {
          const node = i % 2 === 0 ? a : b
          // its caller may hear of the crash before the registry does: until then it is taken
          yield* eventually(
            Effect.map(endsWell("register", node.workers.register("again@b", Temporary, { start: i })), (exit) => {
              if (exit._tag === "Failure") return false
              const isAbove = exit.value.epoch > epoch
              epoch = exit.value.epoch
              return isAbove
            }),
            `registration ${i}, above epoch ${epoch}`
          )
          yield* fails(node.workers.client(Temporary, "again@b").Crash(), { reason: "Crashed" }, "a crash")
        }
      }),
    { needs: ["reliable"] }
  ),

  define(2, "[P36] while a process crashes and restarts 100 times, nobody else gets its name and nobody misses it", ([
    a,
    b
  ]) =>
    Effect.gen(function* () {
      const options = { restartLimit: { max: 1000, within: "1 minute" } } as const
      const ref = yield* a.workers.register("restless@b", Permanent, { start: 1 }, options)
      const crashes = Effect.forEach(Array.from({ length: 100 }), () =>
        fails(
          a.workers.client(Permanent, "restless@b").Crash(),
          { _tag: "CallError", reason: "Crashed" },
          "a crash"
        ), { discard: true })
      const crashing = yield* Effect.forkChild(crashes, { startImmediately: true })
      while (crashing.pollUnsafe() === undefined) {
        for (const node of [a, b]) {
          yield* fails(node.workers.register("restless@b", Permanent, { start: 2 }), { _tag: "NameTaken" }, node.id)
          yield* equal((yield* whereis(node, "restless@b"))?.node, "b", `whereis on ${node.id}`)
        }
      }
      yield* Fiber.join(crashing)
      const client = b.workers.client(Permanent, "restless@b")
      yield* equal(yield* client.Get(), 1, "its state, from its args")
      yield* check((yield* client.Epoch()) >= ref.epoch + 100, "each restart has an epoch of its own")
    }), { needs: ["reliable"] }),

  define(4, "[P45] [P120] four nodes that take, free, group and ungroup the same names at once come to agree", (
    nodes,
    cluster
  ) =>
    Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 240 }, (_, i) => i), (i) => {
        const { workers } = nodes[i % 4]!
        const name = `h-${i % 8}`
        const operations: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          workers.register(name, Counter, { start: 0 }),
          workers.join("hammered", name),
          workers.unregister(name),
          workers.whereisOrRegister(name, Counter, { start: 0 }),
          workers.join("hammered", name),
          workers.leave("hammered", name)
        ]
        return endsWell(`operation ${i}`, operations[(i >>> 2) % operations.length]!)
      }, { concurrency: "unbounded", discard: true })
      yield* agree(cluster)
      for (const node of nodes) {
        const all = yield* names(node)
        yield* check(
          (yield* memberNames(node, "hammered")).every((name) => all.includes(name)),
          "members are registered"
        )
      }
    })),

  ...[1, 2].map((seed) =>
    define(
      3,
      `[P46] [P47] [P119] a walk at random, seed ${seed}: every operation ends well, and then all nodes agree`,
      (_, cluster) =>
        Effect.gen(function* () {
          const random = seededRandom(seed)
          const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)]!
          const walk: Walk = { cluster, random, pick, started: 0 }
          for (let round = 0; round < 8; round++) {
            const some = Array.from({ length: 20 }, () => doOne(walk))
            const doing = yield* Effect.forkChild(Effect.all(some, { concurrency: 5, discard: true }), {
              startImmediately: true
            })
            if (round % 2 === 1) yield* upheaval(walk)
            yield* Fiber.join(doing)
          }
          yield* agree(cluster)
        }),
      { needs: ["kill"] }
    )
  ),

  define(3, "[D4] whatever is asked of a node that dies meanwhile ends, with an answer or a documented error", ([
    a,
    b,
    c
  ]) =>
    Effect.gen(function* () {
      const held = ["held-0@c", "held-1@c", "held-2@c", "held-3@c", "held-4@c"] as const
      for (const name of held) {
        yield* a.workers.register(name, Counter, { start: 0 })
        yield* a.workers.join("held", name)
      }
      const ask = (
        { handoff, id, workers }: TestNode
      ): ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> => {
        const [name, ended, moved, aliased, slow] = held
        return [
          ["register", workers.register(`fresh-${id}@c`, Counter, { start: 0 })],
          ["whereisOrRegister", workers.whereisOrRegister("both@c", Counter, { start: 0 })],
          ["whereis", workers.whereis(name, "owner")],
          ["call", workers.client(Counter, name).Get()],
          ["slow call", workers.client(Counter, slow).Slow({ millis: 60_000 })],
          ["cast", workers.cast(Counter, name, "Increment", { by: 1 })],
          ["ensure", workers.ensure(Counter, `ensured-${id}@c`, { start: 0 }).Get()],
          ["multicall", workers.multicall(Counter, "held", "Get", undefined)],
          ["publish", workers.publish(Counter, "held", "Increment", { by: 1 })],
          ["join", workers.join("late", name)],
          ["leave", workers.leave("held", name)],
          ["setMetadata", workers.setMetadata(name, 1)],
          ["updateMetadata", workers.updateMetadata(name, () => 1)],
          ["alias", workers.alias(`alias-${id}`, aliased)],
          ["renew", workers.renew(name)],
          ["unregister", workers.unregister(ended)],
          ["move there", handoff.move(WORKERS, name, "c")],
          ["move from there", handoff.move(WORKERS, moved, id)],
          ["putMeta", workers.putMeta("key", 1)],
          ["explain", workers.explain(name)]
        ]
      }
      const askAll = Effect.forEach([...ask(a), ...ask(b)], ([what, effect]) => endsWell(what, effect), {
        concurrency: "unbounded",
        discard: true
      })
      const before = yield* Effect.forkChild(askAll, { startImmediately: true })
      yield* c.kill
      const after = yield* Effect.forkChild(askAll, { startImmediately: true })
      yield* Fiber.join(before)
      yield* Fiber.join(after)
    }), { needs: ["kill"] })
]
