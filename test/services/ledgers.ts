/** Processes whose state is all that was asked of them, kept on other nodes; and callers that keep them busy. */
import { Effect, Exit, Layer, Ref, Schema, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { Process, Registry, Supervisor, Sworm } from "@sworm/sworm"
import { type Simulation } from "@sworm/sworm/testing"
import { Town, type TownOptions } from "./simulated.ts"

export const protocol = [
  Rpc.make("Add", { payload: { op: Schema.String }, success: Schema.Int }),
  /** Answered after a while. */
  Rpc.make("Slow", { payload: { op: Schema.String, millis: Schema.Int }, success: Schema.Int }),
  Rpc.make("Get", { success: Schema.Array(Schema.String) }),
  /** As `Add`; answers with a stream of all there is then. */
  Rpc.make("Follow", { payload: { op: Schema.String }, success: Schema.String, stream: true }),
  Rpc.make("Crash"),
  Rpc.make("Stop")
] as const

const state = Schema.Array(Schema.String)
/** They crash as often as a history says. */
const restartLimit = { max: 1000, within: "1 second" } as const

export const Once = Process.make("Once", { state, protocol, snapshot: "eachCall", restartLimit })
export const Twice = Process.make("Twice", { state, protocol, snapshot: { every: "call", replicas: 2 }, restartLimit })
export const Often = Process.make("Often", { state, protocol, snapshot: { every: "200 millis" }, restartLimit })

export type Type = typeof Once | typeof Twice | typeof Often

export interface Ledgers {
  readonly "~ledgers": never
}

export type LedgersClient = Sworm.SwormClient<typeof Once | typeof Twice | typeof Often>

interface State {
  readonly state: Ref.Ref<ReadonlyArray<string>>
  readonly stop: Effect.Effect<void>
}

const append = ({ state }: State, op: string): Effect.Effect<number> =>
  Ref.modify(state, (ops) => [ops.length + 1, [...ops, op]])

export interface LedgerOptions extends Omit<Sworm.SwormOptions<ReadonlyArray<never>>, "processes"> {
  readonly run?: ((self: State) => Effect.Effect<unknown>) | undefined
  readonly resolved?: ((mine: ReadonlyArray<string>, theirs: ReadonlyArray<string>) => void) | undefined
}

const appOf = ({ resolved, run, ...sworm }: LedgerOptions) => {
  class Service extends Sworm.Service<Ledgers>()("Ledgers", { ...sworm, processes: [Once, Twice, Often] }) {}
  const implementation = {
    init: () => Effect.succeed([] as ReadonlyArray<string>),
    run,
    resolveConflict: (mine: ReadonlyArray<string>, theirs: ReadonlyArray<string>) => {
      resolved?.(mine, theirs)
      return [...mine, ...theirs.filter((op) => !mine.includes(op))]
    },
    handlers: {
      Add: ({ op }: { readonly op: string }, self: State) => append(self, op),
      Slow: ({ millis, op }: { readonly op: string; readonly millis: number }, self: State) =>
        Effect.andThen(Effect.sleep(millis), append(self, op)),
      Get: (_: unknown, { state }: State) => Ref.get(state),
      Follow: ({ op }: { readonly op: string }, self: State) => {
        Effect.runSync(append(self, op))
        return Stream.unwrap(Effect.map(Ref.get(self.state), (ops) => Stream.fromIterable(ops)))
      },
      Crash: () => Effect.die("asked to"),
      Stop: (_: unknown, self: State) => self.stop
    }
  }
  const layer = Service.layer.pipe(
    Layer.provide(Service.toLayer(Once, implementation)),
    Layer.provide(Service.toLayer(Twice, implementation)),
    Layer.provide(Service.toLayer(Often, implementation))
  )
  return { service: Service, layer }
}

export type LedgerTown = Town<Ledgers, LedgersClient>

export const townOf = async (
  ids: ReadonlyArray<string>,
  options: TownOptions = {},
  ledger: LedgerOptions = {}
): Promise<LedgerTown> => {
  const weather = { delay: { minMs: 1, maxMs: 5 } }
  const town = new Town<Ledgers, LedgersClient>(appOf(ledger), { weather, ...options })
  await town.form(...ids)
  return town
}

// the types have one protocol: any of them will do where one is asked for
export const register = (type: Type, name: string) => (ledgers: LedgersClient) =>
  ledgers.register(name, type as typeof Once, {})
export const add = (type: Type, name: string, op: string) => (ledgers: LedgersClient) =>
  ledgers.call(type as typeof Once, name, "Add", { op })
export const get = (type: Type, name: string) => (ledgers: LedgersClient) =>
  ledgers.call(type as typeof Once, name, "Get", undefined)

/** Who keeps the state of a name, as its claim says. */
export const keptBy = (town: LedgerTown, id: string, name: string): ReadonlyArray<string> =>
  town.look(
    id,
    Effect.flatMap(
      Supervisor.Supervisor,
      (supervisor) => Effect.map(supervisor.explain("Ledgers", name), ({ keptBy }) => keptBy)
    ),
    []
  )

/** How many snapshots a node has. */
export const keptOn = (town: LedgerTown, id: string): number =>
  town.look(id, Effect.flatMap(Registry.Registry, ({ tables }) => Effect.map(tables, ({ snapshots }) => snapshots)), -1)

/** All copies of a name, those on their way included. */
const copies = (town: LedgerTown, name: string): number =>
  town.world.ready.filter(({ id }) => {
    const which = Effect.flatMap(Supervisor.Supervisor, (supervisor) => supervisor.which("Ledgers", id))
    return town.look(id, which, []).some(({ ref }) => ref.name === name)
  }).length

/** Its process runs, once, and is kept by as many as it should be. */
export const isSafe = (town: LedgerTown, name: string, replicas: number): boolean => {
  const ready = town.world.ready.map(({ id }) => id)
  if (ready.length === 0 || !town.isTogether() || !town.isAgreed()) return false
  const home = town.whereis(ready[0]!, name)
  const kept = keptBy(town, ready[0]!, name)
  return home !== undefined && ready.includes(home) &&
    copies(town, name) === 1 && town.running(home).includes(`${name} on ${home}`) &&
    kept.length === Math.min(replicas, ready.length - 1) && kept.every((id) => id !== home && ready.includes(id))
}

export interface Load {
  readonly acknowledged: Array<string>
  readonly failed: Array<string>
  readonly stop: () => Simulation.Running<unknown, unknown>
}

let loads = 0

/** A caller goes from call to call, on one node, until it is stopped. */
export const keepCalling = (town: LedgerTown, id: string, type: Type, name: string, pauseMs = 3): Load => {
  const acknowledged: Array<string> = []
  const failed: Array<string> = []
  const load = `${id}${++loads}`
  let isDone = false
  const calls = town.begin(id, (ledgers) =>
    Effect.gen(function* () {
      for (let n = 0; !isDone; n++) {
        const op = `${name}:${load}:${String(n).padStart(4, "0")}`
        const exit = yield* Effect.exit(ledgers.call(type as typeof Once, name, "Add", { op }))
        if (Exit.isSuccess(exit)) acknowledged.push(op)
        else failed.push(`${op} ${String(exit.cause)}`)
        yield* Effect.sleep(pauseMs)
      }
    }))
  const stop = (): Simulation.Running<unknown, unknown> => {
    isDone = true
    return calls
  }
  return { acknowledged, failed, stop }
}
