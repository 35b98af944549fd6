/** The data: 20,000 flights of 2001, from the npm package vega-datasets; and the plain recount that totals must equal. */
import { readFileSync } from "node:fs"
import { nothing, type Totals } from "./flights.ts"

export interface FlightRecord {
  readonly delay: number
  readonly origin: string
  readonly destination: string
}

const file = new URL("../../node_modules/vega-datasets/data/flights-20k.json", import.meta.url)

export const readRecords = (): ReadonlyArray<FlightRecord> => JSON.parse(readFileSync(file, "utf8"))

export const routeOf = ({ destination, origin }: FlightRecord): string => `${origin}-${destination}`

/** What every process must have at the end, by name. */
export const recount = (records: ReadonlyArray<FlightRecord>): Map<string, Totals> => {
  const totals = new Map<string, Totals>()
  const add = (name: string, kind: "departures" | "arrivals" | "flights", delay: number): void => {
    const before = totals.get(name) ?? nothing
    totals.set(name, { ...before, [kind]: before[kind] + 1, delay: before.delay + delay })
  }
  for (const record of records) {
    add(record.origin, "departures", record.delay)
    add(record.destination, "arrivals", record.delay)
    add(routeOf(record), "flights", record.delay)
  }
  return totals
}
