/** What nodes tell each other, and what they do about it at once: R3, R9's marks, R11, R12, R13, R14. */
import { isCovered, nameView, registrarOf } from "./claims.ts"
import { end, write } from "./copies.ts"
import { excuseLost } from "./promises.ts"
import {
  boot,
  bootOf,
  DEAD,
  edit,
  isDead,
  isForgotten,
  isGone,
  type Mail,
  makeSection,
  type Node,
  nodeOf,
  NODES,
  note,
  type Section,
  type SectionId,
  seen,
  seenBoot,
  seenIncarnation,
  snapshot,
  type State
} from "./state.ts"

interface Gossip {
  /** Overtaken by others: its digest counts no more. */
  readonly late?: boolean
  /** Cut to one section. */
  readonly only?: SectionId
}

/** The node takes in what another knew when it sent it. */
export const merge = (s: State, to: number, from: Node, { late = false, only }: Gossip = {}): void => {
  const { rules } = s.world
  if (rules.forget && isReturning(s, to, from)) return
  if (!late && only === undefined && !hasNews(s, s.nodes[to]!, from)) return
  const node = edit(s, to)
  learnMembers(s, node, from.view)
  for (const [id, section] of only === undefined ? from.sections : [[only, from.sections.get(only)!] as const]) {
    const have = Math.max(node.sections.get(id)?.version ?? -1, node.buried.get(id) ?? -1)
    if (id !== node.section && section.version > have) node.sections.set(id, section)
  }
  node.floor = Math.max(node.floor, from.floor)
  if (rules.revive) { for (const id of node.buried.keys()) if (!isGone(node, id)) node.buried.delete(id) }
  const before = node.digests[from.id]
  if (!late && (before === undefined || from.boot >= before.boot)) node.digests[from.id] = from.digest()
  node.cache = {}
  if (only === undefined && from.synced && !node.synced) becomeSynced(node)
  stopCovered(s, to)
  if (only === undefined) discharge(s, to, from)
  if (!late && (only === undefined || only === from.section) && isUnanswered(s, node, from.section)) {
    // its frames come in order: what it had started before would be in this one
    edit(s, to).reserved = undefined
  }
}

/** Would anything change by it? Most of what nodes tell each other is known already. */
const hasNews = (s: State, node: Node, from: Node): boolean => {
  if (node.digests[from.id]?.key !== from.digest().key || from.floor > node.floor) return true
  if ((from.synced && !node.synced) || isUnanswered(s, node, from.section)) return true
  for (const id of NODES) {
    const theirs = from.view[id]!
    if (id === node.id ? seenBoot(theirs) === node.boot && isDead(theirs) : theirs > node.view[id]!) return true
  }
  for (const [id, { version }] of from.sections) {
    const have = Math.max(node.sections.get(id)?.version ?? -1, node.buried.get(id) ?? -1)
    if (id !== node.section && version > have) return true
  }
  for (const id of node.buried.keys()) if (!isGone(node, id)) return true
  for (const id of from.buried.keys()) {
    const mine = node.sections.get(id)
    if (mine !== undefined && (mine.tombed !== 0 || mine.tombEpoch !== 0)) return true
  }
  return false
}

/** It waits for a start there that did not come, and none is under way. */
const isUnanswered = (s: State, { reserved, section }: Node, target: SectionId): boolean =>
  reserved?.unanswered === true && reserved.target === target &&
  !s.mail.some(({ from, tag, to }) =>
    (tag === "start" && from === section && to === target) || (tag === "started" && from === target && to === section)
  )

/** Two nodes exchange all they know. */
export const tell = (s: State, from: number, to: number): void => merge(s, to, snapshot(s, from))

/** One section alone, as an answer brought it along. */
export const store = (s: State, id: number, section: SectionId, entry: Section): void => {
  const node = s.nodes[id]!
  const have = Math.max(node.sections.get(section)?.version ?? -1, node.buried.get(section) ?? -1)
  if (section === node.section || have >= entry.version) return
  edit(s, id).sections.set(section, entry)
  stopCovered(s, id)
}

// ---- members

const learnMembers = (s: State, node: Node, view: ReadonlyArray<number>): void => {
  const registrar = registrarOf(node.view)
  for (const id of NODES) {
    const mine = node.view[id]!
    const theirs = view[id]!
    if (id === node.id) {
      // R14: told that this very run is dead, it says otherwise, louder
      const isTold = seenBoot(theirs) === node.boot && isDead(theirs) &&
        seenIncarnation(theirs) >= seenIncarnation(mine)
      if (isTold && s.world.rules.refute) node.view[id] = seen(node.boot, seenIncarnation(theirs) + 1, node.synced)
    } else if (theirs > mine) {
      node.view[id] = theirs
    }
  }
  noteRegistrar(node, registrar)
}

const noteRegistrar = (node: Node, before: number): void => {
  node.cache = {}
  if (before >= 0 && before !== registrarOf(node.view)) node.previous |= 1 << before
}

export const learnView = (s: State, id: number, view: ReadonlyArray<number>): void => learnMembers(s, edit(s, id), view)

/** A frame comes over a connection, at the start of which both ends have told each other whom they know. */
export const arrive = (s: State, { deliver, to, view }: Mail): void => {
  const id = nodeOf(to)
  const { view: known } = s.nodes[id]!
  if (s.world.rules.members && known.some((one, at) => one === 0 && view[at] !== 0)) {
    learnView(s, id, view.map((one, at) => known[at] === 0 ? one : 0))
  }
  deliver(s)
}

export const declareDead = (s: State, id: number, other: number): void => {
  const node = edit(s, id)
  const registrar = registrarOf(node.view)
  node.view[other] = node.view[other]! | DEAD
  noteRegistrar(node, registrar)
}

const becomeSynced = (node: Node): void => {
  const registrar = registrarOf(node.view)
  node.synced = true
  node.view[node.id] = seen(node.boot, seenIncarnation(node.view[node.id]!) + 1, true)
  noteRegistrar(node, registrar)
}

/** R13: nobody left to learn from, the lowest id forms. Its floor, a clock's time, is above all epochs. */
export const form = (s: State, id: number): void => {
  const node = edit(s, id)
  if (s.world.rules.floor) node.floor = Math.max(node.floor, 100 * node.boot)
  becomeSynced(node)
}

// ---- R3

/** A node that sees its registration ended stops at once: in the same entry the claim becomes a tomb. */
export const stopCovered = (s: State, id: number): void => {
  const { rules } = s.world
  const node = s.nodes[id]!
  const { claim, tombEpoch, tombed } = node.own
  const { endedEpoch, tombed: all } = nameView(rules, node)
  if (!rules.mask) editForeign(s, id, all, endedEpoch)
  if (claim === undefined || !isCovered(rules, claim, all, endedEpoch)) return
  end(s, id)
  const carries = rules.carry && rules.registrations
  write(edit(s, id), {
    claim: undefined,
    tomb: carries ? [tombed | claim.regs, Math.max(tombEpoch, endedEpoch, claim.epoch)] : [tombed, tombEpoch]
  })
}

/** What nobody should do: H11. */
const editForeign = (s: State, id: number, tombed: number, tombEpoch: number): void => {
  const { rules } = s.world
  for (const [key, { claim, ...section }] of s.nodes[id]!.sections) {
    if (key === s.nodes[id]!.section || claim === undefined || !isCovered(rules, claim, tombed, tombEpoch)) continue
    edit(s, id).sections.set(key, makeSection(section.version, undefined, section.tombed, section.tombEpoch))
  }
}

/** R9: a peer has buried what I have: its tombs live elsewhere. */
const discharge = (s: State, id: number, from: Node): void => {
  if (!s.world.rules.discharge) return
  for (const [section, version] of from.buried) {
    const node = s.nodes[id]!
    const mine = node.sections.get(section)
    if (mine === undefined || mine.version > version || !isGone(node, section)) continue
    if (mine.tombed === 0 && mine.tombEpoch === 0) continue
    edit(s, id).sections.set(section, makeSection(mine.version, mine.claim, 0, 0))
  }
}

// ---- R11

const hasForgotten = (node: Node, section: SectionId): boolean => {
  const one = node.view[nodeOf(section)]!
  return isForgotten(one) && seenBoot(one) === bootOf(section)
}

const count = ({ view }: Node): number => view.filter(isForgotten).length

/**
 * A node that was forgotten returns: with a new boot, and nothing of what it had. Where both have forgotten each other
 * it is the one of the smaller side. Until it has, nothing that it says is taken in.
 */
const isReturning = (s: State, id: number, from: Node): boolean => {
  const node = s.nodes[id]!
  const forgets = hasForgotten(node, from.section)
  const isToReturn = hasForgotten(from, node.section) &&
    (!forgets || count(node) > count(from) || (count(node) === count(from) && id > from.id))
  if (isToReturn) comeBack(s, id)
  return isToReturn || forgets
}

/** Its processes are stopped (the other choice is to register them again). */
const comeBack = (s: State, id: number): void => {
  end(s, id)
  const node = edit(s, id)
  // what only it knew is gone, and said so by an event: to everyone else that is a crash
  note(s, { crashes: s.ghost.crashes + 1, faults: s.ghost.faults + 1 })
  s.mail = s.mail.filter(({ from, to }) => from !== node.section && to !== node.section)
  boot(node, node.boot + 1, false)
  node.cache = {}
  excuseLost(s)
}
