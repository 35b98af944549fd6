/** The definitions: which claims count, how they are ordered, what a node concludes about the name. */
import {
  bootOf,
  type Claim,
  isAlive,
  isGone,
  isSynced,
  type Node,
  nodeOf,
  NODES,
  type SectionId,
  seenBoot,
  within
} from "./state.ts"
import type { Rules } from "./switches.ts"

export interface Held {
  readonly section: SectionId
  readonly claim: Claim
}

/** Negative when `a` stands first: epoch descending, start ascending, node ascending, boot descending. */
export const compare = (rules: Rules, a: Held, b: Held): number =>
  b.claim.epoch - a.claim.epoch || a.claim.start - b.claim.start || nodeOf(a.section) - nodeOf(b.section) ||
  (rules.boots ? bootOf(b.section) - bootOf(a.section) : 0)

/** `a` makes `b` superfluous. */
export const supersedes = (rules: Rules, a: Held, b: Held): boolean =>
  (rules.boots ? compare(rules, a, b) < 0 : a.claim.epoch > b.claim.epoch) &&
  (!rules.union || within(b.claim.regs, a.claim.regs))

export interface NameView {
  /** Uncovered claims, top first. */
  readonly claims: ReadonlyArray<Held>
  readonly tombed: number
  /** The highest epoch of any tomb or covered claim. */
  readonly endedEpoch: number
  /** E */
  readonly highest: number
}

export const isCovered = (rules: Rules, claim: Claim, tombed: number, tombEpoch: number): boolean =>
  rules.registrations ? within(claim.regs, tombed) : tombEpoch >= claim.epoch

export const nameView = (rules: Rules, node: Node): NameView =>
  (node.cache.name ??= makeNameView(rules, node)) as NameView

const makeNameView = (rules: Rules, node: Node): NameView => {
  let tombed = 0
  let tombEpoch = 0
  let highest = rules.floor ? node.floor : 0
  for (const section of node.sections.values()) {
    tombed |= section.tombed
    tombEpoch = Math.max(tombEpoch, section.tombEpoch)
    if (section.claim !== undefined) highest = Math.max(highest, section.claim.epoch)
  }
  highest = Math.max(highest, tombEpoch)
  let endedEpoch = tombEpoch
  const claims: Array<Held> = []
  for (const [section, { claim }] of node.sections) {
    if (claim === undefined) continue
    if (!isCovered(rules, claim, tombed, tombEpoch)) claims.push({ section, claim })
    else if (rules.mask) endedEpoch = Math.max(endedEpoch, claim.epoch)
  }
  claims.sort((a, b) => compare(rules, a, b))
  return { claims, tombed, endedEpoch, highest }
}

export const regsOf = (claims: ReadonlyArray<Held>): number => claims.reduce((all, { claim }) => all | claim.regs, 0)

// ---- who

/** Whom placement wants to have the name, and who serialises its registrations: the first of these that is active. */
const HOMES: ReadonlyArray<number> = [1, 2, 0]
const REGISTRARS: ReadonlyArray<number> = [2, 0, 1]

const firstActive = (order: ReadonlyArray<number>, view: ReadonlyArray<number>): number =>
  order.find((id) => isAlive(view[id]!) && isSynced(view[id]!)) ?? -1

export const homeOf = (node: Node): number => firstActive(HOMES, node.view)
export const registrarOf = (view: ReadonlyArray<number>): number => firstActive(REGISTRARS, view)

/** Equal for nodes that agree about who is active. */
export const viewHash = ({ view }: Node): number =>
  NODES.reduce((hash, id) => hash * 16 + (isAlive(view[id]!) && isSynced(view[id]!) ? seenBoot(view[id]!) : 0), 0)

/** This node has let its copy go, and whoever goes on with it may not know yet. */
export const isAwaited = (node: Node): boolean => {
  const successor = node.own.claim?.successor ?? 0
  return successor !== 0 && node.sections.get(successor)?.claim?.mode === "prepared" && !isGone(node, successor)
}

/** The best claim of a copy that serves, on a living node. */
export const bestLive = (node: Node, { claims }: NameView): Held | undefined =>
  claims.find(({ claim, section }) => claim.mode === "live" && !isGone(node, section))
