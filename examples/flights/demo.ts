/**
 * The demo: three nodes on Deno, Bun and Node, 20,000 real flights replayed as calls, a fourth node that joins meanwhile
 * and one that leaves; then every total is compared with a plain recount. `--kill` kills a node instead of letting it
 * leave: then each total is kept on a second node before a call is answered, and calls without a known outcome are
 * repeated; all totals are exact all the same. `--records N` replays only the first N. `--json` prints one line on stdout
 * and nothing else.
 */
import { Deferred, Effect, Exit, Fiber, Layer, Logger } from "effect"
import { randomBytes } from "node:crypto"
import process from "node:process"
import { parseArgs } from "node:util"
import { Discovery, Membership } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { findRuntimes, type Runtime, type RuntimeName, runtimeNames } from "../../scripts/runtimes.ts"
import { Calls } from "./calls.ts"
import { type Child, ChildFailed, start } from "./children.ts"
import { type Progress, show } from "./display.ts"
import { Airport, Flights, nothing, Route, SNAPSHOT_VARIABLE, type Totals } from "./flights.ts"
import { type FlightRecord, readRecords, recount, routeOf } from "./records.ts"

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    kill: { type: "boolean", default: false },
    records: { type: "string" }
  }
})

/** Records under way at a time. */
const CONCURRENCY = 64
/** With `--kill` a call without a known outcome is repeated so often; without, it would be a fault of the handover. */
const REPEATS = flags.kill ? 20 : 0
const env = flags.kill ? { [SNAPSHOT_VARIABLE]: "eachCall" } : {}

interface Result {
  readonly records: number
  readonly processes: number
  readonly nodes: number
  readonly joined: number
  readonly left: number
  readonly killed: number
  readonly moved: number
  readonly failedCalls: number
  readonly wrongTotals: number
  readonly lostState: number
  readonly notAlive: number
  readonly repeatedCalls: number
  /** Records per second, of the replay alone. */
  readonly perSecond: number
  readonly snapshots: number
  readonly snapshotBytes: number
  readonly seconds: number
}

/** One runtime for each node; a missing one is named, and its node runs on one that is there. */
const chooseRuntimes = (): ReadonlyArray<Runtime> => {
  const found = findRuntimes()
  const there = runtimeNames.flatMap((name) => found[name] ?? [])
  const wanted: ReadonlyArray<RuntimeName> = ["deno", "bun", "node"]
  return wanted.map((name, index) => {
    const runtime = found[name]
    if (runtime !== undefined) return runtime
    const instead = there[index % there.length]!
    process.stderr.write(`${name} is missing on this machine: its node runs on ${instead.name}\n`)
    return instead
  })
}

const runDemo = Effect.gen(function* () {
  const startedAt = performance.now()
  const records = readRecords().slice(0, flags.records === undefined ? undefined : Number(flags.records))
  const expected = recount(records)
  const routes = new Set(records.map(routeOf))
  const runtimes = chooseRuntimes()
  const secret = randomBytes(18).toString("base64")

  const first = yield* start(runtimes[0]!, { id: "node-1", secret, env })
  const others = yield* Effect.forEach(
    [1, 2],
    (i) => start(runtimes[i]!, { id: `node-${i + 1}`, secret, env, join: first.address }),
    { concurrency: "unbounded" }
  )
  const children: Array<Child> = [first, ...others]
  const driver = Flights.layerClient.pipe(
    Layer.provideMerge(Gossip.layer()),
    Layer.provide(WebSocketTransport.layer({
      id: "driver",
      listen: "127.0.0.1:0",
      secret,
      discovery: Discovery.seeds(children.map(({ address }) => address))
    }))
  )

  return yield* Effect.gen(function* () {
    const flights = yield* Flights
    yield* (yield* Membership.Membership).awaitSynced

    const counts = { done: 0, since: performance.now() }
    const calls = new Calls(REPEATS)
    const placed = new Map<string, number>()
    let phase = "registering"
    const moved = (): number => children.reduce((sum, child) => sum + child.moved().all, 0)
    const progress = (): Progress => ({
      phase,
      records: counts.done,
      total: records.length,
      perSecond: counts.done === 0 ? 0 : counts.done / ((performance.now() - counts.since) / 1000),
      moved: moved(),
      failed: calls.failed,
      nodes: children.map(({ id, runtime }) => ({ id, runtime: runtime.name, processes: placed.get(id) ?? 0 }))
    })
    const look = Effect.map(flights.registered, (refs) => {
      placed.clear()
      for (const { node } of refs) placed.set(node, (placed.get(node) ?? 0) + 1)
    })
    yield* show(progress)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep("200 millis"))))

    yield* Effect.forEach(
      expected.keys(),
      (name) => flights.register(name, routes.has(name) ? Route : Airport, {}),
      { concurrency: CONCURRENCY, discard: true }
    )

    // ---- the replay, while the cluster changes

    const replay = (record: FlightRecord): Effect.Effect<void> => {
      const { delay, destination, origin } = record
      return Effect.andThen(
        Effect.all([
          calls.make((number) => flights.client(Airport, origin).Departure({ ...number, delay })),
          calls.make((number) => flights.client(Airport, destination).Arrival({ ...number, delay })),
          calls.make((number) => flights.client(Route, routeOf(record)).Flight({ ...number, delay }))
        ], { concurrency: "unbounded", discard: true }),
        Effect.sync(() => void counts.done++)
      )
    }

    const joins = yield* Deferred.make<void>()
    const leaves = yield* Deferred.make<void>()
    const changes = Effect.gen(function* () {
      yield* Deferred.await(joins)
      phase = "a fourth node joins"
      children.push(yield* start(runtimes[2]!, { id: "node-4", secret, env, join: first.address }))
      yield* Deferred.await(leaves)
      phase = flags.kill ? "a node is killed" : "a node leaves"
      yield* first.end(flags.kill ? "SIGKILL" : "SIGTERM")
      phase = flags.kill ? "a node was killed" : "a node has left"
    })
    phase = "replaying"
    counts.since = performance.now()
    const changing = yield* Effect.forkScoped(changes)
    yield* Effect.forEach(records, (record, index) => {
      if (index === Math.floor(records.length / 4)) Deferred.doneUnsafe(joins, Effect.void)
      if (index === Math.floor(records.length * 0.6)) Deferred.doneUnsafe(leaves, Effect.void)
      return replay(record)
    }, { concurrency: CONCURRENCY, discard: true })
    const replayed = (performance.now() - counts.since) / 1000
    yield* Effect.timeoutOrElse(Fiber.join(changing), {
      duration: "60 seconds",
      orElse: () => Effect.fail(new ChildFailed("The cluster did not change in time"))
    })

    // ---- the reckoning

    phase = "comparing"
    const verdict = { wrongTotals: 0, lostState: 0, notAlive: 0 }
    yield* Effect.forEach(expected, ([name, totals]) => {
      const type = routes.has(name) ? Route : Airport
      return Effect.map(Effect.exit(flights.client(type, name, { timeout: "15 seconds" }).Totals()), (exit) => {
        if (Exit.isFailure(exit)) verdict.notAlive++
        else if (!same(exit.value, totals) && ++verdict.wrongTotals <= 3) {
          process.stderr.write(
            `The totals of "${name}" are wrong: ${JSON.stringify(exit.value)}, not ${JSON.stringify(totals)}\n`
          )
        }
        if (Exit.isSuccess(exit) && lost(exit.value, totals)) verdict.lostState++
      })
    }, { concurrency: CONCURRENCY, discard: true })
    yield* look
    phase = "done"
    const result: Result = {
      records: counts.done,
      processes: expected.size,
      nodes: 3,
      joined: 1,
      left: flags.kill ? 0 : 1,
      killed: flags.kill ? 1 : 0,
      moved: children.reduce((sum, child) => sum + child.moved().withState, 0),
      failedCalls: calls.failed,
      ...verdict,
      repeatedCalls: calls.repeated,
      perSecond: Math.round(records.length / replayed),
      snapshots: children.reduce((sum, child) => sum + child.snapshots().count, 0),
      snapshotBytes: children.reduce((sum, child) => sum + child.snapshots().bytes, 0),
      seconds: Math.round((performance.now() - startedAt) / 100) / 10
    }
    const rows = children.map(({ id, moved, runtime }) => ({
      id,
      runtime,
      processes: placed.get(id) ?? 0,
      moved: moved().all
    }))
    return { result, rows }
  }).pipe(Effect.scoped, Effect.provide(driver))
})

const same = (a: Totals, b: Totals): boolean =>
  a.departures === b.departures && a.arrivals === b.arrivals && a.flights === b.flights && a.delay === b.delay

/** Fewer than counted: it started again from nothing on the way. */
const lost = (a: Totals, b: Totals): boolean =>
  a.departures + a.arrivals + a.flights < b.departures + b.arrivals + b.flights || same(a, nothing)

const report = ({ result, rows }: Effect.Success<typeof runDemo>): void => {
  const { killed, lostState, notAlive, perSecond, repeatedCalls, snapshotBytes, snapshots, ...plain } = result
  if (flags.json) {
    const more = { killed, lostState, notAlive, repeatedCalls, perSecond, snapshots, snapshotBytes }
    process.stdout.write(JSON.stringify(flags.kill ? { ...plain, ...more } : plain) + "\n")
    return
  }
  console.log("\nnode      runtime  version   processes  given away")
  for (const { id, moved, processes, runtime } of rows) {
    const { name, version } = runtime
    const numbers = [String(processes).padStart(10), String(moved).padStart(10)]
    console.log([id.padEnd(8), name.padEnd(7), version.padEnd(8), ...numbers].join("  "))
  }
  const { failedCalls, moved, processes, records, seconds, wrongTotals } = plain
  console.log(
    `\n${records} records (${perSecond}/s), ${processes} processes, ${moved} moved with state, ` +
      `${failedCalls} calls failed, ${wrongTotals} totals wrong in ${seconds} s`
  )
  if (!flags.kill) return
  console.log(
    `${lostState} lost state, ${notAlive} not alive, ${repeatedCalls} calls repeated; ` +
      `the price: ${snapshots} snapshots sent, ${(snapshotBytes / 1e6).toFixed(1)} MB of states`
  )
}

const isGood = ({ failedCalls, notAlive, wrongTotals }: Result): boolean =>
  notAlive === 0 && failedCalls === 0 && wrongTotals === 0

// what its own node logs (a slow machine makes it suspect others) is not the demo's output
const fiber = Effect.runFork(Effect.provideService(Effect.scoped(runDemo), Logger.LogToStderr, true))
const stop = (): void => fiber.interruptUnsafe()
process.on("SIGINT", stop)
process.on("SIGTERM", stop)
fiber.addObserver((exit) => {
  if (Exit.isSuccess(exit)) {
    report(exit.value)
    process.exit(isGood(exit.value.result) ? 0 : 1)
  }
  process.stderr.write(Exit.hasInterrupts(exit) ? "\nInterrupted; all nodes are stopped\n" : `${exit.cause}\n`)
  process.exit(Exit.hasInterrupts(exit) ? 130 : 1)
})
