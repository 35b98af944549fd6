/** The figures themselves, on the runtime that runs this file. Each is measured beside its yardstick in the same run. */
import { Effect, Layer, Ref, Schema } from "effect"
import { Rpc } from "effect/rpc"
import { spawn } from "node:child_process"
import { once } from "node:events"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { WebSocket, WebSocketServer } from "ws"
import { Discovery, Membership, Memory, Process, Sworm } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { currentRuntimeName, findRuntime } from "../scripts/runtimes.ts"
import { etcdFigures } from "./etcd.ts"
import { handoffFigures } from "./handoff.ts"

const { values: flags } = parseArgs({
  options: { only: { type: "string" }, serve: { type: "string" } }
})

const ROUNDS = 5

const Counter = Process.make("Counter", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int })]
})
class Counters extends Sworm.Service<Counters>()("Counters", { processes: [Counter] }) {}
const CounterLayer = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.succeed(args.start),
  handlers: { Increment: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by) }
})

interface Figure {
  readonly id: string
  readonly unit: "ops/s" | "us"
  readonly yardstick: string
  readonly params: Readonly<Record<string, number>>
  /** One round: the figure, and its yardstick right after it. */
  readonly round: () => Promise<readonly [value: number, yardstick: number]>
}

const seconds = async (run: () => unknown): Promise<number> => {
  const startedAt = performance.now()
  await run()
  return (performance.now() - startedAt) / 1000
}

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const measure = async ({ id, params, round, unit, yardstick }: Figure): Promise<void> => {
  await round()
  const rounds: Array<readonly [number, number]> = []
  for (let i = 0; i < ROUNDS; i++) rounds.push(await round())
  const values = rounds.map(([value]) => value)
  const value = median(values)
  const spread = (Math.max(...values) - Math.min(...values)) / value
  const yardstickValue = median(rounds.map(([, other]) => other))
  const line = {
    id,
    runtime: currentRuntimeName,
    value: round3(value),
    unit,
    yardstick,
    yardstickValue: round3(yardstickValue),
    ratio: round3(value / yardstickValue),
    rounds: ROUNDS,
    spread: round3(spread),
    params
  }
  process.stdout.write(JSON.stringify(line) + "\n")
}

const round3 = (n: number): number => n >= 1000 ? Math.round(n) : Number(n.toPrecision(3))

// ---- on one node

const local = Effect.gen(function* () {
  const counters = yield* Counters
  const context = yield* Effect.context<never>()
  const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromiseWith(context)(effect)
  const NAMES = 10_000
  const names = Array.from({ length: NAMES }, (_, i) => `name-${i}`)
  let generation = 0
  yield* Effect.forEach(names, (name) => counters.register(name, Counter, { start: 0 }), { discard: true })
  const plain = new Map(names.map((name) => [name, { n: 0 }]))

  const CALLS = 200_000
  const call: Figure = {
    id: "call.local",
    unit: "ops/s",
    yardstick: "map-and-increment",
    params: { names: 1, calls: CALLS },
    round: async () => {
      const client = counters.client(Counter, "name-0")
      const ours = await seconds(() =>
        run(Effect.gen(function* () {
          for (let i = 0; i < CALLS; i++) yield* client.Increment({ by: 1 })
        }))
      )
      const theirs = await seconds(() => {
        for (let i = 0; i < CALLS; i++) plain.get("name-0")!.n += 1
      })
      return [CALLS / ours, CALLS / theirs]
    }
  }
  const LOOKUPS = 1_000_000
  const lookup: Figure = {
    id: "lookup.10k",
    unit: "ops/s",
    yardstick: "Map.get",
    params: { names: NAMES, lookups: LOOKUPS },
    round: async () => {
      const at = (i: number): string => names[(i * 7919) % NAMES]!
      const ours = await seconds(() =>
        run(Effect.gen(function* () {
          for (let i = 0; i < LOOKUPS; i++) yield* counters.whereis(at(i))
        }))
      )
      let found = 0
      const theirs = await seconds(() => {
        for (let i = 0; i < LOOKUPS; i++) if (plain.get(at(i)) !== undefined) found++
      })
      return [LOOKUPS / ours, found / theirs]
    }
  }
  const start: Figure = {
    id: "start.local",
    unit: "ops/s",
    yardstick: "Map.set",
    params: { names: NAMES },
    round: async () => {
      const fresh = names.map((name) => `${name}-${generation}`)
      generation++
      const ours = await seconds(() =>
        run(Effect.forEach(fresh, (name) => counters.register(name, Counter, { start: 0 }), { discard: true }))
      )
      await run(Effect.forEach(fresh, (name) => counters.unregister(name), { discard: true }))
      const map = new Map<string, { readonly start: number }>()
      const theirs = await seconds(() => {
        for (const name of fresh) map.set(name, { start: 0 })
      })
      return [NAMES / ours, NAMES / theirs]
    }
  }
  for (const figure of [lookup, call, start]) if (wanted(figure.id)) yield* Effect.promise(() => measure(figure))
})

const wanted = (id: string): boolean => flags.only === undefined || flags.only.split(",").includes(id)

// ---- between two operating-system processes

const nodeLayer = (id: string, seeds: ReadonlyArray<string>) =>
  Gossip.layer().pipe(Layer.provide(WebSocketTransport.layer({
    id,
    listen: "127.0.0.1:0",
    discovery: Discovery.seeds(seeds)
  })))

/** The other process: hosts the counters, and echoes on a raw WebSocket. */
const serve = Effect.gen(function* () {
  const membership = yield* Membership.Membership
  yield* membership.awaitSynced
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false })
  server.on("connection", (socket) => socket.on("message", (data) => socket.send(data as Uint8Array)))
  yield* Effect.promise(() => once(server, "listening"))
  const { address } = yield* membership.self
  const { port } = server.address() as { readonly port: number }
  process.stdout.write(JSON.stringify({ address, echo: `ws://127.0.0.1:${port}` }) + "\n")
  yield* Effect.never
})

const remote = async (): Promise<void> => {
  const runtime = findRuntime(currentRuntimeName)!
  const child = spawn(runtime.command, runtime.argsFor(fileURLToPath(import.meta.url), ["--serve", "other"]), {
    stdio: ["pipe", "pipe", "inherit"]
  })
  try {
    const [line] = await once(createInterface({ input: child.stdout! }), "line") as [string]
    const { address, echo } = JSON.parse(line) as { readonly address: string; readonly echo: string }
    const socket = new WebSocket(echo, { perMessageDeflate: false, generateMask: () => {} })
    await once(socket, "open")
    const backend = nodeLayer("caller", [address])
    await Effect.runPromise(
      remoteFigures(socket).pipe(
        Effect.provide(Counters.layerClient.pipe(Layer.provideMerge(backend)))
      )
    )
    socket.terminate()
  } finally {
    child.kill("SIGKILL")
  }
}

const remoteFigures = Effect.fnUntraced(function* (socket: WebSocket) {
  const counters = yield* Counters
  yield* (yield* Membership.Membership).awaitSynced
  const context = yield* Effect.context<never>()
  const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromiseWith(context)(effect)
  yield* counters.register("far", Counter, { start: 0 })
  const client = counters.client(Counter, "far")
  const pingPong = (count: number): Promise<number> => {
    const message = new Uint8Array(32)
    return seconds(() =>
      new Promise<void>((resolve) => {
        let left = count
        socket.removeAllListeners("message")
        socket.on("message", () => --left === 0 ? resolve() : socket.send(message))
        socket.send(message)
      })
    )
  }
  const SEQUENCE = 5000
  const inSequence: Figure = {
    id: "call.remote",
    unit: "us",
    yardstick: "raw ws ping-pong, 32 bytes",
    params: { calls: SEQUENCE },
    round: async () => {
      const ours = await seconds(() =>
        run(Effect.gen(function* () {
          for (let i = 0; i < SEQUENCE; i++) yield* client.Increment({ by: 1 })
        }))
      )
      return [ours / SEQUENCE * 1e6, (await pingPong(SEQUENCE)) / SEQUENCE * 1e6]
    }
  }
  const CALLS = 50_000
  const concurrent: Figure = {
    id: "call.remote.100",
    unit: "ops/s",
    yardstick: "raw ws ping-pong, 32 bytes, in sequence",
    params: { calls: CALLS, callers: 100 },
    round: async () => {
      const ours = await seconds(() =>
        run(Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.gen(function* () {
            for (let i = 0; i < CALLS / 100; i++) yield* client.Increment({ by: 1 })
          }), { concurrency: "unbounded", discard: true }))
      )
      return [CALLS / ours, SEQUENCE / await pingPong(SEQUENCE)]
    }
  }
  for (const figure of [inSequence, concurrent]) if (wanted(figure.id)) yield* Effect.promise(() => measure(figure))
})

if (flags.serve !== undefined) {
  process.stdin.on("end", () => process.exit(0)).resume()
  const App = Counters.layer.pipe(Layer.provide(CounterLayer), Layer.provideMerge(nodeLayer(flags.serve, [])))
  await Effect.runPromise(Effect.provide(serve, App))
} else {
  const App = Counters.layer.pipe(Layer.provide(CounterLayer), Layer.provide(Memory.layer))
  await Effect.runPromise(Effect.provide(local, App))
  await remote()
  await handoffFigures(wanted)
  await etcdFigures(wanted)
  process.exit(0)
}
