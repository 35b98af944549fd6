/**
 * What few processes have, kept in their claim so that it survives restart, move and the loss of their node: other
 * names, a lease, a link, timers. And the changes that a holder makes to its claim when it is asked to.
 */
import type { Claim } from "./claims.ts"
import type { ClaimId, SectionId } from "./ids.ts"
import type { SnapshotId } from "./snapshots.ts"

/** A timer that repeated more often would do nothing but keep its node busy. */
export const SHORTEST_PERIOD_MS = 10

/** A message that a process has set for itself. */
export interface Timer {
  /** The process's own name for it: setting it again replaces it. */
  readonly id: string
  /** When it fires next, in ms since 1970. */
  readonly atMs: number
  /** For a repeated one: it fires at `atMs` plus every multiple of this. */
  readonly everyMs: number | undefined
  readonly tag: string
  /** Encoded by the message's schema. */
  readonly payload: unknown
}

/** Processes that are restarted together, after the strategies of OTP's supervisors. */
export interface Link {
  readonly strategy: "one_for_all" | "rest_for_one"
  /** In order; the process itself is one of them. */
  readonly names: ReadonlyArray<string>
  /**
   * Which failure this process's present life answers to: the stamp of a crash in the link, its own or one that it
   * followed. A process whose stamp is below that of one it depends on restarts, and takes that stamp: so all come to
   * the same stamp, whatever messages are lost, and nobody follows a follower.
   */
  readonly stamp: number
}

export interface Extras {
  /** Other names of the process, besides the one it was registered under. */
  readonly aliases: ReadonlyArray<string>
  readonly timers: ReadonlyArray<Timer>
  /** The registration ends unless it is renewed within this time. */
  readonly leaseMs: number | undefined
  readonly link: Link | undefined
  /** It has crashed and waits to be started again. */
  readonly isDown: boolean
  /** Who keeps its state; since which snapshot. */
  readonly replicas: Replicas | undefined
}

export interface Replicas extends SnapshotId {
  readonly nodes: ReadonlyArray<SectionId>
  /** Claims whose states have gone into what they keep. */
  readonly after: ReadonlyArray<ClaimId>
}

export const NO_EXTRAS: Extras = {
  aliases: [],
  timers: [],
  leaseMs: undefined,
  link: undefined,
  isDown: false,
  replicas: undefined
}

export const extrasOf = ({ extras }: { readonly extras?: Extras | undefined }): Extras => extras ?? NO_EXTRAS

const isEmpty = ({ aliases, isDown, leaseMs, link, replicas, timers }: Extras): boolean =>
  aliases.length === 0 && timers.length === 0 && leaseMs === undefined && link === undefined && !isDown &&
  replicas === undefined

/** A claim with some of its extras replaced; one without any carries none. */
export const withExtras = (claim: Claim, change: Partial<Extras>): Claim => {
  const extras: Extras = { ...extrasOf(claim), ...change }
  return { ...claim, extras: isEmpty(extras) ? undefined : extras }
}

/** What anyone may ask of the node that holds a name. */
export type Change =
  | { readonly _tag: "Join"; readonly group: string }
  | { readonly _tag: "Leave"; readonly group: string }
  | { readonly _tag: "Alias"; readonly alias: string }
  | { readonly _tag: "Unalias"; readonly alias: string }
  | { readonly _tag: "Metadata"; readonly metadata: unknown }
  | { readonly _tag: "SetTimer"; readonly timer: Timer }
  | { readonly _tag: "ClearTimer"; readonly id: string }
  | { readonly _tag: "Link"; readonly link: Link | undefined }
  /** Changes nothing: its lease starts anew. */
  | { readonly _tag: "Renew" }

const without = (all: ReadonlyArray<string>, one: string): ReadonlyArray<string> => all.filter((other) => other !== one)

/** The claim as the change makes it; the same object when there is nothing to change. */
export const applyChange = (claim: Claim, change: Change): Claim => {
  const extras = extrasOf(claim)
  switch (change._tag) {
    case "Join":
      return claim.groups.includes(change.group) ? claim : { ...claim, groups: [...claim.groups, change.group] }
    case "Leave":
      return claim.groups.includes(change.group) ? { ...claim, groups: without(claim.groups, change.group) } : claim
    case "Alias":
      if (extras.aliases.includes(change.alias)) return claim
      return withExtras(claim, { aliases: [...extras.aliases, change.alias] })
    case "Unalias":
      if (!extras.aliases.includes(change.alias)) return claim
      return withExtras(claim, { aliases: without(extras.aliases, change.alias) })
    case "Metadata":
      return { ...claim, metadata: change.metadata }
    case "SetTimer": {
      const others = extras.timers.filter(({ id }) => id !== change.timer.id)
      return withExtras(claim, { timers: [...others, change.timer] })
    }
    case "ClearTimer": {
      const others = extras.timers.filter(({ id }) => id !== change.id)
      return others.length === extras.timers.length ? claim : withExtras(claim, { timers: others })
    }
    case "Link":
      if (change.link === undefined && extras.link === undefined) return claim
      return withExtras(claim, { link: change.link })
    case "Renew":
      return claim
  }
}

/** Does a process of this link follow a failure of that one? */
const follows = ({ names, strategy }: Link, name: string, failed: string): boolean =>
  name !== failed && (strategy === "one_for_all" || names.indexOf(failed) < names.indexOf(name))

/**
 * The stamp of the failure that a process must follow, given what is known of the others of its link; `undefined` when
 * there is none.
 */
export const failureToFollow = (
  name: string,
  link: Link,
  stampOf: (name: string) => number | undefined
): number | undefined => {
  let latest = link.stamp
  for (const other of link.names) if (follows(link, name, other)) latest = Math.max(latest, stampOf(other) ?? 0)
  return latest > link.stamp ? latest : undefined
}

/** The first moment after `nowMs` at which a repeated timer fires; what was missed meanwhile is not made up for. */
export const nextAt = (atMs: number, everyMs: number, nowMs: number): number =>
  atMs > nowMs ? atMs : Math.max(nowMs + 1, atMs + everyMs * (Math.floor((nowMs - atMs) / everyMs) + 1))
