/** Etcd in this program's memory, for tests: the same client on the same messages, and faults where they are wanted. */
import { Clock, Context, Duration, Effect, Latch, Layer, Queue, type Scope, Stream } from "effect"
import { steadyMs } from "../../src/runtime/clocks.ts"
import { EtcdClient, type EtcdLimits, makeWith } from "./client.ts"
import type { EtcdError } from "./EtcdError.ts"
import type { Call, Gateway, GatewayFailure } from "./gateway.ts"
import {
  eventOut,
  headerOf,
  needsLeader,
  needsSpace,
  noLeader,
  noSpace,
  Refusal,
  serve,
  toWatched
} from "./memory/serve.ts"
import { Store } from "./memory/Store.ts"

/** What goes wrong. */
export type Fault =
  /** Connections are refused, and those of watches break. */
  | "unreachable"
  /** Nothing is done, nothing is answered, and nothing breaks. */
  | "silent"
  /** Requests are done, and then the connection breaks before the answer comes. */
  | "answerLost"
  /** The member has lost its leader. */
  | "noLeader"
  /** The database is full. */
  | "full"
  /** Requests are done after so long. */
  | { readonly slow: Duration.Input }

/** Whom it befalls. Default: all. */
export interface Where {
  /** A client, by its name. */
  readonly client?: string
  readonly endpoint?: string
}

export interface MemoryClientOptions extends EtcdLimits {
  /** For faults. Default `"client"`. */
  readonly name?: string | undefined
  /** Default: `http://memory`. All lead to the same store. */
  readonly endpoints?: ReadonlyArray<string> | undefined
}

export interface EtcdMemory {
  /** One more client of the same store. */
  readonly client: (options?: MemoryClientOptions) => Effect.Effect<EtcdClient, EtcdError>
  /** From now on, in place of what went wrong there before; `undefined` heals it. The latest that fits counts. */
  readonly fault: (fault: Fault | undefined, where?: Where) => Effect.Effect<void>
  /** Breaks the watches' connections, as a restart does; watches resume. */
  readonly disconnect: Effect.Effect<void>
  /** What etcd sends now and then: that watches are up to date. */
  readonly progress: Effect.Effect<void>
}

export const EtcdMemory: Context.Service<EtcdMemory, EtcdMemory> = Context.Service<EtcdMemory>("sworm/EtcdMemory")

/** A store of its own. Leases end by Effect's clock, for as long as the scope lives. */
export const make: Effect.Effect<EtcdMemory, never, Scope.Scope> = Effect.gen(function* () {
  const server = new Server(steadyMs(yield* Clock.Clock), yield* Effect.scope)
  return {
    client: ({ endpoints = ["http://memory"], name = "client", ...limits } = {}) =>
      makeWith(server.gateway(name), { endpoints, ...limits }),
    fault: (fault, where = {}) => Effect.sync(() => server.setFault(fault, where)),
    disconnect: Effect.sync(() => server.disconnect()),
    progress: Effect.sync(() => server.progress())
  }
})

export const layer: Layer.Layer<EtcdMemory> = Layer.effect(EtcdMemory)(make)

/** A client of the memory that is provided. */
export const layerClient = (options: MemoryClientOptions = {}): Layer.Layer<EtcdClient, EtcdError, EtcdMemory> =>
  Layer.effect(EtcdClient)(Effect.flatMap(EtcdMemory, (memory) => memory.client(options)))

const refused: GatewayFailure = { _tag: "Broken", reason: "Unreachable", detail: "connection refused", isSent: false }
const cut: GatewayFailure = { _tag: "Broken", reason: "Unreachable", detail: "the connection broke", isSent: true }

/** One connection of a watch. */
interface Connection {
  readonly wake: Latch.Latch
  isCut: boolean
  /** It is to be told how far it is. */
  isTold: boolean
}

class Server {
  readonly #store = new Store()
  readonly #nowMs: () => number
  readonly #scope: Scope.Scope
  readonly #connections = new Set<Connection>()
  #faults: ReadonlyArray<{ readonly where: Where; readonly fault: Fault }> = []

  constructor(nowMs: () => number, scope: Scope.Scope) {
    this.#nowMs = nowMs
    this.#scope = scope
  }

  gateway(client: string): Gateway {
    return {
      post: (endpoint, call) => this.#post({ client, endpoint }, call),
      stream: (endpoint, call) => this.#watch({ client, endpoint }, call)
    }
  }

  setFault(fault: Fault | undefined, where: Where): void {
    const others = this.#faults.filter((one) =>
      one.where.client !== where.client || one.where.endpoint !== where.endpoint
    )
    this.#faults = fault === undefined ? others : [...others, { where, fault }]
    this.#wake()
  }

  disconnect(): void {
    for (const connection of this.#connections) connection.isCut = true
    this.#wake()
  }

  progress(): void {
    for (const connection of this.#connections) connection.isTold = true
    this.#wake()
  }

  #wake(): void {
    for (const { wake } of this.#connections) wake.openUnsafe()
  }

  #faultAt(at: Required<Where>): Fault | undefined {
    return this.#faults.findLast(({ where }) =>
      (where.client ?? at.client) === at.client && (where.endpoint ?? at.endpoint) === at.endpoint
    )?.fault
  }

  #post(at: Required<Where>, call: Call): Effect.Effect<unknown, GatewayFailure> {
    return Effect.gen({ self: this }, function* () {
      const fault = this.#faultAt(at)
      if (fault === "unreachable") return yield* Effect.fail(refused)
      if (fault === "silent") return yield* Effect.never
      if (typeof fault === "object") yield* Effect.sleep(fault.slow)
      const answer = yield* this.#serve(call, fault)
      return fault === "answerLost" ? yield* Effect.fail(cut) : answer
    })
  }

  #serve({ body, headers, path }: Call, fault: Fault | undefined): Effect.Effect<unknown, GatewayFailure> {
    return Effect.suspend(() => {
      const nowMs = this.#nowMs()
      const before = this.#store.revision
      this.#store.expire(nowMs)
      const plain = JSON.parse(JSON.stringify(body))
      const asksForLeader = headers["grpc-metadata-hasleader"] === "true"
      // it waits for one
      if (fault === "noLeader" && !asksForLeader && needsLeader(path, plain)) return Effect.never
      const served = refusing(() => {
        if (fault === "noLeader" && asksForLeader) throw noLeader()
        if (fault === "full" && needsSpace(path, plain)) throw noSpace()
        return serve(this.#store, path, plain, nowMs)
      })
      const told = Effect.tap(served, () => {
        if (this.#store.revision !== before || path === "/v3/kv/compaction") this.#wake()
        return Effect.void
      })
      return path === "/v3/lease/grant" ? Effect.tap(told, () => this.#expireLater()) : told
    })
  }

  /** Ends the newest lease when its time is over, whoever asks meanwhile or not. */
  #expireLater(): Effect.Effect<void> {
    const lease = [...this.#store.leases.values()].at(-1)
    if (lease === undefined) return Effect.void
    const wait: Effect.Effect<void> = Effect.suspend(() => {
      if (!this.#store.leases.has(lease.id)) return Effect.void
      const restMs = lease.endsAtMs - this.#nowMs()
      if (restMs > 0) return Effect.andThen(Effect.sleep(restMs), wait)
      this.#store.revoke(lease)
      this.#wake()
      return Effect.void
    })
    return Effect.asVoid(Effect.forkIn(wait, this.#scope))
  }

  // ---- watches

  #watch(at: Required<Where>, call: Call): Stream.Stream<unknown, GatewayFailure> {
    return Stream.callback<unknown, GatewayFailure>((queue) =>
      Effect.gen({ self: this }, function* () {
        const connection: Connection = { wake: Latch.makeUnsafe(), isCut: false, isTold: false }
        yield* Effect.acquireRelease(
          Effect.sync(() => this.#connections.add(connection)),
          () => Effect.sync(() => this.#connections.delete(connection))
        )
        yield* this.#unlessSilent(at, connection)
        const watched = yield* refusing(() => toWatched(this.#store, JSON.parse(JSON.stringify(call.body))))
        const say = (message: object) => Queue.offer(queue, { header: headerOf(this.#store), ...message })
        yield* say({ created: true })
        let next = watched.from
        while (true) {
          connection.wake.closeUnsafe()
          yield* this.#unlessSilent(at, connection)
          if (next < this.#store.compacted) {
            yield* say({ canceled: true, compact_revision: String(this.#store.compacted) })
            return yield* Queue.end(queue)
          }
          const changes = this.#store.changes(watched.span, next)
          next = Math.max(next, this.#store.revision + 1)
          if (changes.length > 0) yield* say({ events: changes.map((change) => eventOut(change, watched.previous)) })
          else if (connection.isTold) yield* say({})
          connection.isTold = false
          yield* connection.wake.await
        }
      })
    )
  }

  /** Goes on when the member speaks; fails when it is away. */
  #unlessSilent(at: Required<Where>, connection: Connection): Effect.Effect<void, GatewayFailure> {
    return Effect.gen({ self: this }, function* () {
      while (true) {
        const fault = this.#faultAt(at)
        if (connection.isCut || fault === "unreachable") return yield* Effect.fail(connection.isCut ? cut : refused)
        if (fault === "noLeader") return yield* Effect.fail(noLeader().failure)
        if (fault !== "silent") return
        connection.wake.closeUnsafe()
        yield* connection.wake.await
      }
    })
  }
}

const refusing = <A>(act: () => A): Effect.Effect<A, GatewayFailure> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(act())
    } catch (error) {
      if (error instanceof Refusal) return Effect.fail(error.failure)
      throw error
    }
  })
