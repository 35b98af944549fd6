// A move, and the loss of its source, its target or both at each of its steps: whatever goes on runs once, with all that
// was acknowledged where its process type asks for that, each call done at most once and in its sender's order.
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import { Town } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

const protocol = [
  Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int }),
  Rpc.make("Get", { success: Schema.Array(Schema.String) })
] as const
const state = Schema.Array(Schema.String)

const Kept = Process.make("Kept", { state, protocol, snapshot: { every: "call", replicas: 2 } })
const Plain = Process.make("Plain", { state, protocol })

class Journeys extends Sworm.Service<Journeys>()("Journeys", { processes: [Kept, Plain], redistribution: "passive" }) {}

const implementation = {
  init: () => Effect.succeed([] as ReadonlyArray<string>),
  handlers: {
    Add: ({ op }: { readonly op: string }, { state }: { readonly state: Ref.Ref<ReadonlyArray<string>> }) =>
      Ref.modify(state, (ops) => [ops.length + 1, [...ops, op]]),
    Get: (_: unknown, { state }: { readonly state: Ref.Ref<ReadonlyArray<string>> }) => Ref.get(state)
  }
}

const layer = Journeys.layer.pipe(
  Layer.provide(Journeys.toLayer(Kept, implementation)),
  Layer.provide(Journeys.toLayer(Plain, implementation))
)

type Client = Context.Service.Shape<typeof Journeys>
type Type = typeof Kept | typeof Plain

const IDS = ["a", "b", "c", "d", "e"]

interface Journey {
  /** How long the move took, in simulated time; `undefined` when it did not end. */
  readonly movedMs: number | undefined
  readonly acknowledged: ReadonlyArray<string>
  readonly ops: ReadonlyArray<string>
  readonly running: ReadonlyArray<string>
}

/** A caller numbers its calls, and goes on when one is answered, or when nobody knows what became of it. */
const keepCalling = (town: Town<Journeys, Client>, id: string, type: Type, acknowledged: Array<string>) => {
  let isDone = false
  const calls = town.begin(id, (journeys) =>
    Effect.gen(function* () {
      for (let n = 0; !isDone; n++) {
        const op = `${id}${String(n).padStart(4, "0")}`
        const exit = yield* Effect.exit(journeys.call(type as typeof Kept, "one", "Add", { op }))
        if (Exit.isSuccess(exit)) acknowledged.push(op)
        yield* Effect.sleep(1)
      }
    }))
  return Effect.sync(() => {
    isDone = true
    return calls
  })
}

/** Moves a process under load, and does away with nodes so long after it began. */
const journey = async (type: Type, lost: ReadonlyArray<"source" | "target">, afterMs: number): Promise<Journey> => {
  const town = new Town<Journeys, Client>({ service: Journeys, layer }, {
    seed: 1 + afterMs,
    weather: { delay: { minMs: 1, maxMs: 3 } }
  })
  await town.form(...IDS)
  await town.get("a", (journeys) => journeys.register("one", type as typeof Kept, {}))
  const source = town.whereis("a", "one")!
  const [target, ...others] = IDS.filter((id) => id !== source)
  await town.until("all know where it is", () => IDS.every((id) => town.whereis(id, "one") === source))
  const acknowledged: Array<string> = []
  const callers = others.slice(0, 2).map((id) => keepCalling(town, id, type, acknowledged))
  await town.pass(20)
  const began = town.nowMs
  const move = town.moving("one", target!, source)
  await town.world.timeline.pass(town.nowMs + afterMs, () => lost.length === 0 && move.exit !== undefined)
  const movedMs = move.exit === undefined ? undefined : town.nowMs - began
  for (const one of lost) town.world.crash(one === "source" ? source : target!)
  const asked = others[0]!
  const gone = lost.map((one) => one === "source" ? source : target!)
  await town.untilLasting(
    "one copy runs",
    () => town.running().length === 1 && town.isAgreed() && !gone.includes(town.whereis(asked, "one") ?? gone[0]!),
    500
  )
  for (const stop of callers) await town.ended(Effect.runSync(stop))
  const ops = await town.get(asked, (journeys) => journeys.call(type as typeof Kept, "one", "Get", undefined))
  return { movedMs, acknowledged, ops, running: town.running() }
}

const check = ({ acknowledged, ops, running }: Journey, isComplete: boolean): void => {
  assert.lengthOf(running, 1)
  assert.strictEqual(new Set(ops).size, ops.length, "each call was done at most once")
  for (const caller of new Set(ops.map((op) => op[0]))) {
    const own = ops.filter((op) => op[0] === caller)
    assert.deepStrictEqual(own, [...own].sort(), `in the order in which "${caller}" called`)
  }
  if (isComplete) assert.deepStrictEqual(acknowledged.filter((op) => !ops.includes(op)), [])
}

/** A little longer than the move takes; delays differ from one to the next. */
const STEPS_MS = Array.from({ length: 18 }, (_, at) => 2 * at)

describe("[D6] a move under load", { timeout: TIMEOUT_MS }, () => {
  it.each([["Kept", Kept], ["Plain", Plain]] as const)("of a %s, without a fault", async (_, type) => {
    const journeyed = await journey(type, [], 60_000)
    check(journeyed, true)
    assert.isBelow(journeyed.movedMs!, STEPS_MS.at(-1)!, "the steps below cover all of it")
  })
})

describe.each(
  [
    ["its target", ["target"], true],
    ["its source", ["source"], false],
    ["both", ["source", "target"], false]
  ] as const
)("[D6] a move with the loss of %s", { timeout: 4 * TIMEOUT_MS }, (_, lost, keepsAll) => {
  it("at each step: what is kept with each call is complete", async () => {
    for (const afterMs of STEPS_MS) check(await journey(Kept, lost, afterMs), true)
  })

  it("at each step: what is not kept runs once", async () => {
    for (const afterMs of STEPS_MS) {
      const journeyed = await journey(Plain, lost, afterMs)
      // a target that is lost after the move took the state with it
      check(journeyed, keepsAll && journeyed.movedMs === undefined)
    }
  })
})
