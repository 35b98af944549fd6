/**
 * Claims, tombs, their order, and what a node does about one name: PROTOCOL R1 to R8, as a pure function of what the
 * node knows. Nothing here starts or stops anything; `decide` says what to do and the driver does it.
 */
import type { Extras } from "./extras.ts"
import { bootOf, type ClaimId, claimId, compareText, nodeOf, type RegistrationId, type SectionId } from "./ids.ts"
import type { RestartLimit } from "./restarts.ts"

/** How a process is started; what must survive the loss of its node. `args` are encoded by the type's schema. */
export interface Spec {
  readonly type: string
  readonly args: unknown
  readonly restart: "permanent" | "transient" | "temporary"
  /** What this registration wants otherwise than its process type does. */
  readonly options?: SpecOptions | undefined
}

/** Times in ms; `Infinity` for a wait without a limit, 0 for none. */
export interface SpecOptions {
  readonly restartLimit?: RestartLimit | undefined
  readonly startTimeoutMs?: number | undefined
  readonly shutdownTimeoutMs?: number | undefined
  readonly idleTimeoutMs?: number | undefined
  readonly mailboxCapacity?: number | undefined
  readonly handoff?: boolean | undefined
}

export type Mode = "live" | "prepared" | "released" | "adopted"

export interface Claim {
  readonly epoch: number
  /** Hybrid stamp of the registration: written once, copied by takeovers and moves (H30). */
  readonly start: number
  readonly registrations: ReadonlyArray<RegistrationId>
  readonly mode: Mode
  /** Losers whose state this claim has merged, so that settling twice merges once (H18). */
  readonly merged: ReadonlyArray<ClaimId>
  /** Since when the state is unbroken: kept by moves, new after a start from args. */
  readonly continuity: number
  /** Absent for `adopted` claims: nobody else could start them. */
  readonly spec: Spec | undefined
  readonly metadata: unknown
  readonly groups: ReadonlyArray<string>
  /** For `released`: which section goes on with it. Without one, nobody does: the home starts it again. */
  readonly successor?: SectionId | undefined
  /** What few processes have. */
  readonly extras?: Extras | undefined
}

/** Why a registration ended for good. */
export type EndReason = "Unregistered" | "Ended" | "Crashed" | "GivenUp" | "LeaseExpired" | "OwnerGone"

/** Certain registrations of a name have ended for good. */
export interface Tomb {
  readonly registrations: ReadonlyArray<RegistrationId>
  readonly epoch: number
  /** Of the last one that ended. */
  readonly reason: EndReason
}

/** What one section says about one name. Both parts may stand together: a tomb for old registrations, a newer claim. */
export interface NameEntry {
  readonly claim: Claim | undefined
  readonly tomb: Tomb | undefined
}

export interface Held {
  readonly section: SectionId
  readonly claim: Claim
}

/** Epoch descending, start ascending, node ascending, boot descending; negative when `a` stands before `b`. */
export const compareClaims = (a: Held, b: Held): number =>
  b.claim.epoch - a.claim.epoch ||
  a.claim.start - b.claim.start ||
  compareText(nodeOf(a.section), nodeOf(b.section)) ||
  bootOf(b.section) - bootOf(a.section)

export const idOf = (held: Held): ClaimId => claimId(held.claim.epoch, held.section)

const includesAll = (all: ReadonlyArray<string>, some: ReadonlyArray<string>): boolean =>
  some.every((item) => all.includes(item))

export const union = (...lists: ReadonlyArray<ReadonlyArray<string>>): Array<string> => [...new Set(lists.flat())]

/** `a` makes `b` superfluous: it stands before it and carries all its registrations. */
export const supersedes = (a: Held, b: Held): boolean =>
  compareClaims(a, b) < 0 && includesAll(a.claim.registrations, b.claim.registrations)

/** All that is known of one name, in the terms of PROTOCOL's definitions. */
export interface NameView {
  /** Uncovered claims, top first. */
  readonly claims: ReadonlyArray<Held>
  readonly tombed: ReadonlyArray<RegistrationId>
  /** The highest epoch of any tomb or covered claim; 0 without one. */
  readonly endedEpoch: number
  /** Why the last registration ended, if one did. */
  readonly endReason: EndReason | undefined
  /** E: the highest epoch known of the name. */
  readonly highestEpoch: number
}

const NONE: ReadonlyArray<never> = []

/** Nearly always there is one, or two while a process moves: `sort` makes copies of its own for that. */
const inOrder = (claims: Array<Held>): Array<Held> => {
  if (claims.length > 2) return claims.sort(compareClaims)
  const [first, second] = claims
  return first !== undefined && second !== undefined && compareClaims(first, second) > 0 ? [second, first] : claims
}

export const viewOf = (entries: Iterable<readonly [SectionId, NameEntry]>): NameView => {
  let tombed: ReadonlyArray<RegistrationId> = NONE
  let endedEpoch = 0
  let endReason: EndReason | undefined
  let highestEpoch = 0
  const claims: Array<Held> = []
  for (const [section, { claim, tomb }] of entries) {
    if (tomb !== undefined) {
      tombed = tombed.length === 0 ? tomb.registrations : union(tombed, tomb.registrations)
      if (endReason === undefined || tomb.epoch > endedEpoch) endReason = tomb.reason
      endedEpoch = Math.max(endedEpoch, tomb.epoch)
    }
    if (claim !== undefined) {
      highestEpoch = Math.max(highestEpoch, claim.epoch)
      claims.push({ section, claim })
    }
  }
  highestEpoch = Math.max(highestEpoch, endedEpoch)
  if (tombed.length === 0) {
    return { claims: inOrder(claims), tombed, endedEpoch, endReason, highestEpoch }
  }
  const uncovered: Array<Held> = []
  for (const held of claims) {
    if (includesAll(tombed, held.claim.registrations)) endedEpoch = Math.max(endedEpoch, held.claim.epoch)
    else uncovered.push(held)
  }
  return { claims: inOrder(uncovered), tombed, endedEpoch, endReason, highestEpoch }
}

/** What this node knows besides the entries, when it decides about a name. */
export interface Standing {
  readonly self: SectionId
  /** Dead or left in my view, or a later boot of that node is known. */
  readonly isGone: (section: SectionId) => boolean
  /** May this node start what nobody else runs? It must be synced, and placement must want the name here. */
  readonly isHome: () => boolean
  /** The process as it is here, if it is. */
  readonly running: "no" | "live" | "frozen" | "prepared"
  /** For `prepared`: the section that the move comes from. */
  readonly preparedFrom: SectionId | undefined
}

/** What to do about a name; `undefined` from `decide` means: nothing. */
export type Decision =
  /** R3: my registration was ended elsewhere: stop at once, put a tomb in my entry. */
  | { readonly _tag: "Stop" }
  /** R4: nobody living runs it: start it here above `epoch`, with these registrations, from this spec. */
  | {
    readonly _tag: "TakeOver"
    readonly epoch: number
    readonly registrations: ReadonlyArray<string>
    readonly from: Claim
  }
  /** R4: an adopted process died with its owner: the home ends it for good. */
  | { readonly _tag: "Bury"; readonly epoch: number; readonly registrations: ReadonlyArray<string> }
  /** R4, R5: my live copy stays, at this epoch, with these registrations. */
  | {
    readonly _tag: "Renew"
    readonly epoch: number
    readonly registrations: ReadonlyArray<string>
    /** The state has missed calls that were answered elsewhere: its life is not unbroken. */
    readonly isStale?: boolean
  }
  /** R6: the source of a move is gone or has released: my prepared copy serves. */
  | { readonly _tag: "GoLive" }
  /** R6: without a move under way, frozen, or below a copy that a move left prepared: serve at this epoch. */
  | { readonly _tag: "Resume"; readonly epoch: number }
  /** R7: another live copy stands before mine: freeze, send it my state, close once it has merged it. */
  | { readonly _tag: "Settle"; readonly winner: Held }
  /** R7: the winner lists my claim as merged: close mine, keep it as released. */
  | { readonly _tag: "Close" }
  /** R8: my claim no longer serves and `by` supersedes it: erase it once everyone has seen `by`. */
  | { readonly _tag: "Erase"; readonly by: Held }

const registrationsOf = (claims: ReadonlyArray<Held>): Array<string> =>
  union(...claims.map(({ claim }) => claim.registrations))

const serves = ({ claim }: Held): boolean => claim.mode === "live" || claim.mode === "adopted"

export const decide = (view: NameView, own: NameEntry | undefined, standing: Standing): Decision | undefined => {
  const { self, running } = standing
  const mine = own?.claim
  if (mine !== undefined && view.tombed.length > 0 && includesAll(view.tombed, mine.registrations)) {
    return { _tag: "Stop" }
  }
  const top = view.claims[0]
  if (top === undefined) return undefined
  if (top.section === self) {
    return running === "no" ? decideIdle(view, top, standing) : decideTop(view, top, standing)
  }
  const released = top.claim.mode === "released"
  if (released ? isOrphan(top, standing, mine) : standing.isGone(top.section)) return decideGone(view, top, standing)
  return mine === undefined ? undefined : decideBelow(view, top, mine, standing)
}

/**
 * A released claim on top, its holder gone or not, waits for its successor's claim to arrive here; with no successor, a
 * gone one, or one that has nothing of it, nobody goes on with it.
 */
const isOrphan = (
  { claim: { mode, successor } }: Held,
  { isGone, self }: Standing,
  mine: Claim | undefined
): boolean =>
  mode === "released" && (successor === undefined || isGone(successor) || (successor === self && mine === undefined))

const sourceOf = ({ claims }: NameView, { preparedFrom }: Standing): Claim | undefined =>
  claims.find(({ section }) => section === preparedFrom)?.claim

/** The source of a move stands above what was prepared: it took its offer back, and went on. */
const isWithdrawn = (view: NameView, standing: Standing, prepared: Claim): boolean => {
  const source = sourceOf(view, standing)
  return source !== undefined && source.epoch > prepared.epoch && source.successor !== standing.self &&
    source.continuity <= prepared.continuity
}

/** Has the source of a move let go of what is prepared here, for here? Not knowing its claim is no proof of that. */
const mayGoLive = (view: NameView, standing: Standing, prepared: Claim): boolean => {
  const { isGone, preparedFrom, self } = standing
  if (isWithdrawn(view, standing, prepared)) return false
  if (preparedFrom === undefined || isGone(preparedFrom)) return true
  const source = sourceOf(view, standing)
  if (source === undefined) return false
  if (source.mode === "released") return source.successor === undefined || source.successor === self
  return serves({ section: preparedFrom, claim: source }) && source.epoch > prepared.epoch &&
    source.continuity > prepared.continuity
}

/** The top claim's holder is gone, or has released it to nobody. */
const decideGone = (view: NameView, top: Held, standing: Standing): Decision | undefined => {
  const { isGone, isHome, running, self } = standing
  const registrations = registrationsOf(view.claims)
  const epoch = view.highestEpoch + 1
  const best = view.claims.find((held) => serves(held) && !isGone(held.section))
  if (best !== undefined) {
    return best.section === self && running !== "no" ? { _tag: "Renew", epoch, registrations } : undefined
  }
  const prepared = view.claims.find((held) => held.claim.mode === "prepared" && !isGone(held.section))
  if (prepared !== undefined) {
    if (prepared.section !== self || running !== "prepared") return undefined
    // an offer taken back, by a source that is gone since: its state is older than what was lost, and better than none
    const isStale = isWithdrawn(view, standing, prepared.claim)
    if (isStale && isGone(standing.preparedFrom!)) return { _tag: "Renew", epoch, registrations, isStale }
    return mayGoLive(view, standing, prepared.claim) ? { _tag: "Renew", epoch, registrations } : undefined
  }
  if (!isHome()) return undefined
  const from = view.claims.find(({ claim }) => claim.spec !== undefined)
  if (from === undefined || top.claim.mode === "adopted") {
    return { _tag: "Bury", epoch: view.highestEpoch, registrations }
  }
  return { _tag: "TakeOver", epoch, registrations, from: from.claim }
}

/** My own claim is the top one, and the process is here. */
const decideTop = (view: NameView, top: Held, standing: Standing): Decision | undefined => {
  const { isGone, running, self } = standing
  const epoch = view.highestEpoch + 1
  if (running === "prepared") return mayGoLive(view, standing, top.claim) ? { _tag: "GoLive" } : undefined
  if (running === "frozen") return { _tag: "Resume", epoch }
  const lost = view.claims.filter(({ section }) => section !== self && isGone(section))
  // nearly always they have none that this one has not: thousands of names are looked at when a node has gone
  const isMore = lost.some(({ claim }) => !includesAll(top.claim.registrations, claim.registrations))
  const registrations = isMore ? registrationsOf([top, ...lost]) : top.claim.registrations
  const tied = lost.some(({ claim }) => claim.epoch === top.claim.epoch)
  if (tied || view.endedEpoch >= top.claim.epoch) return { _tag: "Renew", epoch, registrations }
  if (registrations.length > top.claim.registrations.length) {
    return { _tag: "Renew", epoch: top.claim.epoch, registrations }
  }
  return undefined
}

/** My own claim is the top one, but nothing runs here. */
const decideIdle = (view: NameView, top: Held, standing: Standing): Decision | undefined => {
  const { isGone, isHome, self } = standing
  if (top.claim.mode === "released" && !isOrphan(top, standing, top.claim)) return undefined
  const other = view.claims.find((held) =>
    held.section !== self && !isGone(held.section) && held.claim.mode !== "released"
  )
  if (other !== undefined || !isHome()) return undefined
  const from = view.claims.find(({ claim }) => claim.spec !== undefined)
  const registrations = registrationsOf(view.claims)
  if (from === undefined) return { _tag: "Bury", epoch: view.highestEpoch, registrations }
  return { _tag: "TakeOver", epoch: view.highestEpoch + 1, registrations, from: from.claim }
}

/** A living node's claim stands before mine. */
const decideBelow = (view: NameView, top: Held, mine: Claim, standing: Standing): Decision | undefined => {
  const { isGone, running, self } = standing
  if (running === "live" || running === "frozen") {
    // a copy prepared by a move that was not committed: the process is still here, and stands above it from now on
    const elsewhere = view.claims.some((held) => held.section !== self && serves(held) && !isGone(held.section))
    if (top.claim.mode === "prepared" && !elsewhere) return { _tag: "Resume", epoch: view.highestEpoch + 1 }
    if (top.claim.merged.includes(claimId(mine.epoch, self))) return { _tag: "Close" }
    return serves(top) ? { _tag: "Settle", winner: top } : undefined
  }
  const held = { section: self, claim: mine }
  const by = view.claims.find((other) => other.section !== self && !isGone(other.section) && supersedes(other, held))
  if (running === "prepared") {
    if (isWithdrawn(view, standing, mine)) return { _tag: "Close" }
    // with its source gone it may be the only copy of the state: it is settled like any other
    if (mayGoLive(view, standing, mine)) {
      if (serves(top)) return { _tag: "GoLive" }
      return { _tag: "Renew", epoch: view.highestEpoch + 1, registrations: registrationsOf(view.claims) }
    }
    // a living source may have let go already, with the news of it under way: it releases, stands above, or dies
    if (by === undefined || sourceOf(view, standing) !== undefined) return undefined
    return by.claim.continuity > mine.continuity && serves(by) ? { _tag: "GoLive" } : { _tag: "Close" }
  }
  // whoever goes on with it may not know yet that it may serve
  const heir = view.claims.find(({ section }) => section === mine.successor)
  if (heir?.claim.mode === "prepared" && !isGone(heir.section)) return undefined
  return by === undefined ? undefined : { _tag: "Erase", by }
}
