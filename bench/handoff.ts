/**
 * What moving many processes at once takes: nodes in OS processes of their own, told by their parent what to do, one JSON
 * line each. `handoffFigures` is the parent; this file, run with `--node ID`, is a node.
 */
import { Effect, Exit, Fiber, Layer, Ref, Schema, Scope, Stream } from "effect"
import { Rpc } from "effect/rpc"
import { type ChildProcess, spawn } from "node:child_process"
import process from "node:process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Discovery, Handoff, Membership, Process, Supervisor, Sworm } from "@sworm/sworm"
import * as Gossip from "@sworm/sworm/gossip"
import * as WebSocketTransport from "@sworm/sworm/websocket"
import { currentRuntimeName, findRuntime } from "../scripts/runtimes.ts"

const { values: flags } = parseArgs({
  options: {
    node: { type: "string" },
    seeds: { type: "string", default: "" },
    passive: { type: "boolean", default: false },
    only: { type: "string" }
  },
  strict: false
})

const NAMES = 10_000
const ROUNDS = 3
const STEP_LIMIT_MS = 60_000

const Counter = Process.make("Counter", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int })
  ]
})
class Counters extends Sworm.Service<Counters>()("Counters", {
  redistribution: flags.passive === true ? "passive" : "active",
  processes: [Counter]
}) {}
const CounterLayer = Counters.toLayer(Counter, {
  init: ({ args }) => Effect.succeed(args.start),
  handlers: {
    Increment: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by),
    Get: (_, { state }) => Ref.get(state)
  }
})

const nameOf = (i: number): string => `name-${i}`
const numbers: ReadonlyArray<number> = Array.from({ length: NAMES }, (_, i) => i)

// ---- a node

interface Commands {
  /** How many nodes it thinks host the sworm. */
  readonly hosts: number
  readonly register: null
  /** How many there are, and how many have the state that they had before. */
  readonly check: { readonly found: number; readonly withState: number }
  /** Calls names in turn until it is told to stop; the 99th percentile of what the calls took since, in ms. */
  readonly call: null
  readonly called: { readonly p99Ms: number; readonly calls: number; readonly failed: number }
  readonly moves: { readonly count: number; readonly lastAtMs: number }
  /** What it has taken of the processor so far, in ms. */
  readonly cpu: number
}

type Performances = { readonly [Name in keyof Commands]: Effect.Effect<Commands[Name], unknown> }

/** How long leaving took, and what it took of this node's processor: that depends less on what else the machine does. */
interface Left {
  readonly ms: number
  readonly cpuMs: number
}

const cpuMsSince = (before: ReturnType<typeof process.cpuUsage>): number => {
  const { system, user } = process.cpuUsage()
  return Math.round((system - before.system + user - before.user) / 1000)
}

const CALLERS = 16

const node = Effect.fnUntraced(function* (id: string) {
  const counters = yield* Counters
  const membership = yield* Membership.Membership
  const supervisor = yield* Supervisor.Supervisor
  const handoff = yield* Handoff.Handoff
  const context = yield* Effect.context<never>()
  const moves = { count: 0, lastAtMs: 0 }
  yield* Effect.forkScoped(Stream.runForEach(handoff.moves, () =>
    Effect.sync(() => {
      moves.count++
      moves.lastAtMs = Date.now()
    })))
  let latencies: Array<number> = []
  let failed = 0
  let next = 0
  let callers: Fiber.Fiber<unknown> | undefined
  const callOn = Effect.forever(Effect.suspend(() => {
    const since = performance.now()
    return Effect.map(Effect.exit(counters.client(Counter, nameOf((next++ * 7919) % NAMES)).Get()), (exit) => {
      latencies.push(performance.now() - since)
      if (Exit.isFailure(exit)) failed++
    })
  }))
  const perform: Performances = {
    hosts: Effect.map(supervisor.explain("Counters", "nobody"), ({ candidates }) => candidates.length),
    register: Effect.as(
      Effect.forEach(numbers, (i) =>
        Effect.andThen(
          counters.register(nameOf(i), Counter, { start: 0 }),
          counters.client(Counter, nameOf(i)).Increment({ by: i })
        ), { concurrency: 100, discard: true }),
      null
    ),
    check: Effect.map(
      Effect.forEach(
        numbers,
        (i) =>
          Effect.map(
            Effect.exit(counters.client(Counter, nameOf(i)).Get()),
            (exit) => Exit.isSuccess(exit) ? exit.value === i : undefined
          ),
        { concurrency: 100 }
      ),
      (all) => ({
        found: all.filter((one) => one !== undefined).length,
        withState: all.filter((one) => one === true).length
      })
    ),
    call: Effect.sync(() => {
      latencies = []
      failed = 0
      const all = Effect.all(Array.from({ length: CALLERS }, () => callOn), { concurrency: "unbounded" })
      callers ??= Effect.runForkWith(context)(all)
      return null
    }),
    called: Effect.gen(function* () {
      const sorted = [...latencies].sort((x, y) => x - y)
      if (callers !== undefined) yield* Fiber.interrupt(callers)
      return { p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0, calls: sorted.length, failed }
    }),
    moves: Effect.sync(() => ({ ...moves })),
    cpu: Effect.sync(() => cpuMsSince({ user: 0, system: 0 }))
  }
  yield* membership.awaitSynced
  say({ id, address: (yield* membership.self).address })
  createInterface({ input: process.stdin }).on("line", (line) => {
    const answer: Effect.Effect<unknown, unknown> = perform[JSON.parse(line) as keyof Commands]
    Effect.runForkWith(context)(Effect.map(Effect.orDie(answer), (answer) => say({ answer })))
  })
})

const say = (line: unknown): void => void process.stdout.write(JSON.stringify(line) + "\n")

const serve = async (id: string, seeds: ReadonlyArray<string>): Promise<void> => {
  const backend = Gossip.layer().pipe(Layer.provide(WebSocketTransport.layer({
    id,
    listen: "127.0.0.1:0",
    discovery: Discovery.seeds(seeds)
  })))
  const App = Counters.layer.pipe(Layer.provide(CounterLayer), Layer.provideMerge(backend))
  const scope = Scope.makeUnsafe()
  const startedAtMs = Date.now()
  process.on("SIGTERM", () => {
    const sinceMs = Date.now()
    const before = process.cpuUsage()
    Effect.runFork(Effect.andThen(
      Scope.close(scope, Exit.void),
      Effect.sync(() => {
        const left: Left = { ms: Date.now() - sinceMs, cpuMs: cpuMsSince(before) }
        say({ answer: left })
        process.exit(0)
      })
    ))
  })
  process.stdin.on("end", () => process.exit(0))
  say({ startedAtMs })
  await Effect.runPromise(
    Effect.flatMap(
      Layer.buildWithScope(App, scope),
      (context) => Effect.provideContext(Effect.provideService(node(id), Scope.Scope, scope), context)
    )
  )
}

// ---- the parent

class Child {
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(id: string, seed: string, isPassive: boolean) {
    const runtime = findRuntime(currentRuntimeName)!
    const args = ["--node", id, "--seeds", seed, ...(isPassive ? ["--passive"] : [])]
    const script = fileURLToPath(import.meta.url)
    this.#process = spawn(runtime.command, runtime.argsFor(script, args), {
      stdio: ["pipe", "pipe", "inherit"]
    })
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]()
  }

  /** Its next line. */
  async line<A>(): Promise<A> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`a node said nothing within ${STEP_LIMIT_MS} ms`)), STEP_LIMIT_MS)
    })
    try {
      for (;;) {
        const { done, value } = await Promise.race([this.#lines.next(), late])
        if (done === true) throw new Error("a node ended before it was told to")
        if (value.startsWith("{")) return JSON.parse(value) as A
        // what the node logs
        process.stderr.write(`${value}\n`)
      }
    } finally {
      clearTimeout(timer)
    }
  }

  async ask<Name extends keyof Commands>(name: Name): Promise<Commands[Name]> {
    this.#process.stdin!.write(JSON.stringify(name) + "\n")
    return (await this.line<{ readonly answer: Commands[Name] }>()).answer
  }

  /** Asks it to leave. */
  async leave(): Promise<Left> {
    this.#process.kill("SIGTERM")
    return (await this.line<{ readonly answer: Left }>()).answer
  }

  kill(): void {
    this.#process.kill("SIGKILL")
  }
}

/** Nodes that are killed when the round is over. */
class Round {
  readonly #children: Array<Child> = []
  readonly #isPassive: boolean
  #seed = ""

  /** `isPassive`: nothing moves because another node joins. */
  constructor(isPassive: boolean) {
    this.#isPassive = isPassive
  }

  async start(id: string): Promise<{ readonly child: Child; readonly startedAtMs: number }> {
    const child = new Child(id, this.#seed, this.#isPassive)
    this.#children.push(child)
    const { startedAtMs } = await child.line<{ readonly startedAtMs: number }>()
    const { address } = await child.line<{ readonly address: string }>()
    this.#seed ||= address
    return { child, startedAtMs }
  }

  /** All see all. */
  async together(): Promise<void> {
    for (const child of this.#children) {
      while (await child.ask("hosts") < this.#children.length) await pause(5)
    }
  }

  end(): void {
    for (const child of this.#children) child.kill()
  }
}

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

interface Taken {
  readonly ms: number
  readonly lost: number
  readonly withoutState: number
  readonly cpuMs?: number
  /** Of all the other nodes together. */
  readonly othersCpuMs?: number
}

const checked = async (ms: number, child: Child): Promise<Taken> => {
  const { found, withState } = await child.ask("check")
  return { ms, lost: NAMES - found, withoutState: found - withState }
}

/** All processes run on one node, which leaves two others. */
const leaving = async (isCalled: boolean): Promise<readonly [Taken, Commands["called"]]> => {
  const round = new Round(true)
  try {
    const { child: a } = await round.start("a")
    await a.ask("register")
    const { child: b } = await round.start("b")
    const { child: c } = await round.start("c")
    await round.together()
    if (isCalled) await c.ask("call")
    const others = async (): Promise<number> => await b.ask("cpu") + await c.ask("cpu")
    const before = await others()
    const { cpuMs, ms } = await a.leave()
    const othersCpuMs = await others() - before
    const called = await c.ask("called")
    return [{ ...await checked(ms, c), cpuMs, othersCpuMs }, called]
  } finally {
    round.end()
  }
}

/** Three nodes share the processes, and a fourth joins: from its start until the last of its processes has arrived. */
const joining = async (): Promise<Taken & { readonly moved: number }> => {
  const round = new Round(false)
  try {
    const nodes: Array<Child> = []
    for (const id of ["a", "b", "c"]) nodes.push((await round.start(id)).child)
    await round.together()
    await nodes[0]!.ask("register")
    const { child, startedAtMs } = await round.start("d")
    await round.together()
    const moves = async (): Promise<Commands["moves"]> => {
      const all = await Promise.all(nodes.map((one) => one.ask("moves")))
      return {
        count: all.reduce((sum, { count }) => sum + count, 0),
        lastAtMs: Math.max(...all.map(({ lastAtMs }) => lastAtMs))
      }
    }
    let at = await moves()
    for (let settledAtMs = Date.now(); Date.now() - settledAtMs < 1000;) {
      await pause(20)
      const now = await moves()
      if (now.count !== at.count) settledAtMs = Date.now()
      at = now
    }
    return { ...await checked(at.lastAtMs - startedAtMs, child), moved: at.count }
  } finally {
    round.end()
  }
}

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1]!

const print = (id: string, unit: string, values: ReadonlyArray<number>, params: Record<string, number>): void => {
  const value = median(values)
  const spread = value === 0 ? 0 : Number(((Math.max(...values) - Math.min(...values)) / value).toPrecision(3))
  const line = { id, runtime: currentRuntimeName, value: Number(value.toPrecision(3)), unit, rounds: values.length }
  say({ ...line, spread, params })
}

const printTaken = (id: string, taken: ReadonlyArray<Taken>, params: Record<string, number>): void => {
  print(id, "ms", taken.map(({ ms }) => ms), params)
  print(`${id}.lost`, "names", taken.map(({ lost }) => lost), params)
  print(`${id}.withoutState`, "names", taken.map(({ withoutState }) => withoutState), params)
}

const repeated = async <A>(round: () => Promise<A>): Promise<Array<A>> => {
  const all: Array<A> = []
  for (let i = 0; i < ROUNDS; i++) all.push(await round())
  return all
}

/** Measures those of the figures that are wanted, a line each on stdout. */
export const handoffFigures = async (wanted: (id: string) => boolean): Promise<void> => {
  if (wanted("handoff.leave10k")) {
    const rounds = await repeated(() => leaving(false))
    const cpuMs = median(rounds.map(([taken]) => taken.cpuMs ?? 0))
    const othersCpuMs = median(rounds.map(([taken]) => taken.othersCpuMs ?? 0))
    printTaken("handoff.leave10k", rounds.map(([taken]) => taken), { names: NAMES, nodes: 3, cpuMs, othersCpuMs })
  }
  if (wanted("handoff.join10k")) {
    const rounds = await repeated(joining)
    printTaken("handoff.join10k", rounds, { names: NAMES, nodes: 4, moved: median(rounds.map(({ moved }) => moved)) })
  }
  if (wanted("handoff.pause")) {
    const rounds = (await repeated(() => leaving(true))).map(([, called]) => called)
    const failed = Math.max(...rounds.map((one) => one.failed))
    print("handoff.pause", "ms", rounds.map(({ p99Ms }) => p99Ms), { names: NAMES, callers: CALLERS, failed })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { node: id, only, seeds } = flags
  if (typeof id === "string") await serve(id, String(seeds).split(",").filter((seed) => seed !== ""))
  else await handoffFigures((figure) => typeof only !== "string" || only.split(",").includes(figure))
}
