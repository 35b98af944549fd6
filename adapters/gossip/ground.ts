/**
 * What a backend stands on: how nodes know of each other, how what one writes gets to all, and whether somebody outside
 * has the last word about who may run a name. Registrars, moves, takeovers and placement are the same on any of them.
 */
import type { Effect, Scope, Stream } from "effect"
import type { MemberChange } from "../../src/Membership.ts"
import type { SectionId } from "../../src/protocol/ids.ts"
import type { Replica, Versions } from "../../src/protocol/replica.ts"
import type { Announcement, Member } from "../../src/protocol/swim.ts"
import type { LocalProcess } from "../../src/runtime/LocalProcess.ts"
import type { ProcessRef, Unavailable } from "../../src/SwormError.ts"
import type { Core } from "./core.ts"
import type { Requests } from "./requests.ts"

/** The members as everything else here sees them; a new one is made at each change. */
export interface View {
  /** Everyone who takes part, suspects included. */
  readonly present: ReadonlyArray<Member>
  /** Those among which names are placed and registrars chosen: present, synced, not leaving. */
  readonly active: ReadonlyArray<Member>
  /** Nodes with equal views of who is active have equal hashes. */
  readonly hash: number
}

export interface MembershipDriver {
  readonly view: () => View
  /** Views that held until a moment ago (`joinGrace`), the latest first: their registrars may know what others don't yet. */
  readonly previous: () => ReadonlyArray<View>
  readonly member: (id: string) => Member | undefined
  readonly everyone: () => ReadonlyArray<Member>
  readonly isGone: (section: SectionId) => boolean
  /** Is it of a run that was dead for so long that nothing of it is believed any more? */
  readonly isForgotten: (section: SectionId) => boolean
  readonly self: () => Member
  readonly announce: (change: Announcement) => void
  /** How often this node was told that it is dead. */
  readonly deaths: () => number
  readonly changes: Stream.Stream<MemberChange>
}

export interface MembershipHooks {
  readonly onChange: (member: Member, before: Member | undefined) => void
  /** This node was away for longer than anybody remembers (R11). */
  readonly onForgotten: () => void
}

/** This node's copy of all sections, and the way by which others get its own. */
export interface ReplicationDriver {
  readonly replica: Replica
  /** No epoch at or below it is given again (H5). */
  readonly floor: number
  /** Knows all that others know, or formed the cluster. */
  synced: boolean
  /** Writes into the own section; others get it at the end of this turn. `undefined` erases. */
  readonly write: (key: string, value: unknown) => number
  /** Sends what is waiting, now. */
  readonly flush: () => void
  /** Done when what was written up to `version` outlives this node. */
  readonly stored: (version: number, operation: string) => Effect.Effect<void, Unavailable>
  /** Waits until this node has a section up to `version`. */
  readonly have: (section: SectionId, version: number, operation: string) => Effect.Effect<void, Unavailable>
  /** Looks again at who waits. */
  readonly wake: () => void
  /** No epoch at or below it is given again. */
  readonly raiseFloor: (epoch: number) => void
  /** Drops a dead section that nothing depends on any more. */
  readonly bury: (section: SectionId) => void
  /** Are the tombs of a dead section in living ones? */
  readonly isDischarged: (section: SectionId) => boolean
  /** Does nobody have a section any more? */
  readonly isBuriedByAll: (section: SectionId) => boolean
  /** Has everyone said since then that it has these versions of all living sections, and nothing that is not here too? */
  readonly haveAll: (wanted: Versions, sinceMs: number, isLiving: (section: SectionId) => boolean) => boolean
  /** Has every member, dead ones too, this version of a section? */
  readonly seenByAll: (section: SectionId, version: number) => boolean
  /** Asks everyone what they have. */
  readonly compareWithAll: () => void
  /** Has everyone said since then what it has, and is nothing of a section missing here? */
  readonly hasLatest: (section: SectionId, sinceMs: number) => boolean
}

/** Somebody outside has the name for another node. */
export interface Refused {
  readonly _tag: "Refused"
  readonly ref: ProcessRef | undefined
}

/** The name is this node's. */
export interface Acquired {
  /** At least the one that was asked for. */
  readonly epoch: number
  /** The state, encoded, of a move that neither of its nodes has outlived. */
  readonly state: { readonly encoded: unknown } | undefined
}

/** The store does not take the state of a move. */
export interface NotKept {
  readonly _tag: "NotKept"
  readonly reason: "StateTooLarge" | "Unreachable"
  readonly detail: string
}

/** A store that all nodes share and that has the last word: a name is run by the node that it names, and by no other. */
export interface Authority {
  /** May this node run anything just now? Asked before each message. */
  readonly holds: () => boolean
  /** Takes the name for this node, before its process starts. */
  readonly acquire: (sworm: string, name: string, epoch: number) => Effect.Effect<Acquired, Refused | Unavailable>
  /** It was taken, and its process did not start. */
  readonly release: (sworm: string, name: string) => void
  /** Is the name this node's? If not, the process is told to serve once it is, or closed. */
  readonly admits: (process: LocalProcess, epoch: number) => boolean
  /** Has it been told to serve, and waits until the name is this node's? */
  readonly awaits: (process: LocalProcess) => boolean
  /** What was written up to `version` was accepted: `false`, and it has been taken back, when it was not. */
  readonly accepted: (version: number) => Effect.Effect<boolean>
  /** Keeps the state of a process that moves, until it serves where it goes. */
  readonly keep: (sworm: string, name: string, epoch: number, state: unknown) => Effect.Effect<void, NotKept>
  /** It serves there. */
  readonly forget: (sworm: string, name: string) => void
  /** Whether the name is registered, asked of the store: who has it, or since which epoch it waits for a node. */
  readonly registered: (
    sworm: string,
    name: string
  ) => Effect.Effect<ProcessRef | { readonly waitsAt: number } | undefined, Unavailable>
  /** Who has the name, asked of the store; waits while nobody has it and it is registered. */
  readonly lookup: (sworm: string, name: string) => Effect.Effect<ProcessRef | undefined, Unavailable>
}

/** What the parts on a ground are told of. */
export interface GroundHooks extends MembershipHooks {
  readonly onEntry: (section: SectionId, key: string, value: unknown) => void
  /** After every message of a peer. */
  readonly onNews: () => void
  /** This node knows all that others know. */
  readonly onCaughtUp: () => void
  readonly fork: (effect: Effect.Effect<unknown>) => void
}

export interface Ground {
  readonly members: MembershipDriver
  readonly replication: ReplicationDriver
  readonly authority: Authority | undefined
  /** What goes with questions and answers. */
  readonly requests?: ((requests: Requests) => Requests) | undefined
  /** Comes into the cluster again, knowing nothing (R11). */
  readonly catchUp: Effect.Effect<void>
  /** Begins to take part, for as long as the scope lives; `tend` is to be done every `syncInterval`. */
  readonly begin: (core: Core, tend: () => void) => Effect.Effect<void, never, Scope.Scope>
}
