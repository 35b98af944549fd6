// [H20] A member that has just started again does not vouch for a silence that its earlier run could not have seen.
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Rpc } from "effect/rpc"
import { Memory, Placement, Process, Sworm } from "@sworm/sworm"
import { Simulation } from "@sworm/sworm/testing"
import { TIMEOUT_MS } from "./support.ts"

const Job = Process.make("Job", { protocol: [Rpc.make("Tick")] })
class Jobs extends Sworm.Service<Jobs>()("Jobs", { processes: [Job], placement: Placement.quorum(2) }) {}

interface Tick {
  readonly node: string
  readonly name: string
  readonly epoch: number
}

/** b talks to a and c, which don't hear each other; it dies, starts again at once, and only c hears it now. */
const history = async (seed: number): Promise<ReadonlyArray<Tick>> => {
  const ticks: Array<Tick> = []
  const world = new Simulation.World({
    seed,
    node: (id, seeds) => {
      const jobs = Jobs.toLayer(Job, {
        init: ({ timers }) => timers.every("Tick", "20 millis"),
        handlers: { Tick: (_, { epoch, name }) => Effect.sync(() => void ticks.push({ node: id, name, epoch })) }
      })
      return Layer.provideMerge(Layer.provide(Jobs.layer, jobs), Memory.layerNode({ id, seeds }))
    }
  })
  const { timeline } = world
  const pass = (millis: number) => timeline.pass(timeline.nowMs + millis)
  const ids = ["a", "b", "c"]
  for (const id of ids) world.start(id, ids.filter((other) => other !== id))
  await pass(3000)
  const names = ["one", "two", "three", "four", "five", "six"]
  const registering = world.run(
    "a",
    Effect.flatMap(Jobs, (jobs) => Effect.forEach(names, (name) => jobs.register(name, Job, {})))
  )
  await timeline.pass(timeline.nowMs + 10_000, () => registering?.exit !== undefined)
  await pass(3000)
  world.network.partition(["a"], ["c"])
  await pass(6000 + seed * 37)
  world.crash("b")
  world.network.partition(["a"], ["b"])
  await pass(100 + (seed % 5) * 100)
  world.start("b", ["c"])
  await pass(8000)
  return ticks
}

it("[H20] in forty histories no copy goes on after a later one has", async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const latest = new Map<string, Tick>()
    for (const tick of await history(seed)) {
      const before = latest.get(tick.name)
      assert.isAtLeast(
        tick.epoch,
        before?.epoch ?? 0,
        `seed ${seed}: ${tick.name} at ${tick.node} after ${before?.node}`
      )
      latest.set(tick.name, tick)
    }
  }
}, TIMEOUT_MS)
