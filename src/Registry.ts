/** The claims and groups of every sworm, readable on every node. Methods take the sworm's id, which scopes the names. */
import { Context, type Effect, type Option, type Scope, type Stream } from "effect"
import type { InvalidInput, NotRegistered, ProcessRef, RegisterError, Unavailable } from "./SwormError.ts"

/** A change of who has a name. `ref` is missing once nobody has it. */
export interface RegistryChange {
  readonly sworm: string
  readonly name: string
  readonly ref: ProcessRef | undefined
  readonly before: ProcessRef | undefined
}

export interface AdoptOptions {
  /** Plain data, told to every node. */
  readonly metadata?: unknown
}

export interface Registry {
  /** Who has a name, as this node knows it: one look-up in a map, no message. Sees this node's own registrations at once. */
  readonly whereis: (sworm: string, name: string) => Effect.Effect<Option.Option<ProcessRef>>
  /** Every name of the sworm, in order of name. */
  readonly registered: (sworm: string) => Effect.Effect<ReadonlyArray<ProcessRef>>
  /**
   * Registers something that runs on this node already. It is never moved or restarted, and ends with the scope.
   * Concurrent registrations of one name are serialised by its registrar: one succeeds, the rest get `NameTaken`.
   */
  readonly adopt: (
    sworm: string,
    name: string,
    options?: AdoptOptions
  ) => Effect.Effect<ProcessRef, RegisterError, Scope.Scope>
  /** Ends a registration for good and stops its process; returns once a second node has stored that. */
  readonly unregister: (sworm: string, name: string) => Effect.Effect<void, NotRegistered | Unavailable>
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
  /** Changes from now on. A subscriber that falls 4,096 changes behind misses the oldest. */
  readonly changes: Stream.Stream<RegistryChange>
}

export const Registry: Context.Service<Registry, Registry> = Context.Service<Registry>("sworm/Registry")
