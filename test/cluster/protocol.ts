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
