/** What a test and the node program say to each other, one JSON line each. */

export interface Ref {
  readonly name: string
  readonly node: string
  readonly epoch: number
}

export interface MemberSeen {
  readonly id: string
  readonly status: string
  readonly synced: boolean
}

/** One change of one member, as a node saw it, in ms since 1970. */
export interface MemberChanged {
  readonly id: string
  readonly status: string
  readonly atMs: number
}

/** A process that a node runs itself, whatever the registry says. */
export interface Own {
  readonly name: string
  readonly epoch: number
  readonly status: string
}

/** What became of one call or registration, and how long that took. */
export type Outcome<A> =
  & { readonly name: string; readonly tookMs: number }
  & ({ readonly ok: A } | { readonly error: CommandError })

/** What became of the registrations of one name that one node made at the same time. */
export interface RaceResult {
  readonly name: string
  readonly successes: ReadonlyArray<Ref>
  /** The distinct refs that `NameTaken` carried, and how many of them there were. */
  readonly taken: ReadonlyArray<Ref>
  readonly takenCount: number
  /** Any other failure. */
  readonly others: ReadonlyArray<string>
}

/** Every command, with what it takes and what it answers. */
export interface Commands {
  readonly register: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly start: number }
    readonly answers: ReadonlyArray<Ref>
  }
  readonly unregister: { readonly takes: { readonly name: string }; readonly answers: null }
  readonly whereis: {
    readonly takes: { readonly names: ReadonlyArray<string> }
    readonly answers: ReadonlyArray<Ref | null>
  }
  readonly registered: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<Ref> }
  /** Adds to each counter; the new totals. */
  readonly increment: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly by: number }
    readonly answers: ReadonlyArray<number>
  }
  /** The totals as their processes tell them, and on which node each ran. A call that failed is its error's text. */
  readonly totals: {
    readonly takes: { readonly names: ReadonlyArray<string> }
    readonly answers: ReadonlyArray<{ readonly total: number; readonly node: string } | string>
  }
  /** Adds to each counter, whatever becomes of the others. */
  readonly attempt: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly by: number }
    readonly answers: ReadonlyArray<Outcome<number>>
  }
  /** Registers journals. */
  readonly open: { readonly takes: { readonly names: ReadonlyArray<string> }; readonly answers: null }
  /** Has each journal write a line, whatever becomes of the others. */
  readonly write: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly line: string }
    readonly answers: ReadonlyArray<Outcome<number>>
  }
  /** What each journal holds. One that does not answer is its error's text. */
  readonly read: {
    readonly takes: { readonly names: ReadonlyArray<string> }
    readonly answers: ReadonlyArray<ReadonlyArray<string> | string>
  }
  /** The journals that the node runs itself. */
  readonly journals: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<Own> }
  /** All journals, as the node knows. */
  readonly listed: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<Ref> }
  /** Moves a journal to another node. */
  readonly move: { readonly takes: { readonly name: string; readonly to: string }; readonly answers: Ref }
  /** Registers each name, whatever becomes of the others. */
  readonly tryRegister: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly start: number }
    readonly answers: ReadonlyArray<Outcome<Ref>>
  }
  /** The nodes that host the sworm and can be given processes, as the node knows. */
  readonly hosts: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<string> }
  /** The processes that the node runs itself. */
  readonly own: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<Own> }
  /** Has each process write so many lines to the log of its node. */
  readonly chat: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly lines: number }
    readonly answers: ReadonlyArray<string>
  }
  /** Calls each name again and again until it answers from another node than that; when the first and the last did. */
  readonly answered: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly notOn: string }
    readonly answers: { readonly firstAtMs: number; readonly lastAtMs: number }
  }
  /** When the claim of each name named another node than that: the first of them, the last. */
  readonly taken: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly notOn: string }
    readonly answers: { readonly firstAtMs: number; readonly lastAtMs: number }
  }
  /** The changes of members since the node started: the latest 10,000. */
  readonly changes: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<MemberChanged> }
  /** From now on, blocks the event loop at random for up to so long; 0 ends it. */
  readonly block: { readonly takes: { readonly upToMs: number }; readonly answers: null }
  readonly membership: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<MemberSeen> }
  readonly join: { readonly takes: { readonly group: string; readonly name: string }; readonly answers: null }
  readonly members: { readonly takes: { readonly group: string }; readonly answers: ReadonlyArray<Ref> }
  /** Registers every name `racers` times at once. */
  readonly race: {
    readonly takes: { readonly names: ReadonlyArray<string>; readonly racers: number }
    readonly answers: ReadonlyArray<RaceResult>
  }
  /** Dials an address; the id of the node that it reached. */
  readonly connect: { readonly takes: { readonly address: string }; readonly answers: string }
  /** The ids of the nodes that it is connected to. */
  readonly peers: { readonly takes: Record<never, never>; readonly answers: ReadonlyArray<string> }
  /** Registers with metadata that no wire can carry. */
  readonly registerWithMetadata: {
    readonly takes: { readonly name: string; readonly kind: "symbol" | "cyclic" | "deep" | "huge" }
    readonly answers: Ref
  }
}

export type CommandName = keyof Commands

/** The error of a command, as its node saw it. */
export interface CommandError {
  readonly tag: string
  readonly reason: string | null
  readonly message: string
}

export type Said =
  | { readonly ready: true; readonly id: string; readonly address: string }
  /** The node could not start. */
  | { readonly failed: CommandError; readonly address: string | null }
  | { readonly log: string; readonly level: string }
  | { readonly id: number; readonly ok: unknown }
  | { readonly id: number; readonly error: CommandError }
