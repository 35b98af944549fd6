/** Which nodes there are, and how they are. */
import { Context, type Effect, type Stream } from "effect"
import type { Status } from "./protocol/swim.ts"
import type { InvalidInput, Unavailable } from "./SwormError.ts"

export type { Status } from "./protocol/swim.ts"

export interface Member {
  readonly id: string
  readonly boot: number
  readonly status: Status
  readonly incarnation: number
  /** Where it listens; empty when it doesn't. */
  readonly address: string
  /** Has exchanged fully with the cluster: only such nodes register, take over and are given processes. */
  readonly synced: boolean
  readonly labels: Readonly<Record<string, string>>
  /** It keeps what it has and is given nothing more (see `Handoff.cordon`). */
  readonly cordoned: boolean
}

/** One change of one member; `before` is missing for a node not heard of yet. */
export interface MemberChange {
  readonly member: Member
  readonly before: Member | undefined
}

export interface Membership {
  /** This node, as it tells others of itself. */
  readonly self: Effect.Effect<Member>
  /** Everyone known, this node and the recently dead included, by id. */
  readonly members: Effect.Effect<ReadonlyArray<Member>>
  /** Changes from now on. A subscriber that falls 1,024 changes behind misses the oldest. */
  readonly changes: Stream.Stream<MemberChange>
  /** Waits until this node is synced; fails with `Unavailable` after 30 s. */
  readonly awaitSynced: Effect.Effect<void, Unavailable>
  /**
   * Replaces what this node tells placement of itself; every node hears of it within moments, and processes move where
   * they belong by then. Holds until it is set again or the run ends. Fails with `InvalidInput` when the labels are not
   * texts, more than 64, or longer than 4,096 characters in all.
   */
  readonly setLabels: (labels: Readonly<Record<string, string>>) => Effect.Effect<void, InvalidInput>
  /**
   * Leaves for good: hands every process to another node (within the shutdown timeout), then says goodbye. Closing the
   * layer's scope does the same. Calling it again does nothing.
   */
  readonly leave: Effect.Effect<void>
}

export const Membership: Context.Service<Membership, Membership> = Context.Service<Membership>("sworm/Membership")
