/** The processes of the example: one per airport, one per route, each adding up what happens to it. */
import { Effect, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
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

export const Airport = Process.make("Airport", {
  state: Totals,
  protocol: [
    Rpc.make("Departure", { payload: { delay: Schema.Int }, success: Schema.Int }),
    Rpc.make("Arrival", { payload: { delay: Schema.Int }, success: Schema.Int }),
    Rpc.make("Totals", { success: Totals })
  ]
})

export const Route = Process.make("Route", {
  state: Totals,
  protocol: [
    Rpc.make("Flight", { payload: { delay: Schema.Int }, success: Schema.Int }),
    Rpc.make("Totals", { success: Totals })
  ]
})

export class Flights extends Sworm.Service<Flights>()("Flights", { processes: [Airport, Route] }) {}

const add = (
  state: Ref.Ref<Totals>,
  kind: "departures" | "arrivals" | "flights",
  delay: number
): Effect.Effect<number> =>
  Effect.map(
    Ref.updateAndGet(state, (totals) => ({ ...totals, [kind]: totals[kind] + 1, delay: totals.delay + delay })),
    (totals) => totals[kind]
  )

export const AirportLayer = Flights.toLayer(Airport, {
  init: () => Effect.succeed(nothing),
  handlers: {
    Departure: ({ delay }, { state }) => add(state, "departures", delay),
    Arrival: ({ delay }, { state }) => add(state, "arrivals", delay),
    Totals: (_, { state }) => Ref.get(state)
  }
})

export const RouteLayer = Flights.toLayer(Route, {
  init: () => Effect.succeed(nothing),
  handlers: {
    Flight: ({ delay }, { state }) => add(state, "flights", delay),
    Totals: (_, { state }) => Ref.get(state)
  }
})
