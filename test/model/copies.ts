/** Copies of the process: where one starts, changes its mind, and ends; and what may be lost with it. */
import {
  bootOf,
  type Claim,
  type Copy,
  edit,
  fail,
  makeClaim,
  makeSection,
  type Node,
  nodeOf,
  NODES,
  note,
  type SectionId,
  type State,
  within
} from "./state.ts"

/** Writes this node's own entry. */
export const write = (
  node: Node,
  change: { readonly claim?: Claim | undefined; readonly tomb?: [number, number] }
): void => {
  const { claim, tombEpoch, tombed, version } = node.own
  const [regs, epoch] = change.tomb ?? [tombed, tombEpoch]
  node.sections.set(node.section, makeSection(version + 1, "claim" in change ? change.claim : claim, regs, epoch))
  node.cache = {}
}

export const rewrite = (node: Node, change: Partial<Claim>): void =>
  write(node, { claim: makeClaim({ ...node.own.claim!, ...change }) })

export const setCopy = (node: Node, change: Partial<Copy>): void => {
  node.copy = { ...node.copy!, ...change }
  node.cache = {}
}

export const stampOf = (s: State): number => ++s.stamp

/** What is new starts here from its args: with no increment, and a life of its own. */
export const start = (
  s: State,
  id: number,
  claim: Omit<Claim, "key" | "life" | "mode" | "merged" | "successor">
): void => {
  const node = edit(s, id)
  const life = stampOf(s)
  write(node, { claim: makeClaim({ ...claim, life, mode: "live", merged: [], successor: 0 }) })
  node.copy = { status: "live", life, done: 0, from: 0, move: undefined }
}

export const serves = ({ copy }: Node): boolean => copy?.status === "live"

/** Increments that some copy on a running node has. */
const held = (s: State): number =>
  s.nodes.reduce((all, { copy, up }) => up && copy !== undefined ? all | copy.done : all, 0)

/** What only the copies that are gone had is lost, and that is in order. */
export const excuse = (s: State): void => {
  const due = s.ghost.due & held(s)
  if (due !== s.ghost.due) note(s, { due })
}

const isUp = (s: State, section: SectionId): boolean => {
  const node = s.nodes[nodeOf(section)]!
  return node.up && node.boot === bootOf(section)
}

/**
 * A copy closes because another goes on with its state. That other must be there, unless its node has just gone: then
 * the state is lost with that node.
 */
export const give = (s: State, id: number, successor: SectionId, why: string): void => {
  const { copy, own } = s.nodes[id]!
  edit(s, id).copy = undefined
  if (own.claim === undefined || within(own.claim.regs, s.ghost.ending)) return excuse(s)
  if (!isUp(s, successor)) return excuse(s)
  keeps(s, copy!, why)
}

/** Of two states one is kept: never the one with the shorter life, nor one that lacks anything on a healthy network. */
const keeps = (s: State, gone: Copy, why: string): void => {
  const others = NODES.flatMap((id) => s.nodes[id]!.up ? s.nodes[id]!.copy ?? [] : [])
  const isKept = s.world.merges || others.some(({ life }) => life <= gone.life)
  if (!isKept) fail(s, `${why}: a live state is replaced by a newer one`)
  const lacks = s.ghost.due & gone.done & ~held(s)
  if (lacks !== 0 && (s.world.merges || s.ghost.faults === 0)) fail(s, `${why}: increments are lost`)
  excuse(s)
}

/** A copy ends for good, or with its node. */
export const end = (s: State, id: number): void => {
  if (s.nodes[id]!.copy === undefined) return
  edit(s, id).copy = undefined
  excuse(s)
}

/** A winner takes in the state of a loser: R7, `resolveConflict`. */
export const takeIn = (s: State, id: number, theirs: { readonly life: number; readonly done: number }): void => {
  const { copy } = s.nodes[id]!
  const mine = copy!
  if (s.world.merges) return setCopy(edit(s, id), { done: mine.done | theirs.done })
  const takes = theirs.life < mine.life && s.world.rules.longer
  if (!takes) return
  setCopy(edit(s, id), { done: theirs.done, life: theirs.life })
  keeps(s, mine, "settling")
}

/** An increment is answered by the copy that serves. */
export const increment = (s: State, id: number): void => {
  const bit = 1 << s.ghost.nextIncrement
  note(s, { nextIncrement: s.ghost.nextIncrement + 1, due: s.ghost.due | bit })
  const node = edit(s, id)
  setCopy(node, { done: node.copy!.done | bit })
}
