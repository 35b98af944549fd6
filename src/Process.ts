/** Process types: what a process is called with, what it remembers, what it answers. Known to every node by name. */
import type { DateTime, Duration, Effect, Ref, Schedule, Schema, Scope, Stream } from "effect"
import { Schema as S } from "effect"
import type { Rpc } from "effect/rpc"
import type { HandoffAnswer } from "./Handoff.ts"

export type { ProcessRef } from "./SwormError.ts"

/**
 * When a process that ended is started again: `permanent` always, `transient` after a crash, `temporary` never. The loss
 * of its node is not an end: whatever the policy, the process runs again on another node.
 */
export type Restart = "permanent" | "transient" | "temporary"

/**
 * Copies of a process's state on other nodes, from which it goes on when its own node is lost, or when it crashes.
 * `"eachCall"` is `{ every: "call" }`.
 */
export interface SnapshotOptions {
  /**
   * `"call"`: a call is answered only once the state that it left is kept by the replicas, so that the loss of a node takes
   * nothing with it that was acknowledged; each call that changes the state takes one more round trip. A duration: the
   * state is sent when it has changed, at most this often, and what changed since is lost with the node.
   */
  readonly every: Duration.Input | "call"
  /**
   * On how many other nodes: the next ones in the name's placement, or as many as there are. Default 1: the state
   * survives the loss of any one node. Raising it survives more losses at once and sends every snapshot to more nodes.
   */
  readonly replicas?: number | undefined
}

/** How a process is looked after. Given to `register`, it wins over the process type's, that over the sworm's. */
export interface ProcessOptions {
  /** Default `"transient"`. */
  readonly restart?: Restart | undefined
  /**
   * Give a process up after more than `max` restarts within `within`: its name is freed. Each process has its own count.
   * Raising it keeps a process that crashes often; lowering it frees its name sooner. Default 3 in 5 seconds.
   */
  readonly restartLimit?: { readonly max: number; readonly within: Duration.Input } | undefined
  /** The wait before each restart. Default: none. */
  readonly backoff?: Schedule.Schedule<unknown> | undefined
  /** `init` has this long. Default 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
  /** Messages that may wait while one is handled; one more fails with `MailboxFull`. Default 1,024. */
  readonly mailboxCapacity?: number | undefined
  /** Move the process with its state when its home changes or its node leaves. Default `true`; else it starts anew there. */
  readonly handoff?: boolean | undefined
  /**
   * How long the process's `stop` and finalizers may take when it is closed; after that they are no longer waited for.
   * `"brutal"`: `stop` is not called and nothing is waited for. `"infinite"`: as long as they take. Default 5 seconds.
   */
  readonly shutdownTimeout?: Duration.Input | "brutal" | "infinite" | undefined
  /**
   * A process without a message for this long becomes passive: its scope closes, with all that it acquired, and it keeps
   * its name, its state and its timers. The next message wakes it: `init` runs again, and the state stays. Default: none.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /**
   * What a call does that comes round a circle back to a process that waits for it. `false` (default): it fails with
   * `Reentrant`. `true`: it runs at once, between two steps of the handler that waits.
   */
  readonly reentrant?: boolean | undefined
  /** Keep the state on other nodes too. Needs a `state`. Default: none; a lost process starts from its args. */
  readonly snapshot?: "eachCall" | SnapshotOptions | undefined
}

/** What a node, and nobody else at the same time, holds a name by. Hand it to a storage that refuses lower ones. */
export interface FencingToken {
  readonly epoch: number
  readonly node: string
  readonly boot: number
}

export interface TimerOptions {
  /** Two timers with one id are one: the later setting counts. Default: the message's tag. */
  readonly id?: string | undefined
}

/**
 * Messages that a process sets for itself. They belong to its registration: they stay through restart, passivation and
 * move, start again on another node when theirs is lost, and end with the name. At most 64 for each process. A timer
 * that was due while nobody ran the process fires as soon as somebody does; of a repeated one what was missed is not
 * made up for. A timer fires once, or once more if its node is lost in that moment. Its message waits in the mailbox
 * like any other; nobody gets the answer.
 */
export interface Timers<Rpcs extends Rpc.Any> {
  /** Once, after a while. */
  readonly after: <Tag extends Rpcs["_tag"]>(
    tag: Tag,
    delay: Duration.Input,
    ...payload: TimerArguments<Rpc.ExtractTag<Rpcs, Tag>>
  ) => Effect.Effect<void>
  /** Again and again, first after one period. */
  readonly every: <Tag extends Rpcs["_tag"]>(
    tag: Tag,
    period: Duration.Input,
    ...payload: TimerArguments<Rpc.ExtractTag<Rpcs, Tag>>
  ) => Effect.Effect<void>
  /** Once, at a time: a date, or ms since 1970. A time that has passed is now. */
  readonly at: <Tag extends Rpcs["_tag"]>(
    tag: Tag,
    when: Date | DateTime.DateTime | number,
    ...payload: TimerArguments<Rpc.ExtractTag<Rpcs, Tag>>
  ) => Effect.Effect<void>
  /** By id, which is the tag where none was given. Does nothing if there is none. */
  readonly cancel: (id: string) => Effect.Effect<void>
}

/** The payload, where the message has one, and options. */
export type TimerArguments<R extends Rpc.Any> = void extends Rpc.PayloadConstructor<R>
  ? readonly [payload?: undefined, options?: TimerOptions]
  : Record<never, never> extends Rpc.PayloadConstructor<R>
    ? readonly [payload?: Rpc.PayloadConstructor<R>, options?: TimerOptions]
  : readonly [payload: Rpc.PayloadConstructor<R>, options?: TimerOptions]

/** A process, seen by its own code. */
export interface Self<State, Rpcs extends Rpc.Any = Rpc.Any> {
  readonly sworm: string
  readonly name: string
  readonly node: string
  /** Grows with every start of the name anywhere, with every move, and when a split is settled. */
  readonly epoch: number
  readonly token: FencingToken
  /** Handlers run one at a time: what one reads, no other changes meanwhile. */
  readonly state: Ref.Ref<State>
  /** Ends the process normally once the message at hand is answered. */
  readonly stop: Effect.Effect<void>
  readonly timers: Timers<Rpcs>
}

/** What `init` is told. */
export interface InitContext<Args, State, Rpcs extends Rpc.Any = Rpc.Any> {
  readonly args: Args
  readonly sworm: string
  readonly name: string
  readonly epoch: number
  /**
   * The state brought by a move, kept while passive, or restored from a snapshot; the process continues from it whatever
   * `init` answers.
   */
  readonly handoff: State | undefined
  /** How old the state is, where a snapshot brought it: what has happened since may be missing. */
  readonly snapshotAge: Duration.Duration | undefined
  readonly timers: Timers<Rpcs>
}

/** One of two copies of a process. */
export interface ConflictSide {
  readonly node: string
  readonly epoch: number
  /** Since when its state is unbroken. */
  readonly since: Date
}

/** Which two copies `resolveConflict` is asked to merge. */
export interface ConflictContext {
  readonly sworm: string
  readonly name: string
  readonly mine: ConflictSide
  readonly theirs: ConflictSide
}

/** Why a process is being closed. */
export type StopReason =
  | "Moved"
  | "Unregistered"
  | "Crashed"
  | "Ended"
  | "Shutdown"
  | "Superseded"
  /** It is idle, or one of too many: it becomes passive. */
  | "Idle"
  /** A process that it is linked to has crashed: it starts again too. */
  | "Followed"

export interface ProcessType<
  out Name extends string,
  out Args extends Schema.Top,
  out State extends Schema.Top,
  out Rpcs extends Rpc.Any
> {
  readonly name: Name
  readonly args: Args
  readonly state: State
  readonly protocol: ReadonlyArray<Rpcs>
  readonly options: ProcessOptions
}

/** Any process type. */
export type Any = ProcessType<string, Schema.Top, Schema.Top, Rpc.Any>

/** The fields that a process type's definition may have. */
export interface Definition<
  Args extends Schema.Struct.Fields,
  State extends Schema.Top,
  Rpcs extends ReadonlyArray<Rpc.Any>
> extends ProcessOptions {
  /** What a start needs. Must survive the loss of a node, so keep it small and plain. */
  readonly args?: Args | undefined
  /** What a move carries along. Leave it out for a process without state. */
  readonly state?: State | undefined
  readonly protocol: Rpcs
}

/**
 * Declares a process type.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 * import { Process } from "@sworm/sworm"
 *
 * export const Counter = Process.make("Counter", {
 *   args: { start: Schema.Int },
 *   state: Schema.Int,
 *   protocol: [
 *     Rpc.make("Increment", { payload: { by: Schema.Int }, success: Schema.Int }),
 *     Rpc.make("Get", { success: Schema.Int })
 *   ]
 * })
 * ```
 */
export const make = <
  const Name extends string,
  const Rpcs extends ReadonlyArray<Rpc.Any>,
  Args extends Schema.Struct.Fields = Record<never, never>,
  State extends Schema.Top = Schema.Void
>(
  name: Name,
  definition: Definition<Args, State, Rpcs>
): ProcessType<Name, Schema.Struct<Args>, State, Rpcs[number]> => {
  const { args, protocol, state, ...options } = definition
  return {
    name,
    args: S.Struct(args ?? ({} as Args)),
    state: state ?? (S.Void as Schema.Top as State),
    protocol,
    options
  }
}

/** Handlers of a protocol: one for each message, run one at a time. */
export type Handlers<State, Rpcs extends Rpc.Any, R> = {
  readonly [Tag in Rpcs["_tag"]]: (
    payload: Rpc.Payload<Rpc.ExtractTag<Rpcs, Tag>>,
    self: Self<State, Rpcs>
  ) => HandlerResult<Rpc.ExtractTag<Rpcs, Tag>, R>
}

/**
 * What a handler answers: an effect, or for a message with `stream: true` a stream. The stream is made in turn, and then
 * runs beside the handlers, in the process's scope, for as long as its reader wants.
 */
export type HandlerResult<R extends Rpc.Any, Services> = Rpc.Success<R> extends
  Stream.Stream<infer A, infer E, infer _R> ? Stream.Stream<A, E, Services>
  : Effect.Effect<Rpc.Success<R>, Rpc.Error<R>, Services>

/** The services that a record of handlers needs. */
export type HandlersServices<H> = {
  [K in keyof H]: H[K] extends (...args: never) => infer A ? ServicesOf<A> : never
}[keyof H]

// distributes: a handler that only throws (`never`) needs nothing
type ServicesOf<A> = A extends Effect.Effect<infer _A, infer _E, infer R> ? R
  : A extends Stream.Stream<infer _A, infer _E, infer R> ? R
  : never

/** What a process does. Bound to a sworm by its `toLayer`. */
export interface Implementation<Args, State, Rpcs extends Rpc.Any, H, EI, RI, ER = unknown, RR = never> {
  /**
   * Makes the first state. Runs in a fiber of the process, with its scope: what it acquires or forks there ends with the
   * process. It may call, join and register.
   */
  readonly init: (context: InitContext<Args, State, Rpcs>) => Effect.Effect<State, EI, RI>
  readonly handlers: H
  /**
   * Runs beside the handlers, from when the process serves. Its failure is a crash of the process; its end is nothing.
   * Interrupted before a move, begun again after it.
   */
  readonly run?: ((self: Self<State, Rpcs>) => Effect.Effect<unknown, ER, RR>) | undefined
  /** Asked before a move. Default: `resume` with the state, or `restart` where the type has none or handoff is off. */
  readonly beginHandoff?: ((self: Self<State, Rpcs>) => Effect.Effect<HandoffAnswer<State>>) | undefined
  /**
   * Merges two states after a split: `mine` is the one that goes on, `theirs` the one that ends. Default: the state with
   * the longer unbroken life, so that a copy restarted from its args never replaces the real state. With snapshots it may
   * meet the same change twice, by way of a third copy that is lost: a union does no harm then, a sum does.
   */
  readonly resolveConflict?: ((mine: State, theirs: State, context: ConflictContext) => State) | undefined
  /** Runs before the process's scope closes. */
  readonly stop?: ((reason: StopReason, self: Self<State, Rpcs>) => Effect.Effect<void>) | undefined
}

/** The typed client of one process: a method for each message of its protocol. */
export type Client<Rpcs extends Rpc.Any, E> = {
  readonly [Tag in Rpcs["_tag"]]: (
    ...payload: PayloadArgument<Rpc.ExtractTag<Rpcs, Tag>>
  ) => Answer<Rpc.ExtractTag<Rpcs, Tag>, E>
}

/** What a caller gets: an effect, or for a message with `stream: true` a stream. */
export type Answer<R extends Rpc.Any, E> = Rpc.Success<R> extends Stream.Stream<infer A, infer EA, infer _R>
  ? Stream.Stream<A, EA | E>
  : Effect.Effect<Rpc.Success<R>, Rpc.Error<R> | E>

/** The tags of messages that are answered by an effect, not by a stream. */
export type EffectTags<Rpcs extends Rpc.Any> = {
  [Tag in Rpcs["_tag"]]: Rpc.Success<Rpc.ExtractTag<Rpcs, Tag>> extends Stream.Stream<infer _A, infer _E, infer _R>
    ? never
    : Tag
}[Rpcs["_tag"]]

/** A message without a payload takes no argument; one whose fields are all optional may leave it out. */
export type PayloadArgument<R extends Rpc.Any> = void extends Rpc.PayloadConstructor<R> ? readonly [payload?: undefined]
  : Record<never, never> extends Rpc.PayloadConstructor<R> ? readonly [payload?: Rpc.PayloadConstructor<R>]
  : readonly [payload: Rpc.PayloadConstructor<R>]

/** The scope of a process, where its handlers and `init` may acquire and fork. */
export type ProcessScope = Scope.Scope
