/** R6: freeze, offer, prepared, close, released, commit, serve; each message may be lost, or come late. */
import { isAwaited, isCovered, nameView } from "./claims.ts"
import { give, rewrite, setCopy, write } from "./copies.ts"
import { store } from "./knowledge.ts"
import {
  type Claim,
  edit,
  isAlive,
  linked,
  makeClaim,
  type Node,
  nodeOf,
  type Section,
  type SectionId,
  sectionId,
  seenBoot,
  send,
  snapshot,
  type State
} from "./state.ts"
import type { Step } from "./rules.ts"

/** May this node begin to move its process there? */
export const canMove = (s: State, from: number, to: number): boolean => {
  const node = s.nodes[from]!
  if (node.copy?.status !== "live" || !isAlive(node.view[to]!) || !linked(s, from, to)) return false
  return nameView(s.world.rules, node).claims[0]?.section === node.section
}

export const move = (s: State, from: number, to: number): void => {
  const node = edit(s, from)
  const epoch = nameView(s.world.rules, node).highest + 1
  const target = sectionId(to, seenBoot(node.view[to]!))
  setCopy(node, { status: "frozen", move: { to: target, epoch } })
  const { done, life } = node.copy!
  offer(s, node.section, target, epoch, node.own.claim!, { done, life })
}

interface Packed {
  readonly done: number
  readonly life: number
}

const offer = (s: State, from: SectionId, to: SectionId, epoch: number, claim: Claim, state: Packed): void =>
  send(s, {
    tag: "offer",
    from,
    to,
    key: `offer${epoch}${claim.key}+${state.done}`,
    deliver: (s) => prepare(s, from, nodeOf(to), epoch, claim, state)
  })

const prepare = (
  s: State,
  from: SectionId,
  id: number,
  epoch: number,
  offered: Claim,
  { done, life }: Packed
): void => {
  const { rules } = s.world
  const node = edit(s, id)
  if (node.copy !== undefined || nameView(rules, node).highest >= epoch) return
  if (rules.letGo && isAwaited(node)) return
  const { endedEpoch, tombed } = nameView(rules, node)
  if (isCovered(rules, offered, tombed, endedEpoch)) return
  // an offer that would be served at once is what H7 is about
  const mode = rules.prepared ? "prepared" : "live"
  write(node, { claim: makeClaim({ ...offered, epoch, mode }) })
  node.copy = { status: mode, life, done, from, move: undefined }
  const { section } = node
  ack(s, section, from, epoch, node.own)
}

const ack = (s: State, from: SectionId, to: SectionId, epoch: number, entry: Section): void =>
  send(s, {
    tag: "ack",
    from,
    to,
    key: `ack${epoch}`,
    deliver: (s) => acknowledged(s, nodeOf(to), from, epoch, entry)
  })

/** The source knows the prepared claim before it lets go of its own. */
const acknowledged = (s: State, id: number, from: SectionId, epoch: number, entry: Section): void => {
  store(s, id, from, entry)
  const { copy } = s.nodes[id]!
  if (copy?.status !== "frozen" || copy.move?.epoch !== epoch || copy.move.to !== from) return
  setCopy(edit(s, id), { status: "closing" })
}

/** What a source does by itself: it lets go, or it gives up waiting and goes on. */
export const moveSteps = (s: State, id: number): Array<Step> => {
  const { copy, up } = s.nodes[id]!
  if (!up || copy?.move === undefined) return []
  const { epoch } = copy.move
  return copy.status === "closing"
    ? [{ label: `R6 release ${id}`, run: (s) => release(s, id) }]
    : [{ label: `R6 abort ${id}`, run: (s) => abort(s, edit(s, id), epoch) }]
}

const release = (s: State, id: number): void => {
  const { epoch, to } = s.nodes[id]!.copy!.move!
  give(s, id, to, "moving")
  const node = edit(s, id)
  if (s.world.rules.released) rewrite(node, { mode: "released", successor: to })
  else write(node, { claim: undefined })
  const { section } = snapshot(s, id)
  send(s, { tag: "commit", from: section, to, key: `commit${epoch}`, deliver: (s) => commit(s, nodeOf(to), epoch) })
}

const abort = (s: State, node: Node, offered: number): void => {
  const { above } = s.world.rules
  const highest = nameView(s.world.rules, node).highest
  rewrite(node, { epoch: above ? Math.max(highest, offered) + 1 : node.own.claim!.epoch })
  setCopy(node, { status: "live", move: undefined })
}

const commit = (s: State, id: number, epoch: number): void => {
  const { copy, own } = s.nodes[id]!
  if (copy?.status !== "prepared" || own.claim?.mode !== "prepared" || own.claim.epoch !== epoch) return
  const node = edit(s, id)
  rewrite(node, { mode: "live" })
  setCopy(node, { status: "live" })
}
