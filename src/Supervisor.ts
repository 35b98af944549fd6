/** Starts processes where placement says, restarts them, and stops them. */
import { Context, type Duration, type Effect, type Option, type Scope, type Stream } from "effect"
import type { SpecOptions } from "./protocol/claims.ts"
import type { Link } from "./protocol/extras.ts"
import type { Placement } from "./Placement.ts"
import type { Restart } from "./Process.ts"
import type { Hosted } from "./runtime/Hosted.ts"
import type { InvalidInput, NotRegistered, ProcessRef, RegisterError, Unavailable } from "./SwormError.ts"

/** What a process is started from. */
export interface StartRequest {
  readonly sworm: string
  readonly name: string
  readonly type: string
  /** Encoded by the process type's args schema. */
  readonly args: unknown
  readonly restart?: Restart | undefined
  /** What this process wants otherwise than its type does. */
  readonly options?: SpecOptions | undefined
  /** The registration ends when it is not renewed for this long. Default: none. */
  readonly lease?: Duration.Input | undefined
  /** Plain data, told to every node. */
  readonly metadata?: unknown
}

/** A process as it stands. Those of other nodes are as the registry knows them: their `restarting` shows late. */
export interface Child {
  readonly ref: ProcessRef
  readonly type: string
  readonly status: "starting" | "running" | "restarting" | "moving" | "passive"
}

/** What happens to processes of this node. */
export type SupervisorEvent =
  | { readonly _tag: "Started"; readonly ref: ProcessRef }
  | { readonly _tag: "Crashed"; readonly ref: ProcessRef; readonly detail: string }
  /** It follows the crash of a process that it is linked to. */
  | { readonly _tag: "Followed"; readonly ref: ProcessRef }
  /** More restarts than the limit: the name is freed. */
  | { readonly _tag: "GivenUp"; readonly ref: ProcessRef; readonly detail: string }
  | { readonly _tag: "Stopped"; readonly ref: ProcessRef }
  /** Its resources were let go, its state kept; the next message wakes it. */
  | { readonly _tag: "Passivated"; readonly ref: ProcessRef }
  /** Its node was lost, or the whole cluster: it goes on from a snapshot that is so old. */
  | { readonly _tag: "Restored"; readonly ref: ProcessRef; readonly ageMs: number }
  /** Two processes were given one more name on the two sides of a split; this one has lost it. */
  | { readonly _tag: "AliasLost"; readonly ref: ProcessRef; readonly alias: string }
  /**
   * Of two copies this one ended, and its state could not be handed to the one that stays; or nobody is left who kept
   * the state of a process whose node is lost, and it starts from its args.
   */
  | { readonly _tag: "StateLost"; readonly ref: ProcessRef; readonly detail: string }
  /**
   * This node was away for longer than others remember (`forgetAfter`): of what it ran, so much was registered anew, and
   * so much stopped, since others have the names now.
   */
  | { readonly _tag: "Returned"; readonly node: string; readonly kept: number; readonly stopped: number }
  /** A takeover failed to start the process here; it is tried again. */
  | { readonly _tag: "StartFailed"; readonly sworm: string; readonly name: string; readonly detail: string }

/** A process past its restart limit. */
export interface GivenUp {
  readonly name: string
  readonly type: string
  /** The node that gave it up. */
  readonly node: string
  readonly epoch: number
  /** When, in ms since 1970. */
  readonly atMs: number
  readonly detail: string
}

/** Why a name is where it is. */
export interface Explanation {
  readonly name: string
  /** Where placement wants it; missing when it accepts no node, or looks at loads and leaves it where it is. */
  readonly home: string | undefined
  readonly holder: ProcessRef | undefined
  readonly status: "running" | "down" | "moving" | "waiting" | "adopted" | "not registered"
  /** In a sentence. */
  readonly why: string
  /** Placement's name, and the nodes that it could choose from with their loads. */
  readonly placement: string
  readonly candidates: ReadonlyArray<{ readonly node: string; readonly load: number }>
  /** Serialises registrations of the name. */
  readonly registrar: string | undefined
  /** Other nodes that keep its state, where its process type asks for snapshots. */
  readonly keptBy: ReadonlyArray<string>
  /** Where it is about to move. */
  readonly pendingMove: string | undefined
  /** Since when its state is unbroken, in ms since 1970. */
  readonly aliveSince: number | undefined
  /** What this node has seen of the name lately, oldest first. */
  readonly history: ReadonlyArray<{ readonly atMs: number; readonly what: string }>
}

/** A change to try out: another placement, nodes less, nodes more. */
export interface PlanChange {
  readonly placement?: Placement | undefined
  readonly without?: ReadonlyArray<string> | undefined
  readonly with?: ReadonlyArray<{ readonly id: string; readonly labels?: Readonly<Record<string, string>> }> | undefined
}

/** What a change would do. */
export interface Plan {
  readonly moves: ReadonlyArray<{ readonly name: string; readonly from: string; readonly to: string }>
  /** Names that no node could have. */
  readonly homeless: ReadonlyArray<string>
  /** How many each node would have. */
  readonly loads: ReadonlyMap<string, number>
}

export interface LinkOptions {
  /**
   * `"one_for_all"`: when one crashes or loses its node, all start again. `"rest_for_one"`: those after it do. When one
   * is given up, those are given up with it.
   */
  readonly strategy: Link["strategy"]
  /** In the order in which they depend on each other, on whatever nodes. A process is in one link at most. */
  readonly names: ReadonlyArray<string>
}

export interface Supervisor {
  /**
   * Registers a name and starts its process on the node that placement picks among those that host the sworm. Answers
   * when `init` is done and a second node knows of it.
   */
  readonly start: (request: StartRequest) => Effect.Effect<ProcessRef, RegisterError>
  /** Stops a process anywhere and ends its registration. */
  readonly terminate: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The processes of a sworm: those of one node, or all. */
  readonly which: (sworm: string, node?: string) => Effect.Effect<ReadonlyArray<Child>>
  /** How many processes each node runs. */
  readonly countChildren: (sworm: string) => Effect.Effect<ReadonlyMap<string, number>>
  /** Ties processes together. Declaring it again replaces what was declared of them. */
  readonly link: (
    sworm: string,
    link: LinkOptions
  ) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  /** Frees a process of its link. */
  readonly unlink: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The processes that were given up and not started since: at most 1,000 per node, the latest. */
  readonly givenUp: (sworm: string) => Effect.Effect<ReadonlyArray<GivenUp>>
  /**
   * Starts a given up process again, from its args, with its metadata and groups and a fresh budget. Aliases, lease and
   * link are to be given again.
   */
  readonly reset: (sworm: string, name: string) => Effect.Effect<ProcessRef, NotRegistered | RegisterError>
  /** Where a name is, why there, and what happened to it. */
  readonly explain: (sworm: string, name: string) => Effect.Effect<Explanation>
  /** What would move if placement or nodes were others; nothing does. Needs a node that hosts the sworm. */
  readonly plan: (sworm: string, change: PlanChange) => Effect.Effect<Option.Option<Plan>>
  /** Offers this node as a host of a sworm, until the scope closes. */
  readonly host: (sworm: Hosted) => Effect.Effect<void, never, Scope.Scope>
  /** Events of this node from now on. A subscriber that falls 4,096 events behind misses the oldest. */
  readonly events: Stream.Stream<SupervisorEvent>
}

export const Supervisor: Context.Service<Supervisor, Supervisor> = Context.Service<Supervisor>("sworm/Supervisor")
