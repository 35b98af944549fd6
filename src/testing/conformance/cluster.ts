/** The nodes of one case: started on the harness, with the sworms that the cases use, and stopped together at the end. */
import { Context, Effect, Exit, Layer, Option, Scope } from "effect"
import { Handoff } from "../../Handoff.ts"
import { type Member, Membership } from "../../Membership.ts"
import { Registry } from "../../Registry.ts"
import { Supervisor } from "../../Supervisor.ts"
import type { ProcessRef } from "../../SwormError.ts"
import { equal, eventually, failure } from "./check.ts"
import type { BackendNode, Capability, ConformanceCase, Harness } from "./Harness.ts"
import {
  Counter,
  Settled,
  type SettledClient,
  settledLayer,
  Workers,
  type WorkersClient,
  workersLayer
} from "./sworms.ts"

/** One node as the cases see it. */
export interface TestNode {
  readonly id: string
  readonly membership: Membership
  readonly registry: Registry
  readonly supervisor: Supervisor
  readonly handoff: Handoff
  readonly workers: WorkersClient
  readonly settled: SettledClient
  /** A client of one counter; where frames get lost, calls that do no harm twice are repeated. */
  readonly counter: (name: string) => CounterClient
  /** Closes its scope: a graceful leave. */
  readonly stop: Effect.Effect<void>
  /** Gone without a word. */
  readonly kill: Effect.Effect<void>
}

export type CounterClient = ReturnType<typeof counterClient>

const counterClient = (workers: WorkersClient, name: string) => workers.client(Counter, name)

export interface StartNode {
  /** `false`: uses Workers without hosting it. Default `true`. */
  readonly hosts?: boolean
}

export interface TestCluster {
  readonly reliable: boolean
  /** Starts one more node, joined through those that run; it is synced, and all nodes see each other. */
  readonly start: (id: string, options?: StartNode) => Effect.Effect<TestNode, unknown>
  /** Nodes that run. */
  readonly nodes: () => ReadonlyArray<TestNode>
  /** Repeats a harmless call that was not answered in time, where frames get lost. */
  readonly repeat: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

interface Running {
  readonly node: TestNode
  readonly backend: BackendNode
}

const isTimeout = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "reason" in error && error.reason === "Timeout"

const makeCluster = (harness: Harness): Effect.Effect<TestCluster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const running = new Map<string, Running>()
    const reliable = harness.missing?.reliable === undefined
    const repeat: TestCluster["repeat"] = (effect) =>
      reliable ? effect : Effect.retry(effect, { while: isTimeout, times: 15 })

    yield* Effect.addFinalizer(() =>
      Effect.forEach([...running.values()], ({ node }) => node.stop, { concurrency: "unbounded", discard: true })
    )

    const startNode = (id: string, { hosts = true }: StartNode): Effect.Effect<Running, unknown> =>
      Effect.gen(function* () {
        const backendScope = yield* Scope.make()
        const seeds = [...running.values()].map(({ backend }) => backend)
        const backend = yield* Scope.provide(harness.start({ id, seeds }), backendScope)
        const sworms = yield* Scope.make("parallel")
        const build = <A, R>(layer: Layer.Layer<A, never, R>) =>
          Layer.buildWithScope(Layer.provide(layer, Layer.succeedContext(backend.services)), sworms)
        const workers = Context.get(
          yield* build(Layer.fresh(hosts ? workersLayer : Workers.layerClient) as typeof workersLayer),
          Workers
        )
        const settled = Context.get(
          yield* build(Layer.fresh(hosts ? settledLayer : Settled.layerClient) as typeof settledLayer),
          Settled
        )
        let ended = false
        const close = Effect.andThen(Scope.close(sworms, Exit.void), Scope.close(backendScope, Exit.void))
        const once = (effect: Effect.Effect<void>): Effect.Effect<void> =>
          Effect.suspend(() => {
            if (ended) return Effect.void
            ended = true
            running.delete(id)
            return effect
          })
        const counter = (name: string): CounterClient => {
          if (reliable) return counterClient(workers, name)
          const client = workers.client(Counter, name, { timeout: "1 second" })
          const repeated = Object.entries(client).map(([tag, method]) =>
            [tag, (payload: never) =>
              repeat((method as (payload: never) => Effect.Effect<unknown, unknown>)(payload))] as const
          )
          return Object.fromEntries(repeated) as unknown as CounterClient
        }
        const node: TestNode = {
          id: backend.id,
          membership: Context.get(backend.services, Membership),
          registry: Context.get(backend.services, Registry),
          supervisor: Context.get(backend.services, Supervisor),
          handoff: Context.get(backend.services, Handoff),
          workers,
          settled,
          counter,
          stop: once(close),
          // what is left of it ends in its own time: it can't reach anybody
          kill: once(
            Effect.andThen(
              backend.kill ?? Effect.die(new Error("this backend can't kill nodes")),
              Effect.asVoid(Effect.forkDetach(close))
            )
          )
        }
        return { node, backend }
      })

    const nodes = (): Array<TestNode> =>
      [...running.values()].map(({ node }) => node)

    const start: TestCluster["start"] = (id, options = {}) =>
      Effect.gen(function* () {
        const started = yield* startNode(id, options)
        running.set(id, started)
        yield* started.node.membership.awaitSynced
        yield* settle(nodes(), started.node)
        return started.node
      })

    return { reliable, start, nodes, repeat }
  })

/** The members that a node takes for usable, by id. */
export const aliveIds = (node: TestNode): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(node.membership.members, (members) => members.filter(isUp).map(({ id }) => id).sort())

const isUp = ({ status, synced }: Member): boolean => status === "alive" && synced

/** Waits until all see each other, and know what the new node wrote until now. */
const settle = (nodes: ReadonlyArray<TestNode>, fresh: TestNode): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const ids = nodes.map(({ id }) => id).sort()
    for (const node of nodes) {
      yield* eventually(
        Effect.map(aliveIds(node), (alive) => ids.every((id) => alive.includes(id))),
        `"${node.id}" sees ${ids.join(", ")} alive and synced`
      )
    }
    if (nodes.length === 1) return
    // what a node writes is known in order: who sees this name knows which sworms the node hosts
    yield* Effect.scoped(Effect.gen(function* () {
      const name = `settled-${fresh.id}`
      yield* fresh.registry.adopt("conformance/settle", name)
      for (const node of nodes) {
        yield* eventually(
          Effect.map(node.registry.whereis("conformance/settle", name), Option.isSome),
          `"${node.id}" sees what "${fresh.id}" registered`
        )
      }
    }))
  })

// ---- cases

export interface CaseOptions {
  readonly slow?: boolean
  readonly needs?: ReadonlyArray<Capability>
}

/** One case on nodes named a, b, c … */
export type Define = (
  nodes: number,
  name: string,
  body: (nodes: Nodes, cluster: TestCluster) => Effect.Effect<void, unknown, Scope.Scope>,
  options?: CaseOptions
) => ConformanceCase

/** The nodes of a case: the number asked for are there. */
export type Nodes = readonly [TestNode, TestNode, TestNode, ...ReadonlyArray<TestNode>]

export const group = (theme: string): Define => (nodes, name, body, options = {}) => ({
  name,
  group: theme,
  slow: options.slow ?? false,
  needs: options.needs ?? [],
  effect: (harness) =>
    Effect.gen(function* () {
      const cluster = yield* makeCluster(harness)
      const started: Array<TestNode> = []
      for (let i = 0; i < nodes; i++) started.push(yield* cluster.start("abcdefgh"[i]!))
      yield* body(started as unknown as Nodes, cluster)
    })
})

// ---- helpers of several themes

export const whereis = (node: TestNode, name: string): Effect.Effect<ProcessRef | undefined> =>
  Effect.map(node.workers.whereis(name), Option.getOrUndefined)

/** Every node sees the same holder. */
export const seenBy = (
  nodes: ReadonlyArray<TestNode>,
  name: string,
  ref: ProcessRef | undefined
): Effect.Effect<void, unknown> =>
  Effect.forEach(nodes, (node) =>
    eventually(
      Effect.map(whereis(node, name), (found) => found?.node === ref?.node && found?.epoch === ref?.epoch),
      `"${node.id}" finds ${ref === undefined ? "nobody" : `"${ref.node}" at epoch ${ref.epoch}`} under "${name}"`
    ), { discard: true })

/** The names of Workers that a node knows, in order. */
export const names = (node: TestNode): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(node.workers.registered, (refs) => refs.map(({ name }) => name))

export const memberNames = (node: TestNode, group: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(node.workers.members(group), (refs) => refs.map(({ name }) => name))

/** The ref is on this node, or the case can't go on. */
export const isOn = (ref: ProcessRef, node: TestNode): Effect.Effect<void, unknown> =>
  ref.node === node.id
    ? Effect.void
    : failure(`"${ref.name}" runs on "${ref.node}": placement wants it on "${node.id}"`)

export const sameRef = (
  actual: ProcessRef | undefined,
  expected: ProcessRef,
  what: string
): Effect.Effect<void, unknown> => equal<ProcessRef | undefined>(actual, expected, what)
