/** What tests with several nodes share: a cluster on a network in one program, a process that does as it is told. */
import { Clock, Context, Deferred, Effect, Exit, Layer, Option, Ref, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import { Handoff, Membership, Memory, Placement, Process, Registry, Supervisor, Sworm, SwormError } from "@sworm/sworm"
import { VirtualNetwork } from "@sworm/sworm/testing"

/** Of a test with such a cluster, above all limits within it. */
export const TIMEOUT_MS = 90_000

/** Waits for a condition; its limit is far above what any takes. */
export const until = <E, R>(what: string, condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  within(
    what,
    Effect.gen(function* () {
      while (!(yield* condition)) yield* Effect.sleep(10)
    })
  )

/** An effect that would hang if what it tests were broken. */
export const within = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(effect, { duration: "20 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) })

/** What happened, in order; and doors that keep code waiting until they are opened. */
export class Stage {
  readonly lines: Array<string> = []
  readonly #doors = new Map<string, Deferred.Deferred<void>>()

  readonly note = (line: string): Effect.Effect<void> => Effect.sync(() => void this.lines.push(line))

  count(line: string): number {
    return this.lines.filter((one) => one === line).length
  }

  happened(line: string): Effect.Effect<void> {
    return until(line, Effect.sync(() => this.lines.includes(line)))
  }

  #door(name: string): Deferred.Deferred<void> {
    const door = this.#doors.get(name) ?? Deferred.makeUnsafe<void>()
    this.#doors.set(name, door)
    return door
  }

  /** Waits at a door, and notes it. */
  pass(door: string): Effect.Effect<void> {
    return Effect.andThen(this.note(`at ${door}`), Effect.suspend(() => Deferred.await(this.#door(door))))
  }

  open(door: string): Effect.Effect<void> {
    return Effect.asVoid(Effect.suspend(() => Deferred.succeed(this.#door(door), undefined)))
  }
}

// ---- a process

/** The node that a name ends with, as in `one@a`; the first there is, where that is missing. */
export const steer: Placement.Placement = Placement.make(
  "steer",
  (name, candidates) =>
    candidates.find(({ id }) => id === name.split("@")[1]) ?? [...candidates].sort((x, y) => x.id < y.id ? -1 : 1)[0]
)

export const Thing = Process.make("Thing", {
  args: { start: Schema.Int },
  state: Schema.Int,
  protocol: [
    Rpc.make("Add", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int }),
    Rpc.make("Crash", { payload: { bytes: Schema.Int } }),
    Rpc.make("StopAndCrash"),
    /** Waits at a door; then sets a timer, asks to be stopped, or does nothing. */
    Rpc.make("Pass", { payload: { door: Schema.String, then: Schema.Literals(["timer", "stop", "nothing"]) } }),
    /** Sets a timer with a payload of so many bytes. */
    Rpc.make("Remember", { payload: { bytes: Schema.Int } }),
    Rpc.make("Recall", { payload: { text: Schema.String } }),
    Rpc.make("Ask", { payload: { other: Schema.String }, success: Schema.Int, error: SwormError.CallError })
  ]
})

export interface Things {
  readonly "~things": never
}

export type ThingsClient = Sworm.SwormClient<typeof Thing>

export interface ThingsOptions extends Omit<Sworm.SwormOptions<ReadonlyArray<never>>, "processes"> {
  readonly init?: (context: { readonly name: string; readonly handoff: number | undefined }) => Effect.Effect<unknown>
  readonly stop?: (reason: Process.StopReason) => Effect.Effect<unknown>
  /** Answers that they stay where they are. */
  readonly stays?: boolean
}

export interface App<Self, Client> {
  readonly service: Context.Key<Self, Client>
  readonly layer: Layer.Layer<Self, never, Sworm.Backend>
}

/** Things that tell a stage: `init`, then `stop <reason>` and `stopped <reason>` around the given hook. */
export const thingsOf = (stage: Stage, options: ThingsOptions = {}) => {
  const { init = () => Effect.void, stays = false, stop = () => Effect.void, ...sworm } = options
  class Service extends Sworm.Service<Things>()("Things", { placement: steer, ...sworm, processes: [Thing] }) {}
  const implementation = Service.toLayer(Thing, {
    init: (context) =>
      stage.note(`init ${context.name}`).pipe(Effect.andThen(init(context)), Effect.as(context.args.start)),
    ...(stays ? { beginHandoff: () => Effect.succeed(Handoff.ignore) } : {}),
    stop: (reason) =>
      stage.note(`stop ${reason}`).pipe(Effect.andThen(stop(reason)), Effect.andThen(stage.note(`stopped ${reason}`))),
    handlers: {
      Add: ({ by }, { state }) => Ref.updateAndGet(state, (n) => n + by),
      Get: (_, { state }) => Ref.get(state),
      Crash: ({ bytes }) => Effect.die(new Error("x".repeat(bytes))),
      StopAndCrash: (_, self) => Effect.andThen(self.stop, Effect.die("boom")),
      Pass: ({ door, then }, self) =>
        Effect.gen(function* () {
          yield* stage.pass(door)
          if (then === "timer") yield* self.timers.after("Add", "50 millis", { by: 100 })
          if (then === "stop") yield* self.stop
        }),
      Remember: ({ bytes }, { timers }) => timers.after("Recall", "1 hour", { text: "x".repeat(bytes) }),
      Recall: () => Effect.void,
      Ask: ({ other }) =>
        Effect.gen(function* () {
          yield* stage.note("asked")
          const things = yield* Service
          return yield* things.client(Thing, other).Get()
        })
    }
  })
  return { service: Service, layer: Layer.provide(Service.layer, implementation) }
}

// ---- a cluster

export interface NodeSettings extends Omit<Memory.MemoryOptions, "id" | "seeds"> {
  /** How far its clock is behind that of the others. */
  readonly behindMs?: number
}

export interface TestNode<Client> {
  readonly id: string
  readonly things: Client
  readonly context: Context.Context<Memory.Services>
  readonly supervisor: Supervisor.Supervisor
  readonly registry: Registry.Registry
  readonly handoff: Handoff.Handoff
  readonly statusOf: (node: string) => Effect.Effect<Membership.Status | undefined>
  /** Gone without a word. */
  readonly kill: Effect.Effect<void>
  /** Leaves. */
  readonly stop: Effect.Effect<void>
}

/** The clock that somebody reads who set it too early. */
const behind = (clock: Clock.Clock, byMs: number): Clock.Clock => ({
  currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() - byMs,
  currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now - byMs),
  currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
  currentTimeNanos: clock.currentTimeNanos,
  monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
  monotonicTimeNanos: clock.monotonicTimeNanos,
  sleep: (duration) => clock.sleep(duration)
})

export const startNode = <Self, Client>(
  network: VirtualNetwork.VirtualNetwork,
  app: App<Self, Client>,
  id: string,
  seeds: ReadonlyArray<string>,
  { behindMs = 0, ...settings }: NodeSettings = {}
): Effect.Effect<TestNode<Client>, SwormError.InvalidInput, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const clock = yield* Clock.Clock
    const backend = Memory.layerNode({
      id,
      seeds,
      preset: "local",
      formDelay: seeds.length === 0 ? 0 : "10 seconds",
      redialInterval: "200 millis",
      shutdownTimeout: "1 second",
      handoffTimeout: "3 seconds",
      ...settings
    })
    const layer = app.layer.pipe(
      Layer.provideMerge(backend),
      Layer.provide(Layer.succeed(VirtualNetwork.VirtualNetwork)(network)),
      Layer.fresh
    )
    const build = Layer.buildWithScope(layer, scope)
    const context = yield* behindMs === 0 ? build : Effect.provideService(build, Clock.Clock, behind(clock, behindMs))
    const services = context as unknown as Context.Context<Memory.Services>
    const { members } = Context.get(services, Membership.Membership)
    return {
      id,
      things: Context.get(context, app.service),
      context: services,
      supervisor: Context.get(services, Supervisor.Supervisor),
      registry: Context.get(services, Registry.Registry),
      handoff: Context.get(services, Handoff.Handoff),
      statusOf: (node) => Effect.map(members, (all) => all.find((member) => member.id === node)?.status),
      kill: Effect.sync(() => network.kill(id)),
      stop: Scope.close(scope, Exit.void)
    }
  })

/** Nodes that see each other host the sworm. */
export const cluster = <Self, Client>(
  app: App<Self, Client>,
  ids: ReadonlyArray<string>,
  settings: Readonly<Record<string, NodeSettings>> = {}
) =>
  Effect.gen(function* () {
    const network = yield* VirtualNetwork.make()
    const nodes: Array<TestNode<Client>> = []
    const sworm = app.service.key
    const together = Effect.gen(function* () {
      const all = nodes.map(({ id }) => id).sort().join()
      for (const { id, supervisor } of nodes) {
        const seen = Effect.map(
          supervisor.explain(sworm, "nobody"),
          ({ candidates }) => candidates.map((candidate) => candidate.node).sort().join() === all
        )
        yield* until(`"${id}" sees that all host it`, seen)
      }
    })
    /** One more node, seen by all; of an app of its own when given. */
    const add = (id: string, own: App<Self, Client> = app) =>
      Effect.gen(function* () {
        const node = yield* startNode(network, own, id, nodes.slice(0, 1).map((first) => first.id), settings[id])
        nodes.push(node)
        return node
      })
    for (const id of ids) yield* add(id)
    yield* together
    const [a, b] = nodes as [TestNode<Client>, TestNode<Client>]
    return { a, b, add, network, nodes, together }
  })

/** Each node thinks so of each other. */
export const allAre = <Client>(
  nodes: ReadonlyArray<TestNode<Client>>,
  status: "alive" | "dead"
): Effect.Effect<boolean> =>
  Effect.map(
    Effect.all(nodes.flatMap((one) => nodes.filter((other) => other !== one).map(({ id }) => one.statusOf(id)))),
    (statuses) => statuses.every((each) => each === status)
  )

/** Where a name is held, as this node knows. */
export const nodeOf = (node: TestNode<ThingsClient>, name: string): Effect.Effect<string | undefined> =>
  Effect.map(node.things.whereis(name), (ref) => Option.getOrUndefined(ref)?.node)

/** The processes that the nodes run themselves, as `one@a on a`, in order. */
export const running = (nodes: ReadonlyArray<TestNode<ThingsClient>>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    Effect.forEach(nodes, ({ id, supervisor }) => supervisor.which("Things", id)),
    (all) => all.flat().map(({ ref }) => `${ref.name} on ${ref.node}`).sort()
  )
