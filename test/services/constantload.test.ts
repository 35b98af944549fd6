// Callers on every node all the while: processes move at random, nodes join and leave, then all are restarted one after
// the other. Each call is answered once or fails with a typed error, is executed at most once and in its caller's
// order, and what the processes know in the end is what was done.
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Sworm } from "@sworm/sworm"
import type { Simulation, VirtualNetwork } from "@sworm/sworm/testing"
import { seededRandom } from "../../src/protocol/random.ts"
import { Town } from "./simulated.ts"
import { TIMEOUT_MS } from "./support.ts"

const protocol = [
  Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int }),
  Rpc.make("Note", { payload: { op: Schema.String } }),
  Rpc.make("Get", { success: Schema.Array(Schema.String) })
] as const
const state = Schema.Array(Schema.String)

const Plain = Process.make("Plain", { state, protocol })
const Kept = Process.make("Kept", { state, protocol, snapshot: "eachCall" })

class Logs extends Sworm.Service<Logs>()("Logs", { processes: [Plain, Kept] }) {}
type Client = Context.Service.Shape<typeof Logs>

type State = { readonly state: Ref.Ref<ReadonlyArray<string>> }
type Operation = { readonly op: string }

const NAMES = Array.from({ length: 16 }, (_, i) => `log-${i}`)
const typeOf = (name: string) => (NAMES.indexOf(name) % 4 === 0 ? Kept : Plain) as typeof Plain

const FIRST = ["a", "b", "c", "d"]
const MOVES = 100
const JOINS = 10
const LEAVES = 10
const FEWEST = 3

/** How a call may end that is asked on a node that leaves, or where frames are lost: it may have been executed. */
const reasons = ["Timeout", "OutcomeUnknown"]

class History {
  readonly town: Town<Logs, Client>
  readonly #random: () => number
  /** What handlers did, on whatever node, by name and in order. */
  readonly #done = new Map<string, Array<string>>(NAMES.map((name) => [name, []]))
  readonly acknowledged = new Set<string>()
  /** Calls that may have been executed. */
  readonly unknown = new Set<string>()
  /** Calls that should not have failed, or not like that. */
  readonly wrong: Array<string> = []
  moved = 0
  #isOver = false
  readonly #isLossy: boolean
  #callers = 0
  /** All that was begun and must end: callers, moves, leaves. */
  readonly #begun: Array<Simulation.Running<unknown, unknown>> = []
  readonly #moves: Array<Simulation.Running<unknown, unknown>> = []

  constructor(seed: number, weather: VirtualNetwork.Weather) {
    this.#random = seededRandom(seed)
    this.#isLossy = weather.loss !== undefined
    const act = (name: string, { op }: Operation, { state }: State): Effect.Effect<number> =>
      Ref.modify(state, (ops) => {
        this.#done.get(name)!.push(op)
        return [ops.length + 1, [...ops, op]]
      })
    const implementation = {
      init: () => Effect.succeed([] as ReadonlyArray<string>),
      handlers: {
        Add: (operation: Operation, self: State & { readonly name: string }) => act(self.name, operation, self),
        Note: (operation: Operation, self: State & { readonly name: string }) => act(self.name, operation, self),
        Get: (_: unknown, { state }: State) => Ref.get(state)
      }
    }
    const layer = Logs.layer.pipe(
      Layer.provide(Logs.toLayer(Plain, implementation)),
      Layer.provide(Logs.toLayer(Kept, implementation))
    )
    this.town = new Town<Logs, Client>({ service: Logs, layer }, { seed, weather })
  }

  below(count: number): number {
    return Math.floor(this.#random() * count)
  }

  pick<A>(all: ReadonlyArray<A>): A {
    return all[this.below(all.length)]!
  }

  get up(): ReadonlyArray<string> {
    return this.town.world.ready.map(({ id }) => id)
  }

  // ---- what goes on all the while

  /** Two callers on a node: each numbers what it sends, and sends the next when it knows what became of the last. */
  callFrom(id: string): void {
    const node = this.town.world.nodes.get(id)!
    for (const own of [1, 2]) {
      const caller = `${id}${++this.#callers}`
      const isOver = () => this.#isOver || node.leaving?.exit !== undefined
      const calling = this.town.begin(id, (logs) =>
        Effect.gen({ self: this }, function* () {
          for (let n = own; !isOver(); n++) {
            const op = `${caller} ${n}`
            const name = NAMES[(n * 7 + this.#callers) % NAMES.length]!
            if (n % 5 === 0) yield* Effect.ignore(logs.cast(typeOf(name), name, "Note", { op: `~${op}` }))
            else yield* this.#call(id, logs, name, op)
            yield* Effect.sleep(5 + n % 10)
          }
        }))
      this.#begun.push(calling)
    }
  }

  #call(id: string, logs: Client, name: string, op: string): Effect.Effect<void> {
    this.unknown.add(op)
    const node = this.town.world.nodes.get(id)!
    return Effect.map(Effect.exit(logs.call(typeOf(name), name, "Add", { op })), (exit) => {
      if (Exit.isSuccess(exit)) {
        this.unknown.delete(op)
        this.acknowledged.add(op)
        return
      }
      const { _tag, reason = "" } = Cause.squash(exit.cause) as { readonly _tag?: string; readonly reason?: string }
      const mayFail = node.leaving !== undefined || this.#isLossy
      const isFine = _tag === "CallError" && mayFail && reasons.includes(reason)
      if (!isFine) this.wrong.push(`${op}: ${_tag} ${reason}`)
      if (!reasons.includes(reason)) this.unknown.delete(op)
    })
  }

  // ---- what happens

  async start(...ids: ReadonlyArray<string>): Promise<void> {
    this.town.start(...ids)
    await this.town.until("they have joined", () => ids.every((id) => this.up.includes(id)))
    await this.town.until("they are synced", () => ids.every((id) => this.town.syncedOn(id).includes(id)))
    for (const id of ids) this.callFrom(id)
  }

  move(): void {
    const moving = this.town.moving(this.pick(NAMES), this.pick(this.up), this.pick(this.up))
    this.#moves.push(moving)
    this.#begun.push(moving)
  }

  leave(id: string): Simulation.Running<void, never> {
    const leaving = this.town.world.leave(id)!
    this.#begun.push(leaving)
    return leaving
  }

  async happen(): Promise<void> {
    const events = [
      ...Array<"move">(MOVES).fill("move"),
      ...Array<"join">(JOINS).fill("join"),
      ...Array<"leave">(LEAVES).fill("leave")
    ]
    let joined = 0
    while (events.length > 0) {
      const [event] = events.splice(this.below(events.length), 1)
      if (event === "move") this.move()
      else if (event === "join") await this.start(`n${++joined}`)
      else if (this.up.length > FEWEST) this.leave(this.pick(this.up))
      else events.push("leave", ...(events.includes("join") ? [] : ["join" as const]))
      await this.town.pass(this.pick([0, 1, 5, 20, 60]))
    }
  }

  async restartAll(): Promise<void> {
    for (const id of this.up) {
      const leaving = this.leave(id)
      await this.#ended(leaving, ...this.#begun.filter(({ node }) => node === id))
      await this.start(id)
    }
  }

  async #ended(...all: ReadonlyArray<Simulation.Running<unknown, unknown>>): Promise<void> {
    await this.town.until("all that was begun has ended", () => all.every(({ exit }) => exit !== undefined))
  }

  async end(): Promise<void> {
    const { town } = this
    this.#isOver = true
    await this.#ended(...this.#begun)
    this.moved = this.#moves.filter(({ exit }) => exit !== undefined && Exit.isSuccess(exit)).length
    await town.untilLasting(
      "one copy of each runs",
      () => town.isTogether() && town.isAgreed() && town.running().length === NAMES.length
    )
  }

  // ---- what must be true then

  async check(): Promise<void> {
    let count = 0
    for (const name of NAMES) {
      const known = await this.town.get(this.up[0]!, (logs) => logs.call(typeOf(name), name, "Get", undefined))
      assert.deepStrictEqual(known, this.#done.get(name), `"${name}" knows what it did, in order`)
      assert.strictEqual(new Set(known).size, known.length, `"${name}" did each at most once`)
      // calls and casts are two sequences: neither waits for the other
      for (const [sender, own] of bySender(known)) {
        assert.deepStrictEqual(own, [...own].sort((a, b) => a - b), `"${name}" in the order of "${sender}"`)
      }
      count += known.filter((op) => !op.startsWith("~")).length
    }
    const done = new Set([...this.#done.values()].flat())
    assert.deepStrictEqual([...this.acknowledged].filter((op) => !done.has(op)), [], "what is acknowledged was done")
    const unknown = [...this.unknown].filter((op) => done.has(op))
    assert.strictEqual(count, this.acknowledged.size + unknown.length, "nothing was done that was said not to be")
    assert.deepStrictEqual(this.wrong, [])
  }
}

const bySender = (ops: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<number>> => {
  const all = new Map<string, Array<number>>()
  for (const op of ops) {
    const [sender, n] = op.split(" ") as [string, string]
    all.set(sender, [...all.get(sender) ?? [], Number(n)])
  }
  return all
}

const weathers: ReadonlyArray<VirtualNetwork.Weather> = [
  { delay: { minMs: 1, maxMs: 20 } },
  { delay: { minMs: 0.2, maxMs: 2 } },
  { delay: { minMs: 1, maxMs: 60 }, loss: 0.03, duplication: 0.2, reordering: 0.2 }
]

describe("[D12] 100 moves, 10 joins, 10 leaves and a rolling restart under constant load", () => {
  it.each([1, 2, 3, 4, 5, 6])(
    "each call once, in order; none that was answered is lost (seed %i)",
    async (seed) => {
      const history = new History(seed, weathers[seed % weathers.length]!)
      const { town } = history
      await town.form(...FIRST)
      await town.get("a", (logs) => Effect.forEach(NAMES, (name) => logs.register(name, typeOf(name), {})))
      for (const id of FIRST) history.callFrom(id)
      await history.happen()
      await history.restartAll()
      await history.end()
      await history.check()
      assert.isAbove(history.moved, MOVES / 3)
      assert.isAbove(history.acknowledged.size, 500)
    },
    TIMEOUT_MS
  )
})
