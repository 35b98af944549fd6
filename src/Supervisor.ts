/** Starts processes where placement says, restarts them, and stops them. */
import { Context, type Effect, type Scope, type Stream } from "effect"
import type { Hosted } from "./runtime/Hosted.ts"
import type { NotRegistered, ProcessRef, RegisterError, Unavailable } from "./SwormError.ts"
import type { Restart } from "./Process.ts"

/** What a process is started from. */
export interface StartRequest {
  readonly sworm: string
  readonly name: string
  readonly type: string
  /** Encoded by the process type's args schema. */
  readonly args: unknown
  readonly restart?: Restart | undefined
  /** Plain data, told to every node. */
  readonly metadata?: unknown
}

/** A process of this node. */
export interface Child {
  readonly ref: ProcessRef
  readonly type: string
  readonly status: "starting" | "running" | "restarting" | "moving"
}

/** What happens to processes of this node. */
export type SupervisorEvent =
  | { readonly _tag: "Started"; readonly ref: ProcessRef }
  | { readonly _tag: "Crashed"; readonly ref: ProcessRef; readonly detail: string }
  /** More restarts than the limit: the name is freed. */
  | { readonly _tag: "GivenUp"; readonly ref: ProcessRef; readonly detail: string }
  | { readonly _tag: "Stopped"; readonly ref: ProcessRef }
  /** A takeover failed to start the process here; it is tried again. */
  | { readonly _tag: "StartFailed"; readonly sworm: string; readonly name: string; readonly detail: string }

export interface Supervisor {
  /**
   * Registers a name and starts its process on the node that placement picks among those that host the sworm. Answers
   * when `init` is done and a second node knows of it.
   */
  readonly start: (request: StartRequest) => Effect.Effect<ProcessRef, RegisterError>
  /** Stops a process anywhere and ends its registration. */
  readonly terminate: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The processes of this node. */
  readonly which: (sworm: string) => Effect.Effect<ReadonlyArray<Child>>
  /** How many processes each node runs. */
  readonly countChildren: (sworm: string) => Effect.Effect<ReadonlyMap<string, number>>
  /** Offers this node as a host of a sworm, until the scope closes. */
  readonly host: (sworm: Hosted) => Effect.Effect<void, never, Scope.Scope>
  /** Events of this node from now on. A subscriber that falls 4,096 events behind misses the oldest. */
  readonly events: Stream.Stream<SupervisorEvent>
}

export const Supervisor: Context.Service<Supervisor, Supervisor> = Context.Service<Supervisor>("sworm/Supervisor")
