/** A sworm: a named, typed collection of processes. Declared once, implemented and used on the nodes that start it. */
import { Context, Effect, Layer, type Schema, type Scope } from "effect"
import { Dispatch } from "./Dispatch.ts"
import * as Placement from "./Placement.ts"
import type * as Process from "./Process.ts"
import { Registry } from "./Registry.ts"
import { makeClient } from "./runtime/client.ts"
import { compileType, type ErasedImplementation, type Hosted, type HostedType } from "./runtime/Hosted.ts"
import { makeKeys, makeMetadata } from "./runtime/SwormKeys.ts"
import { Supervisor } from "./Supervisor.ts"
import type { RpcsOf, SwormClient } from "./SwormClient.ts"

/** The services that a sworm runs on; a backend provides them. */
export type Backend = Registry | Supervisor | Dispatch

/** Says at compile time that a process type is implemented: provided by `toLayer`. */
export interface Implemented<Sworm, Name extends string> {
  readonly "~sworm/Implemented": (_: Sworm) => Name
}

export interface SwormOptions<Processes extends ReadonlyArray<Process.Any>> extends Process.ProcessOptions {
  readonly processes: Processes
  /** Where names live. Must be equal on all nodes. Default `Placement.rendezvous`. */
  readonly placement?: Placement.Placement | undefined
  /** `"active"` (default) moves processes to a new node whose homes they became; `"passive"` moves none. */
  readonly redistribution?: "active" | "passive" | undefined
  /** A node runs no more of the sworm's processes than this; one more fails with `TooManyProcesses`. Default: no limit. */
  readonly maxChildren?: number | undefined
  /** With more processes on a node than this, the least recently used idle ones become passive. Default: no limit. */
  readonly maxResident?: number | undefined
}

/** What names and metadata of a sworm are, besides strings and plain data. */
export interface SwormSchemas<Key extends Schema.Top, Metadata extends Schema.Top> {
  /**
   * Names are values of this schema; each is registered under its encoded form, a string as it is, anything else as
   * JSON with its fields in order. So a schema must not have values that encode to a text and to what that text is as
   * JSON (`"1"` and `1`): they would be one name. Default: strings.
   */
  readonly key?: Key | undefined
  /** Metadata are values of this schema. Default: plain data of any kind. */
  readonly metadata?: Metadata | undefined
}

type ImplementedOf<Self, P> = P extends Process.ProcessType<infer Name, infer _A, infer _S, infer _R>
  ? Implemented<Self, Name>
  : never

/** The class that `Service` makes: the sworm's client as a service, and its layers. */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out P extends Process.Any,
  in out Key = string,
  in out Metadata = unknown
> extends Context.ServiceClass<Self, Id, SwormClient<P, Key, Metadata>> {
  /** Hosts the sworm on this node: its processes may run here. Needs an implementation of every process type. */
  readonly layer: Layer.Layer<Self, never, ImplementedOf<Self, P> | Backend>
  /** Uses the sworm from a node that runs none of it. */
  readonly layerClient: Layer.Layer<Self, never, Backend>
  /** Binds what a process type does. Its handlers may use the sworm itself, and their process's scope. */
  readonly toLayer: <
    Q extends P,
    H extends
      | Process.Handlers<Q["state"]["Type"], RpcsOf<Q>, never>
      | Process.Handlers<Q["state"]["Type"], RpcsOf<Q>, unknown>,
    EI = never,
    RI = never,
    ER = never,
    RR = never
  >(
    type: Q,
    implementation: Process.Implementation<Q["args"]["Type"], Q["state"]["Type"], RpcsOf<Q>, H, EI, RI, ER, RR>
  ) => Layer.Layer<ImplementedOf<Self, Q>, never, Exclude<RI | RR | Process.HandlersServices<H>, Scope.Scope | Self>>
}

// ---- implementations, found by the sworm's layer

interface Bound {
  readonly implementation: ErasedImplementation
  readonly context: Context.Context<never>
}

const boundKey = (sworm: string, type: string): Context.Service<Bound, Bound> =>
  Context.Service<Bound>(`sworm/Implemented/${sworm}/${type}`)

/**
 * Declares a sworm.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 * import { Process, Sworm } from "@sworm/sworm"
 *
 * const Counter = Process.make("Counter", { protocol: [Rpc.make("Get", { success: Schema.Int })] })
 *
 * export class Counters extends Sworm.Service<Counters>()("Counters", { processes: [Counter] }) {}
 * ```
 */
export const Service = <Self>() =>
<
  const Id extends string,
  const Processes extends ReadonlyArray<Process.Any>,
  Key extends Schema.Top = typeof Schema.String,
  Metadata extends Schema.Top = typeof Schema.Unknown
>(
  id: Id,
  options: SwormOptions<Processes> & SwormSchemas<Key, Metadata>
): ServiceClass<Self, Id, Processes[number], Key["Type"], Metadata["Type"]> => {
  type Client = SwormClient<Processes[number], Key["Type"], Metadata["Type"]>
  const tag = Context.Service<Self, Client>()(id)
  const { key, metadata, ...defaults } = options
  const keys = makeKeys(key)
  const codec = makeMetadata(metadata)
  const clientTypes = new Map(options.processes.map((type) => [type.name, compileType(type, defaults, undefined)]))
  const client = Effect.gen(function* () {
    const [registry, supervisor, dispatch] = [yield* Registry, yield* Supervisor, yield* Dispatch]
    const made: unknown = makeClient({
      sworm: id,
      types: clientTypes,
      keys,
      metadata: codec,
      registry,
      supervisor,
      dispatch
    })
    return made as Client
  })
  const host = Effect.gen(function* () {
    const made = yield* client
    const supervisor = yield* Supervisor
    const services = yield* Effect.context<never>()
    const types = new Map<string, HostedType>()
    for (const type of options.processes) {
      const { context, implementation } = Context.getUnsafe(services, boundKey(id, type.name))
      const provided = Context.add(context, tag, made) as Context.Context<never>
      types.set(type.name, compileType(type, defaults, implementation, provided))
    }
    const hosted: Hosted = {
      id,
      types,
      placement: options.placement ?? Placement.rendezvous,
      redistribution: options.redistribution ?? "active",
      maxChildren: options.maxChildren ?? Infinity,
      maxResident: options.maxResident ?? Infinity
    }
    yield* supervisor.host(hosted)
    return made
  })
  const toLayer = (
    type: Process.Any,
    implementation: ErasedImplementation
  ): Layer.Layer<never, never, never> =>
    Layer.effect(boundKey(id, type.name))(
      Effect.map(Effect.context<never>(), (context) => ({ implementation, context }))
    ) as unknown as Layer.Layer<never>
  return Object.assign(tag, {
    layer: Layer.effect(tag)(host),
    layerClient: Layer.effect(tag)(client),
    toLayer
  }) as unknown as ServiceClass<Self, Id, Processes[number], Key["Type"], Metadata["Type"]>
}

export { type Daemon, type DaemonOptions, daemons, type DaemonsOptions, singleton } from "./Daemons.ts"
export type { CallOptions } from "./Dispatch.ts"
export type { AdoptOptions } from "./Registry.ts"
export type { EnsureError, MulticallResult, RegisterOptions, SwormClient, Watched } from "./SwormClient.ts"
