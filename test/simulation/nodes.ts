/** The program that simulated nodes run: sworms whose processes tell the oracle all they do. */
import { Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { Memory, Placement, Process, Sworm } from "@sworm/sworm"
import type { Simulation, VirtualNetwork } from "@sworm/sworm/testing"
import type { SwormId } from "./operations.ts"
import type { Copy, Oracle } from "./oracle.ts"

/** Remembers the numbers of the messages that it has handled, and whose it is. */
const State = Schema.Struct({
  name: Schema.String,
  node: Schema.String,
  /** The registration that started it, by the number of who asked for it. */
  asked: Schema.Int,
  messages: Schema.Array(Schema.Int)
})
type State = typeof State.Type

const args = { asked: Schema.Int }

const Cell = Process.make("Cell", {
  args,
  state: State,
  restartLimit: { max: 1000, within: "5 seconds" },
  protocol: [
    Rpc.make("Add", { payload: { message: Schema.Int }, success: Schema.Int }),
    Rpc.make("Slow", { payload: { message: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Array(Schema.Int) }),
    Rpc.make("Tick"),
    Rpc.make("Crash")
  ]
})

/** Stay where they were started, under any placement by load; passive when nobody talks to them. */
const Roamer = Process.make("Roamer", {
  args,
  state: State,
  restartLimit: { max: 1000, within: "5 seconds" },
  idleTimeout: "1500 millis",
  protocol: Cell.protocol
})

/** The same, whose state is kept on two other nodes with each call. */
const KeptCell = Process.make("Cell", {
  args,
  state: State,
  restartLimit: { max: 1000, within: "5 seconds" },
  snapshot: { every: "call", replicas: 2 },
  protocol: Cell.protocol
})

class Cells extends Sworm.Service<Cells>()("Cells", { processes: [Cell] }) {}
class Roamers extends Sworm.Service<Roamers>()("Roamers", { processes: [Roamer], placement: Placement.leastLoaded }) {}
class Guarded extends Sworm.Service<Guarded>()("Guarded", { processes: [Cell] }) {}

class KeptCells extends Sworm.Service<Cells>()("Cells", { processes: [KeptCell] }) {}

/** More than half of all nodes, for each size of a cluster. The services are one, by their id. */
const guardedBy = new Map<number, typeof Guarded>()
const guarded = (quorum: number): typeof Guarded => {
  const known = guardedBy.get(quorum)
  if (known !== undefined) return known
  const placement = Placement.quorum(quorum)
  const made = class extends Sworm.Service<Guarded>()("Guarded", { processes: [Cell], placement }) {}
  guardedBy.set(quorum, made)
  return made
}

/** How many of so many nodes the guarded sworm needs. */
export const quorumOf = (nodes: number): number => Math.floor(nodes / 2) + 1

export type Services = Memory.Services | Cells | Roamers | Guarded
export type Node = Simulation.NodeRun<Services>

/** The client of each, on a node: they differ in what they are, not in how they are used. */
export const sworm = (id: SwormId): Effect.Effect<Sworm.SwormClient<typeof Cell>, never, Services> =>
  id === "Cells"
    ? Effect.map(Cells, (client) => client)
    : id === "Guarded"
    ? Effect.map(Guarded, (client) => client)
    : Effect.map(Roamers, (client) => client as unknown as Sworm.SwormClient<typeof Cell>)

export const typeOf = (id: SwormId): typeof Cell => id !== "Roamers" ? Cell : Roamer as unknown as typeof Cell

export const nodesOf = (oracle: Oracle, count: number) =>
(
  id: string,
  seeds: ReadonlyArray<string>,
  machine: Simulation.Machine
): Layer.Layer<Services, unknown, VirtualNetwork.VirtualNetwork> => {
  const begun = (swormId: string, name: string, epoch: number) =>
    Effect.gen(function* () {
      const sinceMs = machine.nowMs
      const copy: Copy = { sworm: swormId, name, node: id, machine, epoch, sinceMs, endedMs: undefined }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          oracle.copies.push(copy)
          oracle.note(`${name} begins at ${id}@${epoch}`)
        }),
        () =>
          Effect.sync(() => {
            copy.endedMs = machine.nowMs
            oracle.note(`${name} ends at ${id}`)
          })
      )
    })
  type Self = Process.Self<State>
  const place = ({ name, sworm }: Self) => ({ sworm, name, node: id })
  /** A guarded one begins with a message. What was begun in time may end later. */
  const tick = ({ epoch, name, sworm }: Self) =>
    Effect.sync(() => {
      if (sworm === "Guarded") oracle.ticks.push({ name, node: id, epoch, atMs: machine.nowMs })
    })
  const handled = (self: Self, message: number) =>
    Effect.suspend(() => {
      oracle.note(`message ${message} to ${self.name} at ${id}@${self.epoch}`)
      const { epoch, name, sworm } = self
      return Effect.tap(
        Ref.updateAndGet(self.state, (memory) => ({ ...memory, messages: [...memory.messages, message] })),
        ({ messages: history }) =>
          Effect.sync(() =>
            void oracle.executions.push({ message, sworm, name, node: id, epoch, atMs: machine.nowMs, history })
          )
      )
    }).pipe(Effect.map(({ messages }) => messages.length))
  /** It serves here from now on. */
  const serves = (self: Self) =>
    Effect.andThen(
      Ref.update(self.state, (memory) => ({ ...memory, node: id })),
      Effect.sync(() => oracle.serves({ ...place(self), self, machine }))
    )
  type Init = Process.InitContext<{ readonly asked: number }, State, typeof Cell["protocol"][number]>
  const implementation = {
    init: ({ args: { asked }, epoch, name, sworm, timers }: Init) =>
      begun(sworm, name, epoch).pipe(
        // a guarded one handles messages all the while: if two of them did, it would show
        Effect.andThen(sworm === "Guarded" ? timers.every("Tick", "100 millis") : Effect.void),
        Effect.as({ name, node: id, asked, messages: [] } as State)
      ),
    handlers: {
      Add: ({ message }: { message: number }, self: Self) => Effect.andThen(tick(self), handled(self, message)),
      Slow: ({ message }: { message: number }, self: Self) =>
        Effect.andThen(
          tick(self),
          Effect.andThen(Effect.sleep(message % 3 === 0 ? 3000 : 200), handled(self, message))
        ),
      Tick: (_: void, self: Self) => tick(self),
      Get: (_: void, self: Self) => Effect.map(Ref.get(self.state), ({ messages }) => messages),
      Crash: (_: void, self: Self) =>
        Effect.suspend(() => {
          oracle.lost.push({ ...place(self), atMs: machine.nowMs })
          return Effect.die(new Error("asked to"))
        })
    },
    run: serves
  }
  /** Nothing that either has handled is lost. */
  const resolveConflict = (mine: State, theirs: State, context: Process.ConflictContext): State => {
    // what a lost copy has left is merged, too: that is no contest
    if (!oracle.keepsEachCall) oracle.settles(context, mine, theirs, machine.nowMs)
    return { ...mine, messages: [...new Set([...mine.messages, ...theirs.messages])] }
  }
  const merging = { ...implementation, resolveConflict }
  const cells = oracle.keepsEachCall
    ? Layer.provide(KeptCells.layer, KeptCells.toLayer(KeptCell, merging))
    : Layer.provide(Cells.layer, Cells.toLayer(Cell, merging))
  const guards = guarded(quorumOf(count))
  const watched = Layer.provide(guards.layer, guards.toLayer(Cell, implementation))
  const roamers = Layer.provide(Roamers.layer, Roamers.toLayer(Roamer, implementation))
  return Layer.mergeAll(cells, watched, roamers).pipe(
    Layer.provideMerge(Memory.layerNode({
      id,
      seeds,
      redialInterval: "2 seconds",
      shutdownTimeout: "5 seconds",
      handoffTimeout: "3 seconds",
      tombAge: "50 seconds"
    }))
  )
}
