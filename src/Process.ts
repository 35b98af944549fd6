/** Process types: what a process is called with, what it remembers, what it answers. Known to every node by name. */
import type { Duration, Effect, Ref, Schedule, Schema, Scope } from "effect"
import { Schema as S } from "effect"
import type { Rpc } from "effect/rpc"
import type { HandoffAnswer } from "./Handoff.ts"

export type { ProcessRef } from "./SwormError.ts"

/**
 * When a process that ended is started again: `permanent` always, `transient` after a crash, `temporary` never. The loss
 * of its node is not an end: whatever the policy, the process runs again on another node.
 */
export type Restart = "permanent" | "transient" | "temporary"

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
}

/** What a node, and nobody else at the same time, holds a name by. Hand it to a storage that refuses lower ones. */
export interface FencingToken {
  readonly epoch: number
  readonly node: string
  readonly boot: number
}

/** A process, seen by its own code. */
export interface Self<State> {
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
}

/** What `init` is told. */
export interface InitContext<Args, State> {
  readonly args: Args
  readonly sworm: string
  readonly name: string
  readonly epoch: number
  /** The state handed over by a move; the process continues from it whatever `init` answers. */
  readonly handoff: State | undefined
}

/** Why a process is being closed. */
export type StopReason = "Moved" | "Unregistered" | "Crashed" | "Ended" | "Shutdown" | "Superseded"

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
    self: Self<State>
  ) => Effect.Effect<Rpc.Success<Rpc.ExtractTag<Rpcs, Tag>>, Rpc.Error<Rpc.ExtractTag<Rpcs, Tag>>, R>
}

/** The services that a record of handlers needs. */
export type HandlersServices<H> = {
  [K in keyof H]: H[K] extends (...args: never) => infer A ? ServicesOf<A> : never
}[keyof H]

// distributes: a handler that only throws (`never`) needs nothing
type ServicesOf<A> = A extends Effect.Effect<infer _A, infer _E, infer R> ? R : never

/** What a process does. Bound to a sworm by its `toLayer`. */
export interface Implementation<Args, State, H, EI, RI> {
  /**
   * Makes the first state. Runs in a fiber of the process, with its scope: what it acquires or forks there ends with the
   * process. It may call, join and register.
   */
  readonly init: (context: InitContext<Args, State>) => Effect.Effect<State, EI, RI>
  readonly handlers: H
  /** Asked before a move. Default: `resume` with the state, or `restart` where the type has none or handoff is off. */
  readonly beginHandoff?: ((self: Self<State>) => Effect.Effect<HandoffAnswer<State>>) | undefined
  /**
   * Merges two states after a split: `mine` is the one that goes on, `theirs` the one that ends. Default: the state with
   * the longer unbroken life, so that a copy restarted from its args never replaces the real state.
   */
  readonly resolveConflict?: ((mine: State, theirs: State) => State) | undefined
  /** Runs before the process's scope closes. */
  readonly stop?: ((reason: StopReason, self: Self<State>) => Effect.Effect<void>) | undefined
}

/** The typed client of one process: a method for each message of its protocol. */
export type Client<Rpcs extends Rpc.Any, E> = {
  readonly [Tag in Rpcs["_tag"]]: (
    ...payload: PayloadArgument<Rpc.ExtractTag<Rpcs, Tag>>
  ) => Effect.Effect<Rpc.Success<Rpc.ExtractTag<Rpcs, Tag>>, Rpc.Error<Rpc.ExtractTag<Rpcs, Tag>> | E>
}

/** A message without a payload takes no argument; one whose fields are all optional may leave it out. */
export type PayloadArgument<R extends Rpc.Any> = void extends Rpc.PayloadConstructor<R> ? readonly [payload?: undefined]
  : Record<never, never> extends Rpc.PayloadConstructor<R> ? readonly [payload?: Rpc.PayloadConstructor<R>]
  : readonly [payload: Rpc.PayloadConstructor<R>]

/** The scope of a process, where its handlers and `init` may acquire and fork. */
export type ProcessScope = Scope.Scope
