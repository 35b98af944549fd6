/** What must be true after each step, and what once everything has come to rest. */
import { type Held, nameView } from "./claims.ts"
import { serves } from "./copies.ts"
import { edit, fail, isGone, type Node, NODES, reaches, type State, within } from "./state.ts"

const up = (s: State): ReadonlyArray<Node> => s.nodes.filter(({ up }) => up)

// ---- after each step

export const checkStep = (s: State): void => {
  oneWhileHealthy(s)
  for (const id of NODES) epochsGrow(s, id)
}

/** Without a crash, a cut or a wrong death no two copies ever serve at once, whatever gets lost. */
const oneWhileHealthy = (s: State): void => {
  if (s.ghost.faults > 0) return
  const count = up(s).filter(serves).length
  if (count > 1) fail(s, `healthy: ${count} copies serve at once`)
}

/** The claim that a node shows its users. */
const shownOf = (s: State, node: Node): Held | undefined => {
  const { claims, endedEpoch } = nameView(s.world.rules, node)
  const top = claims[0]
  if (top === undefined || isGone(node, top.section) || top.claim.mode !== "live") return undefined
  return s.world.rules.lift && endedEpoch >= top.claim.epoch ? undefined : top
}

const epochsGrow = (s: State, id: number): void => {
  const node = s.nodes[id]!
  if (!node.up) return
  const epoch = shownOf(s, node)?.claim.epoch ?? node.shown
  if (epoch === node.shown) return
  if (epoch < node.shown) fail(s, `epochs: node ${id} saw ${node.shown}, now ${epoch}`)
  edit(s, id).shown = epoch
}

// ---- at rest

export interface Rest {
  readonly s: State
  /** Nothing is cut. */
  readonly isWhole: boolean
  /** Who is to have the name, if copies were in conflict when all was known to all. */
  readonly winner: number | undefined
}

type Invariant = (rest: Rest) => string | undefined

/** Each component of a split is looked at by itself. */
const components = (s: State): Array<ReadonlyArray<Node>> => {
  const groups: Array<Array<Node>> = []
  for (const node of up(s)) {
    const group = groups.find(([first]) => reaches(s, first!.id, node.id) && reaches(s, node.id, first!.id))
    if (group === undefined) groups.push([node])
    else group.push(node)
  }
  return groups
}

/** Registrations that were promised and not ended: they must run. */
const dueOf = ({ ghost: { acked, ended } }: State): number => acked & ~ended

const atMostOne: Invariant = ({ s }) => {
  for (const group of components(s)) {
    const count = group.filter(serves).length
    if (count > 1) return `${count} live copies`
  }
  return undefined
}

/** In a split whoever has won may be where the loser cannot reach it. */
const neverFrozen: Invariant = ({ isWhole, s }) => {
  for (const group of components(s)) {
    const waits = group.some(({ copy }) => copy !== undefined && copy.status !== "live")
    if (waits && (isWhole || group.some(serves))) return "a copy is left that does not serve"
  }
  return undefined
}

const promisedRuns: Invariant = ({ isWhole, s }) =>
  isWhole && dueOf(s) !== 0 && !up(s).some(serves) ? `acknowledged registration ${dueOf(s)} runs nowhere` : undefined

const endedStays: Invariant = ({ isWhole, s }) =>
  isWhole && dueOf(s) === 0 && within(s.ghost.open, s.ghost.ended) && up(s).some(serves)
    ? "an unregistered name runs again"
    : undefined

const viewsAgree: Invariant = ({ isWhole, s }) => {
  if (!isWhole) return undefined
  const views = new Set(
    up(s).map((node) => {
      const top = nameView(s.world.rules, node).claims[0]
      return top === undefined ? "nobody" : `${top.section}@${top.claim.epoch}`
    })
  )
  return views.size > 1 ? `views differ: ${[...views].join(", ")}` : undefined
}

const documentedWinner: Invariant = ({ s, winner }) => {
  const at = s.nodes.findIndex((node) => node.up && serves(node))
  return winner !== undefined && at >= 0 && at !== winner ? `${at} has won, not ${winner}` : undefined
}

const incrementsKept: Invariant = ({ isWhole, s }) => {
  const copy = up(s).find(serves)?.copy
  return isWhole && copy !== undefined && !within(s.ghost.due, copy.done)
    ? "acknowledged increments are lost"
    : undefined
}

const nothingLeft: Invariant = ({ isWhole, s }) => {
  if (!isWhole || !s.world.rules.keepTombs || up(s).length < NODES.length) return undefined
  for (const node of s.nodes) {
    if (node.sections.size > NODES.length) return "a dead section is never dropped"
    if (nameView(s.world.rules, node).tombed !== 0) return "a tomb is never dropped"
    if (node.own.claim !== undefined && node.copy === undefined) return "a claim that serves no more is never erased"
    if (node.reserved !== undefined) return "the name stays reserved"
  }
  return undefined
}

export const atRest: Readonly<Record<string, Invariant>> = {
  "at most one live holder in each component": atMostOne,
  "an only copy is never frozen": neverFrozen,
  "an acknowledged registration runs": promisedRuns,
  "an unregistered name never runs again": endedStays,
  "views agree": viewsAgree,
  "the documented winner stays": documentedWinner,
  "acknowledged increments are kept": incrementsKept,
  "tombs, released claims and dead sections are collected": nothingLeft
}
