/** The processes of the example: one per airport, one per route, each adding up what happens to it. */
import { Effect, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import process from "node:process"
import { Process, Sworm } from "@sworm/sworm"

/** What a process knows: how many flights, and the sum of their delays in minutes. */
export const Totals = Schema.Struct({
  departures: Schema.Int,
  arrivals: Schema.Int,
  flights: Schema.Int,
  delay: Schema.Int
})
export type Totals = typeof Totals.Type

export const nothing: Totals = { departures: 0, arrivals: 0, flights: 0, delay: 0 }

/** What a process keeps. */
const State = Schema.Struct({
  totals: Totals,
  /** Calls below this number are answered, each of them: none is to be counted any more. */
  settled: Schema.Int,
  /** Calls from `settled` on that are counted; one of these that comes again is answered and not counted. */
  counted: Schema.Array(Schema.Int)
})
export type State = typeof State.Type

export const empty: State = { totals: nothing, settled: 0, counted: [] }

/**
 * One flight to count. The caller numbers its calls: one that it repeats, since nobody knows whether it was counted, has
 * the number that it had; and it says below which number it repeats none any more.
 */
const Counting = { call: Schema.Int, settled: Schema.Int, delay: Schema.Int }
type Counting = { readonly [K in keyof typeof Counting]: number }

/**
 * `SWORM_FLIGHTS_SNAPSHOT=eachCall`, on all nodes alike, keeps every total on a second node before a call is answered:
 * then even a node that is killed takes nothing with it.
 */
export const SNAPSHOT_VARIABLE = "SWORM_FLIGHTS_SNAPSHOT"

const snapshot = process.env[SNAPSHOT_VARIABLE] === "eachCall" ? "eachCall" : undefined

export const Airport = Process.make("Airport", {
  state: State,
  snapshot,
  protocol: [
    Rpc.make("Departure", { payload: Counting, success: Schema.Int }),
    Rpc.make("Arrival", { payload: Counting, success: Schema.Int }),
    Rpc.make("Totals", { success: Totals })
  ]
})

export const Route = Process.make("Route", {
  state: State,
  snapshot,
  protocol: [
    Rpc.make("Flight", { payload: Counting, success: Schema.Int }),
    Rpc.make("Totals", { success: Totals })
  ]
})

export class Flights extends Sworm.Service<Flights>()("Flights", { processes: [Airport, Route] }) {}

type Kind = "departures" | "arrivals" | "flights"

/** Counts a call, unless it is counted already. */
export const count = (state: State, kind: Kind, { call, delay, settled }: Counting): State => {
  if (call < state.settled || state.counted.includes(call)) return state
  const { totals } = state
  const from = Math.max(state.settled, settled)
  return {
    totals: { ...totals, [kind]: totals[kind] + 1, delay: totals.delay + delay },
    settled: from,
    counted: [...state.counted, call].filter((counted) => counted >= from)
  }
}

const add = (state: Ref.Ref<State>, kind: Kind, counting: Counting): Effect.Effect<number> =>
  Effect.map(Ref.updateAndGet(state, (before) => count(before, kind, counting)), ({ totals }) => totals[kind])

const totalsOf = (state: Ref.Ref<State>): Effect.Effect<Totals> => Effect.map(Ref.get(state), ({ totals }) => totals)

export const AirportLayer = Flights.toLayer(Airport, {
  init: () => Effect.succeed(empty),
  handlers: {
    Departure: (counting, { state }) => add(state, "departures", counting),
    Arrival: (counting, { state }) => add(state, "arrivals", counting),
    Totals: (_, { state }) => totalsOf(state)
  }
})

export const RouteLayer = Flights.toLayer(Route, {
  init: () => Effect.succeed(empty),
  handlers: {
    Flight: (counting, { state }) => add(state, "flights", counting),
    Totals: (_, { state }) => totalsOf(state)
  }
})
