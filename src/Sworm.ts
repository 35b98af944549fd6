/** A sworm: a named, typed collection of processes. Declared once, implemented and used on the nodes that start it. */
import { Context, Effect, type Exit, Layer, Option, type Scope, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import { type CallOptions, Dispatch } from "./Dispatch.ts"
import * as Placement from "./Placement.ts"
import type * as Process from "./Process.ts"
import { Registry, type RegistryChange } from "./Registry.ts"
import {
  compileType,
  describe,
  type ErasedImplementation,
  type Hosted,
  type HostedType,
  type Message
} from "./runtime/Hosted.ts"
import { Supervisor } from "./Supervisor.ts"
import {
  CallError,
  InvalidInput,
  type NotRegistered,
  type ProcessRef,
  type RegisterError,
  type Unavailable
} from "./SwormError.ts"

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
}

/** Options of one registration; they win over the process type's. */
export interface RegisterOptions {
  readonly restart?: Process.Restart | undefined
  /** Plain data told to every node, for `registered` and whoever looks. */
  readonly metadata?: unknown
}

/** What one member of a group answered to `multicall`. */
export interface MulticallResult<A, E> {
  readonly ref: ProcessRef
  readonly exit: Exit.Exit<A, E | CallError>
}

type RpcsOf<P> = P extends Process.ProcessType<string, infer _A, infer _S, infer Rpcs> ? Rpcs : never
type Tagged<P, Tag extends string> = Rpc.ExtractTag<RpcsOf<P>, Tag>
type TagsOf<P> = RpcsOf<P>["_tag"]

/** Uses a sworm: the same on every node, wherever its processes are. */
export interface SwormClient<P extends Process.Any> {
  /**
   * Registers a name and starts its process on the node that placement picks. Answers once `init` is done and a second
   * node knows of it.
   */
  readonly register: <Q extends P>(
    name: string,
    type: Q,
    args: Q["args"]["~type.make.in"],
    options?: RegisterOptions
  ) => Effect.Effect<ProcessRef, RegisterError>
  /** The process that has the name, started if none has. */
  readonly whereisOrRegister: <Q extends P>(
    name: string,
    type: Q,
    args: Q["args"]["~type.make.in"],
    options?: RegisterOptions
  ) => Effect.Effect<ProcessRef, Exclude<RegisterError, { readonly _tag: "NameTaken" }>>
  /** Stops the process and frees the name, for good. */
  readonly unregister: (name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** Who has the name, as this node knows it. */
  readonly whereis: (name: string) => Effect.Effect<Option.Option<ProcessRef>>
  /** Every name, in order. */
  readonly registered: Effect.Effect<ReadonlyArray<ProcessRef>>
  /** A typed client of one process, by name: it need not run yet. */
  readonly client: <Q extends P>(type: Q, name: string, options?: CallOptions) => Process.Client<RpcsOf<Q>, CallError>
  /** Calls one message of a process and waits for its answer. */
  readonly call: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    name: string,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>,
    options?: CallOptions
  ) => Effect.Effect<Rpc.Success<Tagged<Q, Tag>>, Rpc.Error<Tagged<Q, Tag>> | CallError>
  /** Sends a message and waits for nothing; `false` when there was nobody to send it to. */
  readonly cast: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    name: string,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>
  ) => Effect.Effect<boolean, CallError>
  /** Makes a process a member of a group. */
  readonly join: (group: string, name: string) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  readonly leave: (group: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The members of a group, in order of name. */
  readonly members: (group: string) => Effect.Effect<ReadonlyArray<ProcessRef>>
  /** Casts a message to every member of a group; answers how many it was sent to. */
  readonly publish: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    group: string,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>
  ) => Effect.Effect<number, CallError>
  /** Calls every member of a group at once; a slow or crashed member is one failed result, never a failed multicall. */
  readonly multicall: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    group: string,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>,
    options?: CallOptions
  ) => Effect.Effect<ReadonlyArray<MulticallResult<Rpc.Success<Tagged<Q, Tag>>, Rpc.Error<Tagged<Q, Tag>>>>>
  /** Registers something that runs here already; never moved or restarted, gone with the scope. */
  readonly adopt: (
    name: string,
    options?: { readonly metadata?: unknown }
  ) => Effect.Effect<ProcessRef, RegisterError, Scope.Scope>
  /** Changes of who has which name, from now on. */
  readonly changes: Stream.Stream<RegistryChange>
}

type ImplementedOf<Self, P> = P extends Process.ProcessType<infer Name, infer _A, infer _S, infer _R>
  ? Implemented<Self, Name>
  : never

/** The class that `Service` makes: the sworm's client as a service, and its layers. */
export interface ServiceClass<in out Self, in out Id extends string, in out P extends Process.Any>
  extends Context.ServiceClass<Self, Id, SwormClient<P>> {
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
    RI = never
  >(
    type: Q,
    implementation: Process.Implementation<Q["args"]["Type"], Q["state"]["Type"], H, EI, RI>
  ) => Layer.Layer<ImplementedOf<Self, Q>, never, Exclude<RI | Process.HandlersServices<H>, Scope.Scope | Self>>
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
<const Id extends string, const Processes extends ReadonlyArray<Process.Any>>(
  id: Id,
  options: SwormOptions<Processes>
): ServiceClass<Self, Id, Processes[number]> => {
  const tag = Context.Service<Self, SwormClient<Processes[number]>>()(id)
  const clientTypes = new Map(options.processes.map((type) => [type.name, compileType(type, options, undefined)]))
  const makeClient = Effect.gen(function* () {
    const client: unknown = clientOf(id, clientTypes, yield* Registry, yield* Supervisor, yield* Dispatch)
    return client as SwormClient<Processes[number]>
  })
  const host = Effect.gen(function* () {
    const client = yield* makeClient
    const supervisor = yield* Supervisor
    const services = yield* Effect.context<never>()
    const types = new Map<string, HostedType>()
    for (const type of options.processes) {
      const { context, implementation } = Context.getUnsafe(services, boundKey(id, type.name))
      const provided = Context.add(context, tag, client) as Context.Context<never>
      types.set(type.name, compileType(type, options, implementation, provided))
    }
    const hosted: Hosted = {
      id,
      types,
      placement: options.placement ?? Placement.rendezvous,
      redistribution: options.redistribution ?? "active"
    }
    yield* supervisor.host(hosted)
    return client
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
    layerClient: Layer.effect(tag)(makeClient),
    toLayer
  }) as unknown as ServiceClass<Self, Id, Processes[number]>
}

// ---- the client, without the types of what it carries

const encodeArgs = (
  sworm: string,
  types: ReadonlyMap<string, HostedType>,
  type: Process.Any,
  args: unknown
): Effect.Effect<unknown, InvalidInput> =>
  Effect.suspend(() => {
    const known = types.get(type.name)
    if (known === undefined) {
      return Effect.fail(new InvalidInput({ what: "process type", detail: `"${sworm}" has no "${type.name}"` }))
    }
    const encoded = known.args.encode(args)
    return encoded._tag === "Success"
      ? Effect.succeed(encoded.value)
      : Effect.fail(new InvalidInput({ what: `args of "${type.name}"`, detail: describe(encoded) }))
  })

interface ErasedClient {
  readonly register: (
    name: string,
    type: Process.Any,
    args: unknown,
    options?: RegisterOptions
  ) => Effect.Effect<ProcessRef, RegisterError>
  readonly [method: string]: unknown
}

const clientOf = (
  sworm: string,
  types: ReadonlyMap<string, HostedType>,
  registry: Registry,
  supervisor: Supervisor,
  dispatch: Dispatch
): ErasedClient => {
  const register: ErasedClient["register"] = (name, type, args, options) =>
    Effect.flatMap(encodeArgs(sworm, types, type, args), (encoded) =>
      supervisor.start({
        sworm,
        name,
        type: type.name,
        args: encoded,
        restart: options?.restart ?? types.get(type.name)?.options.restart,
        metadata: options?.metadata
      }))

  const whereisOrRegister: ErasedClient["register"] = (name, type, args, options) =>
    Effect.flatMap(
      registry.whereis(sworm, name),
      (found) =>
        Option.isSome(found)
          ? Effect.succeed(found.value)
          : Effect.catchTag(register(name, type, args, options), "NameTaken", ({ ref }) => Effect.succeed(ref))
    )

  /** The compiled type and message, and the payload as its schema makes it. */
  const prepare = (
    type: Process.Any,
    name: string,
    tag: string,
    input: unknown
  ): Effect.Effect<{ readonly message: Message; readonly payload: unknown }, CallError> =>
    Effect.suspend(() => {
      const known = types.get(type.name)
      const message = known?.messages.get(tag)
      if (known === undefined || message === undefined) {
        const detail = `"${type.name}" of "${sworm}" has no message "${tag}"`
        return Effect.fail(new CallError({ name, reason: "UnknownMessage", detail }))
      }
      try {
        return Effect.succeed({ message, payload: message.make(input) })
      } catch (error) {
        return Effect.fail(new CallError({ name, reason: "Encoding", detail: String(error) }))
      }
    })

  const call = (type: Process.Any, name: string, tag: string, input: unknown, options?: CallOptions) =>
    Effect.flatMap(
      prepare(type, name, tag, input),
      ({ message, payload }) => dispatch.call(sworm, name, message, payload, options)
    )

  const cast = (type: Process.Any, name: string, tag: string, input: unknown) =>
    Effect.flatMap(
      prepare(type, name, tag, input),
      ({ message, payload }) => dispatch.cast(sworm, name, message, payload)
    )

  const client = (type: Process.Any, name: string, options?: CallOptions) => {
    const methods: Record<string, (payload: unknown) => Effect.Effect<unknown, unknown>> = {}
    for (const tag of types.get(type.name)?.messages.keys() ?? []) {
      methods[tag] = (payload) => call(type, name, tag, payload, options)
    }
    return methods
  }

  const members = (group: string) => registry.members(sworm, group)

  const publish = (type: Process.Any, group: string, tag: string, input: unknown) =>
    Effect.gen(function* () {
      let sent = 0
      for (const { name } of yield* members(group)) if (yield* cast(type, name, tag, input)) sent++
      return sent
    })

  const multicall = (type: Process.Any, group: string, tag: string, input: unknown, options?: CallOptions) =>
    Effect.flatMap(members(group), (refs) =>
      Effect.forEach(
        refs,
        (ref) => Effect.map(Effect.exit(call(type, ref.name, tag, input, options)), (exit) => ({ ref, exit })),
        { concurrency: "unbounded" }
      ))

  return {
    register,
    whereisOrRegister,
    unregister: (name: string) => registry.unregister(sworm, name),
    whereis: (name: string) => registry.whereis(sworm, name),
    registered: registry.registered(sworm),
    client,
    call,
    cast,
    join: (group: string, name: string) => registry.join(sworm, group, name),
    leave: (group: string, name: string) => registry.leave(sworm, group, name),
    members,
    publish,
    multicall,
    adopt: (name: string, options?: { readonly metadata?: unknown }) => registry.adopt(sworm, name, options),
    changes: Stream.filter(registry.changes, (change) => change.sworm === sworm)
  }
}

export type { CallOptions } from "./Dispatch.ts"
