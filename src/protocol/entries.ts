/** What sections hold, as positional arrays: claims, tombs, offers, and the changes that holders are asked for. */
import type { Claim, EndReason, Mode, NameEntry, Spec, SpecOptions, Tomb } from "./claims.ts"
import { type Change, type Extras, type Link, type Replicas, SHORTEST_PERIOD_MS, type Timer } from "./extras.ts"
import {
  asArray,
  asCount,
  asFlag,
  asIndexOf,
  asLimit,
  asMillis,
  asSection,
  asText,
  asTexts,
  fail,
  optional
} from "./reading.ts"

// ---- claims

const MODES: ReadonlyArray<Mode> = ["live", "prepared", "released", "adopted"]
const RESTARTS = ["permanent", "transient", "temporary"] as const

const encodeOptions = (options: SpecOptions): ReadonlyArray<unknown> => [
  options.restartLimit === undefined ? null : [options.restartLimit.max, options.restartLimit.withinMs],
  options.startTimeoutMs ?? null,
  options.shutdownTimeoutMs ?? null,
  options.idleTimeoutMs ?? null,
  options.mailboxCapacity ?? null,
  options.handoff ?? null
]

const decodeOptions = (u: unknown): SpecOptions => {
  const [limit, start, shutdown, idle, mailbox, handoff] = asArray(u, 6)
  return {
    restartLimit: optional(limit, (pair) => {
      const [max, withinMs] = asArray(pair, 2)
      return { max: asLimit(max), withinMs: asMillis(withinMs) }
    }),
    startTimeoutMs: optional(start, asMillis),
    shutdownTimeoutMs: optional(shutdown, asMillis),
    idleTimeoutMs: optional(idle, asMillis),
    mailboxCapacity: optional(mailbox, asLimit),
    handoff: optional(handoff, asFlag)
  }
}

export const encodeSpec = ({ args, options, restart, type }: Spec): ReadonlyArray<unknown> => [
  type,
  args,
  RESTARTS.indexOf(restart),
  options === undefined ? null : encodeOptions(options)
]

export const decodeSpec = (u: unknown): Spec => {
  const [type, args, restart, options] = asArray(u, 4)
  const spec = { type: asText(type), args, restart: asIndexOf(RESTARTS, restart) }
  return options === null ? spec : { ...spec, options: decodeOptions(options) }
}

const encodeTimer = ({ atMs, everyMs, id, payload, tag }: Timer): ReadonlyArray<unknown> => [
  id,
  atMs,
  everyMs ?? null,
  tag,
  payload ?? null
]

const decodeTimer = (u: unknown): Timer => {
  const [id, atMs, everyMs, tag, payload] = asArray(u, 5)
  const period = optional(everyMs, asMillis)
  if (period !== undefined && period < SHORTEST_PERIOD_MS) fail("a period that leaves time for anything else")
  return { id: asText(id), atMs: asMillis(atMs), everyMs: period, tag: asText(tag), payload }
}

const STRATEGIES = ["one_for_all", "rest_for_one"] as const

const encodeLink = ({ names, stamp, strategy }: Link): ReadonlyArray<unknown> => [
  STRATEGIES.indexOf(strategy),
  names,
  stamp
]

const decodeLink = (u: unknown): Link => {
  const [strategy, names, stamp] = asArray(u, 3)
  return { strategy: asIndexOf(STRATEGIES, strategy), names: asTexts(names), stamp: asCount(stamp) }
}

const encodeReplicas = ({ after, epoch, nodes, seq }: Replicas): ReadonlyArray<unknown> => [epoch, seq, nodes, after]

const decodeReplicas = (u: unknown): Replicas => {
  const [epoch, seq, nodes, after] = asArray(u, 4)
  return {
    epoch: asCount(epoch),
    seq: asCount(seq),
    nodes: asArray(nodes).map(asSection),
    after: asTexts(after)
  }
}

const encodeExtras = ({ aliases, isDown, leaseMs, link, replicas, timers }: Extras): ReadonlyArray<unknown> => [
  aliases,
  timers.map(encodeTimer),
  leaseMs ?? null,
  link === undefined ? null : encodeLink(link),
  isDown,
  replicas === undefined ? null : encodeReplicas(replicas)
]

const decodeExtras = (u: unknown): Extras => {
  const [aliases, timers, leaseMs, link, isDown, replicas] = asArray(u, 6)
  return {
    aliases: asTexts(aliases),
    timers: asArray(timers).map(decodeTimer),
    leaseMs: optional(leaseMs, asMillis),
    link: optional(link, decodeLink),
    isDown: asFlag(isDown),
    replicas: optional(replicas, decodeReplicas)
  }
}

export const encodeClaim = (claim: Claim): ReadonlyArray<unknown> => [
  claim.epoch,
  claim.start,
  claim.registrations,
  MODES.indexOf(claim.mode),
  claim.merged,
  claim.continuity,
  claim.spec === undefined ? null : encodeSpec(claim.spec),
  claim.metadata ?? null,
  claim.groups,
  claim.successor ?? null,
  claim.extras === undefined ? null : encodeExtras(claim.extras)
]

export const decodeClaim = (u: unknown): Claim => {
  const [epoch, start, registrations, mode, merged, continuity, spec, metadata, groups, successor, extras] = asArray(
    u,
    11
  )
  return {
    epoch: asCount(epoch),
    start: asCount(start),
    registrations: asArray(registrations).length > 0 ? asTexts(registrations) : fail("a registration"),
    mode: asIndexOf(MODES, mode),
    merged: asTexts(merged),
    continuity: asCount(continuity),
    spec: spec === null ? undefined : decodeSpec(spec),
    metadata: metadata ?? undefined,
    groups: asTexts(groups),
    successor: successor === null ? undefined : asSection(successor),
    extras: extras === null ? undefined : decodeExtras(extras)
  }
}

const REASONS: ReadonlyArray<EndReason> = [
  "Unregistered",
  "Ended",
  "Crashed",
  "GivenUp",
  "LeaseExpired",
  "OwnerGone"
]

const encodeTomb = (
  tomb: Tomb
): ReadonlyArray<unknown> => [tomb.registrations, tomb.epoch, REASONS.indexOf(tomb.reason)]

const decodeTomb = (u: unknown): Tomb => {
  const [registrations, epoch, reason] = asArray(u, 3)
  return { registrations: asTexts(registrations), epoch: asCount(epoch), reason: asIndexOf(REASONS, reason) }
}

// ---- what a holder is asked to change

export const encodeChange = (change: Change): ReadonlyArray<unknown> => {
  switch (change._tag) {
    case "Join":
      return [0, change.group]
    case "Leave":
      return [1, change.group]
    case "Alias":
      return [2, change.alias]
    case "Unalias":
      return [3, change.alias]
    case "Metadata":
      return [4, change.metadata ?? null]
    case "SetTimer":
      return [5, encodeTimer(change.timer)]
    case "ClearTimer":
      return [6, change.id]
    case "Link":
      return [7, change.link === undefined ? null : encodeLink(change.link)]
    case "Renew":
      return [8, null]
  }
}

export const decodeChange = (u: unknown): Change => {
  const [tag, value] = asArray(u, 2)
  switch (tag) {
    case 0:
      return { _tag: "Join", group: asText(value) }
    case 1:
      return { _tag: "Leave", group: asText(value) }
    case 2:
      return { _tag: "Alias", alias: asText(value) }
    case 3:
      return { _tag: "Unalias", alias: asText(value) }
    case 4:
      return { _tag: "Metadata", metadata: value ?? undefined }
    case 5:
      return { _tag: "SetTimer", timer: decodeTimer(value) }
    case 6:
      return { _tag: "ClearTimer", id: asText(value) }
    case 7:
      return { _tag: "Link", link: optional(value, decodeLink) }
    case 8:
      return { _tag: "Renew" }
    default:
      return fail("a change")
  }
}

// ---- keys and values of the replicated structure

/** Key of a name's entry in a section. */
export const nameKey = (sworm: string, name: string): string => `n${sworm}\n${name}`

/** Key under which a node says that it hosts a sworm, and what of it. */
export const swormKey = (sworm: string): string => `s${sworm}`

/** Key of a value that belongs to a sworm as a whole. */
export const metaKey = (sworm: string, key: string): string => `m${sworm}\n${key}`

/** Key under which a node keeps what it has given up. */
export const givenUpKey = (sworm: string, name: string): string => `g${sworm}\n${name}`

/** What a node offers of a sworm. */
export interface Offer {
  /** Names of the process types that can be started there. */
  readonly types: ReadonlyArray<string>
  /** The name of its placement: nodes that place differently can't agree on homes. */
  readonly placement: string
  /** How many processes it takes; `Infinity` for no limit. */
  readonly maxChildren: number
}

/** A sworm's own value; the one with the latest stamp holds. Without a value it is erased. */
export interface MetaEntry {
  readonly stamp: number
  readonly value: unknown
}

/** A process past its restart limit, with what it takes to start it again. */
export interface GivenUpEntry {
  readonly epoch: number
  /** Hybrid stamp of when. */
  readonly stamp: number
  readonly detail: string
  readonly spec: Spec
  readonly metadata: unknown
  readonly groups: ReadonlyArray<string>
}

export type ParsedKey =
  | { readonly _tag: "Sworm"; readonly sworm: string }
  | { readonly _tag: "Name" | "Meta" | "GivenUp"; readonly sworm: string; readonly name: string }

const KINDS: Readonly<Record<string, "Name" | "Meta" | "GivenUp">> = { n: "Name", m: "Meta", g: "GivenUp" }

/** The parts of a key; `undefined` for kinds of a later version, which are stored and passed on but not read. */
export const parseKey = (key: string): ParsedKey | undefined => {
  if (key[0] === "s") return { _tag: "Sworm", sworm: key.slice(1) }
  const kind = KINDS[key[0] ?? ""]
  const cut = key.indexOf("\n")
  return kind !== undefined && cut > 0 ? { _tag: kind, sworm: key.slice(1, cut), name: key.slice(cut + 1) } : undefined
}

/** A value of a section, by its key. */
export const encodeValue = (key: string, value: unknown): unknown => {
  if (value === undefined) return null
  switch (key[0]) {
    case "n": {
      const { claim, tomb } = value as NameEntry
      return [claim === undefined ? null : encodeClaim(claim), tomb === undefined ? null : encodeTomb(tomb)]
    }
    case "s": {
      const { maxChildren, placement, types } = value as Offer
      return [placement, types, maxChildren]
    }
    case "m": {
      const { stamp, value: held } = value as MetaEntry
      return held === undefined ? [stamp] : [stamp, held]
    }
    case "g": {
      const { detail, epoch, groups, metadata, spec, stamp } = value as GivenUpEntry
      return [epoch, stamp, detail, encodeSpec(spec), metadata ?? null, groups]
    }
    default:
      return value
  }
}

export const decodeValue = (key: string, u: unknown): unknown => {
  if (u === null) return undefined
  switch (key[0]) {
    case "n":
      return decodeEntry(u)
    case "s": {
      const [placement, types, maxChildren] = asArray(u, 3)
      return {
        placement: asText(placement),
        types: asTexts(types),
        maxChildren: asLimit(maxChildren)
      } satisfies Offer
    }
    case "m": {
      const held = asArray(u)
      return { stamp: asCount(held[0]), value: held.length > 1 ? held[1] : undefined } satisfies MetaEntry
    }
    case "g": {
      const [epoch, stamp, detail, spec, metadata, groups] = asArray(u, 6)
      return {
        epoch: asCount(epoch),
        stamp: asCount(stamp),
        detail: asText(detail),
        spec: decodeSpec(spec),
        metadata: metadata ?? undefined,
        groups: asTexts(groups)
      } satisfies GivenUpEntry
    }
    default:
      return u
  }
}

const decodeEntry = (u: unknown): NameEntry => {
  const [claim, tomb] = asArray(u, 2)
  return {
    claim: claim === null ? undefined : decodeClaim(claim),
    tomb: tomb === null ? undefined : decodeTomb(tomb)
  }
}
