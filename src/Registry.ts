/** The claims and groups of every sworm, readable on every node. Methods take the sworm's id, which scopes the names. */
import { Context, type Duration, type Effect, type Option, type Scope, type Stream } from "effect"
import type { EndReason } from "./protocol/claims.ts"
import type {
  InvalidInput,
  NameTaken,
  NotOwner,
  NotRegistered,
  ProcessRef,
  RegisterError,
  Unavailable
} from "./SwormError.ts"

export type { EndReason } from "./protocol/claims.ts"

/** A change of who has a name. `ref` is missing once nobody has it. */
export interface RegistryChange {
  readonly sworm: string
  readonly name: string
  readonly ref: ProcessRef | undefined
  readonly before: ProcessRef | undefined
}

/** All that is registered with a name. */
export interface Entry<Metadata = unknown> {
  readonly ref: ProcessRef
  /** The process type; missing for what was registered by hand. */
  readonly type: string | undefined
  readonly metadata: Metadata
  readonly groups: ReadonlyArray<string>
  /** Every name of the process, first the one that it was registered under. */
  readonly names: ReadonlyArray<string>
}

/** Which entries to answer: those that fit everything given. */
export interface Query<Metadata = unknown> {
  readonly prefix?: string | undefined
  readonly node?: string | undefined
  readonly type?: string | undefined
  readonly group?: string | undefined
  /** Asked last. What it throws comes back as a defect. */
  readonly where?: ((entry: Entry<Metadata>) => boolean) | undefined
}

/**
 * How far an answer can be trusted. `"cached"`: it is what this node knows, its own registrations included; a change
 * elsewhere may still be under way. `"owner"`: the node that holds the name, or the registrar that would know of one,
 * has said so since it was asked. `"linearizable"`: no later answer anywhere is older; a store that orders everything
 * gives it, gossip does not.
 */
export type Guarantee = "cached" | "owner" | "linearizable"

export interface Lookup {
  readonly ref: Option.Option<ProcessRef>
  readonly guarantee: Guarantee
}

/** What a watch tells. `Present` is the first element and the only one of its kind. */
export type WatchEvent<Metadata = unknown> =
  | { readonly _tag: "Present"; readonly entries: ReadonlyArray<Entry<Metadata>> }
  | { readonly _tag: "Registered"; readonly entry: Entry<Metadata> }
  /** Another node, epoch, metadata, group or name. */
  | { readonly _tag: "Updated"; readonly entry: Entry<Metadata>; readonly before: Entry<Metadata> }
  | { readonly _tag: "Unregistered"; readonly before: Entry<Metadata>; readonly reason: EndReason }

/** What to watch: one name, all that start with a prefix, or everything. */
export type WatchTarget = { readonly name: string } | { readonly prefix: string } | "everything"

/** Why a monitored process is down. All but the last three are ends for good. */
export type DownReason = EndReason | "NotRegistered" | "Superseded" | "NodeLost" | "Stopped"

/** What a monitor tells. */
export type MonitorEvent =
  | { readonly _tag: "Up"; readonly ref: ProcessRef }
  /**
   * `Crashed` with `isFinal: false`: it is restarted. `NodeLost`: its node is thought dead; another starts it.
   * `Superseded`: after a split the other copy stayed. `Stopped`: it waits for a node that may have it.
   */
  | {
    readonly _tag: "Down"
    readonly ref: ProcessRef | undefined
    readonly reason: DownReason
    readonly isFinal: boolean
  }
  | { readonly _tag: "Moved"; readonly from: ProcessRef; readonly to: ProcessRef; readonly withState: boolean }

export interface AdoptOptions<Metadata = unknown> {
  /** Told to every node, for `select`, `watch` and whoever looks. Plain data, or what the sworm's schema says. */
  readonly metadata?: Metadata | undefined
  /** The registration ends when `renew` is not called for this long. Default: none. */
  readonly lease?: Duration.Input | undefined
}

export interface Registry {
  /** Who has a name, as this node knows it: one look-up in a map, no message. Sees this node's own registrations at once. */
  readonly whereis: (sworm: string, name: string) => Effect.Effect<Option.Option<ProcessRef>>
  /** Who has a name, with the guarantee asked for; the answer says which it has. */
  readonly lookup: (
    sworm: string,
    name: string,
    guarantee: Guarantee
  ) => Effect.Effect<Lookup, Unavailable>
  /** Every name of the sworm, in order of name. */
  readonly registered: (sworm: string) => Effect.Effect<ReadonlyArray<ProcessRef>>
  /** Entries that fit a query, in order of name. */
  readonly select: (sworm: string, query?: Query) => Effect.Effect<ReadonlyArray<Entry>>
  /** What is registered with a name, or with an alias of it. */
  readonly entry: (sworm: string, name: string) => Effect.Effect<Option.Option<Entry>>
  /** How many names there are, on one node or on all. Counted as they change: costs nothing. */
  readonly count: (sworm: string, node?: string) => Effect.Effect<number>
  /**
   * Registers something that runs on this node already. It is never moved or restarted, and ends with the scope.
   * Concurrent registrations of one name are serialised by its registrar: one succeeds, the rest get `NameTaken`.
   */
  readonly adopt: (
    sworm: string,
    name: string,
    options?: AdoptOptions
  ) => Effect.Effect<ProcessRef, RegisterError, Scope.Scope>
  /**
   * Ends a registration for good and stops its process, with all its names; given an alias, frees just that. Returns
   * once a second node has stored it.
   */
  readonly unregister: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** Gives a process one more name. It moves, restarts and ends with the process. Giving it again changes nothing. */
  readonly alias: (
    sworm: string,
    alias: string,
    name: string
  ) => Effect.Effect<ProcessRef, NameTaken | NotRegistered | InvalidInput | Unavailable>
  /** Replaces a name's metadata; from any node. */
  readonly setMetadata: (
    sworm: string,
    name: string,
    metadata: unknown
  ) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  /**
   * Changes a name's metadata on the node that holds it, where nothing can come in between; elsewhere it fails with
   * `NotOwner`. Answers the new value.
   */
  readonly updateMetadata: (
    sworm: string,
    name: string,
    update: (metadata: unknown) => unknown
  ) => Effect.Effect<unknown, NotOwner | NotRegistered | InvalidInput | Unavailable>
  /** Starts a name's lease anew; without a lease it does nothing. */
  readonly renew: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** A value that belongs to the sworm as a whole, the same on every node: the last one written. */
  readonly meta: (sworm: string, key: string) => Effect.Effect<Option.Option<unknown>>
  readonly putMeta: (sworm: string, key: string, value: unknown) => Effect.Effect<void, InvalidInput | Unavailable>
  readonly deleteMeta: (sworm: string, key: string) => Effect.Effect<void, InvalidInput | Unavailable>
  /** Makes a name a member of a group, on every node, for as long as it is registered. Joining twice is joining once. */
  readonly join: (
    sworm: string,
    group: string,
    name: string
  ) => Effect.Effect<void, NotRegistered | InvalidInput | Unavailable>
  /** Ends a membership; does nothing if there is none. */
  readonly leave: (sworm: string, group: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
  /** The members of a group, in order of name. */
  readonly members: (sworm: string, group: string) => Effect.Effect<ReadonlyArray<ProcessRef>>
  /** Every group that has a member, in order of name. */
  readonly groups: (sworm: string) => Effect.Effect<ReadonlyArray<string>>
  /** Changes from now on. A subscriber that falls 4,096 changes behind misses the oldest; a watch misses none. */
  readonly changes: Stream.Stream<RegistryChange>
  /**
   * First what is there, then every change of it, without a gap in between. A slow reader is told the latest of each
   * name, not every step to it: so it holds at most one change per name, however slow it is.
   */
  readonly watch: (sworm: string, target: WatchTarget) => Stream.Stream<WatchEvent>
  /** Whether a process is up, first as it is now, then at each change, with reasons. Never ends by itself. */
  readonly monitor: (sworm: string, name: string) => Stream.Stream<MonitorEvent>
  /** How much this node keeps, for metrics and alarms. */
  readonly tables: Effect.Effect<RegistryTables>
}

/** Numbers of things that a node keeps in memory. At rest all but `keys` go back to where they were. */
export interface RegistryTables {
  /** Runs of nodes whose writings are kept; those that are gone are dropped once nothing depends on them. */
  readonly sections: number
  /** Of these, runs that are gone: their names are taken over before they are dropped. */
  readonly goneSections: number
  /** Names, hosts, values and ends, in all sections. */
  readonly keys: number
  /** Registrations that have ended, remembered by this node until everyone knows, and for `tombAge` at least. */
  readonly tombs: number
  /** Marks of keys that this node has erased, kept until everyone has seen it. */
  readonly erased: number
  /** Marks of sections that this node has dropped, kept while another may still have them. */
  readonly buried: number
  /** Snapshots that this node keeps for others, and how many bytes they take. */
  readonly snapshots: number
  readonly snapshotBytes: number
}

export const Registry: Context.Service<Registry, Registry> = Context.Service<Registry>("sworm/Registry")
