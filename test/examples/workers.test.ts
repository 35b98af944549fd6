// The example of Swarm's README: each of its functions, and each message that its worker handles.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { VirtualNetwork } from "@sworm/sworm/testing"
import {
  callFoos,
  callWorker,
  castWorker,
  getFoos,
  getWorker,
  publishFoos,
  startWorker
} from "../../examples/workers/listener.ts"
import { type RunningNode, until } from "../../examples/workers/nodes.ts"
import { DELAY, Worker, WorkerLayer, Workers } from "../../examples/workers/worker.ts"
import { play, startNodes } from "./stage.ts"

const App = Workers.layer.pipe(Layer.provide(WorkerLayer))
const names = ["worker-1", "worker-2", "worker-3", "worker-4", "worker-5", "worker-6"]
const LIMIT = 60_000

type Node = RunningNode<Workers>

const start = (...ids: ReadonlyArray<string>) => startNodes(App, Workers, ...ids)

const clientOn = (node: Node, name: string) => Effect.map(node.run(Workers), (workers) => workers.client(Worker, name))

const status = (node: Node, name: string) => node.run(callWorker(name))

const hasSaid = (node: Node, name: string, text: string) =>
  Effect.map(status(node, name), ({ said }) => said.includes(text))

const namesOf = (refs: ReadonlyArray<{ readonly name: string }>) => refs.map(({ name }) => name)

describe("examples/workers", () => {
  it.live(
    "start_worker, get_worker, get_foos: a worker is found from every node, and a name is taken once",
    () =>
      play(() =>
        Effect.gen(function* () {
          const nodes = yield* start("a", "b", "c")
          const refs = yield* nodes[0]!.run(Effect.forEach(names, startWorker))
          for (const node of nodes) {
            for (const ref of refs) assert.deepStrictEqual(yield* node.run(getWorker(ref.name)), Option.some(ref))
            assert.deepStrictEqual(namesOf(yield* node.run(getFoos)), names)
            assert.isTrue(Option.isNone(yield* node.run(getWorker("nobody"))))
            const taken = yield* Effect.flip(node.run(startWorker("worker-1")))
            assert.strictEqual(taken._tag, "NameTaken")
          }
          assert.isAbove(new Set(refs.map(({ node }) => node)).size, 1, "they are on several nodes")
        })
      ),
    LIMIT
  )

  it.live("call_worker and cast_worker reach a worker from every node", () =>
    play((lines) =>
      Effect.gen(function* () {
        const nodes = yield* start("a", "b")
        yield* nodes[0]!.run(startWorker("worker-1"))
        for (const node of nodes) {
          const { delay, name } = yield* status(node, "worker-1")
          assert.strictEqual(name, "worker-1")
          assert.isAtLeast(delay, DELAY.min)
          assert.isAtMost(delay, DELAY.max)
          assert.isTrue(yield* node.run(castWorker("worker-1", `cast from ${node.id}`)))
          yield* until("it has said it", hasSaid(node, "worker-1", `cast from ${node.id}`))
          assert.isFalse(yield* node.run(castWorker("nobody", "nothing")))
          const missing = yield* Effect.flip(status(node, "nobody"))
          assert.strictEqual(missing._tag === "CallError" && missing.reason, "NotRegistered")
        }
        yield* until("it says hi again and again", Effect.map(status(nodes[0]!, "worker-1"), (now) => now.hellos > 1))
        assert.isAbove(lines.filter((line) => line.endsWith("worker-1 says hi!")).length, 1)
      })
    ), LIMIT)

  it.live("publish_foos reaches every member, call_foos filters failures", () =>
    play(() =>
      Effect.gen(function* () {
        const [a, b] = yield* start("a", "b")
        yield* a!.run(Effect.forEach(names, startWorker))
        assert.strictEqual(yield* b!.run(publishFoos("the news")), names.length)
        for (const name of names) yield* until(`${name} has said it`, hasSaid(a!, name, "the news"))
        assert.deepStrictEqual(namesOf(yield* b!.run(callFoos)), names)

        yield* (yield* clientOn(b!, "worker-2")).Mute()
        const muted = yield* Effect.flip(status(b!, "worker-2"))
        assert.strictEqual(muted._tag, "Muted")
        for (const node of [a!, b!]) {
          assert.deepStrictEqual(namesOf(yield* node.run(callFoos)), names.filter((name) => name !== "worker-2"))
        }
      })
    ), LIMIT)

  it.live(
    "a crash loses neither a timer nor a group; the stop hook is told",
    () =>
      play((lines) =>
        Effect.gen(function* () {
          const [a, b] = yield* start("a", "b")
          const { epoch } = yield* a!.run(startWorker("worker-1"))
          const worker = yield* clientOn(b!, "worker-1")
          const at = (what: string) => lines.findLastIndex((line) => line.endsWith(`worker-1 ${what}`))
          // should this machine be so slow that it is reminded before it crashes, the order of the lines says so
          for (let attempt = 1, wasLate = true; wasLate; attempt++) {
            const text = `reminder ${attempt}`
            const crash = Effect.flip(worker.Crash())
            const [, { reason }] = yield* Effect.all([worker.Remind({ text, after: 500 }), crash], {
              concurrency: "unbounded"
            })
            assert.strictEqual(reason, "Crashed")
            yield* until("it is reminded", Effect.sync(() => at(`says ${text}`) >= 0))
            wasLate = at(`says ${text}`) < at("stops here: Crashed")
          }
          assert.isAtLeast(at("stops here: Crashed"), 0)
          assert.isAbove(Option.getOrThrow(yield* b!.run(getWorker("worker-1"))).epoch, epoch)
          for (const node of [a!, b!]) assert.deepStrictEqual(namesOf(yield* node.run(getFoos)), ["worker-1"])
          yield* until("it says hi", Effect.map(status(b!, "worker-1"), ({ hellos }) => hellos > 0))
        })
      ),
    LIMIT
  )

  it.live(
    "handoff: a leaving node's workers keep their delay, what they said, their timers and their group",
    () =>
      play((lines) =>
        Effect.gen(function* () {
          const [a, b, c] = yield* start("a", "b", "c")
          yield* a!.run(Effect.forEach(names, startWorker))
          for (const name of names) {
            yield* (yield* clientOn(a!, name)).Say({ text: `I am ${name}` })
            yield* until("it says hi", Effect.map(status(a!, name), ({ hellos }) => hellos > 0))
          }
          const before = yield* a!.run(callFoos)
          const moving = before.filter(({ node }) => node === "c")
          assert.isAbove(moving.length, 0, "some are on c")
          for (const { name } of moving) yield* (yield* clientOn(a!, name)).Remind({ text: "reminder", after: 100 })
          yield* c!.leave
          for (const { delay, hellos, name } of before) {
            // a worker that was brought by a move sets no timer: it says hi because its timer has come along
            yield* until(`${name} goes on`, Effect.map(status(b!, name), (now) => now.hellos > hellos))
            const now = yield* status(b!, name)
            assert.strictEqual(now.delay, delay, name)
            assert.strictEqual(now.said[0], `I am ${name}`)
            assert.notStrictEqual(now.node, "c")
          }
          for (const { name } of moving) {
            yield* until(`${name} is reminded`, hasSaid(b!, name, "reminder"))
            assert.include(lines, `[c] ${name} stops here: Moved`)
          }
          assert.deepStrictEqual(namesOf(yield* b!.run(getFoos)), names)
        })
      ),
    LIMIT
  )

  it.live(
    "resolve_conflict: after a split one copy stays, and knows what both were told",
    () =>
      play(() =>
        Effect.gen(function* () {
          const network = yield* VirtualNetwork.VirtualNetwork
          const [a, b] = yield* start("a", "b")
          yield* a!.run(Effect.forEach(names, startWorker))
          yield* a!.run(publishFoos("before"))
          for (const name of names) yield* until("it has said it", hasSaid(a!, name, "before"))

          network.partition(["a"], ["b"])
          for (const side of [a!, b!]) {
            const all = Effect.map(side.run(getFoos), (refs) => refs.every(({ node }) => node === side.id))
            yield* until(`${side.id} has all of foo`, all)
            assert.strictEqual(yield* side.run(publishFoos(`on ${side.id}`)), names.length)
            for (const name of names) yield* until("it has said it", hasSaid(side, name, `on ${side.id}`))
          }

          network.heal()
          const texts = ["before", "on a", "on b"]
          for (const name of names) {
            const merged = Effect.map(
              Effect.all([status(a!, name), status(b!, name)]),
              ([there, here]) => there.node === here.node && texts.every((text) => here.said.includes(text))
            )
            yield* until(`${name} is one, and knows it all`, merged)
            assert.sameMembers([...(yield* status(b!, name)).said], texts, "nothing twice")
          }
          for (const node of [a!, b!]) assert.deepStrictEqual(namesOf(yield* node.run(getFoos)), names)
          // the timer of the copy that stayed goes on
          for (const { hellos, name } of yield* a!.run(callFoos)) {
            yield* until(`${name} says hi`, Effect.map(status(a!, name), (now) => now.hellos > hellos))
          }
        })
      ),
    LIMIT
  )
})
