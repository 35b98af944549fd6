/** Sworms of a case's own, hosted on the nodes it wants, whose processes note what happens to them. */
import { Context, Deferred, Effect, Layer, Ref, Schema, Scope } from "effect"
import { Rpc } from "effect/rpc"
import * as Node from "../../Node.ts"
import * as Placement from "../../Placement.ts"
import * as Process from "../../Process.ts"
import type { Registry } from "../../Registry.ts"
import type { Supervisor } from "../../Supervisor.ts"
import * as Sworm from "../../Sworm.ts"
import type { SwormClient } from "../../SwormClient.ts"
import { eventually, failure } from "./check.ts"
import { type CaseOptions, group as clusterGroup, type Nodes, type TestCluster, type TestNode } from "./cluster.ts"
import type { BackendNode, ConformanceCase, Harness } from "./Harness.ts"

/**
 * A name `x@c,a` lives on c when c can host it, else on a; others as rendezvous hashing says. So a case decides where
 * its processes are, and where they go.
 */
export const preferred: Placement.Placement = Placement.make("conformance/preferred", (key, candidates) => {
  const at = key.lastIndexOf("@")
  for (const id of at < 0 ? [] : key.slice(at + 1).split(",")) {
    const found = candidates.find((candidate) => candidate.id === id)
    if (found !== undefined) return found
  }
  return Placement.rendezvous.pick(key, candidates)
})

/** What a probe is told by its timers: a date shows that it went through its schema. */
const Told = { what: Schema.String, when: Schema.Date }

export const Probe = Process.make("Probe", {
  args: { start: Schema.Int },
  state: Schema.Struct({ count: Schema.Int, heard: Schema.Array(Schema.String) }),
  protocol: [
    Rpc.make("Add", { payload: { by: Schema.Int }, success: Schema.Int }),
    Rpc.make("Get", { success: Schema.Int }),
    Rpc.make("Where", { success: Schema.String }),
    Rpc.make("Epoch", { success: Schema.Number }),
    Rpc.make("Crash"),
    Rpc.make("StopNormally"),
    /** Answers when the case opens the gate. */
    Rpc.make("Wait"),
    /** What timers send. */
    Rpc.make("Hear", { payload: Told }),
    Rpc.make("Heard", { success: Schema.Array(Schema.String) }),
    Rpc.make("After", { payload: { id: Schema.String, millis: Schema.Int, what: Schema.String } }),
    Rpc.make("Every", { payload: { id: Schema.String, millis: Schema.Int, what: Schema.String } }),
    Rpc.make("At", { payload: { id: Schema.String, atMs: Schema.Int, what: Schema.String } }),
    /** As `After`, without an id. */
    Rpc.make("Soon", { payload: { millis: Schema.Int, what: Schema.String } }),
    Rpc.make("Cancel", { payload: { id: Schema.String } }),
    /** Sets timers `0` to `count - 1`, all far away. */
    Rpc.make("Fill", { payload: { count: Schema.Int } })
  ]
})

type ProbeState = (typeof Probe)["state"]["Type"]
type ProbeRpcs = (typeof Probe)["protocol"][number]
type Self = Process.Self<ProbeState, ProbeRpcs>

/** The tag of every sworm of probes. */
export interface Probes {
  readonly "~sworm/conformance/Probes": true
}

export type ProbeOptions = Omit<Sworm.SwormOptions<readonly [typeof Probe]>, "processes">
export type ProbeSworm = Sworm.ServiceClass<Probes, string, typeof Probe>
export type ProbesClient = SwormClient<typeof Probe>

/** A sworm of probes, placed as their names say unless another placement is given. */
export const probes = (id: string, options: ProbeOptions = {}): ProbeSworm =>
  Sworm.Service<Probes>()(`conformance/${id}` as string, { placement: preferred, ...options, processes: [Probe] })

// ---- what they note

export type Happening = "acquired" | "serves" | "heard" | "stopping" | "stopped" | "released"

export interface Line {
  readonly name: string
  readonly node: string
  readonly what: Happening
  readonly detail: string
}

/** What happened to the processes of a case, on all its nodes, in order. */
export class Diary {
  readonly lines: Array<Line> = []

  note(node: string, name: string, what: Happening, detail = ""): Effect.Effect<void> {
    return Effect.sync(() => void this.lines.push({ node, name, what, detail }))
  }

  /** As `what@node`. */
  of(name: string): ReadonlyArray<string> {
    return this.lines.filter((line) => line.name === name).map(({ node, what }) => `${what}@${node}`)
  }

  count(what: Happening, name?: string): number {
    return this.lines.filter((line) => line.what === what && (name === undefined || line.name === name)).length
  }

  details(what: Happening, name: string): ReadonlyArray<string> {
    return this.lines.filter((line) => line.what === what && line.name === name).map(({ detail }) => detail)
  }

  /** Waits until something has happened to a process so many times. */
  until(what: Happening, name: string, times: number): Effect.Effect<void, unknown> {
    return Effect.catch(
      eventually(Effect.sync(() => this.count(what, name) >= times), `"${name}": ${what}, ${times} times`),
      ({ message }) => failure(`${message}; so far: ${this.of(name).join(" ")}`)
    )
  }
}

/** What a case's processes do besides. */
export interface Acts {
  readonly init?: (name: string, node: string) => Effect.Effect<unknown, unknown, Probes>
  readonly run?: (self: Self) => Effect.Effect<unknown, unknown>
  readonly stop?: (name: string, node: string) => Effect.Effect<void>
  /** The finalizer of what `init` acquires. */
  readonly release?: (name: string, node: string) => Effect.Effect<void>
  /** What `Wait` waits for. */
  readonly gate?: Deferred.Deferred<void>
}

const at = new Date(1_000_000)

const handlersOf = (node: string, diary: Diary, acts: Acts) => ({
  Add: ({ by }: { readonly by: number }, { state }: Self) =>
    Ref.modify(state, (s) => [s.count + by, { ...s, count: s.count + by }]),
  Get: (_: void, { state }: Self) => Effect.map(Ref.get(state), ({ count }) => count),
  Where: (_: void, self: Self) => Effect.succeed(self.node),
  Epoch: (_: void, self: Self) => Effect.succeed(self.epoch),
  Crash: () => Effect.die(new Error("crash on purpose")),
  StopNormally: (_: void, self: Self) => self.stop,
  Wait: () => acts.gate === undefined ? Effect.void : Deferred.await(acts.gate),
  Hear: ({ what, when }: { readonly what: string; readonly when: Date }, self: Self) =>
    Effect.andThen(
      Ref.update(self.state, (s) => ({ ...s, heard: [...s.heard, what] })),
      diary.note(node, self.name, "heard", when.getTime() === at.getTime() ? what : `${what}, at another date`)
    ),
  Heard: (_: void, { state }: Self) => Effect.map(Ref.get(state), ({ heard }) => heard),
  After: ({ id, millis, what }: { readonly id: string; readonly millis: number; readonly what: string }, self: Self) =>
    self.timers.after("Hear", millis, { what, when: at }, { id }),
  Every: ({ id, millis, what }: { readonly id: string; readonly millis: number; readonly what: string }, self: Self) =>
    self.timers.every("Hear", millis, { what, when: at }, { id }),
  At: ({ atMs, id, what }: { readonly id: string; readonly atMs: number; readonly what: string }, self: Self) =>
    self.timers.at("Hear", new Date(atMs), { what, when: at }, { id }),
  Soon: ({ millis, what }: { readonly millis: number; readonly what: string }, self: Self) =>
    self.timers.after("Hear", millis, { what, when: at }),
  Cancel: ({ id }: { readonly id: string }, self: Self) => self.timers.cancel(id),
  Fill: ({ count }: { readonly count: number }, self: Self) =>
    Effect.forEach(
      Array.from({ length: count }, (_, i) => String(i)),
      (id) => self.timers.after("Hear", "1 day", { what: id, when: at }, { id }),
      { discard: true }
    )
})

const implementation = (sworm: ProbeSworm, node: string, diary: Diary, acts: Acts) =>
  sworm.toLayer(Probe, {
    init: ({ args, handoff, name }) =>
      Effect.gen(function* () {
        yield* Effect.acquireRelease(
          diary.note(node, name, "acquired", handoff === undefined ? "" : `handoff ${handoff.count}`),
          () => Effect.andThen(acts.release?.(name, node) ?? Effect.void, diary.note(node, name, "released"))
        )
        yield* acts.init?.(name, node) ?? Effect.void
        return { count: args.start, heard: [] }
      }),
    handlers: handlersOf(node, diary, acts),
    run: (self) => Effect.andThen(diary.note(node, self.name, "serves"), acts.run?.(self) ?? Effect.void),
    stop: (reason, { name }) =>
      Effect.gen(function* () {
        yield* diary.note(node, name, "stopping", reason)
        yield* acts.stop?.(name, node) ?? Effect.void
        yield* diary.note(node, name, "stopped")
      })
  })

// ---- cases that use them

export interface Stage {
  readonly cluster: TestCluster
  readonly diary: Diary
  /** Hosts a sworm on a node, until the node stops. */
  readonly host: (node: TestNode, sworm: ProbeSworm, acts?: Acts) => Effect.Effect<ProbesClient>
  /** Hosts a sworm on all these nodes, and waits until each knows that all of them do. */
  readonly hostAll: <const N extends ReadonlyArray<TestNode>>(
    nodes: N,
    sworm: ProbeSworm,
    acts?: Acts
  ) => Effect.Effect<{ readonly [I in keyof N]: ProbesClient }, unknown>
  /** Uses a sworm on a node that doesn't host it. */
  readonly use: (node: TestNode, sworm: ProbeSworm) => Effect.Effect<ProbesClient>
  /** Runs a layer on a node, until the node stops. */
  readonly run: (
    node: TestNode,
    layer: Layer.Layer<never, never, Registry | Supervisor | Node.Node>
  ) => Effect.Effect<void>
}

/** Waits until every client's node knows of so many hosts. */
export const knowHosts = (clients: ReadonlyArray<ProbesClient>, count: number): Effect.Effect<void, unknown> =>
  Effect.forEach(clients, (client) =>
    eventually(
      Effect.map(client.explain("whatever"), ({ candidates }) => candidates.length === count),
      `each knows of ${count} hosts`
    ), { discard: true })

interface Started {
  readonly backend: BackendNode
  readonly scope: Scope.Scope
}

const makeStage = (started: ReadonlyMap<string, Started>, cluster: TestCluster): Stage => {
  const diary = new Diary()
  const build = <A>(
    node: TestNode,
    make: (services: BackendNode["services"]) => Layer.Layer<A, never, never>
  ): Effect.Effect<Context.Context<A>> => {
    const { backend, scope } = started.get(node.id)!
    return Layer.buildWithScope(Layer.fresh(make(backend.services)), scope)
  }
  const host: Stage["host"] = (node, sworm, acts = {}) =>
    Effect.map(
      build(node, (services) =>
        sworm.layer.pipe(
          Layer.provide(implementation(sworm, node.id, diary, acts)),
          Layer.provide(Layer.succeedContext(services))
        )),
      (context) => Context.get(context, sworm)
    )
  return {
    cluster,
    diary,
    host,
    hostAll: (nodes, sworm, acts) =>
      Effect.gen(function* () {
        const clients = yield* Effect.forEach(nodes, (node) => host(node, sworm, acts))
        yield* knowHosts(clients, nodes.length)
        return clients as never
      }),
    use: (node, sworm) =>
      Effect.map(
        build(node, (services) => sworm.layerClient.pipe(Layer.provide(Layer.succeedContext(services)))),
        (context) => Context.get(context, sworm)
      ),
    run: (node, layer) =>
      Effect.asVoid(build(node, (services) =>
        layer.pipe(
          Layer.provide(Layer.orDie(Node.layer({ id: node.id }))),
          Layer.provide(Layer.succeedContext(services))
        )))
  }
}

export type DefineWithProbes = (
  nodes: number,
  name: string,
  body: (nodes: Nodes, stage: Stage) => Effect.Effect<void, unknown, Scope.Scope>,
  options?: CaseOptions
) => ConformanceCase

/** As `group` of the cluster, with a stage for the case. */
export const group = (theme: string): DefineWithProbes => (nodes, name, body, options) => {
  const started = new Map<string, Started>()
  const one = (of: ReadonlyMap<string, Started>) =>
    clusterGroup(theme)(nodes, name, (all, cluster) => body(all, makeStage(of, cluster)), options)
  return {
    ...one(started),
    // a case may run on several harnesses at a time: each run has nodes of its own
    effect: (harness) =>
      Effect.suspend(() => {
        const of = new Map<string, Started>()
        const start: Harness["start"] = (options) =>
          Effect.gen(function* () {
            const backend = yield* harness.start(options)
            of.set(options.id, { backend, scope: yield* Effect.scope })
            return backend
          })
        return one(of).effect({ ...harness, start })
      })
  }
}

// ---- helpers

/** It crashes, and says so to its caller. */
export const crash = (client: ProbesClient, name: string): Effect.Effect<void, unknown> =>
  Effect.flatMap(
    Effect.flip(client.client(Probe, name, { timeout: "20 seconds" }).Crash()),
    (error) => error.reason === "Crashed" ? Effect.void : failure(`the call that crashes "${name}": ${error.message}`)
  )

/** The names that a node knows, in order. */
export const namesOf = (client: ProbesClient): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(client.registered, (refs) => refs.map(({ name }) => name))

/** The node that has a name, as a client's node knows it. */
export const holderOf = (client: ProbesClient, name: string): Effect.Effect<string | undefined> =>
  Effect.map(client.whereis(name), (ref) => ref._tag === "Some" ? ref.value.node : undefined)

/** Every node finds the name on this one, or nowhere. */
export const foundOn = (
  clients: ReadonlyArray<ProbesClient>,
  name: string,
  node: string | undefined
): Effect.Effect<void, unknown> =>
  Effect.forEach(clients, (client) =>
    eventually(
      Effect.map(holderOf(client, name), (holder) => holder === node),
      `each finds "${name}" on ${node ?? "no node"}`
    ), { discard: true })

/** A call that harms nothing, repeated where its answer got lost. */
export const ask = <A, E, R>(stage: Stage, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  stage.cluster.repeat(effect)

/** A client of one process, whose calls end in time to be repeated where frames get lost. */
export const probe = (stage: Stage, client: ProbesClient, name: string) =>
  client.client(Probe, name, { timeout: stage.cluster.reliable ? "20 seconds" : "1 second" })
