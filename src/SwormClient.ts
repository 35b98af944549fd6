/** The client of a sworm: what a program does with it, the same on every node, wherever its processes are. */
import type { Effect, Exit, Option, Scope, Stream } from "effect"
import type { Rpc } from "effect/rpc"
import type { CallOptions } from "./Dispatch.ts"
import type * as Process from "./Process.ts"
import type {
  AdoptOptions,
  Entry,
  Guarantee,
  Lookup,
  MonitorEvent,
  Query,
  RegistryChange,
  WatchEvent
} from "./Registry.ts"
import type {
  CallError,
  InvalidInput,
  NameTaken,
  NotOwner,
  NotRegistered,
  ProcessRef,
  RegisterError,
  Unavailable
} from "./SwormError.ts"
import type { Child, Explanation, GivenUp, LinkOptions, Plan, PlanChange, SupervisorEvent } from "./Supervisor.ts"

/** Options of one registration; they win over the process type's, those over the sworm's. */
export interface RegisterOptions<Metadata = unknown>
  extends Omit<Process.ProcessOptions, "backoff" | "reentrant" | "snapshot">, AdoptOptions<Metadata> {}

/** What one member of a group answered to `multicall`. */
export interface MulticallResult<A, E> {
  readonly ref: ProcessRef
  readonly exit: Exit.Exit<A, E | CallError>
}

export type RpcsOf<P> = P extends Process.ProcessType<string, infer _A, infer _S, infer Rpcs> ? Rpcs : never
type Tagged<P, Tag extends string> = Rpc.ExtractTag<RpcsOf<P>, Tag>
type TagsOf<P> = Process.EffectTags<RpcsOf<P>>

/** What starting a process where there may be one already can fail with. */
export type EnsureError = Exclude<RegisterError, NameTaken>

/** What to watch: one name, all that start with a prefix (as they are encoded), or everything. */
export type Watched<Key> = { readonly name: Key } | { readonly prefix: string } | "everything"

/**
 * Uses a sworm. A name is a string, or what the sworm's key schema says; the methods that take no `InvalidInput` die of
 * a key that its schema refuses.
 */
export interface SwormClient<in out P extends Process.Any, in out Key = string, in out Metadata = unknown> {
  // ---- registering

  /**
   * Registers a name and starts its process on the node that placement picks. Answers once `init` is done and a second
   * node knows of it.
   */
  readonly register: <Q extends P>(
    name: Key,
    type: Q,
    args: Q["args"]["~type.make.in"],
    options?: RegisterOptions<Metadata>
  ) => Effect.Effect<ProcessRef, RegisterError>
  /** The process that has the name, started if none has. */
  readonly whereisOrRegister: <Q extends P>(
    name: Key,
    type: Q,
    args: Q["args"]["~type.make.in"],
    options?: RegisterOptions<Metadata>
  ) => Effect.Effect<ProcessRef, EnsureError>
  /** Stops the process and frees all its names, for good; given an alias, frees just that. */
  readonly unregister: (name: Key) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The same, by the word that supervisors use. */
  readonly terminate: (name: Key) => Effect.Effect<void, NotRegistered | Unavailable>
  /** Registers something that runs here already; never moved or restarted, gone with the scope. */
  readonly adopt: (
    name: Key,
    options?: AdoptOptions<Metadata>
  ) => Effect.Effect<ProcessRef, RegisterError, Scope.Scope>
  /** One more name for a process, under which it can be found and called like under its own. */
  readonly alias: (
    alias: Key,
    name: Key
  ) => Effect.Effect<ProcessRef, NameTaken | NotRegistered | InvalidInput | Unavailable>
  /** Starts a lease anew. */
  readonly renew: (name: Key) => Effect.Effect<void, NotRegistered | Unavailable>

  // ---- looking

  /**
   * Who has the name, as this node knows it; with a guarantee asked for, an answer that says which it carries.
   * `"linearizable"` is asked of etcd; on gossip, which has nobody to ask, it fails with `Unavailable`.
   */
  readonly whereis: {
    (name: Key): Effect.Effect<Option.Option<ProcessRef>>
    (name: Key, guarantee: Guarantee): Effect.Effect<Lookup, Unavailable>
  }
  /** Every name, in order. */
  readonly registered: Effect.Effect<ReadonlyArray<ProcessRef>>
  /** What is registered with a name. */
  readonly entry: (name: Key) => Effect.Effect<Option.Option<Entry<Metadata | undefined>>>
  /** Entries by prefix, node, process type, group or a predicate, in order of name. */
  readonly select: (
    query?: Query<Metadata | undefined>
  ) => Effect.Effect<ReadonlyArray<Entry<Metadata | undefined>>>
  /** Every name of the process that has the ref's name, first the one that it was registered under. */
  readonly keys: (ref: ProcessRef) => Effect.Effect<ReadonlyArray<string>>
  /** The key that a ref's name stands for. */
  readonly keyOf: (ref: Pick<ProcessRef, "name">) => Effect.Effect<Key, InvalidInput>
  /** How many names there are, on one node or on all. */
  readonly count: (node?: string) => Effect.Effect<number>
  /** First what is there, then every change of it, with no gap in between. */
  readonly watch: (what: Watched<Key>) => Stream.Stream<WatchEvent<Metadata | undefined>>
  /** Whether a process is up, first as it is now, then at each change, with reasons. */
  readonly monitor: (name: Key) => Stream.Stream<MonitorEvent>
  /** Changes of who has which name, from now on. */
  readonly changes: Stream.Stream<RegistryChange>

  // ---- messages

  /** A typed client of one process, by name: it need not run yet. */
  readonly client: <Q extends P>(type: Q, name: Key, options?: CallOptions) => Process.Client<RpcsOf<Q>, CallError>
  /** As `client`; a call to a name that nobody has starts it first. */
  readonly ensure: <Q extends P>(
    type: Q,
    name: Key,
    args: Q["args"]["~type.make.in"],
    options?: RegisterOptions<Metadata> & CallOptions
  ) => Process.Client<RpcsOf<Q>, CallError | EnsureError>
  /** Calls one message of a process and waits for its answer. */
  readonly call: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    name: Key,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>,
    options?: CallOptions
  ) => Effect.Effect<Rpc.Success<Tagged<Q, Tag>>, Rpc.Error<Tagged<Q, Tag>> | CallError>
  /**
   * Sends a message and waits for nothing; `false` when there was nobody to send it to. What one node sends to one name,
   * each after the one before, is handled in that order and at most once, wherever the process goes meanwhile. What is
   * lost on the way holds up what comes after it for half a second.
   */
  readonly cast: <Q extends P, Tag extends TagsOf<Q>>(
    type: Q,
    name: Key,
    tag: Tag,
    payload: Rpc.PayloadConstructor<Tagged<Q, Tag>>
  ) => Effect.Effect<boolean, CallError>

  // ---- groups

  /** Makes a process a member of a group. */
  readonly join: (group: string, name: Key) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  readonly leave: (group: string, name: Key) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The members of a group, in order of name. */
  readonly members: (group: string) => Effect.Effect<ReadonlyArray<ProcessRef>>
  /** Every group that has a member, in order. */
  readonly groups: Effect.Effect<ReadonlyArray<string>>
  /** Casts a message to every member of a group at once; answers how many it was sent to. */
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

  // ---- metadata

  /** Replaces a name's metadata; from any node. */
  readonly setMetadata: (
    name: Key,
    metadata: Metadata
  ) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  /** Changes a name's metadata where it is held, where nothing comes in between: from its handlers, for instance. */
  readonly updateMetadata: (
    name: Key,
    update: (metadata: Metadata | undefined) => Metadata
  ) => Effect.Effect<Metadata, NotOwner | NotRegistered | InvalidInput | Unavailable>
  /** A value of the sworm as a whole, the same on every node: the last one written. */
  readonly meta: (key: string) => Effect.Effect<Option.Option<unknown>>
  readonly putMeta: (key: string, value: unknown) => Effect.Effect<void, InvalidInput | Unavailable>
  readonly deleteMeta: (key: string) => Effect.Effect<void, InvalidInput | Unavailable>

  // ---- supervision

  /** The processes, of one node or of all. */
  readonly which: (node?: string) => Effect.Effect<ReadonlyArray<Child>>
  /** How many processes each node runs. */
  readonly countChildren: Effect.Effect<ReadonlyMap<string, number>>
  /** Ties processes together: they are restarted, and given up, as the strategy says. */
  readonly link: (
    link: Omit<LinkOptions, "names"> & { readonly names: ReadonlyArray<Key> }
  ) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  readonly unlink: (name: Key) => Effect.Effect<void, NotRegistered | Unavailable>
  /** Processes past their restart limit, not started since. */
  readonly givenUp: Effect.Effect<ReadonlyArray<GivenUp>>
  /** Starts a given up process again. */
  readonly reset: (name: Key) => Effect.Effect<ProcessRef, NotRegistered | RegisterError>
  /** Where a name is, why there, and what happened to it. */
  readonly explain: (name: Key) => Effect.Effect<Explanation>
  /** What would move if placement or nodes were others. Only on nodes that host the sworm. */
  readonly plan: (change: PlanChange) => Effect.Effect<Option.Option<Plan>>
  /** What happens to the sworm's processes on this node, from now on. */
  readonly events: Stream.Stream<SupervisorEvent>
}
