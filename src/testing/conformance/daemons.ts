/** Effects that run for as long as the cluster does. */
import { Effect, Option, Schedule } from "effect"
import * as Sworm from "../../Sworm.ts"
import { check, equal, eventually, eventuallyEqual } from "./check.ts"
import type { TestNode } from "./cluster.ts"
import type { ConformanceCase } from "./Harness.ts"
import { group } from "./probes.ts"

const define = group("daemons")

/** What runs now, as `index@node`, and how often each was begun. */
class Runs {
  readonly now = new Set<string>()
  readonly begun: Array<string> = []

  /** Runs for ever, on a node that it knows. */
  readonly body = (index: number, node: string, work: Effect.Effect<unknown, string> = Effect.never) =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        this.begun.push(`${index}@${node}`)
        this.now.add(`${index}@${node}`)
      }),
      () => work,
      () => Effect.sync(() => void this.now.delete(`${index}@${node}`))
    )

  /** On these nodes: a killed one runs on, unheard. */
  readonly on = (nodes: ReadonlyArray<TestNode>) =>
    Effect.sync(() => [...this.now].filter((run) => nodes.some(({ id }) => run.endsWith(`@${id}`))).sort())
}

const registeredOn = (node: TestNode, sworm: string) =>
  Effect.map(node.registry.registered(sworm), (refs) => refs.map((ref) => `${ref.name}@${ref.node}`))

/** Node as the run sees it: a singleton is not told. */
const singleton = (runs: Runs, node: TestNode, work?: Effect.Effect<unknown, string>) =>
  Sworm.singleton("janitor", runs.body(0, node.id, work), { backoff: Schedule.spaced("10 millis") })

export const cases: ReadonlyArray<ConformanceCase> = [
  define(
    3,
    "a singleton runs on exactly one node, and on another when that one leaves",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const runs = new Runs()
        const nodes = [a, b, c]
        for (const node of nodes) yield* stage.run(node, singleton(runs, node))
        let left: ReadonlyArray<TestNode> = nodes
        while (left.length > 0) {
          yield* eventually(Effect.map(runs.on(left), (all) => all.length === 1), "one runs")
          const [run] = yield* runs.on(left)
          for (const node of left) yield* eventuallyEqual(registeredOn(node, "singleton/janitor"), [run!], "registered")
          const holder = left.find(({ id }) => run!.endsWith(id))!
          yield* holder.stop
          yield* check(!runs.now.has(run!), "it ended where its node has stopped")
          left = left.filter((node) => node !== holder)
        }
      })
  ),

  define(3, "a singleton runs on another node when its own is killed", ([a, b, c], stage) =>
    Effect.gen(function* () {
      const runs = new Runs()
      const nodes = [a, b, c]
      for (const node of nodes) yield* stage.run(node, singleton(runs, node))
      yield* eventually(
        Effect.map(
          Effect.forEach(nodes, (node) => registeredOn(node, "singleton/janitor")),
          (all) => all.every((found) => found.length === 1 && found[0] === all[0]![0])
        ),
        "all know where it runs"
      )
      const [run] = yield* registeredOn(a, "singleton/janitor")
      const holder = nodes.find(({ id }) => run === `0@${id}`)!
      yield* holder.kill
      const left = nodes.filter((node) => node !== holder)
      yield* eventually(Effect.map(runs.on(left), (all) => all.length === 1), "one runs")
    }), { needs: ["kill"] }),

  define(2, "a singleton that fails, or ends, is begun again", ([a, b], stage) =>
    Effect.gen(function* () {
      const runs = new Runs()
      let turns = 0
      const work = Effect.suspend(() => ++turns > 6 ? Effect.never : turns % 2 === 0 ? Effect.void : Effect.fail("no"))
      for (const node of [a, b]) yield* stage.run(node, singleton(runs, node, work))
      yield* eventually(Effect.sync(() => turns === 7), "it was begun seven times")
      yield* equal(runs.now.size, 1, "it runs")
    })),

  define(
    3,
    "so many daemons run on different nodes, and all of them still when a node leaves",
    ([a, b, c], stage) =>
      Effect.gen(function* () {
        const runs = new Runs()
        const nodes = [a, b, c]
        const pool = Sworm.daemons("pool", { size: 3 }, ({ index, node }) => runs.body(index, node))
        for (const node of nodes) yield* stage.run(node, pool)
        const spread = (left: ReadonlyArray<TestNode>, most: number) =>
          Effect.map(runs.on(left), (all) => {
            const indexes = all.map((run) => run.split("@")[0])
            const most_ = Math.max(...left.map(({ id }) => all.filter((run) => run.endsWith(`@${id}`)).length))
            return indexes.join() === "0,1,2" && most_ <= most
          })
        yield* eventually(spread(nodes, 1), "one on each node")
        yield* c.stop
        yield* eventually(spread([a, b], 2), "three on two nodes")
        yield* b.stop
        yield* eventually(spread([a], 3), "three on one node")
        const refs = yield* a.registry.registered("daemons/pool")
        yield* equal(refs.map(({ name }) => name), ["0", "1", "2"], "registered")
      })
  ),

  define(3, "daemons of a killed node run on the others", ([a, b, c], stage) =>
    Effect.gen(function* () {
      const runs = new Runs()
      const pool = Sworm.daemons("pool", { size: 6 }, ({ index, node }) => runs.body(index, node))
      for (const node of [a, b, c]) yield* stage.run(node, pool)
      for (const node of [a, b, c]) {
        yield* eventually(Effect.map(runs.on([node]), (all) => all.length === 2), `two run on ${node.id}`)
        yield* eventually(
          Effect.map(registeredOn(node, "daemons/pool"), (all) => all.length === 6),
          `all are known on ${node.id}`
        )
      }
      yield* c.kill
      yield* eventually(
        Effect.map(runs.on([a, b]), (all) => new Set(all.map((run) => run[0])).size === 6 && all.length === 6),
        "six on two nodes"
      )
    }), { needs: ["kill"] }),

  define(
    2,
    "one daemon on each node, also on one that joins; it ends with its node",
    ([a, b], stage) =>
      Effect.gen(function* () {
        const runs = new Runs()
        const each = Sworm.daemons("each", { size: "each node" }, ({ index, node }) => runs.body(index, node))
        for (const node of [a, b]) yield* stage.run(node, each)
        yield* eventuallyEqual(runs.on([a, b]), ["0@a", "0@b"], "those that run")
        const c = yield* stage.cluster.start("c")
        yield* stage.run(c, each)
        yield* eventuallyEqual(runs.on([a, b, c]), ["0@a", "0@b", "0@c"], "those that run")
        for (const node of [a, b, c]) {
          yield* eventuallyEqual(registeredOn(node, "daemons/each"), ["a@a", "b@b", "c@c"], "registered")
        }
        yield* b.stop
        yield* equal(yield* runs.on([a, b, c]), ["0@a", "0@c"], "those left")
        yield* eventually(Effect.map(a.registry.whereis("daemons/each", "b"), Option.isNone), "its name is free")
        yield* equal(runs.begun.length, 3, "begun in all")
      })
  )
]
